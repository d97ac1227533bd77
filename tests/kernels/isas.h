/* The tables of kernels that this CPU can run; the first, scalar, is the definition that the others are
 * compared with. */
#ifndef TESTS_KERNELS_ISAS_H
#define TESTS_KERNELS_ISAS_H
#include "kernels/kernels_table.h"

struct isa_row {
    const char *name;
    const struct kernels *kernels;
    bool supported;
};
#define ISA_ROWS_MAX 5

static inline void isa_rows(struct isa_row rows[ISA_ROWS_MAX])
{
    memset(rows, 0, ISA_ROWS_MAX * sizeof *rows);
    rows[0] = (struct isa_row){"scalar", &kernels_table_scalar, true};
#if defined(__x86_64__)
    bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
    rows[1] = (struct isa_row){"avx2", &kernels_table_avx2, avx2};
    rows[2] = (struct isa_row){"avx512", &kernels_table_avx512, avx512};
    rows[3] = (struct isa_row){"avx512vnni", &kernels_table_avx512vnni,
                               avx512 && __builtin_cpu_supports("avx512vnni")};
#endif
}

/* isa: each supported row in turn */
#define for_each_isa(isa)                                                                                    \
    struct isa_row isa##_all[ISA_ROWS_MAX];                                                                  \
    isa_rows(isa##_all);                                                                                     \
    for (const struct isa_row *isa = isa##_all; isa->name; isa++)                                            \
        if (isa->supported)

static inline bool is_definition(const struct isa_row *isa) { return isa->kernels == &kernels_table_scalar; }
#endif
