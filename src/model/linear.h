/* The linear layer, y (n, rows) = x (n, cols) @ W (rows, cols)^T + bias: the only caller of the products in
 * quant/. Called by every thread of a team; each does whole outputs, so how many threads there are changes no
 * bit. */
#ifndef MODEL_LINEAR_H
#define MODEL_LINEAR_H
#include "model/weights.h"
#include "quant/isa.h"

/* The outputs [*begin, *end) that are thread's among n_threads: whole panels. */
void linear_outputs(const struct qtensor *w, int thread, int n_threads, int *begin, int *end);

/* Computes thread's outputs for all rows of x, bias added last. y row r is at y + r*y_stride. x must be
 * prepared where qinput_needs_prepare says so. */
void linear(const struct isa *isa, const struct linear_weight *w, const struct qinput *x, float *y,
            size_t y_stride, int thread, int n_threads);
#endif
