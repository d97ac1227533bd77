/* Nothing lost, nothing stuck: clients that leave, full queues, slow readers, deadlines, draining. */
#include "tests/http_client.h"
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#define RUNNING "gpt2q_requests_running{model=\"tales-7m\"}"
#define WAITING "gpt2q_requests_waiting{model=\"tales-7m\"}"
#define USED    "gpt2q_kv_cache_used_positions{model=\"tales-7m\"}"
#define LONG    "{\"prompt\":\"Once\",\"max_tokens\":500,\"ignore_eos\":true"

static void send_request(int fd, const char *body)
{
    char head[200];
    int n = snprintf(head, sizeof head,
                     "POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Type: "
                     "application/json\r\nContent-Length: %zu\r\n\r\n",
                     strlen(body));
    client_send(fd, head, (size_t)n);
    client_send(fd, body, strlen(body));
}

static bool is_idle(const struct served *s)
{
    return served_metric_becomes(s, RUNNING, 0, 5) && served_metric_becomes(s, WAITING, 0, 1) &&
           served_metric_becomes(s, USED, 0, 1);
}

/* Trap: the library sees no disconnect of a connection that waits. In decoding, in the queue, in a stream and without. */
static void who_leaves_frees_its_rows(void **state)
{
    (void)state;
    struct served s = served_start("-j 1 -b 2 --log-level error");
    static const char *const bodies[] = {LONG "}", LONG ",\"stream\":true}", LONG ",\"n\":6}",
                                         LONG ",\"n\":6,\"stream\":true,\"logprobs\":2}"};
    struct rng rng = {3};
    char text[4096];
    for (int round = 0; round < 24; round++) {
        int fd = client_open(&s);
        send_request(fd, bodies[round % 4]);
        if (round % 4 & 1) client_read_some(fd, text, sizeof text, 2);
        sleep_s(0.001 * rng_below(&rng, 20));
        if (round % 3 == 0) shutdown(fd, SHUT_WR); /* half closed counts as gone */
        if (round % 3 == 0) client_read_some(fd, text, sizeof text, 0.5);
        close(fd);
    }
    assert_true(is_idle(&s));
    assert_true(served_metric(&s, "gpt2q_cancelled_total{model=\"tales-7m\",reason=\"disconnect\"}") >= 8);
    struct answer a = http_post(&s, "/v1/completions", "{\"prompt\":\"a\",\"max_tokens\":3}");
    assert_int_equal(a.status, 200);
    answer_free(&a);
    assert_int_equal(served_stop(&s, SIGTERM), 0);
}

/* Trap: where the half of a request and its end arrive together, the library waits for the other half. */
static void who_leaves_in_its_headers_is_seen(void **state)
{
    (void)state;
    static const char half[] = "POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Le";
    static const char head[] =
        "POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        "Content-Length: 100\r\n\r\n{\"pro";
    struct served s = served_start("-j 1 --log-level error");
    for (int i = 0; i < 40; i++) {
        int fd = client_open(&s);
        client_send(fd, i % 2 ? half : head, i % 2 ? sizeof half - 1 : sizeof head - 1);
        close(fd);
    }
    assert_true(
        served_metric_becomes(&s, "gpt2q_http_connections", 1, 3)); /* the deadlines are 10 and 30 s */
    static const char get[] = "GET /health HTTP/1.1\r\nHost: x\r\n\r\n";
    int fd = client_open(&s); /* a whole request is answered, though nothing more will come */
    client_send(fd, get, sizeof get - 1);
    shutdown(fd, SHUT_WR);
    struct answer a = client_read(fd, 5, false);
    assert_int_equal(a.status, 200);
    answer_free(&a);
    close(fd);
    assert_int_equal(served_stop(&s, SIGTERM), 0);
}

static void a_full_queue_says_when_to_come_back(void **state)
{
    (void)state;
    struct served s = served_start("-j 1 -b 1 --queue 2 --log-level error");
    int fds[12], good = 0, full = 0;
    for (int i = 0; i < 12; i++) fds[i] = client_open(&s), send_request(fds[i], LONG "}");
    for (int i = 0; i < 12; i++) {
        struct answer a = client_read(fds[i], 60, false);
        if (a.status == 429) {
            full++;
            assert_non_null(strstr(a.body, "\"code\":\"queue_full\""));
            const char *after = answer_header(&a, "Retry-After");
            assert_non_null(after);
            assert_in_range(atoi(after), 1, 60);
            assert_non_null(answer_header(&a, "retry-after-ms"));
        }
        good += a.status == 200;
        answer_free(&a);
        close(fds[i]);
    }
    assert_int_equal(good + full, 12);
    assert_true(good >= 2 && full >= 1);
    struct answer a = http_post(&s, "/v1/completions", "{\"prompt\":[\"a\",\"b\",\"c\"],\"max_tokens\":1}");
    assert_int_equal(a.status,
                     400); /* three at once never fit a queue of two: 429 would say that they may later */
    assert_non_null(strstr(a.body, "prompt has 3 entries where the server's queue holds 2"));
    answer_free(&a);
    assert_true(is_idle(&s));
    assert_int_equal(served_stop(&s, SIGTERM), 0);
}

/* A reader that reads nothing has a bounded buffer and an end; others do not wait for it. */
static void slow_readers_are_cut(void **state)
{
    (void)state;
    struct served s = served_start("-j 1 -b 64 --write-timeout 1 --stream-buffer 4096 --log-level error");
    int small = 2048, fds[2];
    for (int i = 0; i < 2; i++) {
        fds[i] = client_open(&s);
        setsockopt(fds[i], SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
        send_request(fds[i], LONG ",\"n\":16,\"logprobs\":20,\"stream\":true}");
    }
    struct answer a = http_post(&s, "/v1/completions", "{\"prompt\":\"a\",\"max_tokens\":3}");
    assert_int_equal(a.status, 200);
    answer_free(&a);
    double began = now_s();
    while (now_s() - began < 60 && !served_metric_becomes(&s, RUNNING, 0, 0.2)) continue;
    assert_true(is_idle(&s));
    assert_true(served_metric(&s, "gpt2q_cancelled_total{model=\"tales-7m\",reason=\"slow\"}") +
                    served_metric(&s, "gpt2q_cancelled_total{model=\"tales-7m\",reason=\"disconnect\"}") >=
                1);
    for (int i = 0; i < 2; i++) close(fds[i]);
    assert_int_equal(served_stop(&s, SIGTERM), 0);
}

/* Others are answered while a large body is read; who leaves meanwhile leaves nothing. */
static void large_bodies_stall_nobody(void **state)
{
    (void)state;
    struct served s = served_start("-j 1 --log-level error");
    const size_t n_ids = 400000;
    char *body = malloc(2 * n_ids + 64), text[256];
    size_t n = (size_t)sprintf(body, "{\"prompt\":[");
    for (size_t i = 0; i < n_ids; i++) body[n++] = '7', body[n++] = ',';
    strcpy(body + n - 1, "]}");
    int fd = client_open(&s), leaver = client_open(&s);
    send_request(fd, body);
    struct answer a = http_get(&s, "/health/live");
    assert_int_equal(a.status, 200);
    answer_free(&a);
    assert_int_equal(client_read_some(fd, text, sizeof text, 0), -1); /* not yet */
    send_request(leaver, body);
    close(leaver);
    a = client_read(fd, 60, false);
    assert_int_equal(a.status, 400);
    assert_non_null(strstr(a.body, "\"code\":\"context_length_exceeded\""));
    answer_free(&a);
    close(fd);
    fd = client_open(&s);
    send_request(fd, body); /* the server ends while it is read */
    sleep_s(0.02);
    assert_int_equal(served_stop(&s, SIGTERM), 0);
    a = client_read(fd, 1, false);
    assert_true(a.status == 400 || a.status == 503 || a.status == 0);
    answer_free(&a);
    close(fd);
    free(body);
}

static void deadlines_end_what_takes_long(void **state)
{
    (void)state;
    struct served s = served_start("-j 1 -b 1 --deadline 0.05 --log-level error");
    struct answer a = http_post(&s, "/v1/completions", LONG ",\"n\":8}");
    assert_int_equal(a.status, 504);
    assert_string_equal(answer_header(&a, "x-should-retry"), "false");
    answer_free(&a);
    a = http_post(&s, "/v1/completions", LONG ",\"n\":8,\"stream\":true}");
    assert_int_equal(a.status, 200);
    assert_true(a.whole);
    assert_non_null(strstr(a.body, "\"code\":\"deadline_exceeded\""));
    assert_null(strstr(a.body, "[DONE]"));
    answer_free(&a);
    assert_true(is_idle(&s));
    assert_int_equal(served_stop(&s, SIGTERM), 0);
}

/* What was accepted is finished, queued prompts included; new requests are turned away. */
static void draining_loses_no_answer(void **state)
{
    (void)state;
    for (int round = 0; round < 5; round++) {
        struct served s = served_start("-j 1 -b 4 --drain-timeout 120 --log-level error");
        int fds[12], idle = client_open(&s);
        static const char get[] = "GET /health HTTP/1.1\r\nHost: x\r\n\r\n";
        for (int i = 0; i < 12; i++) {
            fds[i] = client_open(&s);
            send_request(fds[i],
                         i % 2 ? "{\"prompt\":\"Once\",\"max_tokens\":60,\"ignore_eos\":true,\"stream\":true}"
                               : "{\"prompt\":\"Once\",\"max_tokens\":60,\"ignore_eos\":true}");
        }
        client_send(idle, get, sizeof get - 1);
        struct answer a = client_read(idle, 5, false);
        answer_free(&a);
        while (served_metric(&s, "gpt2q_http_connections") < 13) sleep_s(0.005);
        kill(s.pid, SIGTERM);
        for (int i = 0; i < 12; i++) {
            a = client_read(fds[i], 30, false);
            assert_true(a.status == 200 || a.status == 503 || a.status == 0);
            if (a.status == 200) assert_true(a.whole);
            if (a.status == 200) assert_non_null(strstr(a.body, i % 2 ? "data: [DONE]\n\n" : "\"usage\""));
            answer_free(&a);
            close(fds[i]);
        }
        close(idle);
        assert_int_equal(served_wait(&s), 0);
    }
}

static void a_second_signal_cuts(void **state)
{
    (void)state;
    struct served s = served_start("-j 1 -b 1 --log-level error");
    char text[4096];
    int fd = client_open(&s);
    send_request(fd, LONG ",\"n\":64,\"stream\":true}");
    client_read_some(fd, text, sizeof text, 10);
    kill(s.pid, SIGTERM);
    sleep_s(0.1);
    double began = now_s();
    kill(s.pid, SIGTERM);
    char *all = calloc(1, 1 << 20);
    size_t n = 0;
    for (ssize_t m; n < (1 << 20) - 4096 && (m = client_read_some(fd, all + n, 4096, 5)) > 0;) n += (size_t)m;
    assert_int_equal(served_wait(&s), 143);
    assert_true(now_s() - began < 3);
    assert_non_null(strstr(all, "\"code\":\"shutting_down\""));
    free(all);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_leaves_frees_its_rows),
        cmocka_unit_test(who_leaves_in_its_headers_is_seen),
        cmocka_unit_test(a_full_queue_says_when_to_come_back),
        cmocka_unit_test(slow_readers_are_cut),
        cmocka_unit_test(large_bodies_stall_nobody),
        cmocka_unit_test(deadlines_end_what_takes_long),
        cmocka_unit_test(draining_loses_no_answer),
        cmocka_unit_test(a_second_signal_cuts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
