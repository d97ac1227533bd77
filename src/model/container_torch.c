/* pytorch_model.bin as a container. */
#include "base/memory.h"
#include "model/container.h"
#include "model/torch_file.h"

static gpt2q_status open_tensors(struct container_file *file, gpt2q_error *err)
{
    struct torch_file *t = mem_zalloc(sizeof *t);
    if (!t) return error_memory(err, file->path, sizeof *t);
    gpt2q_status s = torch_file_open(file->path, t, err);
    if (s) {
        mem_free(t);
        return s;
    }
    file->owner = t;
    gpt2q_status listed = container_list(file, t->tensors, t->n_tensors, err);
    for (size_t i = 0; i < file->n_tensors; i++) {
        const uint8_t *data = t->tensors[i].data;
        file->tensors[i].copied = data < t->map.data || data >= t->map.data + t->map.size;
    }
    return listed;
}

static const struct container_tensor *find(const struct container_file *file, const char *name)
{
    const struct torch_file *t = file->owner;
    const struct st_tensor *found = torch_file_find(t, name);
    return found ? &file->tensors[found - t->tensors] : NULL;
}

static gpt2q_status check(const struct container_file *file, gpt2q_error *err)
{
    return torch_file_check(file->owner, err);
}

static void close_tensors(void *owner)
{
    torch_file_close(owner);
    mem_free(owner);
}

const struct container_reader torch_reader = {.name = "pytorch",
                                              .recognizes = torch_file_recognizes,
                                              .open = open_tensors,
                                              .find = find,
                                              .check = check,
                                              .close = close_tensors};
