/* The row of ops of an instruction set: that of its vector words. */
#include "methods/dense.h"
#include "kernels/kernels_table.h"
#include "methods/dense_table.h"
#include "qtensor/isa.h"

const struct dense_ops *dense_ops_of(const struct isa *isa)
{
#if defined(__x86_64__)
    if (isa->kernels == &kernels_table_avx512) return &dense_ops_avx512;
    if (isa->kernels == &kernels_table_avx2) return &dense_ops_avx2;
#endif
    (void)isa;
    return &dense_ops_scalar;
}
