/* LAMBADA's question: does a model predict the last word of a passage? The word follows the last white
 * space, and is predicted with it. It counts as right if each of its tokens is the likeliest in its place. */
#ifndef STUDY_LAST_WORD_H
#define STUDY_LAST_WORD_H
#include "study/score.h"

struct last_word_score {
    uint64_t examples, right;
    struct moments nll; /* of whole words */
};
struct last_word {
    const gpt2q_model *model;
    const struct kernels *kernels;
    gpt2q_context *ctx;
    gpt2q_batch *batch;
    int32_t n_ctx;
};
/* *w is zero on failure. */
gpt2q_status last_word_open(struct last_word *w, const gpt2q_model *model, const gpt2q_context_params *params,
                            gpt2q_error *err);
void last_word_close(struct last_word *w);
/* Scores one passage. If the context is too short, its oldest tokens are dropped. `where` ("line 3") is
 * for messages. */
gpt2q_status last_word_add(struct last_word *w, const char *text, size_t n, const char *where,
                           struct last_word_score *score, gpt2q_error *err);
#endif
