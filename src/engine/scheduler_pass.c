/* One pass: which tokens it takes, running them, drawing what comes next. It knows no queue: rows that run,
 * and what is said of them, are all it meets. */
#include "engine/scheduler_parts.h"
#include "base/clock.h"
#include "base/threads.h"

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

/* Proposals that a step has room for, every row having its own token. While there are prompts to compute
 * there is none: they use the room better. A rectangle grows by a column a step, which proposals would tear.
 */
static int32_t room_for_proposals(const gpt2q_scheduler *s)
{
    if (s->padded) return 0;
    for (int32_t k = 0; k < s->running.n_rows; k++)
        if (!row_decodes(row_at(s, &s->running, k))) return 0;
    int32_t most = s->ctx->n_outputs < s->ctx->n_batch ? s->ctx->n_outputs : s->ctx->n_batch;
    return most - s->running.n_rows;
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
static int32_t list_prompt(gpt2q_scheduler *s, struct row *r, int32_t budget, bool limited)
{
    int32_t listed = 0;
    bool scores = job_scores_prompt(r->job);
    for (int32_t p = r->n_cached; p < r->n_prompt && listed < budget; p++, listed++) {
        bool wants = p + 1 < r->n_prompt ? scores : r->job->max_new > 0;
        if (limited && (s->n_tokens == s->ctx->n_batch || (wants && s->n_outputs == s->ctx->n_outputs)))
            break;
        list_token(s, r->sequence, p, wants);
    }
    r->n_steps += listed > 0;
    if (listed) s->step_ids[s->step.n_prefilled++] = r->job->id;
    return listed;
}

void scheduler_list_decoding(gpt2q_scheduler *s)
{
    int32_t n_rows = s->running.n_rows, room = room_for_proposals(s);
    s->n_tokens = s->n_outputs = 0;
    for (int32_t k = 0; k < n_rows; k++) {
        struct row *r = row_at(s, &s->running, k);
        if (r->done || !row_decodes(r)) continue;
        int32_t n = row_propose(r, room / (n_rows - k), n_rows); /* an even share */
        room -= n;
        r->n_steps++;
        for (int32_t p = r->n_cached; p < r->n_ids + n; p++) list_token(s, r->sequence, p, true);
        s->step_ids[s->n_rows + s->step.n_decoded++] = r->job->id;
    }
    s->n_decoding = s->n_tokens;
}

/* Of another prompt only while fewer than `enough` tokens are listed. */
static void list_chunks(gpt2q_scheduler *s, int32_t budget, int32_t enough)
{
    for (int32_t k = 0; k < s->running.n_rows && budget > 0 && s->n_tokens < enough; k++) {
        struct row *r = row_at(s, &s->running, k);
        if (r->done || row_decodes(r) || scheduler_waits_for_prefix(s, k)) continue;
        budget -= list_prompt(s, r, budget, true);
    }
}

/* Prompts alone, as long as the decoding rows can wait. A row counts two and a half tokens of n_chunk (its own
 * takes as long as two tokens of a prompt), but a quarter is always left. A pass of short prompts ends when it
 * has a quarter, so that the first of many have their tokens early. Where less than a quarter waits in all it ends
 * at a sixteenth: the first of two does not wait for the second. Who arrives during a pass waits for the rest
 * of that pass only, and no first token waits for the rows' next ones. A pass counts an eighth of n_chunk at
 * least, for it reads all weights, however few its tokens are. */
static bool list_prompts_first(gpt2q_scheduler *s)
{
    const int32_t quarter = (s->n_chunk + 3) / 4, eighth = (s->n_chunk + 7) / 8;
    int32_t n = 0, waiting = 0;
    for (int32_t k = 0; k < s->running.n_rows; k++) {
        const struct row *r = row_at(s, &s->running, k);
        n += row_decodes(r);
        waiting += r->n_prompt > r->n_cached ? r->n_prompt - r->n_cached : 0;
    }
    const int32_t few = s->n_chunk - 5 * n / 2, left = (few > quarter ? few : quarter) - s->n_before;
    s->n_tokens = s->n_outputs = s->n_decoding = 0;
    if (!s->n_before || left >= eighth)
        list_chunks(s, left, waiting < quarter ? (s->n_chunk + 15) / 16 : quarter);
    s->n_before = s->n_tokens && n ? s->n_before + (s->n_tokens > eighth ? s->n_tokens : eighth) : 0;
    return s->n_tokens > 0;
}

void scheduler_list_ragged(gpt2q_scheduler *s)
{
    if (s->prompts_first && list_prompts_first(s)) return;
    scheduler_list_decoding(s);
    if (!s->prompts_first) list_chunks(s, s->n_chunk, INT32_MAX);
}

void scheduler_list_rectangle(gpt2q_scheduler *s)
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

/* output_id, from logits or from the arg-max that the pass has made of them. */
static void choose_tokens(gpt2q_scheduler *s)
{
    if (s->ctx->argmax_only)
        for (int32_t o = 0; o < s->n_outputs; o++) s->output_id[o] = gpt2q_argmax(s->ctx, o);
    else
        threads_run(s->n_outputs < s->n_samplers ? s->n_outputs : s->n_samplers, draw_outputs, s);
}

/* What the pass over the tokens [first, end) said about each. What it said behind a proposal that turned out
 * wrong is forgotten. */
static void take_results(gpt2q_scheduler *s, int32_t first, int32_t end)
{
    int32_t output = 0;
    s->n_outputs = 0;
    for (int32_t i = first; i < end; i++)
        if (s->tokens[i].wants_logits) s->output_token[s->n_outputs++] = i;
    struct forward_profile *profile = s->ctx->forward.profile;
    profile_begin(profile);
    choose_tokens(s);
    if (profile) profile->sampling += clock_seconds() - profile->mark;
    for (int32_t i = first; i < end; i++) {
        const struct batch_token *t = &s->tokens[i];
        int32_t id = t->wants_logits ? s->output_id[output++] : -1;
        if (s->token_row[i] == NO_ROW) continue;
        struct row *r = &s->rows[s->token_row[i]];
        if (!row_has(r, t->position, t->token)) {
            kv_cache_truncate(&s->ctx->cache, r->sequence, r->n_cached);
            continue;
        }
        r->n_cached = t->position + 1;
        if (t->wants_logits) {
            if (r->done) continue; /* failed at an earlier token of its prompt, or stopped */
            row_take(r, s->ctx->model, t->position, id);
            s->stats.completion_tokens += r->n_cached >= r->n_prompt && id >= 0;
        } else if (r->n_cached == r->n_prompt && r->job->max_new == 0) {
            r->done = true;
        }
    }
}

gpt2q_status scheduler_run_listed(gpt2q_scheduler *s, gpt2q_error *err)
{
    gpt2q_status status = GPT2Q_OK;
    double started = clock_seconds();
    for (int32_t first = 0, end = 0; first < s->n_tokens && !status; first = end) {
        bool argmax_only = true;
        for (int32_t outputs = 0; end < s->n_tokens && end - first < s->ctx->n_batch; end++) {
            if (!s->tokens[end].wants_logits) continue;
            if (++outputs > s->ctx->n_outputs) break;
            argmax_only = argmax_only && row_wants_argmax_only(&s->rows[s->token_row[end]]);
        }
        status = context_decode(s->ctx, s->tokens + first, end - first, argmax_only, err);
        if (!status) take_results(s, first, end);
    }
    if (!s->n_tokens) return status;
    double seconds = clock_seconds() - started,
           decode = seconds * s->n_decoding / s->n_tokens; /* a mixed pass is divided by tokens */
    s->stats.decode_s += decode;
    s->stats.prefill_s += seconds - decode;
    return status;
}
