/* What each format's codes mean, as floats. One definition for all instruction sets. */
#ifndef QUANT_DEQUANTIZE_H
#define QUANT_DEQUANTIZE_H
#include "qtensor/qtensor.h"

/* Row `row` of W, y (cols). */
void dequantize_row_f32(const struct qtensor *w, int row, float *y);
void dequantize_row_f16(const struct qtensor *w, int row, float *y);
void dequantize_row_bf16(const struct qtensor *w, int row, float *y);
void dequantize_row_i8(const struct qtensor *w, int row, float *y);
void dequantize_row_i4(const struct qtensor *w, int row, float *y);

/* Inputs [k0, k1) of the 64 outputs of a panel, block [k1 - k0][64]: the same floats. Outputs beyond the last
 * mean nothing. */
void dequantize_panel(const struct qtensor *w, int panel, int k0, int k1, float *block);
/* The scales and zero points or minima (0 where there is none) of a panel's outputs at input k; integers
 * only. Returns the first input beyond k that may have others. */
struct panel_parameters {
    float scale[PANEL], zero[PANEL];
};
int panel_parameters(const struct qtensor *w, int panel, int k, struct panel_parameters *out);
#endif
