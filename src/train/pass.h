/* The forward and backward pass of training over whole windows of tokens. The forward pass is GPT-2's, as
 * in src/model. It keeps what the backward pass needs and has no cache of keys and values.
 *
 *     tokens  n = windows * window, window after window, each from position 0
 *     weights, gradients: blocks of params.h's layout
 *
 * The formulas are those of the chain rule. Where the order of a sum is a choice, ops.h, product.h and
 * attention.h state it. */
#ifndef TRAIN_PASS_H
#define TRAIN_PASS_H
#include "train/attention.h"
#include "train/params.h"

struct pass_layer { /* what one block keeps, (n, ...) */
    float *x_in;    /* (d) the residual stream at its entry */
    float *a_1;     /* (d) ln_1's output */
    float *qkv;     /* (3 d) */
    float *p;       /* (windows, n_head, window, window) */
    float *heads;   /* (d) merged heads */
    float *x_mid;   /* (d) the stream after attention */
    float *a_2;     /* (d) ln_2's output */
    float *fc;      /* (inner) c_fc's output */
    float *act;     /* (inner) the activation's */
};

struct train_pass {
    const struct param_list *params;
    int windows, window, n; /* n = windows * window */
    bool keeps;             /* false: all blocks share one struct pass_layer (no backward pass) */
    struct pass_layer *layers;
    float *x, *hidden; /* (n, d): the stream after the last block, ln_f's output */
    float *dx, *da;    /* (n, d) */
    float *wide;       /* (n, max(3 d, inner)): gradients of qkv and of the hidden layer */
    float *hat;        /* (n, d): normalized rows */
    float *memory;
};

gpt2q_status pass_create(struct train_pass *t, const struct param_list *p, int windows, int window,
                         bool keeps, gpt2q_error *err);
void pass_free(struct train_pass *t);
/* The scratch that products need in passes over n tokens, for crew_create. */
void pass_scratch(const struct param_list *p, int n, int window, int head_rows, size_t *a, size_t *b,
                  size_t *own);

/* Forward: t->hidden from tokens (n) and weights. */
void pass_forward(struct train_pass *t, const struct crew *c, const float *weights, const int32_t *tokens);
/* Backward, from the gradient of t->hidden in t->da: writes all gradients. The head's use of its matrix is
 * in g already; if the head is wte, the embedding's part is added to it. */
void pass_backward(struct train_pass *t, const struct crew *c, const float *weights, const int32_t *tokens,
                   float *g);
#endif
