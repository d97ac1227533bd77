/* Row `row` of W as floats, y (cols): what each format's codes mean. One definition for all instruction sets.
 */
#ifndef QUANT_DEQUANTIZE_H
#define QUANT_DEQUANTIZE_H
#include "quant/qtensor.h"

void dequantize_row_f32(const struct qtensor *w, int row, float *y);
void dequantize_row_f16(const struct qtensor *w, int row, float *y);
void dequantize_row_bf16(const struct qtensor *w, int row, float *y);
void dequantize_row_i8(const struct qtensor *w, int row, float *y);
void dequantize_row_i4(const struct qtensor *w, int row, float *y);
#endif
