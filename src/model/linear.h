/* The linear layer, y (n, rows) = x (n, cols) @ W (rows, cols)^T + bias. It is the only caller of the
 * products in qtensor/. The threads of a team share the panels. One thread computes an output completely,
 * so its bits do not depend on which thread that is. */
#ifndef MODEL_LINEAR_H
#define MODEL_LINEAR_H
#include "model/weights.h"
#include "qtensor/isa.h"

/* The outputs [*begin, *end) of a panel. */
void linear_outputs(const struct qtensor *w, int panel, int *begin, int *end);

/* Computes the outputs of a panel for the rows [x->begin, x->end); the bias is added last. y is the
 * panel's first output of the first row, and rows are `stride` floats apart. x must be prepared if
 * qinput_needs_prepare says so. */
void linear_panel(const struct isa *isa, const struct linear_weight *w, const struct qinput *x, float *y,
                  size_t stride, int panel);
#endif
