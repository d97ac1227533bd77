/* Quantization-aware training of one linear layer, as the course notes sketch it and as it is done. Everything in double.
 *
 *     target   y = W x for the matrix W of the example
 *     inputs   32 of them: x, every element times a number of [0, 1) from the generator s = s * 6364136223846793005 +
 *              1442695040888963407 modulo 2^64, s before the first being 1, the number (s >> 40) / 2^24
 *     student  latent weights w, to begin with half of W with its columns in reverse order; grid affine of 3 bits with one scale
 *              for the matrix, chosen from w every 10 steps: s = (max - min)/7 of the range widened to hold 0, z = rint(-min/s)
 *     loss     the mean over inputs and outputs of (y' - y)^2
 *     step     w -= rate (1 - i/200) * gradient
 *
 * The loops differ in what stands for a weight and in what its gradient becomes:
 *
 *     notes      w' = (rint(w/s) - z) s: the zero point is subtracted and was never added, nothing is clamped, and the
 *                derivative of rint is 0
 *     gradient   the same w', but the gradient of w' is given to w (straight-through)
 *     grid       w' = (clamp(rint(w/s) + z, 0, 7) - z) s, the derivative of rint being 0
 *     right      that w' and the straight-through gradient, none for a clamped weight */
#ifndef STUDY_QAT_LESSON_H
#define STUDY_QAT_LESSON_H
#include "quantize/explain.h"

#define QAT_STEPS 200
#define QAT_BITS  3
#define QAT_EVERY 10

enum qat_loop { QAT_NOTES, QAT_GRADIENT, QAT_GRID, QAT_RIGHT, QAT_LOOPS };
extern const char *const qat_loop_names[QAT_LOOPS];

struct qat_curve {
    double losses[QAT_STEPS + 1];    /* before step i; after the last one */
    double gradients[QAT_STEPS + 1]; /* norms of w's gradient */
    int codes[EXPLAIN_SIDE_MAX *
              EXPLAIN_SIDE_MAX]; /* (rows, cols) in the end: rint(w/s), for grid and right + z and clamped */
    double scale, zero;          /* in the end */
};

/* The rate that suits the inputs: 0.1 * rows over the mean square of an input, (sum of its elements' squares). */
double qat_rate(const struct explain_input *input);
void qat_train(const struct explain_input *input, enum qat_loop loop, double rate, struct qat_curve *out);
#endif
