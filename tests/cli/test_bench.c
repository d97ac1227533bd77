/* gpt2q bench: its figures differ from run to run, so only names, shapes and relations that always hold
 * are asserted. */
#include "tests/cli.h"

#define TINY "bench --quiet --shape 2x64x4 --repeat 2 "

static const char *text(const cJSON *object, const char *key)
{
    const cJSON *i = item(object, key);
    if (!cJSON_IsString(i)) fail_msg("key '%s' is not a string", key);
    return i->valuestring;
}

static void assert_figures(const cJSON *result)
{
    const cJSON *rate = item(result, "tokens_per_s");
    double median = number(rate, "median"), bound = number(result, "bound_tokens_per_s");
    assert_true(number(rate, "min") > 0 && number(rate, "min") <= median && median <= number(rate, "max"));
    assert_true(bound > 0 && number(result, "bytes_per_token") > 0);
    double fraction = number(result, "fraction_of_bound") / (median / bound);
    assert_true(fraction > 0.999999 && fraction < 1.000001);
}

static void every_test_of_every_scheme_is_reported(void **state)
{
    (void)state;
    cJSON *doc = expect_json(
        TINY "--schemes f32,i8@f32 --prefill 5,17 --decode 3 --position 4 --batch 1,3 --threads 1,2 --json");
    const cJSON *machine = item(doc, "machine"), *results = item(doc, "results");
    assert_true(*text(machine, "cpu") && *text(machine, "isa"));
    assert_int_equal(number(machine, "threads"), 2);
    assert_true(number(machine, "read_gb_s") > 0 && number(machine, "gflops_f32") > 0 &&
                number(machine, "gops_i8") > 0);
    assert_true(cJSON_IsNull(item(machine, "l3_bytes")) || number(machine, "l3_bytes") > 0);
    assert_int_equal(cJSON_GetArraySize(results), 2 * 2 * (2 + 2));
    for (int i = 0; i < 16; i++) {
        const cJSON *r = cJSON_GetArrayItem(results, i);
        bool decode = i % 4 >= 2;
        assert_figures(r);
        assert_string_equal(text(r, "scheme"), i < 8 ? "f32" : "i8:channel:absmax");
        assert_string_equal(text(r, "activations"), "f32");
        assert_string_equal(text(r, "test"), decode ? "decode" : "prefill");
        assert_int_equal(number(r, "threads"), i / 4 % 2 + 1);
        assert_int_equal(number(r, "tokens"), decode ? 3 : i % 4 ? 17 : 5);
        assert_int_equal(number(r, "batch"), i % 4 == 3 ? 3 : 1);
        assert_int_equal(number(r, "position"), decode ? 4 : 0);
    }
    /* the same bytes for any threads; fewer a token for three sequences, and in a quarter of the bits */
    double one = number(cJSON_GetArrayItem(results, 2), "bytes_per_token"),
           three = number(cJSON_GetArrayItem(results, 3), "bytes_per_token");
    assert_true(three < one / 2 && number(cJSON_GetArrayItem(results, 6), "bytes_per_token") == one);
    assert_true(number(cJSON_GetArrayItem(results, 10), "bytes_per_token") < one / 3);
    cJSON_Delete(doc);
}

static void all_logits_read_the_head_once(void **state)
{
    (void)state;
    cJSON *last = expect_json(TINY "--schemes f32 --prefill 8 --json"),
          *all = expect_json(TINY "--schemes f32 --prefill 8 --all-logits --json");
    const cJSON *a = cJSON_GetArrayItem(item(last, "results"), 0),
                *b = cJSON_GetArrayItem(item(all, "results"), 0);
    assert_true(number(a, "bytes_per_token") == number(b, "bytes_per_token"));
    cJSON_Delete(last), cJSON_Delete(all);
}

/* Parts, sampling and (for decoding) the scheduler make the step; the weights' bytes are those of the whole.
 */
static void a_profile_names_the_parts(void **state)
{
    (void)state;
    static const char *const names[] = {"embed",    "norm",       "attn.c_attn", "attention", "attn.c_proj",
                                        "mlp.c_fc", "mlp.c_proj", "lm_head",     "sampling",  "scheduler"};
    cJSON *doc =
        expect_json(TINY "--schemes i8@f32 --prefill 9 --decode 4 --position 3 --batch 2 --profile --json");
    for (int i = 0; i < 2; i++) {
        const cJSON *r = cJSON_GetArrayItem(item(doc, "results"), i), *parts = item(r, "profile");
        double bytes = 0;
        assert_int_equal(cJSON_GetArraySize(parts), i ? 10 : 9);
        for (int k = 0; k < (i ? 10 : 9); k++) {
            const cJSON *part = cJSON_GetArrayItem(parts, k);
            assert_string_equal(text(part, "part"), names[k]);
            assert_true(number(part, "seconds") >= 0 && number(part, "gflops") >= 0);
            if (k > 0 && k < 8)
                assert_true(number(part, "seconds") > 0 && number(part, "fraction_of_bound") > 0);
            bytes += number(part, "bytes");
        }
        double whole = number(r, "bytes_per_token") * (i ? 2 : 9);
        assert_true(bytes > 0.999 * whole && bytes < 1.001 * whole);
    }
    cJSON_Delete(doc);
}

static void the_tokenizer_has_no_bound(void **state)
{
    (void)state;
    cJSON *doc = expect_json("bench --quiet --repeat 2 -m models/tales-7m --tokenizer README.md --json");
    const cJSON *r = cJSON_GetArrayItem(item(doc, "results"), 0);
    assert_int_equal(cJSON_GetArraySize(item(doc, "results")), 1);
    assert_string_equal(text(r, "test"), "tokenize");
    assert_true(number(r, "tokens") > 10 && number(r, "bytes_per_token") > 1 && number(r, "mb_per_s") > 0);
    assert_true(cJSON_IsNull(item(r, "bound_tokens_per_s")) && cJSON_IsNull(item(r, "scheme")));
    cJSON_Delete(doc);
}

static void other_outputs(void **state)
{
    (void)state;
    struct cli csv = cli_run(TINY "--schemes f32 --prefill 4 --csv"),
               md = cli_run(TINY "--schemes f32 --prefill 4 --markdown");
    struct cli table = cli_run(TINY "--schemes f32 --prefill 4");
    assert_true(!csv.code && !md.code && !table.code);
    assert_true(!strncmp(csv.out, "scheme,activations,test,tokens,batch,position,threads,", 54));
    assert_non_null(strstr(csv.out, "\nf32,f32,prefill,4,1,0,"));
    assert_non_null(strstr(md.out, "\n| f32 | f32 | prefill | 4 | 1 | 0 |"));
    assert_non_null(strstr(table.out, "of bound"));
    assert_string_equal(table.error, "");
    cli_free(&csv), cli_free(&md), cli_free(&table);
}

/* The tiny model lies in the third-level cache wherever the system names one. */
static void names_a_cache_that_holds_the_model(void **state)
{
    (void)state;
    cJSON *doc = expect_json(TINY "--schemes f32 --prefill 4 --json");
    const cJSON *l3 = item(item(doc, "machine"), "l3_bytes");
    struct cli table = cli_run(TINY "--schemes f32 --prefill 4");
    assert_int_equal(!cJSON_IsNull(l3), strstr(table.out, "the third-level cache (") != NULL);
    cli_free(&table);
    cJSON_Delete(doc);
}

static void wrong_usage(void **state)
{
    (void)state;
    expect_failure(2, "did you mean", "bench --shap gpt2");
    expect_failure(2, "LAYERSxWIDTHxHEADS", "bench --shape gpt3");
    expect_failure(2, "multiple of its 5 heads", "bench --shape 2x64x5");
    expect_failure(2, "separated by commas", "bench --shape 2x64x4 --prefill 12,,3");
    expect_failure(2, "separated by commas", "bench --shape 2x64x4 --batch 0");
    expect_failure(2, "separated by commas", "bench --shape 2x64x4 --threads two");
    expect_failure(2, "did you mean", "bench --shape 2x64x4 --schemes f32,i9");
    expect_failure(2, "which takes f32 activations only", "bench --shape 2x64x4 --schemes f32@i8");
    expect_failure(2, "--activations is 'i7'", "bench --shape 2x64x4 --schemes i8@i7");
    expect_failure(2, "--kv is", "bench --shape 2x64x4 --kv f8");
    expect_failure(2, "exclude each other", "bench --shape 2x64x4 --json --csv");
    expect_failure(2, "exclude each other", "bench --shape 2x64x4 -m models/tales-7m");
    expect_failure(2, "nothing to do", "bench --shape 2x64x4 --decode 0");
    expect_failure(2, "no argument", "bench gpt2");
}

static void what_cannot_be_done(void **state)
{
    (void)state;
    expect_failure(1, "but the model has 1024", TINY "--schemes f32 --prefill 1025");
    expect_failure(1, "but the model has 1024", TINY "--schemes f32 --decode 8 --position 1020");
    expect_failure(1, "nothing-here", "bench --quiet --tokenizer nothing-here");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_test_of_every_scheme_is_reported),
        cmocka_unit_test(all_logits_read_the_head_once),
        cmocka_unit_test(a_profile_names_the_parts),
        cmocka_unit_test(the_tokenizer_has_no_bound),
        cmocka_unit_test(other_outputs),
        cmocka_unit_test(names_a_cache_that_holds_the_model),
        cmocka_unit_test(wrong_usage),
        cmocka_unit_test(what_cannot_be_done),
    };
    return cmocka_run_group_tests_name("bench", tests, NULL, NULL);
}
