/* A model's weights as floats, with matrices as W (outputs, inputs). Methods change them before anything
 * is rounded. */
#ifndef METHODS_FLOATS_H
#define METHODS_FLOATS_H
#include "model/bindings.h"
#include "train/params.h"

struct model_floats {
    struct param_list params;
    float *at;
};
/* Refuses a value that is not finite, by tensor and index. */
gpt2q_status model_floats_load(const struct bindings *b, struct model_floats *out, gpt2q_error *err);
void model_floats_free(struct model_floats *m);

static inline float *floats_of(const struct model_floats *m, int which)
{
    return m->at + m->params.list[which].at;
}
/* The parameter of a weight. A tied lm_head is wte. */
int floats_index(const struct model_floats *m, struct weight_id id);
#endif
