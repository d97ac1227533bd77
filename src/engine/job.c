#include "engine/job.h"
#include "base/checked.h"
#include "base/clock.h"
#include "base/memory.h"
#include "engine/model.h"
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
    if (r->n_stop && !model_tokenizer(model))
        return error_set(err, GPT2Q_INVALID_ARGUMENT,
                         "a stop string is given, but the model has no vocabulary and makes no text");
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

static gpt2q_status check_id(const char *what, size_t i, int32_t id, int32_t vocab_size, gpt2q_error *err)
{
    if (id >= 0 && id < vocab_size) return GPT2Q_OK;
    return error_set(err, GPT2Q_INVALID_ARGUMENT,
                     "%s: id %d, the %zu. of them, is outside the vocabulary of %d", what, (int)id, i + 1,
                     (int)vocab_size);
}

static gpt2q_status check_ids(const gpt2q_request *r, int32_t vocab_size, gpt2q_error *err)
{
    gpt2q_status s = GPT2Q_OK;
    for (size_t i = 0; i < r->n_stop_ids && !s; i++)
        s = check_id("stop_token_ids", i, r->stop_ids[i], vocab_size, err);
    for (size_t i = 0; i < r->n_allowed && !s; i++)
        s = check_id("allowed_token_ids", i, r->allowed[i], vocab_size, err);
    for (size_t i = 0; i < r->n_logit_bias && !s; i++) {
        s = check_id("logit_bias", i, r->logit_bias[i].id, vocab_size, err);
        if (!s && !(r->logit_bias[i].bias >= -1e6f && r->logit_bias[i].bias <= 1e6f))
            s = error_set(err, GPT2Q_INVALID_ARGUMENT, "logit_bias of id %d is %g, which is no finite number",
                          (int)r->logit_bias[i].id, (double)r->logit_bias[i].bias);
    }
    if (!s && (r->min_tokens < 0 || r->min_tokens > r->max_tokens))
        s = error_set(err, GPT2Q_INVALID_ARGUMENT, "min_tokens is %d where 0 to max_tokens (%d) is possible",
                      (int)r->min_tokens, (int)r->max_tokens);
    if (!s && r->keep_last < 0)
        s = error_set(err, GPT2Q_INVALID_ARGUMENT, "the last %d tokens of a prompt cannot be kept",
                      (int)r->keep_last);
    return s;
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
    if (job->request.keep_last && job->n_prompt > job->request.keep_last) {
        int32_t keep = job->request.keep_last;
        memmove(job->prompt, job->prompt + job->n_prompt - keep, (size_t)keep * sizeof *job->prompt);
        job->n_prompt = keep;
    }
    if (job->n_prompt > n_ctx - room) {
        if (!job->request.truncate_left)
            return error_set(err, GPT2Q_CONTEXT_FULL,
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

static void *copy_of(const void *p, size_t count, size_t size)
{
    void *copy = mem_array(count, size);
    if (copy && count) memcpy(copy, p, count * size);
    return copy;
}

static gpt2q_status copy_rules(struct job *job, const gpt2q_model *model, const gpt2q_request *r,
                               gpt2q_error *err)
{
    const gpt2q_config *c = &model->weights.config;
    size_t n = 0, vocab_size = (size_t)c->vocab_size;
    job->ends = mem_array(r->n_stop_ids + 1 + GPT2Q_MORE_EOS, sizeof *job->ends);
    job->rules.bias = copy_of(r->logit_bias, r->n_logit_bias, sizeof *r->logit_bias);
    job->rules.allowed = copy_of(r->allowed, r->n_allowed, sizeof *r->allowed);
    if (!job->ends || !job->rules.bias || !job->rules.allowed)
        return error_memory(err, "what a request asks of tokens", r->n_logit_bias * sizeof *r->logit_bias);
    for (size_t i = 0; i < r->n_stop_ids; i++) job->ends[n++] = r->stop_ids[i];
    if (c->eos_token_id >= 0) job->ends[n++] = c->eos_token_id;
    for (int32_t i = 0; i < c->n_more_eos; i++) job->ends[n++] = c->more_eos_token_ids[i];
    job->rules.ends = job->ends;
    job->rules.n_ends = n;
    job->rules.n_bias = r->n_logit_bias;
    job->rules.n_allowed = r->n_allowed;
    job->rules.min_tokens = r->min_tokens;
    if (sampling_rules_empty(&job->rules)) return GPT2Q_OK;
    uint8_t *banned = mem_alloc(vocab_size);
    if (!banned) return error_memory(err, "a vocabulary", vocab_size);
    int32_t left = sampling_rules_left(&job->rules, banned, c->vocab_size);
    mem_free(banned);
    if (left) return GPT2Q_OK;
    return error_set(err, GPT2Q_INVALID_ARGUMENT,
                     "logit_bias, allowed_token_ids and min_tokens together leave no token that may be made");
}

gpt2q_status job_create(const gpt2q_model *model, int32_t n_ctx, const gpt2q_request *r, struct job **out,
                        gpt2q_error *err)
{
    *out = NULL;
    gpt2q_status s = check(model, r, err);
    if (!s) s = check_ids(r, model->weights.config.vocab_size, err);
    if (s) return s;
    struct job *job = mem_zalloc(sizeof *job);
    if (!job) return error_memory(err, "a request", sizeof *job);
    job->request = *r;
    job->submitted_at = clock_seconds();
    s = ids_of_prompt(model, job, r, err);
    if (!s) s = fit(job, n_ctx, err);
    if (!s) s = copy_stops(job, r, err);
    if (!s) s = copy_rules(job, model, r, err);
    if (s) {
        job_free(job);
        return s;
    }
    job->request.prompt = NULL;
    job->request.ids = job->prompt;
    job->request.n_ids = (size_t)job->n_prompt;
    job->request.stop = job->stop;
    job->request.stop_ids = job->ends;
    job->request.logit_bias = job->rules.bias;
    job->request.allowed = job->rules.allowed;
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
    mem_free(job->ends);
    mem_free((void *)(uintptr_t)job->rules.bias);
    mem_free((void *)(uintptr_t)job->rules.allowed);
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
                           .stop_id = -1,
                           .queued_s = clock_seconds() - job->submitted_at};
    for (; job->n_started < r->n_samples; job->n_started++, job->n_ended++)
        if (r->on_end) r->on_end(r->user, job->id, job->n_started, &result);
}
