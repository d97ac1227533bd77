/* One row per format, for one instruction set. Float activations take the products of the set that a dot
 * product was added to. */
#include "qtensor/formats_table.h"
#include "qtensor/dequantize.h"
#include "qtensor/wide.h"

const struct format_ops ISA(formats_table)[QF_COUNT] = {
    [QF_F32] = {"f32", dequantize_row_f32, BASE(matmul_f32), NULL, NULL, {false}},
    [QF_F16] = {"f16", dequantize_row_f16, BASE(matmul_f16), NULL, NULL, {false}},
    [QF_BF16] = {"bf16", dequantize_row_bf16, BASE(matmul_bf16), NULL, NULL, {false}},
    [QF_I8] = {"i8",
               dequantize_row_i8,
               BASE(matmul_i8),
               ISA(matmul_q_i8),
               ISA(prepare),
               {[ACTIVATIONS_I16] = WIDE_CODES, [ACTIVATIONS_I8] = WIDE_CODES}},
    [QF_I4] = {"i4",
               dequantize_row_i4,
               BASE(matmul_i4),
               ISA(matmul_q_i4),
               ISA(prepare),
               {[ACTIVATIONS_I16] = WIDE_CODES}},
};
