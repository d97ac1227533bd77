/* A model turned from one container into another keeps every number and every id: Hugging Face directory, GGUF, .gpt2q, all six ways,
 * compared by the SHA-256 of each dequantized tensor and of the ids of 1,000 texts. */
#include "golden.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/sha256.h"
#include "model/bindings.h"
#include "model/gpt2q_read.h"
#include "tests/quantized.h"

#define N_TEXTS 1000

/* ---- what is compared ---- */

struct sums {
    gpt2q_config config;
    char ids[SHA256_TEXT];
    char (*tensors)[SHA256_TEXT]; /* by slot; the empty text where there is none */
};

struct summing {
    const struct bindings *b;
    struct sums *to;
    bool zeros; /* -0 counts as 0: a GGUF block with a scale of -0 is held with one of 0 */
};

static gpt2q_status sum_tensor(void *user, size_t i, const struct qsource *src, gpt2q_error *err)
{
    const struct summing *s = user;
    struct sha256 sum;
    float *row = mem_array((size_t)src->cols, sizeof *row);
    (void)err;
    sha256_begin(&sum);
    for (int r = 0; r < src->rows; r++) {
        qsource_read(src, r, 0, src->cols, row);
        for (int k = 0; s->zeros && k < src->cols; k++) row[k] += 0.0f;
        sha256_add(&sum, row, (size_t)src->cols * sizeof *row);
    }
    sha256_print(&sum, s->to->tensors[weight_slot(&s->b->config, s->b->items[i].id)]);
    mem_free(row);
    return GPT2Q_OK;
}

/* Lines of the calibration text, every other one with something that texts are rarely made of. */
static void sum_ids(const char *path, char out[SHA256_TEXT])
{
    static const char *const rare[] = {
        "",     "\xC3\xA9\xE6\xAD\xAA", "  \t\r\n\n ", "<|endoftext|>",    "3.14159 don't",
        "\xFF", "\xF0\x9F\x91\x8D",     "'s'S ^^^^",   "\xC2\xA0\xC2\xA0x"};
    gpt2q_error err;
    char *lines;
    size_t n_lines, n_ids = 0, at = 0;
    struct gpt2q_file file;
    struct tokenizer *t;
    struct sha256 sum;
    if (model_tokenizer_open(path, &file, &t, &err)) fail_msg("%s", err.message);
    if (file_read(repo_path("models/tales-7m/calibration.txt"), 1 << 24, &lines, &n_lines, &err))
        fail_msg("%s", err.message);
    sha256_begin(&sum);
    for (int i = 0; i < N_TEXTS; i++) {
        char text[200];
        int32_t ids[400];
        const size_t take = 20 + (size_t)(i * 37 % 120);
        size_t n = (size_t)snprintf(text, sizeof text, "%s", i % 2 ? rare[i / 2 % 9] : "");
        if (at + take > n_lines) at = 0;
        memcpy(text + n, lines + at, take);
        at += take, n += take;
        if (tokenizer_encode(t, text, n, i % 3 ? 0 : TOKENIZER_SPECIAL, ids, 400, &n, &err))
            fail_msg("%s", err.message);
        assert_in_range(n, 1, 400);
        sha256_add(&sum, ids, n * sizeof *ids);
        n_ids += n;
    }
    assert_true(n_ids > 10000);
    sha256_print(&sum, out);
    tokenizer_free(t);
    gpt2q_file_close(&file);
    mem_free(lines);
}

static struct sums sums_of(const char *path, bool zeros)
{
    gpt2q_error err;
    struct bindings b;
    struct sums s;
    if (bindings_open(path, &b, &err)) fail_msg("%s", err.message);
    s.config = b.config;
    s.tensors = mem_zarray(weight_slots(&b.config), sizeof *s.tensors);
    struct summing summing = {&b, &s, zeros};
    if (bindings_walk(&b, sum_tensor, &summing, &err)) fail_msg("%s", err.message);
    bindings_close(&b);
    sum_ids(path, s.ids);
    return s;
}

static void expect_same(const struct sums *want, const char *path, bool zeros)
{
    struct sums got = sums_of(path, zeros);
    int tensors = 0;
    assert_int_equal(memcmp(&want->config, &got.config, sizeof got.config), 0);
    if (strcmp(want->ids, got.ids)) fail_msg("%s: other ids", path);
    for (size_t i = 0; i < weight_slots(&got.config); i++) {
        char name[WEIGHT_NAME_MAX];
        if (strcmp(want->tensors[i], got.tensors[i]))
            fail_msg("%s: other numbers in %s", path, weight_print(weight_at(&got.config, i), name));
        tensors += got.tensors[i][0] != '\0';
    }
    assert_true(tensors >= (int)weight_slots(&got.config) - 1);
    mem_free(got.tensors);
}

/* ---- ways ---- */

static char *directory;

static const char *in_directory(const char *name)
{
    static char paths[8][4200];
    static int next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", directory, name);
    return path;
}

static const char *turn(const char *from, const char *spec, const char *name)
{
    gpt2q_error err;
    const char *to = in_directory(name);
    const bool file = strchr(name, '.');
    if (file ? quantize_to(from, spec, NULL, 0, to, &err) : export_to(from, spec, to, &err))
        fail_msg("%s to %s: %s", from, name, err.message);
    return to;
}

/* Round in both directions from a model that holds `spec`: all are the same. */
static void turn_around(const char *model, const char *spec, const char *floats, bool zeros)
{
    const char *quantized = turn(model, spec, "first.gpt2q");
    struct sums want = sums_of(quantized, zeros);
    const char *ways[][3] = {
        {model, spec, "a.gguf"},             /* Hugging Face or GGUF to GGUF */
        {quantized, NULL, "b.gguf"},         /* .gpt2q to GGUF */
        {quantized, NULL, "c"},              /* .gpt2q to Hugging Face */
        {in_directory("b.gguf"), NULL, "d"}, /* GGUF to Hugging Face */
        {in_directory("b.gguf"), floats, "e.gpt2q"},
        {in_directory("c"), "f32", "f.gguf"},  /* Hugging Face to GGUF */
        {in_directory("d"), "f32", "g.gpt2q"}, /* Hugging Face to .gpt2q */
    };
    char names[sizeof ways / sizeof *ways][4200]; /* in_directory's results come and go */
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) snprintf(names[i], 4200, "%s", ways[i][0]);
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++)
        expect_same(&want, turn(names[i], ways[i][1], ways[i][2]), zeros);
    mem_free(want.tensors);
}

static void tales_in_f32(void **state)
{
    (void)state;
    struct sums want = sums_of(repo_path("models/tales-7m"), false);
    expect_same(&want, turn("models/tales-7m", "f32", "t.gguf"), false);
    mem_free(want.tensors);
    turn_around("models/tales-7m", "f32", "f32", false);
}

static void tales_in_codes(void **state)
{
    (void)state;
    turn_around("models/tales-7m", "i8:g32", NULL, false);
    turn_around("models/tales-7m", "i4:g32:minmax", NULL, false);
}

static void mixed_file(void **state)
{
    (void)state;
    struct sums want = sums_of(repo_path("tests/golden/data/gguf/mixed.gguf"), true);
    expect_same(&want, turn("tests/golden/data/gguf/mixed.gguf", NULL, "m.gpt2q"), true);
    expect_same(&want, turn("tests/golden/data/gguf/mixed.gguf", NULL, "m"), true);
    mem_free(want.tensors);
    turn_around("tests/golden/data/gguf/mixed.gguf", NULL, NULL, true);
}

/* A file in a scheme that GGUF has none for, and the notes' with coded vectors: exported as they are. */
static void other_schemes(void **state)
{
    (void)state;
    static const char *const specs[] = {"notes", "i4:input:affine", "bf16"};
    for (size_t i = 0; i < sizeof specs / sizeof *specs; i++) {
        const char *quantized = turn("models/tales-7m", specs[i], "other.gpt2q");
        struct sums want = sums_of(quantized, false);
        expect_same(&want,
                    turn(quantized, NULL,
                         specs[i][0] == 'n'   ? "n"
                         : specs[i][0] == 'i' ? "i"
                                              : "x"),
                    false);
        mem_free(want.tensors);
    }
}

static int setup(void **state)
{
    (void)state;
    return (directory = temp_directory()) ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    temp_remove(directory);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tales_in_f32),
        cmocka_unit_test(tales_in_codes),
        cmocka_unit_test(mixed_file),
        cmocka_unit_test(other_schemes),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
