/* HTTP itself: malformed requests, requests that could be read in two ways, deadlines, limits; what libmicrohttpd leaves open. */
#include "tests/http_client.h"
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

static struct served server;

static int start(void **state)
{
    (void)state;
    server = served_start(
        "-j 1 --log-level error --header-timeout 1 --body-timeout 2 --idle-timeout 1.5 --write-timeout 1 "
        "--max-connections 40");
    return 0;
}

static int stop(void **state)
{
    (void)state;
    return served_stop(&server, SIGTERM);
}

#define HOST  "Host: x\r\n"
#define POSTV "POST /v1/completions HTTP/1.1\r\nContent-Type: application/json\r\n" HOST
#define A100                                                                                                 \
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

/* status 0: no answer may come but an end; -1: any status from 400 on, or an end. `closes`: the connection must end. */
static void malformed_requests(void **state)
{
    (void)state;
    static const struct {
        const char *name, *bytes;
        int status;
        bool closes;
    } cases[] = {
        {"no host", "GET /health HTTP/1.1\r\n\r\n", 400, true},
        {"two hosts", "GET /health HTTP/1.1\r\n" HOST HOST "\r\n", 400, true},
        {"unknown method", "BREW /health HTTP/1.1\r\n" HOST "\r\n", 405, false},
        {"length and chunks", POSTV "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400,
         true},
        {"negative length", POSTV "Content-Length: -5\r\n\r\n", -1, true},
        {"length is no number", POSTV "Content-Length: 5x\r\n\r\n", -1, true},
        {"two lengths", POSTV "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", 400, true},
        {"equal lengths", POSTV "Content-Length: 4\r\nContent-Length: 4\r\n\r\nabcd", 400, true},
        {"chunk too large", POSTV "Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\n", -1, true},
        {"chunk is no number", POSTV "Transfer-Encoding: chunked\r\n\r\nzz\r\n", -1, true},
        {"gzip, chunked", POSTV "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501, true},
        {"two encodings", POSTV "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
         400, true},
        {"HTTP/2.0", "GET /health HTTP/2.0\r\n" HOST "\r\n", -1, true},
        {"preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", -1, true},
        {"TLS", "\x16\x03\x01\x02\x01\x01\x01\x01\xfc\x03\x03" A100 "\r\n\r\n", -1, true},
        {"NUL in the path", "GET /hea%00lth HTTP/1.1\r\n" HOST "\r\n", 400, true},
        {"long path",
         "GET /" A100 A100 A100 A100 A100 A100 A100 A100 A100 A100 A100 A100 A100 A100 A100 A100 A100 A100
             A100 A100 A100 " HTTP/1.1\r\n" HOST "\r\n",
         -1, true},
        {"HTTP/1.0 without host", "GET /health HTTP/1.0\r\n\r\n", 200, true},
        {"HEAD", "HEAD /health HTTP/1.1\r\n" HOST "\r\n", 200, false},
        {"absolute", "GET http://x/health HTTP/1.1\r\n" HOST "\r\n", -1, false},
        {"OPTIONS *", "OPTIONS * HTTP/1.1\r\n" HOST "\r\n", 204, false},
        {"expect", POSTV "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n[]", 400, false},
        {"space before colon", "GET /health HTTP/1.1\r\nHost : x\r\n\r\n", 400, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct answer a = http_raw(&server, cases[i].bytes, strlen(cases[i].bytes), 4);
        bool right = cases[i].status == -1 ? a.status == 0 || a.status >= 200 : a.status == cases[i].status;
        if (cases[i].status == -1 && cases[i].closes) right = a.status == 0 || a.status >= 400;
        if (!right || (cases[i].closes && !a.closed))
            fail_msg("%s: status %d, %s: %.200s", cases[i].name, a.status, a.closed ? "closed" : "open",
                     a.body ? a.body : "");
        if (a.head && (a.status == 400 || a.status == 501) && cases[i].status > 0)
            assert_non_null(strstr(a.body, "{\"error\":{\"message\":"));
        answer_free(&a);
    }
    char *large = malloc(20100);
    memset(large, 'a', 20100);
    memcpy(large, "GET /health HTTP/1.1\r\nHost: x\r\nX: ", 34);
    memcpy(large + 20090, "\r\n\r\n", 5);
    struct answer a = http_raw(&server, large, 20094, 4);
    assert_true(a.status == 0 || a.status == 431);
    answer_free(&a);
    free(large);
    a = http_get(&server, "/health"); /* it lives */
    assert_int_equal(a.status, 200);
    answer_free(&a);
}

/* One more field, or one more byte, than a request's header may have. */
static void long_headers_are_told(void **state)
{
    (void)state;
    char *text = malloc(20000);
    for (int more = 0; more < 2; more++) {
        int n = sprintf(text, "GET /health HTTP/1.1\r\nHost: x\r\n");
        for (int i = 0; i < 99 + more; i++) n += sprintf(text + n, "X%d: v\r\n", i);
        n += sprintf(text + n, "\r\n");
        struct answer a = http_raw(&server, text, (size_t)n, 4);
        assert_int_equal(a.status, more ? 431 : 200);
        if (more) assert_non_null(strstr(a.body, "\"code\":\"headers_too_large\""));
        answer_free(&a);
        n = sprintf(text, "GET /health HTTP/1.1\r\nHost: x\r\nX: ");
        const int rest = 8192 - (int)strlen("Host: x\r\nX: \r\n") + more;
        memset(text + n, 'a', (size_t)rest);
        n += rest;
        n += sprintf(text + n, "\r\n\r\n");
        a = http_raw(&server, text, (size_t)n, 4);
        assert_int_equal(a.status, more ? 431 : 200);
        answer_free(&a);
    }
    free(text);
}

/* Trap: two requests of which a proxy sees one. Nothing behind the refused one may be answered. */
static void nothing_is_smuggled(void **state)
{
    (void)state;
    static const char bytes[] = POSTV "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
                                      "GET /health HTTP/1.1\r\n" HOST "\r\n";
    char all[4096];
    size_t n = 0;
    int fd = client_open(&server), answers = 0;
    client_send(fd, bytes, sizeof bytes - 1);
    for (ssize_t m; (m = client_read_some(fd, all + n, sizeof all - n, 3)) > 0;) n += (size_t)m;
    close(fd);
    for (const char *p = all; (p = strstr(p, "HTTP/1.1 ")); p++) answers++;
    assert_int_equal(answers, 1);
}

/* Trap: with its strict mode the library sends the head of its own refusals twice. */
static void refusals_come_once(void **state)
{
    (void)state;
    static const char *const cases[] = {"GET /health HTTP/1.1\r\n\r\n",
                                        "GET /health HTTP/1.1\r\nHost : x\r\n\r\n",
                                        "GET /health HTTP/1.1\r\n" HOST HOST "\r\n"};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char all[4096] = "";
        size_t n = 0;
        int fd = client_open(&server), heads = 0;
        client_send(fd, cases[i], strlen(cases[i]));
        for (ssize_t m; (m = client_read_some(fd, all + n, sizeof all - n, 3)) > 0;) n += (size_t)m;
        close(fd);
        for (const char *p = all; (p = strstr(p, "HTTP/1.1 ")); p++) heads++;
        assert_int_equal(heads, 1);
        assert_int_equal(strncmp(all, "HTTP/1.1 400", 12), 0);
    }
}

/* Trap: an answer in the first call of the handler would end every connection. */
static void connections_are_kept(void **state)
{
    (void)state;
    static const char get[] = "GET /health HTTP/1.1\r\n" HOST "\r\n",
                      bad[] = "GET /nowhere HTTP/1.1\r\n" HOST "\r\n";
    static const char body[] = POSTV "Content-Length: 29\r\n\r\n{\"prompt\":\"a\",\"max_tokens\":1}";
    int fd = client_open(&server);
    for (int i = 0; i < 3; i++) {
        const char *all[] = {get, bad, body};
        const int statuses[] = {200, 404, 200};
        for (int k = 0; k < 3; k++) {
            client_send(fd, all[k], strlen(all[k]));
            struct answer a = client_read(fd, 10, false);
            assert_int_equal(a.status, statuses[k]);
            answer_free(&a);
        }
    }
    char two[400];
    int n = snprintf(two, sizeof two, "%s%s", get, bad); /* pipelined */
    client_send(fd, two, (size_t)n);
    struct answer a = client_read(fd, 10, false);
    assert_int_equal(a.status, 200);
    answer_free(&a);
    close(fd);
}

/* Seconds until the server ends a connection on which a byte of `bytes` is sent every `pause`. */
static double slow_sender(const char *bytes, double pause, char *to, size_t max)
{
    int fd = client_open(&server);
    double began = now_s();
    size_t at = 0;
    ssize_t n = -1;
    while (n < 0 && now_s() - began < 8) {
        if (bytes[at]) client_send(fd, bytes + at++, 1);
        n = client_read_some(fd, to, max, pause);
    }
    close(fd);
    return now_s() - began;
}

/* Trap: the library's timeout is one of inactivity. */
static void slow_senders_have_deadlines(void **state)
{
    (void)state;
    char text[2048];
    double s =
        slow_sender("GET /health HTTP/1.1\r\nHost: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", 0.1, text, sizeof text);
    assert_true(s > 0.7 && s < 4);
    s = slow_sender(POSTV "Content-Length: 9000\r\n\r\n", 0.001, text, sizeof text);
    assert_true(s > 1.5 && s < 6);
    assert_non_null(strstr(text, "408"));
    assert_non_null(strstr(text, "\"code\":\"request_timeout\""));
    int fd = client_open(&server); /* and one that says nothing */
    double began = now_s();
    assert_int_equal(client_read_some(fd, text, sizeof text, 5), 0);
    assert_true(now_s() - began < 4);
    close(fd);
}

/* Trap: at its limit the library lets clients wait without a word. */
static void connections_too_many_are_told(void **state)
{
    (void)state;
    static const char get[] = "GET /health HTTP/1.1\r\n" HOST "\r\n";
    int fds[48], refused = 0;
    for (int i = 0; i < 48; i++) fds[i] = client_open(&server), client_send(fds[i], get, sizeof get - 1);
    for (int i = 0; i < 48; i++) {
        struct answer a = client_read(fds[i], 5, false);
        assert_true(a.status == 200 || a.status == 429);
        if (a.status == 429) {
            refused++;
            assert_non_null(strstr(a.body, "\"code\":\"too_many_connections\""));
            assert_non_null(answer_header(&a, "Retry-After"));
        }
        answer_free(&a);
    }
    assert_in_range(refused, 6, 10);
    for (int i = 0; i < 48; i++) close(fds[i]);
    sleep_s(0.3);
    struct answer a = http_get(&server, "/health"); /* there is room again, at once */
    assert_int_equal(a.status, 200);
    answer_free(&a);
}

/* Trap: the library waits for the rest of a request whose client is gone, and counts its connection. */
static void who_leaves_frees_the_place(void **state)
{
    (void)state;
    static const char half[] = POSTV "Content-Length: 29\r\n\r\n{\"prompt\":";
    for (int round = 0; round < 10; round++) {
        for (int i = 0; i < 15; i++) {
            int fd = client_open(&server);
            client_send(fd, half, sizeof half - 1);
            close(fd);
        }
        struct answer a = http_get(&server, "/health");
        assert_int_equal(a.status, 200);
        answer_free(&a);
    }
}

/* Reads to the end of a connection. Returns whether it came within two seconds. */
static bool ends(int fd)
{
    const struct timeval patience = {.tv_sec = 2};
    char bytes[4096];
    ssize_t n;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    while ((n = recv(fd, bytes, sizeof bytes, 0)) > 0) continue;
    return n == 0 || errno == ECONNRESET;
}

/* Who has shut its sending side is gone, wherever that comes in two pipelined requests. */
static void half_closed_connections_end(void **state)
{
    (void)state;
    static const char one[] = POSTV "Content-Length: 29\r\n\r\n{\"prompt\":\"a\",\"max_tokens\":1}";
    char two[2 * sizeof one];
    snprintf(two, sizeof two, "%s%s", one, one);
    for (size_t n = 0; n <= strlen(two); n += 3) {
        int fd = client_open(&server);
        client_send(fd, two, n);
        if (n % 2) sleep_s(0.01);
        shutdown(fd, SHUT_WR);
        if (!ends(fd)) fail_msg("after %zu of %zu bytes the connection stays open", n, strlen(two));
        close(fd);
    }
}

/* Bytes of good requests, changed at random: an answer or an end, never a hang, never a wrong 200. */
static void mutated_requests(void **state)
{
    (void)state;
    static const char good[] = POSTV "Content-Length: 29\r\n\r\n{\"prompt\":\"a\",\"max_tokens\":1}";
    struct rng rng = {11};
    for (int round = 0; round < 150; round++) {
        char bytes[sizeof good];
        memcpy(bytes, good, sizeof good);
        size_t n = sizeof good - 1;
        for (uint32_t k = 1 + rng_below(&rng, 3); k > 0; k--) {
            static const char odd[] = "\r\n: \0\t\x80{},9";
            bytes[rng_below(&rng, (uint32_t)n)] = odd[rng_below(&rng, sizeof odd - 1)];
        }
        bool whole = rng_below(&rng, 4) != 0;
        if (!whole) n = 1 + rng_below(&rng, (uint32_t)n);
        int fd = client_open(&server);
        client_send(fd, bytes, n);
        if (!whole) { /* leaves in the middle; slow_senders_have_deadlines waits for the answer to that */
            close(fd);
            continue;
        }
        shutdown(fd, SHUT_WR);
        struct answer a = client_read(fd, 5, false);
        if (a.status == 200 && a.head) {
            cJSON *tree = answer_json(&a);
            assert_non_null(cJSON_GetObjectItem(tree, "choices"));
            cJSON_Delete(tree);
        }
        answer_free(&a);
        close(fd);
    }
    struct answer a = http_get(&server, "/health");
    assert_int_equal(a.status, 200);
    answer_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(malformed_requests),
        cmocka_unit_test(long_headers_are_told),
        cmocka_unit_test(nothing_is_smuggled),
        cmocka_unit_test(refusals_come_once),
        cmocka_unit_test(connections_are_kept),
        cmocka_unit_test(slow_senders_have_deadlines),
        cmocka_unit_test(connections_too_many_are_told),
        cmocka_unit_test(who_leaves_frees_the_place),
        cmocka_unit_test(half_closed_connections_end),
        cmocka_unit_test(mutated_requests),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
