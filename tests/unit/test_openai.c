/* Requests to /v1/completions: every field, its range, its default; answers: every form of them. */
#include "tests/support.h"
#include "base/memory.h"
#include "openai/answer.h"
#include <math.h>

static const struct openai_rules rules = {.prompts = {.many = true, .most = 4, .vocab_size = 8193},
                                          .seed = 77};

static gpt2q_status read_with(const char *text, const struct openai_rules *with, struct openai_request *r,
                              struct openai_error *err)
{
    cJSON *body;
    gpt2q_error reason;
    if (json_parse(text, strlen(text), NULL, &body, &reason)) fail_msg("%s: %s", text, reason.message);
    gpt2q_status s = openai_request_read(body, with, r, err);
    cJSON_Delete(body); /* the request holds copies */
    return s;
}

static struct openai_request accepted(const char *text)
{
    struct openai_request r;
    struct openai_error err;
    if (read_with(text, &rules, &r, &err)) fail_msg("%s: %s", text, err.error.message);
    return r;
}

static void defaults_are_those_of_the_api(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "{}",
        "{\"prompt\":null,\"max_tokens\":null,\"temperature\":null,\"logprobs\":null,\"seed\":null,\"stop\":"
        "null,"
        "\"suffix\":null,\"stream_options\":null,\"best_of\":null,\"n\":null,\"logit_bias\":null,\"response_"
        "format\":null,\"tools\":null,\"guided_json\":null}",
        "{\"frequency_penalty\":0,\"presence_penalty\":0.0,\"logit_bias\":{},\"stop\":[],\"suffix\":\"\","
        "\"stream\":false,"
        "\"min_tokens\":0,\"stop_token_ids\":[],\"include_stop_str_in_output\":"
        "false,\"user\":\"u\","
        "\"metadata\":{\"a\":1},\"skip_special_tokens\":true,\"length_penalty\":1,\"use_beam_search\":false,"
        "\"priority\":0,"
        "\"response_format\":{\"type\":\"text\"},\"logprobs\":false,\"top_k\":-1,\"best_of\":1}"};
    for (size_t i = 0; i < 3; i++) {
        struct openai_request r = accepted(texts[i]);
        assert_int_equal(r.request.max_tokens, 16);
        assert_true(r.request.sampling.temperature == 1 && r.request.sampling.top_p == 1);
        assert_int_equal(r.request.sampling.seed, 77);
        assert_int_equal(r.request.sampling.top_k, 0);
        assert_int_equal(r.request.n_samples, 1);
        assert_int_equal(r.request.n_logprobs, -1);
        assert_int_equal(r.request.n_stop, 0);
        assert_false(r.has_seed || r.stream || r.request.echo || r.request.truncate_left || r.model);
        assert_int_equal(r.n_prompts, 1);
        assert_string_equal(r.prompts[0].text, "");
        openai_request_free(&r);
    }
}

static void every_field_is_read(void **state)
{
    (void)state;
    struct openai_request r =
        accepted("{\"model\":\"m\",\"prompt\":[[1,2],[8192]],\"max_completion_tokens\":5.0,\"temperature\":0."
                 "5,\"top_p\":0.25,\"top_k\":3,"
                 "\"min_p\":0.125,\"repetition_penalty\":1.5,\"stop\":[\"a\",\"b\"],\"ignore_eos\":true,"
                 "\"n\":2,\"best_of\":2,\"seed\":-4,"
                 "\"logprobs\":20,\"echo\":true,\"truncate_prompt_tokens\":-1,\"return_token_ids\":true,"
                 "\"return_tokens_as_token_ids\":true,\"speculate\":7,\"timings\":true}");
    assert_string_equal(r.model, "m");
    assert_int_equal(r.n_prompts, 2);
    assert_int_equal(r.prompts[0].n_ids, 2);
    assert_int_equal(r.prompts[1].ids[0], 8192);
    assert_int_equal(r.request.max_tokens, 5);
    assert_true(r.request.sampling.temperature == 0.5f && r.request.sampling.top_p == 0.25);
    assert_true(r.request.sampling.min_p == 0.125f && r.request.sampling.repetition_penalty == 1.5f);
    assert_int_equal(r.request.sampling.top_k, 3);
    assert_int_equal(r.request.n_stop, 2);
    assert_string_equal(r.request.stop[1], "b");
    assert_int_equal(r.request.n_samples, 2);
    assert_true((int64_t)r.request.sampling.seed == -4 && r.has_seed);
    assert_int_equal(r.request.n_logprobs, 20);
    assert_int_equal(r.request.speculate, 7);
    assert_true(r.request.ignore_eos && r.request.echo && r.request.truncate_left && r.return_token_ids &&
                r.return_tokens_as_token_ids && r.timings);
    openai_request_free(&r);
    r = accepted("{\"prompt\":[\"a\",\"bc\"],\"logprobs\":true,\"top_p\":0,\"max_tokens\":0,\"echo\":true}");
    assert_int_equal(r.n_prompts, 2);
    assert_int_equal(r.prompts[1].n, 2);
    assert_int_equal(r.request.n_logprobs, 1);
    assert_true(r.request.sampling.top_p > 0 && r.request.sampling.top_p < 1e-30);
    openai_request_free(&r);
    struct openai_rules streams = rules;
    struct openai_error err;
    streams.streams = true;
    assert_int_equal(
        read_with("{\"stream\":true,\"stream_options\":{\"include_usage\":true}}", &streams, &r, &err), 0);
    assert_true(r.stream && r.include_usage && !r.continuous_usage);
    openai_request_free(&r);
}

static void rules_of_tokens_are_read(void **state)
{
    (void)state;
    struct openai_request r =
        accepted("{\"frequency_penalty\":0.5,\"presence_penalty\":-1,\"logit_bias\":{\"7\":-100,\"9\":1.5},"
                 "\"allowed_token_ids\":[3,4],\"stop_token_ids\":[5],\"min_tokens\":2,\"n\":2,\"best_of\":3,"
                 "\"prompt_logprobs\":4,\"logprobs\":1,\"truncate_prompt_tokens\":6}");
    assert_true(r.request.sampling.frequency_penalty == 0.5f && r.request.sampling.presence_penalty == -1.0f);
    assert_int_equal(r.request.n_logit_bias, 2);
    assert_int_equal(r.request.logit_bias[1].id, 9);
    assert_true(r.request.logit_bias[0].bias == -100.0f && r.request.logit_bias[1].bias == 1.5f);
    assert_int_equal(r.request.n_allowed, 2);
    assert_int_equal(r.request.stop_ids[0], 5);
    assert_int_equal(r.request.min_tokens, 2);
    assert_int_equal(r.n, 2);
    assert_int_equal(r.request.n_samples, 3);
    assert_int_equal(r.request.n_logprobs, 4); /* the larger of the two */
    assert_true(r.request.echo && !r.echo && r.request.ranks);
    assert_int_equal(r.request.keep_last, 6);
    openai_request_free(&r);
    r = accepted("{\"n\":1,\"best_of\":2}");
    assert_int_equal(r.request.n_logprobs, 0); /* so that they can be ranked */
    assert_int_equal(r.logprobs, -1);
    openai_request_free(&r);
}

static void the_best_of_several_are_answered(void **state)
{
    (void)state;
    struct openai_request r = accepted("{\"n\":2,\"best_of\":3}");
    char a[] = "\"a\":1", b[] = "\"b\":1", c[] = "\"c\":1";
    const struct openai_choice choices[] = {{a, -2}, {b, -1}, {c, -1}};
    const struct openai_head head = {.id = "i", .model = "m"};
    const struct openai_usage usage = {0};
    struct json_writer w = {0};
    openai_completion_write(&w, &head, "text_completion", &r, choices, &usage, NULL);
    char *text = json_finish(&w);
    assert_non_null(strstr(text, "[{\"index\":0,\"b\":1},{\"index\":1,\"c\":1}]"));
    mem_free(text);
    openai_request_free(&r);
}

static void what_is_wrong_is_named(void **state)
{
    (void)state;
    static const struct {
        const char *text, *code, *param, *message;
    } cases[] = {
        {"{\"max_tokns\":1}", "unknown_field", "max_tokns",
         "unknown field 'max_tokns': did you mean 'max_tokens'?"},
        {"{\"Prompt\":\"a\"}", "unknown_field", "Prompt", "unknown field 'Prompt': did you mean 'prompt'?"},
        {"{\"model\":7}", "invalid_type", "model", "model must be a text"},
        {"{\"max_tokens\":-1}", "invalid_value", "max_tokens", "max_tokens must be an integer >= 0, not -1"},
        {"{\"max_tokens\":\"5\"}", "invalid_type", "max_tokens",
         "max_tokens must be an integer >= 0, not a string"},
        {"{\"max_tokens\":1.5}", "invalid_value", "max_tokens",
         "max_tokens must be an integer >= 0, not 1.5"},
        {"{\"max_tokens\":true}", "invalid_type", "max_tokens",
         "max_tokens must be an integer >= 0, not true"},
        {"{\"max_tokens\":0}", "invalid_value", "max_tokens",
         "max_tokens must be at least 1 unless echo is true, not 0"},
        {"{\"max_tokens\":1,\"max_completion_tokens\":1}", "invalid_value", "max_completion_tokens",
         "max_tokens and max_completion_tokens are one field"},
        {"{\"temperature\":3}", "invalid_value", "temperature",
         "temperature must be a number from 0 to 2, not 3"},
        {"{\"top_p\":1.5}", "invalid_value", "top_p", "top_p must be a number from 0 to 1, not 1.5"},
        {"{\"top_k\":-2}", "invalid_value", "top_k", "top_k must be an integer >= -1, not -2"},
        {"{\"min_p\":-0.5}", "invalid_value", "min_p", "min_p must be a number from 0 to 1, not -0.5"},
        {"{\"repetition_penalty\":0}", "invalid_value", "repetition_penalty", "repetition_penalty must be"},
        {"{\"frequency_penalty\":2.5}", "invalid_value", "frequency_penalty",
         "frequency_penalty must be a number from -2 to 2, not 2.5"},
        {"{\"presence_penalty\":\"1\"}", "invalid_type", "presence_penalty",
         "presence_penalty must be a number"},
        {"{\"logit_bias\":{\"5\":101}}", "invalid_value", "logit_bias.5",
         "logit_bias.5 must be from -100 to 100"},
        {"{\"logit_bias\":{\"x\":1}}", "invalid_value", "logit_bias.x", "logit_bias: 'x' is no id"},
        {"{\"logit_bias\":{\"8193\":1}}", "invalid_value", "logit_bias.8193", "logit_bias: '8193' is no id"},
        {"{\"logit_bias\":{\"5\":\"1\"}}", "invalid_type", "logit_bias.5", "logit_bias.5 must be a number"},
        {"{\"logit_bias\":[5]}", "invalid_type", "logit_bias", "logit_bias must be an object"},
        {"{\"min_tokens\":17}", "invalid_value", "min_tokens",
         "min_tokens must be at most max_tokens (16), not 17"},
        {"{\"allowed_token_ids\":[]}", "invalid_value", "allowed_token_ids", "allowed_token_ids must have"},
        {"{\"allowed_token_ids\":[8193]}", "invalid_value", "allowed_token_ids",
         "allowed_token_ids must have ids"},
        {"{\"stop_token_ids\":7}", "invalid_type", "stop_token_ids",
         "stop_token_ids must be an array of ids"},
        {"{\"suffix\":\"x\"}", "unsupported_parameter", "suffix", "suffix is not supported"},
        {"{\"include_stop_str_in_output\":true}", "unsupported_parameter", "include_stop_str_in_output",
         "include_stop"},
        {"{\"n\":2,\"best_of\":21}", "invalid_value", "best_of", "best_of must be at most 20, not 21"},
        {"{\"n\":2,\"best_of\":1}", "invalid_value", "best_of", "best_of must be at least n (2), not 1"},
        {"{\"n\":129}", "invalid_value", "n", "n must be an integer from 1 to 128, not 129"},
        {"{\"logprobs\":21}", "invalid_value", "logprobs",
         "logprobs must be an integer from 0 to 20, not 21"},
        {"{\"prompt_logprobs\":21}", "invalid_value", "prompt_logprobs",
         "prompt_logprobs must be an integer"},
        {"{\"stream\":true}", "unsupported_parameter", "stream", "stream is not supported here"},
        {"{\"stream_options\":{\"include_usage\":true}}", "invalid_value", "stream_options",
         "stream_options must not be given"},
        {"{\"response_format\":{\"type\":\"json_object\"}}", "unsupported_parameter", "response_format",
         "response_format"},
        {"{\"tools\":[{}]}", "unsupported_parameter", "tools", "tools is not supported"},
        {"{\"tools\":[]}", "unsupported_parameter", "tools", "tools is not supported"},
        {"{\"tool_choice\":\"none\"}", "unsupported_parameter", "tool_choice", "tool_choice is not"},
        {"{\"structured_outputs\":{}}", "unsupported_parameter", "structured_outputs",
         "structured_outputs is"},
        {"{\"grammar\":\"\"}", "unsupported_parameter", "grammar", "grammar is not supported"},
        {"{\"guided_json\":{}}", "unsupported_parameter", "guided_json", "guided_json is not supported"},
        {"{\"guided_decoding_backend\":\"x\"}", "unsupported_parameter", "guided_decoding_backend",
         "guided_decoding_backend is not supported"},
        {"{\"use_beam_search\":0}", "unsupported_parameter", "use_beam_search",
         "use_beam_search is not supported unless it is false"},
        {"{\"priority\":false}", "unsupported_parameter", "priority",
         "priority is not supported unless it is 0"},
        {"{\"length_penalty\":2}", "unsupported_parameter", "length_penalty",
         "length_penalty is not supported unless it is 1"},
        {"{\"truncate_prompt_tokens\":0}", "invalid_value", "truncate_prompt_tokens",
         "truncate_prompt_tokens must be -1"},
        {"{\"stop\":[\"\"]}", "invalid_value", "stop", "stop must be a text or an array of texts, entry 1"},
        {"{\"stop\":[1]}", "invalid_type", "stop", "stop must be a text or an array of texts, entry 1"},
        {"{\"stop\":7}", "invalid_type", "stop", "stop must be a text or an array of texts"},
        {"{\"prompt\":[]}", "invalid_value", "prompt", "prompt is an empty array"},
        {"{\"prompt\":[[1],[]]}", "invalid_value", "prompt[1]", "prompt[1] is an empty array"},
        {"{\"prompt\":[\"a\",[1]]}", "invalid_type", "prompt[1]",
         "prompt[1]: a list of prompts is texts or arrays of ids"},
        {"{\"prompt\":[1,\"a\"]}", "invalid_type", "prompt",
         "prompt must be a text or an array of ids, entry 2 is no id"},
        {"{\"prompt\":[[1],[8193]]}", "invalid_value", "prompt[1]",
         "prompt[1] must have ids below 8193, but entry 1 is 8193"},
        {"{\"prompt\":[\"a\",\"b\",\"c\",\"d\",\"e\"]}", "too_many", "prompt",
         "prompt has 5 entries where 4 are possible"},
        {"{\"prompt\":{}}", "invalid_type", "prompt", "prompt must be a text or an array of ids"},
        {"{\"seed\":1.5}", "invalid_value", "seed", "seed must be an integer"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct openai_request r;
        struct openai_error err = {.code = NULL};
        if (!read_with(cases[i].text, &rules, &r, &err)) fail_msg("%s was accepted", cases[i].text);
        openai_request_free(&r);
        if (strncmp(err.error.message, cases[i].message, strlen(cases[i].message)))
            fail_msg("%s: '%s' where '%s' is expected", cases[i].text, err.error.message, cases[i].message);
        assert_string_equal(err.code, cases[i].code);
        assert_string_equal(err.param, cases[i].param);
        assert_int_equal(openai_error_http_status(err.code), 400);
    }
}

static void stops_at_the_limit(void **state)
{
    (void)state;
    for (int n = 32; n <= 33; n++) {
        char text[512] = "{\"stop\":[";
        for (int i = 0; i < n; i++) strcat(text, i ? ",\"x\"" : "\"x\"");
        strcat(text, "]}");
        struct openai_request r;
        struct openai_error err = {.code = NULL};
        gpt2q_status s = read_with(text, &rules, &r, &err);
        assert_int_equal(s == GPT2Q_OK, n == 32);
        if (s) assert_string_equal(err.error.message, "stop has 33 entries where 32 are possible");
        openai_request_free(&r);
    }
}

static void errors_are_objects(void **state)
{
    (void)state;
    struct openai_error e;
    struct json_writer w = {0};
    openai_error_set(&e, GPT2Q_FORMAT, "invalid_value", "prompt[3]", "prompt[3] is \"%s\"", "x");
    openai_error_write(&w, &e, "req-1");
    char *text = json_finish(&w);
    assert_string_equal(
        text,
        "{\"message\":\"prompt[3] is \\\"x\\\"\",\"type\":\"invalid_request_error\",\"param\":\"prompt[3]\","
        "\"code\":\"invalid_value\",\"request_id\":\"req-1\"}");
    mem_free(text);
    static const struct {
        gpt2q_status status;
        const char *code, *type;
        int http;
    } cases[] = {{GPT2Q_OUT_OF_MEMORY, "out_of_memory", "unavailable_error", 503},
                 {GPT2Q_NON_FINITE, "non_finite", "server_error", 500},
                 {GPT2Q_QUEUE_FULL, "queue_full", "rate_limit_error", 429},
                 {GPT2Q_INVALID_ARGUMENT, "invalid_value", "invalid_request_error", 400}};
    for (size_t i = 0; i < 4; i++) {
        gpt2q_error error = {.status = cases[i].status, .message = "m"};
        openai_error_of(&e, &error);
        assert_string_equal(e.code, cases[i].code);
        assert_string_equal(openai_error_type(e.code), cases[i].type);
        assert_int_equal(openai_error_http_status(e.code), cases[i].http);
    }
}

/* ---- answers, of a result made by hand: ids whose bytes the default model knows ---- */

static gpt2q_model *model;

static int32_t id_of(const char *text)
{
    int32_t id;
    size_t n;
    gpt2q_error err;
    if (gpt2q_tokenize(model, text, strlen(text), 0, &id, 1, &n, &err)) fail_msg("%s: %s", text, err.message);
    return id;
}

static void choices_say_what_was_made(void **state)
{
    (void)state;
    struct openai_request r = accepted(
        "{\"prompt\":\"A\",\"echo\":true,\"logprobs\":2,\"n\":2,\"seed\":-1,\"return_token_ids\":true}");
    const int32_t a = id_of("A"), b = id_of("b"), byte = id_of("\xe2");
    const gpt2q_token_logprob top[] = {{byte, -0.5f}, {a, -1.5f}};
    const gpt2q_position positions[] = {{.id = a, .in_prompt = true, .logprob = -INFINITY, .top = NULL},
                                        {.id = b, .logprob = -2.5f, .top = top}};
    const gpt2q_result result = {.finish = GPT2Q_FINISH_STOP,
                                 .prompt_ids = &a,
                                 .n_prompt = 1,
                                 .ids = &b,
                                 .n_ids = 1,
                                 .text = "",
                                 .stop = "b",
                                 .stop_id = -1,
                                 .positions = positions,
                                 .n_positions = 2};
    struct json_writer w = {0};
    struct openai_choice choice, choices[2];
    char want[1024];
    assert_true(openai_choice_make(&choice, model, &r, 0, 1, &result));
    char *text = choice.fields;
    snprintf(want, sizeof want,
             "\"text\":\"A\",\"logprobs\":{\"tokens\":[\"A\",\"b\"],\"token_logprobs\":[null,-2."
             "5],\"top_logprobs\":"
             "[null,{\"bytes:\\\\xe2\":-0.5,\"A\":-1.5,\"b\":-2.5}],\"text_offset\":[0,1]},\"finish_reason\":"
             "\"stop\","
             "\"stop_reason\":\"b\",\"seed\":0,\"prompt_token_ids\":[%d],\"token_ids\":[%d]",
             (int)a, (int)b);
    assert_string_equal(text, want);
    choices[1] = choice;
    r.logprobs = 0; /* K = 0: no best ones */
    r.return_token_ids = false;
    assert_true(openai_choice_make(&choices[0], model, &r, 0, 0, &result));
    text = choices[0].fields;
    assert_string_equal(
        text, "\"text\":\"A\",\"logprobs\":{\"tokens\":[\"A\",\"b\"],\"token_logprobs\":[null,-2.5],"
              "\"top_logprobs\":null,\"text_offset\":[0,1]},\"finish_reason\":\"stop\",\"stop_reason\":\"b\","
              "\"seed\":-1");
    const struct openai_head head = {.id = "cmpl-1", .model = "m", .created = 9};
    const struct openai_usage usage = {.prompt_tokens = 1, .completion_tokens = 2};
    openai_completion_write(&w, &head, "text_completion", &r, choices, &usage, NULL);
    char *whole = json_finish(&w);
    snprintf(want, sizeof want,
             "{\"id\":\"cmpl-1\",\"object\":\"text_completion\",\"created\":9,\"model\":\"m\",\"choices\":[{"
             "\"index\":0,%"
             "s},{\"index\":1,%s}],\"usage\":"
             "{\"prompt_tokens\":1,\"completion_tokens\":2,\"total_tokens\":3}}",
             text, choices[1].fields);
    assert_string_equal(whole, want);
    mem_free(whole);
    mem_free(text);
    mem_free(choices[1].fields);
    openai_request_free(&r);
}

/* Tokens that differ only in case are two names. */
static void names_keep_their_case(void **state)
{
    (void)state;
    struct openai_request r = accepted("{\"prompt\":\"A\",\"logprobs\":2}");
    const int32_t upper = id_of("D"), lower = id_of("d");
    const gpt2q_token_logprob top[] = {{upper, -0.5f}, {lower, -1.5f}};
    const gpt2q_position position = {.id = upper, .logprob = -0.5f, .top = top};
    const gpt2q_result result = {
        .text = "D", .text_len = 1, .stop_id = -1, .positions = &position, .n_positions = 1};
    struct openai_choice choice;
    assert_true(openai_choice_make(&choice, model, &r, 0, 0, &result));
    char *text = choice.fields;
    assert_non_null(strstr(text, "[{\"D\":-0.5,\"d\":-1.5}]"));
    mem_free(text);
    openai_request_free(&r);
}

static void failed_allocations_are_errors(void **state)
{
    (void)state;
    static const char body[] = "{\"model\":\"m\",\"prompt\":[\"a\",\"b\"],\"stop\":[\"x\",\"y\"]}";
    cJSON *tree;
    gpt2q_error reason;
    struct openai_request r;
    struct openai_error err;
    assert_int_equal(json_parse(body, sizeof body - 1, NULL, &tree, &reason), GPT2Q_OK);
    for (int64_t i = 0;; i++) {
        mem_fail_after(i);
        gpt2q_status s = openai_request_read(tree, &rules, &r, &err);
        mem_fail_after(-1);
        openai_request_free(&r);
        if (!s) {
            assert_true(i >= 6);
            break;
        }
        assert_int_equal(s, GPT2Q_OUT_OF_MEMORY);
        assert_string_equal(err.code, "out_of_memory");
    }
    cJSON_Delete(tree);
    r = accepted("{\"prompt\":\"A\",\"logprobs\":2}");
    const int32_t a = id_of("A");
    const gpt2q_token_logprob top[] = {{a, -0.5f}, {a, -0.5f}};
    const gpt2q_position position = {.id = a, .logprob = -0.5f, .top = top};
    const gpt2q_result result = {
        .text = "A", .text_len = 1, .stop_id = -1, .positions = &position, .n_positions = 1};
    for (int64_t i = 0;; i++) {
        struct openai_choice choice = {0};
        mem_fail_after(i);
        openai_choice_make(&choice, model, &r, 0, 0, &result);
        char *text = choice.fields;
        mem_fail_after(-1);
        mem_free(text);
        if (text) {
            assert_true(i >= 4);
            break;
        }
    }
    openai_request_free(&r);
}

static int open_model(void **state)
{
    (void)state;
    gpt2q_error err;
    if (gpt2q_model_open(repo_path("models/tales-7m"), NULL, &model, &err)) fail_msg("%s", err.message);
    return 0;
}

static int close_model(void **state)
{
    (void)state;
    gpt2q_model_close(model);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(defaults_are_those_of_the_api),
                                       cmocka_unit_test(every_field_is_read),
                                       cmocka_unit_test(rules_of_tokens_are_read),
                                       cmocka_unit_test(the_best_of_several_are_answered),
                                       cmocka_unit_test(what_is_wrong_is_named),
                                       cmocka_unit_test(stops_at_the_limit),
                                       cmocka_unit_test(errors_are_objects),
                                       cmocka_unit_test(choices_say_what_was_made),
                                       cmocka_unit_test(names_keep_their_case),
                                       cmocka_unit_test(failed_allocations_are_errors)};
    return cmocka_run_group_tests(tests, open_model, close_model);
}
