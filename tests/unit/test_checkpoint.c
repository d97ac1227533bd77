/* The sentence for everything that is wrong with a checkpoint. */
#include "tests/draft.h"
#include "qtensor/quantize.h"
#include <math.h>
#include <unistd.h>

/* ---- malformed checkpoints ---- */

static void names_what_is_wrong_with_a_tensor(void **state)
{
    (void)state;
    struct draft d;
    draft_open(&d);
    draft_remove(&d, "h.0.ln_2.bias");
    draft_write(&d);
    draft_refused(&d, "i8", GPT2Q_FORMAT, ": h.0.ln_2.bias is missing");
    draft_open(&d);
    draft_remove(&d, "h.0.ln_2.bias");
    draft_remove(&d, "wpe.weight");
    draft_remove(&d, "ln_f.bias");
    draft_write(&d);
    draft_refused(&d, "i8", GPT2Q_FORMAT, ": wpe.weight is missing (and 2 more)");
    draft_open(&d);
    struct st_declaration *t = &d.tensors[draft_index(&d, "h.0.mlp.c_fc.weight")];
    t->shape[0] = 128, t->shape[1] = 32;
    draft_write(&d);
    draft_refused(&d, "i8", GPT2Q_FORMAT,
                  "model.safetensors: h.0.mlp.c_fc.weight has shape [128, 32], config.json makes it [32, "
                  "128]: it seems to be transposed");
    draft_open(&d);
    t = &d.tensors[draft_index(&d, "h.0.mlp.c_fc.bias")];
    t->n_dims = 4, t->shape[0] = t->shape[1] = t->shape[2] = 1, t->shape[3] = 128;
    draft_write(&d);
    draft_refused(&d, "i8", GPT2Q_FORMAT,
                  "h.0.mlp.c_fc.bias has shape [1, 1, 1, ...], config.json makes it [128]");
    draft_open(&d);
    d.tensors[draft_index(&d, "ln_f.bias")].dtype = ST_I32;
    draft_write(&d);
    draft_refused(&d, "i8", GPT2Q_UNSUPPORTED,
                  "ln_f.bias is of dtype I32, supported are F64, F32, F16 and BF16");
    draft_open(&d);
    draft_config(&d, ",\"n_inner\":64");
    draft_write(&d);
    draft_refused(&d, "i8", GPT2Q_FORMAT, "h.0.mlp.c_fc.bias has shape [128], config.json makes it [64]");
}

static void names_what_does_not_belong(void **state)
{
    (void)state;
    static const uint64_t vector[] = {32}, mask[] = {1, 1, 4, 4};
    static const struct {
        const char *name, *because; /* NULL: it is passed over */
    } cases[] = {{"h.1.ln_1.weight", "h.1.ln_1.weight is there, but config.json says that n_layer is 1"},
                 {"transformer.h.99999999.ln_1.weight", "is there, but config.json says"},
                 {"h.0.attn.rotary", "h.0.attn.rotary is no tensor of a GPT-2"},
                 {"h.00.ln_1.weight", "no tensor of a GPT-2"},
                 {"h.x.ln_1.weight", "no tensor of a GPT-2"},
                 {"h.999999999999.ln_1.weight", "no tensor of a GPT-2"},
                 {"h.0.crossattention.c_attn.weight", "no tensor of a GPT-2"},
                 {"transformer.ln_f.bias",
                  "model.safetensors: transformer.ln_f.bias is there twice, also as ln_f.bias in"},
                 {"h.0.attn.bias", NULL},
                 {"transformer.h.7.attn.masked_bias", NULL},
                 {"score.weight", NULL},
                 {"transformer.transformer.ln_f.bias", NULL}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct draft d;
        draft_open(&d);
        bool is_mask = strstr(cases[i].name, "attn.bias");
        draft_add(&d, cases[i].name, is_mask ? ST_BOOL : ST_F32, is_mask ? 4 : 1, is_mask ? mask : vector,
                  NULL);
        draft_write(&d);
        if (cases[i].because) {
            draft_refused(&d, "i8", GPT2Q_FORMAT, cases[i].because);
            continue;
        }
        struct weights_params p = params_of("i8");
        struct gpt2_weights w = loaded(d.directory, &p);
        assert_int_equal(w.n_tensors, 16);
        weights_free(&w);
        draft_close(&d);
    }
}

static void names_weights_that_cannot_be_quantized(void **state)
{
    (void)state;
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    for (int i = 0; i < 3; i++) {
        struct draft d;
        draft_open(&d);
        memcpy(d.data[draft_index(&d, "h.0.attn.c_proj.weight")] + 4 * 33, &bad[i], 4);
        draft_write(&d);
        draft_refused(&d, "i8", GPT2Q_UNSUPPORTED, "h.0.attn.c_proj.weight");
    }
    struct draft d;
    draft_open(&d);
    memcpy(d.data[draft_index(&d, "wte.weight")] + 4 * 33, &(float){65600.0f}, 4);
    draft_write(&d);
    draft_refused(&d, "f16", GPT2Q_UNSUPPORTED, "wte.weight");
    draft_open(&d);
    draft_write(&d);
    draft_refused(&d, "i8:g64", GPT2Q_INVALID_ARGUMENT, "weight"); /* 32 wide */
}

/* ---- shards ---- */

#define INDEX "model.safetensors.index.json"

static void checks_the_index(void **state)
{
    (void)state;
    static const struct {
        const char *index, *because;
        gpt2q_status status;
    } cases[] = {
        {"{\"weight_map\":{\"wte.weight\":\"../a.safetensors\"}}",
         "weight_map of wte.weight is not the name of a file beside the index", GPT2Q_FORMAT},
        {"{\"weight_map\":{\"wte.weight\":\"/a.safetensors\"}}", "is not the name of a file beside",
         GPT2Q_FORMAT},
        {"{\"weight_map\":{\"wte.weight\":\"..\"}}", "is not the name of a file beside", GPT2Q_FORMAT},
        {"{\"weight_map\":{\"wte.weight\":\"a\\\\b\"}}", "is not the name of a file beside", GPT2Q_FORMAT},
        {"{\"weight_map\":{\"wte.weight\":7}}", "is not the name of a file beside", GPT2Q_FORMAT},
        {"{\"weight_map\":{\"wte.weight\":\"\"}}", "is not the name of a file beside", GPT2Q_FORMAT},
        {"{\"weight_map\":[]}", "has no weight_map", GPT2Q_FORMAT},
        {"{}", "has no weight_map", GPT2Q_FORMAT},
        {"{\"weight_map\":{}}", "wte.weight is missing (and 15 more)", GPT2Q_FORMAT},
        {"{", "not valid JSON", GPT2Q_FORMAT},
        {"{\"weight_map\":{\"wte.weight\":\"c.safetensors\"}}", "c.safetensors: cannot be opened", GPT2Q_IO},
        {"{\"weight_map\":{\"wte.weight\":\"a.safetensors\"}}",
         "says that wte.weight is in a.safetensors, where it is not", GPT2Q_FORMAT},
        {"{\"weight_map\":{\"h.0.attn.c_attn.bias\":\"a.safetensors\",\"no\":\"b.safetensors\"}}",
         "says that no is in b.safetensors", GPT2Q_FORMAT}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct draft d;
        draft_open(&d);
        draft_write_part(&d, "a.safetensors", 0, 7);
        draft_write_part(&d, "b.safetensors", 7, d.n);
        draft_file(&d, INDEX, cases[i].index);
        draft_refused(&d, "i8", cases[i].status, cases[i].because);
    }
    struct draft d;
    draft_open(&d);
    draft_write_part(&d, "a.safetensors", 0, 7);
    draft_write_part(&d, "b.safetensors", 6, d.n);
    draft_file(
        &d, INDEX,
        "{\"weight_map\":{\"wte.weight\":\"b.safetensors\",\"h.0.attn.c_attn.bias\":\"a.safetensors\"}}");
    draft_refused(&d, "i8", GPT2Q_FORMAT, "is there twice");
}

static void names_missing_files(void **state)
{
    (void)state;
    struct draft d;
    draft_open(&d);
    draft_refused(&d, "i8", GPT2Q_IO, "holds neither model.safetensors nor pytorch_model.bin");
    draft_open(&d);
    draft_file(&d, "pytorch_model.bin", "x");
    draft_refused(&d, "i8", GPT2Q_FORMAT, "pytorch_model.bin: is no");
    draft_open(&d);
    draft_file(&d, "config.json", "{\"model_type\":\"bert\"}");
    draft_refused(&d, "i8", GPT2Q_UNSUPPORTED, "config.json: model_type is \"bert\"");
    struct weights_params p = params_of("i8");
    struct gpt2_weights w;
    gpt2q_error err;
    assert_int_equal(weights_load("/nowhere", &p, &w, &err), GPT2Q_IO);
    assert_non_null(strstr(err.message, "/nowhere/config.json: cannot be opened"));
}

/* Links to nothing are what a broken download leaves in the Hugging Face cache. Weights of another kind do not stand in for them. */
static void links_to_nothing(void **state)
{
    (void)state;
    static const char *const names[] = {"model.safetensors", INDEX, "pytorch_model.bin",
                                        "pytorch_model.bin.index.json", "generation_config.json"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct draft d;
        char path[4200];
        draft_open(&d);
        draft_file(&d, "pytorch_model.bin.index.json", "{}");
        snprintf(path, sizeof path, "%s/%s", d.directory, names[i]);
        unlink(path);
        assert_int_equal(symlink("no-such-blob", path), 0);
        snprintf(path, sizeof path, "%s: is a link to a file that is not there", names[i]);
        draft_refused(&d, "i8", GPT2Q_IO, path);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_what_is_wrong_with_a_tensor),
        cmocka_unit_test(names_what_does_not_belong),
        cmocka_unit_test(names_weights_that_cannot_be_quantized),
        cmocka_unit_test(checks_the_index),
        cmocka_unit_test(names_missing_files),
        cmocka_unit_test(links_to_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
