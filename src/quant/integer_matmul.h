/* The products with integer codes and float activations, instantiated by i8.isa.c and i4.isa.c through the
 * constant `bits`.
 *
 * With c(k) the code of an output (signed), X = sum of x by the 16-lane rule (prepare), h = 2^(bits-1), and
 *     A = the chain fma(2^E * c(k), x(k), acc) over k = 0..cols-1, from +0; then * 2^-E          E = 24 for
 * i8, 28 for i4 (a power of two changes no rounding; the decoder gives 2^E * c for free), an output is
 *     tensor, channel   absmax  s*A       affine  s*fma(-z, X, A)       minmax, notes  fma(m, X, s*fma(h, X,
 * A)) input             x(k)*s(k) for x(k);  absmax  A     affine, minmax  A + X, where X sums what
 * prepare.isa.c says group             from +0, in increasing order, with A and X of the group: absmax  acc =
 * fma(s, A, acc)          affine  acc = fma(s, fma(-z, X, A), acc) minmax  acc = fma(m, X, fma(s, fma(h, X,
 * A), acc)) */
#ifndef QUANT_INTEGER_MATMUL_H
#define QUANT_INTEGER_MATMUL_H
#include "quant/codes.h"
#include "quant/params.h"

ALWAYS_INLINE int step_of(const int bits) { return bits == 8 ? 4 : 8; }

/* Code j of a step of 16 outputs as a float, times 2^E. */
ALWAYS_INLINE vf code_float(const uint8_t *p, int j, const int bits)
{
    if (bits == 8) return vc_float(vc_signed(vc_load(p)), j);
    return j < 4 ? vc_float(vc_signed_low(vc_load(p)), j) : vc_float(vc_signed_high(vc_load(p)), j - 4);
}

/* Goes on with the chains over inputs [k0, k1), k0 at a step; codes are those of the tile's first vector. */
ALWAYS_INLINE void code_chains(vf acc[TILE_ROWS][VECTORS], const uint8_t *codes,
                               const float *const x[TILE_ROWS], int k0, int k1, const int bits,
                               const int rows, const int vectors)
{
    const int step = step_of(bits);
    const uint8_t *p = codes + (size_t)(k0 / step) * (PANEL * 4);
    int k = k0;
    for (; k + step <= k1; k += step, p += PANEL * 4) {
        for (int v = 0; v < vectors; v++) prefetch(p + PREFETCH_BYTES + 64 * v);
        for (int j = 0; j < step; j++) {
            vf w[VECTORS];
            for (int v = 0; v < vectors; v++) w[v] = code_float(p + 64 * v, j, bits);
            for (int r = 0; r < rows; r++) {
                vf xk = vf_set1(x[r][k + j]);
                for (int v = 0; v < vectors; v++) acc[r][v] = vf_fma(w[v], xk, acc[r][v]);
            }
        }
    }
    for (int j = 0; k + j < k1; j++)
        for (int v = 0; v < vectors; v++) {
            vf w = code_float(p + 64 * v, j, bits);
            for (int r = 0; r < rows; r++) acc[r][v] = vf_fma(w, vf_set1(x[r][k + j]), acc[r][v]);
        }
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
