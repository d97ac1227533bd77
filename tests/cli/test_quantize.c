/* quantize, inspect and explain as a script meets them. */
#include "tests/cli.h"
#include <math.h>
#include <unistd.h>

#define GELU "-m tests/golden/data/tiny-gelu --quiet "

static char *directory;
static char arguments[16384];
/* @ stands for the temporary directory. */
static const char *in_directory(const char *format)
{
    char *out = arguments;
    for (const char *p = format; *p; p++) {
        if (*p == '@')
            out += sprintf(out, "%s", directory);
        else
            *out++ = *p;
    }
    *out = '\0';
    return arguments;
}
static int make_directory(void **state)
{
    (void)state;
    directory = temp_directory();
    return 0;
}
static int remove_directory(void **state)
{
    (void)state;
    temp_remove(directory);
    return 0;
}
static void run_well(const char *format) { expect_exit(0, "%s", in_directory(format)); }

/* ---- quantize ---- */

static void reports_every_tensor(void **state)
{
    (void)state;
    cJSON *doc = expect_json(
        in_directory("quantize " GELU "-q i8 --tensor 'h.0.mlp.*=i4:g8' --json -o @/model.gpt2q"));
    assert_string_equal(item(doc, "scheme")->valuestring, "mixed");
    const cJSON *weights = item(doc, "weights"), *w;
    double before = 0, after = 0;
    assert_int_equal(cJSON_GetArraySize(weights), 16);
    cJSON_ArrayForEach(w, weights)
    {
        const char *scheme = item(w, "scheme")->valuestring, *name = item(w, "name")->valuestring;
        bool exact = !strcmp(scheme, "f32"), mlp = strstr(name, "mlp") != NULL;
        assert_true(number(w, "bytes") == number(w, "bytes_after"));
        assert_true(exact ? number(w, "relative_error") == 0 : number(w, "relative_error") > 1e-4);
        assert_true(number(w, "max_error") >= number(w, "mean_error"));
        if (!exact) assert_string_equal(scheme, mlp ? "i4:g8:absmax" : "i8:channel:absmax");
        before += number(w, "bytes_before"), after += number(w, "bytes_after");
    }
    assert_true(before == number(doc, "bytes_before") && after == number(doc, "bytes_after"));
    assert_true(number(doc, "file_bytes") > after);
    cJSON_Delete(doc);
}

static void refuses(void **state)
{
    (void)state;
    run_well("quantize " GELU "-q i8 -o @/model.gpt2q");
    expect_failure(2, "--output FILE or --export DIR is needed", "quantize " GELU "-q i8");
    expect_failure(2, "did you mean \"i8:channel:absmax\"",
                   in_directory("quantize " GELU "-q i8:chanel:absmax -o @/x.gpt2q"));
    expect_failure(1, "the group must divide the inputs",
                   in_directory("quantize -m tests/golden/data/tiny-odd -q i4:g32 -o @/x.gpt2q"));
    expect_failure(1, "no tensor has such a name",
                   in_directory("quantize " GELU "--tensor nothing=i8 -o @/x.gpt2q"));
    expect_failure(1, "is quantized already, as i8:channel:absmax, and cannot be made i4",
                   in_directory("quantize -m @/model.gpt2q -q i4 -o @/x.gpt2q"));
    expect_failure(1, "is quantized already, as i8:channel:absmax, and cannot be held as i4",
                   in_directory("generate -m @/model.gpt2q -q i4 --ids 1"));
    expect_failure(1, "is quantized already",
                   in_directory("generate -m @/model.gpt2q --tensor wte.weight=f32 --ids 1"));
    expect_failure(1, "is no .gpt2q file",
                   "generate -m tests/golden/data/tiny-gelu/model.safetensors --ids 1");
    expect_failure(1, "holds no tokenizer", in_directory("generate -m @/model.gpt2q hello"));
    expect_failure(1, "cannot be written", in_directory("quantize " GELU "-q i8 -o @/nowhere/x.gpt2q"));
    expect_failure(1, "is a directory", in_directory("quantize " GELU "-q i8 -o @"));
    /* a copy: if it were not refused, the model would be gone */
    struct cli copy =
        cli_run("%s", in_directory("--version >/dev/null && cp -R tests/golden/data/tiny-gelu @/own"));
    assert_int_equal(copy.code, 0);
    cli_free(&copy);
    expect_failure(2, "is the folder of the model", in_directory("quantize -m @/own -q i8 --export @/own/"));
    copy =
        cli_run("%s", in_directory("--version >/dev/null && cmp "
                                   "tests/golden/data/tiny-gelu/model.safetensors @/own/model.safetensors"));
    assert_int_equal(copy.code, 0);
    cli_free(&copy);
    expect_failure(1, "No space left", "quantize " GELU "-q i8 --json -o /dev/full");
    assert_int_not_equal(access(in_directory("@/x.gpt2q"), F_OK), 0);
    run_well("generate --quiet -m @/model.gpt2q -q i8 --ids 1 -n 2");
}

/* A limit on file sizes simulates a full disk. Only the log is left. */
static void a_full_disk_leaves_nothing(void **state)
{
    (void)state;
#ifdef __SANITIZE_THREAD__
    skip(); /* under this limit any program with an OpenMP region ends in the sanitizer's own fault */
#endif
    struct cli c =
        cli_run("%s", in_directory("--version >/dev/null; mkdir @/full && trap '' XFSZ && ulimit -f 64 && "
                                   "exec ${GPT2Q:-./gpt2q} quantize -m "
                                   "models/tales-7m -q i8 -o @/full/model.gpt2q --export @/full/export"));
    assert_int_equal(c.code, 1);
    assert_non_null(strstr(c.error, "cannot be written: File too large"));
    cli_free(&c);
    assert_int_equal(rmdir(in_directory("@/full")), 0);
}

/* A signal at any moment gives the whole file and 0, or nothing and 130. */
static void an_interrupt_leaves_nothing(void **state)
{
    (void)state;
#define GPTQ                                                                                                 \
    "-q i4:g32:signed --method gptq --calibrate models/tales-7m/calibration.txt --calibrate-tokens 4096"
    static const char *const delays[] = {"0.02", "0.1", "0.4"}, *const options[] = {"-q i4", "-q i4", GPTQ};
    for (size_t i = 0; i < sizeof delays / sizeof *delays; i++) {
        char format[1024];
        snprintf(format, sizeof format,
                 "--version >/dev/null; mkdir @/stop && { " WITH_SIGINT
                 "${GPT2Q:-./gpt2q} quantize -j 1 -m models/tales-7m "
                 "%s -o @/stop/model.gpt2q >/dev/null & } "
                 "&& sleep %s && kill -INT $! ; wait $!",
                 options[i], delays[i]);
        struct cli c = cli_run("%s", in_directory(format));
        if (c.code != 0 && c.code != 130) fail_msg("exit code %d after %s s: %s", c.code, delays[i], c.error);
        assert_int_equal(unlink(in_directory("@/stop/model.gpt2q")), c.code ? -1 : 0);
        assert_int_equal(rmdir(in_directory("@/stop")), 0);
        cli_free(&c);
    }
}

/* An exported model gives the ids of the original. */
static void exports_what_it_means(void **state)
{
    (void)state;
    run_well("quantize -m models/tales-7m -q i4 -o @/tales.gpt2q --export @/tales");
    cJSON *a = expect_json(in_directory("generate --json -a f32 -n 16 -m @/tales.gpt2q 'Once upon a time'"));
    cJSON *b = expect_json(in_directory("generate --json -q f32 -n 16 -m @/tales 'Once upon a time'"));
    assert_string_equal(item(a, "scheme")->valuestring, "i4:g32:absmax");
    assert_true(cJSON_Compare(item(a, "ids"), item(b, "ids"), true));
    cJSON_Delete(a);
    cJSON_Delete(b);
    cJSON *ids = expect_json(in_directory("tokenize --json -m @/tales.gpt2q 'Once upon a time'"));
    assert_true(cJSON_GetArraySize(item(ids, "ids")) > 2);
    cJSON_Delete(ids);
}

/* ---- inspect ---- */

static void the_notebooks_footprints(void **state)
{
    (void)state;
    cJSON *doc = expect_json("inspect --shape gpt2 --json");
    const cJSON *footprint = item(doc, "footprint");
    assert_true(number(doc, "parameters") == 124439808);
    assert_true(number(footprint, "f32") == 497759232 && number(footprint, "f32_with_masks") == 510342192 &&
                number(footprint, "notes") == 137022768);
    assert_int_equal(cJSON_GetArraySize(item(doc, "tensors")), 148);
    cJSON_Delete(doc);
}

static void lists_models_and_files(void **state)
{
    (void)state;
    run_well("quantize -m models/tales-7m -q i8 -o @/tales.gpt2q");
    cJSON *hf = expect_json("inspect models/tales-7m --json --check"),
          *q = expect_json(in_directory("inspect @/tales.gpt2q --json --check"));
    cJSON *st = expect_json("inspect models/tales-7m/model.safetensors --json");
    assert_string_equal(item(hf, "kind")->valuestring, "huggingface");
    assert_string_equal(item(q, "kind")->valuestring, "gpt2q");
    assert_string_equal(item(st, "kind")->valuestring, "safetensors");
    assert_true(cJSON_IsNull(item(st, "config")));
    assert_true(cJSON_Compare(item(hf, "config"), item(q, "config"), true));
    assert_true(number(hf, "parameters") == 6967552 && number(q, "parameters") == 6967552 &&
                number(st, "parameters") == 6967552);
    assert_true(number(hf, "bytes") == 2 * 6967552);
    assert_true(number(q, "bytes") > 6967552 && number(q, "bytes") < 1.1 * 6967552);
    cJSON_Delete(hf);
    cJSON_Delete(q);
    cJSON_Delete(st);
}

static void notes_have_a_scale_a_tensor(void **state)
{
    (void)state;
    cJSON *doc = expect_json("inspect models/tales-7m -q notes --json");
    const cJSON *t;
    int n = 0;
    cJSON_ArrayForEach(t, item(doc, "tensors"))
    {
        n += number(t, "scale") > 0 && cJSON_IsNumber(item(t, "zero")) && number(t, "relative_error") > 0;
    }
    assert_int_equal(n, 76);
    cJSON_Delete(doc);
}

/* FORMATS.md 9: what the notes print of the genuine weights. */
static void the_genuine_tensors(void **state)
{
    (void)state;
    need_shared(path, "gpt2-small-partial/model.safetensors");
    static const struct {
        const char *name;
        double scale, min;
    } printed[] = {{"h.0.ln_1.weight", 0.0008, 0.0419},       {"h.0.ln_1.bias", 0.0018, -0.2589},
                   {"h.0.attn.c_attn.bias", 0.0099, -1.3371}, {"h.0.attn.c_proj.weight", 0.0250, -3.3171},
                   {"h.0.attn.c_proj.bias", 0.0185, -2.6844}, {"h.0.ln_2.weight", 0.0057, 0.0453},
                   {"h.0.ln_2.bias", 0.0055, -0.6648},        {"h.0.mlp.c_fc.bias", 0.0042, -0.7462},
                   {"h.0.mlp.c_proj.bias", 0.0098, -1.0288}};
    char command[4400];
    snprintf(command, sizeof command, "inspect '%s' -q notes --json", path);
    cJSON *doc = expect_json(command);
    const cJSON *t;
    size_t found = 0;
    cJSON_ArrayForEach(t, item(doc, "tensors"))
    {
        for (size_t i = 0; i < sizeof printed / sizeof *printed; i++) {
            if (strcmp(item(t, "name")->valuestring, printed[i].name)) continue;
            found++;
            assert_true(fabs(number(t, "scale") - printed[i].scale) < 0.5001e-4 &&
                        fabs(number(t, "zero") - printed[i].min) < 0.5001e-4);
        }
    }
    assert_int_equal(found, sizeof printed / sizeof *printed);
    cJSON_Delete(doc);
    snprintf(command, sizeof command, "inspect '%s' -q notes --tensor h.0.attn.c_attn.weight --json", path);
    doc = expect_json(command);
    assert_true(fabs(cJSON_GetArrayItem(item(doc, "scale"), 0)->valuedouble - 0.022114761) < 1e-9);
    assert_true(fabs(cJSON_GetArrayItem(item(doc, "zero"), 0)->valuedouble - -2.8436344) < 1e-7);
    assert_int_equal(cJSON_GetArrayItem(item(doc, "codes"), 0)->valueint, 107);
    assert_int_equal(cJSON_GetArrayItem(item(doc, "codes"), 1)->valueint, 116);
    assert_int_equal(cJSON_GetArrayItem(item(doc, "codes"), 2)->valueint, 124);
    assert_int_equal(cJSON_GetArraySize(item(doc, "codes")), 16);
    cJSON_Delete(doc);
}

/* golden/make_goldens.py: first codes, scales, zero points and errors of five matrices in every scheme. */
static void agrees_with_the_goldens(void **state)
{
    (void)state;
    struct cli c = cli_run("--version >/dev/null; cat tests/golden/data/tales-7m/tensors.json");
    cJSON *goldens = cJSON_Parse(c.out);
    const cJSON *tensor, *golden;
    assert_non_null(goldens);
    int n = 0;
    cJSON_ArrayForEach(tensor, goldens) cJSON_ArrayForEach(golden, tensor)
    {
        if (!cJSON_IsObject(golden) || n++ % 3)
            continue; /* a third of them: the program is started for each */
        char command[256];
        bool notes = !strcmp(golden->string, "notes");
        snprintf(command, sizeof command, "inspect models/tales-7m --json --tensor %s -q %s", tensor->string,
                 golden->string);
        cJSON *doc = expect_json(command);
        if (!cJSON_Compare(item(doc, "codes"), item(golden, "codes_first"), true))
            fail_msg("%s: other codes", command);
        double scale = notes ? number(golden, "scale") : item(golden, "scale_first")->child->valuedouble;
        double zero = notes ? number(golden, "min") : item(golden, "zero_first")->child->valuedouble;
        assert_true(fabs(item(doc, "scale")->child->valuedouble - scale) <= 1e-9 * scale);
        assert_true(fabs(item(doc, "zero")->child->valuedouble - zero) <= 1e-6 * fabs(zero));
        assert_true(fabs(number(doc, "relative_error") - number(golden, "relative_error")) <
                    1e-4 * number(golden, "relative_error"));
        cJSON_Delete(doc);
    }
    assert_int_equal(n, 5 * 13 + 6);
    cJSON_Delete(goldens);
    cli_free(&c);
}

static void the_histogram_holds_every_number(void **state)
{
    (void)state;
    cJSON *doc = expect_json("inspect models/tales-7m --json --tensor wte.weight");
    const cJSON *histogram = item(doc, "histogram"), *count;
    double n = 0;
    cJSON_ArrayForEach(count, item(histogram, "counts")) n += count->valuedouble;
    assert_true(n == 8193 * 256);
    assert_int_equal(cJSON_GetArraySize(item(histogram, "edges")),
                     cJSON_GetArraySize(item(histogram, "counts")) + 1);
    assert_true(number(doc, "min") == item(histogram, "edges")->child->valuedouble);
    assert_true(number(doc, "min") < number(doc, "mean") && number(doc, "mean") < number(doc, "max") &&
                number(doc, "std") > 0);
    cJSON_Delete(doc);
}

/* A safetensors file of one tensor [2, 3], F32, with a value in the place of element 4. */
static void write_tensor(const char *path, float value)
{
    static const char header[] = "{\"odd\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,24]}}";
    unsigned char file[256] = {sizeof header - 1};
    float values[6] = {1, -2, 3, 0.5f, value, 7};
    memcpy(file + 8, header, sizeof header - 1);
    memcpy(file + 7 + sizeof header, values, sizeof values);
    write_file(path, file, 7 + sizeof header + sizeof values);
}

static void check_names_the_first_value(void **state)
{
    (void)state;
    char path[sizeof arguments];
    snprintf(path, sizeof path, "%s", in_directory("@/odd.safetensors"));
    write_tensor(path, 1);
    run_well("inspect --check @/odd.safetensors");
    write_tensor(path, NAN);
    expect_failure(1, "odd holds NaN at [1, 1]", in_directory("inspect --check @/odd.safetensors"));
    write_tensor(path, -INFINITY);
    expect_failure(1, "odd holds -infinity at [1, 1]",
                   in_directory("inspect --check --json @/odd.safetensors"));
    run_well("inspect @/odd.safetensors");
    cJSON *doc = expect_json(in_directory("inspect @/odd.safetensors --json --tensor odd"));
    assert_true(number(doc, "non_finite") == 1 && number(doc, "max") == 7 && number(doc, "mean") == 1.9);
    cJSON_Delete(doc);
}

static void inspect_refuses(void **state)
{
    (void)state;
    run_well("quantize " GELU "-q i8 -o @/model.gpt2q");
    expect_failure(1, "no tensor is called wte.weigth: did you mean wte.weight?",
                   "inspect models/tales-7m --tensor wte.weigth");
    expect_failure(1, "models/tales-7m: no tensor is called nothing",
                   "inspect models/tales-7m --tensor nothing");
    expect_failure(1, "is quantized already", in_directory("inspect @/model.gpt2q -q i8"));
    expect_failure(1, "is quantized already",
                   in_directory("inspect @/model.gpt2q -q i8 --tensor wte.weight"));
    expect_failure(1, "the group must divide", "inspect tests/golden/data/tiny-odd -q i4:g32");
    expect_failure(2, "unknown scheme", "inspect models/tales-7m -q i7");
    expect_failure(2, "is expected", "inspect --shape gpt3");
    expect_failure(2, "exclude each other", "inspect models/tales-7m --shape gpt2");
    expect_failure(1, "holds no numbers", "inspect --shape gpt2 --tensor wte.weight");
    struct cli c = cli_run(
        "%s",
        in_directory(
            "--version >/dev/null; printf x | dd of=@/model.gpt2q bs=1 seek=20000 conv=notrunc 2>/dev/null"));
    cli_free(&c);
    expect_failure(1, "is damaged: its checksum is", in_directory("inspect @/model.gpt2q --check"));
}

/* ---- explain: the numbers of NOTES.md C ---- */

static void expect_ints(const cJSON *array, const int *wanted, int n)
{
    assert_int_equal(cJSON_GetArraySize(array), n);
    for (int i = 0; i < n; i++) assert_int_equal(cJSON_GetArrayItem(array, i)->valueint, wanted[i]);
}
static void expect_reals(const cJSON *array, const double *wanted, int n)
{
    assert_int_equal(cJSON_GetArraySize(array), n);
    for (int i = 0; i < n; i++)
        if (!(fabs(cJSON_GetArrayItem(array, i)->valuedouble - wanted[i]) < 1.01e-4))
            fail_msg("%f", cJSON_GetArrayItem(array, i)->valuedouble);
}
static void expect_near(double found, double printed) { assert_true(fabs(found - printed) < 0.501e-4); }

static void the_notes_example(void **state)
{
    (void)state;
    static const int absmax_W[3][5] = {
        {0, -17, -127, 33, -63}, {-82, 24, 49, -42, -24}, {-35, 11, -50, 64, -62}};
    static const int minmax_W[3][5] = {
        {41, 19, -128, 86, -43}, {-67, 73, 107, -15, 10}, {-5, 56, -25, 127, -42}};
    cJSON *doc = expect_json("explain --json");
    const cJSON *absmax = item(doc, "absmax"), *minmax = item(doc, "minmax"), *affine = item(doc, "affine");
    for (int r = 0; r < 3; r++) {
        expect_ints(cJSON_GetArrayItem(item(absmax, "W_codes"), r), absmax_W[r], 5);
        expect_ints(cJSON_GetArrayItem(item(minmax, "W_codes"), r), minmax_W[r], 5);
    }
    expect_ints(item(absmax, "x_codes"), (const int[]){0, -48, 31, -75, -127}, 5);
    expect_ints(item(minmax, "x_codes"), (const int[]){76, 0, 127, -44, -128}, 5);
    expect_ints(item(absmax, "sums"), (const int[]){2405, 6565, 996}, 3);
    expect_ints(item(absmax, "int8_sums"), (const int[]){101, -91, -28}, 3);
    expect_reals(item(doc, "product"), (const double[]){0.4829, 1.3345, 0.2121}, 3);
    expect_reals(item(absmax, "product"), (const double[]){0.4903, 1.3383, 0.2030}, 3);
    expect_reals(item(minmax, "product"), (const double[]){0.4785, 1.3450, 0.2179}, 3);
    expect_reals(item(minmax, "product_notes"), (const double[]){0.4812, 1.3489, 0.2222}, 3);
    expect_near(number(absmax, "W_mean_error"), 0.0039);
    expect_near(number(absmax, "x_mean_error"), 0.0019);
    expect_near(number(absmax, "mean_error"), 0.0068);
    expect_near(number(minmax, "W_mean_error"), 0.0031);
    expect_near(number(minmax, "mean_error"), 0.0069);
    expect_near(number(minmax, "mean_error_notes"), 0.0087);
    expect_near(number(minmax, "W_zero"), 41.4194);
    expect_near(number(minmax, "x_zero"), 76.4525);
    assert_true(number(affine, "W_zero") == 41 && number(affine, "x_zero") == 76);
    cJSON_Delete(doc);
}

static void any_matrix_is_explained(void **state)
{
    (void)state;
    struct cli c = cli_run(
        "%s", in_directory(
                  "--version >/dev/null; echo '{\"W\": [[127, 0], [-3, 2]], \"x\": [0, 0]}' >@/input.json"));
    cli_free(&c);
    cJSON *doc = expect_json(in_directory("explain @/input.json --json"));
    expect_ints(cJSON_GetArrayItem(item(item(doc, "absmax"), "W_codes"), 1), (const int[]){-3, 2}, 2);
    expect_reals(item(item(doc, "minmax"), "product"), (const double[]){0, 0}, 2); /* a constant x */
    expect_reals(item(item(doc, "affine"), "product"), (const double[]){0, 0}, 2);
    cJSON_Delete(doc);
}

static void explain_refuses(void **state)
{
    (void)state;
    static const struct {
        const char *text, *words;
    } cases[] = {{"{}", "W is not a list"},
                 {"[1, 2]", "an object {\"W\": [[..], ..], \"x\": [..]} is expected"},
                 {"{\"w\": [[1, 2]], \"x\": [1, 2]}", "unknown key \"w\": did you mean \"W\"?"},
                 {"{\"W\": [[1, 2]], \"x\": [1, 2], \"X\": 1}", "unknown key \"X\": did you mean \"x\"?"},
                 {"{\"W\": [[1, 2]], \"x\": [1, 2], \"x2\": 1}", "unknown key \"x2\": the keys are"},
                 {"{\"W\": [[1, 2]], \"x\": [1, 2], \"bits\": 4}",
                  "unknown key \"bits\": the keys are \"W\" and \"x\""},
                 {"{\"W\": [[1], [1, 2]], \"x\": [1]}", "row 1 of W has 2 numbers, the rows before have 1"},
                 {"{\"W\": [[1, 2]], \"x\": [1]}", "x has 1 numbers, the rows of W have 2"},
                 {"{\"W\": [[1, \"2\"]], \"x\": [1, 2]}", "row 0 of W holds something other"},
                 {"{\"W\": [[1, 1e39]], \"x\": [1, 2]}", "row 0 of W holds something other"},
                 {"{\"W\": [[1, 2]]}", "x is not a list"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char path[sizeof arguments];
        snprintf(path, sizeof path, "%s", in_directory("@/wrong.json"));
        write_file(path, cases[i].text, strlen(cases[i].text));
        expect_failure(1, cases[i].words, in_directory("explain @/wrong.json"));
    }
    expect_failure(1, "cannot be opened", in_directory("explain @/missing.json"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reports_every_tensor),
        cmocka_unit_test(refuses),
        cmocka_unit_test(a_full_disk_leaves_nothing),
        cmocka_unit_test(an_interrupt_leaves_nothing),
        cmocka_unit_test(exports_what_it_means),
        cmocka_unit_test(the_notebooks_footprints),
        cmocka_unit_test(lists_models_and_files),
        cmocka_unit_test(notes_have_a_scale_a_tensor),
        cmocka_unit_test(the_genuine_tensors),
        cmocka_unit_test(agrees_with_the_goldens),
        cmocka_unit_test(the_histogram_holds_every_number),
        cmocka_unit_test(check_names_the_first_value),
        cmocka_unit_test(inspect_refuses),
        cmocka_unit_test(the_notes_example),
        cmocka_unit_test(any_matrix_is_explained),
        cmocka_unit_test(explain_refuses),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
