/* The grids of matrices in training: what latent float weights become when they are rounded, and the backward
 * pass of that. It is the straight-through estimator (Bengio et al. 2013): the gradient of W' is given to W.
 *
 *     recalibrated   The scales follow from the weights, as `quantize` rounds to nearest. This happens at
 *                    step 0 and at every N-th step after it. Such a step clamps nothing, so the whole
 *                    gradient passes.
 *                    N = 1: any scheme that the quantizer has.
 *                    N > 1: integer codes by channel or group. Between two such steps the scales stay. A
 *                    weight that has left their range is clamped and gets no gradient.
 *     learned        Scales are parameters (LSQ, Esser et al. 2020), and zero points stay as they began:
 *                    w' = (u - z) s with u = clamp(rint(w/s) + z). The gradient of s is the sum over its
 *                    group of dw' (u - z - w/s). A clamped weight adds dw' (u - z) to it, and gets no
 *                    gradient itself. Scales of groups are used as they are stored, in float16; this
 *                    rounding passes the gradient with factor 1. Integer codes by channel or group only.
 *
 * Blocks are those of params.h. The bits are the same for any threads and instruction set: one thread has
 * a row, and a scale's sum has 16 lanes and the tree. */
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
    int every; /* steps from one choice of the scales to the next; 0: scales are learned */
    size_t n_scales;
    float *scale;  /* (n_scales) the parameters, float32 */
    float *zero;   /* affine: the code that stands for 0; minmax: -minimum / scale */
    float *stored; /* scales as they are stored; `minimum` likewise, for minmax */
    float *minimum;
    float *gradient; /* of scale */
    struct quantize_run run;
};

/* `schemes` has one for every parameter; those of vectors do not count. `every` is that of struct grids. Two
 * schemes are refused, by tensor: notes, and a scheme whose scales cannot be learned or kept (unless
 * `every` is 1). */
gpt2q_status grids_create(struct grids *g, const struct param_list *p, const struct scheme *schemes,
                          int every, const struct quantize_run *run, gpt2q_error *err);
void grids_free(struct grids *g);

/* Learned scales and zero points of matrix number i begin as those of w. Its latent weights move into the
 * bins of w's codes: to (code +- 0.49) scale. */
void grids_begin(struct grids *g, int i, const struct qtensor *w, float *latent);
/* Chooses the kept scales from latent if `step` is a multiple of `every`; grids_land and grids_pack use
 * them from then on. With `every` 1 it does nothing, because grids_land itself runs the quantizer. */
gpt2q_status grids_recalibrate(struct grids *g, int step, const float *latent, gpt2q_error *err);
/* effective = what latent is rounded to. Vectors, and matrices that no scheme rounds, are copied. */
gpt2q_status grids_land(struct grids *g, const struct crew *c, const float *latent, float *effective,
                        gpt2q_error *err);
/* The gradient of effective at `step` becomes that of latent, and g->gradient that of learned scales. */
void grids_backward(struct grids *g, const struct crew *c, int step, const float *latent, float *gradient);
/* Matrix number i as the engine holds it. */
gpt2q_status grids_pack(struct grids *g, int i, const float *latent, struct qtensor *out, gpt2q_error *err);
/* Whether the scales of s can be learned, or kept between steps. */
bool scheme_can_learn(struct scheme s);
#endif
