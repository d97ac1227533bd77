/* Continuous batching. The scheduler owns a queue of requests and the rows that run; it knows no files, no
 * threads of its own and no printing.
 *
 * A step of the ragged batch is one pass: admit what fits, list a token of every decoding row and then chunks
 * of prompts in order of arrival up to the budget, run that list, draw tokens, let finished rows go. A step
 * of the padded batch is one turn of the notes' loop: prefill what fits as a batch of its own, merge it,
 * decode a token of every row, filter, left-truncate.
 *
 * A row is admitted only if the cache has blocks for its worst case beside the worst cases of all that run,
 * so nothing that was begun ever has to be evicted. The queue may be filled, and requests cancelled, from
 * other threads. */
#include "engine/scheduler.h"
#include "base/clock.h"
#include "base/memory.h"
#include "base/threads.h"
#include "engine/batched_cache.h"
#include "engine/context.h"
#include "engine/job_queue.h"
#include "engine/row.h"
#include <assert.h>
#include <string.h>

#define NO_ROW (-1) /* a padding token belongs to no row */

struct gpt2q_scheduler {
    gpt2q_context *ctx;
    int32_t n_rows, n_chunk, n_samplers;
    bool share_prefixes, padded;
    struct job_queue queue;
    struct row *rows;                    /* (n_rows); row i uses sequence i of the context */
    struct batched_cache running, fresh; /* fresh: admitted in this step */
    struct sampler *samplers;            /* one per thread */
    struct batch_token *tokens;          /* of the pass or passes of a step */
    int32_t *token_row;                  /* the row of each, or NO_ROW */
    int32_t n_tokens, n_decoding;        /* n_decoding: tokens that continue a completion */
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

gpt2q_scheduler_params gpt2q_scheduler_params_default(void)
{
    return (gpt2q_scheduler_params){.n_rows = 8, .n_queue = 64};
}

void scheduler_on_step(gpt2q_scheduler *s, scheduler_step_fn *fn, void *user)
{
    s->on_step = fn;
    s->on_step_user = user;
}

/* ---- making one ---- */

static size_t longest_token(const gpt2q_model *m)
{
    size_t longest = 1, n;
    for (int32_t id = 0; m->tokenizer && id < tokenizer_size(m->tokenizer); id++)
        if (tokenizer_bytes(m->tokenizer, id, &n) && n > longest) longest = n;
    return longest;
}

/* Tokens a step lists at most: a padded prefill is the whole rectangle. */
static size_t tokens_of_step(const gpt2q_scheduler *s)
{
    size_t n = (size_t)s->ctx->n_batch, rectangle = (size_t)s->n_rows * (size_t)s->ctx->n_ctx;
    return s->padded && rectangle > n ? rectangle : n;
}

static gpt2q_status build_lists(gpt2q_scheduler *s, gpt2q_error *err)
{
    size_t n_rows = (size_t)s->n_rows, n_tokens = tokens_of_step(s), n_outputs = (size_t)s->ctx->n_outputs;
    s->rows = mem_zarray(n_rows, sizeof *s->rows);
    s->samplers = mem_zarray((size_t)s->n_samplers, sizeof *s->samplers);
    s->tokens = mem_array(n_tokens, sizeof *s->tokens);
    s->token_row = mem_array(n_tokens, sizeof *s->token_row);
    s->output_token = mem_array(n_outputs, sizeof *s->output_token);
    s->output_id = mem_array(n_outputs, sizeof *s->output_id);
    s->admitted = mem_array(n_rows, sizeof *s->admitted);
    s->n_prompts = mem_array(n_rows, sizeof *s->n_prompts);
    s->ended = mem_array(n_rows, sizeof *s->ended);
    s->keep = mem_array(n_rows, sizeof *s->keep);
    s->step_ids = mem_array(4 * n_rows, sizeof *s->step_ids); /* padded: a step may finish rows twice */
    if (s->rows && s->samplers && s->tokens && s->token_row && s->output_token && s->output_id &&
        s->admitted && s->n_prompts && s->ended && s->keep && s->step_ids)
        return GPT2Q_OK;
    return error_memory(err, "a scheduler", n_tokens * (sizeof *s->tokens + sizeof *s->token_row));
}

static gpt2q_status build(gpt2q_scheduler *s, int32_t n_queue, gpt2q_error *err)
{
    const gpt2q_model *m = s->ctx->model;
    size_t token_bytes = longest_token(m);
    gpt2q_status status = build_lists(s, err);
    if (!status) status = job_queue_create(&s->queue, n_queue, s->n_rows, err);
    if (!status) status = batched_cache_create(&s->running, &s->ctx->cache, s->n_rows, s->padded, err);
    if (!status) status = batched_cache_create(&s->fresh, &s->ctx->cache, s->n_rows, s->padded, err);
    for (int32_t i = 0; i < s->n_samplers && !status; i++)
        status = sampler_create(&s->samplers[i], m->isa->kernels, m->weights.config.vocab_size, err);
    for (int32_t i = 0; i < s->n_rows && !status; i++)
        status = row_create(&s->rows[i], s->ctx->n_ctx, token_bytes, err);
    return status;
}

gpt2q_status gpt2q_scheduler_create(gpt2q_context *ctx, const gpt2q_scheduler_params *params,
                                    gpt2q_scheduler **out, gpt2q_error *err)
{
    gpt2q_scheduler_params p = params ? *params : gpt2q_scheduler_params_default();
    *out = NULL;
    if (p.n_rows < 1 || p.n_rows > ctx->n_outputs || p.n_rows > ctx->n_batch ||
        p.n_rows > ctx->cache.n_seq / (1 + p.padded))
        return error_set(
            err, GPT2Q_INVALID_ARGUMENT,
            "%d %srows do not fit a context of %d sequences, %d rows of logits and batches of %d",
            (int)p.n_rows, p.padded ? "padded " : "", ctx->cache.n_seq, (int)ctx->n_outputs,
            (int)ctx->n_batch);
    if (p.n_queue < 1 || p.n_chunk < 0)
        return error_set(err, GPT2Q_INVALID_ARGUMENT,
                         "a queue of %d requests and chunks of %d tokens cannot be", (int)p.n_queue,
                         (int)p.n_chunk);
    gpt2q_scheduler *s = mem_zalloc(sizeof *s);
    if (!s) return error_memory(err, "a scheduler", sizeof *s);
    s->ctx = ctx;
    s->n_rows = p.n_rows;
    s->n_chunk = p.n_chunk ? p.n_chunk : ctx->n_batch;
    s->padded = p.padded;
    s->share_prefixes = !p.no_prefix_sharing && !p.padded;
    s->n_samplers = ctx->forward.n_threads < p.n_rows ? ctx->forward.n_threads : p.n_rows;
    gpt2q_status status = build(s, p.n_queue, err);
    if (status) {
        gpt2q_scheduler_free(s);
        return status;
    }
    *out = s;
    return GPT2Q_OK;
}

static struct row *row_at(const gpt2q_scheduler *s, const struct batched_cache *b, int32_t k)
{
    return &s->rows[b->rows[k].sequence];
}

void gpt2q_scheduler_free(gpt2q_scheduler *s)
{
    if (!s) return;
    for (int32_t k = 0; k < s->running.n_rows; k++) {
        struct row *r = row_at(s, &s->running, k);
        gpt2q_context_truncate(s->ctx, r->sequence, 0);
        if (s->padded) gpt2q_context_truncate(s->ctx, batched_cache_margin(&s->running, k), 0);
        if (++r->job->n_ended == r->job->n_started && job_queue_front(&s->queue) != r->job) job_free(r->job);
    }
    job_queue_free(&s->queue);
    batched_cache_free(&s->running);
    batched_cache_free(&s->fresh);
    for (int32_t i = 0; s->rows && i < s->n_rows; i++) row_free(&s->rows[i]);
    for (int32_t i = 0; s->samplers && i < s->n_samplers; i++) sampler_free(&s->samplers[i]);
    void *all[] = {s->rows,     s->samplers,  s->tokens, s->token_row, s->output_token, s->output_id,
                   s->admitted, s->n_prompts, s->ended,  s->keep,      s->step_ids};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) mem_free(all[i]);
    mem_free(s);
}

/* ---- requests ---- */

/* Positions that the cache can hold for one request; a padded row may begin a block of margin besides. */
static int64_t pool_positions(const gpt2q_scheduler *s)
{
    return (int64_t)(s->ctx->cache.n_blocks - s->padded) * KV_BLOCK;
}

gpt2q_status gpt2q_scheduler_submit(gpt2q_scheduler *s, const gpt2q_request *request, uint64_t *id,
                                    gpt2q_error *err)
{
    struct job *job;
    gpt2q_status status = job_create(s->ctx->model, s->ctx->n_ctx, request, &job, err);
    if (status) return status;
    int64_t positions = (int64_t)job->n_prompt + job->max_new;
    if (positions > pool_positions(s))
        status = error_set(err, GPT2Q_INVALID_ARGUMENT,
                           "prompt and completion need %lld positions but the cache has only %lld",
                           (long long)positions, (long long)pool_positions(s));
    else if (!job_queue_push(&s->queue, job, id))
        status =
            error_set(err, GPT2Q_QUEUE_FULL, "the queue holds %d requests already", (int)s->queue.capacity);
    if (status) job_free(job);
    return status;
}

bool gpt2q_scheduler_cancel(gpt2q_scheduler *s, uint64_t id) { return job_queue_cancel(&s->queue, id); }

static void free_if_ended(struct job *job)
{
    if (job->n_ended == job->request.n_samples) job_free(job);
}

/* Requests that were cancelled while they waited; samples of theirs that run are filtered as rows. */
static void end_cancelled(gpt2q_scheduler *s)
{
    for (struct job *job; (job = job_queue_take_cancelled(&s->queue));) {
        job_cancel_rest(job);
        free_if_ended(job);
    }
}

/* ---- sharing prefixes ---- */

static int32_t common_prefix(const int32_t *a, int32_t na, const int32_t *b, int32_t nb)
{
    int32_t n = 0;
    while (n < na && n < nb && a[n] == b[n]) n++;
    return n;
}

struct donor {
    int32_t n_cached, sequence; /* most that can be shared now, and whose it is */
    int32_t n_coming; /* most that could be shared once rows before this one have computed their prompts */
};

/* What the prompt has in common with the running rows; of those from `before` on, only what is cached counts.
 * The last prompt token is left to be computed: its logits are wanted. */
static struct donor find_donor(const gpt2q_scheduler *s, const struct job *job, int32_t before)
{
    struct donor best = {0};
    for (int32_t k = 0; k < s->running.n_rows; k++) {
        const struct row *r = row_at(s, &s->running, k);
        int32_t n = common_prefix(r->ids, r->n_ids, job->prompt, job->n_prompt - 1);
        int32_t cached = n < r->n_cached ? n : r->n_cached;
        if (cached > best.n_cached) best.n_cached = cached, best.sequence = r->sequence;
        if (k < before && n > best.n_coming) best.n_coming = n;
    }
    return best;
}

/* Makes what is cached of the prompt the beginning of an empty sequence. Less than a block is not worth it.
 */
static int32_t share(gpt2q_scheduler *s, struct donor donor, int32_t sequence)
{
    if (donor.n_cached < KV_BLOCK) return 0;
    kv_cache_share(&s->ctx->cache, donor.sequence, sequence, donor.n_cached);
    return donor.n_cached;
}

/* Where all logits of the prompt are wanted it has to be computed. */
static bool may_share(const gpt2q_scheduler *s, const struct job *job)
{
    return s->share_prefixes && !job_scores_prompt(job);
}

/* Before a row's first chunk: shares what came to be cached since it was admitted. True if it should rather
 * wait, because a row before it is about to compute the beginning of the same prompt. */
static bool waits_for_prefix(gpt2q_scheduler *s, int32_t k)
{
    struct row *r = row_at(s, &s->running, k);
    if (r->n_cached > 0 || !may_share(s, r->job)) return false;
    struct donor donor = find_donor(s, r->job, k);
    if (donor.n_coming - donor.n_cached >= KV_BLOCK) return true;
    r->n_cached = share(s, donor, r->sequence);
    return false;
}

/* ---- admission ---- */

/* Positions a row may still take; the last token drawn is never fed back, but there is room for it. */
static int32_t positions_left(const struct row *r) { return r->n_prompt + r->job->max_new - r->n_cached; }

/* Blocks that the running rows may still ask for. */
static int64_t blocks_promised(const gpt2q_scheduler *s)
{
    int64_t sum = 0;
    for (int32_t k = 0; k < s->running.n_rows; k++) {
        const struct row *r = row_at(s, &s->running, k);
        sum += kv_cache_blocks_needed(&s->ctx->cache, r->sequence, positions_left(r));
    }
    return sum;
}

/* The padded rectangle may become as wide as its longest row may become; margin and text begin a block each.
 */
static bool rectangle_fits(const gpt2q_scheduler *s, const struct job *job, int32_t n_admitted)
{
    int32_t longest = job->n_prompt + job->max_new;
    for (int32_t i = 0; i < s->n_rows; i++) {
        const struct job *other = s->rows[i].job;
        if (other && other->n_prompt + other->max_new > longest) longest = other->n_prompt + other->max_new;
    }
    int64_t blocks = (longest + KV_BLOCK - 1) / KV_BLOCK + 1;
    return (s->running.n_rows + n_admitted + 1) * blocks <= s->ctx->cache.n_blocks;
}

static bool fits(gpt2q_scheduler *s, const struct job *job, int32_t sequence, int32_t n_cached)
{
    const struct kv_cache *cache = &s->ctx->cache;
    int64_t wanted = kv_cache_blocks_needed(cache, sequence, job->n_prompt + job->max_new - n_cached);
    return wanted + blocks_promised(s) <= cache->n_free;
}

static int32_t free_row(const gpt2q_scheduler *s)
{
    for (int32_t i = 0; i < s->n_rows; i++)
        if (!s->rows[i].job) return i;
    return NO_ROW;
}

static void begin(gpt2q_scheduler *s, struct job *job, int32_t row)
{
    if (job->n_started == 0) {
        s->stats.requests++;
        s->stats.prompt_tokens += (uint64_t)job->n_prompt;
    }
    row_begin(&s->rows[row], job, row);
    job_queue_set_running(&s->queue, row, job);
    if (job->n_started == job->request.n_samples) job_queue_pop(&s->queue);
}

/* Rows for the requests that wait, in order of arrival, until one does not fit. A ragged row joins at once,
 * for the next one may share its blocks; padded rows are counted, to be prefilled together. */
static int32_t admit(gpt2q_scheduler *s)
{
    int32_t n = 0;
    struct job *job;
    for (int32_t row; (row = free_row(s)) != NO_ROW && (job = job_queue_front(&s->queue));) {
        if (s->padded) {
            if (!rectangle_fits(s, job, n)) break;
            begin(s, job, row);
            s->admitted[n] = row;
            s->n_prompts[n++] = job->n_prompt;
            continue;
        }
        int32_t shared = may_share(s, job) ? share(s, find_donor(s, job, 0), row) : 0;
        if (!fits(s, job, row, shared)) {
            kv_cache_truncate(&s->ctx->cache, row, 0);
            break;
        }
        begin(s, job, row);
        s->rows[row].n_cached = shared;
        batched_cache_prefill(&s->fresh, &row, &job->n_prompt, 1);
        batched_cache_merge(&s->running, &s->fresh);
        n++;
    }
    return n;
}

/* ---- the tokens of a pass ---- */

static void list_token(gpt2q_scheduler *s, int32_t row, int32_t position, bool wants_logits)
{
    s->tokens[s->n_tokens] = (struct batch_token){.token = s->rows[row].ids[position],
                                                  .position = position,
                                                  .sequence = row,
                                                  .wants_logits = wants_logits};
    s->token_row[s->n_tokens++] = row;
    s->n_outputs += wants_logits;
}

static void list_padding(gpt2q_scheduler *s, int32_t margin, int32_t n_pad)
{
    int32_t pad = s->ctx->model->weights.config.eos_token_id; /* the notes' pad token */
    for (int32_t c = 0; c < n_pad; c++) {
        s->tokens[s->n_tokens] =
            (struct batch_token){.token = pad < 0 ? 0 : pad, .position = c, .sequence = margin};
        s->token_row[s->n_tokens++] = NO_ROW;
    }
}

/* The prompt's tokens from n_cached on, as far as `budget` and what `limited` leaves of a pass allow. */
static int32_t list_prompt(gpt2q_scheduler *s, const struct row *r, int32_t budget, bool limited)
{
    int32_t listed = 0;
    bool scores = job_scores_prompt(r->job);
    for (int32_t p = r->n_cached; p < r->n_prompt && listed < budget; p++, listed++) {
        bool wants = p + 1 < r->n_prompt ? scores : r->job->max_new > 0;
        if (limited && (s->n_tokens == s->ctx->n_batch || (wants && s->n_outputs == s->ctx->n_outputs)))
            break;
        list_token(s, r->sequence, p, wants);
    }
    if (listed) s->step_ids[s->step.n_prefilled++] = r->job->id;
    return listed;
}

static void list_decoding(gpt2q_scheduler *s)
{
    s->n_tokens = s->n_outputs = 0;
    for (int32_t k = 0; k < s->running.n_rows; k++) {
        const struct row *r = row_at(s, &s->running, k);
        if (r->done || !row_decodes(r)) continue;
        list_token(s, r->sequence, r->n_cached, true);
        s->step_ids[s->n_rows + s->step.n_decoded++] = r->job->id;
    }
    s->n_decoding = s->n_tokens;
}

static void list_chunks(gpt2q_scheduler *s)
{
    int32_t budget = s->n_chunk;
    for (int32_t k = 0; k < s->running.n_rows && budget > 0; k++) {
        const struct row *r = row_at(s, &s->running, k);
        if (r->done || row_decodes(r) || waits_for_prefix(s, k)) continue;
        budget -= list_prompt(s, r, budget, true);
    }
}

/* The rectangle of the fresh batch, padding included. */
static void list_rectangle(gpt2q_scheduler *s)
{
    s->n_tokens = s->n_outputs = s->n_decoding = 0;
    for (int32_t k = 0; k < s->fresh.n_rows; k++) {
        list_padding(s, batched_cache_margin(&s->fresh, k), s->fresh.rows[k].n_pad);
        list_prompt(s, row_at(s, &s->fresh, k), INT32_MAX, false);
    }
}

/* ---- running them ---- */

static void draw_outputs(void *arg, int thread, int n_threads)
{
    gpt2q_scheduler *s = arg;
    int64_t begin, end;
    threads_split(s->n_outputs, thread, n_threads, &begin, &end);
    for (int64_t o = begin; o < end; o++) {
        int32_t i = s->output_token[o];
        s->output_id[o] = row_draw(&s->rows[s->token_row[i]], &s->samplers[thread],
                                   gpt2q_logits(s->ctx, (int32_t)o), s->tokens[i].position);
    }
}

/* What the pass over the tokens [first, end) said about each. */
static void take_results(gpt2q_scheduler *s, int32_t first, int32_t end)
{
    int32_t output = 0;
    s->n_outputs = 0;
    for (int32_t i = first; i < end; i++)
        if (s->tokens[i].wants_logits) s->output_token[s->n_outputs++] = i;
    threads_run(s->n_outputs < s->n_samplers ? s->n_outputs : s->n_samplers, draw_outputs, s);
    for (int32_t i = first; i < end; i++) {
        if (s->token_row[i] == NO_ROW) continue;
        struct row *r = &s->rows[s->token_row[i]];
        r->n_cached = s->tokens[i].position + 1;
        if (s->tokens[i].wants_logits) {
            int32_t id = s->output_id[output++];
            if (r->done) continue; /* failed at an earlier token of its prompt */
            row_take(r, s->ctx->model, s->tokens[i].position, id);
            s->stats.completion_tokens += r->n_cached >= r->n_prompt && id >= 0;
        } else if (r->n_cached == r->n_prompt && r->job->max_new == 0) {
            r->done = true;
        }
    }
}

/* Runs the listed tokens: one pass, or several where a rectangle exceeds the context's batch or its rows of
 * logits. */
static gpt2q_status run(gpt2q_scheduler *s, gpt2q_error *err)
{
    gpt2q_status status = GPT2Q_OK;
    double started = clock_seconds();
    for (int32_t first = 0, end = 0; first < s->n_tokens && !status; first = end) {
        for (int32_t outputs = 0; end < s->n_tokens && end - first < s->ctx->n_batch; end++) {
            outputs += s->tokens[end].wants_logits;
            if (outputs > s->ctx->n_outputs) break;
        }
        status = context_decode(s->ctx, s->tokens + first, end - first, err);
        if (!status) take_results(s, first, end);
    }
    if (!s->n_tokens) return status;
    double seconds = clock_seconds() - started,
           decode = seconds * s->n_decoding / s->n_tokens; /* a mixed pass is divided by tokens */
    s->stats.decode_s += decode;
    s->stats.prefill_s += seconds - decode;
    return status;
}

/* ---- letting go ---- */

/* Ends rows that are done or cancelled. Their blocks are free before anyone is told, so that a callback may
 * submit. */
static void filter(gpt2q_scheduler *s, struct batched_cache *b)
{
    int32_t n = 0;
    for (int32_t k = 0; k < b->n_rows; k++) {
        struct row *r = row_at(s, b, k);
        if (!r->done && job_queue_is_cancelled(&s->queue, r->job)) {
            r->done = true;
            r->finish = GPT2Q_FINISH_CANCELLED;
        }
        s->keep[k] = !r->done;
        if (!r->done) continue;
        s->ended[n++] = r->sequence;
        s->step_ids[2 * s->n_rows + s->step.n_finished++] = r->job->id;
    }
    if (n == 0) return;
    batched_cache_filter(b, s->keep);
    for (int32_t i = 0; i < n; i++) {
        struct row *r = &s->rows[s->ended[i]];
        struct job *job = r->job;
        s->stats.errors += r->finish == GPT2Q_FINISH_ERROR;
        job_queue_set_running(&s->queue, s->ended[i], NULL);
        row_end(r);
        free_if_ended(job);
    }
}

/* ---- a step ---- */

static void measure(gpt2q_scheduler *s)
{
    s->step.rows = s->running.n_rows;
    s->step.columns = batched_cache_columns(&s->running);
    s->step.padding = batched_cache_padding(&s->running);
}

static gpt2q_status step_ragged(gpt2q_scheduler *s, gpt2q_error *err)
{
    filter(s, &s->running); /* what was cancelled makes room */
    admit(s);
    filter(s, &s->running); /* what needs no pass */
    list_decoding(s);
    list_chunks(s);
    gpt2q_status status = run(s, err);
    if (status) return status;
    measure(s);
    filter(s, &s->running);
    s->step.truncated_columns = batched_cache_left_truncate(&s->running);
    return GPT2Q_OK;
}

static gpt2q_status step_padded(gpt2q_scheduler *s, gpt2q_error *err)
{
    filter(s, &s->running);
    int32_t truncated = batched_cache_left_truncate(&s->running);
    batched_cache_prefill(&s->fresh, s->admitted, s->n_prompts, admit(s));
    filter(s, &s->fresh);
    list_rectangle(s);
    gpt2q_status status = run(s, err);
    filter(s, &s->fresh); /* who asked for one token has it; the notes make a second */
    bool merged = batched_cache_merge(&s->running, &s->fresh);
    assert(merged); /* rectangle_fits promised */
    (void)merged;
    list_decoding(s);
    if (!status) status = run(s, err);
    if (status) return status;
    measure(s);
    filter(s, &s->running);
    s->step.truncated_columns = truncated + batched_cache_left_truncate(&s->running);
    return GPT2Q_OK;
}

static void end_step(gpt2q_scheduler *s)
{
    struct scheduler_step *step = &s->step;
    step->prefilled = s->step_ids;
    step->decoded = s->step_ids + s->n_rows;
    step->finished = s->step_ids + 2 * s->n_rows;
    step->step = s->stats.steps++;
    s->stats.rows += (uint64_t)step->n_decoded;
    s->stats.peak_kv_bytes = kv_cache_peak_bytes(&s->ctx->cache);
    if (s->on_step) s->on_step(s->on_step_user, step);
}

gpt2q_status gpt2q_scheduler_step(gpt2q_scheduler *s, bool *busy, gpt2q_error *err)
{
    s->step = (struct scheduler_step){0};
    end_cancelled(s);
    gpt2q_status status = s->padded ? step_padded(s, err) : step_ragged(s, err);
    if (status) return status;
    if (s->step.n_prefilled || s->step.n_decoded) end_step(s);
    *busy = s->running.n_rows > 0 || job_queue_front(&s->queue);
    return GPT2Q_OK;
}

gpt2q_scheduler_stats gpt2q_scheduler_get_stats(const gpt2q_scheduler *s) { return s->stats; }
