/* The products with integer codes and integer activations, instantiated by the *.dot.isa.c of formats with codes
 * through the constant `bits`.
 *
 * The stored code u = c + h, h = 2^(bits-1), is the unsigned operand, a byte of the activation's code the
 * signed one. Of a book c is the int8 level, h = 128, and s below the scale times the book's unit. For each byte plane (i8: hi; i16: hi and lo, code = 256*hi + lo) these int32 are exact:
 *
 *     U = sum of u*x     X = sum of x (prepare)     S = U - h*X = sum of c*x     D = U - (h + z)*X
 *     J(S) = (float)S for i8, the exact 256*S_hi + S_lo rounded once to float for i16
 *
 * With a the token's activation scale, an output is
 *
 *     tensor, channel   absmax (s*J(S))*a     affine (s*J(D))*a     minmax, notes fma(m, J(X), s*J(U))*a
 *     input             x(k)*s(k) was quantized; X is the sum of h*x (absmax) or (h + z(k))*x (affine):
 *                       absmax, affine J(U - X)*a     minmax fma(J(U), a, sum of m(k)*x(k) in float)
 *     group             from +0, groups in increasing order, then acc*a at the end:
 *                       absmax acc = fma(s, J(S), acc)     affine acc = fma(s, J(D), acc)
 *                       minmax acc = fma(m, J(X), fma(s, J(U), acc)) */
#ifndef QTENSOR_CODE_MATMUL_H
#define QTENSOR_CODE_MATMUL_H
#include "qtensor/layout.isa.h"
#include "qtensor/params.isa.h"
#include "qtensor/usual.isa.h"
#include "qtensor/wide.isa.h"

#define PAIRED_INPUTS 32 /* of which sums of nibbles, or less, in pairs are exact */

#define PARAMS_AHEAD 8 /* groups: the parameters so far ahead are fetched, where a panel has one tile */

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
#define EACH_VECTOR(DO, r, n) DO(r, n, 0) DO(r, n, 1) DO(r, n, 2) DO(r, n, 3)
#define EACH_SUM(DO)                                                                                         \
    EACH_VECTOR(DO, 0, 1)                                                                                    \
    EACH_VECTOR(DO, 1, 2)                                                                                    \
    EACH_VECTOR(DO, 2, 3) EACH_VECTOR(DO, 3, 4) EACH_VECTOR(DO, 4, 5) EACH_VECTOR(DO, 5, 0)

#define SUM_DECLARE(r, n, v)                                                                                 \
    vi s##r##v = r < rows && v < vectors ? first_sum(t, g, r, v0 + v, two_planes, bits) : vi_zero();
/* SUM(r, v) is s##r##v, or pairs##r##v while products of nibbles are summed in pairs. */
#define SUM_DOT(r, n, v)                                                                                     \
    if (v < vectors) SUM(r, v) = DOT(SUM(r, v), u##v, xb);
#define PAIRS_DECLARE(r, n, v) vi pairs##r##v = vi_zero();
#define PAIRS_ADD(r, n, v)                                                                                   \
    if (r < rows && v < vectors) s##r##v = vi_add_pairs(s##r##v, pairs##r##v);
#define ROW_DOT(r)                                                                                           \
    if (r < rows) {                                                                                          \
        vc xb = vc_broadcast(x[r] + k);                                                                      \
        EACH_VECTOR(SUM_DOT, r, )                                                                            \
    }
#define EACH_ROW_DOT ROW_DOT(0) ROW_DOT(1) ROW_DOT(2) ROW_DOT(3) ROW_DOT(4) ROW_DOT(5)
#define SUM_FINISH(r, n, v)                                                                                  \
    if (r < rows && v < vectors && !(two_planes && r % 2))                                                   \
        finish_sum(t, g, two_planes ? r / 2 : r, s##r##v, s##n##v, two_planes, p##v,                         \
                   &total[(two_planes ? r / 2 : r) * VECTORS + v0 + v]);

/* A step: the tile's vectors of unsigned codes, quad by quad, times the bytes of every row. */
#define QUAD_INPUTS(q)                                                                                       \
    {                                                                                                        \
        vc u0 = quad_stored(codes, q, bits), u1 = u0, u2 = u0, u3 = u0;                                      \
        if (LAYOUT_BEGINS(q, bits)) fetch_ahead(ahead);                                                      \
        if (vectors > 1) u1 = quad_stored(codes + 64, q, bits);                                              \
        if (vectors > 2) u2 = quad_stored(codes + 128, q, bits), u3 = quad_stored(codes + 192, q, bits);     \
        EACH_ROW_DOT                                                                                         \
        k += 4;                                                                                              \
    }
#define STEP_INPUTS                                                                                          \
    {                                                                                                        \
        EACH_QUAD(bits, QUAD_INPUTS)                                                                         \
    }

/* Whether a group's, or all, inputs are so few that sums of a plane are within 2^24: floats hold them
 * exactly. */
ALWAYS_INLINE bool sums_are_small(const struct tile *t)
{
    const struct scheme s = t->w->scheme;
    return t->group <=
           (scheme_zero(s) == QZERO_NONE && s.gran != QG_INPUT ? 1024 : 512); /* times 128 * 128, 255 * 128 */
}

/* J of one vector, from the sums of one token's planes. */
ALWAYS_INLINE vf join(const struct tile *t, vi hi, vi lo, bool two_planes)
{
    if (!two_planes) return vi_to_float(hi);
    return sums_are_small(t) ? vf_fma(vi_to_float(hi), vf_set1(256.0f), vi_to_float(lo)) : vi_join(hi, lo);
}

/* Group g of the sums of a byte row's codes. */
ALWAYS_INLINE int32_t code_sum_of(const struct tile *t, int g, int token, int plane)
{
    return t->x->code_sums[((size_t)(t->row + token) * 2 + (size_t)plane) * (size_t)t->groups + (size_t)g];
}

/* What a sum of u*x begins with so that it ends as S, D or, for QG_INPUT, U - X; with a minimum it is U. */
ALWAYS_INLINE vi first_sum(const struct tile *t, int g, int row, int v, bool two_planes, const int bits)
{
    const struct scheme s = t->w->scheme;
    const int32_t h = PRODUCT_HALF(bits);
    if (has_minimum(s)) return vi_zero();
    int32_t x_sum = two_planes ? code_sum_of(t, g, row / 2, row % 2) : code_sum_of(t, g, row, 0);
    if (s.gran == QG_INPUT) return vi_set1(-x_sum);
    if (scheme_zero(s) == QZERO_NONE) return vi_set1(-h * x_sum);
    return vi_mul(vi_add(vi_set1(h), vf_to_int(params_at(t, g, v, bits).z)), vi_set1(-x_sum));
}

/* The head's formulas for one vector of one token and one group, or all, inputs: its total goes on. */
ALWAYS_INLINE void finish_sum(const struct tile *t, int g, int token, vi hi, vi lo, bool two_planes,
                              struct params p, vf *a)
{
    const struct scheme s = t->w->scheme;
    vf j = join(t, hi, lo, two_planes);
    if (s.gran == QG_INPUT) {
        *a = j;
        return;
    }
    *a = s.gran == QG_GROUP ? vf_fma(p.s, j, *a) : vf_mul(p.s, j);
    if (!has_minimum(s)) return;
    vi x_hi = vi_set1(code_sum_of(t, g, token, 0)),
       x_lo = vi_set1(two_planes ? code_sum_of(t, g, token, 1) : 0);
    *a = vf_fma(p.z, join(t, x_hi, x_lo, two_planes), *a);
}

/* The output of a token's total: vector v of its row. */
ALWAYS_INLINE void store_total(const struct tile *t, int token, int v, vf total)
{
    const vf scale = vf_set1(t->x->code_scale[t->row + token]);
    const bool fused = t->w->scheme.gran == QG_INPUT && has_minimum(t->w->scheme);
    store_outputs(t, token, v,
                  fused ? vf_fma(total, scale, vf_set1(t->x->sums[t->row + token])) : vf_mul(total, scale));
}

/* Goes on with the totals of `vectors` vectors from v0 on by the inputs of group g, whose codes begin at
 * `codes`. The rows are padded with 0 where the last step passes the end. */
ALWAYS_INLINE void group_tile(const struct tile *t, int g, int v0, const uint8_t *codes,
                              const int8_t *const *x, struct ahead *ahead, vf *total, bool two_planes,
                              const int bits, const int rows, const int vectors)
{
    const int group = t->group, k1 = (g + 1) * group;
    /* Large tiles have no registers for it. */
    if ((two_planes || rows < 5) && v0 == 0 && t->row == t->x->begin)
        fetch_params(t, g, t->ahead.is_share ? t->groups : PARAMS_AHEAD, bits);
    EACH_SUM(SUM_DECLARE)
#define SUM(r, v) s##r##v
    if (PRODUCT_BITS(bits) == 8) {
#define DOT vi_dot
        for (int k = g * group; k < k1; codes += LAYOUT_STEP(bits)) STEP_INPUTS
#undef DOT
    } else if (!NIBBLE_PAIRS) {
#define DOT vi_dot_nibbles
        for (int k = g * group; k < k1; codes += LAYOUT_STEP(bits)) STEP_INPUTS
#undef DOT
    }
#undef SUM
#if NIBBLE_PAIRS
#define DOT       vi_dot_pairs
#define SUM(r, v) pairs##r##v
    for (int k = g * group; PRODUCT_BITS(bits) < 8 && k < k1;) {
        const int end = k1 - k < PAIRED_INPUTS ? k1 : k + PAIRED_INPUTS;
        EACH_SUM(PAIRS_DECLARE)
        for (; k < end; codes += LAYOUT_STEP(bits)) STEP_INPUTS
        EACH_SUM(PAIRS_ADD)
    }
#undef DOT
#undef SUM
#endif
    const struct params p0 = product_params_at(t, g, v0, bits),
                        p1 = vectors > 1 ? product_params_at(t, g, v0 + 1, bits) : p0,
                        p2 = vectors > 2 ? product_params_at(t, g, v0 + 2, bits) : p0,
                        p3 = vectors > 2 ? product_params_at(t, g, v0 + 3, bits) : p0;
    EACH_SUM(SUM_FINISH)
}

ALWAYS_INLINE const int8_t *plane(const struct qinput *x, const int8_t *codes, int row)
{
    return codes + (size_t)row * (((size_t)x->cols + 63) / 64 * 64);
}

ALWAYS_INLINE void code_planes(const struct tile *given, bool two_planes, const int bits, const int rows,
                               const int vectors, const bool usual)
{
    struct tile_copy copy;
    const struct tile *t = usual_copied(&copy, given, usual, bits);
    const struct qtensor *w = t->w;
    const int groups = t->groups, tokens = two_planes ? rows / 2 : rows;
    const size_t group_bytes = LAYOUT_BYTES(t->group, bits);
    const int8_t *x[CODE_ROWS];
    for (int r = 0; r < tokens; r++) {
        x[two_planes ? 2 * r : r] = plane(t->x, t->x->hi, t->row + r);
        if (two_planes) x[2 * r + 1] = plane(t->x, t->x->lo, t->row + r);
    }
    for (int v0 = 0; v0 < VECTORS; v0 += vectors) {
        const uint8_t *codes = w->codes + (size_t)t->panel * w->panel_bytes + 64 * (size_t)v0;
        struct ahead ahead = t->ahead;
        vf total[CODE_ROWS * VECTORS];
        if (w->scheme.gran == QG_GROUP)
            for (int i = 0; i < tokens * VECTORS; i++) total[i] = vf_zero();
        for (int g = 0; g < groups; g++)
            group_tile(t, g, v0, codes + (size_t)g * group_bytes, x, &ahead, total, two_planes, bits, rows,
                       vectors);
        for (int r = 0; r < tokens; r++)
            for (int v = v0; v < v0 + vectors; v++) store_total(t, r, v, total[r * VECTORS + v]);
    }
}

/* A tile of `tokens` rows of x, if it may have so many, with one or two planes of bytes each. Functions of their own, which need all
 * registers: in one large function gcc 12 keeps sums in memory here and there. */
#define CODE_FUNCTION(name, bits, tokens, planes, which, usual)                                              \
    static __attribute__((noinline)) void name##_tile_##tokens##x##planes##_##which(const struct tile *t)    \
    {                                                                                                        \
        enum { rows = planes * tokens };                                                                     \
        if (rows <= CODE_ROWS && !(WIDE_CODES && planes == 2))                                               \
            code_planes(t, planes == 2, bits, rows < CODE_ROWS ? rows : CODE_ROWS, CODE_VECTORS(rows),       \
                        usual);                                                                              \
    }
#define CODE_FUNCTIONS(name, bits, tokens)                                                                   \
    CODE_FUNCTION(name, bits, tokens, 1, any, false)                                                         \
    CODE_FUNCTION(name, bits, tokens, 1, usual, true)                                                        \
    CODE_FUNCTION(name, bits, tokens, 2, any, false)                                                         \
    CODE_FUNCTION(name, bits, tokens, 2, usual, true)
#define CODE_CASE(name, bits, tokens)                                                                        \
    case tokens:                                                                                             \
        if (t->x->kind == ACTIVATIONS_I8)                                                                    \
            (IS_USUAL(t, bits) ? name##_tile_##tokens##x1_usual : name##_tile_##tokens##x1_any)(t);          \
        else                                                                                                 \
            (IS_USUAL(t, bits) ? name##_tile_##tokens##x2_usual : name##_tile_##tokens##x2_any)(t);          \
        break;
#define EACH_TOKENS(DO, name, bits)                                                                          \
    DO(name, bits, 1)                                                                                        \
    DO(name, bits, 2) DO(name, bits, 3) DO(name, bits, 4) DO(name, bits, 5) DO(name, bits, 6)
/* NAME_tile */
#define CODE_TILE(name, bits)                                                                                \
    EACH_TOKENS(CODE_FUNCTIONS, name, bits)                                                                  \
    static void name##_tile(const struct tile *t, int tokens)                                                \
    {                                                                                                        \
        switch (tokens) {                                                                                    \
            EACH_TOKENS(CODE_CASE, name, bits)                                                               \
        }                                                                                                    \
    }
#endif
