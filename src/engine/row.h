/* A row: one sample of a request while it runs. It keeps tokens, text, stop strings and log-probabilities; it
 * knows neither the cache nor when it is run. Its buffers are made once, for the largest request, and used
 * again by the next. */
#ifndef ENGINE_ROW_H
#define ENGINE_ROW_H
#include "engine/job.h"
#include "engine/sampler.h"
#include "engine/speculation.h"

struct row {
    struct job *job; /* NULL: free */
    int32_t sample, sequence;
    gpt2q_sampling sampling; /* the job's, with this sample's seed */
    int32_t *ids;            /* (n_ctx): prompt, then completion, then proposals */
    int32_t n_ids, n_prompt, n_cached;
    int32_t n_proposed; /* proposals that may still turn out right: ids[n_ids] and on */
    struct speculation speculation;
    char *text;                         /* bytes of the completion */
    size_t n_text, text_end, n_emitted; /* text_end: where the answer ends, once known */
    const char *stop;                   /* the job's string that ended the text, NULL: none */
    int32_t stop_id;                    /* the job's id that ended it, -1: none */
    int32_t n_told;                     /* tokens of the prompt that on_prefill was told of */
    int32_t n_shared;                   /* tokens of the prompt that were shared and not computed */
    size_t n_steps;                     /* passes it took part in */
    struct stream_decoder stream;
    char *released;            /* what the stream decoder lets go, for one callback */
    gpt2q_position *positions; /* with logprobs */
    gpt2q_token_logprob *top;
    size_t n_positions;
    bool done;
    gpt2q_finish finish;
    gpt2q_error error;
    double admitted_at, first_token_at;
};

/* Buffers for n_ctx positions of tokens of at most token_bytes bytes each. */
gpt2q_status row_create(struct row *row, int32_t n_ctx, size_t token_bytes, gpt2q_error *err);
void row_free(struct row *row);
/* Takes the next sample of a job. On failure (memory) the row is done, with the error. */
void row_begin(struct row *row, struct job *job, int32_t sequence);
/* What comes after `position` by its logits: the prompt's own next token, or the one that is drawn; with its
 * log-probabilities if they are asked for. -1 if the logits are not finite. Changes nothing else of the row,
 * so that rows can be drawn at the same time. */
int32_t row_draw(struct row *row, struct sampler *s, const float *logits, int32_t position);
/* Nothing is asked of the row's logits but the arg-max, and row_draw would give that. */
bool row_wants_argmax_only(const struct row *row);
/* Proposes at most n tokens to follow those made, in a pass that n_rows share; returns how many. */
int32_t row_propose(struct row *row, int32_t n, int32_t n_rows);
/* The token at `position` is of the row's text: not a proposal behind one that turned out wrong. */
static inline bool row_has(const struct row *row, int32_t position, int32_t id)
{
    return position < row->n_ids && row->ids[position] == id;
}
/* Takes what row_draw gave: scores the prompt token, or appends the new one and decides whether the row is
 * done. */
void row_take(struct row *row, const gpt2q_model *model, int32_t position, int32_t id);
/* Ends the row: the last text, then on_end. The row is free afterwards. */
void row_end(struct row *row);
/* Tells how much of the prompt is there, if that is news. */
void row_tell_prefill(struct row *row);
static inline bool row_decodes(const struct row *row) { return row->n_cached >= row->n_prompt; }
#endif
