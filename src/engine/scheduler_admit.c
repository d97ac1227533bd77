/* Who may run. A request is given a row if the cache has blocks for its worst case beside the worst cases of
 * all that run, so nothing that was begun ever has to be evicted; what a running row has in common with its
 * prompt is shared, not computed again. It never runs a pass. */
#include "engine/scheduler_parts.h"

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

/* Makes what is cached of the prompt, of a row that runs or of one that ended, the beginning of an empty
 * sequence. Less than a block is not worth it. */
static int32_t share(gpt2q_scheduler *s, const struct job *job, struct donor donor, int32_t sequence)
{
    struct kv_cache *cache = &s->ctx->cache;
    if (s->keep_prefixes && kv_cache_remembered(cache, job->prompt, job->n_prompt - 1) > donor.n_cached)
        return kv_cache_recall(cache, sequence, job->prompt, job->n_prompt - 1);
    if (donor.n_cached < KV_BLOCK) return 0;
    kv_cache_share(cache, donor.sequence, sequence, donor.n_cached);
    return donor.n_cached;
}

/* Where all logits of the prompt are wanted it has to be computed. */
static bool may_share(const gpt2q_scheduler *s, const struct job *job)
{
    return s->share_prefixes && !job_scores_prompt(job);
}

bool scheduler_waits_for_prefix(gpt2q_scheduler *s, int32_t k)
{
    struct row *r = row_at(s, &s->running, k);
    if (r->n_cached > 0 || !may_share(s, r->job)) return false;
    struct donor donor = find_donor(s, r->job, k);
    if (donor.n_coming - donor.n_cached >= KV_BLOCK) return true;
    r->n_cached = r->n_shared = share(s, r->job, donor, r->sequence);
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

int32_t scheduler_admit(gpt2q_scheduler *s)
{
    int32_t n = 0;
    struct job *job;
    for (int32_t row; (row = free_row(s)) != NO_ROW && (job = job_queue_front(&s->queue));) {
        if (s->padded) {
            if (!rectangle_fits(s, job, n)) break;
            begin(s, job, row);
            row_tell_prefill(&s->rows[row]);
            s->admitted[n] = row;
            s->n_prompts[n++] = job->n_prompt;
            continue;
        }
        int32_t shared = may_share(s, job) ? share(s, job, find_donor(s, job, 0), row) : 0;
        if (!fits(s, job, row, shared)) {
            kv_cache_truncate(&s->ctx->cache, row, 0);
            break;
        }
        begin(s, job, row);
        s->rows[row].n_cached = s->rows[row].n_shared = shared;
        batched_cache_prefill(&s->fresh, &row, &job->n_prompt, 1);
        batched_cache_merge(&s->running, &s->fresh);
        row_tell_prefill(&s->rows[row]);
        n++;
    }
    return n;
}
