/* Safetensors as a container. */
#include "model/container.h"
#include "base/memory.h"
#include <string.h>

/* A file is eight bytes of header length, then JSON. safetensors_open says what is wrong with a broken
 * one. */
static bool recognizes(const uint8_t *data, size_t n)
{
    (void)data, (void)n;
    return true; /* the last reader of the table takes any file and says what is wrong with it */
}

struct container_tensor container_tensor_of(const struct st_tensor *t)
{
    struct container_tensor to = {
        .name = t->name, .dtype = t->dtype, .n_dims = t->n_dims, .data = t->data, .size = t->size};
    memcpy(to.shape, t->shape, sizeof to.shape);
    return to;
}

gpt2q_status container_list(struct container_file *file, const struct st_tensor *tensors, size_t n,
                            gpt2q_error *err)
{
    file->tensors = mem_zarray(n, sizeof *file->tensors);
    if (!file->tensors) return error_memory(err, "a list of tensors", n * sizeof *file->tensors);
    for (; file->n_tensors < n; file->n_tensors++)
        file->tensors[file->n_tensors] = container_tensor_of(&tensors[file->n_tensors]);
    return GPT2Q_OK;
}

static gpt2q_status open_tensors(struct container_file *file, gpt2q_error *err)
{
    struct safetensors *st = mem_zalloc(sizeof *st);
    if (!st) return error_memory(err, file->path, sizeof *st);
    gpt2q_status s = safetensors_open(file->path, st, err);
    if (s) {
        mem_free(st);
        return s;
    }
    file->owner = st;
    return container_list(file, st->tensors, st->n_tensors, err);
}

static const struct container_tensor *find(const struct container_file *file, const char *name)
{
    const struct safetensors *st = file->owner;
    const struct st_tensor *t = safetensors_find(st, name);
    return t ? &file->tensors[t - st->tensors] : NULL;
}

static void close_tensors(void *owner)
{
    safetensors_close(owner);
    mem_free(owner);
}

const struct container_reader safetensors_reader = {.name = "safetensors",
                                                    .recognizes = recognizes,
                                                    .open = open_tensors,
                                                    .find = find,
                                                    .close = close_tensors};

struct safetensors *container_safetensors(const struct container_file *file)
{
    return file->reader == &safetensors_reader ? file->owner : NULL;
}
