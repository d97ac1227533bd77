/* What a scheme would do to the tensors of an inventory. */
#include "base/memory.h"
#include "model/weights_build.h"
#include "model/weights_schemes.h"
#include "quantize/inventory.h"
#include "quantize/parameters.h"
#include "quantize/quantizer.h"
#include <limits.h>

bool inventory_source(const struct inventory_tensor *t, bool turn, const float *floats, struct qsource *out)
{
    if (!t->stored || !t->elements || t->elements > INT_MAX) return false;
    uint64_t cols = t->n_dims ? t->shape[t->n_dims - 1] : 1, rows = t->elements / cols;
    *out = (struct qsource){.name = t->name,
                            .data = floats ? (const void *)floats : t->stored->data,
                            .rows = (int)rows,
                            .cols = (int)cols};
    switch (floats ? ST_F32 : t->stored->dtype) {
    case ST_F32: out->dtype = DT_F32; break;
    case ST_F16: out->dtype = DT_F16; break;
    case ST_BF16: out->dtype = DT_BF16; break;
    default: return false;
    }
    const bool conv1d = t->is_weight && weight_is_conv1d(t->id.part) && t->n_dims == 2;
    if (conv1d && turn) weight_shape_rows_cols(t->id.part, 2, t->shape, &out->rows, &out->cols);
    weights_strides(out, conv1d && turn != t->stored->turned);
    return true;
}

/* Computes the bytes of a tensor without data. */
static gpt2q_status size_only(struct inventory_tensor *t, gpt2q_error *err)
{
    struct qtensor_layout layout;
    char scheme[SCHEME_TEXT_MAX];
    int rows, cols;
    if (!weight_is_matrix(t->id.part)) {
        t->bytes = t->scheme.format == QF_F32 ? t->elements * sizeof(float) : t->elements + 2 * sizeof(float);
        return GPT2Q_OK;
    }
    weight_shape_rows_cols(t->id.part, 2, t->shape, &rows, &cols);
    if (!qtensor_layout(t->scheme, rows, cols, &layout))
        return error_set(err, GPT2Q_INVALID_ARGUMENT, "%s: %s does not fit its %d outputs by %d inputs",
                         t->name, scheme_print(t->scheme, scheme), rows, cols);
    t->bytes = qtensor_layout_bytes(&layout);
    return GPT2Q_OK;
}

static gpt2q_status measure(struct inventory_tensor *t, const struct quantize_run *run, gpt2q_error *err)
{
    struct qsource src;
    struct quantized q;
    float *floats = NULL;
    if (!t->stored) return size_only(t, err);
    gpt2q_status s =
        container_needs_floats(t->stored) ? container_floats(t->stored, t->file, &floats, err) : GPT2Q_OK;
    if (!s && !inventory_source(t, true, floats, &src))
        s = error_set(err, GPT2Q_UNSUPPORTED,
                      "%s: %s is of dtype %s and cannot be quantized; F32, F16 and BF16 can", t->file,
                      t->name, t->dtype);
    if (!s) s = quantized_create(&src, t->scheme, weight_is_matrix(t->id.part), run, &q, err);
    mem_free(floats);
    if (s) return s;
    t->measured = true;
    t->bytes = q.bytes_after;
    t->errors = q.errors;
    t->one_scale = scheme_has_codes(t->scheme) && t->scheme.gran == QG_TENSOR;
    if (t->one_scale && q.is_matrix)
        parameter_counted(&q.matrix, 0, &t->scale, &t->zero);
    else if (t->one_scale)
        t->scale = q.scale, t->zero = q.min;
    quantized_free(&q);
    return GPT2Q_OK;
}

gpt2q_status inventory_quantize(struct inventory *v, struct scheme scheme, const struct quantize_run *run,
                                gpt2q_error *err)
{
    size_t n = 0;
    if (v->kind == INVENTORY_GPT2Q)
        return error_set(err, GPT2Q_INVALID_ARGUMENT, "%s: is quantized already; inspect the original model",
                         v->weights.files[0].map.path);
    for (size_t i = 0; i < v->n_tensors; i++)
        if (v->tensors[i].is_weight) v->tensors[n++] = v->tensors[i];
    v->n_tensors = n;
    v->bytes = 0;
    v->quantized = true;
    for (size_t i = 0; i < n; i++) {
        struct inventory_tensor *t = &v->tensors[i];
        t->scheme = weight_scheme(t->id.part, scheme);
        t->has_scheme = true;
        gpt2q_status s = measure(t, run, err);
        if (s) return s;
        v->bytes += t->bytes;
    }
    return GPT2Q_OK;
}
