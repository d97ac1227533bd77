/* The residual stream of a model that reads the calibration tokens block by block, and the inputs of the
 * next linear layer. All arithmetic is float32, by train/product.h. */
#ifndef METHODS_STREAM_H
#define METHODS_STREAM_H
#include "methods/calibration.h"
#include "methods/floats.h"
#include "methods/square.h"

/* The linear layers of a block in the order of the pass. */
enum site { SITE_C_ATTN, SITE_ATTN_C_PROJ, SITE_C_FC, SITE_MLP_C_PROJ, SITES };
enum block_param site_param(enum site s); /* the weight; the bias follows it */

struct reading { /* shared by all streams */
    const struct model_floats *model;
    const struct calibration *text;
    const struct workers *w;
    const float *factors; /* (n_layer, n_inner) factors of mlp.c_proj's inputs; NULL: none */
    float *scratch;       /* (rows of a piece, widest output) */
    float *p;             /* probabilities of a window, one per thread */
    int piece;            /* windows computed together */
};
gpt2q_status reading_create(struct reading *r, const struct model_floats *model,
                            const struct calibration *text, const struct workers *w, gpt2q_error *err);
void reading_free(struct reading *r);
/* The scratch that the crew of such a reading needs. */
void reading_scratch(const gpt2q_config *c, int window, size_t *a, size_t *b, size_t *own);

struct stream {
    float *x;    /* (N, n_embd) the residual stream */
    float *in;   /* (N, n_embd) input of the next layer */
    float *wide; /* (N, n_inner) of mlp.c_proj */
};
gpt2q_status stream_create(struct stream *s, const struct reading *r, gpt2q_error *err);
void stream_free(struct stream *s);
/* x = wte[token] + wpe[position]. wte (vocab, n_embd) is the caller's. */
void stream_embed(struct stream *s, const struct reading *r, const float *wte);
/* Computes the input of a site. `before` is the weight, as floats, of the layer before it; SITE_C_ATTN
 * needs none, for its input follows from x. Biases and norms are the model's. */
const float *stream_input(struct stream *s, const struct reading *r, int layer, enum site site,
                          const float *before);
/* x += mlp.c_proj's output: the end of a block. */
void stream_leave(struct stream *s, const struct reading *r, int layer, const float *mlp_c_proj);
/* Computes ln_f's output into `in`. */
const float *stream_final(struct stream *s, const struct reading *r);
/* The number of inputs of a site. */
int site_inputs(const struct reading *r, enum site site);
static inline int reading_tokens(const struct reading *r) { return r->text->windows * r->text->window; }
#endif
