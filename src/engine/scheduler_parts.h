/* The insides of the scheduler, shared by its three files: scheduler.c (what callers see, and the step),
 * scheduler_admit.c (who may run, and on whose prefix), scheduler_pass.c (the tokens of a pass). */
#ifndef ENGINE_SCHEDULER_PARTS_H
#define ENGINE_SCHEDULER_PARTS_H
#include "engine/batched_cache.h"
#include "engine/context.h"
#include "engine/job_queue.h"
#include "engine/row.h"
#include "engine/scheduler.h"

#define NO_ROW (-1) /* a padding token belongs to no row */

struct gpt2q_scheduler {
    gpt2q_context *ctx;
    int32_t n_rows, n_chunk, n_samplers;
    bool share_prefixes, keep_prefixes, prompts_first, padded;
    struct job_queue queue;
    struct row *rows;                    /* (n_rows); row i uses sequence i of the context */
    struct batched_cache running, fresh; /* fresh: admitted in this step */
    struct sampler *samplers;            /* one per thread */
    struct batch_token *tokens;          /* of the pass or passes of a step */
    int32_t *token_row;                  /* the row of each, or NO_ROW */
    int32_t n_tokens, n_decoding;        /* n_decoding: tokens that continue a completion */
    int32_t n_before; /* prompts_first: tokens of prompts computed since the rows had their last token */
    int32_t *output_token, *output_id; /* (n_outputs): the token whose logits they are, and what was drawn */
    int32_t n_outputs;
    int32_t *admitted, *n_prompts, *ended; /* (n_rows) */
    bool *keep;
    struct scheduler_step step;
    uint64_t *step_ids; /* prefilled | decoded | finished */
    scheduler_step_fn *on_step;
    void *on_step_user;
    gpt2q_scheduler_stats stats;
};

/* Row k of a batch. */
static inline struct row *row_at(const gpt2q_scheduler *s, const struct batched_cache *b, int32_t k)
{
    return &s->rows[b->rows[k].sequence];
}

/* Gives rows to the requests that wait, in order of arrival, until one does not fit. A ragged row joins at
 * once, for the next one may share its blocks; padded rows are counted, to be prefilled together. Returns how
 * many. */
int32_t scheduler_admit(gpt2q_scheduler *s);
/* Before the first chunk of row k: shares what came to be cached since it was admitted. True if it should
 * rather wait, because a row before it is about to compute the beginning of the same prompt. */
bool scheduler_waits_for_prefix(gpt2q_scheduler *s, int32_t k);

/* Lists a token of every running row that decodes, in place of what was listed. */
void scheduler_list_decoding(gpt2q_scheduler *s);
/* Lists what the pass of a ragged step takes: these, and tokens of prompts in order of arrival; or one of both. */
void scheduler_list_ragged(gpt2q_scheduler *s);
/* Lists the rectangle of the fresh batch, padding included, in place of what was listed. */
void scheduler_list_rectangle(gpt2q_scheduler *s);
/* Runs the listed tokens, draws what comes next and hands it to the rows: one pass, or several where a
 * rectangle exceeds the context's batch or its rows of logits. */
gpt2q_status scheduler_run_listed(gpt2q_scheduler *s, gpt2q_error *err);
#endif
