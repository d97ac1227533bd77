/* The grids of matrices in training: what latent float weights become when they are rounded, and the straight-through estimator's
 * backward pass (Bengio et al. 2013: the gradient of W' is given to W).
 *
 *     recalibrated   at every step the scales follow from the weights, as `quantize` rounds to nearest; any scheme that the
 *                    quantizer has. Nothing is out of range, so the whole gradient passes.
 *     learned        scales are parameters (LSQ, Esser et al. 2020), zero points stay as they began: w' = (u - z) s with
 *                    u = clamp(rint(w/s) + z). The gradient of s is the sum over its group of dw' (u - z - w/s), or dw' (u - z)
 *                    for a clamped weight, which itself gets none. Scales of groups are used as they are stored, in float16,
 *                    rounded with factor 1. Integer codes by channel or group only.
 *
 * Blocks are those of params.h. The same bits for any threads and instruction set: a row is one thread's, a scale's sum has 16 lanes
 * and the tree. */
#ifndef TRAIN_GRIDS_H
#define TRAIN_GRIDS_H
#include "qtensor/quantize.h"
#include "train/crew.h"
#include "train/params.h"

struct grid_matrix {
    int which; /* of params->list */
    struct scheme scheme;
    int groups; /* of a row */
    size_t at;  /* its first scale, (rows, groups) */
};

struct grids {
    const struct param_list *params;
    struct grid_matrix *list; /* of matrices that a scheme rounds; f32 is none */
    int count;
    bool learned;
    size_t n_scales;
    float *scale;  /* (n_scales) the parameters, float32 */
    float *zero;   /* the code that stands for 0 (affine), or -minimum / scale (minmax), from 0 on */
    float *stored; /* scales as they are stored; then for minmax the minima */
    float *minimum;
    float *gradient; /* of scale */
    struct quantize_run run;
};

/* `schemes` has one for every parameter; of vectors they do not count. Refused with `learned`: a scheme that has no scale to learn,
 * by tensor; and notes in any case. */
gpt2q_status grids_create(struct grids *g, const struct param_list *p, const struct scheme *schemes,
                          bool learned, const struct quantize_run *run, gpt2q_error *err);
void grids_free(struct grids *g);

/* Learned scales and their zero points begin as those of w, a tensor of matrix number i, and the latent weights of it move into the
 * bins of w's codes: to (code +- 0.49) scale. */
void grids_begin(struct grids *g, int i, const struct qtensor *w, float *latent);
/* effective = what latent is rounded to, vectors as they are. Where nothing is quantized this copies. */
gpt2q_status grids_land(struct grids *g, const struct crew *c, const float *latent, float *effective,
                        gpt2q_error *err);
/* The gradient of effective becomes that of latent, and g->gradient that of the scales. */
void grids_backward(struct grids *g, const struct crew *c, const float *latent, float *gradient);
/* Matrix number i as the engine holds it. */
gpt2q_status grids_pack(struct grids *g, int i, const float *latent, struct qtensor *out, gpt2q_error *err);
/* Whether learned scales are possible. */
bool scheme_can_learn(struct scheme s);
#endif
