/* The tables of kernels that this CPU can run; the first, scalar, is the definition that the others are
 * compared with. */
#ifndef TESTS_KERNELS_ISAS_H
#define TESTS_KERNELS_ISAS_H
#include "kernels/kernels_table.h"
#include "quant/isa.h"

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
        {"avxvnni", &kernels_table_avxvnni},
        {"avx512", &kernels_table_avx512},
        {"avx512vnni", &kernels_table_avx512vnni},
#endif
    };
    for (size_t next = row ? (size_t)(row - rows) + 1 : 0; next < sizeof rows / sizeof *rows; next++)
        if (isa_at(next)->supported()) return &rows[next];
    return NULL;
}
#define for_each_isa(isa) for (const struct isa_row *isa = isa_next(NULL); isa; isa = isa_next(isa))

static inline bool is_definition(const struct isa_row *isa) { return isa->kernels == &kernels_table_scalar; }
#endif
