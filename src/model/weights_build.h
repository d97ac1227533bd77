/* What loading and synthesizing share: from a tensor's numbers to the way it is held. */
#ifndef MODEL_WEIGHTS_BUILD_H
#define MODEL_WEIGHTS_BUILD_H
#include "model/weights_names.h"
#include "qtensor/quantize.h"

struct weights_builder {
    struct gpt2_weights *w;
    struct scheme *schemes; /* by slot */
    bool tied;              /* the head has no numbers of its own */
    uint8_t *matrices;      /* all of them side by side, so that huge pages back them; the weights' */
    size_t used;
    struct quantize_run run;
};

/* *w with room for all tensors of the shape, none held yet. On failure nothing is left. */
gpt2q_status weights_begin(struct weights_builder *b, struct gpt2_weights *w, const gpt2q_config *config,
                           bool tied, const struct weights_params *params, gpt2q_error *err);
/* Whether the head, tied to wte, is to be held in a scheme of its own. */
bool weights_head_apart(const struct weights_builder *b);

/* A tensor of this shape as it lies in a container, as W (outputs, inputs); a vector is a matrix of one row. Conv1D's weights lie as
 * (in, out), or where `turned` as (out, in). */
struct qsource weights_source(const gpt2q_config *config, struct weight_id id, const char *name,
                              enum dtype dtype, const void *data, bool turned);
/* Holds a tensor in its scheme, apart from src, and reports it as tensors[index]. A matrix with `blocks` is held as those say (src
 * then has no data), else they are NULL. */
struct container_tensor;
gpt2q_status weights_hold(struct weights_builder *b, struct weight_id id, size_t index,
                          const struct qsource *src, const struct container_tensor *blocks,
                          const char *dtype_name, gpt2q_error *err);
/* Ties the head where it has nothing of its own; frees what only building needed, on failure (`s`) the
 * weights too. */
gpt2q_status weights_end(struct weights_builder *b, gpt2q_status s);
#endif
