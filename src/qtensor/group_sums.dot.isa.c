/* The sums of groups for several rows (group_sums.h), by the formulas of code_matmul.isa.h, for sets with 32 registers and VNNI. */
#include "qtensor/group_sums.h"
#include "qtensor/six_rows.isa.h"
#include "qtensor/codes.isa.h"

#if defined(GPT2Q_ISA_avx512vnni) && !defined(GPT2Q_ISA_amx)

#define ROW_INPUT(r) const int8_t *const x##r = b->x + (size_t)(row + (r < rows ? r : 0)) * b->x_stride;

/* A multiplication in its beginning would cost each sum as much as one of its products does. */
#define SUM_BEGIN(r, v)                                                                                      \
    vi s##r##v = r < rows ? vi_set1(starts[r * GROUP_COUNT]) : vi_zero();                                    \
    if (r < rows && zero == QZERO_POINT)                                                                     \
        s##r##v = vi_sub(s##r##v, vi_mul(vi_set1(sums[r * stride]), vi_load(p->z + v0 + 16 * v)));

#define SUM_DOT(r, v) s##r##v = vi_dot(s##r##v, u##v, xb);
#define ROW_DOT(r)                                                                                           \
    if (r < rows) {                                                                                          \
        const vc xb = vc_broadcast(x##r + k);                                                                \
        EACH_VECTOR(SUM_DOT, r)                                                                              \
    }
#define QUAD_DOTS                                                                                            \
    {                                                                                                        \
        const vc u0 = vc_load(codes), u1 = vc_load(codes + 64);                                              \
        EACH_ROW(ROW_DOT)                                                                                    \
    }
#define TOTAL_LOAD(r, v) vf t##r##v = r < rows ? vf_load(b->totals[row + r] + v0 + 16 * v) : vf_zero();
#define TOTAL_STORE(r, v)                                                                                    \
    if (r < rows) vf_store(b->totals[row + r] + v0 + 16 * v, t##r##v);
#define SUM_FINISH(r, v)                                                                                     \
    if (r < rows) t##r##v = vf_fma(vf_load(p->s + v0 + 16 * v), vi_to_float(s##r##v), t##r##v);              \
    if (r < rows && zero == QZERO_MINIMUM)                                                                   \
        t##r##v = vf_fma(vf_load(p->m + v0 + 16 * v), vf_set1((float)sums[r * stride]), t##r##v);

#define UNROLLED_GROUP 32 /* inputs: products of such groups are unrolled, which saves 3 % of their time */

/* 32 outputs from v0 on. Totals stay in registers: read and written after every group they would take twice as long as the products.
 * `group` is the inputs of every group as a constant, or 0: b->group says it. */
ALWAYS_INLINE void sums_half(const struct group_block *given, int row, int v0, const uint8_t *ahead,
                             const enum qzero zero, const int group, const int rows)
{
    const struct group_block copy = *given, *b = &copy; /* stores of vectors may alias what is given */
    const ptrdiff_t stride = (ptrdiff_t)b->sums_stride;
    const uint8_t *codes = b->codes + (size_t)v0 * b->half / 32;
    ptrdiff_t k = 0;
    EACH_ROW(ROW_INPUT)
    EACH_SUM(TOTAL_LOAD)
    for (int g = 0; g < b->count; g++) {
        const struct group_params *p = b->params + g;
        const int32_t *sums = b->sums + row * stride + g, *starts = b->starts[row] + g;
        for (size_t i = 0; i < b->ahead_step; i += 64) prefetch_far(ahead + i);
        ahead += b->ahead_step;
        EACH_SUM(SUM_BEGIN)
        const uint8_t *end = codes + 32 * (group ? group : b->group);
#pragma GCC unroll 8
        for (int i = 0; i < group / 4; i++, codes += 128, k += 4) QUAD_DOTS
        for (; !group && codes < end; codes += 128, k += 4) QUAD_DOTS
        EACH_SUM(SUM_FINISH)
    }
    EACH_SUM(TOTAL_STORE)
}

/* Functions of their own, which need all registers. */
#define SUMS_TILE(rows)                                                                                      \
    SUMS_FUNCTION(rows, none, QZERO_NONE, 0)                                                                 \
    SUMS_FUNCTION(rows, point, QZERO_POINT, 0)                                                               \
    SUMS_FUNCTION(rows, minimum, QZERO_MINIMUM, 0)                                                           \
    SUMS_FUNCTION(rows, unrolled, QZERO_NONE, UNROLLED_GROUP)
#define SUMS_FUNCTION(rows, name, zero, group)                                                               \
    static __attribute__((noinline)) void sums_##rows##_##name(const struct group_block *b, int row,         \
                                                               const uint8_t *ahead)                         \
    {                                                                                                        \
        sums_half(b, row, 0, ahead, zero, group, rows);                                                      \
        sums_half(b, row, 32, ahead + b->ahead_step * (size_t)b->count, zero, group, rows);                  \
    }
SUMS_TILE(3)
SUMS_TILE(4)
SUMS_TILE(5)
SUMS_TILE(6)

typedef void sums_fn(const struct group_block *b, int row, const uint8_t *ahead);
#define SUMS_ROW(rows)                                                                                       \
    {                                                                                                        \
        sums_##rows##_none, sums_##rows##_point, sums_##rows##_minimum, sums_##rows##_unrolled               \
    }

void ISA(group_sums)(const struct group_block *b, int n)
{
    static sums_fn *const of_rows[][4] = {SUMS_ROW(3), SUMS_ROW(4), SUMS_ROW(5), SUMS_ROW(6)};
    const int kind = b->zero == QZERO_NONE && b->group == UNROLLED_GROUP ? 3 : (int)b->zero;
    const uint8_t *ahead = b->ahead;
    for (int row = 0, rows; row < n; row += rows) {
        const int left = n - row;
        rows = left >= GROUP_TILE + GROUP_TILE / 2 || left == GROUP_TILE ? GROUP_TILE
               : left > GROUP_TILE                                       ? (left + 1) / 2
                                                                         : left;
        of_rows[rows - GROUP_TILE / 2][kind](b, row, ahead);
        ahead += 2 * b->ahead_step * (size_t)b->count;
    }
}
#endif
