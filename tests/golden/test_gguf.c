/* GGUF files: ggml's blocks to the bit, tensors by their SHA-256, logits of the float64 definition, codes
 * held as they are. Every hostile file is refused with one sentence. Every cut and every flipped bit of a
 * header is read or refused, nothing else. */
#include "golden.h"
#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/sha256.h"
#include "engine/model.h"
#include "kernels/half.h"
#include "model/gguf_model.h"
#include "model/stored.h"
#include "qtensor/dequantize.h"
#include "qtensor/isa.h"
#include "tests/quantized.h"
#include <math.h>

#define FOLDER           "tests/golden/data/gguf/"
#define LOGITS_TOLERANCE 5e-6 /* of the largest */

static const char *const type_names[] = {"Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "IQ4_NL", "MXFP4",
                                         "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_XS"};

static const struct gguf_type *type_called(const char *name)
{
    for (uint32_t id = 0; id < 64; id++) {
        const struct gguf_type *t = gguf_type_find(id);
        if (t && !strcmp(t->name, name)) return t;
    }
    fail_msg("no type %s", name);
    return NULL;
}

/* ---- blocks ---- */

/* Hard blocks one by one. Each is an output of its own, in the scheme that its type gives. */
static void hold_block(const struct gguf_type *type, const uint8_t *block, const float *want)
{
    const struct container_tensor t = {
        .name = type->name, .blocks = type, .data = block, .size = (size_t)type->bytes};
    const int n = type->values;
    const struct scheme s = gguf_exact_scheme(type, block, (size_t)n, n);
    const struct qsource shape = {.name = type->name, .rows = 1, .cols = n};
    const struct quantize_run run = {.n_threads = 1};
    struct qtensor w;
    gpt2q_error err;
    float got[GGUF_VALUES_MAX];
    if (!scheme_has_codes(s)) return;
    void *memory = mem_alloc(qtensor_memory(s, 1, n));
    assert_int_equal(stored_hold(&t, s, &shape, memory, &run, &w, &err), GPT2Q_OK);
    isa_at(0)->formats[s.format].dequantize_row(&w, 0, got);
    for (int i = 0; i < n; i++)
        if (got[i] != want[i]) /* -0 may have become 0 */
            fail_msg("%s held: value %d is %g, not %g", type->name, i, (double)got[i], (double)want[i]);
    mem_free(memory);
}

/* The same blocks as the outputs of one matrix: those that absmax holds, whose scales must not be negative then. */
static void hold_matrix(const struct gguf_type *type, const struct st_tensor *blocks,
                        const struct st_tensor *values)
{
    const size_t bytes = (size_t)type->bytes;
    uint8_t *some = mem_alloc(blocks->size);
    struct container_tensor t = {.name = type->name, .blocks = type, .data = some};
    struct qsource shape = {.name = type->name, .cols = GGUF_GROUP};
    const struct quantize_run run = {.n_threads = 2};
    int *from = mem_array((size_t)blocks->shape[0], sizeof *from);
    struct qtensor w;
    gpt2q_error err;
    for (int i = 0; i < (int)blocks->shape[0]; i++) {
        const uint8_t *block = blocks->data + (size_t)i * bytes;
        const struct scheme s = gguf_exact_scheme(type, block, GGUF_GROUP, GGUF_GROUP);
        if (!scheme_has_codes(s) || s.grid != QGRID_ABSMAX) continue;
        memcpy(some + (size_t)shape.rows * bytes, block, bytes);
        from[shape.rows++] = i;
    }
    t.size = (size_t)shape.rows * bytes;
    const struct scheme s = gguf_exact_scheme(type, some, t.size / bytes * GGUF_GROUP, GGUF_GROUP);
    void *memory = mem_alloc(qtensor_memory(s, shape.rows, GGUF_GROUP));
    if (s.grid != QGRID_ABSMAX || shape.rows < 4) fail_msg("%s: %d outputs", type->name, shape.rows);
    assert_int_equal(stored_hold(&t, s, &shape, memory, &run, &w, &err), GPT2Q_OK);
    for (int row = 0; row < w.rows; row++) {
        float got[GGUF_GROUP], want[GGUF_GROUP];
        memcpy(want, values->data + (size_t)from[row] * sizeof want, sizeof want);
        isa_at(0)->formats[s.format].dequantize_row(&w, row, got);
        for (int i = 0; i < GGUF_GROUP; i++)
            if (got[i] != want[i]) fail_msg("%s: value %d of output %d is another", type->name, i, row);
        const float scale = qtensor_parameter(&w, w.scale, qtensor_parameter_of(&w, row, 0));
        bool nothing = true;
        for (int i = 0; i < GGUF_GROUP; i++) nothing &= got[i] == 0.0f;
        if (nothing ? scale != 0.0f || signbit(scale) : !(scale > 0.0f))
            fail_msg("%s: output %d has the scale %g", type->name, row, (double)scale);
    }
    mem_free(memory);
    mem_free(from);
    mem_free(some);
}

static void blocks_of_ggml(void **state)
{
    (void)state;
    gpt2q_error err;
    struct safetensors st;
    int held = 0;
    if (safetensors_open(repo_path(FOLDER "blocks.safetensors"), &st, &err)) fail_msg("%s", err.message);
    for (size_t k = 0; k < sizeof type_names / sizeof *type_names; k++) {
        char name[32];
        const struct gguf_type *type = type_called(type_names[k]);
        snprintf(name, sizeof name, "%s.blocks", type_names[k]);
        const struct st_tensor *blocks = safetensors_find(&st, name);
        snprintf(name, sizeof name, "%s.values", type_names[k]);
        const struct st_tensor *values = safetensors_find(&st, name);
        assert_true(blocks && values && blocks->shape[1] == (uint64_t)type->bytes);
        for (uint64_t i = 0; i < blocks->shape[0]; i++) {
            const size_t n = (size_t)type->values * sizeof(float);
            float got[GGUF_VALUES_MAX], want[GGUF_VALUES_MAX];
            const uint8_t *block = blocks->data + i * blocks->shape[1];
            memcpy(want, values->data + i * n, n);
            gguf_decode(type, block, got);
            for (int v = 0; v < type->values; v++)
                if (memcmp(&got[v], &want[v], 4) && !(isnan(got[v]) && isnan(want[v])))
                    fail_msg("%s block %d value %d: %g, not %g", type_names[k], (int)i, v, (double)got[v],
                             (double)want[v]);
            hold_block(type, block, want), held++;
        }
        if (type->values == GGUF_GROUP && type->format == QF_I8 && !type->has_min)
            hold_matrix(type, blocks, values);
    }
    assert_true(held > 100);
    safetensors_close(&st);
}

/* ---- whole files ---- */

/* The numbers of a tensor in the checkpoint's order, for mem_free. */
static float *numbers_of(const struct container_tensor *t, const char *file, size_t *n)
{
    gpt2q_error err;
    float *stored = NULL;
    *n = 1;
    for (int i = 0; i < t->n_dims; i++) *n *= (size_t)t->shape[i];
    float *out = mem_array(*n, sizeof *out);
    if (t->blocks && container_floats(t, file, &stored, &err)) fail_msg("%s", err.message);
    const size_t rows = t->n_dims == 2 ? (size_t)t->shape[0] : 1, cols = *n / rows;
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < cols; c++) {
            const size_t at = t->turned ? c * rows + r : r * cols + c;
            uint16_t half;
            float *to = &out[r * cols + c];
            if (stored)
                *to = stored[at];
            else if (t->dtype == ST_F32)
                memcpy(to, t->data + 4 * at, 4);
            else
                memcpy(&half, t->data + 2 * at, 2),
                    *to = t->dtype == ST_F16 ? float_from_f16(half) : float_from_bf16(half);
        }
    mem_free(stored);
    return out;
}

static cJSON *read_index(void)
{
    gpt2q_error err;
    char *text;
    size_t n;
    cJSON *root;
    if (file_read(repo_path(FOLDER "index.json"), 1 << 20, &text, &n, &err)) fail_msg("%s", err.message);
    if (json_parse(text, n, "index.json", &root, &err)) fail_msg("%s", err.message);
    mem_free(text);
    return root;
}

static void check_sums(const char *path, const cJSON *sums)
{
    gpt2q_error err;
    struct container c;
    if (container_open_file(path, &c, &err)) fail_msg("%s", err.message);
    assert_int_equal(c.files[0].n_tensors, cJSON_GetArraySize(sums));
    for (size_t i = 0; i < c.files[0].n_tensors; i++) {
        const struct container_tensor *t = &c.files[0].tensors[i];
        struct sha256 s;
        char got[SHA256_TEXT];
        size_t n;
        float *values = numbers_of(t, path, &n);
        sha256_begin(&s);
        sha256_add(&s, values, n * sizeof *values);
        const cJSON *want = cJSON_GetObjectItemCaseSensitive(sums, t->name);
        if (!want || strcmp(want->valuestring, sha256_print(&s, got)))
            fail_msg("%s: other numbers in %s", path, t->name);
        mem_free(values);
    }
    container_close(&c);
}

static void tensors_by_sum(void **state)
{
    (void)state;
    cJSON *index = read_index(), *item;
    int n = 0;
    cJSON_ArrayForEach(item, index)
    {
        char local[200], shared[200];
        if (!strcmp(item->string, "bad")) continue;
        snprintf(local, sizeof local, FOLDER "%s", item->string);
        snprintf(shared, sizeof shared, "golden/gguf/%s", item->string);
        const char *path = file_exists(repo_path(local)) ? repo_path(local) : shared_path(shared);
        if (!path) continue;
        check_sums(path, cJSON_GetObjectItemCaseSensitive(item, "sha256_f32"));
        n++;
    }
    assert_true(n >= 2);
    cJSON_Delete(index);
}

/* Every matrix of a model that is held as stored has the file's numbers. */
static void expect_held(const char *path)
{
    gpt2q_error err;
    gpt2q_model *model;
    struct container c;
    if (container_open_file(path, &c, &err)) fail_msg("%s", err.message);
    if (gpt2q_model_open(path, NULL, &model, &err)) fail_msg("%s", err.message);
    struct gpt2_weights w = *model_weights(model);
    int matrices = 0, codes = 0;
    for (size_t i = 0; i < c.files[0].n_tensors; i++) {
        const struct container_tensor *t = &c.files[0].tensors[i];
        struct weight_id id;
        if (weight_parse(t->name, &id) != NAME_WEIGHT || !weight_is_matrix(id.part)) continue;
        const struct qtensor *q = weight_matrix(&w, id);
        float *stored = NULL, *row = mem_array((size_t)q->cols, sizeof *row);
        if (!t->blocks) {
            mem_free(row);
            continue;
        }
        if (container_floats(t, path, &stored, &err)) fail_msg("%s", err.message);
        for (int r = 0; r < q->rows; r++) {
            isa_at(0)->formats[q->scheme.format].dequantize_row(q, r, row);
            for (int k = 0; k < q->cols; k++)
                if (row[k] != stored[(size_t)r * (size_t)q->cols + (size_t)k])
                    fail_msg("%s: other numbers at %d, %d", t->name, r, k);
        }
        matrices++, codes += scheme_has_codes(q->scheme);
        mem_free(stored), mem_free(row);
    }
    assert_int_equal(codes, matrices); /* K types, too */
    assert_true(matrices > 4);
    gpt2q_model_close(model);
    container_close(&c);
}

static void held_exactly(void **state)
{
    (void)state;
    expect_held(repo_path(FOLDER "mixed.gguf"));
    const char *wide = shared_path("golden/gguf/wide-q4_k_m.gguf");
    if (wide) expect_held(wide);
}

static void check_logits(const struct safetensors *st, const char *file, const char *path)
{
    for (int p = 0; p < 4; p++) {
        char name[64];
        double worst = 0, largest = 0;
        snprintf(name, sizeof name, "%s.%d.ids", file, p);
        const struct st_tensor *ids = safetensors_find(st, name);
        snprintf(name, sizeof name, "%s.%d.logits", file, p);
        const struct st_tensor *logits = safetensors_find(st, name);
        assert_true(ids && logits && ids->dtype == ST_I32);
        int32_t list[64];
        const size_t n = ids->size / 4;
        for (size_t i = 0; i < n; i++) memcpy(&list[i], ids->data + 4 * i, 4);
        const bool quantized = strncmp(file, "untied", 6) != 0;
        struct runner r = runner_open(
            path, (struct run_settings){.scheme = quantized ? NULL : "f32", .activations = "f32"});
        runner_decode(&r, list, n, 0, 0, false);
        const float *got = gpt2q_logits(r.ctx, 0);
        for (size_t i = 0; i < logits->size / 4; i++) {
            float want;
            memcpy(&want, logits->data + 4 * i, 4);
            const double d = fabs((double)got[i] - (double)want);
            worst = d > worst ? d : worst,
            largest = fabs((double)want) > largest ? fabs((double)want) : largest;
        }
        runner_close(&r);
        if (!(worst <= LOGITS_TOLERANCE * largest))
            fail_msg("%s: logits %d differ by %g of %g", file, p, worst, largest);
    }
}

static void logits_of_the_definition(void **state)
{
    (void)state;
    static const char *const files[] = {"mixed",     "untied-bf16", "untied-f16", "untied-f32",
                                        "wide-q8_0", "wide-q4_0",   "wide-q4_k_m"};
    gpt2q_error err;
    struct safetensors st;
    if (safetensors_open(repo_path(FOLDER "logits.safetensors"), &st, &err)) fail_msg("%s", err.message);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char local[200], shared[200];
        snprintf(local, sizeof local, FOLDER "%s.gguf", files[i]);
        snprintf(shared, sizeof shared, "golden/gguf/%s.gguf", files[i]);
        const char *path = file_exists(repo_path(local)) ? repo_path(local) : shared_path(shared);
        if (path) check_logits(&st, files[i], path);
    }
    safetensors_close(&st);
}

/* The same bits on every instruction set, and from the .gpt2q made of the file. */
static void the_same_bits(void **state)
{
    (void)state;
    static const int32_t ids[] = {51, 257, 220, 80, 84, 282, 74, 3, 120, 288, 9};
    enum { N = sizeof ids / sizeof *ids };
    char *directory = temp_directory(), path[4200];
    gpt2q_error err;
    snprintf(path, sizeof path, "%s/mixed.gpt2q", directory);
    if (quantize_to(FOLDER "mixed.gguf", NULL, NULL, 0, path, &err)) fail_msg("%s", err.message);
    struct runner first =
        runner_open(repo_path(FOLDER "mixed.gguf"), (struct run_settings){.isa = "scalar", .n_outputs = N});
    runner_decode(&first, ids, N, 0, 0, true);
    for (size_t i = 0; i < isa_count(); i++)
        for (int stored = 0; stored < 2; stored++) {
            if (!isa_at(i)->supported()) continue;
            struct runner r = runner_open(stored ? path : repo_path(FOLDER "mixed.gguf"),
                                          (struct run_settings){.isa = isa_at(i)->name, .n_outputs = N});
            runner_decode(&r, ids, N, 0, 0, true);
            for (int32_t k = 0; k < N; k++)
                if (memcmp(gpt2q_logits(first.ctx, k), gpt2q_logits(r.ctx, k), 289 * sizeof(float)))
                    fail_msg("%s: other logits%s", isa_at(i)->name, stored ? " from .gpt2q" : "");
            runner_close(&r);
        }
    runner_close(&first);
    temp_remove(directory);
}

/* A quantized tensor does not change its scheme unasked. */
static void quantized_stays(void **state)
{
    (void)state;
    gpt2q_error err;
    gpt2q_model *model;
    gpt2q_model_params p = gpt2q_model_params_default();
    p.scheme = "i8";
    assert_int_equal(gpt2q_model_open(repo_path(FOLDER "mixed.gguf"), &p, &model, &err),
                     GPT2Q_INVALID_ARGUMENT);
    assert_non_null(strstr(err.message, "wte.weight is quantized already, as Q8_0"));
    p.requantize = true;
    if (gpt2q_model_open(repo_path(FOLDER "mixed.gguf"), &p, &model, &err)) fail_msg("%s", err.message);
    assert_string_equal(gpt2q_model_scheme(model), "i8:channel:absmax");
    gpt2q_model_close(model);
}

/* ---- hostile files ---- */

static void bad_files(void **state)
{
    (void)state;
    cJSON *index = read_index(), *item;
    int refused = 0, read = 0;
    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(index, "bad"))
    {
        char path[200];
        gpt2q_error err = {0};
        gpt2q_model *model;
        gpt2q_model_params p = gpt2q_model_params_default();
        p.scheme = "f32";
        snprintf(path, sizeof path, FOLDER "bad/%s.gguf", item->string);
        const bool good =
            !strcmp(item->string, "ok") || !strcmp(item->string, "tail") || !strcmp(item->string, "nan");
        gpt2q_status s = gpt2q_model_open(repo_path(path), &p, &model, &err);
        if (good == (s != GPT2Q_OK)) fail_msg("%s: %s", item->string, s ? err.message : "was read");
        gpt2q_model_close(model);
        p.weights_only = true; /* a vocabulary that is there must be right, whoever needs it */
        assert_int_equal(gpt2q_model_open(repo_path(path), &p, &model, NULL), s);
        if (s) assert_non_null(strstr(err.message, item->string)); /* the sentence names the file */
        refused += s != GPT2Q_OK, read += s == GPT2Q_OK;
        gpt2q_model_close(model);
    }
    assert_int_equal(read, 3);
    assert_int_equal(refused, 58);
    cJSON_Delete(index);
}

static void read_all_of(const uint8_t *data, size_t n)
{
    struct gguf_file f;
    struct tokenizer *t;
    gpt2q_config config;
    gpt2q_error err = {0};
    if (gguf_from_memory(data, n, "memory", &f, &err)) {
        assert_true(err.message[0] && !f.tensors);
        return;
    }
    for (size_t i = 0; i < f.n_tensors; i++)
        assert_true(f.tensors[i].data >= data && f.tensors[i].size <= (size_t)(data + n - f.tensors[i].data));
    gguf_config(&f, &config, &err);
    if (!gguf_tokenizer_open(&f, &t, &err)) tokenizer_free(t);
    gguf_close(&f);
}

/* Every cut, before a page that cannot be read, and every flipped bit of the header. */
static void cuts_and_flips(void **state)
{
    (void)state;
    enum { HEADER = 1600 };
    gpt2q_error err;
    char *whole;
    size_t n;
    if (file_read(repo_path(FOLDER "bad/ok.gguf"), 1 << 20, &whole, &n, &err)) fail_msg("%s", err.message);
    for (size_t cut = 0; cut <= n; cut++) {
        uint8_t *data = guard_alloc(cut);
        memcpy(data, whole, cut);
        read_all_of(data, cut);
        guard_free(data, cut);
    }
    uint8_t *data = guard_alloc(n);
    memcpy(data, whole, n);
    for (size_t bit = 0; bit < 8 * HEADER; bit++) {
        data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        read_all_of(data, n);
        data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    guard_free(data, n);
    mem_free(whole);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_of_ggml), cmocka_unit_test(tensors_by_sum),
        cmocka_unit_test(held_exactly),   cmocka_unit_test(logits_of_the_definition),
        cmocka_unit_test(the_same_bits),  cmocka_unit_test(quantized_stays),
        cmocka_unit_test(bad_files),      cmocka_unit_test(cuts_and_flips),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
