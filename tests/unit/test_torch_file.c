/* pytorch_model.bin: the weights that torch wrote, to the bit. Every hostile file is refused with one
 * sentence. Every cut and every flipped bit of a good file is read or refused, nothing else. */
#include "tests/support.h"
#include "base/memory.h"
#include "kernels/half.h"
#include "model/container.h"
#include "model/torch_file.h"
#include "model/weights.h"

#define FOLDER "tests/golden/data/torch-bin/"
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { STEP = 11 }; /* every instruction is checked there */
#else
enum { STEP = 1 };
#endif

static char *bytes_of(const char *path, size_t *n)
{
    gpt2q_error err;
    char *data;
    if (file_read(repo_path(path), (size_t)16 << 20, &data, n, &err)) fail_msg("%s", err.message);
    return data;
}

/* ---- good files ---- */

static float value_at(const struct container_tensor *t, size_t i)
{
    uint16_t half;
    float f;
    double wide;
    if (t->dtype == ST_F32) return memcpy(&f, t->data + 4 * i, 4), f;
    if (t->dtype == ST_F64) return memcpy(&wide, t->data + 8 * i, 8), (float)wide;
    memcpy(&half, t->data + 2 * i, 2);
    assert_true(t->dtype == ST_F16 || t->dtype == ST_BF16);
    return t->dtype == ST_F16 ? float_from_f16(half) : float_from_bf16(half);
}

static const struct container_tensor *find_in(const struct container *c, const char *name)
{
    char prefixed[200];
    snprintf(prefixed, sizeof prefixed, "transformer.%s", name);
    for (size_t i = 0; i < c->n_files; i++) {
        const struct container_file *f = &c->files[i];
        const struct container_tensor *t = f->reader->find(f, name);
        if (!t) t = f->reader->find(f, prefixed);
        if (t) return t;
    }
    return NULL;
}

static void test_good_files(void **state)
{
    (void)state;
    static const char *const folders[] = {"zip-f32",       "zip-f16",        "zip-bf16",       "zip-f64",
                                          "zip-module",    "zip-strided",    "zip-parameters", "legacy-f32",
                                          "legacy-module", "legacy-strided", "sharded"};
    gpt2q_error err;
    struct safetensors expected;
    if (safetensors_open(repo_path(FOLDER "expected.safetensors"), &expected, &err))
        fail_msg("%s", err.message);
    for (size_t k = 0; k < sizeof folders / sizeof *folders; k++) {
        char path[200];
        struct container c;
        snprintf(path, sizeof path, FOLDER "%s", folders[k]);
        if (container_open_directory(repo_path(path), &c, &err)) fail_msg("%s", err.message);
        for (size_t i = 0; i < expected.n_tensors; i++) {
            const struct st_tensor *want = &expected.tensors[i];
            const struct container_tensor *got = find_in(&c, want->name);
            if (!got) fail_msg("%s: %s is missing", folders[k], want->name);
            assert_int_equal(got->n_dims, want->n_dims);
            for (int d = 0; d < want->n_dims; d++) assert_int_equal(got->shape[d], want->shape[d]);
            for (size_t e = 0; e < want->size / 4; e++) {
                float a = value_at(got, e), b;
                memcpy(&b, want->data + 4 * e, 4);
                if (memcmp(&a, &b, 4) != 0)
                    fail_msg("%s: %s[%zu] is %g, not %g", folders[k], want->name, e, (double)a, (double)b);
            }
        }
        container_close(&c);
    }
    safetensors_close(&expected);
}

/* They are models: bound, turned and held like any other. */
static void test_models(void **state)
{
    (void)state;
    static const char *const folders[] = {"zip-f32", "zip-module", "legacy-strided", "sharded", "zip-f64"};
    for (size_t k = 0; k < sizeof folders / sizeof *folders; k++) {
        char path[200];
        gpt2q_error err;
        gpt2q_model *model;
        gpt2q_model_params p = gpt2q_model_params_default();
        p.scheme = "f32";
        p.weights_only = true;
        snprintf(path, sizeof path, FOLDER "%s", folders[k]);
        if (gpt2q_model_open(repo_path(path), &p, &model, &err)) fail_msg("%s", err.message);
        assert_int_equal(gpt2q_model_config(model)->n_embd, 8);
        gpt2q_model_close(model);
    }
}

/* ---- hostile files ---- */

static void test_bad_files(void **state)
{
    (void)state;
    static const char *const readable[] = {"ok",       "legacy-ok", "trailing", "value-not-tensor",
                                           "memo-far", "crc"};
    gpt2q_error err;
    size_t n;
    char *text = bytes_of(FOLDER "bad/index.json", &n);
    int refused = 0, read = 0;
    for (char *at = text; (at = strchr(at, '"'));
         at = strchr(at, '\n') ? strchr(at, '\n') : at + strlen(at)) {
        char name[100], path[200];
        snprintf(name, sizeof name, "%.*s", (int)strcspn(at + 1, "\""), at + 1);
        snprintf(path, sizeof path, FOLDER "bad/%s.bin", name);
        bool expected = false;
        struct container c;
        if (!file_exists(repo_path(path))) continue;
        for (size_t i = 0; i < sizeof readable / sizeof *readable; i++)
            expected = expected || !strcmp(name, readable[i]);
        gpt2q_status s = container_open_file(repo_path(path), &c, &err);
        if (!s != expected) fail_msg("%s: %s", name, s ? err.message : "was read");
        if (s) {
            assert_non_null(strstr(err.message, name));
            refused++;
            continue;
        }
        read++;
        const struct container_file *f = &c.files[0];
        bool is_empty = !strcmp(name, "memo-far") || !strcmp(name, "value-not-tensor");
        assert_int_equal(f->n_tensors, is_empty ? 0 : 1);
        assert_int_equal(f->reader->check(f, &err) != GPT2Q_OK, !strcmp(name, "crc"));
        container_close(&c);
    }
    assert_int_equal(read, 6);
    assert_int_equal(refused, 52);
    mem_free(text);
}

static void expect_sentence(const char *name, const char *sentence)
{
    char path[200];
    gpt2q_error err;
    struct container c;
    snprintf(path, sizeof path, FOLDER "bad/%s.bin", name);
    assert_int_not_equal(container_open_file(repo_path(path), &c, &err), GPT2Q_OK);
    if (!strstr(err.message, sentence)) fail_msg("%s: %s", name, err.message);
}

static void test_what_is_said(void **state)
{
    (void)state;
    expect_sentence("os-system", "os.system: a model file does not call functions");
    expect_sentence("global-in-value", "subprocess.Popen: a model file does not call functions");
    expect_sentence("legacy-os-system", "os.system: a model file does not call functions");
    expect_sentence("posix-system-inst", "INST");
    expect_sentence("extension", "EXT1");
    expect_sentence("protocol-9", "protocol 9");
    expect_sentence("size-bomb", "wte.weight is larger than its storage of 136 elements");
    expect_sentence("depth", "more than 64 deep");
    expect_sentence("name-twice", "wte.weight stands twice");
    expect_sentence("text", "Git LFS pointer");
    expect_sentence("tar", "tar of torch before 0.1.10");
    expect_sentence("deflate", "compressed");
    expect_sentence("local-name", "two names");
    expect_sentence("complex", "ComplexFloatStorage");
    expect_sentence("byteorder-big", "byteorder");
}

/* ---- cuts and flips ---- */

static void read_it(const uint8_t *data, size_t n, uint64_t *counts)
{
    struct torch_file t;
    gpt2q_error err = {0};
    gpt2q_status s = torch_file_from_memory(data, n, "cut", &t, &err);
    counts[s != GPT2Q_OK]++;
    if (s) {
        assert_true(err.message[0]);
        return;
    }
    volatile uint8_t sum = 0;
    for (size_t i = 0; i < t.n_tensors; i++)
        if (t.tensors[i].size)
            sum = (uint8_t)(sum + t.tensors[i].data[0] + t.tensors[i].data[t.tensors[i].size - 1]);
    torch_file_close(&t);
}

static void test_cuts_and_flips(void **state)
{
    (void)state;
    static const char *const files[] = {FOLDER "zip-f32/pytorch_model.bin",
                                        FOLDER "legacy-f32/pytorch_model.bin"};
    for (size_t k = 0; k < 2; k++) {
        size_t n;
        uint64_t counts[2] = {0};
        uint8_t *data = (uint8_t *)bytes_of(files[k], &n);
        for (size_t i = 0; i < n; i += STEP) {
            uint8_t *cut =
                (uint8_t *)mem_memdup((const char *)data, i); /* so that a sanitizer sees its end */
            read_it(cut, i, counts);
            mem_free(cut);
        }
        assert_int_equal(counts[0], 0);
        for (size_t bit = 0; bit < 8 * n; bit += STEP) {
            data[bit / 8] ^= (uint8_t)(1 << bit % 8);
            read_it(data, n, counts);
            data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
        assert_true(counts[0] > 0 && counts[1] > n / STEP);
        mem_free(data);
    }
}

/* ---- memory ---- */

static void test_no_memory(void **state)
{
    (void)state;
    static const char *const files[] = {FOLDER "zip-strided/pytorch_model.bin",
                                        FOLDER "legacy-module/pytorch_model.bin",
                                        FOLDER "zip-f64/pytorch_model.bin"};
    for (size_t k = 0; k < sizeof files / sizeof *files; k++) {
        size_t n;
        char *data = bytes_of(files[k], &n);
        gpt2q_status s = GPT2Q_OUT_OF_MEMORY;
        for (int64_t allowed = 0; s; allowed++) {
            struct torch_file t;
            gpt2q_error err;
            mem_fail_after(allowed);
            s = torch_file_from_memory((const uint8_t *)data, n, "m", &t, &err);
            mem_fail_after(-1);
            if (s) assert_int_equal(s, GPT2Q_OUT_OF_MEMORY);
            if (!s) torch_file_close(&t);
        }
        mem_free(data);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_files),     cmocka_unit_test(test_models),
        cmocka_unit_test(test_bad_files),      cmocka_unit_test(test_what_is_said),
        cmocka_unit_test(test_cuts_and_flips), cmocka_unit_test(test_no_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
