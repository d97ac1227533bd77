/* A .gpt2q file as a container, for whoever turns one model into another: matrices lie in panels, all other weights are floats under
 * any scheme. Commands that run a model map such a file themselves (gpt2q_read.h). */
#include "model/container_gpt2q.h"
#include "base/memory.h"
#include "model/weights_names.h"
#include "model/gpt2q_read.h"
#include <string.h>

struct gpt2q_owner {
    struct gpt2_weights weights;
    char (*names)[WEIGHT_NAME_MAX];
};

static void describe(struct gpt2q_owner *o, struct weight_id id, char name[WEIGHT_NAME_MAX],
                     struct container_tensor *to)
{
    const bool matrix = weight_is_matrix(id.part);
    int rows, cols;
    *to = (struct container_tensor){.name = weight_print(id, name), .dtype = ST_F32, .copied = true};
    to->n_dims = weight_shape(&o->weights.config, id.part, to->shape);
    weight_rows_cols(&o->weights.config, id.part, &rows, &cols);
    if (matrix) {
        to->panels = weight_matrix(&o->weights, id);
        to->turned = weight_is_conv1d(id.part);
        to->data = to->panels->codes, to->size = to->panels->bytes;
    } else {
        to->data = (const uint8_t *)*weight_floats(&o->weights, id);
        to->size = (size_t)rows * (size_t)cols * sizeof(float);
    }
}

static gpt2q_status list_tensors(struct container_file *file, struct gpt2q_owner *o, gpt2q_error *err)
{
    const struct gpt2_weights *w = &o->weights;
    const size_t n = weight_slots(&w->config);
    file->tensors = mem_zarray(n, sizeof *file->tensors);
    o->names = mem_zarray(n, sizeof *o->names);
    if (!file->tensors || !o->names) return error_memory(err, "a list of tensors", n * sizeof *file->tensors);
    for (size_t i = 0; i < n; i++) {
        const struct weight_id id = weight_at(&w->config, i);
        if (id.part == PART_LM_HEAD && w->lm_head_is_wte) continue;
        describe(o, id, o->names[file->n_tensors], &file->tensors[file->n_tensors]);
        file->n_tensors++;
    }
    return GPT2Q_OK;
}

static gpt2q_status open_tensors(struct container_file *file, gpt2q_error *err)
{
    struct gpt2q_file f;
    struct gpt2q_owner *o = mem_zalloc(sizeof *o);
    if (!o) return error_memory(err, file->path, sizeof *o);
    file->owner = o;
    gpt2q_status s = gpt2q_file_open(file->path, &f, err);
    if (!s) s = gpt2q_file_weights(&f, &o->weights, err);
    gpt2q_file_close(&f);
    return s ? s : list_tensors(file, o, err);
}

static const struct container_tensor *find(const struct container_file *file, const char *name)
{
    for (size_t i = 0; i < file->n_tensors; i++)
        if (!strcmp(file->tensors[i].name, name)) return &file->tensors[i];
    return NULL;
}

static gpt2q_status check(const struct container_file *file, gpt2q_error *err)
{
    return gpt2q_checksum_check(&((const struct gpt2q_owner *)file->owner)->weights.files[0], err);
}

static void close_tensors(void *owner)
{
    struct gpt2q_owner *o = owner;
    weights_free(&o->weights);
    mem_free(o->names);
    mem_free(o);
}

/* It is asked for by name, and no file is recognized as one: bytes alone do not tell it from another safetensors file. */
static const struct container_reader gpt2q_reader = {
    .name = "gpt2q", .open = open_tensors, .find = find, .check = check, .close = close_tensors};

gpt2q_status container_open_gpt2q(const char *path, struct container *out, gpt2q_error *err)
{
    *out = (struct container){.files = mem_zarray(1, sizeof *out->files)};
    if (!out->files) return error_memory(err, "a table of files", sizeof *out->files);
    out->n_files = 1;
    out->files[0] = (struct container_file){.path = mem_strdup(path), .reader = &gpt2q_reader};
    gpt2q_status s =
        out->files[0].path ? open_tensors(&out->files[0], err) : error_memory(err, path, strlen(path));
    if (s) container_close(out);
    return s;
}

const struct gpt2_weights *container_gpt2q(const struct container_file *file)
{
    return file->reader == &gpt2q_reader ? &((const struct gpt2q_owner *)file->owner)->weights : NULL;
}
