/* Sizes and places of what a product needs of its input. */
#include "qtensor/qinput.h"
#include "base/checked.h"
#include "base/memory.h"
#include "kernels/core.h"
#include "qtensor/pair_sums.h"

bool qinput_needs_prepare(const struct qtensor *w, enum activations kind)
{
    return scheme_has_codes(w->scheme) &&
           (kind != ACTIVATIONS_F32 || w->scheme.gran == QG_INPUT || scheme_zero(w->scheme) != QZERO_NONE);
}

/* The next `bytes` of memory (NULL: none), rounded up to 64. */
static void *take(char *memory, size_t *used, size_t bytes)
{
    void *p = memory ? memory + *used : NULL;
    *used += round_up(bytes, MEM_ALIGN);
    return p;
}

size_t qinput_layout(struct qinput *x, const struct qtensor *w, enum activations kind, int n, void *memory)
{
    struct scheme s = w->scheme;
    if (!format_facts[s.format].takes_codes)
        kind = ACTIVATIONS_F32; /* a matrix of floats among codes takes no codes of inputs */
    size_t used = 0, rows = (size_t)n, cols = (size_t)w->cols;
    size_t groups = s.gran == QG_GROUP ? cols / (size_t)s.group : 1, stride = round_up(cols, 64);
    struct qinput out = {.n = n, .cols = w->cols, .end = n, .kind = kind};
    if (x) {
        out.f32 = x->f32, out.stride = x->stride;
        out.fixed_scale = x->fixed_scale, out.threshold = x->threshold;
    }
    if (out.threshold > 0.0f && kind != ACTIVATIONS_F32) {
        out.rest = take(memory, &used, rows * cols * sizeof(float));
        out.outliers = take(memory, &used, rows * (cols + 1) * sizeof(int32_t));
    }
    if (qinput_needs_prepare(w, kind)) {
        if (s.gran == QG_INPUT) out.scaled = take(memory, &used, rows * cols * sizeof(float));
        if (scheme_zero(s) != QZERO_NONE) out.sums = take(memory, &used, rows * groups * sizeof(float));
    }
    if (kind != ACTIVATIONS_F32) {
        void *codes = take(memory, &used, 2 * (n == 1 ? 1 : round_up(rows, QINPUT_ROWS)) * stride);
        out.wide = codes;
        out.free_sums = core_adds_for_free();
        out.slab = qtensor_slab(w);
        out.hi = codes;
        if (memory && kind == ACTIVATIONS_I16) out.lo = out.hi + rows * stride;
        const int wide = WIDE_SUMS * qtensor_pieces(w, kind), pairs = PAIR_SUMS * pair_pieces(w);
        out.code_sums = take(memory, &used, rows * (size_t)(wide > pairs ? wide : pairs) * sizeof(int32_t));
        out.code_scale = take(memory, &used, rows * sizeof(float));
    }
    if (x && memory) *x = out;
    return used;
}
