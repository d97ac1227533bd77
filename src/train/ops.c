/* The row of ops of an instruction set: that of its vector words. */
#include "train/ops.h"
#include "kernels/kernels_table.h"
#include "qtensor/isa.h"
#include "train/ops_table.h"

const struct train_ops *train_ops_of(const struct isa *isa)
{
#if defined(__x86_64__)
    if (isa->kernels == &kernels_table_avx512) return &train_ops_avx512;
    if (isa->kernels == &kernels_table_avx2) return &train_ops_avx2;
#endif
    (void)isa;
    return &train_ops_scalar;
}
