/* The linear layer, y (n, rows) = x (n, cols) @ W (rows, cols)^T + bias: the only caller of the products in
 * quant/. The threads of a team share its panels; each output is computed whole by one of them, so which does
 * it changes no bit. */
#ifndef MODEL_LINEAR_H
#define MODEL_LINEAR_H
#include "model/weights.h"
#include "qtensor/isa.h"

/* The outputs [*begin, *end) of a panel. */
void linear_outputs(const struct qtensor *w, int panel, int *begin, int *end);

/* Computes the outputs of a panel for the rows [x->begin, x->end), bias added last, to y: the panel's first output of
 * the first row, `stride` floats from a row to the next. x must be prepared where qinput_needs_prepare says so. */
void linear_panel(const struct isa *isa, const struct linear_weight *w, const struct qinput *x, float *y,
                  size_t stride, int panel);
#endif
