/* Everything beside completions: models, tokens, health, metrics, methods, keys, origins, limits, chats. */
#include "tests/cli.h"
#include "tests/http_client.h"
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

static struct served server;

static int start(void **state)
{
    (void)state;
    server =
        served_start("-j 1 --schemes i8,f32@f32 --alias small=tales-7m --max-body 4096 --log-level error");
    return 0;
}

static int stop(void **state)
{
    (void)state;
    return served_stop(&server, SIGTERM);
}

static void expect(const char *method, const char *path, const char *headers, const char *body, int status,
                   const char *text)
{
    struct answer a = http_ask(&server, method, path, headers, body);
    if (a.status != status || (text && !strstr(a.body ? a.body : "", text)))
        fail_msg("%s %s: %d %s, not %d %s", method, path, a.status, a.body ? a.body : "", status,
                 text ? text : "");
    assert_true(a.whole);
    answer_free(&a);
}

#define JSON "Content-Type: application/json\r\n"

static void models_are_listed(void **state)
{
    (void)state;
    struct answer a = http_get(&server, "/v1/models");
    cJSON *tree = answer_json(&a);
    const cJSON *data = item(tree, "data");
    assert_int_equal(cJSON_GetArraySize(data), 2);
    assert_string_equal(item(cJSON_GetArrayItem(data, 0), "id")->valuestring, "tales-7m");
    assert_string_equal(item(cJSON_GetArrayItem(data, 1), "id")->valuestring, "tales-7m:f32@f32");
    cJSON_Delete(tree);
    answer_free(&a);
    expect("GET", "/v1/models/tales-7m", "", NULL, 200, "\"id\":\"tales-7m\"");
    expect("GET", "/v1/models/tales-7m%3Af32%40f32", "", NULL, 200, "\"scheme\":\"f32\"");
    expect("GET", "/v1/models/tales-7m", "", NULL, 200, "\"kv\":\"i16\"");
    expect("GET", "/v1/models/tales-7m%3Af32%40f32", "", NULL, 200, "\"kv\":\"f32\"");
    expect("GET", "/models/small", "", NULL, 200, "\"aliases\":[\"small\"]");
    expect("GET", "/v1/models/none", "", NULL, 404, "\"code\":\"model_not_found\"");
}

static void lanes_answer_apart(void **state)
{
    (void)state;
    struct answer a =
        http_post(&server, "/v1/completions",
                  "{\"model\":\"tales-7m:f32@f32\",\"prompt\":\"Once\",\"max_tokens\":4,\"temperature\":0}");
    struct answer b =
        http_post(&server, "/v1/completions",
                  "{\"model\":\"small\",\"prompt\":\"Once\",\"max_tokens\":4,\"temperature\":0}");
    assert_int_equal(a.status, 200);
    assert_int_equal(b.status, 200);
    assert_non_null(strstr(b.body, "\"model\":\"small\""));
    const char *x = strstr(a.body, "fp_"), *y = strstr(b.body, "fp_");
    assert_true(strncmp(x, y, 15) != 0); /* what answers differently has another fingerprint */
    answer_free(&a), answer_free(&b);
}

static void tokens_go_both_ways(void **state)
{
    (void)state;
    expect("POST", "/tokenize", JSON, "{\"prompt\":\"<|endoftext|>\"}", 200, "\"tokens\":[8192]");
    expect("POST", "/tokenize", JSON, "{\"content\":\"<|endoftext|>\",\"parse_special\":false}", 200,
           "\"count\":");
    expect("POST", "/tokenize", JSON, "{\"prompt\":\"a\",\"with_pieces\":true}", 200, "\"piece\":\"a\"");
    expect("POST", "/tokenize", JSON, "{}", 400, "prompt is missing");
    expect("POST", "/detokenize", JSON, "{\"tokens\":[1,\"a\"]}", 400,
           "tokens must be an array of ids, entry 2 is no id");
    expect("POST", "/detokenize", JSON, "{\"tokens\":[8192]}", 200, "\"prompt\":\"<|endoftext|>\"");
    expect("POST", "/detokenize", JSON, "{\"tokens\":[8193]}", 400, "\"code\":\"invalid_value\"");
    expect("GET", "/tokenizer_info", "", NULL, 200, "\"eos_token\":\"<|endoftext|>\"");
}

static void health_and_version(void **state)
{
    (void)state;
    expect("GET", "/health", "", NULL, 200, "{\"status\":\"ok\"}");
    expect("HEAD", "/health/live", "", NULL, 200, NULL);
    expect("GET", "/v1/health", "", NULL, 200, "ok");
    expect("GET", "/health/ready", "", NULL, 200, "\"rows\":16");
    expect("GET", "/version", "", NULL, 200, "\"numerics\":");
}

static void methods_and_paths(void **state)
{
    (void)state;
    expect("GET", "/v1/completions", "", NULL, 405, "\"code\":\"method_not_allowed\"");
    expect("POST", "/v1/models", JSON, "{}", 405, NULL);
    expect("BREW", "/health", "", NULL, 405, NULL);
    expect("GET", "/v1/completions/", "", NULL, 404, "\"code\":\"not_found\"");
    expect("GET", "/nowhere", "", NULL, 404, NULL);
    expect("POST", "/v1/embeddings", JSON, "{\"encoding_format\":\"base64\"}", 404,
           "\"code\":\"unsupported_endpoint\"");
    expect("POST", "/v1/chat/completions", JSON, "{}", 400, "\"code\":\"no_chat_template\"");
    struct answer a = http_ask(&server, "OPTIONS", "/v1/completions", "", NULL);
    assert_int_equal(a.status, 204);
    assert_string_equal(answer_header(&a, "Allow"), "POST, OPTIONS");
    answer_free(&a);
    expect("OPTIONS", "/nowhere", "", NULL, 404, "\"code\":\"not_found\"");
}

static void bodies_are_json_and_bounded(void **state)
{
    (void)state;
    expect("POST", "/v1/completions", "Content-Type: text/plain\r\n", "{}", 415,
           "\"code\":\"unsupported_media_type\"");
    expect("POST", "/v1/completions", "Content-Type: application/json; charset=latin-1\r\n", "{}", 415, NULL);
    expect("POST", "/v1/completions", JSON "Content-Encoding: gzip\r\n", "{}", 415, NULL);
    expect("POST", "/v1/completions", "Content-Type: application/json; charset=utf-8\r\n",
           "{\"prompt\":\"a\",\"max_tokens\":1}", 200, NULL);
    char *large = malloc(6000);
    memset(large, ' ', 5999);
    large[5999] = 0;
    expect("POST", "/v1/completions", JSON, large, 413, "\"code\":\"body_too_large\"");
    char *chunked = malloc(8192);
    int n = sprintf(chunked,
                    "POST /v1/completions HTTP/1.1\r\nHost: x\r\n" JSON
                    "Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n",
                    5999, large);
    struct answer a = http_raw(&server, chunked, (size_t)n, 5);
    assert_int_equal(a.status, 413);
    answer_free(&a);
    free(large), free(chunked);
}

static void request_ids_are_taken_over(void **state)
{
    (void)state;
    struct answer a = http_ask(&server, "GET", "/nowhere", "X-Request-Id: abc-1.2:3_4\r\n", NULL);
    assert_string_equal(answer_header(&a, "X-Request-Id"), "abc-1.2:3_4");
    assert_non_null(strstr(a.body, "\"request_id\":\"abc-1.2:3_4\""));
    answer_free(&a);
    a = http_ask(&server, "GET", "/nowhere", "X-Request-Id: a b\r\n", NULL);
    assert_int_equal(strncmp(answer_header(&a, "X-Request-Id"), "req-", 4), 0);
    answer_free(&a);
}

static void origins_are_checked(void **state)
{
    (void)state;
    char headers[128];
    expect("GET", "/health", "Origin: http://evil.example\r\n", NULL, 403, "\"code\":\"origin_not_allowed\"");
    snprintf(headers, sizeof headers, "Origin: http://localhost\r\n");
    expect("GET", "/health", headers, NULL, 200, NULL); /* the Host of these requests */
    static const char rebound[] =
        "GET /health HTTP/1.1\r\nHost: evil.example\r\nOrigin: http://evil.example\r\n\r\n";
    struct answer a = http_raw(&server, rebound, sizeof rebound - 1, 5);
    assert_int_equal(a.status, 403);
    assert_non_null(strstr(a.body, "\"code\":\"host_not_allowed\""));
    answer_free(&a);
}

static void metrics_have_all_families(void **state)
{
    (void)state;
    int families = 0;
    struct answer a = http_get(&server, "/metrics");
    assert_string_equal(answer_header(&a, "Content-Type"), "text/plain; version=0.0.4; charset=utf-8");
    for (const char *p = a.body; (p = strstr(p, "# TYPE ")); p++) families++;
    assert_int_equal(families, 39);
    answer_free(&a);
    assert_true(served_metric(&server, "gpt2q_ready") == 1);
    assert_true(served_metric(&server, "gpt2q_steps_total{model=\"tales-7m\"}") >= 1);
    double before =
        served_metric(&server, "gpt2q_http_requests_total{endpoint=\"/health\",method=\"GET\",code=\"200\"}");
    expect("GET", "/health", "", NULL, 200, NULL);
    assert_true(served_metric(
                    &server, "gpt2q_http_requests_total{endpoint=\"/health\",method=\"GET\",code=\"200\"}") ==
                before + 1);
}

static void the_page_asks_nobody_else(void **state)
{
    (void)state;
    static const char *const paths[] = {"/", "/index.html", "/app.js", "/style.css", "/favicon.svg"};
    size_t bytes = 0;
    for (size_t i = 0; i < 5; i++) {
        struct answer a = http_get(&server, paths[i]);
        char known[128];
        assert_int_equal(a.status, 200);
        if (i != 1) bytes += a.n;
        assert_non_null(
            strstr(answer_header(&a, "Content-Security-Policy"), "default-src 'none'; script-src 'self'"));
        assert_string_equal(answer_header(&a, "X-Content-Type-Options"), "nosniff");
        assert_null(strstr(a.body, "https://"));
        snprintf(known, sizeof known, "If-None-Match: %s\r\n", answer_header(&a, "ETag"));
        answer_free(&a);
        a = http_ask(&server, "GET", paths[i], known, NULL);
        assert_int_equal(a.status, 304);
        answer_free(&a);
    }
    assert_true(bytes < 60000);
}

/* ---- servers with other options ---- */

static void keys_are_needed(void **state)
{
    (void)state;
    char file[TEMP_PATH], options[TEMP_PATH + 64];
    FILE *f = fdopen(temp_file(file), "w");
    fputs("# keys\n\n  first \nsecond\n", f);
    fclose(f);
    snprintf(options, sizeof options, "-j 1 --api-key-file %s --log-level error", file);
    struct served s = served_start(options);
    static const struct {
        const char *header;
        int status;
    } cases[] = {{"", 401},
                 {"Authorization: Bearer first\r\n", 200},
                 {"Authorization: bearer second\r\n", 200},
                 {"X-Api-Key: second\r\n", 200},
                 {"Authorization: Bearer firs\r\n", 401},
                 {"Authorization: Bearer firstfirst\r\n", 401},
                 {"Authorization: Bearer \r\n", 401},
                 {"Authorization: Basic first\r\n", 401}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct answer a = http_ask(&s, "GET", "/v1/models", cases[i].header, NULL);
        if (a.status != cases[i].status) fail_msg("%s: %d", cases[i].header, a.status);
        if (a.status == 401) assert_string_equal(answer_header(&a, "WWW-Authenticate"), "Bearer");
        answer_free(&a);
    }
    struct answer a = http_get(&s, "/health");
    assert_int_equal(a.status, 200);
    answer_free(&a);
    a = http_get(&s, "/metrics");
    assert_int_equal(a.status, 401);
    answer_free(&a);
    f = fopen(file, "w");
    fputs("third\n", f);
    fclose(f);
    kill(s.pid, SIGHUP);
    sleep_s(0.2);
    a = http_ask(&s, "GET", "/v1/models", "Authorization: Bearer first\r\n", NULL);
    assert_int_equal(a.status, 401);
    answer_free(&a);
    a = http_ask(&s, "GET", "/v1/models", "Authorization: Bearer third\r\n", NULL);
    assert_int_equal(a.status, 200);
    answer_free(&a);
    assert_int_equal(served_stop(&s, SIGTERM), 0);
    chmod(file, 0644);
    snprintf(options, sizeof options, "serve --port 0 --api-key-file %s", file);
    expect_failure(1, "others can read the keys", options);
    unlink(file);
}

static void chats_are_joined(void **state)
{
    (void)state;
    struct served s = served_start("-j 1 --chat plain --log-level error");
    struct answer a = http_post(
        &s, "/v1/chat/completions",
        "{\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}],\"max_completion_tokens\":3,\"seed\":1,"
        "\"logprobs\":true,\"top_logprobs\":2}");
    struct answer b = http_post(
        &s, "/v1/completions",
        "{\"prompt\":\"User: Hi\\nAssistant:\",\"max_tokens\":3,\"seed\":1,\"stop\":[\"\\nUser:\"]}");
    cJSON *x = answer_json(&a), *y = answer_json(&b);
    const cJSON *choice = cJSON_GetArrayItem(item(x, "choices"), 0);
    assert_string_equal(item(x, "object")->valuestring, "chat.completion");
    assert_string_equal(item(item(choice, "message"), "content")->valuestring,
                        item(cJSON_GetArrayItem(item(y, "choices"), 0), "text")->valuestring);
    const cJSON *token = cJSON_GetArrayItem(item(item(choice, "logprobs"), "content"), 0);
    assert_int_equal(cJSON_GetArraySize(item(token, "top_logprobs")), 2);
    cJSON_Delete(x), cJSON_Delete(y);
    answer_free(&a), answer_free(&b);
    a = http_post(&s, "/v1/chat/completions",
                  "{\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}],\"max_tokens\":1,\"logprobs\":true,"
                  "\"top_logprobs\":null,\"suffix\":null,\"echo\":null,\"best_of\":null}");
    assert_int_equal(a.status, 200);
    assert_non_null(strstr(a.body, "\"top_logprobs\":[]"));
    answer_free(&a);
    a = http_post(&s, "/v1/chat/completions",
                  "{\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}],\"max_tokens\":3,\"stream\":true}");
    assert_non_null(strstr(a.body, "\"delta\":{\"role\":\"assistant\""));
    answer_free(&a);
    a = http_post(&s, "/v1/chat/completions", "{\"messages\":[{\"role\":\"robot\",\"content\":\"Hi\"}]}");
    assert_int_equal(a.status, 400);
    answer_free(&a);
    assert_int_equal(served_stop(&s, SIGTERM), 0);
}

static void wrong_usage(void **state)
{
    (void)state;
    expect_failure(2, "--port", "serve --port x");
    expect_failure(2, "--chat", "serve --chat ml");
    expect_failure(1, "--host \\x1b[31m can be reached",
                   "serve --host \"$(printf '\\033[31m')\""); /* no escapes */
    expect_failure(2, "nothing to listen on", "serve --port none");
    expect_failure(2, "needs keys", "serve --cors '*'");
    expect_failure(1, "can be reached from other machines", "serve --host 0.0.0.0 --port 0");
    char options[64];
    snprintf(options, sizeof options, "serve --port %d", server.port);
    expect_failure(1, "cannot listen on", options);
    struct cli c = cli_run("serve --print-config --queue 7");
    assert_int_equal(c.code, 0);
    assert_non_null(strstr(c.out, "\"queue\":7"));
    cli_free(&c);
    setenv("GPT2Q_SERVE_BATCH_SIZE", "5", 1);
    c = cli_run("serve --print-config");
    assert_non_null(strstr(c.out, "\"batch-size\":5"));
    cli_free(&c);
    setenv("GPT2Q_SERVE_BATCH_SIZE", "many", 1);
    expect_failure(2, "$GPT2Q_SERVE_BATCH_SIZE is 'many' where an integer from 1 to 4096 is expected",
                   "serve --print-config");
    unsetenv("GPT2Q_SERVE_BATCH_SIZE");
}

static void aliases_and_positions_are_checked(void **state)
{
    (void)state;
    expect_failure(2, "--alias is 'small' where NAME=ID, or '*', is expected",
                   "serve --port 0 --alias small");
    expect_failure(2, "--alias is '=tales-7m'", "serve --port 0 --alias =tales-7m");
    expect_failure(1, "--alias small=tales: no model that is served has the id 'tales'; there is tales-7m",
                   "serve --port 0 --log-level error --alias small=tales");
    expect_failure(1, "--ctx is 513 where at most 512, the model's positions, is expected",
                   "serve --port 0 --log-level error -c 513");
}

static void config_holds(const char *name, const char *value, const char *arguments, const char *text)
{
    setenv(name, value, 1);
    struct cli c = cli_run("serve --print-config %s", arguments);
    if (c.code || !strstr(c.out, text)) fail_msg("%s=%s: %s%s", name, value, c.out, c.error);
    cli_free(&c);
    unsetenv(name);
}

static void the_environment_is_read_strictly(void **state)
{
    (void)state;
    config_holds("GPT2Q_SERVE_OPEN_METRICS", "TRUE", "", "\"open-metrics\":true");
    config_holds("GPT2Q_SERVE_OPEN_METRICS", "no", "", "\"open-metrics\":false");
    config_holds("GPT2Q_SERVE_MODEL", "a,b", "", "\"model\":[\"a\",\"b\"]");
    config_holds("GPT2Q_SERVE_MODEL", "a,b", "-m c", "\"model\":[\"c\"]");
    setenv("GPT2Q_SERVE_NO_AUTH", "ture", 1);
    expect_failure(2, "$GPT2Q_SERVE_NO_AUTH is 'ture' where yes or no is expected", "serve --print-config");
    unsetenv("GPT2Q_SERVE_NO_AUTH");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(models_are_listed),
        cmocka_unit_test(lanes_answer_apart),
        cmocka_unit_test(tokens_go_both_ways),
        cmocka_unit_test(health_and_version),
        cmocka_unit_test(methods_and_paths),
        cmocka_unit_test(bodies_are_json_and_bounded),
        cmocka_unit_test(request_ids_are_taken_over),
        cmocka_unit_test(origins_are_checked),
        cmocka_unit_test(metrics_have_all_families),
        cmocka_unit_test(the_page_asks_nobody_else),
        cmocka_unit_test(keys_are_needed),
        cmocka_unit_test(chats_are_joined),
        cmocka_unit_test(wrong_usage),
        cmocka_unit_test(aliases_and_positions_are_checked),
        cmocka_unit_test(the_environment_is_read_strictly),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
