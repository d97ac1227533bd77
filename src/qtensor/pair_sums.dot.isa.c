/* The sums of 16-bit codes for several rows (pair_sums.h), by the formulas of code_matmul.isa.h, for sets with 32 registers and VNNI.
 *
 * A quad, four inputs, is multiplied in one of two ways. Odd ones take two products of two 16-bit integers. Even ones take one
 * product of two sums (wide_matmul.isa.h has the identity), which costs one multiplication and two additions. A core that makes two
 * multiplications and four vector instructions in a cycle is then busy with both. Where additions are not free (core.h), even quads
 * are multiplied as odd ones are. */
#include "qtensor/pair_sums.h"
#include "qtensor/six_rows.isa.h"
#include "qtensor/wide.isa.h"

#if defined(GPT2Q_ISA_avx512vnni) && !defined(GPT2Q_ISA_amx)

typedef int32_t __attribute__((may_alias)) two_words;

#define ROW_INPUT(r) const int16_t *x##r = b->x + (size_t)(row + (r < rows ? r : 0)) * b->x_stride;
#define SUM_BEGIN(r, v)                                                                                      \
    vi s##r##v = vi_zero();                                                                                  \
    if (r < rows) s##r##v = vi_set1(starts[r * stride]);                                                     \
    if (r < rows && sums) s##r##v = vi_add(vi_load(p->start + 16 * v), s##r##v);                             \
    if (r < rows && end == PAIR_POINT)                                                                       \
        s##r##v = vi_sub(s##r##v, vi_mul(vi_load(p->z + 16 * v), vi_set1(of_x[r * stride])));

/* One block of assembly for a row, because a tile needs all registers. w02v and w13v are inputs 0 and 2, and 1 and 3, of vector v. */
#define ROW_SUMS(r)                                                                                          \
    if (r < rows)                                                                                            \
        __asm__("vpbroadcastd %[x02], %[a]\n\t"                                                              \
                "vpbroadcastd %[x13], %[b]\n\t"                                                              \
                "vpaddw %[w130], %[a], %[c]\n\t"                                                             \
                "vpaddw %[w020], %[b], %[d]\n\t"                                                             \
                "vpaddw %[w131], %[a], %[a]\n\t"                                                             \
                "vpaddw %[w021], %[b], %[b]\n\t"                                                             \
                "vpdpwssd %[d], %[c], %[s0]\n\t"                                                             \
                "vpdpwssd %[b], %[a], %[s1]"                                                                 \
                : [s0] "+v"(s##r##0), [s1] "+v"(s##r##1), [a] "=&v"(a), [b] "=&v"(bb), [c] "=&v"(c),         \
                  [d] "=&v"(d)                                                                               \
                : [w020] "v"(w020), [w021] "v"(w021), [w130] "v"(w130), [w131] "v"(w131),                    \
                  [x02] "m"(*(const two_words *)(x##r + k)), [x13] "m"(*(const two_words *)(x##r + k + 2)));
#define ROW_PRODUCTS(r, from)                                                                                \
    if (r < rows)                                                                                            \
        __asm__("vpbroadcastd %[x02], %[a]\n\t"                                                              \
                "vpbroadcastd %[x13], %[b]\n\t"                                                              \
                "vpdpwssd %[w020], %[a], %[s0]\n\t"                                                          \
                "vpdpwssd %[w021], %[a], %[s1]\n\t"                                                          \
                "vpdpwssd %[w130], %[b], %[s0]\n\t"                                                          \
                "vpdpwssd %[w131], %[b], %[s1]"                                                              \
                : [s0] "+v"(s##r##0), [s1] "+v"(s##r##1), [a] "=&v"(a), [b] "=&v"(bb)                        \
                : [w020] "v"(w020), [w021] "v"(w021), [w130] "v"(w130), [w131] "v"(w131),                    \
                  [x02] "m"(*(const two_words *)(x##r + k + from)),                                          \
                  [x13] "m"(*(const two_words *)(x##r + k + from + 2)));
#define ROW_EVEN(r) ROW_PRODUCTS(r, 0)
#define ROW_ODD(r)  ROW_PRODUCTS(r, 4)

/* A whole tile's pair of quads in one block, for it takes 20 registers beside 12 of totals, and gcc would spill some. Rows are at x,
 * x + step, x + 2 step, y, y + step, y + 2 step. */
#define SIX_QUAD(DO)                                                                                         \
    DO("(%[x])", "4(%[x])", "8(%[x])", "12(%[x])", "s00", "s01")                                             \
    DO("(%[x],%[step])", "4(%[x],%[step])", "8(%[x],%[step])", "12(%[x],%[step])", "s10", "s11")             \
    DO("(%[x],%[step],2)", "4(%[x],%[step],2)", "8(%[x],%[step],2)", "12(%[x],%[step],2)", "s20", "s21")     \
    DO("(%[y])", "4(%[y])", "8(%[y])", "12(%[y])", "s30", "s31")                                             \
    DO("(%[y],%[step])", "4(%[y],%[step])", "8(%[y],%[step])", "12(%[y],%[step])", "s40", "s41")             \
    DO("(%[y],%[step],2)", "4(%[y],%[step],2)", "8(%[y],%[step],2)", "12(%[y],%[step],2)", "s50", "s51")
#define SIX_LOAD(at0, at1, at2, at3)                                                                         \
    "vmovdqa64 " at0 "(%[w]), %%zmm24\n\tvmovdqa64 " at1 "(%[w]), %%zmm25\n\t"                               \
    "vmovdqa64 " at2 "(%[w]), %%zmm26\n\tvmovdqa64 " at3 "(%[w]), %%zmm27\n\t"
#define SIX_SUMS(x02, x13, y02, y13, s0, s1)                                                                 \
    "vpbroadcastd " x02 ", %%zmm28\n\tvpbroadcastd " x13 ", %%zmm29\n\t"                                     \
    "vpaddw %%zmm25, %%zmm28, %%zmm30\n\tvpaddw %%zmm24, %%zmm29, %%zmm31\n\t"                               \
    "vpaddw %%zmm27, %%zmm28, %%zmm28\n\tvpaddw %%zmm26, %%zmm29, %%zmm29\n\t"                               \
    "vpdpwssd %%zmm31, %%zmm30, %[" s0 "]\n\tvpdpwssd %%zmm29, %%zmm28, %[" s1 "]\n\t"
#define SIX_EVEN(x02, x13, y02, y13, s0, s1) SIX_ODD(, , x02, x13, s0, s1)
#define SIX_ODD(x02, x13, y02, y13, s0, s1)                                                                  \
    "vpbroadcastd " y02 ", %%zmm28\n\tvpbroadcastd " y13 ", %%zmm29\n\t"                                     \
    "vpdpwssd %%zmm24, %%zmm28, %[" s0 "]\n\tvpdpwssd %%zmm26, %%zmm28, %[" s1 "]\n\t"                       \
    "vpdpwssd %%zmm25, %%zmm29, %[" s0 "]\n\tvpdpwssd %%zmm27, %%zmm29, %[" s1 "]\n\t"
#define SIX_ROWS(EVEN)                                                                                       \
    for (const int16_t *last = w + 256 * b->quads; w < last; w += 256, x0 += 8, x3 += 8) {                   \
        __asm__ volatile(SIX_LOAD("0", "64", "128", "192") SIX_QUAD(EVEN)                                    \
                             SIX_LOAD("256", "320", "384", "448") SIX_QUAD(SIX_ODD)                          \
                         : [s00] "+v"(s00), [s01] "+v"(s01), [s10] "+v"(s10), [s11] "+v"(s11),               \
                           [s20] "+v"(s20), [s21] "+v"(s21), [s30] "+v"(s30), [s31] "+v"(s31),               \
                           [s40] "+v"(s40), [s41] "+v"(s41), [s50] "+v"(s50), [s51] "+v"(s51)                \
                         : [x] "r"(x0), [y] "r"(x3), [step] "r"(step), [w] "r"(w)                            \
                         : "memory", "xmm24", "xmm25", "xmm26", "xmm27", "xmm28", "xmm29", "xmm30",          \
                           "xmm31");                                                                         \
    }

#define TOTAL_LOAD(r, v)                                                                                     \
    vf t##r##v = vf_zero();                                                                                  \
    if (r < rows && end != PAIR_STRETCH) t##r##v = vf_load(b->totals[row + r] + 16 * v);
#define TOTAL_STORE(r, v)                                                                                    \
    if (r < rows && end != PAIR_STRETCH) vf_store(b->totals[row + r] + 16 * v, t##r##v);
#define SUM_FINISH(r, v)                                                                                     \
    if (r < rows && end == PAIR_STRETCH) add_stretch(b, row + r, v, s##r##v);                                \
    if (r < rows && end != PAIR_STRETCH) {                                                                   \
        t##r##v = vf_fma(vf_load(p->s + 16 * v), vi_to_float(s##r##v), t##r##v);                             \
        if (end == PAIR_MINIMUM)                                                                             \
            t##r##v = vf_fma(vf_load(p->m + 16 * v), vf_set1((float)of_x[r * stride]), t##r##v);             \
    }

ALWAYS_INLINE void add_stretch(const struct pair_block *b, int row, int v, vi sum)
{
    int32_t *high = b->high[row] + 16 * v, *low = b->low[row] + 16 * v;
    vi_store(high, vi_add(vi_load(high), vi_over_256(sum)));
    vi_store(low, vi_add(vi_load(low), vi_modulo_256(sum)));
}

ALWAYS_INLINE void pair_tile(const struct pair_block *given, int row, const uint8_t *ahead,
                             const enum pair_end end, const bool sums, const int rows)
{
    const struct pair_block copy = *given, *b = &copy; /* stores of vectors may alias what is given */
    const ptrdiff_t stride = PAIR_SUMS * (ptrdiff_t)b->pieces;
    const int16_t *w = b->codes;
    const int32_t *of_x = b->sums + row * stride, *starts = of_x + b->pieces;
    const struct pair_params *p = b->params;
    const ptrdiff_t step = (ptrdiff_t)(b->x_stride * sizeof *b->x);
    ptrdiff_t k = 0;
    EACH_ROW(ROW_INPUT)
    EACH_SUM(TOTAL_LOAD)
    for (int g = 0; g < b->count; g++, p++, of_x++, starts++) {
        for (size_t i = 0; i < b->ahead_step; i += 64) prefetch_far(ahead + i);
        ahead += b->ahead_step;
        EACH_SUM(SUM_BEGIN)
        if (rows == PAIR_TILE && sums) {
            SIX_ROWS(SIX_SUMS)
        } else if (rows == PAIR_TILE) {
            SIX_ROWS(SIX_EVEN)
        }
        for (const int16_t *last = w + 256 * b->quads; rows < PAIR_TILE && w < last; w += 256, k += 8) {
            vi w020 = vi_load((const int32_t *)(const void *)w),
               w130 = vi_load((const int32_t *)(const void *)(w + 32)),
               w021 = vi_load((const int32_t *)(const void *)(w + 64)),
               w131 = vi_load((const int32_t *)(const void *)(w + 96)), a, bb, c, d;
            if (sums) {
                EACH_ROW(ROW_SUMS)
            } else {
                EACH_ROW(ROW_EVEN)
            }
            w020 = vi_load((const int32_t *)(const void *)(w + 128)),
            w130 = vi_load((const int32_t *)(const void *)(w + 160));
            w021 = vi_load((const int32_t *)(const void *)(w + 192)),
            w131 = vi_load((const int32_t *)(const void *)(w + 224));
            EACH_ROW(ROW_ODD)
        }
        EACH_SUM(SUM_FINISH)
    }
    EACH_SUM(TOTAL_STORE)
}

/* Functions of their own, which need all registers. */
#define PAIR_TILES(rows)                                                                                     \
    PAIR_FUNCTION(rows, PAIR_NONE, sums, true)                                                               \
    PAIR_FUNCTION(rows, PAIR_POINT, sums, true)                                                              \
    PAIR_FUNCTION(rows, PAIR_MINIMUM, sums, true)                                                            \
    PAIR_FUNCTION(rows, PAIR_STRETCH, sums, true)                                                            \
    PAIR_FUNCTION(rows, PAIR_NONE, products, false)                                                          \
    PAIR_FUNCTION(rows, PAIR_POINT, products, false)                                                         \
    PAIR_FUNCTION(rows, PAIR_MINIMUM, products, false)
#define PAIR_FUNCTION(rows, end, way, sums)                                                                  \
    static __attribute__((noinline)) void way##_##rows##_##end(const struct pair_block *b, int row,          \
                                                               const uint8_t *ahead)                         \
    {                                                                                                        \
        pair_tile(b, row, ahead, end, sums, rows);                                                           \
    }
PAIR_TILES(1)
PAIR_TILES(2)
PAIR_TILES(3)
PAIR_TILES(4)
PAIR_TILES(5)
PAIR_TILES(6)

typedef void tile_fn(const struct pair_block *b, int row, const uint8_t *ahead);
#define TILE_ROW(rows)                                                                                       \
    {                                                                                                        \
        {products_##rows##_PAIR_NONE, products_##rows##_PAIR_POINT, products_##rows##_PAIR_MINIMUM, NULL},   \
        {                                                                                                    \
            sums_##rows##_PAIR_NONE, sums_##rows##_PAIR_POINT, sums_##rows##_PAIR_MINIMUM,                   \
                sums_##rows##_PAIR_STRETCH                                                                   \
        }                                                                                                    \
    }

/* Tiles are nearly alike. */
void ISA(pair_sums)(const struct pair_block *b, int n)
{
    static tile_fn *const of_rows[][2][PAIR_ENDS] = {TILE_ROW(1), TILE_ROW(2), TILE_ROW(3),
                                                     TILE_ROW(4), TILE_ROW(5), TILE_ROW(6)};
    const int tiles = (n + PAIR_TILE - 1) / PAIR_TILE;
    const uint8_t *ahead = b->ahead;
    for (int i = 0; i < tiles; i++, ahead += b->ahead_step * (size_t)b->count) {
        const int row = n * i / tiles, rows = n * (i + 1) / tiles - row;
        of_rows[rows - 1][b->free_sums][b->end](b, row, ahead);
    }
}
#endif
