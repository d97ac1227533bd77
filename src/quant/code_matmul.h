/* The products with integer codes and integer activations, instantiated by i8.isa.c and i4.isa.c through the
 * constant `bits`.
 *
 * The stored code u = c + h, h = 2^(bits-1), is the unsigned operand, a byte of the activation's code the
 * signed one. For each byte plane (i8: hi; i16: hi and lo, code = 256*hi + lo) these int32 are exact:
 *
 *     U = sum of u*x     X = sum of x (prepare)     S = U - h*X = sum of c*x     D = U - (h + z)*X
 *     J(S) = (float)S for i8, fmaf((float)S_hi, 256, (float)S_lo) for i16
 *
 * With a the token's activation scale, an output is
 *
 *     tensor, channel   absmax (s*J(S))*a     affine (s*J(D))*a     minmax, notes fma(m, J(X), s*J(U))*a
 *     input             x(k)*s(k) was quantized; X is the sum of h*x (absmax) or (h + z(k))*x (affine):
 *                       absmax, affine J(U - X)*a     minmax fma(J(U), a, sum of m(k)*x(k) in float)
 *     group             from +0, groups in increasing order, then acc*a at the end:
 *                       absmax acc = fma(s, J(S), acc)     affine acc = fma(s, J(D), acc)
 *                       minmax acc = fma(m, J(X), fma(s, J(U), acc)) */
#ifndef QUANT_CODE_MATMUL_H
#define QUANT_CODE_MATMUL_H
#include "quant/codes.h"
#include "quant/params.h"

/* Byte rows (a plane of a token) and vectors of outputs in registers. */
#if defined(GPT2Q_ISA_scalar)
#define CODE_ROWS          2
#define CODE_VECTORS(rows) 1
#elif defined(GPT2Q_ISA_avx2)
#define CODE_ROWS          4
#define CODE_VECTORS(rows) ((rows) == 1 ? 4 : (rows) == 2 ? 2 : 1)
#else
#define CODE_ROWS          6
#define CODE_VECTORS(rows) VECTORS
#endif

/* All sums of a tile are named variables: arrays of vectors that inline assembly changes stay in memory with
 * gcc 12. */
#define EACH_VECTOR(DO, r) DO(r, 0) DO(r, 1) DO(r, 2) DO(r, 3)
#define EACH_SUM(DO)                                                                                         \
    EACH_VECTOR(DO, 0)                                                                                       \
    EACH_VECTOR(DO, 1) EACH_VECTOR(DO, 2) EACH_VECTOR(DO, 3) EACH_VECTOR(DO, 4) EACH_VECTOR(DO, 5)

#define SUM_DECLARE(r, v) vi s##r##v = vi_zero();
#define SUM_STORE(r, v)                                                                                      \
    if (r < rows && v < vectors) vi_store(sums + (r * VECTORS + v) * 16, s##r##v);
#define SUM_DOT(r, v)                                                                                        \
    if (v < vectors) s##r##v = DOT(s##r##v, u##v, xb);
#define ROW_DOT(r)                                                                                           \
    if (r < rows) {                                                                                          \
        vc xb = vc_broadcast(x[r] + k);                                                                      \
        EACH_VECTOR(SUM_DOT, r)                                                                              \
    }
#define EACH_ROW_DOT ROW_DOT(0) ROW_DOT(1) ROW_DOT(2) ROW_DOT(3) ROW_DOT(4) ROW_DOT(5)

/* Four inputs of a step: the tile's vectors of unsigned codes, made by DECODE from 64 bytes each, times the
 * bytes of every row. */
#define FOUR_INPUTS(DECODE)                                                                                  \
    {                                                                                                        \
        vc u0 = DECODE(vc_load(p)), u1 = u0, u2 = u0, u3 = u0;                                               \
        if (vectors > 1) u1 = DECODE(vc_load(p + 64));                                                       \
        if (vectors > 2) u2 = DECODE(vc_load(p + 128)), u3 = DECODE(vc_load(p + 192));                       \
        EACH_ROW_DOT                                                                                         \
    }

/* sums [rows][VECTORS][16] = U of byte rows over inputs [k0, k1), both at a step or the end, where the rows
 * are padded with 0. */
ALWAYS_INLINE void dot_i8(const uint8_t *p, const int8_t *const *x, int k0, int k1, int32_t *sums,
                          const int rows, const int vectors)
{
    EACH_SUM(SUM_DECLARE)
#define DOT       vi_dot
#define STORED(v) v
    for (int k = k0; k < k1; k += 4, p += PANEL * 4) {
        for (int v = 0; v < vectors; v++) prefetch(p + PREFETCH_BYTES + 64 * v);
        FOUR_INPUTS(STORED)
    }
#undef DOT
#undef STORED
    EACH_SUM(SUM_STORE)
}

ALWAYS_INLINE void dot_i4(const uint8_t *p, const int8_t *const *x, int k0, int k1, int32_t *sums,
                          const int rows, const int vectors)
{
    EACH_SUM(SUM_DECLARE)
#define DOT vi_dot_nibbles
    for (int k = k0; k < k1; k += 4, p += PANEL * 4) {
        for (int v = 0; v < vectors; v++) prefetch(p + PREFETCH_BYTES + 64 * v);
        FOUR_INPUTS(vc_low)
        k += 4;
        FOUR_INPUTS(vc_high)
    }
#undef DOT
    EACH_SUM(SUM_STORE)
}

/* J of one vector, from the sums of one token's planes. */
ALWAYS_INLINE vf join(vi hi, vi lo, bool two_planes)
{
    vf h = vi_to_float(hi);
    return two_planes ? vf_fma(h, vf_set1(256.0f), vi_to_float(lo)) : h;
}

/* (h + z)*X, or where there is no z, and so one number for all outputs, h*X. */
ALWAYS_INLINE vi code_offset(struct scheme s, vf z, int32_t x_sum, const int bits)
{
    const int32_t h = bits == 8 ? 128 : 8;
    if (s.gran == QG_INPUT) return vi_set1(x_sum);
    if (s.method == QM_ABSMAX) return vi_set1(h * x_sum);
    return vi_mul(vi_add(vi_set1(h), vf_to_int(z)), vi_set1(x_sum));
}

/* The head's formulas for one vector of one token and one group, or all, inputs: total goes on. */
ALWAYS_INLINE vf finish_codes(struct scheme s, vi hi, vi lo, int32_t x_hi, int32_t x_lo, bool two_planes,
                              struct params p, vf total, const int bits)
{
    if (!has_minimum(s)) {
        hi = vi_sub(hi, code_offset(s, p.z, x_hi, bits));
        if (two_planes) lo = vi_sub(lo, code_offset(s, p.z, x_lo, bits));
    }
    vf j = join(hi, lo, two_planes);
    if (s.gran == QG_INPUT) return j;
    total = s.gran == QG_GROUP ? vf_fma(p.s, j, total) : vf_mul(p.s, j);
    if (!has_minimum(s)) return total;
    return vf_fma(p.z, join(vi_set1(x_hi), vi_set1(x_lo), two_planes), total);
}

ALWAYS_INLINE const int8_t *plane(const struct qinput *x, const int8_t *codes, int row)
{
    return codes + (size_t)row * (((size_t)x->cols + 63) / 64 * 64);
}

/* Adds one group to the totals [tokens][VECTORS] of a tile. */
ALWAYS_INLINE void finish_sums(const struct tile *t, const int32_t *sums, int g, int groups, int tokens,
                               bool two_planes, int v0, vf *total, const int bits, const int vectors)
{
    for (int v = 0; v < vectors; v++) {
        struct params p = params_at(t, g, v0 + v);
        for (int r = 0; r < tokens; r++) {
            const int32_t *x_sums = t->x->code_sums + (size_t)(t->row + r) * 2 * (size_t)groups + (size_t)g;
            const int32_t *s = sums + ((two_planes ? 2 * r : r) * VECTORS + v) * 16;
            vi hi = vi_load(s), lo = two_planes ? vi_load(s + VECTORS * 16) : vi_zero();
            total[r * VECTORS + v] =
                finish_codes(t->w->scheme, hi, lo, x_sums[0], two_planes ? x_sums[groups] : 0, two_planes, p,
                             total[r * VECTORS + v], bits);
        }
    }
}

ALWAYS_INLINE void code_planes(const struct tile *t, bool two_planes, const int bits, const int rows,
                               const int vectors)
{
    const struct qtensor *w = t->w;
    const int cols = w->cols, group = w->scheme.gran == QG_GROUP ? w->scheme.group : cols,
              groups = cols / group;
    const int tokens = two_planes ? rows / 2 : rows, step = bits == 8 ? 4 : 8;
    const int8_t *x[CODE_ROWS];
    for (int r = 0; r < tokens; r++) {
        x[two_planes ? 2 * r : r] = plane(t->x, t->x->hi, t->row + r);
        if (two_planes) x[2 * r + 1] = plane(t->x, t->x->lo, t->row + r);
    }
    for (int v0 = 0; v0 < VECTORS; v0 += vectors) {
        const uint8_t *codes = w->codes + (size_t)t->panel * w->panel_bytes + 64 * (size_t)v0;
        vf total[CODE_ROWS * VECTORS];
        for (int i = 0; i < tokens * VECTORS; i++) total[i] = vf_zero();
        for (int g = 0; g < groups; g++) {
            int32_t sums[CODE_ROWS * PANEL];
            const uint8_t *p = codes + (size_t)(g * group / step) * (PANEL * 4);
            if (bits == 8)
                dot_i8(p, x, g * group, (g + 1) * group, sums, rows, vectors);
            else
                dot_i4(p, x, g * group, (g + 1) * group, sums, rows, vectors);
            finish_sums(t, sums, g, groups, tokens, two_planes, v0, total, bits, vectors);
        }
        for (int r = 0; r < tokens; r++) {
            vf scale = vf_set1(t->x->code_scale[t->row + r]);
            bool fused = w->scheme.gran == QG_INPUT && has_minimum(w->scheme);
            vf extra = fused ? vf_set1(t->x->sums[t->row + r]) : vf_zero();
            for (int v = 0; v < vectors; v++) {
                vf a = total[r * VECTORS + v];
                store_outputs(t, r, v0 + v, fused ? vf_fma(a, scale, extra) : vf_mul(a, scale));
            }
        }
    }
}

/* `tokens` rows of x; byte rows are twice as many for i16. */
ALWAYS_INLINE void code_tile(const struct tile *t, const int bits, const int tokens)
{
    enum { MOST = CODE_ROWS };
    const int one = tokens < MOST ? tokens : MOST, two = 2 * tokens < MOST ? 2 * tokens : MOST;
    if (t->x->kind == ACTIVATIONS_I8)
        code_planes(t, false, bits, one, CODE_VECTORS(one));
    else if (2 * tokens <= MOST)
        code_planes(t, true, bits, two, CODE_VECTORS(two));
}
#endif
