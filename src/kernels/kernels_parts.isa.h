/* The functions of this folder's *.isa.c files, for the table of their instruction set. kernels.h says
 * what each does. */
#ifndef KERNELS_KERNELS_PARTS_H
#define KERNELS_KERNELS_PARTS_H
#include "kernels/kernels.h"
#include "kernels/simd.h"

void ISA(layer_norm)(const float *x, const float *weight, const float *bias, float epsilon, int n, float *y);
void ISA(act_gelu_new)(const float *x, size_t n, float *y);
void ISA(act_relu)(const float *x, size_t n, float *y);
void ISA(act_silu)(const float *x, size_t n, float *y);
void ISA(act_gelu)(const float *x, size_t n, float *y);
void ISA(act_tanh)(const float *x, size_t n, float *y);
void ISA(add)(float *y, const float *x, size_t n);
void ISA(kv_append)(const struct kv_view *kv, int head, const struct kv_rows *rows);
void ISA(attention)(const struct kv_view *kv, int head, const struct attention_rows *rows, float *scratch);
float ISA(row_max)(const float *x, size_t n);
void ISA(row_best)(const float *x, size_t n, int32_t first, struct best *best);
double ISA(row_exp)(const float *x, size_t n, float scale, float shift, float *y);
double ISA(row_sum_exp)(const float *x, size_t n, float shift);
#endif
