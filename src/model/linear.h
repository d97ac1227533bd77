/* The linear layer, y (n, rows) = x (n, cols) @ W (rows, cols)^T + bias: the only caller of the products in
 * quant/. The threads of a team share its panels; each output is computed whole by one of them, so which does
 * it changes no bit. */
#ifndef MODEL_LINEAR_H
#define MODEL_LINEAR_H
#include "model/weights.h"
#include "quant/isa.h"

/* The outputs [*begin, *end) of a panel. */
void linear_outputs(const struct qtensor *w, int panel, int *begin, int *end);

/* Computes the outputs of a panel for the rows [x->begin, x->end), bias added last. y is (n, rows). x must be prepared where
 * qinput_needs_prepare says so. */
void linear_panel(const struct isa *isa, const struct linear_weight *w, const struct qinput *x, float *y, int panel);
#endif
