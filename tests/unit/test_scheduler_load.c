/* gpt2q_scheduler_get_load while another thread steps: counts only grow, and what is in use never is more than there is. The thread
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

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(others_may_look)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
