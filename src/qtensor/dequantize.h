/* Turns each format's codes into floats. There is one definition for all instruction sets. */
#ifndef QTENSOR_DEQUANTIZE_H
#define QTENSOR_DEQUANTIZE_H
#include "qtensor/qtensor.h"

/* Row `row` of W, y (cols). */
#define DEQUANTIZE_ROW(format, name, ...)                                                                    \
    void dequantize_row_##name(const struct qtensor *w, int row, float *y);
QFORMATS(DEQUANTIZE_ROW)
#undef DEQUANTIZE_ROW

/* Of formats with a layout of their own, in their file: the stored code of input k of the output whose bytes begin at `lane`. */
#define OWN_CODE_OF(format, name, kind, ...) OF_OWN(kind)(unsigned code_##name(const uint8_t *lane, int k);)
QFORMATS(OWN_CODE_OF)
#undef OWN_CODE_OF

/* Scales (values = w->scale) and zero points or minima (values = w->zero) as they are stored. There are
 * qtensor_parameters of them, padding included. Number i as a float; and the number that element (row, k)
 * has. Formats with codes only. */
size_t qtensor_parameters(const struct qtensor *w);
float qtensor_parameter(const struct qtensor *w, const void *values, size_t i);
size_t qtensor_parameter_of(const struct qtensor *w, int row, int k);

/* The same floats for inputs [k0, k1) of the 64 outputs of a panel, block [k1 - k0][64]. Outputs beyond
 * the last mean nothing. */
void dequantize_panel(const struct qtensor *w, int panel, int k0, int k1, float *block);
/* The scales and zero points or minima (0 if there is none) of a panel's outputs at input k. Formats with
 * codes only. Returns the first input beyond k that may have others. */
struct panel_parameters {
    float scale[PANEL], zero[PANEL];
};
int panel_parameters(const struct qtensor *w, int panel, int k, struct panel_parameters *out);
#endif
