/* Listing is more tolerant than loading: what a GPT-2 does not know is listed, what it lacks is not missed. A
 * file that is no valid safetensors container is refused all the same. */
#include "quantize/inventory.h"
#include "base/memory.h"
#include "kernels/half.h"
#include "model/config.h"
#include <inttypes.h>
#include <math.h>
#include <string.h>

#define MAX_CONFIG ((size_t)1 << 20)

/* ---- opening ---- */

static uint64_t count_elements(const uint64_t *shape, int n_dims)
{
    uint64_t n = 1;
    for (int i = 0; i < n_dims; i++) n *= shape[i];
    return n;
}

static void list_tensor(struct inventory *v, const struct safetensors *file, const struct st_tensor *t)
{
    struct inventory_tensor *item = &v->tensors[v->n_tensors++];
    bool directory = v->kind == INVENTORY_HUGGINGFACE;
    *item = (struct inventory_tensor){.name = directory ? weight_strip(t->name) : t->name,
                                      .dtype = st_dtype_name(t->dtype),
                                      .n_dims = t->n_dims,
                                      .elements = count_elements(t->shape, t->n_dims),
                                      .bytes = t->size,
                                      .stored = t,
                                      .file = file->map.path};
    memcpy(item->shape, t->shape, sizeof item->shape);
    item->is_weight = weight_parse(weight_strip(t->name), &item->id) == NAME_WEIGHT;
    v->bytes += item->bytes;
    if (item->is_weight || !directory) v->parameters += item->elements;
}

static void uncount_equal_head(struct inventory *v)
{
    const struct inventory_tensor *head = inventory_find(v, "lm_head.weight");
    const struct inventory_tensor *wte = inventory_find(v, "wte.weight");
    if (!head || !wte || head->bytes != wte->bytes || head->stored->dtype != wte->stored->dtype) return;
    if (memcmp(head->stored->data, wte->stored->data, wte->bytes) == 0) v->parameters -= head->elements;
}

static gpt2q_status list_files(struct inventory *v, gpt2q_error *err)
{
    size_t n = 0;
    for (size_t f = 0; f < v->checkpoint.n_files; f++) n += v->checkpoint.files[f].n_tensors;
    v->tensors = mem_zarray(n, sizeof *v->tensors);
    if (!v->tensors) return error_memory(err, "a list of tensors", n * sizeof *v->tensors);
    for (size_t f = 0; f < v->checkpoint.n_files; f++) {
        const struct safetensors *file = &v->checkpoint.files[f];
        for (size_t i = 0; i < file->n_tensors; i++) list_tensor(v, file, &file->tensors[i]);
    }
    if (v->kind == INVENTORY_HUGGINGFACE) uncount_equal_head(v);
    return GPT2Q_OK;
}

static gpt2q_status read_config(const char *directory, struct inventory *v, gpt2q_error *err)
{
    char *path = path_join(directory, "config.json"), *text = NULL;
    if (!path) return error_memory(err, "a path", strlen(directory));
    size_t n;
    gpt2q_status s = file_read(path, MAX_CONFIG, &text, &n, err);
    if (!s) s = config_parse(text, n, path, &v->config, err);
    v->has_config = !s;
    mem_free(text);
    mem_free(path);
    return s;
}

static gpt2q_status open_file(const char *path, struct checkpoint *out, gpt2q_error *err)
{
    out->files = mem_zarray(1, sizeof *out->files);
    if (!out->files) return error_memory(err, "a table of files", sizeof *out->files);
    gpt2q_status s = safetensors_open(path, out->files, err);
    out->n_files = s ? 0 : 1;
    return s;
}

gpt2q_status inventory_open(const char *path, struct inventory *out, gpt2q_error *err)
{
    *out = (struct inventory){.kind = INVENTORY_SAFETENSORS};
    gpt2q_status s;
    if (file_is_directory(path)) {
        out->kind = INVENTORY_HUGGINGFACE;
        s = read_config(path, out, err);
        if (!s) s = checkpoint_open(path, &out->checkpoint, err);
    } else {
        s = open_file(path, &out->checkpoint, err);
    }
    if (!s) s = list_files(out, err);
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
        item->is_weight = true;
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
    checkpoint_close(&v->checkpoint);
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

/* ---- checking ---- */

/* First of n elements whose exponent bits are all ones, n if there is none. Looking through a block without
 * leaving it in the middle lets the compiler use vectors. */
#define FIND_SPECIAL(type, exponent)                                                                         \
    for (size_t begin = 0; begin < n; begin += BLOCK) {                                                      \
        size_t end = n - begin < BLOCK ? n : begin + BLOCK;                                                  \
        type special = 0;                                                                                    \
        for (size_t i = begin; i < end; i++) {                                                               \
            type u;                                                                                          \
            memcpy(&u, data + i * sizeof u, sizeof u);                                                       \
            special |= (type)((u & (exponent)) == (exponent));                                               \
        }                                                                                                    \
        for (size_t i = begin; special && i < end; i++) {                                                    \
            type u;                                                                                          \
            memcpy(&u, data + i * sizeof u, sizeof u);                                                       \
            if ((u & (exponent)) == (exponent)) return i;                                                    \
        }                                                                                                    \
    }                                                                                                        \
    return n

#define BLOCK ((size_t)4096)
static size_t find_special_16(const uint8_t *data, size_t n, uint16_t exponent)
{
    FIND_SPECIAL(uint16_t, exponent);
}
static size_t find_special_32(const uint8_t *data, size_t n, uint32_t exponent)
{
    FIND_SPECIAL(uint32_t, exponent);
}
static size_t find_special_64(const uint8_t *data, size_t n, uint64_t exponent)
{
    FIND_SPECIAL(uint64_t, exponent);
}

static size_t find_special(const struct st_tensor *t, size_t n)
{
    switch (t->dtype) {
    case ST_F16: return find_special_16(t->data, n, 0x7C00u);
    case ST_BF16: return find_special_16(t->data, n, 0x7F80u);
    case ST_F32: return find_special_32(t->data, n, 0x7F800000u);
    case ST_F64: return find_special_64(t->data, n, 0x7FF0000000000000u);
    default: return n;
    }
}

/* Element i of a float tensor. */
static double value_at(const struct st_tensor *t, size_t i)
{
    uint16_t half;
    float f;
    double d;
    const uint8_t *at = t->data + i * ((size_t)st_dtype_bits(t->dtype) / 8);
    if (t->dtype == ST_F64) return memcpy(&d, at, sizeof d), d;
    if (t->dtype == ST_F32) return memcpy(&f, at, sizeof f), (double)f;
    memcpy(&half, at, sizeof half);
    return (double)(t->dtype == ST_F16 ? float_from_f16(half) : float_from_bf16(half));
}

static gpt2q_status check_tensor(const struct inventory_tensor *t, gpt2q_error *err)
{
    size_t at = find_special(t->stored, t->elements);
    if (at == t->elements) return GPT2Q_OK;
    double value = value_at(t->stored, at);
    uint64_t index[ST_MAX_DIMS] = {0};
    for (int i = t->n_dims; i-- > 0; at /= t->shape[i]) index[i] = at % t->shape[i];
    char text[24 * ST_MAX_DIMS + 1] = "", *end = text;
    for (int i = 0; i < t->n_dims; i++) end += snprintf(end, 24, "%s%" PRIu64, i ? ", " : "", index[i]);
    return error_set(err, GPT2Q_FORMAT, "%s: %s holds %s at [%s]", t->file, t->name,
                     isnan(value) ? "NaN"
                     : value < 0  ? "-infinity"
                                  : "infinity",
                     text);
}

gpt2q_status inventory_check(const struct inventory *v, gpt2q_error *err)
{
    for (size_t i = 0; i < v->n_tensors; i++) {
        gpt2q_status s = v->tensors[i].stored ? check_tensor(&v->tensors[i], err) : GPT2Q_OK;
        if (s) return s;
    }
    return GPT2Q_OK;
}
