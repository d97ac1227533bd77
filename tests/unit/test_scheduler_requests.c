/* What the scheduler takes and lets go of: requests that can never run, several that are taken all or none, and
 * requests that are cancelled where they wait, amid their prompt and while they decode. */
#include "tests/serving.h"

static void refuses_what_can_never_run(void **state)
{
    (void)state;
    struct rng rng = {71};
    gpt2q_error err;
    struct engine e = engine_open((struct settings){.scheme = "f32", .rows = 2, .n_cache = 48});
    struct question q = {.request = {0}};
    struct answer a = {.n_ends = 0};
    ask(&q, &rng, 30, 18);
    q.answers = &a;
    assert_int_equal(gpt2q_scheduler_submit(e.scheduler, &q.request, NULL, &err), GPT2Q_OK);
    q.request.max_tokens = 19;
    assert_int_equal(gpt2q_scheduler_submit(e.scheduler, &q.request, NULL, &err), GPT2Q_INVALID_ARGUMENT);
    assert_string_equal(err.message, "prompt and completion need 49 positions but the cache has only 48");
    q.request.max_tokens = 1;
    for (int i = 1; i < 16; i++)
        assert_int_equal(gpt2q_scheduler_submit(e.scheduler, &q.request, NULL, &err), GPT2Q_OK);
    assert_int_equal(gpt2q_scheduler_submit(e.scheduler, &q.request, NULL, &err), GPT2Q_QUEUE_FULL);
    serve(&e, &q, 0, false);
    assert_int_equal(a.n_ends, 16);
    engine_close(&e);
}

static void several_are_taken_as_one(void **state)
{
    (void)state;
    enum { QUEUE = 16 };
    struct rng rng = {91};
    gpt2q_error err;
    struct engine e = engine_open((struct settings){.scheme = "f32", .rows = 2});
    struct question q[QUEUE + 1] = {{.request = {0}}};
    struct answer a[QUEUE + 1] = {{.n_ends = 0}};
    gpt2q_request all[QUEUE + 1];
    uint64_t ids[QUEUE + 1];
    size_t failed = 0;
    for (int i = 0; i <= QUEUE; i++) {
        ask(&q[i], &rng, 5, 2);
        q[i].answers = &a[i];
        all[i] = q[i].request;
        all[i].user = &q[i];
    }
    assert_int_equal(gpt2q_scheduler_submit_all(e.scheduler, all, QUEUE + 1, ids, &failed, &err),
                     GPT2Q_QUEUE_FULL);
    assert_int_equal(failed, QUEUE + 1);
    q[3].prompt[4] = VOCAB;
    assert_int_equal(gpt2q_scheduler_submit_all(e.scheduler, all, QUEUE, ids, &failed, &err),
                     GPT2Q_INVALID_ARGUMENT);
    assert_int_equal(failed, 3);
    assert_int_equal(gpt2q_scheduler_submit_all(e.scheduler, all, QUEUE, NULL, NULL, NULL),
                     GPT2Q_INVALID_ARGUMENT);
    assert_int_equal(gpt2q_scheduler_get_load(e.scheduler).waiting, 0);
    q[3].prompt[4] = 0;
    assert_int_equal(gpt2q_scheduler_submit_all(e.scheduler, all, QUEUE, ids, NULL, &err), GPT2Q_OK);
    assert_int_equal(gpt2q_scheduler_get_load(e.scheduler).waiting, QUEUE);
    assert_int_equal(gpt2q_scheduler_get_load(e.scheduler).waiting_tokens, 5 * QUEUE);
    serve(&e, q, 0, false);
    for (int i = 0; i < QUEUE; i++) {
        assert_int_equal(ids[i], ids[0] + (uint64_t)i);
        assert_int_equal(a[i].n_ends, 1);
    }
    assert_int_equal(a[QUEUE].n_ends, 0);
    engine_close(&e);
}

static void cancels_where_it_waits_and_where_it_runs(void **state)
{
    (void)state;
    struct rng rng = {81};
    gpt2q_error err;
    struct engine e = engine_open((struct settings){.scheme = "f32", .rows = 1});
    struct question q[3] = {{.request = {0}}};
    struct answer a[3][3] = {{{.n_ends = 0}}};
    uint64_t id[3];
    bool busy;
    for (int i = 0; i < 3; i++) {
        ask(&q[i], &rng, 5, 20);
        q[i].request.n_samples = 3;
        q[i].request.ignore_eos = true;
        q[i].answers = a[i];
        assert_int_equal(gpt2q_scheduler_submit(e.scheduler, &q[i].request, &id[i], &err), GPT2Q_OK);
    }
    for (int i = 0; i < 4; i++) assert_int_equal(gpt2q_scheduler_step(e.scheduler, &busy, &err), GPT2Q_OK);
    assert_true(gpt2q_scheduler_cancel(e.scheduler, id[0])); /* a sample runs, two wait */
    assert_true(gpt2q_scheduler_cancel(e.scheduler, id[1])); /* all wait */
    assert_false(gpt2q_scheduler_cancel(e.scheduler, id[2] + 1));
    assert_int_equal(gpt2q_scheduler_step(e.scheduler, &busy, &err), GPT2Q_OK);
    for (int i = 0; i < 2; i++)
        for (int j = 0; j < 3; j++) {
            assert_int_equal(a[i][j].n_ends, 1);
            assert_int_equal(a[i][j].finish, GPT2Q_FINISH_CANCELLED);
        }
    assert_int_equal(a[0][0].n_ids, 4);
    assert_false(gpt2q_scheduler_cancel(e.scheduler, id[0]));
    while (busy) assert_int_equal(gpt2q_scheduler_step(e.scheduler, &busy, &err), GPT2Q_OK);
    for (int j = 0; j < 3; j++) assert_int_equal(a[2][j].n_ids, 20);
    engine_close(&e);
}

static void a_prompt_is_cancelled_between_chunks(void **state)
{
    (void)state;
    struct rng rng = {93};
    gpt2q_error err;
    struct engine e = engine_open((struct settings){.scheme = "f32", .rows = 2, .chunk = 8});
    struct question q = {.request = {0}};
    struct answer a = {.n_ends = 0};
    uint64_t id;
    bool busy;
    ask(&q, &rng, 40, 2);
    q.answers = &a;
    assert_int_equal(gpt2q_scheduler_submit(e.scheduler, &q.request, &id, &err), GPT2Q_OK);
    for (int i = 0; i < 2; i++) assert_int_equal(gpt2q_scheduler_step(e.scheduler, &busy, &err), GPT2Q_OK);
    assert_int_equal(gpt2q_scheduler_get_load(e.scheduler).running, 1);
    assert_true(gpt2q_scheduler_cancel(e.scheduler, id));
    assert_int_equal(gpt2q_scheduler_step(e.scheduler, &busy, &err), GPT2Q_OK);
    assert_false(busy);
    assert_int_equal(a.n_ends, 1);
    assert_int_equal(a.finish, GPT2Q_FINISH_CANCELLED);
    assert_int_equal(a.n_ids, 0);
    gpt2q_scheduler_load load = gpt2q_scheduler_get_load(e.scheduler);
    assert_int_equal(load.running, 0);
    assert_int_equal(load.cache_used, 0);
    assert_int_equal(load.stats.wasted_tokens, 16); /* two chunks */
    engine_close(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(refuses_what_can_never_run),
                                       cmocka_unit_test(several_are_taken_as_one),
                                       cmocka_unit_test(cancels_where_it_waits_and_where_it_runs),
                                       cmocka_unit_test(a_prompt_is_cancelled_between_chunks)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
