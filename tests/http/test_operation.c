/* Running a server: requests as real clients sent them, Unix sockets, systemd's sockets, logs, signals. */
#include "tests/cli.h"
#include "tests/http_client.h"
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- recorded requests of openai, litellm, langchain-openai and lm_eval ---- */

static int expected_status(const char *path, const cJSON *body)
{
    const cJSON *model = cJSON_GetObjectItem(body, "model");
    if (strstr(path, "embeddings")) return 404;
    if (strstr(path, "chat")) return 400;
    if (cJSON_GetObjectItem(body, "suffix")) return 400; /* GPT-2 cannot fill in */
    return cJSON_IsString(model) && !strcmp(model->valuestring, "m") ? 404 : 200;
}

/* lm_eval takes the entries from the context's length to the last but one: there must be one for each token of the prompt, and
 * one for the token that was made. */
static void check_scores(const cJSON *body, const struct answer *a)
{
    const cJSON *echo = cJSON_GetObjectItem(body, "echo"), *most = cJSON_GetObjectItem(body, "max_tokens");
    const cJSON *prompts = cJSON_GetObjectItem(body, "prompt");
    if (!cJSON_IsTrue(echo) || !most || most->valueint != 1 || !cJSON_IsArray(prompts) ||
        !cJSON_IsArray(prompts->child))
        return;
    cJSON *tree = answer_json(a);
    for (int i = 0; i < cJSON_GetArraySize(prompts); i++) {
        const cJSON *logprobs = item(cJSON_GetArrayItem(item(tree, "choices"), i), "logprobs");
        assert_int_equal(cJSON_GetArraySize(item(logprobs, "token_logprobs")),
                         cJSON_GetArraySize(cJSON_GetArrayItem(prompts, i)) + 1);
        assert_int_equal(cJSON_GetArraySize(item(logprobs, "top_logprobs")),
                         cJSON_GetArraySize(cJSON_GetArrayItem(prompts, i)) + 1);
    }
    cJSON_Delete(tree);
}

static void recorded_requests_are_answered(void **state)
{
    (void)state;
    struct served s = served_start("-j 1 --log-level error");
    FILE *f = fopen(repo_path("tests/http/recorded.jsonl"), "r");
    char line[4096];
    int n = 0;
    assert_non_null(f);
    for (; fgets(line, sizeof line, f); n++) {
        cJSON *r = cJSON_Parse(line);
        const cJSON *body = cJSON_GetObjectItem(r, "body");
        const char *path = item(r, "path")->valuestring;
        char *text = cJSON_IsNull(body) ? NULL : cJSON_PrintUnformatted(body);
        struct answer a = http_ask(&s, item(r, "method")->valuestring, path,
                                   text ? "Content-Type: application/json\r\n" : "", text);
        if (a.status != expected_status(path, body)) fail_msg("%s: %d %s", line, a.status, a.body);
        if (a.status == 200) check_scores(body, &a);
        answer_free(&a);
        free(text);
        cJSON_Delete(r);
    }
    fclose(f);
    assert_true(n > 40);
    assert_int_equal(served_stop(&s, SIGTERM), 0);
}

/* ---- sockets ---- */

static int unix_open(const char *path)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    memcpy(a.sun_path, path, strlen(path));
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (connect(fd, (struct sockaddr *)&a, sizeof a)) {
        close(fd);
        return -1;
    }
    return fd;
}

static int health_over(int fd)
{
    static const char get[] = "GET /health HTTP/1.1\r\nHost: x\r\n\r\n";
    client_send(fd, get, sizeof get - 1);
    struct answer a = client_read(fd, 10, false);
    int status = a.status;
    answer_free(&a);
    close(fd);
    return status;
}

static void unix_sockets_are_taken_and_given_back(void **state)
{
    (void)state;
    char options[TEMP_PATH + 64], path[TEMP_PATH];
    struct stat st;
    close(temp_file(path));
    unlink(path);
    int stale = socket(AF_UNIX, SOCK_STREAM, 0); /* what a killed server leaves */
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    memcpy(a.sun_path, path, strlen(path));
    assert_int_equal(bind(stale, (struct sockaddr *)&a, sizeof a), 0);
    close(stale);
    snprintf(options, sizeof options, "-j 1 --unix %s --log-level error", path);
    struct served s = served_start(options);
    assert_int_equal(health_over(unix_open(path)), 200);
    stat(path, &st);
    assert_int_equal(st.st_mode & 0777, 0660);
    snprintf(options, sizeof options, "serve --port none --unix %s", path);
    expect_failure(1, "another server answers there", options);
    assert_int_equal(health_over(unix_open(path)), 200);
    assert_int_equal(served_stop(&s, SIGTERM), 0);
    assert_int_equal(stat(path, &st), -1);
}

static char *text_of(const char *path)
{
    char *text = calloc(1, 65536);
    FILE *f = fopen(path, "r");
    if (f) {
        text[fread(text, 1, 65535, f)] = '\0';
        fclose(f);
    }
    return text;
}

/* systemd's protocol: sockets from 3 on, and a datagram when ready. */
static void systemd_hands_over_and_hears(void **state)
{
    (void)state;
    char path[TEMP_PATH], text[512] = "";
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    struct sockaddr_in in = {.sin_family = AF_INET};
    socklen_t n = sizeof in;
    close(temp_file(path));
    unlink(path);
    memcpy(a.sun_path, path, strlen(path));
    int notify = socket(AF_UNIX, SOCK_DGRAM, 0), listening = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(notify, (struct sockaddr *)&a, sizeof a), 0);
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(listening, (struct sockaddr *)&in, sizeof in), 0);
    assert_int_equal(listen(listening, 16), 0);
    getsockname(listening, (struct sockaddr *)&in, &n);
    struct served s = {.port = ntohs(in.sin_port)};
    served_directory(&s);
    s.pid = fork();
    if (s.pid == 0) {
        char command[512];
        const char *program = getenv("GPT2Q");
        dup2(listening, 3);
        setenv("NOTIFY_SOCKET", path, 1);
        setenv("WATCHDOG_USEC", "400000", 1);
        snprintf(command, sizeof command,
                 "LISTEN_PID=$$ LISTEN_FDS=1 exec %s serve -j 1 --log-level error 2>%s/log",
                 program ? program : "./gpt2q", s.directory);
        execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(127);
    }
    close(listening);
    struct answer early = http_get(&s, "/health"); /* no connection is refused while it starts */
    assert_int_equal(early.status, 200);
    answer_free(&early);
    ssize_t m = client_read_some(notify, text, sizeof text, 30);
    assert_true(m > 0);
    assert_string_equal(text, "READY=1");
    for (int i = 0; i < 3; i++) { /* it goes on, soon enough for the unit's watchdog */
        assert_true(client_read_some(notify, text, sizeof text, 2) > 0);
        assert_string_equal(text, "WATCHDOG=1");
    }
    struct answer b = http_post(&s, "/v1/completions", "{\"prompt\":\"a\",\"max_tokens\":1}");
    assert_int_equal(b.status, 200);
    answer_free(&b);
    kill(s.pid, SIGTERM);
    while ((m = client_read_some(notify, text, sizeof text, 5)) > 0 && strcmp(text, "STOPPING=1") != 0)
        continue;
    assert_string_equal(text, "STOPPING=1");
    assert_int_equal(served_wait(&s), 0);
    close(notify);
    unlink(path);
}

static void only_listening_sockets_are_taken(void **state)
{
    (void)state;
    char path[TEMP_PATH], command[TEMP_PATH + 512];
    const char *program = getenv("GPT2Q");
    close(temp_file(path));
    snprintf(command, sizeof command,
             "LISTEN_PID=$$ LISTEN_FDS=1 exec %s serve -j 1 --log-level error 3</dev/null 2>%s",
             program ? program : "./gpt2q", path);
    int status = system(command);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 1);
    char *said = text_of(path);
    assert_non_null(strstr(said, "LISTEN_FDS: descriptor 3 is no socket that listens"));
    free(said);
    unlink(path);
}

/* ---- logs ---- */

static void logs_are_lines(void **state)
{
    (void)state;
    char options[TEMP_PATH + 64], path[TEMP_PATH], moved[TEMP_PATH + 4];
    close(temp_file(path));
    snprintf(options, sizeof options, "-j 1 --log %s --log-format json", path);
    struct served s = served_start(options);
    struct answer a =
        http_ask(&s, "POST", "/v1/completions",
                 "Content-Type: application/json\r\nX-Request-Id: mine\r\nUser-Agent: me\x1b[31m\r\n",
                 "{\"prompt\":\"secret\",\"max_tokens\":2,\"ignore_eos\":true}");
    answer_free(&a);
    a = http_get(&s, "/health");
    answer_free(&a);
    sleep_s(0.1);
    static const char *const first[] = {"start", "ready"};
    char *text = text_of(path), *at = text;
    cJSON *line;
    for (int i = 0; i < 2; i++, at = strchr(at, '\n') + 1) {
        line = cJSON_Parse(at);
        assert_string_equal(item(line, "event")->valuestring, first[i]);
        cJSON_Delete(line);
        assert_non_null(strchr(at, '\n'));
    }
    line = cJSON_Parse(at);
    assert_non_null(line);
    assert_string_equal(item(line, "request_id")->valuestring, "mine");
    assert_string_equal(item(line, "event")->valuestring, "request");
    assert_true(number(line, "completion_tokens") == 2);
    assert_string_equal(item(line, "finish")->valuestring, "length");
    assert_null(strstr(text, "secret")); /* prompts are nobody's business */
    assert_null(strstr(text, "/health"));
    assert_null(strchr(text, '\x1b'));
    cJSON_Delete(line);
    free(text);
    snprintf(moved, sizeof moved, "%s.1", path);
    rename(path, moved);
    kill(s.pid, SIGHUP);
    sleep_s(0.3);
    kill(s.pid, SIGUSR1);
    sleep_s(0.3);
    text = text_of(path);
    assert_non_null(strstr(text, "\"event\":\"numbers\""));
    free(text);
    assert_int_equal(served_stop(&s, SIGTERM), 0);
    unlink(path), unlink(moved);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recorded_requests_are_answered),
        cmocka_unit_test(unix_sockets_are_taken_and_given_back),
        cmocka_unit_test(systemd_hands_over_and_hears),
        cmocka_unit_test(only_listening_sockets_are_taken),
        cmocka_unit_test(logs_are_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
