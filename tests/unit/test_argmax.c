/* The arg-max that a pass computes itself is that of its logits: for any instruction set, threads and cuts
 * of a batch, at ties, with an observer, and if logits are not finite. */
#include "tests/serving.h"
#include "engine/model.h"
#include "model/shape.h"
#include "qtensor/isa.h"
#include <math.h>

enum { N_SEQUENCES = 5, N_TOKENS = 9, N_ROWS = N_SEQUENCES * N_TOKENS };

static const int32_t thread_counts[] = {1, 2, 5, 64};

struct subject {
    gpt2q_model *model;
    gpt2q_batch *batch;
};

#define VOCABULARY (16 * PANEL + 1) /* 17 panels, the last of one output */

static struct subject synthesize(const char *scheme, const char *isa, int32_t vocab_size)
{
    struct subject s;
    gpt2q_error err;
    gpt2q_config config;
    gpt2q_model_params params = gpt2q_model_params_default();
    params.scheme = scheme;
    params.isa = isa;
    assert_int_equal(shape_parse("1x32x2", &config, &err), GPT2Q_OK);
    config.vocab_size = vocab_size;
    config.bos_token_id = config.eos_token_id = 0;
    config.tie_word_embeddings = false; /* so that a test may change the head alone */
    assert_int_equal(model_synthesize(&config, "small", &params, &s.model, &err), GPT2Q_OK);
    assert_int_equal(gpt2q_batch_create(N_ROWS, &s.batch, &err), GPT2Q_OK);
    for (int i = 0; i < N_SEQUENCES; i++)
        for (int k = 0; k < N_TOKENS; k++)
            gpt2q_batch_add(s.batch, (i * 131 + k * 17) % config.vocab_size, k, i, true);
    return s;
}

static void finish(struct subject *s)
{
    gpt2q_batch_free(s->batch);
    gpt2q_model_close(s->model);
}

/* An id for each token of the batch, which runs in passes of n_batch. */
static void decode(const struct subject *s, int32_t n_threads, int32_t n_batch, gpt2q_observer *observer,
                   bool argmax_only, int32_t ids[N_ROWS])
{
    gpt2q_error err;
    gpt2q_context *ctx;
    gpt2q_context_params p = gpt2q_context_params_default();
    p.n_seq_max = N_SEQUENCES;
    p.n_ctx = 16;
    p.n_outputs = N_ROWS;
    p.n_batch = n_batch;
    p.n_threads = n_threads;
    assert_int_equal(gpt2q_context_create(s->model, &p, &ctx, &err), GPT2Q_OK);
    int seen = 0;
    if (observer) gpt2q_context_observe(ctx, observer, &seen);
    gpt2q_batch_argmax_only(s->batch, argmax_only);
    assert_int_equal(gpt2q_decode(ctx, s->batch, &err), GPT2Q_OK);
    for (int i = 0; i < N_ROWS; i++) ids[i] = gpt2q_argmax(ctx, i);
    assert_int_equal(seen, observer ? (N_ROWS + n_batch - 1) / n_batch : 0);
    gpt2q_context_free(ctx);
}

static void expect_ids(const int32_t *want, const int32_t *got, const char *what, int threads)
{
    for (int i = 0; i < N_ROWS; i++)
        if (want[i] != got[i])
            fail_msg("%s, %d threads: row %d has id %d, not %d", what, threads, i, (int)got[i], (int)want[i]);
}

static void see_logits(void *user, const char *name, float *data, int32_t rows_first, int32_t rows,
                       int32_t cols)
{
    (void)data, (void)rows_first, (void)rows, (void)cols;
    *(int *)user += !strcmp(name, "logits");
}

/* The values that an observer writes count. */
static void raise_a_token(void *user, const char *name, float *data, int32_t rows_first, int32_t rows,
                          int32_t cols)
{
    (void)rows_first;
    if (strcmp(name, "logits")) return;
    ++*(int *)user;
    for (int32_t r = 0; r < rows; r++) data[r * cols + 3] = 1e30f;
}

static void compare_with_logits(const char *scheme, int32_t vocab_size)
{
    int32_t want[N_ROWS], got[N_ROWS];
    for (size_t i = 0; i < isa_count(); i++) {
        if (!isa_at(i)->supported()) continue;
        struct subject s = synthesize(scheme, isa_at(i)->name, vocab_size);
        if (i == 0) decode(&s, 1, N_ROWS, NULL, false, want); /* scalar */
        for (size_t t = 0; t < sizeof thread_counts / sizeof *thread_counts; t++) {
            decode(&s, thread_counts[t], t % 2 ? 7 : N_ROWS, NULL, true, got);
            expect_ids(want, got, isa_at(i)->name, thread_counts[t]);
        }
        decode(&s, 2, 7, see_logits, true, got);
        expect_ids(want, got, "looked at", 2);
        decode(&s, 2, 7, raise_a_token, true, got);
        for (int k = 0; k < N_ROWS; k++) assert_int_equal(got[k], 3);
        finish(&s);
    }
}

static void is_that_of_the_logits(void **state)
{
    (void)state;
    static const char *const schemes[] = {"f32", "i8", "i4:channel"};
    for (size_t k = 0; k < sizeof schemes / sizeof *schemes; k++) {
        compare_with_logits(schemes[k], VOCABULARY);
        compare_with_logits(schemes[k], 10);
    }
}

/* With 1024 inputs the head takes 256 rows at a time. */
static void of_several_blocks_of_rows(void **state)
{
    (void)state;
    enum { N = 300 };
    gpt2q_error err;
    gpt2q_config config;
    gpt2q_model_params mp = gpt2q_model_params_default();
    gpt2q_context_params cp = gpt2q_context_params_default();
    gpt2q_model *model;
    gpt2q_batch *batch;
    gpt2q_context *ctx;
    assert_int_equal(shape_parse("1x1024x4", &config, &err), GPT2Q_OK);
    config.vocab_size = 257;
    assert_int_equal(model_synthesize(&config, "wide", &mp, &model, &err), GPT2Q_OK);
    assert_int_equal(gpt2q_batch_create(N, &batch, &err), GPT2Q_OK);
    for (int i = 0; i < N; i++) gpt2q_batch_add(batch, i * 131 % 257, i, 0, true);
    cp.n_outputs = N;
    cp.n_threads = 2;
    assert_int_equal(gpt2q_context_create(model, &cp, &ctx, &err), GPT2Q_OK);
    int32_t want[N];
    for (int argmax_only = 0; argmax_only < 2; argmax_only++) {
        gpt2q_batch_argmax_only(batch, argmax_only);
        assert_int_equal(gpt2q_decode(ctx, batch, &err), GPT2Q_OK);
        for (int i = 0; i < N; i++) {
            if (argmax_only)
                assert_int_equal(gpt2q_argmax(ctx, i), want[i]);
            else
                want[i] = gpt2q_argmax(ctx, i);
        }
        gpt2q_context_truncate(ctx, 0, 0);
    }
    gpt2q_context_free(ctx);
    gpt2q_batch_free(batch);
    gpt2q_model_close(model);
}

/* The weights of token `id` in the head, of an f32 model: element k is PANEL floats after the one before. */
static float *of_token(const struct subject *s, int id)
{
    const struct qtensor *head = &s->model->weights.lm_head;
    return (float *)(uintptr_t)(head->codes + (size_t)(id / PANEL) * head->panel_bytes) + id % PANEL;
}

static void fill_token(const struct subject *s, int id, float value)
{
    for (int k = 0; k < s->model->weights.lm_head.cols; k++) of_token(s, id)[(size_t)k * PANEL] = value;
}

static void ties_go_to_the_lowest_id(void **state)
{
    (void)state;
    struct subject s = synthesize("f32", NULL, VOCABULARY);
    int32_t vocab_size = gpt2q_model_config(s.model)->vocab_size, got[N_ROWS];
    for (int32_t id = 0; id < vocab_size; id++) fill_token(&s, id, 0.0f);
    for (size_t t = 0; t < sizeof thread_counts / sizeof *thread_counts; t++) {
        decode(&s, thread_counts[t], 7, NULL, true, got);
        for (int i = 0; i < N_ROWS; i++) assert_int_equal(got[i], 0);
    }
    /* three equal tokens: they win if they are above the others' 0 */
    static const int32_t tied[] = {70, 400, 1024};
    for (int k = 0; k < s.model->weights.lm_head.cols; k++)
        for (int j = 0; j < 3; j++) of_token(&s, tied[j])[(size_t)k * PANEL] = k % 3 ? 1.0f : -1.0f;
    for (size_t t = 0; t < sizeof thread_counts / sizeof *thread_counts; t++) {
        int above = 0;
        decode(&s, thread_counts[t], N_ROWS, NULL, true, got);
        for (int i = 0; i < N_ROWS; i++) {
            assert_true(got[i] == 0 || got[i] == 70);
            above += got[i] == 70;
        }
        assert_in_range(above, 1, N_ROWS);
    }
    finish(&s);
}

static void what_is_not_finite_has_none(void **state)
{
    (void)state;
    static const float bad[] = {INFINITY, -INFINITY, NAN};
    static const int32_t places[] = {0, 63, 64, 517, 1024};
    struct subject s = synthesize("f32", NULL, VOCABULARY);
    int32_t want[N_ROWS], got[N_ROWS];
    decode(&s, 1, N_ROWS, NULL, false, want);
    for (size_t b = 0; b < 3; b++)
        for (size_t p = 0; p < sizeof places / sizeof *places; p++) {
            float *weight = of_token(&s, places[p]), kept = *weight;
            *weight = bad[b];
            decode(&s, 1 + (int32_t)p, 7, NULL, true, got);
            for (int i = 0; i < N_ROWS; i++) assert_int_equal(got[i], -1);
            *weight = kept;
        }
    decode(&s, 2, 7, NULL, true, got);
    expect_ids(want, got, "healed", 2);
    /* a row of its own */
    ((float *)(uintptr_t)s.model->weights.wpe)[(N_TOKENS - 1) * s.model->weights.config.n_embd] = NAN;
    decode(&s, 3, 7, NULL, true, got);
    for (int i = 0; i < N_ROWS; i++) assert_int_equal(got[i], i % N_TOKENS == N_TOKENS - 1 ? -1 : want[i]);
    finish(&s);
}

/* ---- through the scheduler ---- */

/* Log-probabilities need the logits: if one request asks for them, the pass writes all of them. */
static void answers_are_those_of_the_logits(void **state)
{
    (void)state;
    enum { N = 12 };
    struct question alike[N] = {{.request = {0}}}, *q = alike;
    struct answer want[N], got[N] = {{.n_ends = 0}};
    memset(want, 0, sizeof want);
    for (int kind = 0; kind < 3; kind++) { /* all with log-probabilities, none, every third */
        struct rng rng = {41};
        struct engine e =
            engine_open((struct settings){.scheme = "i8", .rows = 4, .chunk = 16, .threads = 2});
        for (int i = 0; i < N; i++) {
            ask(&q[i], &rng, 1 + i, 20);
            q[i].request.ignore_eos = true;
            q[i].request.n_logprobs = kind == 0 || (kind == 2 && i % 3 == 0) ? 0 : -1;
            if (i % 4 == 3) q[i].request.sampling.temperature = 1.0f, q[i].request.sampling.top_k = 1;
            q[i].answers = kind ? &got[i] : &want[i];
        }
        memset(got, 0, sizeof got);
        serve(&e, q, N, false);
        if (kind < 2) assert_int_equal(e.ctx->argmax_only, kind == 1);
        engine_close(&e);
        for (int i = 0; i < N && kind; i++) {
            assert_int_equal(got[i].n_ends, 1);
            assert_int_equal(got[i].finish, GPT2Q_FINISH_LENGTH);
            assert_int_equal(got[i].n_ids, 20);
            assert_int_equal(want[i].n_ids, 20);
            assert_memory_equal(got[i].ids, want[i].ids, sizeof want[i].ids);
            if (q[i].request.n_logprobs < 0) continue;
            assert_int_equal(got[i].n_positions, want[i].n_positions);
            assert_memory_equal(got[i].logprobs, want[i].logprobs, sizeof want[i].logprobs);
        }
    }
}

static void keep_end(void *user, uint64_t request, int32_t sample, const gpt2q_result *r)
{
    (void)sample;
    struct answer *a = (struct answer *)user + request - 1;
    a->n_ends++;
    a->finish = r->finish;
    a->n_ids = r->n_ids;
    if (r->finish == GPT2Q_FINISH_ERROR) assert_int_equal(r->error.status, GPT2Q_NON_FINITE);
}

/* Beside a request that continues. */
static void a_request_fails_where_its_logits_are_not_finite(void **state)
{
    (void)state;
    struct subject s = synthesize("f32", NULL, VOCABULARY);
    gpt2q_error err;
    gpt2q_context *ctx;
    gpt2q_scheduler *scheduler;
    gpt2q_context_params p = gpt2q_context_params_default();
    struct answer answers[2] = {{.n_ends = 0}};
    static const int32_t ids[] = {5, 6, 7};
    ((float *)(uintptr_t)s.model->weights.wpe)[6 * s.model->weights.config.n_embd] = NAN;
    p.n_seq_max = 2;
    assert_int_equal(gpt2q_context_create(s.model, &p, &ctx, &err), GPT2Q_OK);
    gpt2q_scheduler_params sp = gpt2q_scheduler_params_default();
    sp.n_rows = 2;
    assert_int_equal(gpt2q_scheduler_create(ctx, &sp, &scheduler, &err), GPT2Q_OK);
    for (int i = 0; i < 2; i++) { /* at positions up to 3 + 8 - 2, and up to 1 + 4 - 2 */
        gpt2q_request r = gpt2q_request_default();
        r.ids = ids;
        r.n_ids = i ? 1 : 3;
        r.max_tokens = i ? 4 : 8;
        r.ignore_eos = true;
        r.on_end = keep_end;
        r.user = answers;
        assert_int_equal(gpt2q_scheduler_submit(scheduler, &r, NULL, &err), GPT2Q_OK);
    }
    for (bool busy = true; busy;) assert_int_equal(gpt2q_scheduler_step(scheduler, &busy, &err), GPT2Q_OK);
    assert_int_equal(answers[0].finish, GPT2Q_FINISH_ERROR);
    assert_int_equal(answers[0].n_ids, 4); /* of positions 2 to 5 */
    assert_int_equal(answers[1].finish, GPT2Q_FINISH_LENGTH);
    assert_int_equal(answers[1].n_ids, 4);
    gpt2q_scheduler_free(scheduler);
    gpt2q_context_free(ctx);
    finish(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_that_of_the_logits),
        cmocka_unit_test(of_several_blocks_of_rows),
        cmocka_unit_test(ties_go_to_the_lowest_id),
        cmocka_unit_test(what_is_not_finite_has_none),
        cmocka_unit_test(answers_are_those_of_the_logits),
        cmocka_unit_test(a_request_fails_where_its_logits_are_not_finite),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
