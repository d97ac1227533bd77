/* The products with integer codes and float activations, instantiated by the *.isa.c of formats with codes
 * through the constant `bits`.
 *
 * With c(k) an output's signed codes, h = 2^(bits-1), X the sum of x by the 16-lane rule (prepare), and
 *
 *     A = 2^-E * the chain fma(2^E * c(k), x(k), acc) over k = 0..cols-1, from +0;  E = 32 - bits
 *
 * (the decoder gives 2^E * c for free, and a power of two changes no rounding; of a book c is the level, E = 0), an output is
 *
 *     tensor, channel   absmax s*A     affine s*fma(-z, X, A)     minmax, notes fma(m, X, s*fma(h, X, A))
 *     input             with x(k)*s(k) for x(k) and prepare's X for this granularity:
 *                       absmax A     affine, minmax A + X
 *     group             from +0, groups in increasing order, with A and X of the group:
 *                       absmax acc = fma(s, A, acc)     affine acc = fma(s, fma(-z, X, A), acc)
 *                       minmax acc = fma(m, X, fma(s, fma(h, X, A), acc)) */
#ifndef QTENSOR_INTEGER_MATMUL_H
#define QTENSOR_INTEGER_MATMUL_H
#include "qtensor/chain_block.isa.h"
#include "qtensor/layout.isa.h"
#include "qtensor/params.isa.h"

/* Rows and vectors of a tile; AVX2 needs some of its 16 registers for the decoder, more of them for nibbles.
 */
#if defined(GPT2Q_ISA_avx2)
#define INTEGER_ROWS                4
#define INTEGER_VECTORS(bits, rows) ((rows) == 1 ? ((bits) == 8 ? 4 : 2) : (rows) == 2 ? 2 : 1)
#else
#define INTEGER_ROWS                TILE_ROWS
#define INTEGER_VECTORS(bits, rows) TILE_VECTORS(rows)
#endif

/* One row of a panel has four chains, and each fma waits for the one before. Of a book, whose levels come by one permutation, two
 * groups, whose chains know nothing of each other, go along together: if the second is fetched already when the first begins.
 * (Other codes take more operations than the chains wait for.) */
#if defined(GPT2Q_ISA_avx512)
#define GROUPS_TOGETHER(bits, rows) ((rows) == 1 && HAS_BOOK(bits) ? 2 : 1)
#else
#define GROUPS_TOGETHER(bits, rows) 1
#endif
#define TOGETHER_BYTES (AHEAD_BYTES * 2 / 3)

/* Goes on with the chains over the four inputs of quad q, from input k on. */
ALWAYS_INLINE void chain_four(vf acc[TILE_ROWS][VECTORS], const vc four[VECTORS],
                              const float *const x[TILE_ROWS], int k, const int q, const int bits,
                              const int rows, const int vectors)
{
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++) {
        vf w[VECTORS];
        for (int v = 0; v < vectors; v++) w[v] = quad_float(four[v], q, j, bits);
        for (int r = 0; r < rows; r++) {
            vf xk = vf_set1(x[r][k + j]);
            for (int v = 0; v < vectors; v++) acc[r][v] = vf_fma(w[v], xk, acc[r][v]);
        }
    }
}

/* Goes on with the chains over one step of the layout of each group. acc and x are [groups][rows]; the groups' codes lie `apart`. */
ALWAYS_INLINE void chain_step(vf acc[TILE_ROWS][VECTORS], const uint8_t *p, size_t apart,
                              const float *const x[TILE_ROWS], int k, struct ahead *ahead, const int bits,
                              const int rows, const int vectors, const int groups)
{
#define CHAIN_QUAD(q)                                                                                        \
    for (int g = 0; g < groups; g++) {                                                                       \
        vc four[VECTORS];                                                                                    \
        if (LAYOUT_BEGINS(q, bits)) fetch_ahead(ahead);                                                      \
        for (int v = 0; v < vectors; v++) four[v] = quad_ready(p + (size_t)g * apart + 64 * v, q, bits);     \
        chain_four(acc + g * rows, four, x + g * rows, k + 4 * q, q, bits, rows, vectors);                   \
    }
    EACH_QUAD(bits, CHAIN_QUAD)
}

/* chains [groups][rows][64] = the chains over n inputs from a step on; codes are those of the first group for the tile's first
 * vector, x [groups][rows] the first inputs.
 *
 * An unfinished last step is filled up with -0 for x. Codes beyond the last input are 0, so these terms are
 * +0 * -0 = -0, the one number whose addition changes nothing, not even the sign of a zero. */
ALWAYS_INLINE
void code_chains(const uint8_t *codes, size_t apart, const float *const x[TILE_ROWS], int n, float *chains,
                 struct ahead *ahead, const int bits, const int rows, const int vectors, const int groups)
{
    const int step = LAYOUT_INPUTS(bits), each = groups * rows;
    const uint8_t *p = codes;
    vf acc[TILE_ROWS][VECTORS];
    for (int r = 0; r < each; r++)
        for (int v = 0; v < vectors; v++) acc[r][v] = vf_zero();
    int k = 0;
    for (; k + step <= n; k += step, p += LAYOUT_STEP(bits))
        chain_step(acc, p, apart, x, k, ahead, bits, rows, vectors, groups);
    if (k < n) {
        float filled[TILE_ROWS][LAYOUT_INPUTS_MAX];
        const float *last[TILE_ROWS];
        for (int r = 0; r < each; r++) {
            for (int j = 0; j < step; j++) filled[r][j] = k + j < n ? x[r][k + j] : -0.0f;
            last[r] = filled[r];
        }
        chain_step(acc, p, apart, last, 0, ahead, bits, rows, vectors, groups);
    }
    for (int r = 0; r < each; r++)
        for (int v = 0; v < vectors; v++) vf_store(chains + r * PANEL + 16 * v, acc[r][v]);
}

/* The head's formulas for one vector of one row and one group's, or all, inputs: total goes on. */
ALWAYS_INLINE vf finish_chain(struct scheme s, vf chain, struct params p, float sum, vf total, const int bits)
{
    const vf x = vf_set1(sum), h = vf_set1((float)(1 << (LAYOUT_BITS(bits) - 1)));
    vf a = HAS_BOOK(bits) ? chain : vf_mul(chain, vf_set1(0x1p-32f * (float)(1 << LAYOUT_BITS(bits))));
    if (s.gran == QG_INPUT) return scheme_zero(s) == QZERO_NONE ? a : vf_add(a, x);
    if (scheme_zero(s) == QZERO_POINT) a = vf_fma(vf_neg(p.z), x, a);
    if (has_minimum(s)) a = vf_fma(h, x, a);
    a = s.gran == QG_GROUP ? vf_fma(p.s, a, total) : vf_mul(p.s, a);
    return has_minimum(s) ? vf_fma(p.z, x, a) : a;
}

/* Takes the chains of one group, or of all inputs, into the totals; both [rows][64]. */
ALWAYS_INLINE void finish_chains(const struct tile *t, int g, int groups, int v0, const float *chains,
                                 float *totals, const int bits, const int rows, const int vectors)
{
    const struct scheme s = t->w->scheme;
    for (int v = 0; v < vectors; v++) {
        struct params p = params_at(t, g, v0 + v, bits);
        for (int r = 0; r < rows; r++) {
            float *total = totals + r * PANEL + 16 * v;
            float sum = t->x->sums ? t->x->sums[(size_t)(t->row + r) * (size_t)groups + (size_t)g] : 0.0f;
            vf a = vf_load(chains + r * PANEL + 16 * v);
            vf_store(total, finish_chain(s, a, p, sum, vf_load(total), bits));
        }
    }
}

/* Takes n groups from g on into the totals; codes are those of the panel. */
ALWAYS_INLINE void groups_into(const struct tile *t, const uint8_t *codes,
                               const float *const rows_at[TILE_ROWS], int g, int v0, float *totals,
                               struct ahead *ahead, const int bits, const int rows, const int vectors,
                               const int n)
{
    const int group = t->group;
    const float *x[TILE_ROWS];
    float chains[TILE_ROWS * PANEL];
    for (int i = 0; i < n; i++)
        for (int r = 0; r < rows; r++) x[i * rows + r] = rows_at[r] + (g + i) * group;
    code_chains(codes + LAYOUT_BYTES(g * group, bits), LAYOUT_BYTES(group, bits), x, group, chains, ahead,
                bits, rows, vectors, n);
    for (int i = 0; i < n; i++)
        finish_chains(t, g + i, t->groups, v0, chains + i * rows * PANEL, totals, bits, rows, vectors);
}

ALWAYS_INLINE void integer_tile(const struct tile *given, const int bits, const int rows, const int vectors)
{
    struct tile_copy copy;
    const struct tile *t = tile_copied(&copy, given);
    const struct qtensor *w = t->w;
    const int groups = t->groups, together = GROUPS_TOGETHER(bits, rows);
    const bool near = together > 1 && LAYOUT_BYTES(t->group, bits) <= TOGETHER_BYTES;
    const float *x[TILE_ROWS];
    for (int r = 0; r < rows; r++) x[r] = tile_input(t, r);
    for (int v0 = 0; v0 < VECTORS; v0 += vectors) {
        const uint8_t *codes = w->codes + (size_t)t->panel * w->panel_bytes + 64 * (size_t)v0;
        struct ahead ahead = t->ahead;
        float totals[TILE_ROWS * PANEL];
        int g = 0;
        memset(totals, 0, sizeof totals);
        for (; near && g + together <= groups; g += together)
            groups_into(t, codes, x, g, v0, totals, &ahead, bits, rows, vectors, together);
        for (; g < groups; g++) groups_into(t, codes, x, g, v0, totals, &ahead, bits, rows, vectors, 1);
        for (int r = 0; r < rows; r++)
            for (int v = 0; v < vectors; v++)
                store_outputs(t, r, v0 + v, vf_load(totals + r * PANEL + 16 * v));
    }
}

#if CHAIN_BLOCKS
/* The weights of inputs [k0, k1) as quad_float gives them; k0 at a step. */
ALWAYS_INLINE void codes_to_floats(const uint8_t *codes, int k0, int k1, float (*out)[PANEL], const int bits)
{
#define QUAD_TO_FLOATS(q)                                                                                    \
    for (int v = 0; v < VECTORS; v++) {                                                                      \
        vc four = quad_ready(codes + 64 * v, q, bits);                                                       \
        for (int j = 0; j < 4; j++)                                                                          \
            if (k + 4 * q + j < k1)                                                                          \
                vf_store(out[k - k0 + 4 * q + j] + 16 * v, quad_float(four, q, j, bits));                    \
    }
    for (int k = k0; k < k1; k += LAYOUT_INPUTS(bits), codes += LAYOUT_STEP(bits)) {
        EACH_QUAD(bits, QUAD_TO_FLOATS)
    }
}

ALWAYS_INLINE void integer_block(const struct tile *given, int n, const int bits)
{
    struct chain_block b;
    struct tile_copy copy;
    const struct tile *t = tile_copied(&copy, given);
    const int groups = t->groups, group = t->group;
    const uint8_t *panel = t->w->codes + (size_t)t->panel * t->w->panel_bytes;
    memset(b.totals, 0, (size_t)n * sizeof b.totals[0]);
    for (int g = 0; g < groups; g++) {
        const int end = (g + 1) * group;
        memset(b.chains, 0, (size_t)n * sizeof b.chains[0]);
        for (int k0 = g * group, k1; k0 < end; k0 = k1) {
            k1 = k0 + STRETCH < end ? k0 + STRETCH : end;
            const uint8_t *codes = panel + LAYOUT_BYTES(k0, bits);
            codes_to_floats(codes, k0, k1, b.stretch, bits);
            chain_stretch(t, b.stretch[0], codes, LAYOUT_BYTES(k1 - k0, bits), k0, k1, n, &b);
        }
        finish_chains(t, g, groups, 0, b.chains[0], b.totals[0], bits, n, VECTORS);
    }
    store_block(t, b.totals, n);
}
#define INTEGER_BLOCK(name, bits)                                                                            \
    static void name##_block(const struct tile *t, int rows) { integer_block(t, rows, bits); }
#else
#define INTEGER_BLOCK(name, bits)
#endif

/* matmul_NAME. */
#define INTEGER_MATMUL(name, bits)                                                                           \
    static void name##_tile(const struct tile *t, int rows){TILE_DISPATCH(                                   \
        rows, integer_tile(t, bits, R, INTEGER_VECTORS(bits, R)))} INTEGER_BLOCK(name, bits) void            \
    ISA(matmul_##name)(const struct qtensor *w, const struct qinput *x, float *y, size_t y_stride, int p0,   \
                       int p1)                                                                               \
    {                                                                                                        \
        for_chains(w, x, y, y_stride, p0, p1, INTEGER_ROWS, name##_tile, name##_block);                      \
    }
#endif
