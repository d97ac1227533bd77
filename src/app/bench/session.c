/* A context and the tests on it. Prompts and first tokens are arbitrary but always the same, so that every
 * round does the same work. What is decoded is the model's greedy choice; choosing it is part of the time. */
#include "app/bench/bench.h"
#include "base/clock.h"
#include "base/memory.h"

/* An arbitrary token. Tokens spread over the vocabulary, so that rows of the embedding are not neighbours. */
static int32_t some_token(const struct bench_session *s, int32_t sequence, int32_t position)
{
    uint32_t h = (uint32_t)sequence * 0x9E3779B9u + (uint32_t)position * 0x85EBCA6Bu + 1u;
    h = (h ^ h >> 15) * 0x2C1B3C6Du;
    return (int32_t)((h ^ h >> 16) % (uint32_t)s->vocab_size);
}

static int32_t rounded_to_block(int32_t n) { return (n + KV_BLOCK - 1) / KV_BLOCK * KV_BLOCK; }

/* What the tests of a session need. */
struct needs {
    int32_t prompt, length; /* tokens of the longest prompt and of the longest decoded sequence */
};

static struct needs find_needs(struct bench_session *s, const struct bench_plan *plan, int scheme, int limits)
{
    struct needs needs = {.prompt = 0};
    for (int i = 0; i < plan->n_tests; i++) {
        const struct bench_test *t = &plan->tests[i];
        if (t->scheme != scheme || t->limits != limits || t->kind == TEST_TOKENIZE) continue;
        if (t->kind == TEST_PREFILL) {
            if (t->tokens > needs.prompt) needs.prompt = t->tokens;
            continue;
        }
        if (t->batch > s->n_sequences) s->n_sequences = t->batch;
        s->position = t->position;
        needs.length = t->position + t->tokens;
    }
    return needs;
}

static int32_t largest(int32_t a, int32_t b) { return a > b ? a : b; }

gpt2q_status session_create(struct bench_session *s, const struct bench_plan *plan, int scheme, int limits,
                            gpt2q_error *err)
{
    const gpt2q_model *model = plan->models[plan->schemes[scheme].model].model;
    const gpt2q_config *c = gpt2q_model_config(model);
    *s = (struct bench_session){.vocab_size = c->vocab_size};
    struct needs needs = find_needs(s, plan, scheme, limits);
    if (plan->profile && s->n_sequences) {
        s->spare = (int32_t)((int64_t)s->n_sequences * (s->position + 1) / BENCH_CHUNK + 2);
        if (needs.length + s->spare > c->n_positions) s->spare = c->n_positions - needs.length;
        needs.length += s->spare;
    }
    int32_t longest = largest(needs.prompt, needs.length), tokens = largest(longest, s->n_sequences);
    gpt2q_context_params p = gpt2q_context_params_default();
    p.n_ctx = longest;
    p.n_seq_max = s->n_sequences + 1; /* the last one for prompts */
    p.n_batch = plan->profile || tokens > BENCH_CHUNK ? BENCH_CHUNK : tokens;
    p.n_outputs = largest(s->n_sequences, plan->all_logits ? needs.prompt : 1);
    p.n_cache = (int64_t)s->n_sequences * rounded_to_block(needs.length) + rounded_to_block(needs.prompt);
    p.n_threads = plan->threads[limits];
    p.activations = plan->schemes[scheme].activations;
    p.kv = plan->kv;
    s->next = mem_array((size_t)s->n_sequences, sizeof *s->next);
    gpt2q_status status =
        s->next ? GPT2Q_OK : error_memory(err, "a session", (size_t)s->n_sequences * sizeof *s->next);
    if (!status) status = gpt2q_batch_create(tokens, &s->batch, err);
    if (!status) status = gpt2q_context_create(model, &p, &s->ctx, err);
    if (status) session_free(s);
    return status;
}

void session_free(struct bench_session *s)
{
    gpt2q_context_free(s->ctx);
    gpt2q_batch_free(s->batch);
    mem_free(s->next);
    *s = (struct bench_session){0};
}

static gpt2q_status feed_prompt(struct bench_session *s, int32_t sequence, int32_t length, bool last_logits,
                                bool all_logits, gpt2q_error *err)
{
    gpt2q_batch_clear(s->batch);
    gpt2q_batch_argmax_only(s->batch, !all_logits);
    for (int32_t i = 0; i < length; i++)
        gpt2q_batch_add(s->batch, some_token(s, sequence, i), i, sequence,
                        all_logits || (last_logits && i + 1 == length));
    return gpt2q_decode(s->ctx, s->batch, err);
}

static gpt2q_status choose(const struct bench_session *s, int32_t output, int32_t *token, gpt2q_error *err)
{
    *token = gpt2q_argmax(s->ctx, output);
    return *token >= 0 ? GPT2Q_OK : error_set(err, GPT2Q_NON_FINITE, "the logits of a step are not finite");
}

static gpt2q_status run_prefill(struct bench_session *s, const struct bench_test *t, bool all_logits,
                                double *rate, gpt2q_error *err)
{
    int32_t token, sequence = s->n_sequences;
    gpt2q_context_truncate(s->ctx, sequence, 0);
    double start = clock_seconds();
    gpt2q_status status = feed_prompt(s, sequence, t->tokens, true, all_logits, err);
    if (!status) status = choose(s, all_logits ? t->tokens - 1 : 0, &token, err);
    *rate = t->tokens / (clock_seconds() - start);
    gpt2q_context_truncate(s->ctx, sequence, 0);
    return status;
}

/* One token for each of the first `batch` sequences. */
static gpt2q_status step(struct bench_session *s, int32_t batch, int32_t position, gpt2q_error *err)
{
    gpt2q_batch_clear(s->batch);
    gpt2q_batch_argmax_only(s->batch, true);
    for (int32_t i = 0; i < batch; i++) gpt2q_batch_add(s->batch, s->next[i], position, i, true);
    gpt2q_status status = gpt2q_decode(s->ctx, s->batch, err);
    for (int32_t i = 0; i < batch && !status; i++) status = choose(s, i, &s->next[i], err);
    return status;
}

static void rewind_sequences(struct bench_session *s, int32_t batch)
{
    for (int32_t i = 0; i < batch; i++) {
        gpt2q_context_truncate(s->ctx, i, s->position);
        s->next[i] = some_token(s, i, s->position);
    }
}

static gpt2q_status run_decode(struct bench_session *s, const struct bench_test *t, double *rate,
                               gpt2q_error *err)
{
    gpt2q_status status = GPT2Q_OK;
    for (; s->n_filled < t->batch && !status; s->n_filled++)
        if (s->position) status = feed_prompt(s, s->n_filled, s->position, false, false, err);
    rewind_sequences(s, t->batch);
    if (!status)
        status = step(s, t->batch, s->position,
                      err); /* not timed: it brings threads and caches back from the last test */
    rewind_sequences(s, t->batch);
    double start = clock_seconds();
    for (int32_t i = 0; i < t->tokens && !status; i++) status = step(s, t->batch, s->position + i, err);
    *rate = (double)t->tokens * t->batch / (clock_seconds() - start);
    return status;
}

gpt2q_status session_run(struct bench_session *s, const struct bench_plan *plan,
                         const struct bench_test *test, double *rate, gpt2q_error *err)
{
    return test->kind == TEST_PREFILL ? run_prefill(s, test, plan->all_logits, rate, err)
                                      : run_decode(s, test, rate, err);
}
