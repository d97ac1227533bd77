/* A lane whose pass fails: its requests end with 500, or with an error event; then it has a new context, and answers as before. The
 * program is linked with --wrap, so that a pass fails when the test says so. */
#include "serve/server.h"
#include "tests/http_client.h"
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

gpt2q_status __real_gpt2q_scheduler_step(gpt2q_scheduler *s, bool *busy, gpt2q_error *err);
gpt2q_status __wrap_gpt2q_scheduler_step(gpt2q_scheduler *s, bool *busy, gpt2q_error *err);

static volatile int *failures; /* passes that are to fail; shared with the server */

gpt2q_status __wrap_gpt2q_scheduler_step(gpt2q_scheduler *s, bool *busy, gpt2q_error *err)
{
    if (*failures == 0) return __real_gpt2q_scheduler_step(s, busy, err);
    if (gpt2q_scheduler_get_load(s).running == 0) return __real_gpt2q_scheduler_step(s, busy, err);
    --*failures;
    return error_set(err, GPT2Q_IO, "the test wants this pass to fail");
}

static void run_server(const struct served *s)
{
    char port_file[TEMP_PATH + 8];
    snprintf(port_file, sizeof port_file, "%s/port", s->directory);
    struct serve_options options = SERVE_OPTIONS_DEFAULT;
    options.lanes[0].path = repo_path("models/tales-7m");
    options.n_lanes = 1;
    options.threads = 1;
    options.port = "0";
    options.port_file = port_file;
    options.rows = 4;
    options.max_tokens = INT32_MAX;
    options.log = "stderr";
    options.log_format = "text";
    options.log_level = "error";
    options.ready_when_full = true;
    options.quiet = true;
    _exit(serve_run(&options));
}

static struct served start_here(void)
{
    struct served s = {0};
    served_directory(&s);
    s.pid = fork();
    if (s.pid == 0) run_server(&s);
    served_await(&s, "in this process");
    return s;
}

#define ASK                                                                                                  \
    "{\"prompt\":\"Once upon a time\",\"max_tokens\":200,\"ignore_eos\":true,\"seed\":1,\"temperature\":1"

static void a_failed_pass_costs_its_requests_alone(void **state)
{
    (void)state;
    failures = mmap(NULL, sizeof *failures, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct served s = start_here();
    struct answer before = http_post(&s, "/v1/completions", ASK "}");
    assert_int_equal(before.status, 200);
    for (int round = 0; round < 3; round++) {
        *failures = 1;
        struct answer a =
            http_post(&s, "/v1/completions", round % 2 ? ASK ",\"stream\":true}" : ASK ",\"n\":6}");
        assert_int_equal(a.status, round % 2 ? 200 : 500);
        assert_non_null(strstr(a.body, "\"code\":\"internal\""));
        assert_non_null(strstr(a.body, "the test wants this pass to fail"));
        assert_null(strstr(a.body, "[DONE]"));
        answer_free(&a);
        struct answer after = http_post(&s, "/v1/completions", ASK "}");
        assert_int_equal(after.status, 200);
        const char *x = strstr(before.body, "\"choices\""), *y = strstr(after.body, "\"choices\"");
        assert_memory_equal(x, y, (size_t)(strstr(x, ",\"usage\"") - x));
        answer_free(&after);
    }
    /* what was counted before a renewal is still counted */
    assert_true(served_metric(&s, "gpt2q_completion_tokens_total{model=\"tales-7m\"}") >= 4 * 200);
    assert_true(served_metric_becomes(&s, "gpt2q_kv_cache_used_positions{model=\"tales-7m\"}", 0, 5));
    assert_int_equal(served_stop(&s, SIGTERM), 0);
    answer_free(&before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_failed_pass_costs_its_requests_alone)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
