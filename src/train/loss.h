/* The loss and its gradient. Logits are made for 256 tokens at a time; they are never all in memory.
 *
 *     kl   mean over all n tokens of KL(teacher || student) = sum p_t (log p_t - log p_s), in nats
 *     ce   mean of -log p_s(next) over the tokens that have a next one in their window */
#ifndef TRAIN_LOSS_H
#define TRAIN_LOSS_H
#include "train/pass.h"

#define LOSS_ROWS 256

struct loss_scratch {
    float *student, *teacher; /* logits (LOSS_ROWS, vocab_size) */
    double *rows;             /* (LOSS_ROWS) */
};

gpt2q_status loss_create(struct loss_scratch *l, const struct param_list *p, bool teacher, gpt2q_error *err);
void loss_free(struct loss_scratch *l);

struct loss_model { /* ln_f's output and the head's matrix */
    const float *hidden, *head;
};

/* Computes the loss of t->hidden over the tokens. teacher NULL: ce. If g is not NULL, t->da becomes the
 * gradient of t->hidden, and the head's matrix in g becomes its gradient. */
double loss_run(struct loss_scratch *l, struct train_pass *t, const struct crew *c, const float *weights,
                const struct loss_model *teacher, const int32_t *tokens, float *g);
#endif
