/* Where the time of a step goes. The parts of a forward pass are timed by the pass itself. Decoding runs
 * through the scheduler, as in `generate` and `batch`. There the choice of tokens is timed, too, and the
 * rest is the scheduler's. */
#include "app/bench/bench.h"
#include "base/clock.h"
#include "base/memory.h"
#include "engine/context.h"

static void fill(struct bench_profile *to, const struct forward_profile *from, int n_steps, double wall)
{
    to->n_steps = n_steps;
    to->step_s = wall / n_steps;
    to->sampling_s = from->sampling / n_steps;
    for (int i = 0; i < PART_COUNT; i++) to->parts_s[i] = from->seconds[i] / n_steps;
}

static gpt2q_status profile_prefill(struct bench_session *s, const struct bench_plan *plan,
                                    struct bench_test *t, gpt2q_error *err)
{
    struct forward_profile parts = {.mark = 0};
    double rate;
    context_profile(s->ctx, &parts);
    gpt2q_status status = session_run(s, plan, t, &rate, err);
    context_profile(s->ctx, NULL);
    if (!status) fill(&t->profile, &parts, 1, t->tokens / rate);
    return status;
}

static void ignore_end(void *user, uint64_t request, int32_t sample, const gpt2q_result *result)
{
    (void)user, (void)request, (void)sample, (void)result;
}

/* Submits as many equal requests as the test has sequences. Their prompts fill the cache. */
static gpt2q_status submit_all(const struct bench_session *session, gpt2q_scheduler *scheduler,
                               const struct bench_test *t, gpt2q_error *err)
{
    int32_t n = t->position > 0 ? t->position : 1;
    int32_t *ids = mem_zarray((size_t)n, sizeof *ids);
    if (!ids) return error_memory(err, "a prompt", (size_t)n * sizeof *ids);
    gpt2q_request request = gpt2q_request_default();
    request.ids = ids;
    request.n_ids = (size_t)n;
    request.max_tokens = t->tokens + session->spare;
    request.ignore_eos = true;
    request.on_end = ignore_end;
    gpt2q_status s = GPT2Q_OK;
    for (int32_t i = 0; i < t->batch && !s; i++) s = gpt2q_scheduler_submit(scheduler, &request, NULL, err);
    mem_free(ids);
    return s;
}

/* Counts steps in which every sequence decodes. Steps with prompts in them do not count. */
static gpt2q_status time_steps(struct bench_session *s, gpt2q_scheduler *scheduler, struct bench_test *t,
                               gpt2q_error *err)
{
    struct forward_profile parts = {.mark = 0};
    double wall = 0;
    int n_steps = 0;
    bool busy = true;
    context_profile(s->ctx, &parts);
    gpt2q_status status = GPT2Q_OK;
    while (busy && !status) {
        struct forward_profile before = parts;
        uint64_t rows = gpt2q_scheduler_get_stats(scheduler).rows;
        double start = clock_seconds();
        status = gpt2q_scheduler_step(scheduler, &busy, err);
        double seconds = clock_seconds() - start;
        if (gpt2q_scheduler_get_stats(scheduler).rows - rows == (uint64_t)t->batch)
            n_steps++, wall += seconds;
        else
            parts = before;
    }
    context_profile(s->ctx, NULL);
    if (!status && n_steps) fill(&t->profile, &parts, n_steps, wall);
    return status;
}

static gpt2q_status profile_decode(struct bench_session *s, struct bench_test *t, gpt2q_error *err)
{
    gpt2q_scheduler *scheduler;
    gpt2q_scheduler_params p = gpt2q_scheduler_params_default();
    p.n_rows = p.n_queue = t->batch;
    p.no_prefix_sharing = true;
    for (int32_t i = 0; i < s->n_filled; i++) gpt2q_context_truncate(s->ctx, i, 0);
    s->n_filled = 0;
    gpt2q_status status = gpt2q_scheduler_create(s->ctx, &p, &scheduler, err);
    if (!status) status = submit_all(s, scheduler, t, err);
    if (!status) status = time_steps(s, scheduler, t, err);
    gpt2q_scheduler_free(scheduler);
    return status;
}

gpt2q_status session_profile(struct bench_session *s, const struct bench_plan *plan, struct bench_test *t,
                             gpt2q_error *err)
{
    return t->kind == TEST_PREFILL ? profile_prefill(s, plan, t, err) : profile_decode(s, t, err);
}
