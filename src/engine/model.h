/* What the program may know of a model beyond the public header. */
#ifndef ENGINE_MODEL_H
#define ENGINE_MODEL_H
#include "model/weights.h"
#include "tokenizer/tokenizer.h"

const struct gpt2_weights *model_weights(const gpt2q_model *model);
const struct tokenizer *model_tokenizer(const gpt2q_model *model); /* NULL: weights only */
/* The most ids that gpt2q_tokenize makes of len bytes. */
size_t model_max_ids(const gpt2q_model *model, size_t len);
/* Lets a model hold a matrix of another model of its shape, by its name in the checkpoint; that model must live as long. What it says of
 * its tensors and bytes stays as it was. It has no context meanwhile. */
void model_borrow_matrix(gpt2q_model *model, const gpt2q_model *from, const char *name);
/* A model of a shape with synthetic weights and no tokenizer, for benchmarks. */
gpt2q_status model_synthesize(const gpt2q_config *config, const char *name, const gpt2q_model_params *params,
                              gpt2q_model **out, gpt2q_error *err);
#endif
