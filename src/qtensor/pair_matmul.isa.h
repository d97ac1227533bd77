/* The products of codes with 16-bit activations for several rows, by the formulas of code_matmul.isa.h, instantiated by the
 * *.dot.isa.c of formats with codes through the constant `bits`.
 *
 * The codes of a panel are widened once for many rows, 32 outputs of PAIR_INPUTS inputs at a time, and pair_sums.dot.isa.c, the same
 * for all formats, does the rest. Codes of 8 bits are signed then, others as they are stored. */
#ifndef QTENSOR_PAIR_MATMUL_H
#define QTENSOR_PAIR_MATMUL_H
#include "qtensor/layout.isa.h"
#include "qtensor/pair_sums.h"
#include "qtensor/params.isa.h"
#include "qtensor/usual.isa.h"
#include "qtensor/wide.isa.h"

#define PAIR_ROWS 192 /* rows that share widened codes, at most */

struct pair_panel {
    _Alignas(64) int16_t codes[PAIR_INPUTS * 32];
    struct pair_params params[PAIR_GROUPS];
    union {
        float totals[PAIR_ROWS][PANEL];
        int32_t whole[2][PAIR_ROWS][PANEL]; /* high, low */
    };
};

/* Of quad q of the step at p: j = 0 inputs 0 and 2, j = 1 inputs 1 and 3. */
ALWAYS_INLINE vi pair_widened(const uint8_t *p, int q, int j, const int bits)
{
    const vc u = quad_stored(p, q, bits);
    return PRODUCT_BITS(bits) == 8 ? vi_widen_signed(u, j) : vi_widen(u, j);
}

/* Widens quad q of the step at p, of two vectors; those that are sums of pairs go into the sums of products. */
ALWAYS_INLINE void pair_quad(const uint8_t *p, int q, int16_t *to, vi products[2], bool sums, const int bits)
{
    for (int v = 0; v < 2; v++, to += 64) {
        const vi w02 = pair_widened(p + 64 * v, q, 0, bits), w13 = pair_widened(p + 64 * v, q, 1, bits);
        vi_store((int32_t *)(void *)to, w02);
        vi_store((int32_t *)(void *)(to + 32), w13);
        if (sums) products[v] = vi_dot_two(products[v], w02, w13);
    }
}

/* Widens `inputs` inputs of a piece of the two vectors at p, to whole pairs of quads, the even ones of which are sums of pairs if
 * `sums` says so. Returns where they end. */
ALWAYS_INLINE int16_t *pair_widen(const uint8_t *p, int inputs, int16_t *to, struct pair_params *params,
                                  bool sums, const int bits)
{
    vi products[2] = {vi_zero(), vi_zero()};
    int k = 0;
    if (LAYOUT_QUADS(bits) == 1) {
        for (; k + 8 <= inputs; k += 8, p += 2 * LAYOUT_STEP(bits), to += 256) {
            pair_quad(p, 0, to, products, sums, bits);
            pair_quad(p + LAYOUT_STEP(bits), 0, to + 128, products, false, bits);
        }
        if (k < inputs) {
            pair_quad(p, 0, to, products, sums, bits);
            for (int i = 128; i < 256; i += 32) vi_store((int32_t *)(void *)(to + i), vi_zero());
            to += 256;
        }
    } else {
#define PAIR_QUAD(q)                                                                                         \
    pair_quad(p, q, to, products, sums && (q) % 2 == 0, bits);                                               \
    to += 128;
        for (; k < inputs; k += LAYOUT_INPUTS(bits), p += LAYOUT_STEP(bits)) {
            EACH_QUAD(bits, PAIR_QUAD)
        }
    }
    for (int v = 0; v < 2; v++) vi_store(params->start + 16 * v, vi_sub(vi_zero(), products[v]));
    return to;
}

/* Widens what b says from input k on, of the outputs from number `first` on. */
ALWAYS_INLINE void pair_fill(const struct tile *t, struct pair_panel *to, const struct pair_block *b, int k,
                             int inputs, int first, const int bits)
{
    const uint8_t *p = t->w->codes + (size_t)t->panel * t->w->panel_bytes + LAYOUT_BYTES(k, bits) + 4 * first;
    int16_t *codes = to->codes;
    for (int i = 0; i < b->count; i++, p += LAYOUT_BYTES(inputs, bits)) {
        codes = pair_widen(p, inputs, codes, &to->params[i], b->free_sums, bits);
        if (t->w->scheme.gran != QG_GROUP) continue;
        if (first == 0) fetch_params(t, k / inputs + i, t->groups, bits);
        for (int v = 0; v < 2; v++) {
            const struct params q = product_params_at(t, k / inputs + i, first / 16 + v, bits);
            vf_store(to->params[i].s + 16 * v, q.s);
            if (b->end == PAIR_POINT) vi_store(to->params[i].z + 16 * v, vf_to_int(q.z));
            if (b->end == PAIR_MINIMUM) vf_store(to->params[i].m + 16 * v, q.z);
        }
    }
}

ALWAYS_INLINE enum pair_end pair_end_of(struct scheme s)
{
    if (s.gran != QG_GROUP) return PAIR_STRETCH;
    return scheme_zero(s) == QZERO_POINT     ? PAIR_POINT
           : scheme_zero(s) == QZERO_MINIMUM ? PAIR_MINIMUM
                                             : PAIR_NONE;
}

ALWAYS_INLINE void pair_store(const struct tile *t, const struct pair_panel *panel, int n, const int bits)
{
    for (int r = 0; r < n; r++) {
        const vf scale = vf_set1(t->x->code_scale[t->row + r]);
        for (int v = 0; v < VECTORS; v++) {
            vf a = vf_load(panel->totals[r] + 16 * v);
            if (t->w->scheme.gran != QG_GROUP)
                a = vf_mul(product_params_at(t, 0, v, bits).s, vi_join(vi_load(panel->whole[0][r] + 16 * v),
                                                                       vi_load(panel->whole[1][r] + 16 * v)));
            store_outputs(t, r, v, vf_mul(a, scale));
        }
    }
}

/* One panel times n rows. */
ALWAYS_INLINE void pair_rows(const struct tile *given, int n, bool usual, const int bits)
{
    struct tile_copy copy;
    const struct tile *t = usual_copied(&copy, given, usual, bits);
    const struct qinput *x = t->x;
    const int piece = pair_piece(t->w), pieces = pair_pieces(t->w), most = PAIR_INPUTS / piece;
    const int tiles = 2 * pieces * ((n + PAIR_TILE - 1) / PAIR_TILE);
    struct pair_panel panel;
    struct pair_block b = {.codes = panel.codes,
                           .params = panel.params,
                           .end = pair_end_of(t->w->scheme),
                           .free_sums = x->free_sums,
                           .x = pair_codes(x, t->row),
                           .x_stride = (size_t)(pair_codes(x, 1) - pair_codes(x, 0)),
                           .sums = pair_sums_of(x, t->row, PAIR_X, pieces),
                           .pieces = pieces,
                           .ahead = t->ahead.at};
    /* One block of rows, too, fetches the next panel: its own is widened long before it is done. */
    if (!t->ahead.is_share) b.ahead = t->w->codes + ((size_t)t->panel + 1) * t->w->panel_bytes;
    b.ahead_step = (t->ahead.step * t->w->panel_bytes / 256 / (size_t)tiles + 63) / 64 * 64;
    if (b.end == PAIR_STRETCH)
        for (int i = 0; i < 2; i++) memset(panel.whole[i], 0, (size_t)n * sizeof panel.whole[i][0]);
    else
        memset(panel.totals, 0, (size_t)n * sizeof panel.totals[0]);
    for (int g = 0; g < pieces; g += b.count) {
        const int left = t->w->cols - g * piece,
                  inputs = left < piece
                               ? (left + LAYOUT_INPUTS(bits) - 1) / LAYOUT_INPUTS(bits) * LAYOUT_INPUTS(bits)
                               : piece;
        b.count = pieces - g < most ? pieces - g : most;
        b.quads = (inputs + 7) / 8;
        for (int first = 0; first < PANEL; first += 32) {
            b.totals = (float(*)[PANEL])(panel.totals[0] + first);
            b.high = (int32_t(*)[PANEL])(panel.whole[0][0] + first);
            b.low = (int32_t(*)[PANEL])(panel.whole[1][0] + first);
            pair_fill(t, &panel, &b, g * piece, inputs, first, bits);
            ISA(pair_sums)(&b, n);
            b.ahead += b.ahead_step * (size_t)(tiles / 2 / pieces * b.count);
        }
        b.x += b.count * piece;
        b.sums += b.count;
    }
    pair_store(t, &panel, n, bits);
}
#endif
