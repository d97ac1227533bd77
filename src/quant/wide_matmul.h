/* The products of code_matmul.h where codes are multiplied as 16-bit integers (wide.h), instantiated by
 * i8.dot.isa.c and i4.dot.isa.c through the constant `bits`. The formulas, and so the bits, are the same: a
 * token's codes are not split into planes, and S, D and U come out as one exact integer each, rounded once by
 * J.
 *
 * A piece is a group, or at most PIECE consecutive inputs of one: its sums stay within int32 in any order of
 * additions modulo 2^32. The pieces of a larger group, or of a whole row, are added as doubles, exactly.
 *
 * Few rows take the codes as they are stored, in registers. For more, a piece of 16 outputs is widened once
 * for all of them, and each two multiplications become one (Winograd 1968, "A new algorithm for inner
 * product"): with weights w and inputs x of a quad,
 *
 *     x0 w0 + x1 w1 + x2 w2 + x3 w3 =
 *         (x0 + w1)(x1 + w0) + (x2 + w3)(x3 + w2) - (x0 x1 + x2 x3) - (w0 w1 + w2 w3)
 *
 * where the sums of the last two terms are made once per token (prepare) and once per output. It costs four
 * instructions for 32 products, as plain products do, but only one of them is a multiplication, of which a
 * core makes fewer in a cycle than additions. 32,639 + 128 still is an int16. */
#ifndef QUANT_WIDE_MATMUL_H
#define QUANT_WIDE_MATMUL_H
#include "quant/params.h"
#include "quant/wide.h"

#define WIDE_ROWS          4 /* of a register tile */
#define WIDE_VECTORS(rows) ((rows) == 1 ? 4 : (rows) == 2 ? 2 : 1)
#define WIDE_BLOCK         64 /* rows that share a widened stretch, at most */

/* What a product with one panel has made so far. */
struct wide_totals {
    _Alignas(64) float sums[WIDE_BLOCK][PANEL]; /* scaled: of finished groups, or of all inputs */
    double whole[WIDE_BLOCK][PANEL];            /* not scaled: pieces of a group that has several */
};

/* Consecutive pieces of a panel: one of a group that has several, else some groups. */
struct stretch {
    const struct tile *t;
    struct wide_totals *totals;
    const uint8_t *codes;
    int pieces;        /* of all inputs */
    int first, count;  /* pieces of the stretch */
    int k0, inputs;    /* the first input; of each piece, rounded up to what a step of codes holds */
    int group;         /* of the first piece */
    bool whole_groups; /* a piece is a group */
};

ALWAYS_INLINE size_t wide_stride(const struct qinput *x) { return ((size_t)x->cols + 63) / 64 * 64; }
ALWAYS_INLINE const int16_t *wide_row(const struct qinput *x, int row)
{
    return x->wide + (size_t)row * wide_stride(x);
}
ALWAYS_INLINE const int32_t *wide_sums(const struct stretch *s, int row, enum wide_sum which)
{
    return s->t->x->code_sums + ((size_t)(s->t->row + row) * WIDE_SUMS + which) * (size_t)s->pieces;
}

/* What the sum of a piece begins with so that it ends as the piece's part of S, D, U or, for QG_INPUT, U - X;
 * z is the zero point of affine. */
ALWAYS_INLINE vi wide_start(const struct stretch *s, int row, int piece, enum wide_sum which, vf z)
{
    const struct scheme scheme = s->t->w->scheme;
    vi start = vi_set1(wide_sums(s, row, which)[s->first + piece]);
    if (scheme.method != QM_AFFINE || scheme.gran == QG_INPUT) return start;
    return vi_sub(start, vi_mul(vf_to_int(z), vi_set1(wide_sums(s, row, WIDE_X)[s->first + piece])));
}

/* J of the sum of a token's codes over a group: the factor of a minimum. */
ALWAYS_INLINE float wide_x(const struct stretch *s, int row, int group)
{
    if (s->whole_groups) return (float)wide_sums(s, row, WIDE_X)[group];
    const int pieces = s->pieces / s->t->groups;
    const int32_t *x = wide_sums(s, row, WIDE_X) + group * pieces;
    double sum = 0.0;
    for (int i = 0; i < pieces; i++) sum += (double)x[i];
    return (float)sum;
}

/* Takes J of a group, or of all inputs, into the sum of one vector of one row. */
ALWAYS_INLINE void wide_finish(const struct stretch *s, int row, int group, struct params q, vf j, float *sum)
{
    const struct scheme scheme = s->t->w->scheme;
    if (scheme.gran == QG_GROUP)
        j = vf_fma(q.s, j, vf_load(sum));
    else if (scheme.gran != QG_INPUT)
        j = vf_mul(q.s, j);
    if (has_minimum(scheme) && scheme.gran != QG_INPUT) j = vf_fma(q.z, vf_set1(wide_x(s, row, group)), j);
    vf_store(sum, j);
}

ALWAYS_INLINE void wide_add(const struct stretch *s, int row, int v, int piece, struct params q, vi sum)
{
    if (s->whole_groups) {
        wide_finish(s, row, s->group + piece, q, vi_to_float(sum), s->totals->sums[row] + 16 * v);
    } else {
        double *whole = s->totals->whole[row] + 16 * v;
        vd_store(whole, vd_add_vi(vd_load(whole), sum));
    }
}

#define WIDE_DISPATCH(rows, call)                                                                            \
    switch (rows) {                                                                                          \
        TILE_CASE(1, call)                                                                                   \
        TILE_CASE(2, call)                                                                                   \
        TILE_CASE(3, call)                                                                                   \
        TILE_CASE(4, call)                                                                                   \
    default: break;                                                                                          \
    }

/* ---- few rows ---- */

/* Goes on with the sums of one step of codes: inputs k to k + 3, for int4 to k + 7. */
ALWAYS_INLINE void direct_step(vi acc[WIDE_ROWS][VECTORS], const uint8_t *codes, const int16_t *x,
                               size_t stride, const int bits, const int rows, const int vectors)
{
    for (int v = 0; v < vectors; v++) prefetch(codes + 64 * v + AHEAD_BYTES);
    for (int v = 0; v < vectors; v++) {
        vc u = vc_load(codes + 64 * v);
        for (int j = 0; j < (bits == 8 ? 2 : 4); j++) {
            vi w = bits == 8 ? vi_widen(u, j) : vi_widen_nibbles(u, j);
            for (int r = 0; r < rows; r++)
                acc[r][v] = vi_dot_two(acc[r][v], w, vi_broadcast_two(x + (size_t)r * stride + 2 * j));
        }
    }
}

ALWAYS_INLINE void direct_piece(const struct stretch *s, int piece, int v0, const uint8_t *codes,
                                const int bits, const int rows, const int vectors)
{
    const int step = bits == 8 ? 4 : 8;
    const size_t stride = wide_stride(s->t->x);
    const int16_t *x = wide_row(s->t->x, s->t->row) + s->k0 + piece * s->inputs;
    struct params q[VECTORS];
    vi acc[WIDE_ROWS][VECTORS];
    for (int v = 0; v < vectors; v++) {
        q[v] = params_at(s->t, s->group + piece, v0 + v);
        for (int r = 0; r < rows; r++) acc[r][v] = wide_start(s, r, piece, WIDE_START, q[v].z);
    }
    for (int k = 0; k < s->inputs; k += step, x += step, codes += PANEL * 4)
        direct_step(acc, codes, x, stride, bits, rows, vectors);
    for (int v = 0; v < vectors; v++)
        for (int r = 0; r < rows; r++) wide_add(s, r, v0 + v, piece, q[v], acc[r][v]);
}

ALWAYS_INLINE void direct_stretch(const struct stretch *s, const int bits, const int rows)
{
    const int vectors = WIDE_VECTORS(rows);
    const size_t bytes = (size_t)s->inputs * (bits == 8 ? PANEL : PANEL / 2);
    for (int i = 0; i < s->count; i++)
        for (int v = 0; v < VECTORS; v += vectors)
            direct_piece(s, i, v, s->codes + (size_t)i * bytes + 64 * (size_t)v, bits, rows, vectors);
}

/* ---- many rows ---- */

/* A stretch of 16 outputs, widened. */
struct slice {
    vi w[PIECE / 4][2];     /* of each quad: inputs 0 and 2, inputs 1 and 3 */
    vi products[PIECE / 8]; /* of each piece: the sum of w0 w1 + w2 w3 */
    struct params q[PIECE / 8];
};

ALWAYS_INLINE void slice_fill(struct slice *to, const struct stretch *s, int v, const int bits)
{
    const uint8_t *codes = s->codes + 64 * v;
    vi(*w)[2] = to->w;
    for (int i = 0; i < s->count; i++) {
        vi products = vi_zero();
        for (int k = 0; k < s->inputs; k += bits == 8 ? 4 : 8, codes += PANEL * 4) {
            vc u = vc_load(codes);
            for (int j = 0; j < (bits == 8 ? 2 : 4); j += 2, w++) {
                (*w)[0] = bits == 8 ? vi_widen_signed(u, j) : vi_widen_nibbles(u, j);
                (*w)[1] = bits == 8 ? vi_widen_signed(u, j + 1) : vi_widen_nibbles(u, j + 1);
                products = vi_dot_two(products, (*w)[0], (*w)[1]);
            }
        }
        to->products[i] = products;
        to->q[i] = params_at(s->t, s->group + i, v);
    }
}

/* Sums are named variables: arrays of vectors that inline assembly changes stay in memory with gcc 12. */
#define EACH_ROW(DO) DO(0) DO(1) DO(2) DO(3)
#define ROW_START(r)                                                                                         \
    vi sum##r =                                                                                              \
        r < rows ? vi_sub(wide_start(s, row + r, i, WIDE_START_MANY, q.z), w->products[i]) : vi_zero();
#define ROW_QUAD(r)                                                                                          \
    if (r < rows) sum##r = vi_dot_quad(sum##r, x + r * stride + 4 * k, at[k][0], at[k][1]);
#define ROW_ADD(r)                                                                                           \
    if (r < rows) wide_add(s, row + r, v, i, q, sum##r);

ALWAYS_INLINE void slice_tile(const struct slice *w, const struct stretch *s, int v, int row,
                              struct ahead *ahead, const int rows)
{
    const int16_t *x = wide_row(s->t->x, s->t->row + row) + s->k0;
    const size_t stride = wide_stride(s->t->x);
    const int quads = s->inputs / 4;
    for (int i = 0; i < s->count; i++, x += s->inputs) {
        const vi(*at)[2] = w->w + i * quads;
        const struct params q = w->q[i];
        EACH_ROW(ROW_START)
        for (int k = 0; k < quads; k++) {
            prefetch_far(ahead->at);
            ahead->at += ahead->step;
            EACH_ROW(ROW_QUAD)
        }
        EACH_ROW(ROW_ADD)
    }
}

ALWAYS_INLINE void slice_stretch(const struct stretch *s, int n, const int bits)
{
    const int tiles = (n + WIDE_ROWS - 1) / WIDE_ROWS;
    const size_t per_input = bits == 8 ? PANEL : PANEL / 2;
    /* Meanwhile the next stretch is fetched, a share with each quad of each tile. */
    struct ahead ahead = {.at = s->codes + (size_t)(s->count * s->inputs) * per_input,
                          .step = per_input / (size_t)tiles};
    struct slice slice;
    for (int v = 0; v < VECTORS; v++) {
        slice_fill(&slice, s, v, bits);
        for (int b = 0; b < tiles; b++) {
            int r0 = n * b / tiles, r1 = n * (b + 1) / tiles;
            WIDE_DISPATCH(r1 - r0, slice_tile(&slice, s, v, r0, &ahead, R))
        }
    }
}

/* ---- a panel ---- */

ALWAYS_INLINE void finish_pieces(const struct stretch *s, int n)
{
    for (int v = 0; v < VECTORS; v++) {
        const struct params q = params_at(s->t, s->group, v);
        for (int r = 0; r < n; r++) {
            double *whole = s->totals->whole[r] + 16 * v;
            wide_finish(s, r, s->group, q, vd_to_float(vd_load(whole)), s->totals->sums[r] + 16 * v);
            vd_store(whole, vd_zero());
        }
    }
}

ALWAYS_INLINE void store_rows(const struct tile *t, const struct wide_totals *totals, int n)
{
    const bool fused = t->w->scheme.gran == QG_INPUT && has_minimum(t->w->scheme);
    for (int r = 0; r < n; r++) {
        vf scale = vf_set1(t->x->code_scale[t->row + r]);
        vf extra = fused ? vf_set1(t->x->sums[t->row + r]) : vf_zero();
        for (int v = 0; v < VECTORS; v++) {
            vf a = vf_load(totals->sums[r] + 16 * v);
            store_outputs(t, r, v, fused ? vf_fma(a, scale, extra) : vf_mul(a, scale));
        }
    }
}

ALWAYS_INLINE void wide_stretch(const struct stretch *s, int n, const int bits)
{
    if (n <= WIDE_ROWS)
        WIDE_DISPATCH(n, direct_stretch(s, bits, R))
    else
        slice_stretch(s, n, bits);
}

/* One panel times n rows, at most WIDE_BLOCK. */
ALWAYS_INLINE void wide_panel(const struct tile *t, int n, const int bits)
{
    struct wide_totals totals;
    const struct qtensor *w = t->w;
    const int groups = t->groups, group = t->group, piece = qtensor_piece(w), step = bits == 8 ? 4 : 8;
    const uint8_t *panel = w->codes + (size_t)t->panel * w->panel_bytes;
    struct stretch s = {.t = t,
                        .totals = &totals,
                        .pieces = qtensor_pieces(w),
                        .whole_groups = w->scheme.gran == QG_GROUP && piece == group};
    memset(totals.sums, 0, (size_t)n * sizeof totals.sums[0]);
    if (!s.whole_groups) memset(totals.whole, 0, (size_t)n * sizeof totals.whole[0]);
    for (; s.k0 < w->cols; s.k0 += s.count * s.inputs, s.first += s.count) {
        s.codes = panel + (size_t)s.k0 / (size_t)step * (PANEL * 4);
        if (s.whole_groups) {
            s.group = s.first;
            s.count = groups - s.group < PIECE / group ? groups - s.group : PIECE / group;
            s.inputs = group;
        } else {
            s.group = s.k0 / group;
            int left = (s.group + 1) * group - s.k0;
            s.count = 1;
            s.inputs = ((left < piece ? left : piece) + step - 1) / step * step;
        }
        wide_stretch(&s, n, bits);
        if (!s.whole_groups && s.k0 + s.inputs >= (s.group + 1) * group) finish_pieces(&s, n);
    }
    store_rows(t, &totals, n);
}
#endif
