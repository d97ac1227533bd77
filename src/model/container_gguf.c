/* GGUF as a container: tensors under the checkpoint's names. Weights of linear layers lie as (out, in). */
#include "base/memory.h"
#include "model/container.h"
#include "model/gguf_model.h"
#include <string.h>

struct owner {
    struct gguf_file gguf;
    char (*names)[WEIGHT_NAME_MAX];
};

/* Turns the file's shape into the checkpoint's: the innermost dimension last. A Conv1D weight's two
 * dimensions change places, since its rows are outputs here. */
static gpt2q_status describe(const struct gguf_file *f, const struct gguf_tensor *from,
                             char name[WEIGHT_NAME_MAX], struct container_tensor *to, gpt2q_error *err)
{
    struct weight_id id;
    if (!gguf_weight_name(from->name, name))
        return error_set(err, GPT2Q_FORMAT, "%s: %s is no tensor of a GPT-2", f->map.path, from->name);
    weight_parse(name, &id);
    *to = (struct container_tensor){.name = name,
                                    .dtype = from->type->dtype,
                                    .n_dims = from->n_dims,
                                    .turned = weight_is_conv1d(id.part) && from->n_dims == 2,
                                    .blocks = from->type->codes ? from->type : NULL,
                                    .data = from->data,
                                    .size = from->size};
    for (int i = 0; i < from->n_dims; i++) to->shape[i] = from->ne[to->turned ? i : from->n_dims - 1 - i];
    return GPT2Q_OK;
}

static gpt2q_status open_tensors(struct container_file *file, gpt2q_error *err)
{
    gpt2q_config config;
    struct owner *o = mem_zalloc(sizeof *o);
    if (!o) return error_memory(err, file->path, sizeof *o);
    file->owner = o;
    gpt2q_status s = gguf_open(file->path, &o->gguf, err);
    if (!s) s = gguf_config(&o->gguf, &config, err); /* another architecture has other tensors */
    if (s) return s;
    const size_t n = o->gguf.n_tensors;
    file->tensors = mem_zarray(n, sizeof *file->tensors);
    o->names = mem_zarray(n, sizeof *o->names);
    if (!file->tensors || !o->names) return error_memory(err, "a list of tensors", n * sizeof *file->tensors);
    for (; !s && file->n_tensors < n; file->n_tensors += !s)
        s = describe(&o->gguf, &o->gguf.tensors[file->n_tensors], o->names[file->n_tensors],
                     &file->tensors[file->n_tensors], err);
    return s;
}

static const struct container_tensor *find(const struct container_file *file, const char *name)
{
    for (size_t i = 0; i < file->n_tensors; i++)
        if (!strcmp(file->tensors[i].name, name)) return &file->tensors[i];
    return NULL;
}

static void close_tensors(void *owner)
{
    struct owner *o = owner;
    gguf_close(&o->gguf);
    mem_free(o->names);
    mem_free(o);
}

const struct container_reader gguf_reader = {.name = "gguf",
                                             .recognizes = gguf_recognizes,
                                             .open = open_tensors,
                                             .find = find,
                                             .close = close_tensors};

const struct gguf_file *container_gguf(const struct container_file *file)
{
    return file->reader == &gguf_reader ? &((const struct owner *)file->owner)->gguf : NULL;
}
