/* The sums of groups for several rows (group_sums.h), by the formulas of code_matmul.isa.h, for sets with 32 registers and VNNI.
 *
 * Of i16 a sum is made of both planes in one register: that of hi, times 256, goes on with lo. So a group of i16 ends as one of i8
 * does, with one conversion and one multiply-add. It is exact, for the whole sum fits int32 (group_takes). */
#include "qtensor/group_sums.h"
#include "qtensor/codes.isa.h"

#if defined(GPT2Q_ISA_avx512vnni)

/* Sums are named variables: arrays of vectors that inline assembly changes stay in memory with gcc 12. */
#define EACH_ROW(DO)       DO(0) DO(1) DO(2) DO(3) DO(4) DO(5)
#define EACH_VECTOR(DO, r) DO(r, 0) DO(r, 1)
#define EACH_SUM(DO)                                                                                         \
    EACH_VECTOR(DO, 0)                                                                                       \
    EACH_VECTOR(DO, 1) EACH_VECTOR(DO, 2) EACH_VECTOR(DO, 3) EACH_VECTOR(DO, 4) EACH_VECTOR(DO, 5)

#define ROW_INPUT(r) const int8_t *const x##r = b->hi + (size_t)(row + (r < rows ? r : 0)) * b->x_stride;

/* What the sums of a plane begin with. */
#define ROW_DECLARE(r) vi start##r = vi_zero();
#define ROW_START(r)                                                                                         \
    if (r < rows && zero != QZERO_POINT) start##r = vi_mul(vi_set1(sums[r * sums_stride]), vi_load(p->start));
#define SUM_START(r, v)                                                                                      \
    (zero == QZERO_POINT ? vi_mul(vi_set1(sums[r * sums_stride]), vi_load(p->start + v0 + 16 * v)) : start##r)
#define SUM_BEGIN(r, v) vi s##r##v = r < rows ? SUM_START(r, v) : vi_zero();
#define SUM_TO_LO(r, v)                                                                                      \
    if (r < rows) s##r##v = vi_add(vi_times_256(s##r##v), SUM_START(r, v));

#define SUM_DOT(r, v) s##r##v = vi_dot(s##r##v, u##v, xb);
#define ROW_DOT(r)                                                                                           \
    if (r < rows) {                                                                                          \
        const vc xb = vc_broadcast(x##r + k);                                                                \
        EACH_VECTOR(SUM_DOT, r)                                                                              \
    }
#define PLANE                                                                                                \
    for (const uint8_t *end = codes + 32 * b->group; codes < end; codes += 128, k += 4) {                    \
        const vc u0 = vc_load(codes), u1 = vc_load(codes + 64);                                              \
        EACH_ROW(ROW_DOT)                                                                                    \
    }

#define TOTAL_LOAD(r, v) vf t##r##v = r < rows ? vf_load(b->totals[row + r] + v0 + 16 * v) : vf_zero();
#define TOTAL_STORE(r, v)                                                                                    \
    if (r < rows) vf_store(b->totals[row + r] + v0 + 16 * v, t##r##v);
#define SUM_FINISH(r, v)                                                                                     \
    if (r < rows) t##r##v = vf_fma(vf_load(p->s + v0 + 16 * v), vi_to_float(s##r##v), t##r##v);              \
    if (r < rows && zero == QZERO_MINIMUM)                                                                   \
        t##r##v = vf_fma(vf_load(p->m + v0 + 16 * v), code_sum(sums + r * sums_stride, b), t##r##v);

/* J(X) of a row. */
ALWAYS_INLINE vf code_sum(const int32_t *sums, const struct group_block *b)
{
    return vf_set1((float)(b->lo ? 256 * sums[0] + sums[b->groups] : sums[0]));
}

/* 32 outputs from v0 on. Totals stay in registers: read and written after every group they would take twice as long as the products. */
ALWAYS_INLINE void sums_half(const struct group_block *given, int row, int v0, const uint8_t *ahead,
                             const bool wide, const enum qzero zero, const int rows)
{
    const struct group_block copy = *given, *b = &copy; /* stores of vectors may alias what is given */
    const ptrdiff_t sums_stride = 2 * b->groups;
    const uint8_t *codes = b->codes + (size_t)v0 * b->half / 32;
    ptrdiff_t k = 0;
    EACH_ROW(ROW_INPUT)
    EACH_SUM(TOTAL_LOAD)
    for (int g = 0; g < b->count; g++) {
        const struct group_params *p = b->params + g;
        const int32_t *sums = b->sums + row * sums_stride + g;
        for (size_t i = 0; i < b->ahead_step; i += 64) prefetch_far(ahead + i);
        ahead += b->ahead_step;
        EACH_ROW(ROW_DECLARE)
        EACH_ROW(ROW_START)
        EACH_SUM(SUM_BEGIN)
        PLANE
        if (wide) {
            sums += b->groups;
            codes -= 32 * b->group;
            k += b->lo - b->group;
            EACH_ROW(ROW_START)
            EACH_SUM(SUM_TO_LO)
            PLANE
            k -= b->lo;
            sums -= b->groups;
        }
        EACH_SUM(SUM_FINISH)
    }
    EACH_SUM(TOTAL_STORE)
}

/* Functions of their own, which need all registers. */
#define SUMS_TILE(rows)                                                                                      \
    SUMS_KIND(rows, i8, false)                                                                               \
    SUMS_KIND(rows, i16, true)
#define SUMS_KIND(rows, name, wide)                                                                          \
    SUMS_FUNCTION(rows, name##_none, wide, QZERO_NONE)                                                       \
    SUMS_FUNCTION(rows, name##_point, wide, QZERO_POINT)                                                     \
    SUMS_FUNCTION(rows, name##_minimum, wide, QZERO_MINIMUM)
#define SUMS_FUNCTION(rows, name, wide, zero)                                                                \
    static __attribute__((noinline)) void sums_##rows##_##name(const struct group_block *b, int row,         \
                                                               const uint8_t *ahead)                         \
    {                                                                                                        \
        sums_half(b, row, 0, ahead, wide, zero, rows);                                                       \
        sums_half(b, row, 32, ahead + b->ahead_step * (size_t)b->count, wide, zero, rows);                   \
    }
SUMS_TILE(3)
SUMS_TILE(4)
SUMS_TILE(5)
SUMS_TILE(6)

typedef void sums_fn(const struct group_block *b, int row, const uint8_t *ahead);
#define SUMS_ROW(rows)                                                                                       \
    {                                                                                                        \
        {sums_##rows##_i8_none, sums_##rows##_i8_point, sums_##rows##_i8_minimum},                           \
        {                                                                                                    \
            sums_##rows##_i16_none, sums_##rows##_i16_point, sums_##rows##_i16_minimum                       \
        }                                                                                                    \
    }

void ISA(group_sums)(const struct group_block *b, int n)
{
    static sums_fn *const of_rows[][2][3] = {SUMS_ROW(3), SUMS_ROW(4), SUMS_ROW(5), SUMS_ROW(6)};
    const uint8_t *ahead = b->ahead;
    for (int row = 0, rows; row < n; row += rows) {
        const int left = n - row;
        rows = left >= GROUP_TILE + GROUP_TILE / 2 || left == GROUP_TILE ? GROUP_TILE
               : left > GROUP_TILE                                       ? (left + 1) / 2
                                                                         : left;
        of_rows[rows - GROUP_TILE / 2][b->lo != 0][b->zero](b, row, ahead);
        ahead += 2 * b->ahead_step * (size_t)b->count;
    }
}
#endif
