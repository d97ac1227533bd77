#include "study/weight_errors.h"
#include "base/memory.h"
#include "model/weights_names.h"
#include "quant/isa.h"
#include <math.h>
#include <string.h>

/* A tensor of a loaded model, row by row. */
struct held {
    const struct qtensor *matrix; /* or */
    const float *floats;
    const struct format_ops *formats;
    size_t rows, cols;
};

/* `weights` is a copy of the model's: names are bound to places that only building changes. */
static bool find_held(struct gpt2_weights *weights, const struct format_ops *formats,
                      const struct tensor_info *info, struct held *out)
{
    struct weight_id id;
    if (weight_parse(info->name, &id) != NAME_WEIGHT) return false;
    *out = (struct held){.formats = formats, .rows = 1, .cols = 1};
    if (weight_is_matrix(id.part)) {
        out->matrix = weight_matrix(weights, id);
        out->rows = (size_t)out->matrix->rows;
        out->cols = (size_t)out->matrix->cols;
    } else {
        out->floats = *weight_floats(weights, id);
        out->cols = (size_t)info->shape[info->n_dims - 1];
        if (info->n_dims == 2) out->rows = (size_t)info->shape[0];
    }
    return true;
}

static void read_row(const struct held *h, size_t row, float *out)
{
    if (h->matrix)
        h->formats[h->matrix->scheme.format].dequantize_row(h->matrix, (int)row, out);
    else
        memcpy(out, h->floats + row * h->cols, h->cols * sizeof *out);
}

static void measure(const struct held *reference, const struct held *model, float *a, float *b,
                    struct weight_error *e)
{
    double squares = 0, lost = 0, sum = 0, most = 0, peak = 0,
           count = (double)reference->rows * (double)reference->cols;
    for (size_t r = 0; r < reference->rows; r++) {
        read_row(reference, r, a);
        read_row(model, r, b);
        for (size_t c = 0; c < reference->cols; c++) {
            double w = (double)a[c], d = fabs(w - (double)b[c]);
            squares += w * w;
            lost += d * d;
            sum += d;
            most = d > most ? d : most;
            peak = fabs(w) > peak ? fabs(w) : peak;
        }
    }
    e->relative_error = lost == 0 ? 0 : sqrt(lost / squares);
    e->mean_error = sum / count;
    e->max_error = most;
    e->largest = peak;
    e->peak = squares == 0 ? 0 : peak / sqrt(squares / count);
}

static size_t widest(const struct gpt2_weights *w)
{
    size_t most = 1;
    for (size_t i = 0; i < w->n_tensors; i++)
        for (int d = 0; d < w->tensors[i].n_dims; d++)
            if (w->tensors[i].shape[d] > most) most = (size_t)w->tensors[i].shape[d];
    return most;
}

static const struct format_ops *formats_of(const gpt2q_model *model)
{
    const struct isa *isa;
    return isa_choose(gpt2q_model_isa(model), &isa, NULL) ? NULL : isa->formats;
}

static const struct tensor_info *info_named(const struct gpt2_weights *w, const char *name)
{
    for (size_t i = 0; i < w->n_tensors; i++)
        if (!strcmp(w->tensors[i].name, name)) return &w->tensors[i];
    return NULL;
}

gpt2q_status weight_errors(const gpt2q_model *reference, const gpt2q_model *model, struct weight_error **out,
                           size_t *n, gpt2q_error *err)
{
    struct gpt2_weights before = *model_weights(reference), after = *model_weights(model);
    const struct format_ops *formats = formats_of(model);
    size_t width = widest(&before);
    float *rows = mem_array(2 * width, sizeof *rows);
    *n = 0;
    *out = mem_zarray(after.n_tensors, sizeof **out);
    if (!rows || !*out || !formats) {
        mem_free(rows);
        mem_free(*out);
        *out = NULL;
        return error_memory(err, "the errors of weights", 2 * width * sizeof *rows);
    }
    for (size_t i = 0; i < after.n_tensors; i++) {
        const struct tensor_info *own = &after.tensors[i], *theirs = info_named(&before, own->name);
        struct held a, b;
        if (!theirs || !find_held(&before, formats, theirs, &a) || !find_held(&after, formats, own, &b))
            continue;
        struct weight_error *e = &(*out)[(*n)++];
        *e = (struct weight_error){.name = theirs->name, .scheme = own->scheme, .bytes = own->bytes};
        measure(&a, &b, rows, rows + width, e);
    }
    mem_free(rows);
    return GPT2Q_OK;
}

/* ---- histograms ---- */

/* The code of (row, k) from the layouts of qtensor.h, counted from the least. */
static int code_at(const struct qtensor *w, size_t row, size_t k)
{
    const uint8_t *panel = w->codes + row / PANEL * w->panel_bytes;
    size_t lane = row % PANEL;
    if (w->scheme.format == QF_I8) return panel[(k / 4 * PANEL + lane) * 4 + k % 4];
    uint8_t pair = panel[(k / 8 * PANEL + lane) * 4 + k % 4];
    return k % 8 < 4 ? pair & 15 : pair >> 4;
}

static void count_codes(const struct qtensor *w, struct weight_histogram *h)
{
    if (!scheme_is_integer(w->scheme)) return;
    h->n_codes = 1 << scheme_bits(w->scheme);
    for (size_t r = 0; r < (size_t)w->rows; r++)
        for (size_t k = 0; k < (size_t)w->cols; k++) h->codes[code_at(w, r, k)]++;
    for (int i = 0; i < h->n_codes; i++) {
        h->codes_used += h->codes[i] > 0;
        if (h->codes[i] > h->most_on_a_code) h->most_on_a_code = h->codes[i];
    }
}

bool weight_histogram(const gpt2q_model *model, const char *name, double lo, double hi,
                      struct weight_histogram *out)
{
    struct gpt2_weights weights = *model_weights(model);
    const struct tensor_info *info = info_named(&weights, name);
    const struct format_ops *formats = formats_of(model);
    struct held h;
    *out = (struct weight_histogram){.lo = lo, .hi = hi};
    if (!info || !formats || !find_held(&weights, formats, info, &h) || !h.matrix || !(hi > lo)) return false;
    float *row = mem_array(h.cols, sizeof *row);
    if (!row) return false;
    for (size_t r = 0; r < h.rows; r++) {
        read_row(&h, r, row);
        for (size_t c = 0; c < h.cols; c++) {
            double bin = ((double)row[c] - lo) / (hi - lo) * HISTOGRAM_BINS;
            out->values[bin < 0 ? 0 : bin >= HISTOGRAM_BINS ? HISTOGRAM_BINS - 1 : (int)bin]++;
        }
    }
    out->count = (uint64_t)h.rows * h.cols;
    count_codes(h.matrix, out);
    mem_free(row);
    return true;
}
