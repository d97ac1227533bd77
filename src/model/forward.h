/* GPT-2's forward pass over a ragged batch: a list of (token, position, sequence, wants logits), any mixture of prompt chunks and
 * single tokens, with no padding. It owns the scratch of a pass; weights and cache belong to others.
 *
 * A pass is one run of phases (base/threads.h): rows of norms, panels of products, heads of attention. How many threads it uses
 * follows from its work. Files: forward.c owns the scratch and plans a pass, forward_phases.c has the phases. */
#ifndef MODEL_FORWARD_H
#define MODEL_FORWARD_H
#include "model/kv_cache.h"
#include "qtensor/qinput.h"
#include "model/linear.h"
#include "model/profile.h"

struct batch_token {
    int32_t token, position, sequence;
    bool wants_logits;
};

struct forward {
    const struct gpt2_weights *weights;
    const struct isa *isa;
    struct kv_cache *cache;
    struct activation_mode activations;
    int n_batch, n_outputs, n_threads; /* tokens of a pass, rows of logits, threads: at most */

    gpt2q_observer *observer;
    void *observer_user;
    struct forward_profile *profile; /* NULL: nobody asks where the time goes */

    /* scratch, allocated once; from a row of a matrix to the next, forward.c's row_stride */
    float *x;    /* (n_batch, n_embd) the residual stream */
    float *a;    /* (n_batch, n_embd) input of a product: normalized x, or merged heads */
    float *wide; /* (n_batch, max(3*n_embd, n_inner)) q|k|v, or the hidden layer */
    float *
        y; /* (n_batch, n_embd) ln_f of the rows that want logits; before, for an observer, output of c_proj */
    void *prepared; /* quantized inputs of a product */
    float *tiles;   /* outputs of a panel on their way to what becomes of them, (n_threads, n_batch, PANEL) */
    struct best *
        best; /* of each row, the largest logit a thread has made, (n_threads, n_outputs rounded up to cache lines) */
    float *scores; /* attention's scratch, (n_threads, scores_floats) */
    size_t scores_floats;
    struct attention_unit *units;
    int32_t *output_row; /* (n_outputs) the rows that want logits */
    struct token_run *runs;

    int passes_alone,
        back_off; /* short passes to come that one thread makes, since others hold the cores; how many next time */
};

gpt2q_status forward_create(struct forward *f, const struct gpt2_weights *weights, const struct isa *isa,
                            struct kv_cache *cache, struct activation_mode activations, int n_batch,
                            int n_outputs, int n_threads, gpt2q_error *err);
void forward_free(struct forward *f);

/* One pass over n <= n_batch tokens whose positions are already extended in the cache. Logits of the rows that want them go to
 * logits (.., vocab_size) in batch order; or, argmax not being NULL, the ids of their largest to argmax, -1 where one is not
 * finite, and nobody but an observer sees the logits. first_row is what the observer is told as the batch row of row 0. */
void forward_pass(struct forward *f, const struct batch_token *tokens, int n, int first_row, float *logits,
                  int32_t *argmax);
/* For tests: all passes from now on use all threads of their context, whatever their work. */
void forward_use_every_thread(bool every);
#endif
