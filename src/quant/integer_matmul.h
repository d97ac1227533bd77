/* The products with integer codes and float activations, instantiated by i8.isa.c and i4.isa.c through the
 * constant `bits`.
 *
 * With c(k) an output's signed codes, h = 2^(bits-1), X the sum of x by the 16-lane rule (prepare), and
 *
 *     A = 2^-E * the chain fma(2^E * c(k), x(k), acc) over k = 0..cols-1, from +0;  E = 24 for i8, 28 for i4
 *
 * (the decoder gives 2^E * c for free, and a power of two changes no rounding), an output is
 *
 *     tensor, channel   absmax s*A     affine s*fma(-z, X, A)     minmax, notes fma(m, X, s*fma(h, X, A))
 *     input             with x(k)*s(k) for x(k) and prepare's X for this granularity:
 *                       absmax A     affine, minmax A + X
 *     group             from +0, groups in increasing order, with A and X of the group:
 *                       absmax acc = fma(s, A, acc)     affine acc = fma(s, fma(-z, X, A), acc)
 *                       minmax acc = fma(m, X, fma(s, fma(h, X, A), acc)) */
#ifndef QUANT_INTEGER_MATMUL_H
#define QUANT_INTEGER_MATMUL_H
#include "quant/codes.h"
#include "quant/params.h"

/* Goes on with the chains over the first n <= 4 inputs of four[], whose bytes are signed codes, times 16 for
 * int4. */
ALWAYS_INLINE void chain_four(vf acc[TILE_ROWS][VECTORS], const vc four[VECTORS],
                              const float *const x[TILE_ROWS], int k, int n, const int rows,
                              const int vectors)
{
#pragma GCC unroll 4
    for (int j = 0; j < n; j++) {
        vf w[VECTORS];
        for (int v = 0; v < vectors; v++) w[v] = vc_float(four[v], j);
        for (int r = 0; r < rows; r++) {
            vf xk = vf_set1(x[r][k + j]);
            for (int v = 0; v < vectors; v++) acc[r][v] = vf_fma(w[v], xk, acc[r][v]);
        }
    }
}

/* One step of the layout, of which n inputs exist. */
ALWAYS_INLINE void chain_step(vf acc[TILE_ROWS][VECTORS], const uint8_t *p, const float *const x[TILE_ROWS],
                              int k, int n, const int bits, const int rows, const int vectors)
{
    vc four[VECTORS];
    for (int v = 0; v < vectors; v++) {
        vc stored = vc_load(p + 64 * v);
        four[v] = bits == 8 ? vc_signed(stored) : vc_signed_low(stored);
    }
    chain_four(acc, four, x, k, n < 4 ? n : 4, rows, vectors);
    if (bits == 8 || n <= 4) return;
    for (int v = 0; v < vectors; v++) four[v] = vc_signed_high(vc_load(p + 64 * v));
    chain_four(acc, four, x, k + 4, n - 4, rows, vectors);
}

/* Goes on with the chains over inputs [k0, k1), k0 at a step; codes are those of the tile's first vector. */
ALWAYS_INLINE void code_chains(vf acc[TILE_ROWS][VECTORS], const uint8_t *codes,
                               const float *const x[TILE_ROWS], int k0, int k1, const int bits,
                               const int rows, const int vectors)
{
    const int step = bits == 8 ? 4 : 8;
    const uint8_t *p = codes + (size_t)(k0 / step) * (PANEL * 4);
    int k = k0;
    for (; k + step <= k1; k += step, p += PANEL * 4) {
        for (int v = 0; v < vectors; v++) prefetch(p + PREFETCH_BYTES + 64 * v);
        chain_step(acc, p, x, k, step, bits, rows, vectors);
    }
    if (k < k1) chain_step(acc, p, x, k, k1 - k, bits, rows, vectors);
}

/* The head's formulas for one group's, or all, inputs. */
ALWAYS_INLINE vf finish_chain(const struct tile *t, vf chain, struct params p, float sum, vf total,
                              const int bits)
{
    const struct scheme s = t->w->scheme;
    const vf x = vf_set1(sum), h = vf_set1(bits == 8 ? 128.0f : 8.0f);
    vf a = vf_mul(chain, vf_set1(bits == 8 ? 0x1p-24f : 0x1p-28f));
    if (s.gran == QG_INPUT) return s.method == QM_ABSMAX ? a : vf_add(a, x);
    if (s.method == QM_AFFINE) a = vf_fma(vf_neg(p.z), x, a);
    if (has_minimum(s)) a = vf_fma(h, x, a);
    a = s.gran == QG_GROUP ? vf_fma(p.s, a, total) : vf_mul(p.s, a);
    return has_minimum(s) ? vf_fma(p.z, x, a) : a;
}

ALWAYS_INLINE void integer_tile(const struct tile *t, const int bits, const int rows, const int vectors)
{
    const struct qtensor *w = t->w;
    const int cols = w->cols, group = w->scheme.gran == QG_GROUP ? w->scheme.group : cols,
              groups = cols / group;
    const float *x[TILE_ROWS];
    for (int r = 0; r < rows; r++) x[r] = tile_input(t, r);
    for (int v0 = 0; v0 < VECTORS; v0 += vectors) {
        const uint8_t *codes = w->codes + (size_t)t->panel * w->panel_bytes + 64 * (size_t)v0;
        vf total[TILE_ROWS][VECTORS];
        for (int r = 0; r < rows; r++)
            for (int v = 0; v < vectors; v++) total[r][v] = vf_zero();
        for (int g = 0; g < groups; g++) {
            vf acc[TILE_ROWS][VECTORS];
            for (int r = 0; r < rows; r++)
                for (int v = 0; v < vectors; v++) acc[r][v] = vf_zero();
            code_chains(acc, codes, x, g * group, (g + 1) * group, bits, rows, vectors);
            for (int v = 0; v < vectors; v++) {
                struct params p = params_at(t, g, v0 + v);
                for (int r = 0; r < rows; r++) {
                    float sum =
                        t->x->sums ? t->x->sums[(size_t)(t->row + r) * (size_t)groups + (size_t)g] : 0.0f;
                    total[r][v] = finish_chain(t, acc[r][v], p, sum, total[r][v], bits);
                }
            }
        }
        for (int r = 0; r < rows; r++)
            for (int v = 0; v < vectors; v++) store_outputs(t, r, v0 + v, total[r][v]);
    }
}
#endif
