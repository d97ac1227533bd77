#include "engine/row.h"
#include "base/checked.h"
#include "base/clock.h"
#include "base/memory.h"
#include "model/config.h"
#include <math.h>
#include <string.h>

gpt2q_status row_create(struct row *row, int32_t n_ctx, size_t token_bytes, gpt2q_error *err)
{
    size_t text;
    *row = (struct row){0};
    if (!checked_mul((size_t)n_ctx, token_bytes, &text)) return error_memory(err, "a row", SIZE_MAX);
    row->ids = mem_array((size_t)n_ctx, sizeof *row->ids);
    row->text = mem_alloc(text);
    row->released = mem_alloc(text + sizeof row->stream.held);
    if (row->ids && row->text && row->released) return GPT2Q_OK;
    row_free(row);
    return error_memory(err, "a row", 2 * text);
}

void row_free(struct row *row)
{
    mem_free(row->ids);
    mem_free(row->text);
    mem_free(row->released);
    mem_free(row->positions);
    mem_free(row->top);
    *row = (struct row){0};
}

static void fail(struct row *row, gpt2q_status status, const char *what)
{
    row->done = true;
    row->finish = GPT2Q_FINISH_ERROR;
    error_set(&row->error, status, "%s", what);
}

static bool begin_logprobs(struct row *row)
{
    const gpt2q_request *r = &row->job->request;
    if (r->n_logprobs < 0) return true;
    size_t n = (size_t)row->job->max_new + (r->echo ? (size_t)row->n_prompt : 0);
    row->positions = mem_array(n, sizeof *row->positions);
    size_t entries;
    row->top = checked_mul(n, (size_t)r->n_logprobs, &entries) ? mem_array(entries, sizeof *row->top) : NULL;
    if (!row->positions || !row->top) return false;
    if (r->echo)
        row->positions[row->n_positions++] =
            (gpt2q_position){.id = row->ids[0], .in_prompt = true, .logprob = NAN};
    return true;
}

void row_begin(struct row *row, struct job *job, int32_t sequence)
{
    struct row kept = {.ids = row->ids, .text = row->text, .released = row->released};
    *row = kept;
    row->job = job;
    row->sequence = sequence;
    row->sample = job->n_started++;
    row->sampling = job->request.sampling;
    row->sampling.seed += (uint64_t)row->sample;
    row->n_ids = row->n_prompt = job->n_prompt;
    memcpy(row->ids, job->prompt, (size_t)job->n_prompt * sizeof *row->ids);
    row->admitted_at = row->first_token_at = clock_seconds();
    row->finish = GPT2Q_FINISH_LENGTH;
    row->text_end = SIZE_MAX;
    row->stop = NULL;
    row->stop_id = -1;
    row->n_told = -1;
    speculation_begin(&row->speculation, job->request.speculate);
    if (!begin_logprobs(row))
        fail(row, GPT2Q_OUT_OF_MEMORY, "out of memory: the log-probabilities of a request do not fit");
    if (job->max_new == 0 && !job_scores_prompt(job)) row->done = true; /* nothing is wanted of the model */
}

void row_tell_prefill(struct row *row)
{
    const gpt2q_request *r = &row->job->request;
    if (row->n_told == row->n_cached) return;
    row->n_told = row->n_cached;
    if (r->on_prefill)
        r->on_prefill(r->user, row->job->id, row->sample, row->ids, (size_t)row->n_prompt,
                      (size_t)row->n_cached);
}

/* The entry of the token at `position`, prompt and completion counted together. */
static size_t entry_of(const struct row *row, int32_t position)
{
    return (size_t)(row->job->request.echo ? position : position - row->n_prompt);
}

bool row_wants_argmax_only(const struct row *row)
{
    return sampling_is_greedy(&row->sampling) && row->job->request.n_logprobs < 0 &&
           sampling_rules_empty(&row->job->rules);
}

int32_t row_draw(struct row *row, struct sampler *s, const float *logits, int32_t position)
{
    int32_t next = position + 1, k = row->job->request.n_logprobs, id;
    if (next < row->n_prompt)
        id = kernels_argmax(s->kernels, logits, (size_t)s->vocab_size) < 0 ? -1 : row->ids[next];
    else
        id = sampler_draw(s, &row->sampling, &row->job->rules, logits,
                          (struct sampling_history){.ids = row->ids, .n = next, .n_prompt = row->n_prompt},
                          next);
    if (id < 0 || k < 0) return id;
    gpt2q_token_logprob *top = row->top + entry_of(row, next) * (size_t)k;
    row->positions[entry_of(row, next)] =
        (gpt2q_position){.id = id,
                         .rank = row->job->request.ranks ? sampler_rank(s, logits, id) : 0,
                         .in_prompt = next < row->n_prompt,
                         .logprob = sampler_logprobs(s, logits, id, top, k),
                         .top = top};
    return id;
}

/* The earliest stop string in the text, the first of the request's where several begin there, looked for
 * where the newest bytes take part; SIZE_MAX: none. */
static size_t find_stop(const struct row *row, size_t n_before, const char **which)
{
    const struct job *job = row->job;
    size_t best = SIZE_MAX;
    for (size_t i = 0; i < job->request.n_stop; i++) {
        size_t n = job->stop_len[i], from = n_before >= n - 1 ? n_before - (n - 1) : 0;
        const char *hit =
            row->n_text - from >= n ? memmem(row->text + from, row->n_text - from, job->stop[i], n) : NULL;
        if (!hit || (size_t)(hit - row->text) >= best) continue;
        best = (size_t)(hit - row->text);
        *which = job->stop[i];
    }
    return best;
}

/* Bytes at the end of the text that may still become a stop string and so are held back. */
static size_t held_for_stop(const struct row *row)
{
    const struct job *job = row->job;
    size_t longest = job->longest_stop ? job->longest_stop - 1 : 0;
    for (size_t n = row->n_text < longest ? row->n_text : longest; n > 0; n--)
        for (size_t i = 0; i < job->request.n_stop; i++)
            if (n < job->stop_len[i] && !memcmp(row->text + row->n_text - n, job->stop[i], n)) return n;
    return 0;
}

static void emit(struct row *row, size_t end)
{
    const gpt2q_request *r = &row->job->request;
    if (end <= row->n_emitted) return;
    size_t n = stream_decode(&row->stream, row->text + row->n_emitted, end - row->n_emitted, row->released);
    row->n_emitted = end;
    if (n && r->on_text) r->on_text(r->user, row->job->id, row->sample, row->released, n);
}

static void add_text(struct row *row, const gpt2q_model *model, int32_t id)
{
    size_t n, before = row->n_text;
    const char *bytes = gpt2q_token_bytes(model, id, &n);
    if (!bytes) return;
    memcpy(row->text + row->n_text, bytes, n);
    row->n_text += n;
    size_t stop = row->job->request.n_stop ? find_stop(row, before, &row->stop) : SIZE_MAX;
    if (stop == SIZE_MAX) {
        emit(row, row->n_text - held_for_stop(row));
        return;
    }
    row->text_end = stop;
    row->done = true;
    row->finish = GPT2Q_FINISH_STOP;
}

int32_t row_propose(struct row *row, int32_t n, int32_t n_rows)
{
    int32_t left = row->n_prompt + row->job->max_new - row->n_ids - 1; /* the pass makes one token more */
    return row->n_proposed =
               speculation_propose(&row->speculation, row->ids, row->n_ids, n < left ? n : left, n_rows);
}

static bool is_stop_id(const struct job *job, int32_t id)
{
    for (size_t i = 0; i < job->request.n_stop_ids; i++)
        if (job->request.stop_ids[i] == id) return true;
    return false;
}

static void tell_token(const struct row *row, int32_t id)
{
    const gpt2q_request *r = &row->job->request;
    const gpt2q_position plain = {.id = id, .logprob = NAN};
    if (!r->on_token) return;
    r->on_token(r->user, row->job->id, row->sample,
                r->n_logprobs >= 0 ? &row->positions[row->n_positions - 1] : &plain);
}

static void add_token(struct row *row, const gpt2q_model *model, int32_t id)
{
    bool accepted = row->n_proposed > 0 && row->ids[row->n_ids] == id;
    row->n_proposed = accepted ? row->n_proposed - 1 : 0;
    speculation_earn(&row->speculation, accepted);
    if (row->n_ids == row->n_prompt) row->first_token_at = clock_seconds();
    row->ids[row->n_ids++] = id;
    tell_token(row, id);
    if (is_stop_id(row->job, id)) {
        row->done = true;
        row->finish = GPT2Q_FINISH_STOP;
        row->stop_id = id;
        return;
    }
    if (config_is_end(&model->weights.config, id) && !row->job->request.ignore_eos) {
        row->done = true;
        row->finish = GPT2Q_FINISH_STOP;
        return;
    }
    add_text(row, model, id);
    if (row->n_ids - row->n_prompt >= row->job->max_new) row->done = true;
}

void row_take(struct row *row, const gpt2q_model *model, int32_t position, int32_t id)
{
    if (id < 0) {
        fail(row, GPT2Q_NON_FINITE, "the model gave logits that are not finite numbers");
        return;
    }
    if (row->job->request.n_logprobs >= 0) row->n_positions = entry_of(row, position + 1) + 1;
    if (position + 1 >= row->n_prompt) add_token(row, model, id);
}

void row_end(struct row *row)
{
    struct job *job = row->job;
    const gpt2q_request *r = &job->request;
    if (row->text_end > row->n_text) row->text_end = row->n_text;
    double now = clock_seconds();
    if (row->finish != GPT2Q_FINISH_ERROR) {
        emit(row, row->text_end);
        size_t n = stream_flush(&row->stream, row->released);
        if (n && r->on_text) r->on_text(r->user, job->id, row->sample, row->released, n);
    }
    gpt2q_result result = {.finish = row->finish,
                           .error = row->error,
                           .prompt_ids = row->ids,
                           .n_prompt = (size_t)row->n_prompt,
                           .ids = row->ids + row->n_prompt,
                           .n_ids = (size_t)(row->n_ids - row->n_prompt),
                           .text = row->text,
                           .text_len = row->text_end,
                           .stop = row->stop,
                           .stop_id = row->stop_id,
                           .n_cached = (size_t)row->n_shared,
                           .n_proposed = (size_t)row->speculation.n_proposed,
                           .n_accepted = (size_t)row->speculation.n_accepted,
                           .n_steps = row->n_steps,
                           .positions = row->positions,
                           .n_positions = row->n_positions,
                           .queued_s = row->admitted_at - job->submitted_at,
                           .prefill_s = row->first_token_at - row->admitted_at,
                           .decode_s = now - row->first_token_at};
    if (r->on_end) r->on_end(r->user, job->id, row->sample, &result);
    mem_free(row->positions);
    mem_free(row->top);
    row->positions = NULL;
    row->top = NULL;
    row->job = NULL;
    job->n_ended++;
}
