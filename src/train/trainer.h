/* Training a model: its weights, its optimizer, a step. The caller chooses the tokens.
 *
 *     latent      the float32 weights that Adam moves
 *     effective   what the grids make of them (grids.h); the forward and the backward pass see only these
 *     teacher     the model that the student is to answer like (kl), float32
 *
 * A step: land, forward, loss, backward, Adam. Then the scales are recalibrated if they are due for the
 * next step. The loss of a step is the one before its update. The options, the weights and the tokens
 * determine every bit of the result. */
#ifndef TRAIN_TRAINER_H
#define TRAIN_TRAINER_H
#include "train/adam.h"
#include "train/grids.h"
#include "train/loss.h"

struct trainer_options {
    bool kl;     /* else ce */
    int windows; /* of a step */
    int window;  /* tokens of each */
    int steps;   /* of the whole run: the learning rate follows from it */
    int warmup;
    double rate, scale_rate; /* of weights, and of learned scales */
    double beta1, beta2, epsilon, decay;
};

struct trainer {
    struct trainer_options options;
    const struct param_list *params;
    struct grids *grids; /* the caller's */
    struct crew crew;
    struct train_pass student, reader; /* reader: keeps nothing, for the teacher and for evaluation */
    struct loss_scratch loss;
    struct adam adam, scale_adam;
    float *latent;        /* the caller's */
    const float *teacher; /* the caller's; NULL: none */
    float *effective;     /* latent itself where nothing is quantized */
    float *gradient;
    int step; /* updates so far */
    /* What trainer_return goes back to. */
    struct {
        float *latent, *scale, *zero;
        int step; /* -1: nothing */
    } good;
};

/* latent and teacher are blocks of params.h. Weight decay applies to matrices alone. */
gpt2q_status trainer_create(struct trainer *t, const struct param_list *p, struct grids *g, float *latent,
                            const float *teacher, const struct trainer_options *o, gpt2q_error *err);
void trainer_free(struct trainer *t);

/* One update with tokens (windows, window); *loss is the loss before it. If the loss is not a finite
 * number, nothing changes. */
gpt2q_status trainer_step(struct trainer *t, const int32_t *tokens, double *loss, gpt2q_error *err);
/* Measures the weights as they are now on any number of windows. *nll: the mean negative log-likelihood
 * of the next tokens. *kl: the divergence from the teacher, NaN without one. */
gpt2q_status trainer_evaluate(struct trainer *t, const int32_t *tokens, int windows, double *nll, double *kl,
                              gpt2q_error *err);
/* trainer_keep copies the weights and scales. trainer_return goes back to the copy; false: there is none. */
void trainer_keep(struct trainer *t);
bool trainer_return(struct trainer *t);
#endif
