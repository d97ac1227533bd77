/* Training a model: its weights, its optimizer, a step. Who runs it chooses the tokens.
 *
 *     latent      the float32 weights that Adam moves
 *     effective   what the grids make of them (grids.h); the forward and the backward pass see only these
 *     teacher     the model that the student is to answer like (kl), float32
 *
 * A step: land, forward, loss, backward, Adam. The loss of a step is the one before its update. Given the options, the weights and
 * the tokens, every bit of the result is given. */
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
    /* What to go back to: taken by trainer_keep. */
    struct {
        float *latent, *scale;
        int step; /* -1: nothing */
    } good;
};

/* latent and teacher are blocks of params.h. Decay is of matrices alone. */
gpt2q_status trainer_create(struct trainer *t, const struct param_list *p, struct grids *g, float *latent,
                            const float *teacher, const struct trainer_options *o, gpt2q_error *err);
void trainer_free(struct trainer *t);

/* One update with tokens (windows, window); *loss is the loss before it. A loss that is not a finite number changes nothing. */
gpt2q_status trainer_step(struct trainer *t, const int32_t *tokens, double *loss, gpt2q_error *err);
/* Of any number of windows: the mean negative log-likelihood of the next tokens, and the divergence from the teacher (NaN without
 * one), with the weights as they are now. */
gpt2q_status trainer_evaluate(struct trainer *t, const int32_t *tokens, int windows, double *nll, double *kl,
                              gpt2q_error *err);
/* Keeps the weights and scales, and returns to them: true where there was something. */
void trainer_keep(struct trainer *t);
bool trainer_return(struct trainer *t);
#endif
