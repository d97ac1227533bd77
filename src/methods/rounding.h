/* Rounds a matrix weight by weight, without pushing errors on: the clip search (mse, imatrix) and
 * half-quadratic quantization. */
#ifndef METHODS_ROUNDING_H
#define METHODS_ROUNDING_H
#include "methods/grids.h"
#include "train/crew.h"

struct workers;

/* Gives every group the range with the least sum of cost_j (w_j - w'_j)^2 (lane_scales_choose). cost
 * (cols) NULL: 1 for all. */
gpt2q_status clip_run(const struct workers *w, const float *weights, int rows, int cols, const double *cost,
                      struct scheme scheme, const struct code_scheme *codes, struct coded *out,
                      gpt2q_error *err);

#define HQQ_ITERATIONS_MAX 1000
struct hqq_report {
    int repetitions;
    double mean_errors[HQQ_ITERATIONS_MAX]; /* mean |w - w'| over the matrix, before each move of the zeros */
};
/* HQQ (Badri and Shaji 2023), p = 0.7, beta = 10. For each group r = (2^bits - 1)/(max - min), at most
 * 2e4, and 1 if max - min <= 1e-4; z = -min r. At most `iterations` times: q = clamp(rint(w r + z)), d = w
 * - (q - z)/r, t = sign(d) max(|d| - |d|^-0.3/10, 0), z = mean over the group of q - (w - t) r. It stops
 * when the mean |d| over the matrix has not fallen. The result is codes, scale = f16(1/r) and zero =
 * f16(z), which need not be whole: w' = (code - zero) * scale. */
gpt2q_status hqq_run(const struct workers *w, const float *weights, int rows, int cols, struct scheme scheme,
                     int bits, int group, int iterations, struct coded *out, struct hqq_report *report,
                     gpt2q_error *err);
#endif
