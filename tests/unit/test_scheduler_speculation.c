/* Speculation changes no answer: tokens, streamed texts, log-probabilities and finish reasons are as
 * without it, for any proposals, sampling, ends and neighbours. It also saves passes; otherwise these
 * tests would prove nothing. */
#include "tests/covering.h"
#include "tests/serving.h"
#include "qtensor/isa.h"

/* Random requests. Most prompts repeat themselves, so their answers do, too. */
static struct question *make_repetitive(size_t n, uint64_t seed, int longest_answer)
{
    struct rng rng = {seed};
    struct question *all = make_questions(n, seed, 44, longest_answer);
    for (size_t i = 0; i < n; i++) {
        uint32_t period = 1 + rng_below(&rng, 40);
        for (size_t k = period; k < all[i].request.n_ids; k++) all[i].prompt[k] = all[i].prompt[k - period];
        if (all[i].request.sampling.temperature > 0) all[i].request.sampling.temperature = 0.5f;
    }
    return all;
}

static gpt2q_scheduler_stats serve_with(struct settings set, struct question *all, size_t n)
{
    struct engine e = engine_open(set);
    forget_answers(all, n);
    serve(&e, all, n, false);
    gpt2q_scheduler_stats stats = gpt2q_scheduler_get_stats(e.scheduler);
    engine_close(&e);
    return stats;
}

static void same_answers_in_every_pair_of_settings(void **state)
{
    (void)state;
    enum { N = 8, SCHEMES = 3, CACHES = 4 };
    enum { SPECULATE, BATCH, CHUNK, THREADS, ISA, SCHEME, CACHE, SHARING, N_FACTORS };
    static const int32_t speculate[] = {1, 2, 5, 64}, rows[] = {1, 2, 7}, chunks[] = {1, 6, 64},
                         threads[] = {1, 2, 3};
    static const char *const schemes[] = {"f32", "i8", "i4:channel"}, *const caches[] = {"f32", "f16", "i16",
                                                                                         "i8"};
    const char *isas[MAX_VALUES];
    int n_isas = 0, v[MAX_FACTORS];
    for (size_t i = 0; i < isa_count(); i++)
        if (isa_at(i)->supported()) isas[n_isas++] = isa_at(i)->name;
    struct question *want[SCHEMES][CACHES], *got = make_repetitive(N, 201, 14);
    for (int s = 0; s < SCHEMES; s++)
        for (int c = 0; c < CACHES; c++) {
            want[s][c] = make_repetitive(N, 201, 14);
            answer_alone(want[s][c], N, (struct settings){.scheme = schemes[s], .kv = caches[c]});
        }
    uint64_t accepted = 0, rejected = 0;
    struct covering c = {.n_factors = N_FACTORS, .n_values = {4, 3, 3, 3, n_isas, SCHEMES, CACHES, 2}};
    for (struct rng rng = {202}; covering_next(&c, &rng, v);) {
        char what[128];
        struct settings set = {.scheme = schemes[v[SCHEME]],
                               .isa = isas[v[ISA]],
                               .kv = caches[v[CACHE]],
                               .rows = rows[v[BATCH]],
                               .chunk = chunks[v[CHUNK]],
                               .threads = threads[v[THREADS]],
                               .speculate = speculate[v[SPECULATE]],
                               .no_sharing = v[SHARING]};
        snprintf(what, sizeof what, "speculate %d, %s, %s, cache %s, batch %d, chunk %d, %d threads%s",
                 (int)set.speculate, set.scheme, set.isa, set.kv, (int)set.rows, (int)set.chunk,
                 (int)set.threads, set.no_sharing ? ", nothing shared" : "");
        for (int i = 0; i < N; i++) got[i].request.speculate = set.speculate;
        gpt2q_scheduler_stats stats = serve_with(set, got, N);
        expect_same(want[v[SCHEME]][v[CACHE]], got, N, what);
        accepted += stats.accepted_tokens;
        rejected += stats.proposed_tokens - stats.accepted_tokens;
    }
    assert_true(accepted > 50 && rejected > 25);
    for (int s = 0; s < SCHEMES; s++)
        for (int k = 0; k < CACHES; k++) free_questions(want[s][k], N);
    free_questions(got, N);
}

/* 300 requests of all kinds, each with a number of its own, in half of the cache that they could ask for;
 * 10,000 in a long run. */
static void answers_belong_to_their_requests(void **state)
{
    (void)state;
    size_t n = getenv("GPT2Q_TEST_LONG") ? 10000 : 300;
    struct question *want = make_repetitive(n, 211, 30), *got = make_repetitive(n, 211, 30);
    for (size_t i = 0; i < n; i++) got[i].request.speculate = (int32_t)(i % 17);
    answer_alone(want, n, (struct settings){.scheme = "i8"});
    gpt2q_scheduler_stats stats = serve_with(
        (struct settings){.scheme = "i8", .rows = 6, .chunk = 32, .n_cache = 3 * N_CTX, .speculate = 4}, got,
        n);
    expect_same(want, got, n, "batch of 6");
    assert_int_equal(stats.requests, n);
    assert_int_equal(stats.errors, 0);
    assert_true(stats.accepted_tokens > n / 2 && stats.proposed_tokens > stats.accepted_tokens);
    free_questions(want, n);
    free_questions(got, n);
}

/* ---- where it ends ---- */

/* One prompt that repeats itself, with 0 tokens to more than the context holds. Two rows share a cache
 * without a block to spare, and a pass has fewer tokens than they would propose. */
static void as_many_tokens_as_without(void **state)
{
    (void)state;
    enum { PERIOD = 4, N = 2 * N_CTX };
    uint64_t accepted = 0;
    for (int32_t n_prompt = 8; n_prompt < N_CTX; n_prompt += 27) {
        struct rng rng = {221};
        struct question *want = calloc(N, sizeof *want), *got = calloc(N, sizeof *got);
        struct answer *answers = calloc(2 * N, sizeof *answers);
        for (int32_t i = 0; i < N; i++) {
            ask(&want[i], &rng, n_prompt, i % N_CTX);
            for (int32_t k = 0; k < n_prompt; k++) want[i].prompt[k] = k % PERIOD;
            want[i].request.ignore_eos = true;
            want[i].request.n_logprobs = i < N_CTX ? 1 : -1;
            want[i].answers = &answers[i];
            got[i] = want[i];
            got[i].request.ids = got[i].prompt;
            got[i].request.user = &got[i];
            got[i].request.speculate = 1 + i % 9;
            got[i].answers = &answers[N + i];
        }
        answer_alone(want, N, (struct settings){.scheme = "f32"});
        gpt2q_scheduler_stats stats = serve_with(
            (struct settings){.scheme = "f32", .rows = 2, .chunk = 5, .n_cache = 2 * N_CTX, .speculate = 1},
            got, N);
        expect_same(want, got, N, "tokens asked for");
        accepted += stats.accepted_tokens;
        free(want);
        free(got);
        free(answers);
    }
    assert_true(accepted > 5 * N);
}

static void refuses_what_is_out_of_range(void **state)
{
    (void)state;
    struct rng rng = {231};
    struct engine e = engine_open((struct settings){.scheme = "f32", .rows = 1});
    struct question q;
    gpt2q_error err;
    ask(&q, &rng, 3, 3);
    static const int32_t wrong[] = {-1, 65};
    for (int i = 0; i < 2; i++) {
        q.request.speculate = wrong[i];
        assert_int_equal(gpt2q_scheduler_submit(e.scheduler, &q.request, NULL, &err), GPT2Q_INVALID_ARGUMENT);
        assert_non_null(strstr(err.message, "where 0 to 64 are possible"));
    }
    engine_close(&e);
}

/* ---- texts and stop strings ---- */

struct streamed {
    char chunks[4096]; /* as they came, a '|' behind each */
    char text[2048];
    size_t n, n_text, n_ids;
    gpt2q_finish finish;
};

static void stream(void *user, uint64_t request, int32_t sample, const char *text, size_t n)
{
    struct streamed *s = user;
    (void)request, (void)sample;
    assert_true(s->n + n + 1 < sizeof s->chunks);
    memcpy(s->chunks + s->n, text, n);
    s->n += n;
    s->chunks[s->n++] = '|';
}

static void stream_end(void *user, uint64_t request, int32_t sample, const gpt2q_result *r)
{
    struct streamed *s = user;
    (void)request, (void)sample;
    s->n_ids = r->n_ids;
    s->finish = r->finish;
    assert_true(r->text_len < sizeof s->text);
    memcpy(s->text, r->text, s->n_text = r->text_len);
}

static struct streamed stream_of(gpt2q_scheduler *scheduler, gpt2q_request r, int32_t speculate)
{
    static const char prompt[] = "One, two, three, four, five. One, two, three, four, five. One, two,";
    struct streamed s = {.n = 0};
    gpt2q_error err;
    r.prompt = prompt;
    r.prompt_len = sizeof prompt - 1;
    r.max_tokens = 40;
    r.speculate = speculate;
    r.on_text = stream;
    r.on_end = stream_end;
    r.user = &s;
    if (gpt2q_scheduler_submit(scheduler, &r, NULL, &err)) fail_msg("%s", err.message);
    for (bool busy = true; busy;)
        if (gpt2q_scheduler_step(scheduler, &busy, &err)) fail_msg("%s", err.message);
    return s;
}

/* Stop strings from every part of the text, in the middle of tokens accepted together. */
static void streams_the_same_text(void **state)
{
    (void)state;
    gpt2q_model *model;
    gpt2q_context *ctx;
    gpt2q_scheduler *scheduler;
    gpt2q_error err;
    gpt2q_context_params cp = gpt2q_context_params_default();
    gpt2q_scheduler_params sp = gpt2q_scheduler_params_default();
    cp.n_outputs = 9;
    cp.n_threads = sp.n_rows = 1;
    if (gpt2q_model_open(repo_path("models/tales-7m"), NULL, &model, &err) ||
        gpt2q_context_create(model, &cp, &ctx, &err) || gpt2q_scheduler_create(ctx, &sp, &scheduler, &err))
        fail_msg("%s", err.message);
    int n_stopped = 0;
    for (int kind = 0; kind < 3; kind++) {
        gpt2q_request r = gpt2q_request_default();
        if (kind == 1) r.sampling.temperature = 0.7f;
        if (kind == 2) r.sampling.repetition_penalty = 1.05f;
        struct streamed whole = stream_of(scheduler, r, 0);
        for (size_t i = 0; i < 16; i++) {
            char stop[8] = {0};
            const char *all[] = {"zzz", stop};
            memcpy(stop, whole.text + i * (whole.n_text - 6) / 16, 1 + i % 6);
            r.stop = all;
            r.n_stop = i ? 2 : 0;
            struct streamed want = stream_of(scheduler, r, 0), got = stream_of(scheduler, r, 8);
            if (memcmp(&want, &got, sizeof want))
                fail_msg("stop '%s': '%s', not '%s'", stop, got.chunks, want.chunks);
            n_stopped += want.finish == GPT2Q_FINISH_STOP;
        }
    }
    assert_true(n_stopped > 20);
    assert_true(gpt2q_scheduler_get_stats(scheduler).accepted_tokens > 50);
    gpt2q_scheduler_free(scheduler);
    gpt2q_context_free(ctx);
    gpt2q_model_close(model);
}

/* ---- what it saves, and where there is nothing to save ---- */

static gpt2q_scheduler_stats stats_of(int32_t speculate, int32_t outputs_for, bool padded, float temperature)
{
    struct rng rng = {241};
    struct question q;
    struct answer a;
    ask(&q, &rng, 20, 44);
    for (int32_t k = 0; k < 20; k++) q.prompt[k] = k % 4;
    q.request.ignore_eos = true;
    q.request.speculate = speculate;
    q.request.sampling.temperature = temperature;
    q.request.n_samples = 1;
    q.answers = &a;
    return serve_with(
        (struct settings){.scheme = "f32", .rows = 1, .speculate = outputs_for, .padded = padded}, &q, 1);
}

static void repetition_takes_few_passes(void **state)
{
    (void)state;
    assert_int_equal(stats_of(0, 0, false, 0).steps, 44);
    gpt2q_scheduler_stats s = stats_of(8, 8, false, 0);
    assert_int_equal(s.completion_tokens, 44);
    assert_true(s.steps <= 22);
    assert_int_equal(s.steps + s.accepted_tokens, 44); /* a pass makes one token and what is accepted */
    s = stats_of(8, 8, true, 0);                       /* a rectangle has no place for proposals */
    assert_int_equal(s.steps, stats_of(0, 0, true, 0).steps);
    assert_int_equal(s.proposed_tokens, 0);
}

static void noise_is_left_alone(void **state)
{
    (void)state;
    gpt2q_scheduler_stats s = stats_of(8, 8, false, 100.0f);
    assert_int_equal(s.completion_tokens, 44);
    assert_true(s.proposed_tokens <= 4 + 4 * s.accepted_tokens);
}

/* ---- proposals that turn out wrong leave no trace ---- */

/* The embeddings that a run without speculation sees. A run with it also sees those of wrong proposals. */
struct embeddings {
    float seen[2 * N_CTX][64];
    int32_t n, cols;
    int poisoned, poison_at; /* poison_at: the row of `seen` that is made NaN; -1: all that were not seen */
    bool learn;
};

static void watch(void *user, const char *name, float *data, int32_t first, int32_t rows, int32_t cols)
{
    struct embeddings *e = user;
    (void)first;
    if (strcmp(name, "embed")) return;
    assert_true(cols <= 64);
    for (int32_t i = 0; i < rows; i++) {
        float *row = data + (size_t)i * (size_t)cols;
        int32_t k = 0;
        while (k < e->n && memcmp(e->seen[k], row, (size_t)cols * sizeof *row)) k++;
        if (e->learn && k == e->n) memcpy(e->seen[e->n++], row, (size_t)cols * sizeof *row);
        if (e->learn || (e->poison_at < 0 ? k < e->n : k != e->poison_at)) continue;
        for (int32_t c = 0; c < cols; c++) row[c] = 0.0f / 0.0f;
        e->poisoned++;
    }
}

static void serve_watched(struct question *q, int32_t speculate, struct embeddings *watched)
{
    struct engine e = engine_open((struct settings){.scheme = "f32", .rows = 1, .speculate = 8});
    gpt2q_context_observe(e.ctx, watch, watched);
    q->request.speculate = speculate;
    forget_answers(q, 1);
    serve(&e, q, 1, false);
    engine_close(&e);
}

static void wrong_proposals_leave_no_trace(void **state)
{
    (void)state;
    struct question *q = make_repetitive(40, 251, 30);
    int poisoned = 0;
    for (int i = 0; i < 40; i++) {
        struct embeddings w = {.learn = true, .poison_at = -1};
        q[i].request.n_samples = 1;
        serve_watched(&q[i], 0, &w);
        struct answer want = q[i].answers[0];
        w.learn = false;
        serve_watched(&q[i], 8, &w);
        if (memcmp(&want, &q[i].answers[0], sizeof want)) fail_msg("request %d has another answer", i);
        poisoned += w.poisoned;
    }
    assert_true(poisoned > 40);
    free_questions(q, 40);
}

/* A position whose logits are not finite ends the request there, whether it is reached alone or as a
 * proposal. */
static void fails_where_it_would_without(void **state)
{
    (void)state;
    struct question *q = make_repetitive(12, 261, 30);
    int failed = 0;
    for (int i = 0; i < 12; i++) {
        struct embeddings w = {.learn = true};
        q[i].request.n_samples = 1;
        serve_watched(&q[i], 0, &w);
        w.learn = false;
        for (w.poison_at = 0; w.poison_at < w.n; w.poison_at += 3) {
            serve_watched(&q[i], 0, &w);
            struct answer want = q[i].answers[0];
            serve_watched(&q[i], 8, &w);
            if (memcmp(&want, &q[i].answers[0], sizeof want))
                fail_msg("request %d, NaN at %d: another end", i, w.poison_at);
            failed += want.finish == GPT2Q_FINISH_ERROR;
        }
    }
    assert_true(failed > 12);
    free_questions(q, 12);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_answers_in_every_pair_of_settings),
        cmocka_unit_test(answers_belong_to_their_requests),
        cmocka_unit_test(as_many_tokens_as_without),
        cmocka_unit_test(refuses_what_is_out_of_range),
        cmocka_unit_test(streams_the_same_text),
        cmocka_unit_test(repetition_takes_few_passes),
        cmocka_unit_test(noise_is_left_alone),
        cmocka_unit_test(wrong_proposals_leave_no_trace),
        cmocka_unit_test(fails_where_it_would_without),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
