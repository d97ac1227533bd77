/* What loading and synthesizing share: holding a tensor's numbers. */
#ifndef MODEL_WEIGHTS_BUILD_H
#define MODEL_WEIGHTS_BUILD_H
#include "model/weights_names.h"
#include "qtensor/quantize.h"

struct weights_builder {
    struct gpt2_weights *w;
    struct scheme *schemes; /* by slot */
    bool tied;              /* the head has no numbers of its own */
    uint8_t *matrices;      /* all matrices side by side, so that huge pages back them; the weights own it */
    size_t used;
    struct quantize_run run;
};

/* Gives *w room for all tensors of the shape. None is held yet. On failure nothing is left. */
gpt2q_status weights_begin(struct weights_builder *b, struct gpt2_weights *w, const gpt2q_config *config,
                           bool tied, const struct weights_params *params, gpt2q_error *err);
/* Whether a head tied to wte gets a scheme of its own. */
bool weights_head_apart(const struct weights_builder *b);

/* A tensor of this shape where it lies in a container, as W (outputs, inputs). A vector is a matrix of one
 * row. Conv1D's weights lie as (in, out), or with `turned` as (out, in). */
struct qsource weights_source(const gpt2q_config *config, struct weight_id id, const char *name,
                              enum dtype dtype, const void *data, bool turned);
/* The strides of a matrix whose numbers lie output by output or, with `turned`, input by input. */
void weights_strides(struct qsource *src, bool turned);
/* Holds a tensor in its scheme, apart from src, and reports it as tensors[index]. If `blocks` is not NULL,
 * the matrix is held as the blocks say, and src has no data. */
struct container_tensor;
gpt2q_status weights_hold(struct weights_builder *b, struct weight_id id, size_t index,
                          const struct qsource *src, const struct container_tensor *blocks,
                          const char *dtype_name, gpt2q_error *err);
/* Ties the head if it has nothing of its own. Frees what only building needed; on failure (`s`) the
 * weights, too. */
gpt2q_status weights_end(struct weights_builder *b, gpt2q_status s);
#endif
