/* What a server needs of the scheduler: requests that are taken as one, prompts that end between two chunks, and
 * gpt2q_scheduler_get_load while another thread steps: counts only grow, and what is in use never is more than there is. The thread
 * sanitizer sees whether the two meet. */
#include "tests/serving.h"
#include <pthread.h>
#include <stdatomic.h>

#define N 120

struct watcher {
    gpt2q_scheduler *scheduler;
    atomic_bool stop;
    const char *wrong; /* NULL: nothing */
    uint64_t looks, busy;
};

static const char *compare(const gpt2q_scheduler_load *before, const gpt2q_scheduler_load *now)
{
    if (now->stats.steps < before->stats.steps || now->stats.requests < before->stats.requests ||
        now->stats.completion_tokens < before->stats.completion_tokens ||
        now->stats.prompt_tokens < before->stats.prompt_tokens)
        return "a count has fallen";
    if (now->running < 0 || now->running > 4) return "more rows run than there are";
    if (now->waiting < 0 || now->waiting > 16) return "more wait than may";
    if (now->cache_used < 0 || now->cache_used > now->cache_positions)
        return "more of the cache is used than there is";
    return NULL;
}

static void *watch(void *arg)
{
    struct watcher *w = arg;
    gpt2q_scheduler_load before = gpt2q_scheduler_get_load(w->scheduler);
    while (!atomic_load(&w->stop) && !w->wrong) {
        gpt2q_scheduler_load now = gpt2q_scheduler_get_load(w->scheduler);
        w->wrong = compare(&before, &now);
        w->looks++;
        w->busy += now.running > 0;
        before = now;
    }
    return NULL;
}

static void others_may_look(void **state)
{
    (void)state;
    struct settings set = {.scheme = "i8", .rows = 4, .keep = true};
    struct question *all = make_questions(N, 5, 24, 20), *want = make_questions(N, 5, 24, 20);
    struct engine e = engine_open(set);
    struct watcher w = {.scheduler = e.scheduler};
    pthread_t thread;
    answer_alone(want, N, set);
    assert_int_equal(pthread_create(&thread, NULL, watch, &w), 0);
    serve(&e, all, N, false);
    atomic_store(&w.stop, true);
    pthread_join(thread, NULL);
    if (w.wrong) fail_msg("%s", w.wrong);
    assert_true(w.looks > 0 && w.busy > 0);
    expect_same(want, all, N, "watched");
    gpt2q_scheduler_load load = gpt2q_scheduler_get_load(e.scheduler);
    assert_int_equal(load.running, 0);
    assert_int_equal(load.waiting, 0);
    assert_int_equal(load.cache_used, 0);
    assert_int_equal(load.stats.requests, N);
    engine_close(&e);
    free_questions(all, N), free_questions(want, N);
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
    const struct CMUnitTest tests[] = {cmocka_unit_test(others_may_look),
                                       cmocka_unit_test(several_are_taken_as_one),
                                       cmocka_unit_test(a_prompt_is_cancelled_between_chunks)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
