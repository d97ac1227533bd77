/* OpenAI's lines at the edges of what the API allows. */
#include "tests/batch_files.h"

#define LINE(id, body)                                                                                       \
    "{\"custom_id\":\"" id                                                                                   \
    "\",\"method\":\"POST\",\"url\":\"/v1/completions\",\"body\":{\"model\":\"tales-7m\"," body "}}\n"

static cJSON *answer_lines(int code)
{
    size_t n;
    cJSON *all = cJSON_CreateArray();
    run_batch(code, "-m models/tales-7m --quiet %s -o %s", at("in"), at("out"));
    char *text = read_text(at("out"), &n);
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
        cJSON_AddItemToArray(all, cJSON_Parse(line));
    free(text);
    return all;
}

/* 32 texts may end a completion, as many as lm-eval sends. The answer says which one did. */
static void stops(void **state)
{
    (void)state;
    char stop[400] = "";
    for (int i = 0; i < 32; i++) strcat(stop, i ? ",\"zzz\"" : "\" time\"");
    char text[4096];
    snprintf(text, sizeof text,
             LINE("most", "\"prompt\":\"Once upon a\",\"temperature\":0,\"stop\":[%s]")
                 LINE("more", "\"prompt\":\"Once upon a\",\"stop\":[%s,\"x\"]"),
             stop, stop);
    write_text(at("in"), text);
    cJSON *all = answer_lines(1);
    assert_int_equal(cJSON_GetArraySize(all), 2);
    assert_int_equal(number_at(all, "0.response.status_code"), 200);
    assert_string_equal(text_at(all, "0.response.body.choices.0.stop_reason"), " time");
    assert_string_equal(text_at(all, "0.response.body.choices.0.text"), "");
    assert_int_equal(number_at(all, "0.response.body.choices.0.seed"), 0);
    assert_non_null(strstr(text_at(all, "1.error.message"), "stop has 33 entries where 32 are possible"));
    cJSON_Delete(all);
}

/* text_offset counts code points, not bytes: here each has two to four bytes. */
static void offsets(void **state)
{
    (void)state;
    write_text(at("in"), LINE("x", "\"prompt\":\"\\u00e9\\u00e9 \\ud83d\\udc4d "
                                   "x\",\"temperature\":0,\"max_tokens\":0,\"logprobs\":0,"
                                   "\"echo\":true"));
    cJSON *all = answer_lines(0);
    const cJSON *logprobs = field(all, "0.response.body.choices.0.logprobs"), *offset,
                *tokens = field(logprobs, "tokens");
    int n = cJSON_GetArraySize(tokens);
    double last = 0;
    cJSON_ArrayForEach(offset, field(logprobs, "text_offset"))
    {
        assert_true(offset->valuedouble >= last);
        last = offset->valuedouble;
    }
    assert_string_equal(cJSON_GetArrayItem(tokens, n - 1)->valuestring, "x");
    assert_int_equal(last, 5); /* two letters, a space, a thumb and a space come before it: 10 bytes */
    cJSON_Delete(all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(stops, batch_set_up, batch_tear_down),
        cmocka_unit_test_setup_teardown(offsets, batch_set_up, batch_tear_down)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
