/* Continuous batching. The scheduler owns a queue of requests and rows that run; it knows no files, no threads of its own and no
 * printing. A step admits what fits, runs one ragged batch (a token of every decoding row first, then prompt chunks in order of
 * arrival), draws tokens, and lets finished rows go.
 *
 * A row is admitted only if the cache has blocks for its worst case beside the worst cases of all that run, so nothing that was
 * begun ever has to be evicted. The queue may be filled, and requests cancelled, from other threads. */
#include "base/clock.h"
#include "base/memory.h"
#include "engine/context.h"
#include "engine/row.h"
#include <assert.h>
#include <pthread.h>
#include <string.h>

struct gpt2q_scheduler {
    gpt2q_context *ctx;
    struct sampler sampler;
    int32_t n_rows, n_chunk;
    bool share_prefixes;
    struct row *rows;      /* (n_rows); row i uses sequence i of the context */
    int32_t *order;        /* running rows in order of admission */
    int32_t n_running;
    struct batch_token *batch; /* (n_batch) */
    int32_t *batch_row;        /* (n_batch): row of each token */
    gpt2q_scheduler_stats stats;

    pthread_mutex_t lock;  /* of what follows */
    struct job **queue;    /* ring of n_queue */
    int32_t n_queue, queue_head, queue_used;
    struct job **live;     /* (n_rows): jobs with rows that run, for cancel */
    uint64_t next_id;
};

gpt2q_scheduler_params gpt2q_scheduler_params_default(void) { return (gpt2q_scheduler_params){.n_rows = 8, .n_queue = 64}; }

static size_t longest_token(const gpt2q_model *m)
{
    size_t longest = 1, n;
    for (int32_t id = 0; m->tokenizer && id < tokenizer_size(m->tokenizer); id++)
        if (tokenizer_bytes(m->tokenizer, id, &n) && n > longest) longest = n;
    return longest;
}

static gpt2q_status build(gpt2q_scheduler *s, gpt2q_error *err)
{
    gpt2q_context *ctx = s->ctx;
    const gpt2q_model *m = ctx->model;
    size_t token_bytes = longest_token(m);
    gpt2q_status status = sampler_create(&s->sampler, m->isa->kernels, m->weights.config.vocab_size, err);
    if (status) return status;
    s->rows = mem_zarray((size_t)s->n_rows, sizeof *s->rows);
    s->order = mem_array((size_t)s->n_rows, sizeof *s->order);
    s->live = mem_zarray((size_t)s->n_rows, sizeof *s->live);
    s->batch = mem_array((size_t)ctx->n_batch, sizeof *s->batch);
    s->batch_row = mem_array((size_t)ctx->n_batch, sizeof *s->batch_row);
    s->queue = mem_zarray((size_t)s->n_queue, sizeof *s->queue);
    if (!s->rows || !s->order || !s->live || !s->batch || !s->batch_row || !s->queue) return error_memory(err, "a scheduler", sizeof *s);
    for (int32_t i = 0; i < s->n_rows && !status; i++) status = row_create(&s->rows[i], ctx->n_ctx, token_bytes, err);
    return status;
}

gpt2q_status gpt2q_scheduler_create(gpt2q_context *ctx, const gpt2q_scheduler_params *params, gpt2q_scheduler **out, gpt2q_error *err)
{
    gpt2q_scheduler_params p = params ? *params : gpt2q_scheduler_params_default();
    *out = NULL;
    if (p.n_rows < 1 || p.n_rows > ctx->cache.n_seq || p.n_rows > ctx->n_outputs || p.n_rows > ctx->n_batch)
        return error_set(err, GPT2Q_INVALID_ARGUMENT, "%d rows do not fit a context of %d sequences, %d rows of logits and batches of %d", (int)p.n_rows,
                         ctx->cache.n_seq, (int)ctx->n_outputs, (int)ctx->n_batch);
    if (p.n_queue < 1 || p.n_chunk < 0) return error_set(err, GPT2Q_INVALID_ARGUMENT, "a queue of %d requests and chunks of %d tokens cannot be", (int)p.n_queue, (int)p.n_chunk);
    gpt2q_scheduler *s = mem_zalloc(sizeof *s);
    if (!s) return error_memory(err, "a scheduler", sizeof *s);
    s->ctx = ctx;
    s->n_rows = p.n_rows;
    s->n_chunk = p.n_chunk ? p.n_chunk : ctx->n_batch;
    s->n_queue = p.n_queue;
    s->share_prefixes = !p.no_prefix_sharing;
    pthread_mutex_init(&s->lock, NULL);
    gpt2q_status status = build(s, err);
    if (status) {
        gpt2q_scheduler_free(s);
        return status;
    }
    *out = s;
    return GPT2Q_OK;
}

static void release(gpt2q_scheduler *s, int32_t row)
{
    struct row *r = &s->rows[row];
    struct job *job = r->job;
    pthread_mutex_lock(&s->lock);
    s->live[row] = NULL;
    pthread_mutex_unlock(&s->lock);
    gpt2q_context_truncate(s->ctx, row, 0);
    row_end(r);
    if (job->n_ended == job->request.n_samples) job_free(job);
}

void gpt2q_scheduler_free(gpt2q_scheduler *s)
{
    if (!s) return;
    for (int32_t k = 0; k < s->n_running; k++) {
        struct row *r = &s->rows[s->order[k]];
        struct job *job = r->job;
        gpt2q_context_truncate(s->ctx, r->sequence, 0);
        if (++job->n_ended == job->n_started && (!s->queue_used || s->queue[s->queue_head] != job)) job_free(job);
    }
    for (int32_t i = 0; i < s->queue_used; i++) job_free(s->queue[(s->queue_head + i) % s->n_queue]);
    for (int32_t i = 0; s->rows && i < s->n_rows; i++) row_free(&s->rows[i]);
    sampler_free(&s->sampler);
    void *all[] = {s->rows, s->order, s->live, s->batch, s->batch_row, s->queue};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) mem_free(all[i]);
    pthread_mutex_destroy(&s->lock);
    mem_free(s);
}

/* ---- the queue ---- */

static gpt2q_status check_pool(const gpt2q_scheduler *s, const struct job *job, gpt2q_error *err)
{
    int64_t positions = (int64_t)job->n_prompt + job->max_new, pool = (int64_t)s->ctx->cache.n_blocks * KV_BLOCK;
    if (positions <= pool) return GPT2Q_OK;
    return error_set(err, GPT2Q_INVALID_ARGUMENT, "prompt and completion need %lld positions but the cache has only %lld", (long long)positions, (long long)pool);
}

gpt2q_status gpt2q_scheduler_submit(gpt2q_scheduler *s, const gpt2q_request *request, uint64_t *id, gpt2q_error *err)
{
    struct job *job;
    gpt2q_status status = job_create(s->ctx->model, s->ctx->n_ctx, request, &job, err);
    if (!status) status = check_pool(s, job, err);
    if (status) {
        job_free(job);
        return status;
    }
    pthread_mutex_lock(&s->lock);
    bool full = s->queue_used == s->n_queue;
    if (!full) {
        job->id = ++s->next_id;
        if (id) *id = job->id;
        s->queue[(s->queue_head + s->queue_used++) % s->n_queue] = job;
    }
    pthread_mutex_unlock(&s->lock);
    if (!full) return GPT2Q_OK;
    job_free(job);
    return error_set(err, GPT2Q_QUEUE_FULL, "the queue holds %d requests already", (int)s->n_queue);
}

bool gpt2q_scheduler_cancel(gpt2q_scheduler *s, uint64_t id)
{
    bool found = false;
    pthread_mutex_lock(&s->lock);
    for (int32_t i = 0; i < s->queue_used; i++) {
        struct job *job = s->queue[(s->queue_head + i) % s->n_queue];
        if (job->id == id) found = job->cancelled = true;
    }
    for (int32_t i = 0; i < s->n_rows; i++)
        if (s->live[i] && s->live[i]->id == id) found = s->live[i]->cancelled = true;
    pthread_mutex_unlock(&s->lock);
    return found;
}

/* The job whose next sample is to run, NULL if none waits. */
static struct job *queue_front(gpt2q_scheduler *s)
{
    pthread_mutex_lock(&s->lock);
    struct job *job = s->queue_used ? s->queue[s->queue_head] : NULL;
    pthread_mutex_unlock(&s->lock);
    return job;
}

static void queue_pop(gpt2q_scheduler *s)
{
    pthread_mutex_lock(&s->lock);
    s->queue_head = (s->queue_head + 1) % s->n_queue;
    s->queue_used--;
    pthread_mutex_unlock(&s->lock);
}

static bool is_cancelled(gpt2q_scheduler *s, const struct job *job)
{
    pthread_mutex_lock(&s->lock);
    bool cancelled = job->cancelled;
    pthread_mutex_unlock(&s->lock);
    return cancelled;
}

/* ---- admission ---- */

/* Positions a row may still take; the last token drawn is never fed back, but a sequence must have room for it to be said to fit. */
static int32_t positions_left(const struct row *r) { return r->n_prompt + r->job->max_new - r->n_cached; }

/* Blocks that the running rows may still ask for. */
static int32_t blocks_promised(const gpt2q_scheduler *s)
{
    int32_t sum = 0;
    for (int32_t k = 0; k < s->n_running; k++) {
        const struct row *r = &s->rows[s->order[k]];
        sum += kv_cache_blocks_needed(&s->ctx->cache, r->sequence, positions_left(r));
    }
    return sum;
}

static int32_t common_prefix(const int32_t *a, int32_t na, const int32_t *b, int32_t nb)
{
    int32_t n = 0;
    while (n < na && n < nb && a[n] == b[n]) n++;
    return n;
}

/* Shares the longest cached prefix that a running row has in common with the prompt. The last prompt token is left to be computed: its
 * logits are wanted. Where all prompt logits are wanted nothing can be shared. */
static int32_t share_prefix(gpt2q_scheduler *s, const struct job *job, int32_t sequence)
{
    int32_t best = 0, from = -1;
    if (!s->share_prefixes || job_scores_prompt(job)) return 0;
    for (int32_t k = 0; k < s->n_running; k++) {
        const struct row *r = &s->rows[s->order[k]];
        int32_t n = common_prefix(r->ids, r->n_cached, job->prompt, job->n_prompt - 1);
        if (n > best) best = n, from = r->sequence;
    }
    if (best < KV_BLOCK) return 0;
    kv_cache_share(&s->ctx->cache, from, sequence, best);
    return best;
}

static int32_t free_row(const gpt2q_scheduler *s)
{
    for (int32_t i = 0; i < s->n_rows; i++)
        if (!s->rows[i].job) return i;
    return -1;
}

/* Starts the job's next sample in a free row; false if its worst case does not fit beside the others'. */
static bool admit_one(gpt2q_scheduler *s, struct job *job, int32_t row)
{
    struct kv_cache *cache = &s->ctx->cache;
    int32_t shared = share_prefix(s, job, row);
    int32_t wanted = kv_cache_blocks_needed(cache, row, job->n_prompt + job->max_new - shared);
    if (wanted + blocks_promised(s) > cache->n_free) {
        kv_cache_truncate(cache, row, 0);
        return false;
    }
    row_begin(&s->rows[row], job, row);
    s->rows[row].n_cached = shared;
    pthread_mutex_lock(&s->lock);
    s->live[row] = job;
    pthread_mutex_unlock(&s->lock);
    s->order[s->n_running++] = row;
    return true;
}

static void admit(gpt2q_scheduler *s)
{
    for (int32_t row; (row = free_row(s)) >= 0;) {
        struct job *job = queue_front(s);
        if (!job) return;
        bool first = job->n_started == 0;
        if (!admit_one(s, job, row)) return;
        if (first) {
            s->stats.requests++;
            s->stats.prompt_tokens += (uint64_t)job->n_prompt;
        }
        if (job->n_started == job->request.n_samples) queue_pop(s);
    }
}

/* ---- a step ---- */

static void add_token(gpt2q_scheduler *s, int32_t *n, int32_t row, int32_t position, bool wants_logits)
{
    s->batch[*n] = (struct batch_token){.token = s->rows[row].ids[position], .position = position, .sequence = row, .wants_logits = wants_logits};
    s->batch_row[(*n)++] = row;
}

/* Tokens of the next batch: a token of every decoding row, then chunks of prompts in order of arrival. */
static int32_t build_batch(gpt2q_scheduler *s, int32_t *n_decoding)
{
    int32_t n = 0, outputs = 0, budget = s->n_chunk;
    for (int32_t k = 0; k < s->n_running; k++) {
        struct row *r = &s->rows[s->order[k]];
        if (r->done || !row_decodes(r)) continue;
        add_token(s, &n, r->sequence, r->n_cached, true);
        outputs++;
    }
    *n_decoding = n;
    for (int32_t k = 0; k < s->n_running; k++) {
        struct row *r = &s->rows[s->order[k]];
        if (r->done || row_decodes(r)) continue;
        bool scores = job_scores_prompt(r->job);
        for (int32_t p = r->n_cached; p < r->n_prompt && n < s->ctx->n_batch && budget > 0; p++, budget--) {
            bool last = p + 1 == r->n_prompt, wants = last ? r->job->max_new > 0 : scores;
            if (wants && outputs == s->ctx->n_outputs) break;
            add_token(s, &n, r->sequence, p, wants);
            outputs += wants;
        }
    }
    return n;
}

/* What the pass said about each token of the batch. */
static void take_results(gpt2q_scheduler *s, int32_t n)
{
    int32_t output = 0;
    for (int32_t i = 0; i < n; i++) {
        struct row *r = &s->rows[s->batch_row[i]];
        int32_t position = s->batch[i].position;
        r->n_cached = position + 1;
        if (!s->batch[i].wants_logits) {
            if (r->n_cached == r->n_prompt && r->job->max_new == 0) r->done = true;
            continue;
        }
        const float *logits = gpt2q_logits(s->ctx, output++);
        if (r->done) continue; /* failed at an earlier token of this batch */
        if (position + 1 < r->n_prompt) {
            row_score(r, &s->sampler, logits, position);
        } else {
            row_sample(r, &s->sampler, s->ctx->model, logits);
            s->stats.completion_tokens += r->finish != GPT2Q_FINISH_ERROR;
        }
    }
}

/* Lets finished and cancelled rows go. */
static void filter(gpt2q_scheduler *s)
{
    int32_t kept = 0;
    for (int32_t k = 0; k < s->n_running; k++) {
        struct row *r = &s->rows[s->order[k]];
        if (!r->done && is_cancelled(s, r->job)) {
            r->done = true;
            r->finish = GPT2Q_FINISH_CANCELLED;
        }
        if (!r->done) {
            s->order[kept++] = s->order[k];
            continue;
        }
        s->stats.errors += r->finish == GPT2Q_FINISH_ERROR;
        release(s, s->order[k]);
    }
    s->n_running = kept;
}

static void count_step(gpt2q_scheduler *s, int32_t n, int32_t n_decoding, double seconds)
{
    double decode = seconds * n_decoding / n; /* a mixed step is divided by tokens */
    s->stats.steps++;
    s->stats.rows += (uint64_t)n_decoding;
    s->stats.decode_s += decode;
    s->stats.prefill_s += seconds - decode;
    s->stats.peak_kv_bytes = kv_cache_peak_bytes(&s->ctx->cache);
}

gpt2q_status gpt2q_scheduler_step(gpt2q_scheduler *s, bool *busy, gpt2q_error *err)
{
    double begin = clock_seconds();
    admit(s);
    filter(s); /* what needs no pass, and what was cancelled */
    int32_t n_decoding, n = build_batch(s, &n_decoding);
    if (n) {
        gpt2q_status status = context_decode(s->ctx, s->batch, n, err);
        if (status) return status;
        take_results(s, n);
        filter(s);
        count_step(s, n, n_decoding, clock_seconds() - begin);
    }
    *busy = s->n_running > 0 || queue_front(s);
    return GPT2Q_OK;
}

gpt2q_scheduler_stats gpt2q_scheduler_get_stats(const gpt2q_scheduler *s) { return s->stats; }
