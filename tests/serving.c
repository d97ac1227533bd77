#include "tests/serving.h"
#include "engine/scheduler.h"

#define MODEL "tests/golden/data/tiny-odd"

struct engine engine_open(struct settings set)
{
    struct engine e;
    gpt2q_error err;
    gpt2q_model_params mp = gpt2q_model_params_default();
    gpt2q_context_params cp = gpt2q_context_params_default();
    gpt2q_scheduler_params sp = gpt2q_scheduler_params_default();
    mp.scheme = set.scheme;
    mp.isa = set.isa;
    mp.n_threads = 1;
    mp.weights_only = true;
    cp.n_threads = set.threads ? set.threads : 1;
    cp.n_seq_max = set.padded ? 2 * set.rows : set.rows;
    cp.n_outputs = (set.rows > 8 ? set.rows : 8) + set.rows * set.speculate;
    cp.n_batch = set.rows + (set.chunk ? set.chunk : 64);
    cp.n_cache = set.n_cache ? set.n_cache : set.rows * (N_CTX + 16);
    cp.activations = set.activations;
    cp.kv = set.kv;
    sp.n_rows = set.rows;
    sp.n_chunk = set.chunk;
    sp.n_queue = 16;
    sp.padded = set.padded;
    sp.no_prefix_sharing = set.no_sharing;
    sp.keep_prefixes = set.keep;
    if (gpt2q_model_open(repo_path(MODEL), &mp, &e.model, &err) ||
        gpt2q_context_create(e.model, &cp, &e.ctx, &err) ||
        gpt2q_scheduler_create(e.ctx, &sp, &e.scheduler, &err))
        fail_msg("%s", err.message);
    if (set.first) scheduler_prompts_first(e.scheduler);
    return e;
}

void engine_close(struct engine *e)
{
    gpt2q_scheduler_free(e->scheduler);
    assert_int_equal(e->ctx->cache.n_free, e->ctx->cache.n_blocks); /* every block is free again */
    gpt2q_context_free(e->ctx);
    gpt2q_model_close(e->model);
}

static void on_end(void *user, uint64_t id, int32_t sample, const gpt2q_result *r)
{
    struct question *q = user;
    struct answer *a = &q->answers[sample];
    assert_true(id > 0);
    a->n_ends++;
    a->finish = r->finish;
    a->n_prompt = r->n_prompt;
    a->n_ids = r->n_ids;
    a->n_positions = r->n_positions;
    memcpy(a->ids, r->ids, r->n_ids * sizeof *a->ids);
    for (size_t i = 0; i < r->n_positions; i++) {
        a->logprobs[2 * i] = r->positions[i].logprob;
        if (r->positions[i].top && q->request.n_logprobs > 0)
            a->logprobs[2 * i + 1] = r->positions[i].top[0].logprob;
    }
}

void ask(struct question *q, struct rng *rng, int32_t n_prompt, int32_t max_tokens)
{
    q->request = gpt2q_request_default();
    q->request.ids = q->prompt;
    q->request.n_ids = (size_t)n_prompt;
    q->request.max_tokens = max_tokens;
    q->request.on_end = on_end;
    q->request.user = q;
    for (int32_t i = 0; i < n_prompt; i++) q->prompt[i] = (int32_t)rng_below(rng, VOCAB);
}

struct question *make_questions(size_t n, uint64_t seed, int longest_prompt, int longest_answer)
{
    struct rng rng = {seed};
    int32_t common[N_CTX];
    struct question *all = calloc(n, sizeof *all);
    for (int32_t i = 0; i < N_CTX; i++) common[i] = (int32_t)rng_below(&rng, VOCAB);
    for (size_t i = 0; i < n; i++) {
        struct question *q = &all[i];
        int32_t max_tokens = (int32_t)rng_below(&rng, (uint32_t)longest_answer + 1);
        ask(q, &rng, 1 + (int32_t)rng_below(&rng, (uint32_t)longest_prompt), max_tokens);
        if (rng_below(&rng, 2)) { /* half of them begin alike */
            size_t shared = rng_below(&rng, (uint32_t)longest_prompt);
            memcpy(q->prompt, common,
                   (shared < q->request.n_ids ? shared : q->request.n_ids) * sizeof *common);
        }
        q->request.ignore_eos = rng_below(&rng, 4) != 0;
        q->request.sampling.seed = rng_next(&rng);
        if (rng_below(&rng, 2)) q->request.sampling.temperature = 1.5f;
        if (rng_below(&rng, 4) == 0) q->request.sampling.top_k = 20;
        if (rng_below(&rng, 4) == 0) q->request.sampling.repetition_penalty = 1.3f;
        if (rng_below(&rng, 4) == 0)
            q->request.n_logprobs = (int32_t)rng_below(&rng, 3), q->request.echo = rng_below(&rng, 2);
        if (rng_below(&rng, 5) == 0) q->request.n_samples = 1 + (int32_t)rng_below(&rng, 3);
        q->answers = calloc((size_t)q->request.n_samples, sizeof *q->answers);
    }
    return all;
}

void free_questions(struct question *all, size_t n)
{
    for (size_t i = 0; i < n; i++) free(all[i].answers);
    free(all);
}

void forget_answers(struct question *all, size_t n)
{
    for (size_t i = 0; i < n; i++)
        memset(all[i].answers, 0, (size_t)all[i].request.n_samples * sizeof *all[i].answers);
}

void serve(struct engine *e, struct question *all, size_t n, bool alone)
{
    gpt2q_error err;
    size_t next = 0;
    for (bool busy = true; busy || next < n;) {
        while (next < n && (!alone || !busy || next == 0)) {
            gpt2q_status s = gpt2q_scheduler_submit(e->scheduler, &all[next].request, NULL, &err);
            if (s == GPT2Q_QUEUE_FULL) break;
            if (s) fail_msg("%s", err.message);
            next++;
            busy = true;
        }
        if (gpt2q_scheduler_step(e->scheduler, &busy, &err)) fail_msg("%s", err.message);
    }
}

void expect_same(const struct question *want, const struct question *got, size_t n, const char *what)
{
    for (size_t i = 0; i < n; i++)
        for (int32_t j = 0; j < want[i].request.n_samples; j++) {
            const struct answer *a = &want[i].answers[j], *b = &got[i].answers[j];
            if (b->n_ends != 1)
                fail_msg("%s: request %zu sample %d ended %d times", what, i, (int)j, b->n_ends);
            if (memcmp(a, b, sizeof *a))
                fail_msg("%s: request %zu sample %d has another answer than alone", what, i, (int)j);
        }
}

void answer_alone(struct question *all, size_t n, struct settings set)
{
    set.rows = set.threads = 1;
    set.chunk = N_CTX;
    set.no_sharing = true;
    struct engine e = engine_open(set);
    serve(&e, all, n, true);
    engine_close(&e);
}
