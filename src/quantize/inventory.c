/* Listing is more tolerant than loading: it lists tensors that GPT-2 does not know, and does not miss any.
 * A broken container is refused all the same. */
#include "quantize/inventory.h"
#include "base/memory.h"
#include "model/bindings.h"
#include "model/config.h"
#include "model/gguf_model.h"
#include "model/gpt2q_read.h"
#include <string.h>

/* ---- opening ---- */

static uint64_t count_elements(const uint64_t *shape, int n_dims)
{
    uint64_t n = 1;
    for (int i = 0; i < n_dims; i++) n *= shape[i];
    return n;
}

/* Finds the scheme in which a tensor is stored. For blocks it is the scheme that holds them exactly.
 * Returns false if there is none. */
static bool scheme_of(const struct inventory_tensor *item, struct scheme *out)
{
    const struct container_tensor *t = item->stored;
    if (t->blocks) {
        const int cols = (int)t->shape[t->turned ? 0 : t->n_dims - 1];
        *out = item->is_weight && weight_is_matrix(item->id.part)
                   ? gguf_exact_scheme(t->blocks, t->data, (size_t)item->elements, cols)
                   : (struct scheme){.format = QF_F32};
        return true;
    }
    static const enum st_dtype dtypes[] = {[QF_F32] = ST_F32, [QF_F16] = ST_F16, [QF_BF16] = ST_BF16};
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++) {
        *out = (struct scheme){.format = (enum qformat)i};
        if (t->dtype == dtypes[i]) return true;
    }
    return false;
}

static void list_tensor(struct inventory *v, const char *file, const struct container_tensor *t)
{
    struct inventory_tensor *item = &v->tensors[v->n_tensors++];
    bool directory = v->kind == INVENTORY_HUGGINGFACE;
    *item = (struct inventory_tensor){.name = directory ? weight_strip(t->name) : t->name,
                                      .dtype = container_type_name(t),
                                      .n_dims = t->n_dims,
                                      .elements = count_elements(t->shape, t->n_dims),
                                      .bytes = t->size,
                                      .stored = t,
                                      .file = file};
    memcpy(item->shape, t->shape, sizeof item->shape);
    const enum weight_name kind = weight_parse(weight_strip(t->name), &item->id);
    item->is_weight = kind == NAME_WEIGHT;
    item->is_left_out = directory && kind == NAME_OTHER;
    item->has_scheme = scheme_of(item, &item->scheme);
    v->bytes += item->bytes;
    if (item->is_weight || !directory) v->parameters += item->elements;
}

static void leave_out_equal_head(struct inventory *v)
{
    const struct container_tensor *head = bindings_equal_head(&v->container);
    for (size_t i = 0; i < v->n_tensors && head; i++) {
        struct inventory_tensor *item = &v->tensors[i];
        if (item->stored != head) continue;
        item->is_weight = false;
        v->parameters -= item->elements;
    }
}

static gpt2q_status list_files(struct inventory *v, gpt2q_error *err)
{
    size_t n = 0;
    for (size_t f = 0; f < v->container.n_files; f++) n += v->container.files[f].n_tensors;
    v->tensors = mem_zarray(n, sizeof *v->tensors);
    if (!v->tensors) return error_memory(err, "a list of tensors", n * sizeof *v->tensors);
    for (size_t f = 0; f < v->container.n_files; f++) {
        const struct container_file *file = &v->container.files[f];
        for (size_t i = 0; i < file->n_tensors; i++) list_tensor(v, file->path, &file->tensors[i]);
    }
    if (v->kind == INVENTORY_HUGGINGFACE) leave_out_equal_head(v);
    return GPT2Q_OK;
}

static gpt2q_status list_weights(struct inventory *v, gpt2q_error *err)
{
    const struct gpt2_weights *w = &v->weights;
    v->kind = INVENTORY_GPT2Q;
    v->has_config = true;
    v->config = w->config;
    v->parameters = w->parameters;
    v->bytes = w->bytes;
    v->tensors = mem_zarray(w->n_tensors, sizeof *v->tensors);
    if (!v->tensors) return error_memory(err, "a list of tensors", w->n_tensors * sizeof *v->tensors);
    for (; v->n_tensors < w->n_tensors; v->n_tensors++) {
        const struct tensor_info *info = &w->tensors[v->n_tensors];
        struct inventory_tensor *item = &v->tensors[v->n_tensors];
        *item = (struct inventory_tensor){.name = info->name,
                                          .dtype = info->dtype,
                                          .n_dims = info->n_dims,
                                          .bytes = info->bytes,
                                          .file = w->files[0].map.path,
                                          .has_scheme = true,
                                          .scheme = info->scheme};
        item->is_weight = weight_parse(info->name, &item->id) == NAME_WEIGHT;
        memcpy(item->shape, info->shape, sizeof info->shape);
        item->elements = count_elements(item->shape, item->n_dims);
    }
    return GPT2Q_OK;
}

/* The only file of the container, if it says that it is a .gpt2q. It is taken out of the container. */
static gpt2q_status open_gpt2q(struct inventory *v, gpt2q_error *err)
{
    struct gpt2q_file f;
    gpt2q_status s = gpt2q_file_from(container_safetensors(&v->container.files[0]), &f, err);
    if (!s) s = gpt2q_file_weights(&f, &v->weights, err);
    gpt2q_file_close(&f);
    return s ? s : list_weights(v, err);
}

/* A GGUF file is a whole model: it must bind, and its vocabulary must be right. */
static gpt2q_status open_gguf(struct inventory *v, const struct gguf_file *f, gpt2q_error *err)
{
    struct tokenizer *t = NULL;
    struct bindings b;
    gpt2q_status s = bindings_open(f->map.path, &b, err);
    if (s) return s;
    v->config = b.config;
    v->has_config = true;
    bindings_close(&b);
    s = gguf_tokenizer_open(f, &t, err);
    tokenizer_free(t);
    return s;
}

gpt2q_status inventory_open(const char *path, struct inventory *out, gpt2q_error *err)
{
    *out = (struct inventory){.kind = INVENTORY_SAFETENSORS};
    gpt2q_status s;
    if (file_is_directory(path)) {
        out->kind = INVENTORY_HUGGINGFACE;
        s = config_open(path, &out->config, err), out->has_config = !s;
        if (!s) s = container_open_directory(path, &out->container, err);
    } else {
        s = container_open_file(path, &out->container, err);
        const struct gguf_file *gguf = s ? NULL : container_gguf(&out->container.files[0]);
        if (gguf) s = open_gguf(out, gguf, err);
    }
    const struct safetensors *st =
        !s && out->container.n_files == 1 ? container_safetensors(&out->container.files[0]) : NULL;
    const bool quantized = st && out->kind == INVENTORY_SAFETENSORS && safetensors_is_gpt2q(st);
    if (!s) s = (quantized ? open_gpt2q : list_files)(out, err);
    if (s) inventory_close(out);
    return s;
}

gpt2q_status inventory_of_shape(const gpt2q_config *config, struct inventory *out, gpt2q_error *err)
{
    size_t n = weight_slots(config) - (config->tie_word_embeddings ? 1 : 0); /* lm_head is the last */
    *out = (struct inventory){.kind = INVENTORY_HUGGINGFACE, .has_config = true, .config = *config};
    out->tensors = mem_zarray(n, sizeof *out->tensors);
    out->names = mem_zarray(n, sizeof *out->names);
    if (!out->tensors || !out->names) {
        inventory_close(out);
        return error_memory(err, "a list of tensors", n * sizeof *out->tensors);
    }
    for (; out->n_tensors < n; out->n_tensors++) {
        struct inventory_tensor *item = &out->tensors[out->n_tensors];
        item->id = weight_at(config, out->n_tensors);
        item->name = weight_print(item->id, out->names[out->n_tensors]);
        item->is_weight = item->has_scheme = true; /* the scheme of zeros is f32 */
        item->dtype = "F32";
        item->n_dims = weight_shape(config, item->id.part, item->shape);
        item->elements = count_elements(item->shape, item->n_dims);
        item->bytes = item->elements * sizeof(float);
        out->parameters += item->elements;
        out->bytes += item->bytes;
    }
    return GPT2Q_OK;
}

void inventory_close(struct inventory *v)
{
    container_close(&v->container);
    weights_free(&v->weights);
    mem_free(v->tensors);
    mem_free(v->names);
    *v = (struct inventory){0};
}

const struct inventory_tensor *inventory_find(const struct inventory *v, const char *name)
{
    for (size_t i = 0; i < v->n_tensors; i++)
        if (!strcmp(weight_strip(v->tensors[i].name), weight_strip(name))) return &v->tensors[i];
    return NULL;
}

struct footprint inventory_footprint(const gpt2q_config *config, uint64_t parameters)
{
    uint64_t positions = (uint64_t)config->n_positions;
    uint64_t buffers = (uint64_t)config->n_layer * (positions * positions + 4);
    return (struct footprint){
        .f32 = 4 * parameters, .f32_with_masks = 4 * parameters + buffers, .notes = parameters + buffers};
}
