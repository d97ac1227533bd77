/* quantize --method as users meet it: the same bytes for any threads and instruction set, the file's
 * description, planted outlier channels, and refusals. */
#include "tests/cli.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/sha256.h"
#include "model/safetensors.h"
#include "qtensor/isa.h"
#include "tests/tiny_vocabulary.h"
#include <math.h>
#include <unistd.h>

#define TINY "tests/golden/data/tiny-gelu"

static char *directory;

static void copy(const char *from, const char *name)
{
    gpt2q_error err;
    char *data, path[512];
    size_t n;
    if (file_read(from, (size_t)1 << 30, &data, &n, &err)) fail_msg("%s", err.message);
    snprintf(path, sizeof path, "%s/%s", directory, name);
    write_file(path, data, n);
    mem_free(data);
}

/* tiny-gelu with a vocabulary of bytes, and texts. */
static int make_model(void **state)
{
    char vocab[8192], path[512], text[6000];
    (void)state;
    directory = temp_directory();
    copy(TINY "/config.json", "config.json");
    copy(TINY "/model.safetensors", "model.safetensors");
    size_t n = tiny_vocab_open(vocab);
    n += (size_t)sprintf(vocab + n, ",\"<|endoftext|>\":256}");
    snprintf(path, sizeof path, "%s/vocab.json", directory);
    write_file(path, vocab, n);
    snprintf(path, sizeof path, "%s/merges.txt", directory);
    write_file(path, "#version: 0.2\n", 14);
    struct rng r = {7};
    for (size_t i = 0; i < sizeof text; i++) text[i] = i % 61 == 60 ? '\n' : (char)('a' + rng_below(&r, 26));
    snprintf(path, sizeof path, "%s/text.txt", directory);
    write_file(path, text, sizeof text);
    write_file((snprintf(path, sizeof path, "%s/short.txt", directory), path), "ab\n", 3);
    return 0;
}

static int remove_model(void **state)
{
    (void)state;
    temp_remove(directory);
    return 0;
}

static void sums_are_those_of_the_standard(void **state)
{
    char text[SHA256_TEXT];
    struct sha256 s;
    (void)state;
    sha256_begin(&s);
    assert_string_equal(sha256_print(&s, text),
                        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    sha256_begin(&s);
    for (int i = 0; i < 1000000; i += 125) {
        char a[125];
        memset(a, 'a', sizeof a);
        sha256_add(&s, a, sizeof a);
    }
    assert_string_equal(sha256_print(&s, text),
                        "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

static void files_are_the_same_to_the_byte(void **state)
{
    static const char *const methods[] = {"-q i4:g8:signed --method gptq", "-q i4:g16:affine --method awq",
                                          "-q i8 --method smoothquant --static 99.5",
                                          "-q i4:g8:minmax --method hqq", "-q i4:g8:affine --method imatrix"};
    static const char *const machines[] = {"-j 1 --isa scalar", "-j 2 --isa avx2", "-j 3 --isa avx512vnni",
                                           "-j 3"};
    (void)state;
    for (size_t m = 0; m < sizeof methods / sizeof *methods; m++) {
        char first[SHA256_TEXT] = "", sum[SHA256_TEXT], path[512];
        const bool reads = !strstr(methods[m], "hqq");
        snprintf(path, sizeof path, "%s/out.gpt2q", directory);
        for (size_t i = 0; i < sizeof machines / sizeof *machines; i++) {
            const struct isa *isa;
            const char *name = strstr(machines[i], "--isa ");
            if (name && isa_choose(name + 6, &isa, NULL)) continue; /* not on this CPU */
            struct cli c = cli_run("quantize -m %s %s %s %s%s%s -o %s --quiet", directory, methods[m],
                                   machines[i], reads ? "--calibrate-tokens 512 --calibrate " : "",
                                   reads ? directory : "", reads ? "/text.txt" : "", path);
            if (c.code) fail_msg("%s: %s", methods[m], c.error);
            cli_free(&c);
            sum_of_file(path, sum);
            if (*first && strcmp(first, sum)) fail_msg("%s: other bytes with %s", methods[m], machines[i]);
            memcpy(first, sum, sizeof first);
        }
    }
}

static void a_file_says_how_it_was_made(void **state)
{
    char arguments[1024], sum[SHA256_TEXT], path[512];
    (void)state;
    snprintf(path, sizeof path, "%s/text.txt", directory);
    sum_of_file(path, sum);
    snprintf(arguments, sizeof arguments,
             "quantize -m %s -q i4:g8:affine --method gptq --damp 0.02 --qep 0 --calibrate %s "
             "--calibrate-tokens 640 -o "
             "%s/made.gpt2q --json",
             directory, path, directory);
    cJSON *doc = expect_json(arguments);
    assert_non_null(strstr(item(doc, "method")->valuestring, "gptq damp=0.02"));
    assert_non_null(strstr(item(doc, "calibration")->valuestring, sum));
    const cJSON *matrices = item(doc, "matrices"), *m;
    assert_int_equal(cJSON_GetArraySize(matrices), 5);
    cJSON_ArrayForEach(m, matrices) assert_true(number(m, "loss") < number(m, "loss_rtn"));
    cJSON_Delete(doc);
    snprintf(arguments, sizeof arguments, "inspect %s/made.gpt2q --json", directory);
    doc = expect_json(arguments);
    assert_non_null(strstr(item(doc, "method")->valuestring, "gptq damp=0.02"));
    assert_non_null(strstr(item(doc, "calibration")->valuestring, sum));
    cJSON_Delete(doc);
    struct cli c = cli_run("inspect %s/made.gpt2q --check", directory);
    assert_int_equal(c.code, 0);
    cli_free(&c);
}

/* The text of a file's metadata, for inspect. */
static void expect_method(const char *file, const char *method)
{
    char arguments[512];
    snprintf(arguments, sizeof arguments, "inspect %s/%s --json", directory, file);
    cJSON *doc = expect_json(arguments);
    assert_string_equal(item(doc, "method")->valuestring, method);
    cJSON_Delete(doc);
}

/* What the file says is enough to make it again: the same options give the same plan. */
static void numbers_have_all_their_digits(void **state)
{
    (void)state;
    expect_exit(
        0,
        "quantize -m %s -q i4:g8:affine --method awq --awq-sites v,ln --method smoothquant "
        "--smooth-alpha 0.33333333333333331 --method gptq --damp 0.012345678 --head-damp "
        "0.098765432109876541 "
        "--qep 0.12345678901234568 --act-order off --true-sequential off --refine 16 --search off "
        "--static 99.9999999 --calibrate-tokens 64 --calibrate %s/text.txt -o %s/digits.gpt2q --quiet",
        directory, directory, directory);
    expect_method("digits.gpt2q",
                  "awq sites=ln,v smoothquant alpha=0.33333333333333331 gptq damp=0.012345678 act-order=off "
                  "true-sequential=off qep=0.12345678901234568 refine=16 search=off "
                  "head-damp=0.098765432109876539 static=99.9999999");
}

/* Model and text have names that are no UTF-8. What is written says so with U+FFFD, and is read again. */
static void names_of_any_bytes(void **state)
{
    static const char *const files[] = {"named.gpt2q", "named.gguf"};
    char path[512], arguments[1024];
    (void)state;
    snprintf(path, sizeof path, "%s/name\xff", directory);
    if (symlink(directory, path)) fail_msg("no link");
    snprintf(path, sizeof path, "%s/text\xff.txt", directory);
    copy((snprintf(arguments, sizeof arguments, "%s/text.txt", directory), arguments), "text\xff.txt");
    for (size_t i = 0; i < 2; i++) {
        expect_exit(
            0,
            "quantize -m '%s/name\xff' -q i8:g32:absmax --force --method imatrix --calibrate-tokens 64 "
            "--calibrate '%s' -o %s/%s --quiet",
            directory, path, directory, files[i]);
        expect_exit(0, "inspect %s/%s --check", directory, files[i]);
        expect_exit(0, "generate -m %s/%s --ids 1 -n 1 --quiet", directory, files[i]);
    }
    snprintf(arguments, sizeof arguments, "inspect %s/named.gpt2q --json", directory);
    cJSON *doc = expect_json(arguments);
    assert_non_null(strstr(item(doc, "calibration")->valuestring, " text\xEF\xBF\xBD.txt sha256 "));
    cJSON_Delete(doc);
    expect_exit(0,
                "train -m '%s/name\xff' -q i8 --text '%s' --steps 1 --batch-tokens 32 --window 16 -o "
                "%s/named.gpt2q --quiet",
                directory, path, directory);
    expect_exit(0, "inspect %s/named.gpt2q --check", directory);
}

/* ---- planted outliers: in every block of tales-7m channel 17 of ln_1 and 101 of ln_2 times 20, the consumers' columns divided by
 * 20: the same function in float32 ---- */

static void scale_floats(uint8_t *data, size_t first, size_t n, float factor)
{
    for (size_t i = first; i < first + n; i++) {
        float f;
        memcpy(&f, data + 4 * i, 4);
        f *= factor;
        memcpy(data + 4 * i, &f, 4);
    }
}

static void plant(const struct safetensors *st, uint8_t *file, const char *norm, const char *consumer,
                  size_t channel)
{
    for (size_t i = 0; i < st->n_tensors; i++) {
        const struct st_tensor *t = &st->tensors[i];
        uint8_t *data = file + (t->data - st->map.data);
        assert_int_equal(t->dtype, ST_F32);
        if (strstr(t->name, norm)) scale_floats(data, channel, 1, 20.0f);
        if (strstr(t->name, consumer))
            scale_floats(data, channel * (size_t)t->shape[1], (size_t)t->shape[1], 1 / 20.0f);
    }
}

static void make_planted(const char *folder)
{
    gpt2q_error err;
    struct safetensors st;
    char *file = NULL, path[600];
    size_t n = 0;
    expect_exit(0, "quantize -m models/tales-7m -q f32 --export %s --quiet", folder);
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    if (safetensors_open(path, &st, &err) || file_read(path, (size_t)1 << 30, &file, &n, &err))
        fail_msg("%s", err.message);
    plant(&st, (uint8_t *)file, "ln_1.", "attn.c_attn.weight", 17);
    plant(&st, (uint8_t *)file, "ln_2.", "mlp.c_fc.weight", 101);
    safetensors_close(&st);
    write_file(path, file, n);
    mem_free(file);
}

/* The figures of CALIBRATION's table, on fewer tokens and with room: they are 0.0205, 0.180, 0.0023, 0.0024 and 0.0052 there. */
static void outliers_hurt_integers_and_methods_help(void **state)
{
    static const char *const ways[] = {"plain@i8", "plain@static", "plain@llm.int8", "smooth@i8",
                                       "smooth@static"};
    static const struct {
        double least, most;
    } bounds[] = {{0.012, 0.04}, {0.09, 0.35}, {0, 0.004}, {0, 0.004}, {0, 0.009}};
    (void)state;
    slow_build_skips();
    char folder[512], arguments[4096];
    snprintf(folder, sizeof folder, "%s/planted", directory);
    make_planted(folder);
    for (int i = 0; i < 2; i++)
        expect_exit(0,
                    "quantize -m %s -q i8 %s --static --calibrate models/tales-7m/calibration.txt "
                    "--calibrate-tokens 2048 -o %s/%s.gpt2q --quiet",
                    folder, i ? "--method smoothquant" : "", directory, i ? "smooth" : "plain");
    size_t at = (size_t)snprintf(arguments, sizeof arguments,
                                 "compare -m %s --quiet -n 0 --limit 1024 --json --schemes f32", folder);
    for (size_t i = 0; i < 5; i++) {
        const char *activations = strchr(ways[i], '@');
        at += (size_t)snprintf(arguments + at, sizeof arguments - at, ",%s/%.*s.gpt2q%s", directory,
                               (int)(activations - ways[i]), ways[i], activations);
    }
    cJSON *doc = expect_json(arguments);
    for (int i = 0; i < 5; i++) {
        const double kl = number(cJSON_GetArrayItem(item(doc, "schemes"), i + 1), "kl_mean");
        if (kl < bounds[i].least || kl > bounds[i].most) fail_msg("%s: KL is %g", ways[i], kl);
    }
    cJSON_Delete(doc);
}

/* Prompts answered alone and in company, with any number of threads. */
static void new_activations_have_the_same_bits(void **state)
{
    static const char *const modes[] = {"static", "llm.int8:0.5"};
    static const char *const machines[] = {"-j 1 --isa scalar", "-j 3", "-j 2 --isa avx2"};
    (void)state;
    struct cli c =
        cli_run("quantize -m %s -q i8 --method awq --static --calibrate %s/text.txt --calibrate-tokens 640 "
                "-o %s/bits.gpt2q --quiet",
                directory, directory, directory);
    if (c.code) fail_msg("%s", c.error);
    cli_free(&c);
    for (size_t m = 0; m < 2; m++) {
        char *first = NULL;
        for (size_t i = 0; i < 3; i++) {
            const struct isa *isa;
            const char *name = strstr(machines[i], "--isa ");
            if (name && isa_choose(name + 6, &isa, NULL)) continue;
            c = cli_run("eval -m %s/bits.gpt2q -a %s %s --text %s/text.txt --window 32 --limit 320 --json | "
                        "grep -v second",
                        directory, modes[m], machines[i], directory);
            if (c.code) fail_msg("%s", c.error);
            char *nll = strstr(c.out, "nll");
            assert_non_null(nll);
            nll[strcspn(nll, ",")] = '\0';
            if (first) assert_string_equal(first, nll);
            if (!first) first = mem_strdup(nll);
            cli_free(&c);
        }
        mem_free(first);
    }
}

static const cJSON *step(const cJSON *doc, const char *what)
{
    const cJSON *s;
    cJSON_ArrayForEach(s, item(doc, "steps")) if (!strcmp(item(s, "what")->valuestring, what)) return item(
        s, "values");
    fail_msg("no step '%s'", what);
    return NULL;
}

static void methods_are_explained(void **state)
{
    static const char *const others[] = {"hqq", "awq", "nf4", "fp8", "mxfp4", "nvfp4", "llm.int8:1"};
    (void)state;
    cJSON *doc = expect_json("explain --method gptq --json");
    const cJSON *losses = step(doc, "loss e H e^T: by rounding, by GPTQ"),
                *order = step(doc, "order: a falling diagonal of H");
    assert_true(cJSON_GetArrayItem(losses, 1)->valuedouble < cJSON_GetArrayItem(losses, 0)->valuedouble / 4);
    assert_int_equal(cJSON_GetArrayItem(order, 0)->valueint, 4); /* |x| is largest there */
    assert_int_equal(cJSON_GetArrayItem(order, 4)->valueint, 0); /* and 0 here */
    cJSON_Delete(doc);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        char arguments[64];
        snprintf(arguments, sizeof arguments, "explain --method %s --json", others[i]);
        doc = expect_json(arguments);
        const double error = cJSON_GetArrayItem(step(doc, "mean error of the product"), 0)->valuedouble;
        if (!(error > 0 && error < 0.08)) fail_msg("%s: mean error %g", others[i], error);
        cJSON_Delete(doc);
    }
    struct cli c = cli_run("explain --method gptq");
    assert_int_equal(c.code, 0);
    assert_non_null(strstr(c.out, "row 0                             0         0 "));
    assert_null(strstr(c.out, " -0 ")); /* x has a zero and negative elements */
    cli_free(&c);
    expect_failure(2, "unknown method", "explain --method gtpq");
}

static void refuse(int code, const char *error, const char *more)
{
    char arguments[2048], path[512];
    snprintf(path, sizeof path, "%s/refused.gpt2q", directory);
    snprintf(arguments, sizeof arguments, "quantize -m %s -o %s --quiet %s", directory, path, more);
    for (char *at; (at = strchr(arguments, '@'));) { /* stands for the directory */
        char rest[1024];
        snprintf(rest, sizeof rest, "%s", at + 1);
        snprintf(at, sizeof arguments - (size_t)(at - arguments), "%s%s", directory, rest);
    }
    expect_failure(code, error, arguments);
    assert_false(file_exists(path));
}

/* A copy of the model in which element `i` of every tensor whose name holds `name` is x. */
static void make_changed(const char *folder, const char *name, size_t i, float x)
{
    gpt2q_error err;
    struct safetensors st;
    char *file = NULL, path[512];
    size_t n = 0;
    expect_exit(0, "help >/dev/null; mkdir -p %s/%s && cp %s/*.json %s/merges.txt %s/%s", directory, folder,
                directory, directory, directory, folder);
    if (safetensors_open(TINY "/model.safetensors", &st, &err) ||
        file_read(TINY "/model.safetensors", (size_t)1 << 30, &file, &n, &err))
        fail_msg("%s", err.message);
    for (size_t k = 0; k < st.n_tensors; k++) {
        const struct st_tensor *t = &st.tensors[k];
        assert_int_equal(t->dtype, ST_F32);
        if (strstr(t->name, name)) memcpy(file + (t->data - st.map.data) + 4 * i, &x, 4);
    }
    safetensors_close(&st);
    snprintf(path, sizeof path, "%s/%s/model.safetensors", directory, folder);
    write_file(path, file, n);
    mem_free(file);
}

static void says(const char *what, const char *model, const char *text, const char *more)
{
    struct cli c = cli_run("quantize -m %s/%s -q i4:g8:affine --calibrate %s/%s -o %s/said.gpt2q %s",
                           directory, model, directory, text, directory, more);
    if (c.code || !strstr(c.error, what)) fail_msg("'%s' is expected, not '%s'", what, c.error);
    cli_free(&c);
    expect_exit(0, "inspect %s/said.gpt2q --check", directory);
}

/* Texts and models that a method goes on with, and says so; and those it refuses by name. */
static void what_is_unusual(void **state)
{
    char path[512], text[4000] = "";
    (void)state;
    while (strlen(text) < 3000) strcat(text, "\xD0\xBA\xD0\xBE\xD1\x82 \xE7\x8C\xAB "); /* other alphabets */
    write_file((snprintf(path, sizeof path, "%s/other.txt", directory), path), text, strlen(text));
    for (size_t i = 0; i < 3000; i++) text[i] = "again "[i % 6];
    write_file((snprintf(path, sizeof path, "%s/again.txt", directory), path), text, 3000);
    says("fewer tokens than inputs", "", "text.txt", "--method gptq --calibrate-tokens 64");
    says("loss by rtn", "", "other.txt", "--method gptq --calibrate-tokens 1024");
    says("loss by rtn", "", "again.txt", "--method gptq --calibrate-tokens 1024");
    make_changed("dead", "ln_2.", 3, 0.0f); /* weight and bias */
    says("1 input is always 0", "dead", "text.txt", "--method gptq --calibrate-tokens 512");
    says("", "dead", "text.txt", "--method awq --calibrate-tokens 512");
    says("", "dead", "text.txt", "--method smoothquant --static --calibrate-tokens 512");
    make_changed("nan", "mlp.c_fc.weight", 5, NAN);
    refuse(1, "mlp.c_fc.weight holds NaN", "-m @/nan -q i4:g8 --method hqq");
    make_changed("large", "attn.c_attn.weight", 5, 3e38f);
    refuse(1, "not finite numbers",
           "-m @/large -q i4:g8 --method gptq --calibrate-tokens 64 --calibrate @/text.txt");
}

static void what_cannot_be_done(void **state)
{
    (void)state;
    refuse(2, "--calibrate FILE is needed", "--method gptq");
    refuse(2, "unknown method", "--method gtpq");
    refuse(2, "both round", "--method gptq --method hqq");
    refuse(2, "name it before", "--method gptq --method awq");
    refuse(2, "is named twice", "--method gptq --method gptq");
    refuse(2, "reads no text", "--calibrate @/text.txt");
    refuse(2, "on or off", "--method gptq --act-order maybe --calibrate @/text.txt");
    refuse(2, "ln, v and mlp", "--method awq --awq-sites ln,x --calibrate @/text.txt");
    refuse(1, "too few for a window", "-q i4:g8 --method gptq --calibrate @/short.txt");
    refuse(1, "64 are needed", "-q i4:g8 --method gptq --calibrate-tokens 32 --calibrate @/text.txt");
    refuse(1, "the group must divide the inputs", "-q i4:g24 --method gptq --calibrate @/text.txt");
    refuse(1, "the group must divide the inputs", "-q i4:g24:minmax --method hqq");
    refuse(1, "the group must divide the inputs", "-q i4:g24 --method awq --calibrate @/text.txt");
    refuse(1, "No such file", "-q i4:g8 --method gptq --calibrate @/none.txt");
    refuse(1, "integer codes", "-q i4:g8:minmax --method gptq --calibrate @/text.txt");
    refuse(1, "grid minmax", "-q i4:g8 --method hqq");
    refuse(1, "nf4:g8", "-q nf4:g8 --method gptq --calibrate @/text.txt");
    refuse(1, "nf4:g8", "-q nf4:g8 --method imatrix --calibrate @/text.txt");
    refuse(1, "nf4:g8", "-q nf4:g8 --method awq --calibrate @/text.txt");
    refuse(1, "nf4:g8", "-q nf4:g8 --method hqq");
    refuse(1, "nf4:g8", "-q nf4:g8 --method mse");
    refuse(1, "No space left on device",
           "-q i4:g8:affine --method awq --calibrate-tokens 512 --calibrate @/text.txt -o /dev/full");
    refuse(2, "positions", "-q i4:g8 --method gptq --calibrate-window 100 --calibrate @/text.txt");
    char path[512];
    snprintf(path, sizeof path, "%s/one.txt", directory);
    char word[1200];
    memset(word, 'a', sizeof word);
    write_file(path, word, sizeof word);
    struct cli c = cli_run(
        "quantize -m %s -q i4:g8:affine --method gptq --damp 0 --calibrate %s --calibrate-tokens 64 -o "
        "%s/one.gpt2q",
        directory, path, directory);
    refuse(1, "is quantized already", "-m @/one.gpt2q -q i8 --method mse");
    refuse(1, "activation_function gelu does not let awq fold",
           "-q i4:g32:absmax --method awq --calibrate-tokens 512 --calibrate @/text.txt -o @/x.gguf");
    if (c.code) fail_msg("one repeated letter: %s", c.error);
    assert_non_null(strstr(c.error, "damping raised"));
    cli_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_are_those_of_the_standard),
        cmocka_unit_test(files_are_the_same_to_the_byte),
        cmocka_unit_test(a_file_says_how_it_was_made),
        cmocka_unit_test(numbers_have_all_their_digits),
        cmocka_unit_test(names_of_any_bytes),
        cmocka_unit_test(outliers_hurt_integers_and_methods_help),
        cmocka_unit_test(new_activations_have_the_same_bits),
        cmocka_unit_test(methods_are_explained),
        cmocka_unit_test(what_is_unusual),
        cmocka_unit_test(what_cannot_be_done),
    };
    return cmocka_run_group_tests(tests, make_model, remove_model);
}
