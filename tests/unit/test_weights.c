/* Loading: each tensor has its place, and bytes and parameters are counted. */
#include "tests/draft.h"
#include "base/memory.h"
#include "kernels/half.h"
#include "model/config.h"
#include "model/weights_names.h"
#include "qtensor/quantize.h"
#include <math.h>

static const struct tensor_info *info_of(const struct gpt2_weights *w, const char *name)
{
    for (size_t i = 0; i < w->n_tensors; i++) {
        if (!strcmp(w->tensors[i].name, name)) return &w->tensors[i];
    }
    return NULL;
}

static bool has_scheme(const struct gpt2_weights *w, const char *name, const char *scheme)
{
    char text[SCHEME_TEXT_MAX];
    return !strcmp(scheme_print(info_of(w, name)->scheme, text), scheme);
}

/* ---- values ---- */

static float stored(const struct st_tensor *t, size_t i)
{
    float f;
    uint16_t half;
    if (t->dtype == ST_F32) {
        memcpy(&f, t->data + 4 * i, 4);
        return f;
    }
    memcpy(&half, t->data + 2 * i, 2);
    return t->dtype == ST_F16 ? float_from_f16(half) : float_from_bf16(half);
}

static float held(const struct qtensor *q, int o, int k)
{
    const float *panel = (const float *)(const void *)(q->codes + (size_t)(o / PANEL) * q->panel_bytes);
    return panel[(size_t)k * PANEL + (size_t)(o % PANEL)];
}

/* Every element of a file's tensor is where the model looks for it. Returns how many there are. */
static uint64_t check_tensor(struct gpt2_weights *w, const struct st_tensor *t)
{
    struct weight_id id;
    if (weight_parse(weight_strip(t->name), &id) != NAME_WEIGHT) return 0;
    uint64_t shape[2];
    weight_shape(&w->config, id.part, shape);
    const struct tensor_info *info = info_of(w, weight_strip(t->name));
    assert_non_null(info);
    assert_string_equal(info->dtype, st_dtype_name(t->dtype));
    assert_true(info->n_dims == t->n_dims && info->shape[0] == t->shape[0] && info->shape[1] == shape[1]);
    for (size_t i = 0; i < shape[0] * shape[1]; i++) {
        int a = (int)(i / shape[1]), b = (int)(i % shape[1]);
        float value = !weight_is_matrix(id.part)  ? (*weight_floats(w, id))[i]
                      : weight_is_conv1d(id.part) ? held(weight_matrix(w, id), b, a)
                                                  : held(weight_matrix(w, id), a, b);
        if (memcmp(&value, &(float){stored(t, i)}, sizeof value))
            fail_msg("%s: element %zu is %g, stored %g", t->name, i, (double)value, (double)stored(t, i));
    }
    return shape[0] * shape[1];
}

static void check_directory(const char *directory, size_t n_files)
{
    struct weights_params p = params_of("f32");
    struct gpt2_weights w = loaded(directory, &p);
    uint64_t elements = 0;
    size_t order = 0;
    for (size_t f = 0; f < n_files; f++) {
        char path[4200];
        if (n_files == 1)
            snprintf(path, sizeof path, "%s/model.safetensors", directory);
        else
            snprintf(path, sizeof path, "%s/model-%05zu-of-%05zu.safetensors", directory, f + 1, n_files);
        struct safetensors st;
        assert_int_equal(safetensors_open(path, &st, NULL), GPT2Q_OK);
        for (size_t i = 0; i < st.n_tensors; i++) {
            uint64_t n = check_tensor(&w, &st.tensors[i]);
            if (n) assert_string_equal(w.tensors[order++].name, weight_strip(st.tensors[i].name));
            elements += n;
        }
        safetensors_close(&st);
    }
    assert_int_equal(order, w.n_tensors);
    assert_int_equal(elements, w.parameters);
    assert_int_equal(w.parameters, config_parameters(&w.config));
    assert_true(w.lm_head_is_wte == w.config.tie_word_embeddings && !w.mixed);
    assert_true(!w.lm_head_is_wte || w.lm_head.codes == w.wte.codes);
    weights_free(&w);
}

static void holds_every_number_in_its_place(void **state)
{
    (void)state;
    static const char *const names[] = {
        "bf16-prefix-masks", "f16-sharded", "gelu", "odd", "relu", "silu", "tanh", "plain", "untied",
        "no-attn-scale"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char relative[128];
        snprintf(relative, sizeof relative, "%s/tiny-%s", i < 7 ? "tests/golden/data" : "golden", names[i]);
        const char *directory = i < 7 ? repo_path(relative) : shared_path(relative);
        if (directory)
            check_directory(directory, i == 1 ? 3 : 1);
        else
            print_message("skipped: %s is not here\n", relative);
    }
}

static void reads_floats_that_lie_askew(void **state)
{
    (void)state;
    static const uint64_t odd[] = {1, 1, 1, 3};
    struct draft d;
    draft_open(&d);
    draft_add(&d, "h.0.attn.bias", ST_BOOL, 4, odd, NULL); /* three bytes before all others */
    struct st_declaration last = d.tensors[d.n - 1];
    uint8_t *data = d.data[d.n - 1];
    memmove(&d.tensors[1], &d.tensors[0], (d.n - 1) * sizeof last);
    memmove(&d.data[1], &d.data[0], (d.n - 1) * sizeof data);
    d.tensors[0] = last, d.data[0] = data;
    draft_write(&d);
    check_directory(d.directory, 1);
    draft_close(&d);
}

/* ---- books ---- */

static void counts_bytes_in_every_scheme(void **state)
{
    (void)state;
    static const char *const schemes[] = {"f32",      "f16",          "bf16",   "i8",   "i8:tensor:minmax",
                                          "i8:input", "i4:g8:affine", "i4:g32", "notes"};
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++) {
        struct weights_params p = params_of(schemes[i]);
        struct gpt2_weights w = loaded(repo_path("tests/golden/data/tiny-f16-sharded"), &p);
        uint64_t bytes = 0;
        for (size_t t = 0; t < w.n_tensors; t++) {
            const struct tensor_info *info = &w.tensors[t];
            size_t elements = (size_t)(info->shape[0] * info->shape[1]);
            struct weight_id id;
            assert_int_equal(weight_parse(info->name, &id), NAME_WEIGHT);
            bool notes = !strcmp(schemes[i], "notes");
            size_t expected = weight_is_matrix(id.part) ? weight_matrix(&w, id)->bytes
                              : notes                   ? elements + 8
                                                        : 4 * elements;
            assert_int_equal(info->bytes, expected);
            assert_true(scheme_equal(info->scheme, weight_is_matrix(id.part) || notes
                                                       ? p.scheme
                                                       : (struct scheme){.format = QF_F32}));
            bytes += info->bytes;
        }
        assert_int_equal(w.bytes, bytes);
        assert_int_equal(w.parameters, config_parameters(&w.config));
        assert_int_equal(w.n_tensors, 28);
        assert_int_equal(w.n_files, 0); /* nothing keeps the checkpoint in memory */
        weights_free(&w);
    }
}

static void takes_floats_through_the_notes(void **state)
{
    (void)state;
    struct weights_params exact = params_of("f32"), notes = params_of("notes");
    struct gpt2_weights a = loaded(repo_path("tests/golden/data/tiny-relu"), &exact);
    struct gpt2_weights b = loaded(repo_path("tests/golden/data/tiny-relu"), &notes);
    const struct {
        const float *before, *after;
        size_t n;
    } vectors[] = {{a.ln_f.weight, b.ln_f.weight, 32},
                   {a.h[0].c_fc.bias, b.h[0].c_fc.bias, 128},
                   {a.wpe, b.wpe, 64 * 32}};
    for (size_t v = 0; v < 3; v++) {
        float lo = INFINITY, hi = -INFINITY;
        for (size_t i = 0; i < vectors[v].n; i++) {
            lo = vectors[v].before[i] < lo ? vectors[v].before[i] : lo;
            hi = vectors[v].before[i] > hi ? vectors[v].before[i] : hi;
        }
        float scale = (hi - lo) / 255.0f;
        bool changed = false;
        for (size_t i = 0; i < vectors[v].n; i++) {
            float code = floorf((vectors[v].before[i] - lo) / scale),
                  expected = scale * (code > 255 ? 255 : code) + lo;
            assert_true(vectors[v].after[i] == expected);
            changed |= vectors[v].after[i] != vectors[v].before[i];
        }
        assert_true(changed);
    }
    weights_free(&a);
    weights_free(&b);
}

/* ---- the output head ---- */

/* The same bytes of another dtype are other numbers. */
static void a_head_of_another_dtype_stands_apart(void **state)
{
    (void)state;
    static const uint64_t shape[] = {257, 32};
    static uint16_t halves[257 * 32];
    struct weights_params p = params_of("f32");
    struct draft d;
    for (size_t i = 0; i < 257 * 32; i++) halves[i] = (uint16_t)(0x3C00 + i % 512);
    draft_open(&d);
    draft_remove(&d, "wte.weight");
    draft_add(&d, "wte.weight", ST_F16, 2, shape, halves);
    draft_add(&d, "lm_head.weight", ST_BF16, 2, shape, halves);
    draft_write(&d);
    struct gpt2_weights w = loaded(d.directory, &p);
    assert_false(w.lm_head_is_wte);
    assert_true(held(&w.wte, 0, 0) == 1.0f && held(&w.lm_head, 0, 0) == 0x1p-7f);
    weights_free(&w);
    draft_close(&d);
}

static void ties_the_head(void **state)
{
    (void)state;
    static const uint64_t shape[] = {257, 32};
    struct weights_params p = params_of("f32");
    for (int kind = 0; kind < 4;
         /* absent; equal and said to be tied; equal and said not to be; different and said to be tied */
         kind++) {
        struct draft d;
        draft_open(&d);
        const uint8_t *wte = d.data[draft_index(&d, "wte.weight")];
        if (kind) draft_add(&d, "lm_head.weight", ST_F32, 2, shape, wte);
        if (kind == 2) draft_config(&d, ",\"tie_word_embeddings\":false");
        if (kind == 3) d.data[d.n - 1][0] ^= 1;
        draft_write(&d);
        struct gpt2_weights w = loaded(d.directory, &p);
        bool apart = kind == 3;
        assert_true(w.lm_head_is_wte == !apart);
        assert_int_equal(w.n_tensors, apart ? 17 : 16);
        assert_true((held(&w.lm_head, 0, 0) != held(&w.wte, 0, 0)) == apart);
        assert_true(held(&w.lm_head, 256, 31) == held(&w.wte, 256, 31));
        w.config.tie_word_embeddings = !apart; /* the tensors count, not the config */
        assert_int_equal(w.parameters, config_parameters(&w.config));
        weights_free(&w);
        draft_close(&d);
    }
    struct draft d;
    draft_open(&d);
    draft_config(&d, ",\"tie_word_embeddings\":false");
    draft_write(&d);
    draft_refused(&d, "f32", GPT2Q_FORMAT,
                  "lm_head.weight is missing, and config.json says that it is not tied to wte");
}

static void gives_the_head_a_copy_on_request(void **state)
{
    (void)state;
    static const char *const head[] = {"lm_head.weight=i8"}, *const same[] = {"lm_head.weight=f32"},
                             *const wte[] = {"wte.weight=i8:tensor"};
    struct weights_params p = params_of("f32");
    const char *directory = repo_path("tests/golden/data/tiny-relu");
    struct gpt2_weights plain = loaded(directory, &p);
    p.n_overrides = 1;
    p.overrides = head;
    struct gpt2_weights w = loaded(directory, &p);
    assert_true(!w.lm_head_is_wte && w.mixed && w.wte.scheme.format == QF_F32 &&
                w.lm_head.scheme.format == QF_I8);
    assert_int_equal(w.n_tensors, plain.n_tensors + 1);
    assert_int_equal(w.bytes, plain.bytes + w.lm_head.bytes);
    assert_int_equal(w.parameters, plain.parameters);
    assert_true(has_scheme(&w, "lm_head.weight", "i8:channel:absmax") && has_scheme(&w, "wte.weight", "f32"));
    weights_free(&w);
    p.overrides = same; /* the same numbers in the same scheme: no copy */
    w = loaded(directory, &p);
    assert_true(w.lm_head_is_wte && !w.mixed && w.bytes == plain.bytes);
    weights_free(&w);
    p.overrides = wte; /* a tied head follows */
    w = loaded(directory, &p);
    assert_true(w.lm_head_is_wte && w.mixed && w.lm_head.scheme.gran == QG_TENSOR);
    weights_free(&w);
    weights_free(&plain);
}

/* ---- overrides ---- */

static void lets_the_last_match_win(void **state)
{
    (void)state;
    static const char *const overrides[] = {"h.*=i4:g32", "h.0.*=bf16", "h.0.mlp.*=f32",
                                            "*.c_attn.weight=notes", "h.1.ln_1.*=notes"};
    struct weights_params p = params_of("i8");
    p.overrides = overrides;
    p.n_overrides = 5;
    struct gpt2_weights w = loaded(repo_path("tests/golden/data/tiny-f16-sharded"), &p);
    assert_true(w.mixed && scheme_equal(w.scheme, p.scheme));
    assert_true(has_scheme(&w, "wte.weight", "i8:channel:absmax") && has_scheme(&w, "wpe.weight", "f32"));
    assert_true(has_scheme(&w, "h.1.mlp.c_fc.weight", "i4:g32:absmax") &&
                has_scheme(&w, "h.1.mlp.c_fc.bias", "f32"));
    assert_true(has_scheme(&w, "h.0.attn.c_proj.weight", "bf16") &&
                has_scheme(&w, "h.0.mlp.c_fc.weight", "f32"));
    assert_true(has_scheme(&w, "h.0.attn.c_attn.weight", "notes") &&
                has_scheme(&w, "h.1.attn.c_attn.weight", "notes"));
    assert_true(has_scheme(&w, "h.1.ln_1.weight", "notes") && has_scheme(&w, "h.0.ln_1.weight", "f32"));
    weights_free(&w);
}

static void refuses_overrides_without_effect(void **state)
{
    (void)state;
    static const struct {
        const char *override, *because;
    } cases[] = {{"h.2.*=i8", "override \"h.2.*\": no tensor has such a name"},
                 {"transformer.wte.weight=i8", "no tensor has such a name"},
                 {"wpe.weight=i8", "override \"wpe.weight\": wpe.weight is no matrix of a linear layer and "
                                   "stays f32, not i8:channel:absmax"},
                 {"*.bias=f16", "h.0.ln_1.bias is no matrix of a linear layer and stays f32, not f16"},
                 {"wte.weight", "is not of the form GLOB=SPEC"},
                 {"=i8", "is not of the form GLOB=SPEC"},
                 {"wte.weight=i9", "i9"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct weights_params p = params_of("f32");
        p.overrides = &cases[i].override;
        p.n_overrides = 1;
        struct gpt2_weights w;
        gpt2q_error err;
        assert_int_equal(weights_load(repo_path("tests/golden/data/tiny-f16-sharded"), &p, &w, &err),
                         GPT2Q_INVALID_ARGUMENT);
        if (!strstr(err.message, cases[i].because))
            fail_msg("'%s' does not say '%s'", err.message, cases[i].because);
    }
}

/* ---- memory ---- */

static void gives_back_all_memory_when_there_is_none(void **state)
{
    (void)state;
    static const char *const overrides[] = {"lm_head.weight=i8:tensor", "h.0.ln_1.*=notes"};
    static const char *const names[] = {"tests/golden/data/tiny-relu", "tests/golden/data/tiny-f16-sharded"};
    struct weights_params p = params_of("f16");
    p.overrides = overrides;
    p.n_overrides = 2;
    for (size_t i = 0; i < 2; i++) {
        const char *directory = repo_path(names[i]);
        struct gpt2_weights w;
        gpt2q_error err;
        int failures = 0;
        for (;; failures++) {
            mem_fail_after(failures);
            gpt2q_status s = weights_load(directory, &p, &w, &err);
            mem_fail_after(-1);
            if (!s) break;
            if (s != GPT2Q_OUT_OF_MEMORY) fail_msg("allocation %d: %s", failures, err.message);
            assert_null(w.h);
        }
        assert_true(failures > 40);
        weights_free(&w);
    }
}

/* ---- synthetic weights ---- */

static void synthesizes_the_same_on_any_number_of_threads(void **state)
{
    (void)state;
    static const char text[] = "{\"model_type\":\"gpt2\",\"vocab_size\":300,\"n_positions\":20,\"n_embd\":48,"
                               "\"n_layer\":2,\"n_head\":3}";
    static const char *const head[] = {"lm_head.weight=f16"};
    gpt2q_config config;
    assert_int_equal(config_parse(text, strlen(text), "config.json", &config, NULL), GPT2Q_OK);
    struct weights_params p = params_of("f32");
    struct gpt2_weights one, many;
    p.n_threads = 1;
    assert_int_equal(weights_synthesize(&config, &p, &one, NULL), GPT2Q_OK);
    p.n_threads = 3;
    p.overrides = head;
    p.n_overrides = 1;
    assert_int_equal(weights_synthesize(&config, &p, &many, NULL), GPT2Q_OK);
    assert_int_equal(one.parameters, config_parameters(&config));
    assert_int_equal(many.parameters, one.parameters);
    assert_true(one.lm_head_is_wte && !many.lm_head_is_wte && one.n_tensors == 28 && many.n_tensors == 29);
    assert_int_equal(one.n_files, 0);
    double sum = 0, squares = 0;
    for (int o = 0; o < 300; o++) {
        for (int k = 0; k < 48; k++) {
            float v = held(&one.wte, o, k);
            assert_true(v == held(&many.wte, o, k) && fabsf(v) < 0.1f);
            sum += (double)v, squares += (double)v * (double)v;
        }
    }
    assert_true(fabs(sum / 14400) < 1e-3 && fabs(sqrt(squares / 14400) - 0.02) < 1e-3);
    assert_true(fabsf(one.h[1].ln_2.weight[5] - 1.0f) < 0.1f && fabsf(one.h[1].c_attn.bias[7]) < 0.1f);
    assert_true(held(&one.h[0].c_attn.weight, 3, 3) != held(&one.h[1].c_attn.weight, 3, 3));
    uint16_t half;
    memcpy(&half, many.lm_head.codes, sizeof half);
    assert_true(half == f16_from_float(held(&one.wte, 0, 0)));
    weights_free(&one);
    weights_free(&many);
    int failures = 0;
    for (;; failures++) {
        mem_fail_after(failures);
        gpt2q_status s = weights_synthesize(&config, &p, &many, NULL);
        mem_fail_after(-1);
        if (!s) break;
        assert_int_equal(s, GPT2Q_OUT_OF_MEMORY);
    }
    assert_true(failures > 40);
    weights_free(&many);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(holds_every_number_in_its_place),
        cmocka_unit_test(counts_bytes_in_every_scheme),
        cmocka_unit_test(takes_floats_through_the_notes),
        cmocka_unit_test(ties_the_head),
        cmocka_unit_test(a_head_of_another_dtype_stands_apart),
        cmocka_unit_test(gives_the_head_a_copy_on_request),
        cmocka_unit_test(lets_the_last_match_win),
        cmocka_unit_test(refuses_overrides_without_effect),
        cmocka_unit_test(reads_floats_that_lie_askew),
        cmocka_unit_test(gives_back_all_memory_when_there_is_none),
        cmocka_unit_test(synthesizes_the_same_on_any_number_of_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
