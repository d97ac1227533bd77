/* The row of one instruction set. */
#include "kernels/kernels_table.h"
#include "kernels/kernels_parts.isa.h"

const struct kernels ISA(kernels_table) = {
    .layer_norm = ISA(layer_norm),
    .activation = {[ACT_GELU_NEW] = ISA(act_gelu_new),
                   [ACT_RELU] = ISA(act_relu),
                   [ACT_SILU] = ISA(act_silu),
                   [ACT_GELU] = ISA(act_gelu),
                   [ACT_TANH] = ISA(act_tanh)},
    .add = ISA(add),
    .kv_append = ISA(kv_append),
    .attention = ISA(attention),
    .row_max = ISA(row_max),
    .row_best = ISA(row_best),
    .row_exp = ISA(row_exp),
    .row_sum_exp = ISA(row_sum_exp),
};
