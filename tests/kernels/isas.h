/* The instruction sets with kernels of their own that this CPU can run. The first, scalar, is the
 * definition; the others are compared with it. */
#ifndef TESTS_KERNELS_ISAS_H
#define TESTS_KERNELS_ISAS_H
#include "kernels/kernels_table.h"
#include "qtensor/isa.h"

/* The one after `isa` (NULL: the first), NULL after the last. */
static inline const struct isa *isa_next(const struct isa *isa)
{
    size_t next = 0;
    while (isa && isa_at(next++) != isa) continue;
    for (const struct isa *found; (found = isa_at(next)); next++)
        if (found->supported() && (!next || found->kernels != isa_at(next - 1)->kernels)) return found;
    return NULL;
}
#define for_each_isa(isa) for (const struct isa *isa = isa_next(NULL); isa; isa = isa_next(isa))

static inline bool is_definition(const struct isa *isa) { return isa == isa_at(0); }
#endif
