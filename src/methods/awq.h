/* AWQ (Lin et al. 2023): factors of the inputs of one matrix, chosen by the loss of rounding to nearest. */
#ifndef METHODS_AWQ_H
#define METHODS_AWQ_H
#include "methods/grids.h"
#include "methods/square.h"

#define AWQ_STEPS 20

struct awq_report {
    int step; /* the best step: s = max(mean^(step/20), 1e-4) / sqrt(max s * min s) */
    /* Sum over outputs of e H e^T for e = W - Q(W s)/s, where Q rounds to nearest. [0]: without factors. */
    double losses[AWQ_STEPS];
};
/* Chooses scale (cols) for W (rows, cols), whose inputs have the mean magnitudes `mean` and the moments h.
 * Of equal losses the first wins. */
gpt2q_status awq_scale(const struct workers *w, const float *weights, int rows, int cols,
                       const struct square *h, const double *mean, const struct code_scheme *codes,
                       double *scale, struct awq_report *report, gpt2q_error *err);
/* scale_j = max(max|x_j|^alpha / max(max_o |W_oj|, 1e-5)^(1 - alpha), 1e-5): SmoothQuant's (Xiao et al.
 * 2022). */
void smoothquant_scale(const float *weights, int rows, int cols, const float *max_abs, double alpha,
                       double *scale);
#endif
