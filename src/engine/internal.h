/* The insides of the public types, shared by the files of engine/. */
#ifndef ENGINE_INTERNAL_H
#define ENGINE_INTERNAL_H
#include "model/forward.h"
#include "model/weights.h"
#include "tokenizer/tokenizer.h"

struct gpt2q_model {
    struct gpt2_weights weights;
    struct tokenizer *tokenizer; /* NULL: opened for its weights only */
    const struct isa *isa;
    char *name;
    char scheme[SCHEME_TEXT_MAX];
};

struct gpt2q_batch {
    int32_t n, capacity;
    bool argmax_only;
    struct batch_token *tokens;
};

#define ACTIVATIONS_TEXT 32

struct gpt2q_context {
    char activations[ACTIVATIONS_TEXT]; /* as --activations has it */
    const gpt2q_model *model;
    struct kv_cache cache;
    struct forward forward;
    int32_t n_ctx, n_batch, n_outputs;
    int32_t n_logits;  /* rows of the last decode */
    bool argmax_only;  /* of the last decode: only argmax has been made */
    float *logits;     /* (n_outputs, vocab_size) */
    int32_t *argmax;   /* (n_outputs) */
    int32_t *extended; /* (n_seq_max): length before the decode under way, -1 where untouched */
};
#endif
