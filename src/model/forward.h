/* GPT-2's forward pass over a ragged batch: a list of (token, position, sequence, wants logits). The list
 * mixes prompt chunks and single tokens freely and has no padding. It owns the scratch of a pass; weights
 * and cache belong to others.
 *
 * A pass is one run of phases (base/threads.h): rows of norms, panels of products, heads of attention. Its
 * work decides how many threads it uses. forward.c owns the scratch and plans a pass; forward_phases.c has
 * the phases. */
#ifndef MODEL_FORWARD_H
#define MODEL_FORWARD_H
#include "model/kv_cache.h"
#include "qtensor/qinput.h"
#include "model/linear.h"
#include "model/pace.h"
#include "model/profile.h"

struct batch_token {
    int32_t token, position, sequence;
    bool wants_logits;
};

struct linear_product; /* forward_parts.h */

#define FORWARD_PACES 4

struct forward {
    const struct gpt2_weights *weights;
    const struct isa *isa;
    struct kv_cache *cache;
    struct activation_mode activations;
    int n_batch, n_outputs, n_threads; /* at most: tokens of a pass, rows of logits, threads */

    gpt2q_observer *observer;
    void *observer_user;
    struct forward_profile *profile; /* NULL: times are not taken */

    /* scratch, allocated once; forward.c's row_stride is the distance from a row to the next */
    float *x;    /* (n_batch, n_embd) the residual stream */
    float *a;    /* (n_batch, n_embd) input of a product: normalized x, or merged heads */
    float *wide; /* (n_batch, max(3*n_embd, n_inner)) q|k|v, or the hidden layer */
    /* (n_batch, n_embd) ln_f of the rows that want logits. Before that, for an observer, the output of
     * c_proj. */
    float *y;
    void *prepared; /* quantized inputs of a product */
    float *tiles;   /* (n_threads, n_batch, PANEL) outputs of a panel before they are added or activated */
    /* (n_threads, n_outputs rounded up to cache lines) each row's largest logit among those a thread made */
    struct best *best;
    float *scores; /* attention's scratch, (n_threads, scores_floats) */
    size_t scores_floats;
    struct attention_unit *units;
    int32_t *output_row; /* (n_outputs) the rows that want logits */
    struct token_run *runs;
    struct linear_product *products; /* the layers', for passes of products_rows rows; 0: none yet */
    int products_rows;

    int n_useful;                     /* of the n_threads: not more than there are cores */
    struct pace paces[FORWARD_PACES]; /* of short passes, by their work */
};

gpt2q_status forward_create(struct forward *f, const struct gpt2_weights *weights, const struct isa *isa,
                            struct kv_cache *cache, struct activation_mode activations, int n_batch,
                            int n_outputs, int n_threads, gpt2q_error *err);
void forward_free(struct forward *f);

/* Makes one pass over n <= n_batch tokens. Their positions are already extended in the cache. Logits of
 * the rows that want them go to logits (.., vocab_size) in batch order. If argmax is not NULL, the ids of
 * the largest logits go to argmax instead, -1 for a row with a logit that is not finite; then only an
 * observer sees the logits. first_row is row 0's number in the batch, for the observer. */
void forward_pass(struct forward *f, const struct batch_token *tokens, int n, int first_row, float *logits,
                  int32_t *argmax);
/* For tests: from now on all passes use all threads of their context, for any work. */
void forward_use_every_thread(bool every);
#endif
