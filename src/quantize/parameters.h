/* Scales and zero points of a quantized matrix in the order people count them (golden/make_goldens.py):
 * one for the matrix, one for each output, one for each input, or one for each group. All groups of an
 * output come before the next output's. qtensor/dequantize.h has the order in which they are stored. */
#ifndef QUANTIZE_PARAMETERS_H
#define QUANTIZE_PARAMETERS_H
#include "qtensor/qtensor.h"

/* The number of scales of a matrix with codes, padding not counted. */
size_t parameters_counted(const struct qtensor *w);
/* Number i of them. *zero is the zero point: the code, possibly fractional, that stands for 0 (0 for
 * absmax). For the notes' codes it is the minimum, as the notes have it. */
void parameter_counted(const struct qtensor *w, size_t i, float *scale, float *zero);
/* The code of element (row, k): signed; for the notes' codes unsigned. */
int qtensor_code(const struct qtensor *w, int row, int k);
#endif
