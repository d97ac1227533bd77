/* The numbers of a container's tensors as floats. */
#include "base/memory.h"
#include "model/container.h"
#include "model/gguf_types.h"
#include "qtensor/isa.h"
#include <math.h>
#include <string.h>

bool container_equal(const struct container_tensor *a, const struct container_tensor *b)
{
    if (a->panels || b->panels) return false; /* such a file says itself whether its head is wte */
    return a->dtype == b->dtype && a->blocks == b->blocks && a->turned == b->turned && a->size == b->size &&
           !memcmp(a->data, b->data, a->size);
}

bool container_needs_floats(const struct container_tensor *t)
{
    return t->blocks || t->panels || t->dtype == ST_F64;
}

const char *container_type_name(const struct container_tensor *t)
{
    if (t->panels) return format_facts[t->panels->scheme.format].dtype;
    return t->blocks ? t->blocks->name : st_dtype_name(t->dtype);
}

/* Narrows doubles. NaN and infinity stay, for callers that refuse them by name. */
static gpt2q_status narrow(const struct container_tensor *t, const char *file, float *values, size_t n,
                           gpt2q_error *err)
{
    for (size_t i = 0; i < n; i++) {
        double v;
        memcpy(&v, t->data + i * sizeof v, sizeof v);
        values[i] = (float)v;
        if (isinf(values[i]) && !isinf(v))
            return error_set(err, GPT2Q_FORMAT, "%s: %s holds %g, beyond the range of a float", file, t->name,
                             v);
    }
    return GPT2Q_OK;
}

static gpt2q_status decode(const struct container_tensor *t, const char *file, float *values, size_t n,
                           gpt2q_error *err)
{
    const size_t each = (size_t)t->blocks->values;
    for (size_t i = 0; i < n / each; i++, values += each) {
        float sum = 0.0f; /* 0 * x is 0 unless x is not finite; then the sum is NaN */
        gguf_decode(t->blocks, t->data + i * (size_t)t->blocks->bytes, values);
        for (size_t k = 0; k < each; k++) sum += 0.0f * values[k];
        if (sum != 0.0f)
            return error_set(err, GPT2Q_FORMAT, "%s: block %zu of %s stands for numbers that are not finite",
                             file, i, t->name);
    }
    return GPT2Q_OK;
}

/* The rows of a matrix, by the definition. */
static gpt2q_status dequantize(const struct container_tensor *t, const char *file, float *values, size_t n,
                               gpt2q_error *err)
{
    const struct qtensor *w = t->panels;
    (void)n;
    for (int r = 0; r < w->rows; r++) {
        float sum = 0.0f, *row = values + (size_t)r * (size_t)w->cols;
        isa_at(0)->formats[w->scheme.format].dequantize_row(w, r, row);
        for (int k = 0; k < w->cols; k++) sum += 0.0f * row[k];
        if (sum != 0.0f)
            return error_set(err, GPT2Q_FORMAT, "%s: output %d of %s holds a number that is not finite", file,
                             r, t->name);
    }
    return GPT2Q_OK;
}

gpt2q_status container_floats(const struct container_tensor *t, const char *file, float **out,
                              gpt2q_error *err)
{
    const size_t n = t->panels   ? (size_t)t->panels->rows * (size_t)t->panels->cols
                     : t->blocks ? t->size / (size_t)t->blocks->bytes * (size_t)t->blocks->values
                                 : t->size / sizeof(double);
    float *values = mem_array(n, sizeof *values);
    *out = NULL;
    if (!values) return error_memory(err, t->name, n * sizeof *values);
    gpt2q_status s = (t->panels ? dequantize : t->blocks ? decode : narrow)(t, file, values, n, err);
    if (s)
        mem_free(values);
    else
        *out = values;
    return s;
}
