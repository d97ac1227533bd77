/* What /v1/completions answers: the same bytes as batch and generate, in one piece and as a stream; and what it refuses. */
#include "tests/cli.h"
#include "tests/http_client.h"
#include <signal.h>
#include <unistd.h>

static struct served server;

static int start(void **state)
{
    (void)state;
    server = served_start("-b 8 -j 2 --log-level error");
    return 0;
}

static int stop(void **state)
{
    (void)state;
    return served_stop(&server, SIGTERM);
}

/* Requests that name a seed. */
static const char *const bodies[] = {
    "{\"prompt\":\"Once upon a time\",\"max_tokens\":12,\"seed\":1}",
    "{\"prompt\":\"Once upon a time\",\"max_tokens\":12,\"temperature\":0,\"seed\":1,\"logprobs\":3}",
    "{\"prompt\":[\"One day\",\"Tom and\"],\"n\":2,\"max_tokens\":9,\"seed\":-7,\"logprobs\":0}",
    "{\"prompt\":[[464,2068],[1,2,3]],\"max_tokens\":6,\"seed\":3,\"echo\":true,\"logprobs\":2,"
    "\"return_token_ids\":true}",
    "{\"prompt\":\"The cat\",\"max_tokens\":20,\"seed\":4,\"stop\":[\".\",\"!\"]}",
    "{\"prompt\":\"The cat\",\"max_tokens\":20,\"seed\":5,\"n\":2,\"best_of\":4}",
    "{\"prompt\":\"The "
    "cat\",\"max_tokens\":20,\"seed\":6,\"frequency_penalty\":1.5,\"presence_penalty\":0.5}",
    "{\"prompt\":\"The "
    "cat\",\"max_tokens\":8,\"seed\":7,\"logit_bias\":{\"13\":50,\"11\":-100},\"logprobs\":1}",
    "{\"prompt\":\"The cat\",\"max_tokens\":8,\"seed\":8,\"allowed_token_ids\":[11,12,13,262]}",
    "{\"prompt\":\"The cat\",\"max_tokens\":30,\"seed\":9,\"stop_token_ids\":[13,262,11],\"min_tokens\":4}",
    "{\"prompt\":\"The cat sat on the mat.\",\"max_tokens\":2,\"seed\":10,\"prompt_logprobs\":2}",
    "{\"prompt\":\"a b c d e f g\",\"max_tokens\":5,\"seed\":11,\"truncate_prompt_tokens\":3,\"echo\":true,"
    "\"return_token_ids\":true}",
    "{\"prompt\":\"Hello\",\"max_tokens\":0,\"echo\":true,\"logprobs\":1,\"seed\":0}",
    "{\"prompt\":\"\",\"max_tokens\":10,\"seed\":12,\"top_k\":40,\"top_p\":0.9,\"min_p\":0.01,"
    "\"repetition_penalty\":1.2,\"ignore_eos\":true}",
    "{\"prompt\":[[128,129,130]],\"max_tokens\":24,\"seed\":13,\"temperature\":2,\"logprobs\":5,"
    "\"return_tokens_as_token_ids\":true}",
    "{\"prompt\":[[140],[170]],\"max_tokens\":30,\"seed\":14,\"temperature\":2,\"echo\":true,\"logprobs\":1}",
};
#define N_BODIES (sizeof bodies / sizeof *bodies)

/* The bytes of the choices in an answer's text. */
static char *choices_of(const char *text)
{
    const char *begin = text ? strstr(text, "\"choices\":") : NULL,
               *end = begin ? strstr(begin, ",\"usage\":") : NULL;
    if (!end) fail_msg("no choices in %.300s", text ? text : "nothing");
    size_t n = (size_t)(end - begin);
    char *copy = malloc(n + 1);
    memcpy(copy, begin, n);
    copy[n] = '\0';
    return copy;
}

static void the_same_bytes_as_batch(void **state)
{
    (void)state;
    char path[TEMP_PATH];
    FILE *f = fdopen(temp_file(path), "w");
    for (size_t i = 0; i < N_BODIES; i++)
        fprintf(f, "{\"custom_id\":\"%zu\",\"method\":\"POST\",\"url\":\"/v1/completions\",\"body\":%s}\n", i,
                bodies[i]);
    fclose(f);
    struct cli batch = cli_run("batch %s --quiet", path);
    unlink(path);
    if (batch.code) fail_msg("batch: %s %s", batch.error, batch.out);
    char *line = batch.out;
    for (size_t i = 0; i < N_BODIES; i++) {
        char *end = strchr(line, '\n');
        *end = '\0';
        struct answer a = http_post(&server, "/v1/completions", bodies[i]);
        assert_int_equal(a.status, 200);
        char *served = choices_of(a.body), *want = choices_of(line);
        assert_string_equal(served, want);
        free(served), free(want);
        answer_free(&a);
        line = end + 1;
    }
    cli_free(&batch);
}

static void the_same_text_as_generate(void **state)
{
    (void)state;
    struct cli c = cli_run("generate 'Once upon a time' -n 12 -t 1 --seed 1 --json --quiet");
    assert_int_equal(c.code, 0);
    cJSON *want = cJSON_Parse(c.out);
    struct answer a = http_post(&server, "/v1/completions", bodies[0]);
    cJSON *got = answer_json(&a);
    const cJSON *choice = cJSON_GetArrayItem(item(got, "choices"), 0);
    assert_string_equal(item(choice, "text")->valuestring, item(want, "text")->valuestring);
    cJSON_Delete(want), cJSON_Delete(got);
    answer_free(&a);
    cli_free(&c);
}

/* ---- streams ---- */

/* Appends b's entries to the array a. */
static void append(cJSON *a, const cJSON *b)
{
    for (const cJSON *i = b ? b->child : NULL; i; i = i->next)
        cJSON_AddItemToArray(a, cJSON_Duplicate(i, true));
}

static void join_arrays(cJSON *to, const cJSON *from, const char *key)
{
    const cJSON *more = cJSON_GetObjectItemCaseSensitive(from, key);
    cJSON *array = cJSON_GetObjectItemCaseSensitive(to, key);
    if (!cJSON_IsArray(more)) return;
    append(array, more);
}

/* One choice of an event joined to what came before. */
static void join_choice(cJSON *all, const cJSON *choice)
{
    const int index = (int)number(choice, "index");
    static const char *const arrays[] = {"tokens", "token_logprobs", "top_logprobs", "text_offset"};
    cJSON *to = cJSON_GetArrayItem(all, index);
    while (!to) {
        cJSON_AddItemToArray(all, cJSON_CreateNull());
        to = cJSON_GetArrayItem(all, index);
    }
    if (cJSON_IsNull(to)) {
        cJSON_ReplaceItemInArray(all, index, cJSON_Duplicate(choice, true));
        return;
    }
    const char *before = item(to, "text")->valuestring, *more = item(choice, "text")->valuestring;
    char *text = malloc(strlen(before) + strlen(more) + 1);
    sprintf(text, "%s%s", before, more);
    cJSON_ReplaceItemInObjectCaseSensitive(to, "text", cJSON_CreateString(text));
    free(text);
    cJSON *logprobs = cJSON_GetObjectItemCaseSensitive(to, "logprobs");
    for (int i = 0; i < 4; i++)
        join_arrays(logprobs, cJSON_GetObjectItemCaseSensitive(choice, "logprobs"), arrays[i]);
    join_arrays(to, choice, "token_ids");
    static const char *const last[] = {"finish_reason", "stop_reason"};
    for (int i = 0; i < 2; i++)
        cJSON_ReplaceItemInObjectCaseSensitive(to, last[i], cJSON_Duplicate(item(choice, last[i]), true));
}

/* All events of a stream as the choices of one answer. */
static cJSON *join_events(const struct answer *a, int *n_events)
{
    cJSON *all = cJSON_CreateArray();
    bool done = false;
    *n_events = 0;
    for (const char *p = a->body; p && *p; p = strstr(p, "\n\n") ? strstr(p, "\n\n") + 2 : NULL) {
        if (*p == ':') continue;
        assert_int_equal(strncmp(p, "data: ", 6), 0);
        assert_false(done);
        if (!strncmp(p + 6, "[DONE]\n\n", 8)) {
            done = true;
            continue;
        }
        cJSON *event = cJSON_ParseWithLength(p + 6, (size_t)(strstr(p, "\n\n") - p) - 6);
        assert_non_null(event);
        assert_null(cJSON_GetObjectItem(event, "error"));
        for (const cJSON *c = item(event, "choices")->child; c; c = c->next) join_choice(all, c), ++*n_events;
        cJSON_Delete(event);
    }
    assert_true(done);
    return all;
}

static void streams_join_to_the_answer(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_BODIES; i++) {
        char body[1024];
        int n;
        if (strstr(bodies[i], "best_of") || strstr(bodies[i], "prompt_logprobs")) continue;
        snprintf(body, sizeof body, "%.*s,\"stream\":true}", (int)strlen(bodies[i]) - 1, bodies[i]);
        struct answer whole = http_post(&server, "/v1/completions", bodies[i]),
                      a = http_post(&server, "/v1/completions", body);
        assert_int_equal(a.status, 200);
        assert_true(a.whole);
        assert_string_equal(answer_header(&a, "Content-Type"), "text/event-stream");
        cJSON *want = answer_json(&whole), *got = join_events(&a, &n);
        char *x = cJSON_PrintUnformatted(item(want, "choices")), *y = cJSON_PrintUnformatted(got);
        cJSON *again = cJSON_Parse(y); /* the order of fields differs: compare as trees */
        if (!cJSON_Compare(item(want, "choices"), again, true)) fail_msg("%s\n%s\n%s", body, x, y);
        cJSON_Delete(want), cJSON_Delete(got), cJSON_Delete(again);
        free(x), free(y);
        answer_free(&a), answer_free(&whole);
    }
}

/* Large bodies are read by a thread of their own, which makes ids of texts, too. */
static void large_bodies_have_the_same_answers(void **state)
{
    (void)state;
    static char body[100000], filler[80001];
    memset(filler, 'x', 80000);
    for (size_t i = 0; i < N_BODIES; i++) {
        snprintf(body, sizeof body, "%.*s,\"user\":\"%s\"}", (int)strlen(bodies[i]) - 1, bodies[i], filler);
        struct answer a = http_post(&server, "/v1/completions", bodies[i]),
                      b = http_post(&server, "/v1/completions", body);
        assert_int_equal(b.status, 200);
        char *want = choices_of(a.body), *got = choices_of(b.body);
        assert_string_equal(got, want);
        free(want), free(got);
        answer_free(&a), answer_free(&b);
    }
    snprintf(body, sizeof body, "{\"prompt\":\"%s\",\"max_tokens\":4}", filler);
    struct answer a = http_post(&server, "/v1/completions", body);
    assert_int_equal(a.status, 400);
    assert_non_null(strstr(a.body, "\"code\":\"context_length_exceeded\""));
    assert_non_null(strstr(a.body, "\"param\":\"prompt\""));
    answer_free(&a);
    snprintf(body, sizeof body, "{\"prompt\":\"%s\"}", filler);
    a = http_post(&server, "/tokenize", body);
    assert_int_equal(a.status, 200);
    assert_non_null(strstr(a.body, "{\"count\":"));
    answer_free(&a);
}

static void usage_comes_when_asked(void **state)
{
    (void)state;
    struct answer a =
        http_post(&server, "/v1/completions",
                  "{\"prompt\":\"Hi\",\"max_tokens\":3,\"temperature\":0,\"ignore_eos\":true,\"stream\":true,"
                  "\"stream_options\":{\"include_usage\":true}}");
    assert_non_null(strstr(a.body, "\"usage\":null}"));
    assert_non_null(strstr(a.body, "\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":3,"
                                   "\"total_tokens\":4"));
    answer_free(&a);
    a = http_post(&server, "/v1/completions", "{\"prompt\":\"Hi\",\"max_tokens\":3,\"timings\":true}");
    assert_non_null(strstr(a.body, "\"timings\":{\"queue_ms\":"));
    assert_non_null(answer_header(&a, "Server-Timing"));
    assert_non_null(answer_header(&a, "openai-processing-ms"));
    answer_free(&a);
}

static void a_seed_repeats_an_answer(void **state)
{
    (void)state;
    struct answer a = http_post(&server, "/v1/completions", "{\"prompt\":\"Hi\",\"max_tokens\":12}");
    cJSON *first = answer_json(&a);
    char body[160], *x = choices_of(a.body);
    double seed = number(cJSON_GetArrayItem(item(first, "choices"), 0), "seed");
    snprintf(body, sizeof body, "{\"prompt\":\"Hi\",\"max_tokens\":12,\"seed\":%.0f}", seed);
    struct answer b = http_post(&server, "/v1/completions", body);
    char *y = choices_of(b.body);
    assert_string_equal(x, y);
    free(x), free(y);
    cJSON_Delete(first);
    answer_free(&a), answer_free(&b);
}

/* ---- what is refused ---- */

static void what_is_wrong_is_named(void **state)
{
    (void)state;
    static const struct {
        const char *body, *code, *param;
        int status;
    } cases[] = {
        {"{\"prompt\":\"a\",\"max_tokns\":1}", "unknown_field", "max_tokns", 400},
        {"{\"prompt\":\"a\"", "invalid_json", NULL, 400},
        {"{\"prompt\":\"a\",\"prompt\":\"b\"}", "invalid_json", NULL, 400},
        {"[]", "invalid_type", NULL, 400},
        {"{\"model\":\"other\",\"prompt\":\"a\"}", "model_not_found", "model", 404},
        {"{\"prompt\":[]}", "invalid_value", "prompt", 400},
        {"{\"prompt\":[1,99999]}", "invalid_value", "prompt[1]", 400},
        {"{\"prompt\":[[1],[2,99999]]}", "invalid_value", "prompt[1][1]", 400},
        {"{\"prompt\":\"a\",\"suffix\":\"b\"}", "unsupported_parameter", "suffix", 400},
        {"{\"prompt\":\"a\",\"tools\":[1]}", "unsupported_parameter", "tools", 400},
        {"{\"prompt\":\"a\",\"stream\":true,\"n\":1,\"best_of\":2}", "invalid_value", "best_of", 400},
        {"{\"prompt\":\"a\",\"stream_options\":{\"include_usage\":true}}", "invalid_value", "stream_options",
         400},
        {"{\"prompt\":\"a\",\"n\":20,\"best_of\":20,\"max_tokens\":100000}", "too_many", "max_tokens", 400},
        {"{\"prompt\":\"a\",\"logit_bias\":{\"x\":1}}", "invalid_value", "logit_bias.x", 400},
        {"{\"prompt\":\"a\",\"logit_bias\":{\"99999\":1}}", "invalid_value", "logit_bias.99999", 400},
        {"{\"prompt\":\"a\",\"allowed_token_ids\":[8192],\"min_tokens\":2}", "invalid_value", NULL, 400},
        {"{\"prompt\":\"a\",\"allowed_token_ids\":[1,8193]}", "invalid_value", "allowed_token_ids", 400},
        {"{\"prompt\":\"a\",\"stop_token_ids\":[8193]}", "invalid_value", "stop_token_ids", 400},
        {"{\"prompt\":\"a\",\"truncate_prompt_tokens\":513}", "invalid_value", "truncate_prompt_tokens", 400},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct answer a = http_post(&server, "/v1/completions", cases[i].body);
        cJSON *tree = answer_json(&a);
        const cJSON *error = item(tree, "error");
        if (a.status != cases[i].status || strcmp(item(error, "code")->valuestring, cases[i].code))
            fail_msg("%s: %d %s", cases[i].body, a.status, a.body);
        if (cases[i].param) assert_string_equal(item(error, "param")->valuestring, cases[i].param);
        assert_string_equal(item(error, "request_id")->valuestring, answer_header(&a, "X-Request-Id"));
        cJSON_Delete(tree);
        answer_free(&a);
    }
}

static void a_long_prompt_is_refused_with_both_numbers(void **state)
{
    (void)state;
    char *body = malloc(8192);
    int n = sprintf(body, "{\"prompt\":[");
    for (int i = 0; i < 600; i++) n += sprintf(body + n, "%s%d", i ? "," : "", i);
    sprintf(body + n, "]}");
    struct answer a = http_post(&server, "/v1/completions", body);
    assert_int_equal(a.status, 400);
    assert_non_null(strstr(a.body, "\"code\":\"context_length_exceeded\""));
    assert_non_null(strstr(a.body, "600"));
    assert_non_null(strstr(a.body, "512"));
    answer_free(&a);
    free(body);
}

/* The last event and the end of the stream arrive together, and the connection serves the next request at once. */
static void a_stream_ends_with_its_last_event(void **state)
{
    (void)state;
    static const char body[] = "{\"prompt\":[1,2],\"max_tokens\":1,\"stream\":true,\"seed\":1}";
    char request[400], piece[8192];
    int n = snprintf(request, sizeof request,
                     "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: "
                     "application/json\r\nContent-Length: %zu\r\n\r\n%s",
                     strlen(body), body);
    int fd = client_open(&server);
    for (int i = 0; i < 20; i++) {
        const char *done = NULL;
        client_send(fd, request, (size_t)n);
        while (!done) {
            assert_true(client_read_some(fd, piece, sizeof piece, 30) > 0);
            done = strstr(piece, "[DONE]");
        }
        assert_non_null(strstr(done, "\r\n0\r\n\r\n"));
    }
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_bytes_as_batch),
        cmocka_unit_test(the_same_text_as_generate),
        cmocka_unit_test(streams_join_to_the_answer),
        cmocka_unit_test(a_stream_ends_with_its_last_event),
        cmocka_unit_test(large_bodies_have_the_same_answers),
        cmocka_unit_test(usage_comes_when_asked),
        cmocka_unit_test(a_seed_repeats_an_answer),
        cmocka_unit_test(what_is_wrong_is_named),
        cmocka_unit_test(a_long_prompt_is_refused_with_both_numbers),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
