/* Looks for values that are not finite, which the container lets pass. In a .gpt2q file it also checks
 * what opening takes on trust. */
#include "base/memory.h"
#include "kernels/half.h"
#include "model/gpt2q_check.h"
#include "model/gpt2q_read.h"
#include "model/gpt2q_tokenizer.h"
#include "quantize/inventory.h"
#include <inttypes.h>
#include <math.h>
#include <string.h>

/* The first of n elements whose exponent bits are all ones; n if there is none. The search looks through
 * whole blocks, so that the compiler can use vectors. */
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

static size_t find_special(const struct container_tensor *t, size_t n)
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
static double value_at(const struct container_tensor *t, size_t i)
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

static gpt2q_status check_values(const char *file, const struct container_tensor *t, gpt2q_error *err)
{
    if (t->blocks) { /* decoding refuses what is not finite */
        float *floats;
        gpt2q_status s = container_floats(t, file, &floats, err);
        mem_free(floats);
        return s;
    }
    size_t n = t->size / ((size_t)st_dtype_bits(t->dtype) < 8 ? 1 : (size_t)st_dtype_bits(t->dtype) / 8);
    size_t at = find_special(t, n);
    if (at == n) return GPT2Q_OK;
    double value = value_at(t, at);
    uint64_t index[ST_MAX_DIMS] = {0};
    for (int i = t->n_dims; i-- > 0; at /= t->shape[i]) index[i] = at % t->shape[i];
    char text[24 * ST_MAX_DIMS + 1] = "", *end = text;
    for (int i = 0; i < t->n_dims; i++) end += snprintf(end, 24, "%s%" PRIu64, i ? ", " : "", index[i]);
    return error_set(err, GPT2Q_FORMAT, "%s: %s holds %s at [%s]", file, t->name,
                     isnan(value) ? "NaN"
                     : value < 0  ? "-infinity"
                                  : "infinity",
                     text);
}

static gpt2q_status check_file(const struct safetensors *st, gpt2q_error *err)
{
    gpt2q_status s = GPT2Q_OK;
    for (size_t i = 0; i < st->n_tensors && !s; i++) {
        const struct container_tensor t = container_tensor_of(&st->tensors[i]);
        s = check_values(st->map.path, &t, err);
    }
    return s;
}

static gpt2q_status check_container(const struct container_file *file, gpt2q_error *err)
{
    gpt2q_status s = file->reader->check ? file->reader->check(file, err) : GPT2Q_OK;
    for (size_t i = 0; i < file->n_tensors && !s; i++) s = check_values(file->path, &file->tensors[i], err);
    return s;
}

static gpt2q_status check_gpt2q(const struct inventory *v, gpt2q_error *err)
{
    struct gpt2_weights w = v->weights;
    gpt2q_status s = gpt2q_checksum_check(&w.files[0], err);
    if (!s) s = check_file(&w.files[0], err);
    if (!s) s = gpt2q_tokenizer_check(&w.files[0], err);
    for (size_t i = 0; i < v->n_tensors && !s; i++) {
        const struct inventory_tensor *t = &v->tensors[i];
        if (weight_is_matrix(t->id.part))
            s = qtensor_check_codes(weight_matrix(&w, t->id), t->file, t->name, err);
    }
    return s;
}

gpt2q_status inventory_check(const struct inventory *v, gpt2q_error *err)
{
    if (v->kind == INVENTORY_GPT2Q) return check_gpt2q(v, err);
    gpt2q_status s = GPT2Q_OK;
    for (size_t i = 0; i < v->container.n_files && !s; i++) s = check_container(&v->container.files[i], err);
    return s;
}
