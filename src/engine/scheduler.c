/* Continuous batching. The scheduler owns a queue of requests and the rows that run; it knows no files, no
 * threads of its own and no printing.
 *
 * A step of the ragged batch is one pass: admit what fits, list a token of every decoding row and then chunks
 * of prompts in order of arrival up to the budget, run that list, draw tokens, let finished rows go. With
 * prompts_first the list is of prompts alone, until the budget is used, and then of decoding rows alone. A step
 * of the padded batch is one turn of the notes' loop: prefill what fits as a batch of its own, merge it,
 * decode a token of every row, filter, left-truncate.
 *
 * The queue may be filled, and requests cancelled, from other threads. Who may run is scheduler_admit.c's,
 * what a pass does scheduler_pass.c's. */
#include "engine/scheduler_parts.h"
#include "base/memory.h"
#include <assert.h>
#include <string.h>

gpt2q_scheduler_params gpt2q_scheduler_params_default(void)
{
    return (gpt2q_scheduler_params){.n_rows = 8, .n_queue = 64};
}

void scheduler_on_step(gpt2q_scheduler *s, scheduler_step_fn *fn, void *user)
{
    s->on_step = fn;
    s->on_step_user = user;
}

void scheduler_prompts_first(gpt2q_scheduler *s) { s->prompts_first = !s->padded; }

/* What other threads may know from now on. */
static void publish(gpt2q_scheduler *s)
{
    const struct kv_cache *cache = &s->ctx->cache;
    gpt2q_scheduler_load load = {.running = s->running.n_rows,
                                 .cache_positions = (int64_t)cache->n_blocks * KV_BLOCK,
                                 .cache_used = (int64_t)(cache->n_blocks - cache->n_free) * KV_BLOCK,
                                 .stats = s->stats};
    for (int32_t k = 0; k < s->running.n_rows; k++) {
        const struct row *r = row_at(s, &s->running, k);
        load.tokens_left += r->n_prompt + r->job->max_new - r->n_cached;
    }
    job_queue_publish(&s->queue, &load);
}

/* ---- making one ---- */

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

static gpt2q_status build(gpt2q_scheduler *s, const gpt2q_scheduler_params *p, gpt2q_error *err)
{
    const gpt2q_model *m = s->ctx->model;
    size_t token_bytes = m->tokenizer ? tokenizer_longest(m->tokenizer) : 1;
    gpt2q_status status = build_lists(s, err);
    if (!status) status = job_queue_create(&s->queue, p->n_queue, p->n_queue_tokens, s->n_rows, err);
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
    if (p.n_queue < 1 || p.n_queue_tokens < 0 || p.n_chunk < 0)
        return error_set(err, GPT2Q_INVALID_ARGUMENT,
                         "a queue of %d requests and chunks of %d tokens cannot be", (int)p.n_queue,
                         (int)p.n_chunk);
    for (int32_t i = 0; i < ctx->cache.n_seq; i++)
        if (ctx->cache.length[i])
            return error_set(
                err, GPT2Q_INVALID_ARGUMENT,
                "sequence %d of the context holds %d positions; a scheduler wants empty sequences", (int)i,
                (int)ctx->cache.length[i]);
    gpt2q_scheduler *s = mem_zalloc(sizeof *s);
    if (!s) return error_memory(err, "a scheduler", sizeof *s);
    s->ctx = ctx;
    s->n_rows = p.n_rows;
    s->n_chunk = p.n_chunk ? p.n_chunk : ctx->n_batch;
    s->padded = p.padded;
    s->share_prefixes = !p.no_prefix_sharing && !p.padded;
    s->keep_prefixes = p.keep_prefixes && s->share_prefixes;
    s->n_samplers = ctx->forward.n_threads < ctx->n_outputs ? ctx->forward.n_threads : ctx->n_outputs;
    gpt2q_status status = build(s, &p, err);
    if (!status && s->keep_prefixes) status = kv_cache_keep(&ctx->cache, err);
    if (status) {
        gpt2q_scheduler_free(s);
        return status;
    }
    publish(s);
    *out = s;
    return GPT2Q_OK;
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

static gpt2q_status make_job(gpt2q_scheduler *s, const gpt2q_request *request, struct job **job,
                             gpt2q_error *err)
{
    gpt2q_status status = job_create(s->ctx->model, s->ctx->n_ctx, request, job, err);
    if (status) return status;
    int64_t positions = (int64_t)(*job)->n_prompt + (*job)->max_new;
    if (positions <= pool_positions(s)) return GPT2Q_OK;
    job_free(*job);
    *job = NULL;
    return error_set(err, GPT2Q_INVALID_ARGUMENT,
                     "prompt and completion need %lld positions but the cache has only %lld",
                     (long long)positions, (long long)pool_positions(s));
}

gpt2q_status gpt2q_scheduler_submit_all(gpt2q_scheduler *s, const gpt2q_request *requests, size_t n,
                                        uint64_t *ids, size_t *failed, gpt2q_error *err)
{
    gpt2q_status status = GPT2Q_OK;
    size_t made = 0, nowhere;
    if (!failed) failed = &nowhere;
    *failed = n;
    struct job **jobs = mem_zarray(n, sizeof *jobs);
    if (!jobs) return error_memory(err, "requests", n * sizeof *jobs);
    for (; made < n; made++) {
        status = make_job(s, &requests[made], &jobs[made], err);
        if (!status) continue;
        *failed = made;
        break;
    }
    if (!status && !job_queue_push(&s->queue, jobs, n, ids))
        status = error_set(err, GPT2Q_QUEUE_FULL, "the queue of %d requests has no room for %zu more",
                           (int)s->queue.capacity, n);
    for (size_t i = 0; status && i < made; i++) job_free(jobs[i]);
    mem_free(jobs);
    return status;
}

gpt2q_status gpt2q_scheduler_submit(gpt2q_scheduler *s, const gpt2q_request *request, uint64_t *id,
                                    gpt2q_error *err)
{
    size_t failed;
    return gpt2q_scheduler_submit_all(s, request, 1, id, &failed, err);
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
        if (s->keep_prefixes && r->finish != GPT2Q_FINISH_ERROR)
            kv_cache_remember(&s->ctx->cache, r->sequence, r->ids, r->n_cached);
        s->ended[n++] = r->sequence;
        s->step_ids[2 * s->n_rows + s->step.n_finished++] = r->job->id;
    }
    if (n == 0) return;
    batched_cache_filter(b, s->keep);
    for (int32_t i = 0; i < n; i++) {
        struct row *r = &s->rows[s->ended[i]];
        struct job *job = r->job;
        s->stats.errors += r->finish == GPT2Q_FINISH_ERROR;
        s->stats.proposed_tokens += r->speculation.n_proposed;
        s->stats.accepted_tokens += r->speculation.n_accepted;
        s->stats.cached_tokens += (uint64_t)r->n_shared;
        if (r->finish == GPT2Q_FINISH_CANCELLED)
            s->stats.wasted_tokens += (uint64_t)(r->n_cached - r->n_shared);
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

static void tell_prefill(const gpt2q_scheduler *s)
{
    for (int32_t k = 0; k < s->running.n_rows; k++) {
        struct row *r = row_at(s, &s->running, k);
        if (!r->done && r->n_cached < r->n_prompt) row_tell_prefill(r);
    }
}

static gpt2q_status step_ragged(gpt2q_scheduler *s, gpt2q_error *err)
{
    filter(s, &s->running); /* what was cancelled makes room */
    scheduler_admit(s);
    filter(s, &s->running); /* what needs no pass */
    scheduler_list_ragged(s);
    gpt2q_status status = scheduler_run_listed(s, err);
    if (status) return status;
    measure(s);
    tell_prefill(s);
    filter(s, &s->running);
    s->step.truncated_columns = batched_cache_left_truncate(&s->running);
    return GPT2Q_OK;
}

static gpt2q_status step_padded(gpt2q_scheduler *s, gpt2q_error *err)
{
    filter(s, &s->running);
    int32_t truncated = batched_cache_left_truncate(&s->running);
    batched_cache_prefill(&s->fresh, s->admitted, s->n_prompts, scheduler_admit(s));
    filter(s, &s->fresh);
    scheduler_list_rectangle(s);
    gpt2q_status status = scheduler_run_listed(s, err);
    filter(s, &s->fresh); /* who asked for one token has it; the notes make a second */
    bool merged = batched_cache_merge(&s->running, &s->fresh);
    assert(merged); /* rectangle_fits promised */
    (void)merged;
    scheduler_list_decoding(s);
    if (!status) status = scheduler_run_listed(s, err);
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
    publish(s);
    *busy = s->running.n_rows > 0 || job_queue_front(&s->queue);
    return GPT2Q_OK;
}

gpt2q_scheduler_stats gpt2q_scheduler_get_stats(const gpt2q_scheduler *s) { return s->stats; }
gpt2q_scheduler_load gpt2q_scheduler_get_load(gpt2q_scheduler *s) { return job_queue_load(&s->queue); }
