/* The tables of kernels that this CPU can run; the first, scalar, is the definition that the others are
 * compared with. */
#ifndef TESTS_KERNELS_ISAS_H
#define TESTS_KERNELS_ISAS_H
#include "kernels/kernels_table.h"

struct isa_row {
    const char *name;
    const struct kernels *kernels;
};

/* The supported row after `row` (NULL: the first), NULL after the last. */
static inline const struct isa_row *isa_next(const struct isa_row *row)
{
    static const struct isa_row rows[] = {
        {"scalar", &kernels_table_scalar},
#if defined(__x86_64__)
        {"avx2", &kernels_table_avx2},
        {"avx512", &kernels_table_avx512},
        {"avx512vnni", &kernels_table_avx512vnni},
#endif
    };
    size_t n = 1, next = row ? (size_t)(row - rows) + 1 : 0;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) n = 2;
    if (n == 2 && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512dq"))
        n = __builtin_cpu_supports("avx512vnni") ? 4 : 3;
#endif
    return next < n ? &rows[next] : NULL;
}
#define for_each_isa(isa) for (const struct isa_row *isa = isa_next(NULL); isa; isa = isa_next(isa))

static inline bool is_definition(const struct isa_row *isa) { return isa->kernels == &kernels_table_scalar; }
#endif
