/* No allocation per token; every failed allocation is an error, not a crash. */
#include "tests/golden/golden.h"
#include "base/memory.h"

static const char *const tiny = "tests/golden/data/tiny-relu";

static void decoding_allocates_nothing(void **state)
{
    (void)state;
    static const char *const schemes[] = {"f32", "i8"};
    for (size_t s = 0; s < 2; s++) {
        struct runner r =
            runner_open(repo_path(tiny), (struct run_settings){.scheme = schemes[s], .n_threads = 2});
        int32_t id = 5;
        runner_decode(&r, &id, 1, 0, 0, false);
        uint64_t before = mem_count();
        for (int32_t i = 1; i < 40; i++) runner_decode(&r, &id, 1, i, 0, false);
        assert_int_equal(mem_count(), before);
        runner_close(&r);
    }
}

struct counted {
    uint64_t at_first_token, at_last_token;
    int tokens;
};

static void on_text(void *user, uint64_t request, int32_t sample, const char *text, size_t len)
{
    (void)request, (void)sample, (void)text, (void)len;
    struct counted *c = user;
    if (!c->tokens++) c->at_first_token = mem_count();
    c->at_last_token = mem_count();
}

static void scheduling_allocates_nothing_per_token(void **state)
{
    (void)state;
    gpt2q_error err;
    gpt2q_model *model;
    gpt2q_context *ctx;
    gpt2q_scheduler *scheduler;
    struct counted counted = {0};
    if (gpt2q_model_open(repo_path("models/tales-7m"), NULL, &model, &err)) fail_msg("%s", err.message);
    gpt2q_context_params cp = gpt2q_context_params_default();
    cp.n_outputs = 9;
    if (gpt2q_context_create(model, &cp, &ctx, &err)) fail_msg("%s", err.message);
    gpt2q_scheduler_params sp = gpt2q_scheduler_params_default();
    sp.n_rows = 1;
    if (gpt2q_scheduler_create(ctx, &sp, &scheduler, &err)) fail_msg("%s", err.message);
    gpt2q_request request = gpt2q_request_default();
    request.prompt = "Once upon a time, a cat. Once upon a time, a dog. Once upon a time, a";
    request.prompt_len = strlen(request.prompt);
    request.speculate = 8;
    request.sampling.temperature = 1.0f;
    request.sampling.repetition_penalty = 1.2f;
    request.sampling.top_p = 0.9;
    request.n_logprobs = 3;
    request.ignore_eos = true;
    request.on_text = on_text;
    request.user = &counted;
    if (gpt2q_scheduler_submit(scheduler, &request, NULL, &err)) fail_msg("%s", err.message);
    for (bool busy = true; busy;)
        if (gpt2q_scheduler_step(scheduler, &busy, &err)) fail_msg("%s", err.message);
    assert_in_range(counted.tokens, 30, 64);
    assert_int_equal(counted.at_first_token, counted.at_last_token);
    assert_true(gpt2q_scheduler_get_stats(scheduler).proposed_tokens > 0);
    gpt2q_scheduler_free(scheduler);
    gpt2q_context_free(ctx);
    gpt2q_model_close(model);
}

static gpt2q_status run_once(const char *directory, gpt2q_error *err)
{
    gpt2q_model *model = NULL;
    gpt2q_context *ctx = NULL;
    gpt2q_batch *batch = NULL;
    gpt2q_scheduler *scheduler = NULL;
    gpt2q_model_params mp = gpt2q_model_params_default();
    mp.scheme = "i8";
    mp.n_threads = 1;
    mp.weights_only = true;
    gpt2q_context_params cp = gpt2q_context_params_default();
    cp.n_threads = 1;
    gpt2q_scheduler_params sp = gpt2q_scheduler_params_default();
    sp.n_rows = 1;
    gpt2q_status s = gpt2q_model_open(directory, &mp, &model, err);
    if (!s) s = gpt2q_context_create(model, &cp, &ctx, err);
    if (!s) s = gpt2q_batch_create(16, &batch, err);
    if (!s) {
        gpt2q_batch_add(batch, 1, 0, 0, true);
        s = gpt2q_decode(ctx, batch, err);
        gpt2q_context_truncate(ctx, 0, 0);
    }
    if (!s) s = gpt2q_scheduler_create(ctx, &sp, &scheduler, err);
    if (!s) {
        int32_t ids[] = {1, 2, 3};
        gpt2q_request request = gpt2q_request_default();
        request.ids = ids;
        request.n_ids = 3;
        request.max_tokens = 2;
        request.n_logprobs = 1;
        s = gpt2q_scheduler_submit(scheduler, &request, NULL, err);
        for (bool busy = true; busy && !s;) s = gpt2q_scheduler_step(scheduler, &busy, err);
    }
    gpt2q_scheduler_free(scheduler);
    gpt2q_batch_free(batch);
    gpt2q_context_free(ctx);
    gpt2q_model_close(model);
    return s;
}

/* The n-th allocation fails, for every n: the sentence says memory is out. (The leak check is the
 * sanitizer build's.) */
static void every_allocation_fails_once(void **state)
{
    (void)state;
    char directory[512];
    snprintf(directory, sizeof directory, "%s", repo_path(tiny));
    gpt2q_error err;
    assert_int_equal(run_once(directory, &err), GPT2Q_OK);
    uint64_t before = mem_count();
    assert_int_equal(run_once(directory, &err), GPT2Q_OK);
    int64_t n = (int64_t)(mem_count() - before);
    int failures = 0;
    for (int64_t i = 0; i < n; i++) {
        memset(&err, 0, sizeof err);
        mem_fail_after(i);
        gpt2q_status s = run_once(directory, &err);
        mem_fail_after(-1);
        if (s == GPT2Q_OK)
            continue; /* what failed was optional: a vocabulary, or one request's log-probabilities */
        failures++;
        if (s != GPT2Q_OUT_OF_MEMORY || !strstr(err.message, "memory"))
            fail_msg("allocation %d of %d: status %d, '%s'", (int)i, (int)n, s, err.message);
    }
    assert_true(failures > n / 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decoding_allocates_nothing),
        cmocka_unit_test(scheduling_allocates_nothing_per_token),
        cmocka_unit_test(every_allocation_fails_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
