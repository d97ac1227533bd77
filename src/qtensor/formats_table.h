/* The tables that formats_table.dot.isa.c and pack.isa.c make, one per instruction set. Sets that only add a dot product of codes
 * to another one have that one's other products and packing. */
#ifndef QUANT_FORMATS_TABLE_H
#define QUANT_FORMATS_TABLE_H
#include "qtensor/format.h"
#include "qtensor/pack.h"

#define QUANT_TABLES(isa)                                                                                    \
    extern const struct format_ops formats_table_##isa[QF_COUNT];                                            \
    extern const struct pack_ops pack_ops_##isa;                                                             \
    void prepare_##isa(const struct qtensor *w, struct qinput *x, int r0, int r1);                           \
    typedef void matmul_##isa##_fn(const struct qtensor *w, const struct qinput *x, float *y,                \
                                   size_t y_stride, int p0, int p1);                                         \
    matmul_##isa##_fn matmul_f32_##isa, matmul_f16_##isa, matmul_bf16_##isa, matmul_i8_##isa,                \
        matmul_i4_##isa, matmul_q_i8_##isa, matmul_q_i4_##isa;

QUANT_TABLES(scalar)
QUANT_TABLES(avx2)
QUANT_TABLES(avxvnni)
QUANT_TABLES(avx512)
QUANT_TABLES(avx512vnni)
QUANT_TABLES(amx)
#endif
