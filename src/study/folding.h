/* Finds the factors that awq and smoothquant folded into a file, by its norms and biases, which hold them exactly. With them its
 * intermediates and weights can be laid beside those of the model that it was made from. */
#ifndef STUDY_FOLDING_H
#define STUDY_FOLDING_H
#include "engine/model.h"
#include "model/weights_names.h"
#include "quantize/errors.h"

/* By layer: how many times the original's outputs the file's are. */
struct folding {
    int n_layer, n_embd, n_inner;
    float *at; /* per layer: ln_1 (n_embd), c_attn (3 n_embd), ln_2 (n_embd), c_fc (n_inner);
                  then by what mlp.c_proj's columns are multiplied (n_inner). NULL: nothing is folded */
};
/* Both models are of one shape. *out is for folding_free, in any case. */
gpt2q_status folding_find(const gpt2q_model *original, const gpt2q_model *folded, struct folding *out,
                          gpt2q_error *err);
void folding_free(struct folding *f);

/* The factors of an intermediate of the forward pass ("h.0.ln_1"), one for each column. NULL: all are 1. */
const float *folding_of_intermediate(const struct folding *f, const char *name);
/* What turns a weight of the file into the original's. */
struct unfolding folding_of_weight(const struct folding *f, struct weight_id id);
#endif
