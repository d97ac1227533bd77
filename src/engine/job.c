#include "engine/job.h"
#include "base/checked.h"
#include "base/clock.h"
#include "base/memory.h"
#include "engine/model.h"
#include "engine/sampler.h"
#include "engine/speculation.h"
#include <string.h>

#define MAX_SAMPLES 1024
#define MAX_STOPS   64
#define MAX_STOP    4096 /* bytes of one stop string */

gpt2q_request gpt2q_request_default(void)
{
    return (gpt2q_request){
        .max_tokens = 64, .n_samples = 1, .n_logprobs = -1, .sampling = gpt2q_sampling_default()};
}

static gpt2q_status check(const gpt2q_model *model, const gpt2q_request *r, gpt2q_error *err)
{
    int32_t vocab_size = model->weights.config.vocab_size;
    gpt2q_status s = sampling_check(&r->sampling, err);
    if (s) return s;
    if (r->max_tokens < 0)
        return error_set(err, GPT2Q_INVALID_ARGUMENT, "max_tokens must be an integer >= 0, not %d",
                         (int)r->max_tokens);
    if (r->n_samples < 1 || r->n_samples > MAX_SAMPLES)
        return error_set(err, GPT2Q_INVALID_ARGUMENT, "%d samples were asked for where 1 to %d are possible",
                         (int)r->n_samples, MAX_SAMPLES);
    if (r->n_logprobs > vocab_size)
        return error_set(err, GPT2Q_INVALID_ARGUMENT, "logprobs is %d but the vocabulary has only %d tokens",
                         (int)r->n_logprobs, (int)vocab_size);
    if (r->n_stop > MAX_STOPS)
        return error_set(err, GPT2Q_INVALID_ARGUMENT, "%zu stop strings were given where %d are possible",
                         r->n_stop, MAX_STOPS);
    if (r->speculate < 0 || r->speculate > SPECULATION_MAX)
        return error_set(err, GPT2Q_INVALID_ARGUMENT, "speculate is %d tokens where 0 to %d are possible",
                         (int)r->speculate, SPECULATION_MAX);
    for (size_t i = 0; i < r->n_stop; i++) {
        size_t n = strlen(r->stop[i]);
        if (n == 0) return error_set(err, GPT2Q_INVALID_ARGUMENT, "a stop string is empty");
        if (n > MAX_STOP)
            return error_set(err, GPT2Q_INVALID_ARGUMENT, "a stop string has %zu bytes where %d are possible",
                             n, MAX_STOP);
    }
    return GPT2Q_OK;
}

static gpt2q_status ids_of_prompt(const gpt2q_model *model, struct job *job, const gpt2q_request *r,
                                  gpt2q_error *err)
{
    size_t n = r->ids ? r->n_ids : r->prompt_len;
    if (n > INT32_MAX / 8)
        return error_set(err, GPT2Q_INVALID_ARGUMENT, "the prompt has %zu %s, too many for any context", n,
                         r->ids ? "ids" : "bytes");
    size_t capacity = r->ids ? n : model_max_ids(model, n);
    job->prompt = mem_array(capacity + 1, sizeof *job->prompt);
    if (!job->prompt) return error_memory(err, "a prompt", (capacity + 1) * sizeof *job->prompt);
    if (r->ids) {
        if (n) memcpy(job->prompt, r->ids, n * sizeof *job->prompt);
    } else {
        gpt2q_status s = GPT2Q_OK;
        if (n || capacity) s = gpt2q_tokenize(model, r->prompt, n, 0, job->prompt, capacity, &n, err);
        if (s) return s;
    }
    const gpt2q_config *c = &model->weights.config;
    for (size_t i = 0; i < n; i++)
        if (job->prompt[i] < 0 || job->prompt[i] >= c->vocab_size)
            return error_set(err, GPT2Q_INVALID_ARGUMENT,
                             "id %d of the prompt is outside the vocabulary of %d", (int)job->prompt[i],
                             (int)c->vocab_size);
    if (n == 0) {
        if (c->bos_token_id < 0)
            return error_set(err, GPT2Q_INVALID_ARGUMENT,
                             "the prompt is empty and config.json has no bos_token_id to stand for it");
        job->prompt[n++] = c->bos_token_id;
    }
    job->n_prompt = (int32_t)n;
    return GPT2Q_OK;
}

/* Makes prompt and completion fit into n_ctx positions together. Truncation leaves room for what was asked
 * for, half the context at most. */
static gpt2q_status fit(struct job *job, int32_t n_ctx, gpt2q_error *err)
{
    int32_t asked = job->request.max_tokens, room = asked > 0;
    if (job->n_prompt > n_ctx - room) {
        if (!job->request.truncate_left)
            return error_set(err, GPT2Q_INVALID_ARGUMENT,
                             "the prompt has %d tokens, which leaves no room in the context of %d",
                             (int)job->n_prompt, (int)n_ctx);
        int32_t reserve = asked < n_ctx / 2 ? asked : n_ctx / 2,
                keep = n_ctx - (reserve > room ? reserve : room);
        if (keep < 1) keep = 1;
        memmove(job->prompt, job->prompt + job->n_prompt - keep, (size_t)keep * sizeof *job->prompt);
        job->n_prompt = keep;
    }
    job->max_new = asked < n_ctx - job->n_prompt ? asked : n_ctx - job->n_prompt;
    return GPT2Q_OK;
}

static gpt2q_status copy_stops(struct job *job, const gpt2q_request *r, gpt2q_error *err)
{
    job->stop = mem_zarray(r->n_stop, sizeof *job->stop);
    job->stop_len = mem_zarray(r->n_stop, sizeof *job->stop_len);
    if (!job->stop || !job->stop_len) return error_memory(err, "stop strings", r->n_stop * sizeof *job->stop);
    for (size_t i = 0; i < r->n_stop; i++) {
        job->stop_len[i] = strlen(r->stop[i]);
        job->stop[i] = mem_strdup(r->stop[i]);
        if (!job->stop[i]) return error_memory(err, "a stop string", job->stop_len[i]);
        if (job->stop_len[i] > job->longest_stop) job->longest_stop = job->stop_len[i];
    }
    return GPT2Q_OK;
}

gpt2q_status job_create(const gpt2q_model *model, int32_t n_ctx, const gpt2q_request *r, struct job **out,
                        gpt2q_error *err)
{
    *out = NULL;
    gpt2q_status s = check(model, r, err);
    if (s) return s;
    struct job *job = mem_zalloc(sizeof *job);
    if (!job) return error_memory(err, "a request", sizeof *job);
    job->request = *r;
    job->submitted_at = clock_seconds();
    s = ids_of_prompt(model, job, r, err);
    if (!s) s = fit(job, n_ctx, err);
    if (!s) s = copy_stops(job, r, err);
    if (s) {
        job_free(job);
        return s;
    }
    job->request.prompt = NULL;
    job->request.ids = job->prompt;
    job->request.n_ids = (size_t)job->n_prompt;
    job->request.stop = job->stop;
    *out = job;
    return GPT2Q_OK;
}

void job_free(struct job *job)
{
    if (!job) return;
    for (size_t i = 0; job->stop && i < job->request.n_stop; i++) mem_free((void *)(uintptr_t)job->stop[i]);
    mem_free(job->stop);
    mem_free(job->stop_len);
    mem_free(job->prompt);
    mem_free(job);
}

void job_cancel_rest(struct job *job)
{
    const gpt2q_request *r = &job->request;
    gpt2q_result result = {.finish = GPT2Q_FINISH_CANCELLED,
                           .prompt_ids = job->prompt,
                           .n_prompt = (size_t)job->n_prompt,
                           .ids = job->prompt + job->n_prompt,
                           .text = "",
                           .queued_s = clock_seconds() - job->submitted_at};
    for (; job->n_started < r->n_samples; job->n_started++, job->n_ended++)
        if (r->on_end) r->on_end(r->user, job->id, job->n_started, &result);
}
