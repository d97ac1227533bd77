/* gpt2q compare: against the goldens, against generate and eval, and what it refuses. */
#include "tests/cli.h"
#include <math.h>
#include <stdlib.h>

#define COMPARE "compare --quiet --json "

static const cJSON *scheme_at(const cJSON *doc, int i) { return cJSON_GetArrayItem(item(doc, "schemes"), i); }

/* KL over the first window of the books, as schemes.json has it. */
static void kl_is_the_goldens(void **state)
{
    (void)state;
    static const char *const names[] = {
        "bf16",          "notes",         "i8:tensor:minmax", "i8:channel:absmax",
        "i4:g32:absmax", "i4:g32:affine", "i8:input:absmax",  "i4:g32:affine@i8"};
    cJSON *golden = json_of_file(repo_path("tests/golden/data/tales-7m/schemes.json"));
    cJSON *doc =
        expect_json(COMPARE "-n 0 -a f32 --window 256 --limit 256 --schemes "
                            "f32,bf16,notes,i8:tensor:minmax,i8,i4,i4:g32:affine,i8:input,i4:g32:affine@i8");
    for (int i = 0; i < 8; i++) {
        const cJSON *got = scheme_at(doc, i + 1), *want = item(item(golden, names[i]), "kl_books_256");
        near(number(got, "kl_mean"), number(want, "mean"), 0.05);
        near(number(got, "kl_max"), number(want, "max"),
             strchr(names[i], '@') ? 0.2 : 0.1); /* codes at ties may differ */
        near(number(got, "top1_agreement"), number(want, "top1_agreement"), 0.01);
    }
    cJSON_Delete(doc), cJSON_Delete(golden);
}

/* nll of a scheme over 8192 tokens, and the paired difference. */
static void nll_is_the_goldens_and_evals(void **state)
{
    (void)state;
    slow_build_skips();
    cJSON *golden = json_of_file(repo_path("tests/golden/data/tales-7m/schemes.json"));
    cJSON *doc = expect_json(COMPARE "-n 0 --schemes f32,i4@f32 --limit 8192");
    const cJSON *f32 = scheme_at(doc, 0), *i4 = scheme_at(doc, 1);
    near(number(f32, "nll"), number(item(item(item(golden, "f32"), "nll"), "books"), "mean"), 1e-4);
    near(number(i4, "nll"), number(item(item(item(golden, "i4:g32:absmax"), "nll"), "books"), "mean"), 1e-4);
    near(number(i4, "nll_delta"), number(i4, "nll") - number(f32, "nll"), 1e-6);
    assert_true(number(i4, "nll_delta_stderr") < number(i4, "nll_stderr") / 2); /* what pairing is for */
    assert_true(number(f32, "kl_mean") == 0 && number(f32, "top1_agreement") == 1);
    cJSON *eval = expect_json("eval --quiet --json -q i4 -a f32 --window 256 --limit 8192");
    assert_true(number(eval, "nll") == number(i4, "nll") &&
                number(eval, "nll_stderr") == number(i4, "nll_stderr"));
    cJSON_Delete(doc), cJSON_Delete(golden), cJSON_Delete(eval);
}

/* nf4's levels are int8 where activations are codes, and the report says so. */
static void rounded_levels_are_named(void **state)
{
    (void)state;
    cJSON *doc = expect_json(COMPARE "-n 0 --limit 64 --window 64 --schemes f32,nf4,nf4@f32,mxfp4");
    assert_string_equal(item(scheme_at(doc, 1), "levels")->valuestring, "int8");
    for (int i = 0; i < 4; i++) assert_int_equal(i == 1, cJSON_HasObjectItem(scheme_at(doc, i), "levels"));
    assert_true(number(scheme_at(doc, 1), "kl_mean") != number(scheme_at(doc, 2), "kl_mean"));
    cJSON_Delete(doc);
}

/* Every scheme's text is the one that generate makes. */
static void completions_are_each_schemes_own(void **state)
{
    (void)state;
    cJSON *doc = expect_json(COMPARE "--limit 64 --window 64 -n 24 --schemes f32,i8,i4,notes 'The quick "
                                     "brown fox jumped over the' 'In the beginning'");
    static const char *const specs[] = {"f32", "i8", "i4", "notes"};
    for (int i = 0; i < 4; i++) {
        const cJSON *list = item(scheme_at(doc, i), "completions"),
                    *reference = item(scheme_at(doc, 0), "completions");
        assert_int_equal(cJSON_GetArraySize(list), 2);
        char arguments[256];
        snprintf(arguments, sizeof arguments, "generate --quiet --json -n 24 -q %s 'In the beginning'",
                 specs[i]);
        cJSON *own = expect_json(arguments);
        const cJSON *k = cJSON_GetArrayItem(list, 1);
        assert_true(cJSON_Compare(item(own, "ids"), item(k, "ids"), true));
        assert_string_equal(item(own, "text")->valuestring, item(k, "text")->valuestring);
        for (int p = 0; p < 2; p++) {
            const cJSON *a = item(cJSON_GetArrayItem(reference, p), "ids"),
                        *b = item(cJSON_GetArrayItem(list, p), "ids");
            const cJSON *first = item(cJSON_GetArrayItem(list, p), "first_divergence");
            int n = 0, na = cJSON_GetArraySize(a), nb = cJSON_GetArraySize(b);
            while (n < na && n < nb &&
                   cJSON_GetArrayItem(a, n)->valueint == cJSON_GetArrayItem(b, n)->valueint)
                n++;
            if (n == na && n == nb)
                assert_true(cJSON_IsNull(first));
            else
                assert_int_equal(first->valueint, n);
        }
        cJSON_Delete(own);
    }
    assert_string_not_equal(
        item(cJSON_GetArrayItem(item(scheme_at(doc, 2), "completions"), 0), "text")->valuestring,
        item(cJSON_GetArrayItem(item(scheme_at(doc, 0), "completions"), 0), "text")->valuestring);
    cJSON_Delete(doc);
}

static void every_key_is_there(void **state)
{
    (void)state;
    static const char *const keys[] = {"bytes",
                                       "bits_per_weight",
                                       "nll",
                                       "nll_stderr",
                                       "perplexity",
                                       "kl_mean",
                                       "kl_stderr",
                                       "kl_max",
                                       "kl_p99",
                                       "top1_agreement",
                                       "decode_tokens_per_s",
                                       "prefill_tokens_per_s",
                                       "seconds"};
    cJSON *doc = expect_json(COMPARE "--limit 64 --window 64 -n 4");
    assert_int_equal(cJSON_GetArraySize(item(doc, "schemes")), 4);
    assert_int_equal(cJSON_GetArraySize(item(doc, "prompts")), 2);
    for (int i = 0; i < 4; i++) {
        const cJSON *s = scheme_at(doc, i);
        double bytes = 0;
        for (size_t k = 0; k < sizeof keys / sizeof *keys; k++) number(s, keys[k]);
        const cJSON *w;
        cJSON_ArrayForEach(w, item(s, "weights")) bytes += number(w, "bytes");
        assert_true(bytes == number(s, "bytes"));
        assert_int_equal(cJSON_GetArraySize(item(s, "layers")), 0);
    }
    assert_string_equal(item(scheme_at(doc, 1), "scheme")->valuestring, "i8:channel:absmax");
    assert_string_equal(item(scheme_at(doc, 1), "activations")->valuestring, "i16");
    assert_string_equal(item(scheme_at(doc, 3), "activations")->valuestring, "f32");
    cJSON_Delete(doc);
}

static const cJSON *layer(const cJSON *scheme, const char *name, const char *reading)
{
    const cJSON *l;
    cJSON_ArrayForEach(l, item(scheme, "layers"))
    {
        if (!strcmp(item(l, "name")->valuestring, name) && !strcmp(item(l, "reading")->valuestring, reading))
            return l;
    }
    fail_msg("no layer %s, %s", name, reading);
    return NULL;
}

/* One matrix is quantized: the local reading finds error only there, the accumulated one from there on. */
static void the_ledger_finds_where_error_is_born(void **state)
{
    (void)state;
    cJSON *doc = expect_json(
        COMPARE "--limit 200 --window 100 -n 0 --layers --schemes f32,f32 --tensor h.2.mlp.c_fc.weight=i4");
    const cJSON *s = scheme_at(doc, 1), *l;
    assert_int_equal(cJSON_GetArraySize(item(scheme_at(doc, 0), "layers")), 0);
    assert_int_equal(cJSON_GetArraySize(item(s, "layers")), 2 * (6 * 9 + 3));
    assert_string_equal(item(s, "scheme")->valuestring, "mixed");
    assert_string_equal(item(item(s, "tensors"), "h.2.mlp.c_fc.weight")->valuestring, "i4:g32:absmax");
    bool before = true;
    cJSON_ArrayForEach(l, item(s, "layers"))
    {
        const char *name = item(l, "name")->valuestring;
        bool here = !strcmp(name, "h.2.mlp.c_fc"), local = !strcmp(item(l, "reading")->valuestring, "local");
        if (here && !local) before = false;
        bool wrong = number(l, "relative_error") > 0;
        assert_int_equal(wrong, local ? here : !before);
        if (!wrong)
            assert_true(cJSON_IsNull(item(l, "snr_db")));
        else
            near(number(l, "snr_db"), -20 * log10(number(l, "relative_error")), 1e-9);
    }
    assert_true(number(layer(s, "h.2.mlp.c_fc", "local"), "relative_error") ==
                number(layer(s, "h.2.mlp.c_fc", "accumulated"), "relative_error"));
    cJSON_Delete(doc);
}

static void the_table_and_the_csv(void **state)
{
    (void)state;
    char *dir = temp_directory(), path[256];
    snprintf(path, sizeof path, "%s/c.csv", dir);
    struct cli c =
        cli_run("compare --quiet --limit 64 --window 64 -n 6 --schemes f32,i4 --csv %s 'Once'", path);
    assert_int_equal(c.code, 0);
    assert_non_null(strstr(c.out, "i4:g32:absmax@i16"));
    assert_non_null(strstr(c.out, "the reference"));
    assert_null(strchr(c.out, '\033')); /* colours are for terminals */
    assert_string_equal(c.error, "");
    cli_free(&c);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    char line[1024];
    int lines = 0, commas = 0;
    while (fgets(line, sizeof line, f)) {
        int n = 0;
        for (const char *p = line; *p; p++) n += *p == ',';
        if (lines++ == 0) commas = n;
        assert_int_equal(n, commas);
    }
    assert_int_equal(lines, 3);
    fclose(f);
    temp_remove(dir);
}

/* The proposed model fits, is no worse than any uniform scheme that fits, and its options make it again. */
static void the_proposal_keeps_its_promise(void **state)
{
    (void)state;
    slow_build_skips();
    cJSON *doc =
        expect_json(COMPARE "--window 48 --limit 96 -n 0 --schemes f32,i8 --sensitivity i4 --budget 6");
    const cJSON *sensitivity = item(doc, "sensitivity"), *proposal = item(sensitivity, "proposal"), *o;
    assert_string_equal(item(sensitivity, "scheme")->valuestring, "i4:g32:absmax");
    assert_int_equal(cJSON_GetArraySize(item(sensitivity, "tensors")), 25);
    double before = -1;
    cJSON_ArrayForEach(o, item(sensitivity, "tensors"))
    {
        near(number(o, "kl_per_byte"), number(o, "kl_mean") / number(o, "bytes_saved"), 1e-9);
        assert_true(number(o, "kl_per_byte") >= before);
        before = number(o, "kl_per_byte");
    }
    assert_true(number(proposal, "bytes") <= number(proposal, "budget"));
    assert_true(number(proposal, "budget") == 6 * 6967552 / 8);
    assert_true(cJSON_GetArraySize(item(proposal, "uniform")) > 4);
    cJSON_ArrayForEach(o, item(proposal, "uniform"))
    {
        assert_true(number(o, "bytes") <= number(proposal, "budget"));
        assert_true(number(proposal, "kl_mean") <= number(o, "kl_mean"));
    }
    char arguments[8192];
    int n = snprintf(arguments, sizeof arguments, COMPARE "--window 48 --limit 48 -n 0 --schemes f32,%s",
                     item(proposal, "quantize")->valuestring);
    cJSON_ArrayForEach(o, item(proposal, "overrides"))
    {
        n += snprintf(arguments + n, sizeof arguments - (size_t)n, " --tensor '%s'", o->valuestring);
    }
    cJSON *again = expect_json(arguments);
    assert_true(number(scheme_at(again, 1), "bytes") == number(proposal, "bytes"));
    assert_string_equal(item(scheme_at(again, 1), "scheme")->valuestring,
                        item(proposal, "scheme")->valuestring);
    cJSON_Delete(doc), cJSON_Delete(again);
}

static const cJSON *line_of(const cJSON *scheme, const char *name, const char *reading)
{
    const cJSON *l;
    cJSON_ArrayForEach(
        l, item(scheme, "layers")) if (!strcmp(item(l, "name")->valuestring, name) &&
                                       !strcmp(item(l, "reading")->valuestring, reading)) return l;
    fail_msg("no line %s", name);
    return NULL;
}

/* A text from standard input is read once, so that it is known for the text of a file's calibration. */
static void calibrated_text_from_a_pipe(const char *dir)
{
    struct cli c = cli_run("compare --quiet -n 0 --window 64 --limit 128 --schemes f32,%s/0.gpt2q --text - "
                           "< models/tales-7m/calibration.txt",
                           dir);
    assert_int_equal(c.code, 0);
    if (!strstr(c.error, "0.gpt2q was calibrated on standard input itself")) fail_msg("%s", c.error);
    cli_free(&c);
}

/* A file says what its method bought: beside it stand its schemes rounded to nearest, with the figures that the scheme has in the list.
 * Folded factors are taken out, so that norms have no error and weights one like the others. */
static void a_file_beside_rounding(void **state)
{
    (void)state;
    slow_build_skips();
    char *dir = temp_directory(), arguments[1024];
    static const char *const methods[] = {"--method gptq", "--method awq", "--method smoothquant --static"};
    for (int i = 0; i < 3; i++) {
        struct cli c =
            cli_run("quantize --quiet -q i4:g32:affine %s --calibrate models/tales-7m/calibration.txt "
                    "--calibrate-tokens 1024 -o %s/%d.gpt2q",
                    methods[i], dir, i);
        if (c.code) fail_msg("%s", c.error);
        cli_free(&c);
    }
    snprintf(arguments, sizeof arguments,
             COMPARE
             "--layers -n 0 --limit 256 --schemes f32,i4:g32:affine,%s/0.gpt2q,%s/1.gpt2q,%s/2.gpt2q@static",
             dir, dir, dir);
    cJSON *doc = expect_json(arguments);
    const cJSON *plain = scheme_at(doc, 1), *m;
    for (int i = 0; i < 3; i++) {
        const cJSON *file = scheme_at(doc, i + 2), *nearest = item(file, "nearest");
        if (i < 2) {
            assert_true(number(nearest, "kl_mean") == number(plain, "kl_mean"));
            assert_true(number(file, "kl_mean") < number(plain, "kl_mean") * (i ? 1.0 : 0.5));
        } else {
            assert_string_equal(item(nearest, "activations")->valuestring, "i8");
        }
        assert_non_null(strstr(item(file, "calibration")->valuestring, "1024 tokens in windows of 256"));
        assert_true(number(line_of(file, "h.3.ln_2", "local"), "relative_error") == 0);
        int n = 0, nearer = 0;
        cJSON_ArrayForEach(m, item(nearest, "matrices"))
        {
            const cJSON *before = item(m, "nearest"), *now = item(m, "now");
            nearer += number(now, "accumulated") < number(before, "accumulated");
            assert_true(number(now, "weight") < 3 * number(before, "weight")); /* not folded */
            n++;
        }
        assert_int_equal(n, 25);
        if (i < 2) assert_true(nearer >= 20);
    }
    cJSON_Delete(doc);
    snprintf(arguments, sizeof arguments,
             COMPARE "-n 0 --window 64 --limit 128 --schemes f32 --sensitivity %s/0.gpt2q", dir);
    doc = expect_json(arguments);
    assert_string_equal(item(item(doc, "sensitivity"), "scheme")->valuestring, "0.gpt2q");
    assert_int_equal(cJSON_GetArraySize(item(item(doc, "sensitivity"), "tensors")), 25);
    cJSON_ArrayForEach(m, item(item(doc, "sensitivity"), "tensors"))
    {
        assert_true(number(m, "kl_mean") > 0 && number(m, "kl_mean") < 0.05);
        assert_true(number(m, "bytes_saved") > 0);
    }
    cJSON_Delete(doc);
    snprintf(arguments, sizeof arguments,
             "compare --quiet -n 0 --window 64 --limit 128 --schemes f32 --sensitivity %s/1.gpt2q >/dev/null",
             dir);
    expect_failure(1, "folds factors into several tensors", arguments);
    calibrated_text_from_a_pipe(dir);
    expect_failure(2, "--budget mixes schemes", "compare --sensitivity x.gpt2q --budget 5");
    struct cli c = cli_run("compare --quiet --layers -n 0 --limit 256 --schemes f32,%s/0.gpt2q", dir);
    assert_non_null(strstr(c.out, "what its method bought"));
    assert_non_null(strstr(c.out, "\n  h.5.mlp.c_proj"));
    cli_free(&c);
    temp_remove(dir);
}

/* A folder that is called as a SPEC is not meant by it. */
static void a_spec_is_never_a_file(void **state)
{
    (void)state;
    char *dir = temp_directory();
    const char *named = getenv("GPT2Q");
    char *program = realpath(named ? named : "./gpt2q", NULL), *model = realpath("models/tales-7m", NULL);
    struct cli c =
        cli_run("help >/dev/null; cd %s && mkdir f32 && %s compare --quiet -n 0 --limit 64 --window 64 -m %s "
                "--schemes f32 --text %s/heldout-books.txt --json",
                dir, program, model, model);
    free(program), free(model);
    if (c.code) fail_msg("%s", c.error);
    assert_non_null(strstr(c.out, "\"bytes\":27934720"));
    cli_free(&c);
    temp_remove(dir);
}

static void what_is_refused(void **state)
{
    (void)state;
    expect_failure(2, "did you mean", "compare --schemes f32,i9");
    expect_failure(2, "which takes f32 activations only", "compare --schemes f32@i8");
    expect_failure(2, "--activations is 'i9'", "compare --schemes i8@i9");
    expect_failure(2, "unknown option '-q'", "compare -q i8");
    expect_failure(1, "more than the model's context of 512", "compare --window 1000");
    expect_failure(1, "too few for one window of 256", "compare --limit 100");
    expect_failure(1, "no-such-file", "compare --text no-such-file");
    expect_failure(1, "no-such-folder",
                   "compare --quiet --json --limit 64 --window 64 -n 0 --schemes f32 --csv "
                   "no-such-folder/c.csv >/dev/null");
    expect_failure(
        1, "no-such-folder",
        "compare --quiet --limit 64 --window 64 -n 0 --schemes f32 --html no-such-folder/p.html >/dev/null");
    expect_failure(2, "--budget goes with --sensitivity", "compare --budget 5");
    expect_failure(2, "did you mean", "compare --sensitivity i5");
    expect_failure(
        2, "where a scheme for single tensors is expected",
        "compare --quiet --limit 32 --window 16 -n 0 --schemes f32 --sensitivity notes >/dev/null");
    expect_failure(1, "one window is not enough",
                   "compare --quiet --limit 16 --window 16 -n 0 --schemes f32 --sensitivity i4 >/dev/null");
    expect_failure(1, "group", "compare --quiet --limit 256 -n 0 --schemes f32,i8:g24");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kl_is_the_goldens),        cmocka_unit_test(nll_is_the_goldens_and_evals),
        cmocka_unit_test(rounded_levels_are_named), cmocka_unit_test(completions_are_each_schemes_own),
        cmocka_unit_test(every_key_is_there),       cmocka_unit_test(the_ledger_finds_where_error_is_born),
        cmocka_unit_test(the_table_and_the_csv),    cmocka_unit_test(the_proposal_keeps_its_promise),
        cmocka_unit_test(a_file_beside_rounding),   cmocka_unit_test(a_spec_is_never_a_file),
        cmocka_unit_test(what_is_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
