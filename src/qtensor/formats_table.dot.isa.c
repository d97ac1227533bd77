/* One row per format for one instruction set. A set that adds a dot product uses the other set's products
 * for float activations. */
#include "qtensor/formats_table.h"
#include "qtensor/dequantize.h"
#include "qtensor/wide.isa.h"

#define OPS_FLOATS(name, bits)                                                                               \
    {                                                                                                        \
#name, dequantize_row_##name, BASE(matmul_##name), NULL, NULL, { false }                             \
    }
#define OPS_CODES(name, bits)                                                                                \
    {                                                                                                        \
#name, dequantize_row_##name, BASE(matmul_##name), ISA(matmul_q_##name), ISA(prepare), WIDE(bits)    \
    }
/* int4 with int8 activations stays with bytes; levels are int8. */
#define WIDE(bits)                                                                                           \
    {                                                                                                        \
        [ACTIVATIONS_I16] = WIDE_CODES, [ACTIVATIONS_I8] = WIDE_CODES && (bits) == 8                         \
    }
/* Sums for zero points and minima, but no codes of inputs. */
#define OPS_OWN(name, bits)                                                                                  \
    {                                                                                                        \
#name, dequantize_row_##name, BASE(matmul_##name), NULL, ISA(prepare), { false }                     \
    }
#define OPS_LEVELS(name, bits)                 OPS_CODES(name, 8)
#define OPS_FLOAT8(name, bits)                 OPS_FLOATS(name, bits)
#define OPS_ROW(format, name, kind, bits, ...) [format] = OPS_##kind(name, bits),

const struct format_ops ISA(formats_table)[QF_COUNT] = {QFORMATS(OPS_ROW)};
