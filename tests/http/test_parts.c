/* Parts of the server by themselves: when to come back, histograms, keys, origins. */
#include "base/clock.h"
#include "base/task.h"
#include "serve/call_parts.h"
#include "serve/guard.h"
#include "tests/support.h"
#include <math.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

static void retry_after_is_honest(void **state)
{
    (void)state;
    static const struct {
        int64_t tokens;
        double rate;
        int seconds;
    } cases[] = {{0, 100, 1},     {50, 100, 1},       {100, 100, 1}, {101, 100, 2},
                 {1000, 100, 10}, {1000000, 100, 60}, {5, 0, 2}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(retry_after(cases[i].tokens, cases[i].rate), cases[i].seconds);
}

static void rates_are_of_ten_seconds(void **state)
{
    (void)state;
    static struct lane lane;
    for (size_t i = 0; i < 11; i++) lane.rate_at[i] = 100 + (double)i, lane.rate_tokens[i] = 1000 + 50 * i;
    lane.n_rates = 0;
    assert_true(lane_rate(&lane) == 0);
    lane.n_rates = 2;
    assert_true(fabs(lane_rate(&lane) - 50) < 1e-9);
    lane.n_rates = 11;
    assert_true(fabs(lane_rate(&lane) - 50) < 1e-9);
}

static void histograms_count_by_bounds(void **state)
{
    (void)state;
    struct histogram h = {0};
    size_t n;
    const double *bounds = histogram_bounds(HISTOGRAM_ROWS, &n);
    assert_int_equal(n, 8);
    assert_true(bounds[7] == 128);
    histogram_bounds(HISTOGRAM_SECONDS, &n);
    assert_int_equal(n, 15);
    assert_true(n < HISTOGRAM_BUCKETS);
    histogram_add(&h, HISTOGRAM_ROWS, 1);
    histogram_add(&h, HISTOGRAM_ROWS, 2);
    histogram_add(&h, HISTOGRAM_ROWS, 3);
    histogram_add(&h, HISTOGRAM_ROWS, 1000);
    assert_int_equal(h.counts[0], 1);
    assert_int_equal(h.counts[1], 1);
    assert_int_equal(h.counts[2], 1);
    assert_int_equal(h.counts[8], 1);
    assert_int_equal(h.n, 4);
    assert_true(h.sum == 1006);
}

static void keys_are_compared_whole(void **state)
{
    (void)state;
    struct serve_options o = {.api_key = "abc"};
    struct guard g;
    gpt2q_error err;
    assert_int_equal(guard_open(&g, &o, &err), GPT2Q_OK);
    assert_true(guard_key_is_good(&g, "Bearer abc", NULL));
    assert_true(guard_key_is_good(&g, NULL, "abc"));
    static const char *const bad[] = {
        "Bearer ab", "Bearer abcd", "Bearer abcabc", "Bearer ", "abc", "Bearer Abc", ""};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) assert_false(guard_key_is_good(&g, bad[i], NULL));
    assert_false(guard_key_is_good(&g, NULL, NULL));
    char *large = malloc(65536 + 4); /* as long as a key, modulo 2^16 */
    memset(large, 'a', 65536 + 3);
    large[65536 + 3] = 0;
    assert_false(guard_key_is_good(&g, NULL, large));
    free(large);
    guard_close(&g);
    o.api_key = NULL;
    assert_int_equal(guard_open(&g, &o, &err), GPT2Q_OK);
    assert_true(guard_key_is_good(&g, NULL, NULL));
}

static void origins_and_hosts(void **state)
{
    (void)state;
    static const char *const cors[] = {"https://a.example"}, *const hosts[] = {"gpt.example"};
    const struct serve_options o = {
        .host = "127.0.0.1", .cors = cors, .n_cors = 1, .allowed_hosts = hosts, .n_allowed_hosts = 1};
    const struct guard g = {.options = &o, .loopback_only = true};
    static const struct {
        const char *origin, *host;
        enum guard_verdict verdict;
        bool cors;
    } cases[] = {{NULL, "evil.example", GUARD_OK, false},
                 {"http://localhost:8080", "localhost:8080", GUARD_OK, false},
                 {"http://127.0.0.1:8080", "127.0.0.1:8080", GUARD_OK, false},
                 {"http://[::1]:8080", "[::1]:8080", GUARD_OK, false},
                 {"http://localhost:8080", "localhost:8081", GUARD_ORIGIN, false},
                 {"http://evil.example", "127.0.0.1:8080", GUARD_ORIGIN, false},
                 {"http://evil.example:8080", "evil.example:8080", GUARD_HOST, false},
                 {"http://127.evil.example", "127.evil.example", GUARD_HOST, false},
                 {"http://gpt.example", "gpt.example", GUARD_OK, false},
                 {"https://a.example", "localhost:8080", GUARD_OK, true},
                 {"https://a.example.evil", "localhost:8080", GUARD_ORIGIN, false},
                 {"null", "localhost:8080", GUARD_ORIGIN, false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *allowed;
        if (guard_origin(&g, cases[i].origin, cases[i].host, &allowed) != cases[i].verdict)
            fail_msg("%s at %s", cases[i].origin, cases[i].host);
        assert_int_equal(allowed != NULL, cases[i].cors);
    }
}

static void write_text(const char *root, const char *path, const char *text)
{
    char command[512];
    snprintf(command, sizeof command, "mkdir -p $(dirname %s/%s) && printf '%s' >%s/%s", root, path, text,
             root, path);
    assert_int_equal(system(command), 0);
}

/* The least of a group and those around it; what does not fit is refused with the numbers. */
static void memory_is_planned(void **state)
{
    (void)state;
    char root[TEMP_PATH], command[TEMP_PATH + 16];
    gpt2q_error err;
    close(temp_file(root));
    unlink(root);
    write_text(root, "proc/self/cgroup", "0::/a/b\\n");
    uint64_t machine = memory_allowed(root);
    write_text(root, "sys/fs/cgroup/a/b/memory.max", "max\\n");
    assert_true(memory_allowed(root) == machine);
    write_text(root, "sys/fs/cgroup/a/memory.max", "100000000\\n");
    assert_int_equal(memory_allowed(root), 100000000);
    write_text(root, "sys/fs/cgroup/memory.max", "60000000\\n");
    assert_int_equal(memory_allowed(root), 60000000);
    snprintf(command, sizeof command, "rm -r %s", root);
    assert_int_equal(system(command), 0);

    struct memory_plan plan = {.weights = 30000000, .cache = 20000000, .connections = 10000000};
    assert_int_equal(memory_plan_check(&plan, 60000000, &err), GPT2Q_OK);
    assert_int_equal(memory_plan_check(&plan, 59000000, &err), GPT2Q_OUT_OF_MEMORY);
    assert_non_null(strstr(
        err.message, "weights of 30 MB, caches of 20 MB and connections of 10 MB do not fit the 59 MB"));
}

/* The engine waits for a thread that has not taken what it was told, but not long; otherwise it does not wait, and tells once. */
static void who_tells_gives_way(void **state)
{
    (void)state;
    struct news n;
    struct call call = {.in_news = true};
    eventfd_t told = 0;
    assert_true(news_open(&n));
    n.first = &call;
    news_tell(&n);
    assert_true(n.told);
    double began = clock_seconds();
    news_tell(&n);
    double waited = clock_seconds() - began;
    assert_true(waited >= NEWS_PATIENCE_S * 0.9 && waited < 2);
    assert_int_equal(eventfd_read(n.event, &told), 0);
    assert_int_equal(told, 1);
    assert_ptr_equal(news_take(&n), &call);
    assert_false(n.told);
    news_tell(&n);
    assert_int_equal(eventfd_read(n.event, &told), -1); /* nothing new */
    news_close(&n);
}

/* In ns, of the calling thread; 0 where the kernel has no slices to ask for. */
static uint64_t slice(void)
{
    uint64_t attr[6] = {0};
    return syscall(SYS_sched_getattr, 0, attr, (unsigned)sizeof attr, 0u) ? 0 : attr[3];
}

static void *soon(void *arg)
{
    uint64_t *slices = arg;
    slices[0] = slice();
    task_runs_soon();
    slices[1] = slice();
    return NULL;
}

static void slices_become_short(void **state)
{
    (void)state;
    uint64_t slices[2], before = slice();
    pthread_t task;
    assert_true(task_start(&task, soon, slices));
    task_join(task);
    assert_int_equal(slice(), before); /* of that thread alone */
    if (!slices[0]) skip();
    assert_int_equal(slices[1], 100000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_tells_gives_way),      cmocka_unit_test(slices_become_short),
        cmocka_unit_test(memory_is_planned),        cmocka_unit_test(retry_after_is_honest),
        cmocka_unit_test(rates_are_of_ten_seconds), cmocka_unit_test(histograms_count_by_bounds),
        cmocka_unit_test(keys_are_compared_whole),  cmocka_unit_test(origins_and_hosts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
