/* The tables that formats_table.dot.isa.c and pack.isa.c make, one per instruction set. A set that only
 * adds a dot product of codes to another set has that set's other products and packing. */
#ifndef QTENSOR_FORMATS_TABLE_H
#define QTENSOR_FORMATS_TABLE_H
#include "qtensor/format.h"
#include "qtensor/pack.h"

#define QTENSOR_TABLES(isa)                                                                                  \
    extern const struct format_ops formats_table_##isa[QF_COUNT];                                            \
    extern const struct pack_ops pack_ops_##isa;

QTENSOR_TABLES(scalar)
QTENSOR_TABLES(avx2)
QTENSOR_TABLES(avxvnni)
QTENSOR_TABLES(avx512)
QTENSOR_TABLES(avx512vnni)
QTENSOR_TABLES(amx)

/* In a file that is compiled for an instruction set: the kernels of that set, and of the set to which it
 * adds a dot product. */
#ifdef GPT2Q_ISA
#include "kernels/simd.h"
typedef void matmul_fn(const struct qtensor *w, const struct qinput *x, float *y, size_t y_stride, int p0,
                       int p1);
#define FORMAT_KERNELS(format, name, kind, ...)                                                              \
    matmul_fn BASE(matmul_##name), ISA(matmul_##name), ISA(matmul_q_##name);                                 \
    OF_OWN(kind)(encode_fn ISA(encode_##name);)
QFORMATS(FORMAT_KERNELS)
#undef FORMAT_KERNELS
void ISA(prepare)(const struct qtensor *w, struct qinput *x, int r0, int r1);
#endif
#endif
