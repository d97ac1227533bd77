/* Sizes of a quantized tensor's parts and of what a product with it needs of its input. Owns no arithmetic on
 * weights.
 *
 * Refused: shapes whose sizes overflow, a group that does not divide the inputs, and integer schemes over
 * more than 65,536 inputs, so that an int32 sum of 255 * 128 per input is always exact. */
#include "base/checked.h"
#include "base/memory.h"
#include "qtensor/format.h"
#include <limits.h>

#define INTEGER_COLS_MAX 65536

void qtensor_free(struct qtensor *w)
{
    if (!w) return;
    mem_free(w->owned);
    *w = (struct qtensor){0};
}

int qtensor_stored_code(const struct qtensor *w, int row, int k)
{
    const uint8_t *lane =
        w->codes + (size_t)(row / PANEL) * w->panel_bytes + (size_t)(row % PANEL) * 4 + (size_t)(k % 4);
    if (w->scheme.format == QF_I8) return lane[(size_t)(k / 4) * (PANEL * 4)];
    int pair = lane[(size_t)(k / 8) * (PANEL * 4)];
    return k % 8 < 4 ? pair & 15 : pair >> 4;
}

static bool scales_layout(struct scheme s, size_t panels, int cols, size_t *bytes)
{
    size_t groups = s.gran == QG_GROUP ? (size_t)(cols / s.group) : 1;
    switch (s.gran) {
    case QG_TENSOR: *bytes = sizeof(float); return true;
    case QG_INPUT: *bytes = (size_t)cols * sizeof(float); return true;
    case QG_CHANNEL: return checked_mul(panels, PANEL * sizeof(float), bytes);
    default: return checked_mul(panels, groups * PANEL * sizeof(uint16_t), bytes);
    }
}

bool qtensor_layout(struct scheme s, int rows, int cols, struct qtensor_layout *out)
{
    static const size_t element[QF_COUNT] = {4, 2, 2};
    *out = (struct qtensor_layout){0};
    if (rows <= 0 || cols <= 0 || rows > INT_MAX - PANEL) return false;
    size_t panels = ((size_t)rows + PANEL - 1) / PANEL, k = (size_t)cols;
    if (!scheme_is_integer(s)) {
        if (!checked_mul(k, PANEL * element[s.format], &out->panel_bytes)) return false;
        return checked_mul(panels, out->panel_bytes, &out->codes_bytes);
    }
    if (cols > INTEGER_COLS_MAX) return false;
    if (s.gran == QG_GROUP && (s.group <= 0 || s.group % 8 != 0 || cols % s.group != 0)) return false;
    out->panel_bytes = s.format == QF_I8 ? round_up(k, 4) * PANEL : round_up(k, 8) / 2 * PANEL;
    if (!checked_mul(panels, out->panel_bytes, &out->codes_bytes)) return false;
    if (!scales_layout(s, panels, cols, &out->scale_bytes)) return false;
    out->zero_bytes = s.method == QM_ABSMAX ? 0 : out->scale_bytes;
    return true;
}

/* ---- the input of a product ---- */

bool qinput_needs_prepare(const struct qtensor *w, enum activations kind)
{
    return scheme_is_integer(w->scheme) &&
           (kind != ACTIVATIONS_F32 || w->scheme.gran == QG_INPUT || w->scheme.method != QM_ABSMAX);
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
    size_t used = 0, rows = (size_t)n, cols = (size_t)w->cols;
    size_t groups = s.gran == QG_GROUP ? cols / (size_t)s.group : 1, stride = round_up(cols, 64);
    struct qinput out = {.n = n, .cols = w->cols, .end = n, .kind = kind};
    if (x) out.f32 = x->f32, out.stride = x->stride;
    if (qinput_needs_prepare(w, kind)) {
        if (s.gran == QG_INPUT) out.scaled = take(memory, &used, rows * cols * sizeof(float));
        if (s.method != QM_ABSMAX) out.sums = take(memory, &used, rows * groups * sizeof(float));
    }
    if (kind != ACTIVATIONS_F32) {
        void *codes = take(memory, &used, 2 * (n == 1 ? 1 : round_up(rows, QINPUT_ROWS)) * stride);
        out.wide = codes;
        out.slab = qtensor_slab(w);
        out.hi = codes;
        if (memory && kind == ACTIVATIONS_I16) out.lo = out.hi + rows * stride;
        out.code_sums =
            take(memory, &used, rows * WIDE_SUMS * (size_t)qtensor_pieces(w, kind) * sizeof(int32_t));
        out.code_scale = take(memory, &used, rows * sizeof(float));
    }
    if (x && memory) *x = out;
    return used;
}
