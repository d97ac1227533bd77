/* Checkpoints of GPT-2 with another head than the language model's: the head is named and left out, the model is the one without it. */
#include "golden.h"
#include "base/memory.h"
#include "engine/model.h"
#include "model/bindings.h"
#include "quantize/inventory.h"

#define FOLDER "tests/golden/data/heads/"

static const struct {
    const char *folder, *names; /* as they are said */
    size_t n;
} models[] = {{"double", "multiple_choice_head.summary.bias, multiple_choice_head.summary.weight", 2},
              {"sequence", "score.weight", 1},
              {"token", "classifier.weight, classifier.bias", 2}};

static gpt2q_model *open_one(const char *folder)
{
    char path[128];
    gpt2q_error err;
    gpt2q_model *model;
    gpt2q_model_params p = gpt2q_model_params_default();
    p.scheme = "f32", p.weights_only = true;
    snprintf(path, sizeof path, FOLDER "%s", folder);
    if (gpt2q_model_open(repo_path(path), &p, &model, &err)) fail_msg("%s", err.message);
    return model;
}

static void same_matrix(const struct qtensor *a, const struct qtensor *b)
{
    assert_int_equal(a->bytes, b->bytes);
    assert_memory_equal(a->codes, b->codes, a->bytes);
}

static void the_model_without_its_head(void **state)
{
    (void)state;
    gpt2q_model *plain = open_one("language");
    assert_int_equal(model_weights(plain)->left_out.n, 0);
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        gpt2q_model *other = open_one(models[i].folder);
        const struct gpt2_weights *a = model_weights(plain), *b = model_weights(other);
        assert_int_equal(b->left_out.n, models[i].n);
        assert_int_equal(b->left_out.more, 0);
        assert_string_equal(b->left_out.names, models[i].names);
        assert_true(b->lm_head_is_wte);
        assert_int_equal(a->n_tensors, b->n_tensors);
        assert_int_equal(a->parameters, b->parameters);
        same_matrix(&a->wte, &b->wte);
        same_matrix(&a->h[0].c_attn.weight, &b->h[0].c_attn.weight);
        same_matrix(&a->h[0].mlp_c_proj.weight, &b->h[0].mlp_c_proj.weight);
        assert_memory_equal(a->ln_f.bias, b->ln_f.bias, 8 * sizeof(float));
        gpt2q_model_close(other);
    }
    gpt2q_model_close(plain);
}

static void inspect_names_it(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        char path[128];
        gpt2q_error err;
        struct inventory v;
        size_t n = 0;
        snprintf(path, sizeof path, FOLDER "%s", models[i].folder);
        if (inventory_open(repo_path(path), &v, &err)) fail_msg("%s", err.message);
        for (size_t k = 0; k < v.n_tensors; k++) {
            const struct inventory_tensor *t = &v.tensors[k];
            n += t->is_left_out;
            assert_true(!t->is_left_out || (!t->is_weight && strstr(models[i].names, t->name)));
        }
        assert_int_equal(n, models[i].n);
        assert_int_equal(v.parameters, 17 * 8 + 8 * 8 + 12 * 8 * 8 + 13 * 8 + 2 * 8);
        inventory_close(&v);
    }
}

/* Many names are cut at a whole one; control characters do not reach a terminal. */
static void names_from_outside(void **state)
{
    (void)state;
    struct left_out left = {0};
    for (int i = 0; i < 40; i++) {
        char name[80];
        snprintf(name, sizeof name, "head.%d.\033[31m", i);
        bindings_leave_out(&left, name);
    }
    assert_int_equal(left.n, 40);
    assert_true(left.more > 20 && left.more < 40);
    assert_null(strchr(left.names, '\033'));
    assert_non_null(strstr(left.names, "head.0.\\x1b[31m, head.1."));
}

/* ---- strides ---- */

struct sum {
    double all;
    size_t zeros;
};

static gpt2q_status add_up(void *user, size_t i, const struct qsource *src, gpt2q_error *err)
{
    struct sum *s = user;
    (void)i, (void)err;
    for (int r = 0; r < src->rows; r++)
        for (int k = 0; k < src->cols; k++) {
            float x;
            qsource_read(src, r, k, 1, &x);
            s->all += (double)x * (r + 1) * (k + 3);
            s->zeros += x == 0.0f;
        }
    return GPT2Q_OK;
}

/* Numbers that a reader copied are there for every reading: those of a map may be let go, these may not. */
static void strided_numbers_stay(void **state)
{
    (void)state;
    gpt2q_error err;
    struct bindings b;
    struct sum first = {0}, second = {0};
    if (bindings_open(repo_path(FOLDER "turned"), &b, &err)) fail_msg("%s", err.message);
    assert_int_equal(bindings_walk(&b, add_up, &first, &err), GPT2Q_OK);
    assert_int_equal(bindings_walk(&b, add_up, &second, &err), GPT2Q_OK);
    assert_int_equal(first.zeros, 0);
    assert_int_equal(second.zeros, 0);
    assert_true(first.all == second.all);
    bindings_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_model_without_its_head),
        cmocka_unit_test(inspect_names_it),
        cmocka_unit_test(names_from_outside),
        cmocka_unit_test(strided_numbers_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
