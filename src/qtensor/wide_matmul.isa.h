/* The products of code_matmul.isa.h where codes are multiplied as 16-bit integers (wide.isa.h), instantiated by
 * the *.dot.isa.c of formats with codes through the constant `bits`. The formulas, and so the bits, are the same: a
 * token's codes are not split into planes, and S, D and U come out as one exact integer each, rounded once by
 * J.
 *
 * A piece is a group, or the longest run of its inputs whose sums fit an int32 (qtensor_piece). So its sums
 * are right in any order of additions modulo 2^32. The pieces of a larger group, or of a whole row, are added
 * as doubles, exactly. A panel is walked in stretches that fit the first-level cache: some groups, or a part
 * of a piece, whose sums rest in memory as integers between its stretches.
 *
 * Few rows take the codes as they are stored, in registers. For more, a stretch is widened once for all of
 * them, and each two multiplications become one (Winograd 1968, "A new algorithm for inner product"): with
 * weights w and inputs x of a quad,
 *
 *     x0 w0 + x1 w1 + x2 w2 + x3 w3 =
 *         (x0 + w1)(x1 + w0) + (x2 + w3)(x3 + w2) - (x0 x1 + x2 x3) - (w0 w1 + w2 w3)
 *
 * where the sums of the last two terms are made once per token (prepare) and once per output. It costs four
 * instructions for 32 products, as plain products do, but only one of them is a multiplication, of which a
 * core makes fewer in a cycle than additions. 32,639 + 128 still is an int16. */
#ifndef QTENSOR_WIDE_MATMUL_H
#define QTENSOR_WIDE_MATMUL_H
#include "qtensor/layout.isa.h"
#include "qtensor/params.isa.h"
#include "qtensor/wide.isa.h"

#define WIDE_ROWS          WIDE_LANES /* of a register tile */
#define WIDE_VECTORS(rows) ((rows) == 1 ? 4 : (rows) == 2 ? 2 : 1)
#define WIDE_BLOCK         64  /* rows that share a widened stretch, at most */
#define WIDE_STRETCH       256 /* inputs: 16 KB of codes, of which 8 KB are widened at a time */

/* What a product with one panel has made so far. */
struct wide_totals {
    _Alignas(64) int32_t running[WIDE_BLOCK][PANEL]; /* of a piece that goes on in the next stretch */
    float sums[WIDE_BLOCK][PANEL];                   /* scaled: of finished groups, or of all inputs */
    double whole[WIDE_BLOCK][PANEL];                 /* not scaled: of pieces of a group that has several */
};

/* Consecutive inputs of a panel: some groups, or a part of a piece. Which of them is the constant `parts`
 * below. */
struct stretch {
    const struct tile *t;
    struct wide_totals *totals;
    const uint8_t *codes;
    int pieces;        /* of all inputs */
    int first, count;  /* pieces of the stretch */
    int k0, inputs;    /* the first input; of each piece, rounded up to what a step of codes holds */
    int group;         /* of the first piece */
    bool whole_groups; /* a piece is a group, or all inputs */
    bool begins, ends; /* the piece does, here */
};

/* Where the sums of a tile begin and end, of its first row; those of the others as far apart as said. A copy
 * of what the stretch says, in registers, for stores of vectors may alias memory. */
struct ends {
    struct scheme scheme;
    const int32_t *start, *x; /* of the first piece: what a sum begins with, and X; a row's at `stride` */
    size_t stride;
    int32_t *running; /* of these, a row's at PANEL */
    float *scaled;
    double *whole;
    bool begins, ends, whole_groups;
};

ALWAYS_INLINE struct ends ends_at(const struct stretch *s, int row, int v, enum wide_sum start)
{
    const int32_t *sums =
        s->t->x->code_sums + (size_t)(s->t->row + row) * WIDE_SUMS * (size_t)s->pieces + s->first;
    return (struct ends){.scheme = s->t->w->scheme,
                         .start = sums + (size_t)start * (size_t)s->pieces,
                         .x = sums + (size_t)WIDE_X * (size_t)s->pieces,
                         .stride = WIDE_SUMS * (size_t)s->pieces,
                         .running = s->totals->running[row] + 16 * v,
                         .scaled = s->totals->sums[row] + 16 * v,
                         .whole = s->totals->whole[row] + 16 * v,
                         .begins = s->begins,
                         .ends = s->ends,
                         .whole_groups = s->whole_groups};
}

/* What the sum of a piece of row r and vector v begins with so that it ends as the piece's part of S, D, U
 * or, for QG_INPUT, U - X; z is the zero point of affine. */
ALWAYS_INLINE vi wide_start(const struct ends *e, int r, int v, int piece, vf z, const bool parts)
{
    if (parts && !e->begins) return vi_load(e->running + r * PANEL + 16 * v);
    vi start = vi_set1(e->start[(size_t)r * e->stride + (size_t)piece]);
    if (scheme_zero(e->scheme) != QZERO_POINT || e->scheme.gran == QG_INPUT) return start;
    return vi_sub(start, vi_mul(vf_to_int(z), vi_set1(e->x[(size_t)r * e->stride + (size_t)piece])));
}

/* Takes J of a group, or of all inputs, into the sum of one vector of one row; x is J of the token's codes.
 */
ALWAYS_INLINE void wide_finish(struct scheme scheme, struct params q, vf j, float x, float *sum)
{
    if (scheme.gran == QG_GROUP)
        j = vf_fma(q.s, j, vf_load(sum));
    else if (scheme.gran != QG_INPUT)
        j = vf_mul(q.s, j);
    if (has_minimum(scheme) && scheme.gran != QG_INPUT) j = vf_fma(q.z, vf_set1(x), j);
    vf_store(sum, j);
}

ALWAYS_INLINE void wide_add(const struct ends *e, int r, int v, int piece, struct params q, vi sum,
                            const bool parts)
{
    if (parts && !e->ends) {
        vi_store(e->running + r * PANEL + 16 * v, sum);
    } else if (!parts || e->whole_groups) {
        const int32_t *x = e->x + (size_t)r * e->stride + (size_t)piece;
        wide_finish(e->scheme, q, vi_to_float(sum), has_minimum(e->scheme) ? (float)*x : 0.0f,
                    e->scaled + r * PANEL + 16 * v);
    } else {
        double *whole = e->whole + r * PANEL + 16 * v;
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

/* Of quad q of the step at p: j = 0 inputs 0 and 2, j = 1 inputs 1 and 3. */
ALWAYS_INLINE vi wide_stored(const uint8_t *p, int q, int j, const int bits)
{
    if (bits == 8) return vi_widen(vc_load(p), j);
    if (bits == 4) return vi_widen_nibbles(vc_load(p), 2 * q + j);
    return vi_widen(quad_stored(p, q, bits), j);
}

/* Goes on with the sums of one step of codes. */
ALWAYS_INLINE void direct_step(vi acc[WIDE_ROWS][VECTORS], const uint8_t *codes, const int16_t *x,
                               const int bits, const int rows, const int vectors)
{
    for (int line = 0; line < LAYOUT_LINES(bits); line++)
        for (int v = 0; v < vectors; v++) prefetch(codes + line * LAYOUT_LINE + 64 * v + AHEAD_BYTES);
#define DIRECT_QUAD(q)                                                                                       \
    for (int j = 0; j < 2; j++) {                                                                            \
        vi w = wide_stored(codes + 64 * v, q, j, bits);                                                      \
        for (int r = 0; r < rows; r++)                                                                       \
            acc[r][v] = vi_dot_two(acc[r][v], w, vi_broadcast_two(x + q * 4 * rows + 4 * r + 2 * j));        \
    }
    for (int v = 0; v < vectors; v++) {
        EACH_QUAD(bits, DIRECT_QUAD)
    }
}

ALWAYS_INLINE void direct_piece(const struct tile *t, int group, const struct ends *e, int piece, int v0,
                                int inputs, const uint8_t *codes, const int16_t *x, const int bits,
                                const int rows, const int vectors, const bool parts)
{
    const int step = LAYOUT_INPUTS(bits);
    struct params q[VECTORS];
    vi acc[WIDE_ROWS][VECTORS];
    for (int v = 0; v < vectors; v++) {
        q[v] = product_params_at(t, group, v0 + v, bits);
        for (int r = 0; r < rows; r++) acc[r][v] = wide_start(e, r, v0 + v, piece, q[v].z, parts);
    }
    for (int k = 0; k < inputs; k += step, x += step * rows, codes += LAYOUT_STEP(bits))
        direct_step(acc, codes, x, bits, rows, vectors);
    for (int v = 0; v < vectors; v++)
        for (int r = 0; r < rows; r++) wide_add(e, r, v0 + v, piece, q[v], acc[r][v], parts);
}

ALWAYS_INLINE void direct_stretch(const struct stretch *s, const int bits, const int rows, const bool parts)
{
    const int vectors = WIDE_VECTORS(rows), count = parts ? 1 : s->count;
    const int inputs = s->inputs, group = s->group;
    const struct ends e = ends_at(s, 0, 0, WIDE_START);
    const struct tile t = *s->t;
    const int16_t *x = qinput_wide(t.x, t.row, s->k0);
    const uint8_t *codes = s->codes;
    for (int i = 0; i < count; i++, x += inputs * rows, codes += LAYOUT_BYTES(inputs, bits))
        for (int v = 0; v < VECTORS; v += vectors)
            direct_piece(&t, group + i, &e, i, v, inputs, codes + 64 * v, x, bits, rows, vectors, parts);
}

/* ---- many rows ---- */

/* A stretch of 16 outputs, widened. */
struct slice {
    vi w[WIDE_STRETCH / 4][2];     /* of each quad: inputs 0 and 2, inputs 1 and 3 */
    vi products[WIDE_STRETCH / 8]; /* of each piece: the sum of w0 w1 + w2 w3 */
    struct params q[WIDE_STRETCH / 8];
};

ALWAYS_INLINE void slice_fill(struct slice *to, const struct stretch *s, int v, const int bits)
{
    const uint8_t *codes = s->codes + 64 * v;
    vi(*w)[2] = to->w;
    for (int i = 0; i < s->count; i++) {
        vi products = vi_zero();
#define WIDEN_QUAD(q)                                                                                        \
    {                                                                                                        \
        for (int j = 0; j < 2; j++)                                                                          \
            (*w)[j] = PRODUCT_BITS(bits) == 8 ? vi_widen_signed(quad_stored(codes, q, bits), j)              \
                                              : wide_stored(codes, q, j, bits);                              \
        products = vi_dot_two(products, (*w)[0], (*w)[1]);                                                   \
        w++;                                                                                                 \
    }
        for (int k = 0; k < s->inputs; k += LAYOUT_INPUTS(bits), codes += LAYOUT_STEP(bits)) {
            EACH_QUAD(bits, WIDEN_QUAD)
        }
        to->products[i] = products;
        to->q[i] = product_params_at(s->t, s->group + i, v, bits);
    }
}

/* Sums are named variables: arrays of vectors that inline assembly changes stay in memory with gcc 12. */
#define EACH_ROW(DO) DO(0) DO(1) DO(2) DO(3)
#define ROW_START(r)                                                                                         \
    vi sum##r = r < rows ? vi_sub(wide_start(&e, r, 0, i, q.z, parts), w->products[i]) : vi_zero();
#define ROW_QUAD(r)                                                                                          \
    if (r < rows) sum##r = vi_dot_quad(sum##r, x + 4 * r, (*at)[0], (*at)[1]);
#define ROW_ADD(r)                                                                                           \
    if (r < rows) wide_add(&e, r, 0, i, q, sum##r, parts);

/* x: the codes of the tile's rows. */
ALWAYS_INLINE void slice_tile(const struct slice *w, const struct stretch *s, int v, int row,
                              const int16_t *x, struct ahead *ahead, const int rows, const bool parts)
{
    const struct ends e = ends_at(s, row, v, WIDE_START_MANY);
    const int count = parts ? 1 : s->count, quads = s->inputs / 4;
    const vi(*at)[2] = w->w;
    const uint8_t *fetched = ahead->at;
    const size_t step = ahead->step;
    for (int i = 0; i < count; i++) {
        const struct params q = w->q[i];
        EACH_ROW(ROW_START)
        for (const vi(*end)[2] = at + quads; at < end; at++, x += 4 * WIDE_LANES) {
            prefetch_far(fetched);
            fetched += step;
            EACH_ROW(ROW_QUAD)
        }
        EACH_ROW(ROW_ADD)
    }
    ahead->at = fetched;
}

/* Functions of their own, which need all registers. */
#define SLICE_TILE(rows)                                                                                     \
    static __attribute__((noinline)) void slice_parts_##rows(const struct slice *w, const struct stretch *s, \
                                                             int v, int row, const int16_t *x,               \
                                                             struct ahead *ahead)                            \
    {                                                                                                        \
        slice_tile(w, s, v, row, x, ahead, rows, true);                                                      \
    }                                                                                                        \
    static __attribute__((noinline)) void slice_groups_##rows(const struct slice *w,                         \
                                                              const struct stretch *s, int v, int row,       \
                                                              const int16_t *x, struct ahead *ahead)         \
    {                                                                                                        \
        slice_tile(w, s, v, row, x, ahead, rows, false);                                                     \
    }
SLICE_TILE(1)
SLICE_TILE(2)
SLICE_TILE(3)
SLICE_TILE(4)

ALWAYS_INLINE void slice_stretch(const struct stretch *s, int n, const int bits, const bool parts)
{
    const int tiles = (n + WIDE_ROWS - 1) / WIDE_ROWS;
    const size_t per_input = LAYOUT_BYTES(1, bits);
    /* Meanwhile the next stretch is fetched, a share with each quad of each tile. */
    struct ahead ahead = {.at = s->codes + LAYOUT_BYTES(s->count * s->inputs, bits),
                          .step = per_input / (size_t)tiles};
    static void (*const by_rows[2][WIDE_ROWS + 1])(const struct slice *, const struct stretch *, int, int,
                                                   const int16_t *, struct ahead *) = {
        {NULL, slice_groups_1, slice_groups_2, slice_groups_3, slice_groups_4},
        {NULL, slice_parts_1, slice_parts_2, slice_parts_3, slice_parts_4}};
    const int16_t *first = qinput_wide(s->t->x, s->t->row, s->k0);
    const ptrdiff_t next = qinput_wide(s->t->x, s->t->row + WIDE_ROWS, s->k0) - first;
    struct slice slice;
    for (int v = 0; v < VECTORS; v++) {
        const int16_t *x = first;
        slice_fill(&slice, s, v, bits);
        for (int row = 0; row < n; row += WIDE_ROWS, x += next)
            by_rows[parts][n - row < WIDE_ROWS ? n - row : WIDE_ROWS](&slice, s, v, row, x, &ahead);
    }
}

/* ---- a panel ---- */

/* J of the sum of a token's codes over a group of several pieces: the factor of a minimum. */
static inline float group_x(const struct stretch *s, int row)
{
    const int pieces = s->pieces / s->t->groups;
    const int32_t *x = s->t->x->code_sums +
                       ((size_t)(s->t->row + row) * WIDE_SUMS + WIDE_X) * (size_t)s->pieces +
                       (size_t)(s->group * pieces);
    double sum = 0.0;
    for (int i = 0; i < pieces; i++) sum += (double)x[i];
    return (float)sum;
}

ALWAYS_INLINE void finish_pieces(const struct stretch *s, int n, const int bits)
{
    for (int r = 0; r < n; r++) {
        const float x = group_x(s, r);
        for (int v = 0; v < VECTORS; v++) {
            double *whole = s->totals->whole[r] + 16 * v;
            wide_finish(s->t->w->scheme, product_params_at(s->t, s->group, v, bits),
                        vd_to_float(vd_load(whole)), x, s->totals->sums[r] + 16 * v);
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

/* The stretch from s->k0 on, in one slab. */
ALWAYS_INLINE void stretch_at(struct stretch *s, const uint8_t *panel, const int bits, const bool parts)
{
    const int step = LAYOUT_INPUTS(bits), group = s->t->group, slab = s->t->x->slab,
              rest = slab - s->k0 % slab;
    const int most = rest < WIDE_STRETCH ? rest : WIDE_STRETCH;
    s->codes = panel + LAYOUT_BYTES(s->k0, bits);
    s->group = s->k0 / group;
    if (parts) {
        const int at = s->k0 - s->group * group, piece = qtensor_piece(s->t->w, s->t->x->kind);
        const int end = (at / piece + 1) * piece, left = (end < group ? end : group) - at;
        s->first = s->group * (s->pieces / s->t->groups) + at / piece;
        s->count = 1;
        s->inputs = left < most ? (left + step - 1) / step * step : most;
        s->begins = at % piece == 0;
        s->ends = left <= most;
    } else {
        const int left = s->t->groups - s->group;
        s->first = s->group;
        s->count = left < most / group ? left : most / group;
        s->inputs = group;
    }
}

ALWAYS_INLINE void wide_stretches(struct stretch *s, int n, const int bits, const bool parts)
{
    const struct tile *t = s->t;
    const uint8_t *panel = t->w->codes + (size_t)t->panel * t->w->panel_bytes;
    for (; s->k0 < t->w->cols; s->k0 += s->count * s->inputs) {
        stretch_at(s, panel, bits, parts);
        if (t->x->n <= WIDE_ROWS)
            WIDE_DISPATCH(n, direct_stretch(s, bits, R, parts))
        else
            slice_stretch(s, n, bits, parts);
        if (parts && !s->whole_groups && s->k0 + s->inputs >= (s->group + 1) * t->group)
            finish_pieces(s, n, bits);
    }
}

/* One panel times n rows, at most WIDE_BLOCK. */
ALWAYS_INLINE void wide_panel(const struct tile *t, int n, const int bits)
{
    struct wide_totals totals;
    const bool grouped = t->w->scheme.gran == QG_GROUP;
    struct stretch s = {.t = t, .totals = &totals, .pieces = qtensor_pieces(t->w, t->x->kind)};
    s.whole_groups = s.pieces == t->groups;
    if (grouped) memset(totals.sums, 0, (size_t)n * sizeof totals.sums[0]);
    if (!s.whole_groups) memset(totals.whole, 0, (size_t)n * sizeof totals.whole[0]);
    if (grouped && t->group <= WIDE_STRETCH)
        wide_stretches(&s, n, bits, false);
    else
        wide_stretches(&s, n, bits, true);
    store_rows(t, &totals, n);
}
#endif
