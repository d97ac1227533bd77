#include "study/weight_errors.h"
#include "base/memory.h"
#include "qtensor/dequantize.h"
#include <math.h>
#include <string.h>

/* A tensor of a loaded model. */
struct held {
    struct weight_id id;
    const struct qtensor *matrix; /* or */
    const float *floats;
    size_t n; /* of floats */
};

/* `weights` is a copy of the model's: only building may change the places that names are bound to. */
static bool find_held(struct gpt2_weights *weights, const struct tensor_info *info, struct held *out)
{
    struct weight_id id;
    if (weight_parse(info->name, &id) != NAME_WEIGHT) return false;
    *out = (struct held){.id = id, .n = 1};
    if (weight_is_matrix(id.part))
        out->matrix = weight_matrix(weights, id);
    else
        out->floats = *weight_floats(weights, id);
    for (int d = 0; d < info->n_dims; d++) out->n *= (size_t)info->shape[d];
    return true;
}

/* A vector without the factors that were folded into it. */
static struct tensor_errors unfolded_errors(const float *before, const float *after, const float *factors,
                                            size_t n)
{
    float rest[PANEL];
    struct tensor_errors t = {0};
    for (size_t i = 0, k; i < n; i += k) {
        k = n - i < PANEL ? n - i : PANEL;
        for (size_t j = 0; j < k; j++) rest[j] = after[i + j] / factors[i + j];
        t = tensor_errors_join(t, values_errors(before + i, rest, k));
    }
    return t;
}

static void measure(const struct held *reference, const struct held *model, struct unfolding u,
                    struct weight_error *e)
{
    struct tensor_errors t;
    if (model->matrix)
        t = tensor_errors_between(reference->matrix, model->matrix, u);
    else
        t = u.outputs ? unfolded_errors(reference->floats, model->floats, u.outputs, model->n)
                      : values_errors(reference->floats, model->floats, model->n);
    e->relative_error = t.relative_error;
    e->mean_error = t.mean_error;
    e->max_error = t.max_error;
    e->largest = t.largest;
    e->peak = t.reference2 == 0 ? 0 : t.largest / sqrt(t.reference2 / t.n);
}

static const struct tensor_info *info_named(const struct gpt2_weights *w, const char *name)
{
    for (size_t i = 0; i < w->n_tensors; i++)
        if (!strcmp(w->tensors[i].name, name)) return &w->tensors[i];
    return NULL;
}

gpt2q_status weight_errors(const gpt2q_model *reference, const gpt2q_model *model,
                           const struct folding *folded, struct weight_error **out, size_t *n,
                           gpt2q_error *err)
{
    struct gpt2_weights before = *model_weights(reference), after = *model_weights(model);
    *n = 0;
    *out = mem_zarray(after.n_tensors, sizeof **out);
    if (!*out) return error_memory(err, "the errors of weights", after.n_tensors * sizeof **out);
    for (size_t i = 0; i < after.n_tensors; i++) {
        const struct tensor_info *own = &after.tensors[i], *theirs = info_named(&before, own->name);
        struct held a, b;
        if (!theirs || !find_held(&before, theirs, &a) || !find_held(&after, own, &b)) continue;
        struct weight_error *e = &(*out)[(*n)++];
        *e = (struct weight_error){.name = theirs->name, .scheme = own->scheme, .bytes = own->bytes};
        e->bits = 8 * (double)own->bytes / (double)b.n;
        measure(&a, &b, folding_of_weight(folded, b.id), e);
    }
    return GPT2Q_OK;
}

/* ---- histograms ---- */

static void count_codes(const struct qtensor *w, struct weight_histogram *h)
{
    if (!scheme_has_codes(w->scheme)) return;
    h->n_codes = 1 << scheme_bits(w->scheme);
    for (size_t r = 0; r < (size_t)w->rows; r++)
        for (size_t k = 0; k < (size_t)w->cols; k++) h->codes[qtensor_stored_code(w, (int)r, (int)k)]++;
    for (int i = 0; i < h->n_codes; i++) {
        h->codes_used += h->codes[i] > 0;
        if (h->codes[i] > h->most_on_a_code) h->most_on_a_code = h->codes[i];
    }
}

/* The bin of x over [lo, hi]. Values beyond an end are in the bin at that end. */
static size_t bin_of(double x, double lo, double hi)
{
    double bin = hi > lo ? (x - lo) / (hi - lo) * WEIGHT_BINS : WEIGHT_BINS / 2;
    return !(bin >= 0) ? 0 : bin >= WEIGHT_BINS ? WEIGHT_BINS - 1 : (size_t)bin;
}

/* Walks over two matrices of one shape: finds the largest error, or counts. */
static void walk_both(const struct qtensor *reference, const struct qtensor *w, bool counting,
                      struct weight_histogram *h)
{
    enum { STEP = 64 };
    float before[STEP * PANEL], after[STEP * PANEL];
    for (int p = 0; p < qtensor_panels(w); p++) {
        int outputs = w->rows - p * PANEL < PANEL ? w->rows - p * PANEL : PANEL;
        for (int k0 = 0; k0 < w->cols; k0 += STEP) {
            int n = w->cols - k0 < STEP ? w->cols - k0 : STEP;
            dequantize_panel(reference, p, k0, k0 + n, before);
            dequantize_panel(w, p, k0, k0 + n, after);
            for (int i = 0; i < n * PANEL; i++) {
                double error = (double)before[i] - (double)after[i];
                if (i % PANEL >= outputs) continue;
                if (!counting) {
                    h->reach = fmax(h->reach, fabs(error));
                    continue;
                }
                h->values[bin_of((double)after[i], h->lo, h->hi)]++;
                h->errors[bin_of(error, -h->reach, h->reach)]++;
            }
        }
    }
}

static bool find_matrix(struct gpt2_weights *weights, const char *name, struct held *out)
{
    const struct tensor_info *info = info_named(weights, name);
    return info && find_held(weights, info, out) && out->matrix;
}

bool weight_histogram(const gpt2q_model *reference, const gpt2q_model *model, const char *name, double lo,
                      double hi, struct weight_histogram *out)
{
    struct gpt2_weights before = *model_weights(reference), after = *model_weights(model);
    struct held a, b;
    *out = (struct weight_histogram){.lo = lo, .hi = hi};
    if (!find_matrix(&before, name, &a) || !find_matrix(&after, name, &b) || !(hi > lo)) return false;
    walk_both(a.matrix, b.matrix, false, out);
    walk_both(a.matrix, b.matrix, true, out);
    count_codes(b.matrix, out);
    out->count = (uint64_t)b.matrix->rows * (uint64_t)b.matrix->cols;
    return true;
}
