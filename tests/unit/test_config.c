/* config.json: every key with its default, alias and refusal. */
#include "tests/support.h"
#include "base/memory.h"
#include "model/config.h"

#define GPT2 "\"model_type\":\"gpt2\""

static gpt2q_config parsed(const char *text)
{
    gpt2q_config c;
    gpt2q_error err;
    if (config_parse(text, strlen(text), "config.json", &c, &err)) fail_msg("%s: %s", text, err.message);
    return c;
}

static void refused(const char *text, gpt2q_status status, const char *sentence)
{
    gpt2q_config c;
    gpt2q_error err;
    if (!config_parse(text, strlen(text), "config.json", &c, &err)) fail_msg("%s was accepted", text);
    assert_string_equal(err.message, sentence);
    assert_int_equal(err.status, status);
}

static void has_the_defaults_of_transformers(void **state)
{
    (void)state;
    gpt2q_config c = parsed("{" GPT2 "}");
    assert_int_equal(c.vocab_size, 50257);
    assert_int_equal(c.n_positions, 1024);
    assert_int_equal(c.n_embd, 768);
    assert_int_equal(c.n_layer, 12);
    assert_int_equal(c.n_head, 12);
    assert_int_equal(c.n_inner, 3072);
    assert_int_equal(c.bos_token_id, 50256);
    assert_int_equal(c.eos_token_id, 50256);
    assert_true(c.layer_norm_epsilon == 1e-5f);
    assert_string_equal(c.activation_function, "gelu_new");
    assert_true(c.scale_attn_weights && !c.scale_attn_by_inverse_layer_idx && c.tie_word_embeddings);
    assert_int_equal(config_activation(&c), ACT_GELU_NEW);
    assert_int_equal(config_parameters(&c), 124439808);
}

static void reads_every_key(void **state)
{
    (void)state;
    gpt2q_config c = parsed(
        "{" GPT2
        ",\"vocab_size\":300,\"n_positions\":64,\"n_embd\":60,\"n_layer\":3,\"n_head\":5,\"n_inner\":100,"
        "\"bos_token_id\":1,\"eos_token_id\":null,\"layer_norm_epsilon\":1e-3,\"activation_function\":"
        "\"silu\","
        "\"scale_attn_weights\":false,\"scale_attn_by_inverse_layer_idx\":true,\"tie_word_embeddings\":false,"
        "\"reorder_and_upcast_attn\":true,\"add_cross_attention\":false,\"resid_pdrop\":0.1,"
        "\"summary_type\":\"cls_index\",\"task_specific_params\":{\"a\":[1]},\"torch_dtype\":\"float16\"}");
    assert_int_equal(c.vocab_size, 300);
    assert_int_equal(c.n_positions, 64);
    assert_int_equal(c.n_embd, 60);
    assert_int_equal(c.n_layer, 3);
    assert_int_equal(c.n_head, 5);
    assert_int_equal(c.n_inner, 100);
    assert_int_equal(c.bos_token_id, 1);
    assert_int_equal(c.eos_token_id, -1);
    assert_true(c.layer_norm_epsilon == 1e-3f);
    assert_int_equal(config_activation(&c), ACT_SILU);
    assert_true(!c.scale_attn_weights && c.scale_attn_by_inverse_layer_idx && !c.tie_word_embeddings);
    /* two vocabulary matrices, positions, blocks, ln_f */
    assert_int_equal(config_parameters(&c),
                     2 * 300 * 60 + 64 * 60 +
                         3 * (60 * 180 + 180 + 60 * 60 + 60 + 60 * 100 + 100 + 100 * 60 + 60 + 240) + 120);
}

static void knows_aliases_and_twins(void **state)
{
    (void)state;
    gpt2q_config c = parsed("{" GPT2 ",\"hidden_size\":64,\"num_hidden_layers\":2,\"num_attention_heads\":4,"
                            "\"max_position_embeddings\":32}");
    assert_true(c.n_embd == 64 && c.n_layer == 2 && c.n_head == 4 && c.n_positions == 32 && c.n_inner == 256);
    assert_int_equal(parsed("{" GPT2 ",\"n_ctx\":128}").n_positions, 128);
    assert_int_equal(parsed("{" GPT2 ",\"n_ctx\":128,\"n_positions\":128}").n_positions, 128);
    refused("{" GPT2 ",\"n_ctx\":128,\"n_positions\":256}", GPT2Q_FORMAT,
            "config.json: n_positions is 256 but n_ctx is 128");
    refused("{" GPT2 ",\"n_ctx\":128,\"max_position_embeddings\":256}", GPT2Q_FORMAT,
            "config.json: max_position_embeddings is 256 but n_ctx is 128");
    refused("{" GPT2 ",\"n_embd\":64,\"hidden_size\":128}", GPT2Q_FORMAT,
            "config.json: n_embd is 64 but hidden_size is 128");
}

static void takes_the_default_end_of_text_only_where_there_is_one(void **state)
{
    (void)state;
    assert_int_equal(parsed("{" GPT2 ",\"vocab_size\":50256}").eos_token_id, -1);
    assert_int_equal(parsed("{" GPT2 ",\"vocab_size\":50260}").eos_token_id, 50256);
    assert_int_equal(parsed("{" GPT2 ",\"bos_token_id\":null}").bos_token_id, -1);
    assert_int_equal(parsed("{" GPT2 ",\"vocab_size\":100,\"eos_token_id\":100}").eos_token_id, -1);
    assert_int_equal(parsed("{" GPT2 ",\"vocab_size\":100,\"bos_token_id\":50256}").bos_token_id, -1);
    assert_int_equal(parsed("{" GPT2 ",\"eos_token_id\":-1}").eos_token_id, -1);
    assert_int_equal(parsed("{" GPT2 ",\"eos_token_id\":1e300}").eos_token_id, -1);
}

static bool ends_are(const gpt2q_config *c, size_t n, const int32_t *ids)
{
    for (int32_t id = -1; id < c->vocab_size; id++) {
        bool expected = false;
        for (size_t i = 0; i < n; i++) expected |= ids[i] == id;
        if (config_is_end(c, id) != expected) return false;
    }
    return true;
}
#define ENDS(c, ...)                                                                                         \
    assert_true(ends_are(&(c), sizeof((int32_t[]){__VA_ARGS__}) / 4, (int32_t[]){__VA_ARGS__}))

static void several_ends(void **state)
{
    (void)state;
    gpt2q_config c = parsed("{" GPT2 ",\"eos_token_id\":[265, 10, 265, 50257, 999999, -1]}");
    assert_true(c.eos_token_id == 265 && c.n_more_eos == 1);
    ENDS(c, 265, 10);
    char *text = config_print(&c);
    assert_non_null(strstr(text, "\"eos_token_id\": [265, 10]"));
    gpt2q_config again = parsed(text);
    ENDS(again, 265, 10);
    mem_free(text);
    c = parsed("{" GPT2 ",\"eos_token_id\":[]}");
    ENDS(c, -2);
    c = parsed("{" GPT2 ",\"eos_token_id\":[0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,50256]}");
    assert_int_equal(c.n_more_eos, GPT2Q_MORE_EOS);
    text = config_print(&c);
    mem_free(text);
    refused("{" GPT2 ",\"eos_token_id\":[0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16]}", GPT2Q_UNSUPPORTED,
            "config.json: eos_token_id lists more than 16 ids");
    refused("{" GPT2 ",\"eos_token_id\":\"x\"}", GPT2Q_FORMAT,
            "config.json: eos_token_id must be an integer, a list of integers, or null");
    refused("{" GPT2 ",\"eos_token_id\":[1, null]}", GPT2Q_FORMAT,
            "config.json: eos_token_id must be an integer, a list of integers, or null");
    refused("{" GPT2 ",\"bos_token_id\":[1]}", GPT2Q_FORMAT,
            "config.json: bos_token_id must be an integer, or null");
    refused("{" GPT2 ",\"bos_token_id\":0.5}", GPT2Q_FORMAT,
            "config.json: bos_token_id must be an integer, or null");
}

static void opened_with(const char *directory, const char *generation, gpt2q_config *c)
{
    char path[4200];
    gpt2q_error err;
    snprintf(path, sizeof path, "%s/generation_config.json", directory);
    write_file(path, generation, strlen(generation));
    if (config_open(directory, c, &err)) fail_msg("%s", err.message);
}

/* generation_config.json decides, also by what it leaves out (transformers 5). */
static void generation_config(void **state)
{
    (void)state;
    static const char text[] = "{" GPT2 ",\"vocab_size\":300,\"bos_token_id\":7,\"eos_token_id\":[265, 10]}";
    char *directory = temp_directory(), path[4200];
    gpt2q_config c;
    gpt2q_error err;
    assert_int_equal(config_open(directory, &c, &err), GPT2Q_IO);
    snprintf(path, sizeof path, "%s/config.json", directory);
    write_file(path, text, strlen(text));
    assert_int_equal(config_open(directory, &c, &err), GPT2Q_OK);
    ENDS(c, 265, 10);
    assert_int_equal(c.bos_token_id, 7);
    opened_with(directory, "{\"eos_token_id\":[1,2,300],\"bos_token_id\":3,\"max_length\":1e20}", &c);
    ENDS(c, 1, 2);
    assert_int_equal(c.bos_token_id, 3);
    opened_with(directory, "{\"eos_token_id\":50256}", &c);
    ENDS(c, -2);
    opened_with(directory, "{}", &c);
    ENDS(c, -2);
    assert_true(c.bos_token_id == -1 && c.vocab_size == 300);
    snprintf(path, sizeof path, "%s/generation_config.json", directory);
    write_file(path, "[]", 2);
    assert_int_equal(config_open(directory, &c, &err), GPT2Q_FORMAT);
    assert_non_null(strstr(err.message, "generation_config.json: is not a JSON object"));
    temp_remove(directory);
}

static void refuses_what_it_cannot_do(void **state)
{
    (void)state;
    refused("{}", GPT2Q_FORMAT, "config.json: model_type is missing, expected \"gpt2\"");
    refused("[]", GPT2Q_FORMAT, "config.json: is not a JSON object");
    refused("{\"model_type\":\"llama\"}", GPT2Q_UNSUPPORTED,
            "config.json: model_type is \"llama\", only \"gpt2\" is supported");
    refused("{\"model_type\":2}", GPT2Q_FORMAT, "config.json: model_type is not a string");
    refused("{" GPT2 ",\"add_cross_attention\":true}", GPT2Q_UNSUPPORTED,
            "config.json: add_cross_attention is true, which is not supported");
    refused("{" GPT2 ",\"activation_function\":\"mish\"}", GPT2Q_UNSUPPORTED,
            "config.json: activation_function is \"mish\", supported are gelu_new (gelu_pytorch_tanh, "
            "gelu_fast), relu, silu (swish), gelu (gelu_python) and tanh");
    static const char *const aliases[][2] = {{"gelu_pytorch_tanh", "gelu_new"},
                                             {"gelu_fast", "gelu_new"},
                                             {"swish", "silu"},
                                             {"gelu_python", "gelu"}};
    for (size_t i = 0; i < sizeof aliases / sizeof *aliases; i++) {
        char text[128];
        snprintf(text, sizeof text, "{" GPT2 ",\"activation_function\":\"%s\"}", aliases[i][0]);
        assert_string_equal(parsed(text).activation_function, aliases[i][1]);
    }
    refused("{" GPT2 ",\"n_embd\":770}", GPT2Q_FORMAT,
            "config.json: n_embd 770 is not a multiple of n_head 12");
    refused("{" GPT2 ",\"n_embd\":0}", GPT2Q_FORMAT,
            "config.json: n_embd must be an integer from 1 to 65536, not 0");
    refused("{" GPT2 ",\"n_layer\":1025}", GPT2Q_FORMAT,
            "config.json: n_layer must be an integer from 1 to 1024, not 1025");
    refused("{" GPT2 ",\"vocab_size\":16777217}", GPT2Q_FORMAT,
            "config.json: vocab_size must be an integer from 1 to 16777216, not 16777217");
    refused("{" GPT2 ",\"n_head\":\"12\"}", GPT2Q_FORMAT,
            "config.json: n_head must be an integer from 1 to 4096, not a string");
    refused("{" GPT2 ",\"layer_norm_epsilon\":-1e-9}", GPT2Q_FORMAT,
            "config.json: layer_norm_epsilon must be a number from 0 to 1, not -1.0000000000000001e-09");
    assert_true(parsed("{" GPT2 ",\"layer_norm_epsilon\":0}").layer_norm_epsilon == 0);
    refused("{" GPT2 ",\"scale_attn_weights\":1}", GPT2Q_FORMAT,
            "config.json: scale_attn_weights must be true or false, not 1");
    refused("{" GPT2 ",\"n_layer\":2,\"n_layer\":2}", GPT2Q_FORMAT,
            "config.json: the key \"n_layer\" stands twice in one object");
}

static void prints_what_it_reads(void **state)
{
    (void)state;
    static const char *const names[] = {"gelu_new", "relu", "silu", "gelu", "tanh"};
    for (int i = 0; i < ACT_COUNT; i++) {
        char text[512];
        snprintf(
            text, sizeof text,
            "{" GPT2
            ",\"vocab_size\":%d,\"n_embd\":96,\"activation_function\":\"%s\",\"layer_norm_epsilon\":1.1e-5,"
            "\"eos_token_id\":%s,\"bos_token_id\":null,\"tie_word_embeddings\":%s}",
            1000 + i, names[i], i ? "7" : "null", i ? "true" : "false");
        gpt2q_config c = parsed(text);
        char *printed = config_print(&c);
        assert_non_null(printed);
        gpt2q_config again = parsed(printed);
        mem_free(printed);
        assert_int_equal(config_activation(&again), i);
        assert_true(again.layer_norm_epsilon == c.layer_norm_epsilon && again.vocab_size == c.vocab_size);
        assert_true(again.n_inner == c.n_inner && again.n_embd == c.n_embd &&
                    again.eos_token_id == c.eos_token_id);
        assert_true(again.bos_token_id == -1 && again.tie_word_embeddings == c.tie_word_embeddings);
    }
    gpt2q_config c = parsed("{" GPT2 "}");
    mem_fail_after(0);
    assert_null(config_print(&c));
    mem_fail_after(-1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(has_the_defaults_of_transformers),
        cmocka_unit_test(reads_every_key),
        cmocka_unit_test(knows_aliases_and_twins),
        cmocka_unit_test(takes_the_default_end_of_text_only_where_there_is_one),
        cmocka_unit_test(several_ends),
        cmocka_unit_test(generation_config),
        cmocka_unit_test(refuses_what_it_cannot_do),
        cmocka_unit_test(prints_what_it_reads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
