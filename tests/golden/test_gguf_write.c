/* Writing GGUF files: ggml's rounding to the byte, what schemes hold written as it is and read back, keys, refusals. */
#include "golden.h"
#include "base/file.h"
#include "base/memory.h"
#include "model/gguf_encode.h"
#include "model/bindings.h"
#include "model/gguf_model.h"
#include "quantize/gguf_header.h"
#include "tests/quantized.h"
#include <math.h>

#define FOLDER "tests/golden/data/gguf/"

static const char *const rounded[] = {"Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1"};

/* ---- rounding ---- */

static void bytes_of_ggml(void **state)
{
    (void)state;
    gpt2q_error err;
    struct safetensors st;
    if (safetensors_open(repo_path(FOLDER "rounding.safetensors"), &st, &err)) fail_msg("%s", err.message);
    const struct st_tensor *x = safetensors_find(&st, "weights");
    const struct qsource src = {.name = "weights",
                                .data = x->data,
                                .rows = (int)x->shape[0],
                                .cols = GGUF_GROUP,
                                .row_stride = GGUF_GROUP,
                                .col_stride = 1};
    for (int threads = 1; threads < 4; threads++)
        for (size_t k = 0; k < sizeof rounded / sizeof *rounded; k++) {
            const struct quantize_run run = {.n_threads = threads};
            const struct st_tensor *want = safetensors_find(&st, rounded[k]);
            const struct gguf_type *type = gguf_type_named(rounded[k]);
            struct qtensor w;
            assert_int_equal(qtensor_quantize(&src, (struct scheme){.format = QF_F32}, &run, &w, &err), 0);
            const size_t n = gguf_matrix_bytes(type, w.rows, w.cols);
            assert_int_equal(n, want->size);
            uint8_t *got = mem_alloc(n);
            assert_int_equal(gguf_encode_rounded(&w, type, "weights", &run, got, &err), 0);
            for (int r = 0; r < w.rows; r++)
                if (memcmp(got + r * type->bytes, want->data + r * type->bytes, (size_t)type->bytes))
                    fail_msg("%s: other bytes in block %d", type->name, r);
            mem_free(got);
            qtensor_free(&w);
        }
    safetensors_close(&st);
}

/* The vector of one block in f32, rounded to a type: refused. */
static void refuse_block(const char *type, int at, float value)
{
    gpt2q_error err = {0};
    float x[GGUF_GROUP] = {1.0f};
    uint8_t block[64];
    struct qtensor w;
    const struct quantize_run run = {.n_threads = 1};
    const struct qsource src = {
        .name = "x", .data = x, .rows = 1, .cols = GGUF_GROUP, .row_stride = GGUF_GROUP, .col_stride = 1};
    x[at] = value;
    assert_int_equal(qtensor_quantize(&src, (struct scheme){.format = QF_F32}, &run, &w, &err), 0);
    assert_int_equal(gguf_encode_rounded(&w, gguf_type_named(type), "x", &run, block, &err),
                     GPT2Q_UNSUPPORTED);
    assert_non_null(strstr(err.message, "x: holds weights that are not finite or too large"));
    qtensor_free(&w);
}

static void rounding_refuses_what_has_no_scale(void **state)
{
    (void)state;
    for (size_t k = 0; k < sizeof rounded / sizeof *rounded; k++) {
        refuse_block(rounded[k], 31, NAN);
        refuse_block(rounded[k], 0, INFINITY);
        refuse_block(rounded[k], 7, -1e9f);
    }
    assert_null(gguf_type_named("q4_k"));
    assert_null(gguf_type_named("q4"));
    assert_ptr_equal(gguf_type_named("Bf16"), gguf_type_find(30));
}

/* ---- files ---- */

static struct bindings open_model(const char *path)
{
    gpt2q_error err;
    struct bindings b;
    if (bindings_open(path, &b, &err)) fail_msg("%s", err.message);
    return b;
}

static const struct container_tensor *tensor_of(const struct bindings *b, struct weight_id id)
{
    for (size_t i = 0; i < b->n; i++)
        if (b->items[i].id.part == id.part && b->items[i].id.layer == id.layer) return b->items[i].tensor;
    return NULL;
}

/* Bytes come back but for those of types that are held as another (6 of 256 values, 2 IQ4_NL, 2 Q5_0) and of three Q4_0 with
 * scales of -0, which become 0. Their numbers are the same: test_conversions compares them. */
static void mixed_comes_back(void **state)
{
    (void)state;
    gpt2q_error err;
    char *directory = temp_directory(), path[4200], again[4200];
    int same = 0, others = 0;
    snprintf(path, sizeof path, "%s/mixed.GGUF", directory);
    snprintf(again, sizeof again, "%s/again.gguf", directory);
    if (quantize_to(FOLDER "mixed.gguf", NULL, NULL, 0, path, &err)) fail_msg("%s", err.message);
    if (quantize_to(path, NULL, NULL, 0, again, &err)) fail_msg("%s", err.message);
    struct bindings a = open_model(repo_path(FOLDER "mixed.gguf")), b = open_model(path);
    assert_int_equal(a.n, b.n);
    assert_memory_equal(&a.config, &b.config, sizeof a.config);
    for (size_t i = 0; i < a.n; i++) {
        const struct container_tensor *x = a.items[i].tensor, *y = tensor_of(&b, a.items[i].id);
        if (x->blocks == y->blocks && x->size == y->size && !memcmp(x->data, y->data, x->size))
            same++;
        else
            others++;
    }
    if (same != (int)a.n - others || others != 13) fail_msg("%d tensors have other bytes", others);
    bindings_close(&a), bindings_close(&b);
    char *first, *second;
    size_t n, m;
    if (file_read(path, 1 << 22, &first, &n, &err)) fail_msg("%s", err.message);
    if (file_read(again, 1 << 22, &second, &m, &err)) fail_msg("%s", err.message);
    assert_int_equal(n, m);
    assert_memory_equal(first, second, n); /* what is written is what is read */
    mem_free(first), mem_free(second);
    temp_remove(directory);
}

static void schemes_without_a_type(void **state)
{
    (void)state;
    static const struct {
        const char *spec, *words;
    } cases[] = {
        {"i8", "no GGUF type holds i8:channel:absmax exactly; the nearest is i8:g32:absmax"},
        {"i8:g64", "no GGUF type holds i8:g64:absmax exactly; the nearest is i8:g32:absmax"},
        {"i4:g32:affine", "no GGUF type holds i4:g32:affine exactly; the nearest is i4:g32:minmax"},
        {"i4:channel", "no GGUF type holds i4:channel:absmax exactly; the nearest is i4:g32:signed"},
        {"nf4", "no GGUF type holds nf4:g64 exactly; the nearest is mxfp4, that is MXFP4"},
        {"fp8:e5m2", "no GGUF type holds fp8:e5m2 exactly; the nearest is i8:g32:absmax"},
        {"notes", "no GGUF type holds notes exactly"},
        {"i8:g32:minmax", "is i8:g32:minmax with codes beyond 31"},
    };
    gpt2q_error err;
    char *directory = temp_directory(), path[4200];
    snprintf(path, sizeof path, "%s/x.gguf", directory);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        gpt2q_status s = quantize_to("models/tales-7m", cases[i].spec, NULL, 0, path, &err);
        if (!s || !strstr(err.message, cases[i].words) || !strstr(err.message, ".weight:"))
            fail_msg("%s: %s", cases[i].spec, s ? err.message : "was written");
        assert_false(file_exists(path));
    }
    assert_int_not_equal(quantize_to("tests/golden/data/tiny-relu", "f32", NULL, 0, path, &err), 0);
    assert_non_null(strstr(err.message, "activation_function is not GPT-2's"));
    assert_false(file_exists(path));
    temp_remove(directory);
}

/* Each allocation fails in turn, the later ones at growing distances: a sentence, and no file. */
static void memory_runs_out(void **state)
{
    (void)state;
    char *directory = temp_directory(), path[4200];
    gpt2q_status s = GPT2Q_OUT_OF_MEMORY;
    int failures = 0;
    snprintf(path, sizeof path, "%s/x.gguf", directory);
    for (int64_t n = 0; s; n += 1 + n / 16) {
        gpt2q_error err = {0};
        mem_fail_after(n);
        s = quantize_to(FOLDER "untied-bf16.gguf", "i8:g32", NULL, 0, path, &err);
        mem_fail_after(-1);
        assert_true(s == GPT2Q_OK || (s == GPT2Q_OUT_OF_MEMORY && err.message[0] && !file_exists(path)));
        failures += s != GPT2Q_OK;
    }
    assert_true(failures > 20);
    temp_remove(directory);
}

/* ---- keys ---- */

/* A file of a config, a token_embd of 3 x 8, and what `more` adds: the sentence that refuses its config, or "". */
static const char *config_with(void (*more)(struct gguf_header *h), gpt2q_config *config)
{
    static gpt2q_error err;
    static const uint64_t ne[] = {8, 3};
    struct gguf_header h = {0};
    struct gguf_file f;
    gguf_header_begin(&h);
    gguf_put_text(&h, "general.architecture", "gpt2", 4);
    gguf_put_integer(&h, "gpt2.context_length", 4);
    gguf_put_integer(&h, "gpt2.embedding_length", 8);
    gguf_put_integer(&h, "gpt2.block_count", 1);
    gguf_put_integer(&h, "gpt2.attention.head_count", 2);
    gguf_put_float(&h, "gpt2.attention.layer_norm_epsilon", 1e-5f);
    gguf_put_integer(&h, "tokenizer.ggml.eos_token_id", 2);
    more(&h);
    gguf_put_tensor(&h, "token_embd.weight", 2, ne, gguf_type_find(0), 0);
    assert_int_equal(gguf_header_end(&h, 128, &err), 0);
    uint8_t *data = mem_zalloc(h.n + 96);
    memcpy(data, h.data, h.n);
    err.message[0] = '\0';
    if (!gguf_from_memory(data, h.n + 96, "memory", &f, &err)) {
        gguf_config(&f, config, &err);
        gguf_close(&f);
    }
    mem_free(data);
    mem_free(h.data);
    return err.message;
}

static void nothing(struct gguf_header *h) { (void)h; }
static void split(struct gguf_header *h) { gguf_put_integer(h, "split.count", 2); }
static void one_part(struct gguf_header *h) { gguf_put_integer(h, "split.count", 1); }
static void activation(struct gguf_header *h) { gguf_put_text(h, GGUF_OWN_ACTIVATION, "quick_gelu", 10); }
static void hostile_activation(struct gguf_header *h)
{
    gguf_put_text(h, GGUF_OWN_ACTIVATION, "x\", \"n_head\": 4, \"", 17);
}
static void scale_of_text(struct gguf_header *h) { gguf_put_text(h, GGUF_OWN_SCALE, "false", 5); }
static void inverse_of_integer(struct gguf_header *h) { gguf_put_integer(h, GGUF_OWN_INVERSE, 1); }
static void ends_of_text(struct gguf_header *h) { gguf_put_text(h, GGUF_OWN_MORE_EOS, "3", 1); }
static void many_ends(struct gguf_header *h)
{
    gguf_put_array(h, GGUF_OWN_MORE_EOS, GGUF_I32, 40);
    for (uint32_t i = 0; i < 40; i++) gguf_put_u32(h, i);
}
static void two_ends(struct gguf_header *h)
{
    gguf_put_array(h, GGUF_OWN_MORE_EOS, GGUF_I32, 1);
    gguf_put_u32(h, 1);
    gguf_put_bool(h, GGUF_OWN_SCALE, false);
}

static void keys_of_its_own(void **state)
{
    (void)state;
    static const struct {
        void (*more)(struct gguf_header *h);
        const char *words;
    } cases[] = {{split, "is one of 2 parts of a model (split.count); llama-gguf-split --merge joins them"},
                 {activation, "activation_function is \"quick_gelu\", supported are"},
                 {hostile_activation, "gpt2q.activation_function is no name of one"},
                 {scale_of_text, "gpt2q.scale_attn_weights is not a bool"},
                 {inverse_of_integer, "gpt2q.scale_attn_by_inverse_layer_idx is not a bool"},
                 {ends_of_text, "gpt2q.more_eos_token_ids is no array of at most 15"},
                 {many_ends, "gpt2q.more_eos_token_ids is no array of at most 15"}};
    gpt2q_config config;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *said = config_with(cases[i].more, &config);
        if (!strstr(said, cases[i].words)) fail_msg("'%s', not '%s'", said, cases[i].words);
    }
    assert_string_equal(config_with(nothing, &config), "");
    assert_int_equal(config.n_inner, 32);
    assert_true(config.scale_attn_weights && config.eos_token_id == 2 && !config.n_more_eos);
    assert_string_equal(config_with(one_part, &config), "");
    assert_string_equal(config_with(two_ends, &config), "");
    assert_int_equal(config.n_more_eos, 1);
    assert_int_equal(config.more_eos_token_ids[0], 1);
    assert_false(config.scale_attn_weights);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_of_ggml),    cmocka_unit_test(rounding_refuses_what_has_no_scale),
        cmocka_unit_test(mixed_comes_back), cmocka_unit_test(schemes_without_a_type),
        cmocka_unit_test(memory_runs_out),  cmocka_unit_test(keys_of_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
