/* Calibrated methods against golden/calibrated: codes, scales and losses made by float64 numpy. */
#include "tests/support.h"
#include "tests/golden_tensors.h"
#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "kernels/half.h"
#include "methods/awq.h"
#include "methods/gptq.h"
#include "methods/rounding.h"
#include "model/safetensors.h"
#include "qtensor/isa.h"
#include <math.h>

struct golden {
    struct safetensors st, model;
    cJSON *numbers;
    struct crew crew;
    struct workers w;
};

static bool golden_open(struct golden *g)
{
    gpt2q_error err;
    const struct isa *isa;
    char *text;
    size_t n;
    const char *path = shared_path("golden/calibrated/linear.safetensors");
    if (!path) return false;
    if (safetensors_open(path, &g->st, &err)) fail_msg("%s", err.message);
    if (safetensors_open(shared_path("golden/tiny-plain/model.safetensors"), &g->model, &err))
        fail_msg("%s", err.message);
    if (file_read(shared_path("golden/calibrated/methods.json"), 1 << 24, &text, &n, &err) ||
        json_parse(text, n, "methods.json", &g->numbers, &err) || isa_choose(NULL, &isa, &err) ||
        crew_create(&g->crew, isa, 2, 1, 1, 16, &err))
        fail_msg("%s", err.message);
    mem_free(text);
    g->w = (struct workers){&g->crew, dense_ops_of(isa)};
    return true;
}

static void golden_close(struct golden *g)
{
    safetensors_close(&g->st);
    safetensors_close(&g->model);
    cJSON_Delete(g->numbers);
    crew_free(&g->crew);
}

static const struct st_tensor *tensor(const struct safetensors *st, const char *name, const char *more)
{
    char key[160];
    snprintf(key, sizeof key, "%s%s", name, more);
    return golden_tensor(st, key);
}

static struct square square_from(const struct st_tensor *t)
{
    struct square s;
    gpt2q_error err;
    const int n = (int)t->shape[0];
    if (square_create(&s, n, &err)) fail_msg("%s", err.message);
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++)
            square_row(&s, i)[j] = golden_number(t, (size_t)i * (size_t)n + (size_t)j);
    return s;
}

/* W (out, in) of a Conv1D layer, as floats. */
static float *weights_of(const struct golden *g, const char *layer, int *rows, int *cols)
{
    const struct st_tensor *t = tensor(&g->model, layer, ".weight");
    *cols = (int)t->shape[0], *rows = (int)t->shape[1];
    float *w = mem_array((size_t)*rows * (size_t)*cols, sizeof *w);
    for (int o = 0; o < *rows; o++)
        for (int i = 0; i < *cols; i++)
            w[(size_t)o * (size_t)*cols + (size_t)i] =
                (float)golden_number(t, (size_t)i * (size_t)*rows + (size_t)o);
    return w;
}

static size_t compare_coded(const struct golden *g, const char *key, const struct coded *c, bool zeros)
{
    const struct st_tensor *codes = tensor(&g->st, key, ".codes"), *scale = tensor(&g->st, key, ".scale");
    size_t wrong = 0, n = (size_t)c->rows * (size_t)c->groups;
    for (size_t i = 0; i < (size_t)c->rows * (size_t)c->cols; i++) wrong += c->codes[i] != codes->data[i];
    for (size_t i = 0; i < n; i++) wrong += (double)c->scale[i] != golden_number(scale, i);
    if (zeros) {
        const struct st_tensor *zero = tensor(&g->st, key, ".zero");
        for (size_t i = 0; i < n; i++) wrong += (double)c->zero[i] != golden_number(zero, i);
    }
    return wrong;
}

static double near(double a, double b) { return fabs(a - b) / fabs(b); }

static void gptq_gives_the_golden_codes(void **state)
{
    static const char *const layers[] = {"h.0.attn.c_attn", "h.1.attn.c_proj", "h.1.mlp.c_fc"};
    static const struct {
        int bits, group;
        bool act, search;
        enum code_grid grid;
        const char *key;
    } cases[] = {{4, 32, true, false, GRID_AFFINE, "i4.g32.affine.act"},
                 {4, 32, false, false, GRID_AFFINE, "i4.g32.affine.none"},
                 {3, 32, true, true, GRID_AFFINE, "i3.g32.affine.act.search"},
                 {2, 16, true, true, GRID_AFFINE, "i2.g16.affine.act.search"},
                 {2, 16, false, true, GRID_AFFINE, "i2.g16.affine.none.search"},
                 {4, 0, true, false, GRID_AFFINE, "i4.channel.affine.act"},
                 {4, 32, true, false, GRID_SIGNED, "i4.g32.full.act"},
                 {2, 16, true, true, GRID_SIGNED, "i2.g16.full.act.search"}};
    struct golden g;
    gpt2q_error err;
    (void)state;
    need_shared(here, "golden/calibrated/linear.safetensors");
    (void)here;
    assert_true(golden_open(&g));
    for (size_t l = 0; l < 3; l++) {
        int rows, cols;
        float *w = weights_of(&g, layers[l], &rows, &cols);
        struct square h = square_from(tensor(&g.st, layers[l], ".H"));
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            char key[128];
            snprintf(key, sizeof key, "%s.gptq.%s", layers[l], cases[i].key);
            const struct gptq_options o = {
                .damp = 0.01, .act_order = cases[i].act, .search = cases[i].search};
            const struct gptq_matrix m = {.name = layers[l],
                                          .rows = rows,
                                          .cols = cols,
                                          .w = w,
                                          .h = &h,
                                          .codes = {.grid = cases[i].grid,
                                                    .bits = cases[i].bits,
                                                    .group = cases[i].group ? cases[i].group : cols,
                                                    .half = cases[i].group > 0}};
            struct coded c;
            struct gptq_report r;
            if (gptq_run(&g.w, &m, &o, &c, &r, &err)) fail_msg("%s: %s", key, err.message);
            const size_t wrong = compare_coded(&g, key, &c, true);
            if (wrong) fail_msg("%s: %zu codes, scales or zero points differ", key, wrong);
            const cJSON *n = cJSON_GetObjectItem(cJSON_GetObjectItem(g.numbers, "gptq"), key);
            const double loss = cJSON_GetObjectItem(n, "loss")->valuedouble;
            if (near(r.loss, loss) > 1e-9) fail_msg("%s: loss %.12g, not %.12g", key, r.loss, loss);
            if (cases[i].grid == GRID_AFFINE && cases[i].group && /* float16 scales there */
                near(r.loss_rtn, cJSON_GetObjectItem(n, "loss_rtn")->valuedouble) > 1e-9)
                fail_msg("%s: loss of rounding %.12g", key, r.loss_rtn);
            coded_free(&c);
        }
        square_free(&h);
        mem_free(w);
    }
    golden_close(&g);
}

static void qep_and_refinement_give_the_golden_codes(void **state)
{
    struct golden g;
    gpt2q_error err;
    int rows, cols;
    const char *layer = "h.1.mlp.c_fc";
    (void)state;
    need_shared(here, "golden/calibrated/linear.safetensors");
    (void)here;
    assert_true(golden_open(&g));
    float *w = weights_of(&g, layer, &rows, &cols);
    struct square h = square_from(tensor(&g.st, layer, ".qep.H")),
                  d = square_from(tensor(&g.st, layer, ".qep.D"));
    for (int refine = 0; refine <= 2; refine += 2) {
        const struct gptq_options o = {
            .damp = 0.01, .act_order = true, .search = true, .qep = 1.0, .refine = refine};
        const struct gptq_matrix m = {.name = layer,
                                      .rows = rows,
                                      .cols = cols,
                                      .w = w,
                                      .h = &h,
                                      .d = &d,
                                      .codes = {.grid = GRID_SIGNED, .bits = 3, .group = 32, .half = true}};
        struct coded c;
        struct gptq_report r;
        if (gptq_run(&g.w, &m, &o, &c, &r, &err)) fail_msg("%s", err.message);
        const size_t wrong =
            compare_coded(&g, refine ? "h.1.mlp.c_fc.refine" : "h.1.mlp.c_fc.qep", &c, false);
        if (wrong) fail_msg("refine %d: %zu codes or scales differ", refine, wrong);
        const cJSON *losses = cJSON_GetObjectItem(cJSON_GetObjectItem(g.numbers, "qep"), "refine_losses");
        for (int i = 0; refine && i <= refine; i++)
            if (near(r.refine_losses[i], cJSON_GetArrayItem(losses, i)->valuedouble) > 1e-9)
                fail_msg("loss of pass %d: %.15g", i, r.refine_losses[i]);
        coded_free(&c);
    }
    square_free(&h);
    square_free(&d);
    mem_free(w);
    golden_close(&g);
}

/* The goldens do not hold every input's mean and largest magnitude. They hold the scale of a step, and its
 * exponent gives the mean. */
static void awq_gives_the_golden_losses_and_codes(void **state)
{
    static const char *const layers[] = {"h.0.attn.c_attn", "h.1.attn.c_proj", "h.1.mlp.c_fc"};
    struct golden g;
    gpt2q_error err;
    (void)state;
    need_shared(here, "golden/calibrated/linear.safetensors");
    (void)here;
    assert_true(golden_open(&g));
    for (size_t l = 0; l < 3; l++) {
        int rows, cols;
        float *w = weights_of(&g, layers[l], &rows, &cols);
        struct square h = square_from(tensor(&g.st, layers[l], ".H"));
        const cJSON *layer = cJSON_GetObjectItem(
            cJSON_GetObjectItem(cJSON_GetObjectItem(g.numbers, "awq"), "layers"), layers[l]);
        const int step = cJSON_GetObjectItem(layer, "step")->valueint;
        const cJSON *losses = cJSON_GetObjectItem(layer, "losses");
        const struct st_tensor *golden = tensor(&g.st, layers[l], ".awq.input_scale");
        const struct code_scheme codes = {.grid = GRID_AFFINE, .bits = 4, .group = 32, .half = true};
        double *mean = mem_array((size_t)cols, sizeof *mean), *scale = mem_array((size_t)cols, sizeof *scale);
        /* s is mean^(step/20) times a factor, which the normalization removes again */
        for (int j = 0; j < cols; j++)
            mean[j] = step ? pow(golden_number(golden, (size_t)j), 20.0 / step) : 1.0;
        struct awq_report r;
        if (awq_scale(&g.w, w, rows, cols, &h, mean, &codes, scale, &r, &err)) fail_msg("%s", err.message);
        assert_int_equal(r.step, step);
        for (int i = 0; i < AWQ_STEPS; i++)
            if (near(r.losses[i], cJSON_GetArrayItem(losses, i)->valuedouble) > 1e-6)
                fail_msg("%s: loss of step %d is %.12g", layers[l], i, r.losses[i]);
        for (int j = 0; j < cols; j++) assert_true(near(scale[j], golden_number(golden, (size_t)j)) < 1e-9);
        const struct st_tensor *want = tensor(&g.st, layers[l], ".awq.codes");
        struct lane_scales s;
        double *group = mem_array(32 * LANES, sizeof *group);
        size_t wrong = 0;
        for (int o = 0; o < rows; o++)
            for (int k = 0; k < cols; k += 32) {
                for (int i = 0; i < 32; i++)
                    for (int x = 0; x < LANES; x++)
                        group[i * LANES + x] =
                            (double)w[(size_t)o * (size_t)cols + (size_t)(k + i)] * scale[k + i];
                lane_scales_choose(g.w.ops, &codes, group, 32, NULL, &s);
                for (int i = 0; i < 32; i++) {
                    const double q = rint(group[i * LANES] / s.divisor[0]) + s.zero[0];
                    wrong += fmin(fmax(q, 0), 15) !=
                             (double)want->data[(size_t)o * (size_t)cols + (size_t)(k + i)];
                }
            }
        assert_int_equal(wrong, 0);
        mem_free(group);
        mem_free(mean);
        mem_free(scale);
        mem_free(w);
        square_free(&h);
    }
    golden_close(&g);
}

static void hqq_gives_the_golden_codes(void **state)
{
    struct golden g;
    gpt2q_error err;
    int rows, cols;
    (void)state;
    need_shared(here, "golden/calibrated/linear.safetensors");
    (void)here;
    assert_true(golden_open(&g));
    float *w = weights_of(&g, "h.0.mlp.c_fc", &rows, &cols);
    struct hqq_report *r = mem_zalloc(sizeof *r);
    for (int bits = 2; bits <= 4; bits++) {
        char key[64];
        struct coded c;
        size_t wrong = 0, n = (size_t)rows * (size_t)cols;
        if (hqq_run(&g.w, w, rows, cols, (struct scheme){.format = QF_I4}, bits, 64, 20, &c, r, &err))
            fail_msg("%s", err.message);
        snprintf(key, sizeof key, "h.0.mlp.c_fc.hqq.i%d", bits);
        const struct st_tensor *codes = tensor(&g.st, key, ".codes");
        for (size_t i = 0; i < n; i++) wrong += codes->data[i] != c.codes[i];
        if (wrong > n / 10000) fail_msg("%s: %zu codes differ", key, wrong);
        const struct st_tensor *scale = tensor(&g.st, key, ".scale"), *zero = tensor(&g.st, key, ".zero");
        for (size_t i = 0; i < n / 64; i++) { /* but for one unit in the last place */
            assert_true(near((double)c.scale[i], golden_number(scale, i)) <= 0x1p-10);
            assert_true(fabs((double)c.zero[i] - golden_number(zero, i)) <=
                        0x1p-10 * fmax(fabs(golden_number(zero, i)), 0x1p-14));
        }
        snprintf(key, sizeof key, "h.0.mlp.c_fc.i%d", bits);
        const cJSON *errors = cJSON_GetObjectItem(
            cJSON_GetObjectItem(cJSON_GetObjectItem(g.numbers, "hqq"), key), "mean_errors");
        assert_int_equal(cJSON_GetArraySize(errors), r->repetitions);
        for (int i = 0; i < r->repetitions; i++)
            assert_true(near(r->mean_errors[i], cJSON_GetArrayItem(errors, i)->valuedouble) < 1e-6);
        coded_free(&c);
    }
    mem_free(r);
    mem_free(w);
    golden_close(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gptq_gives_the_golden_codes),
        cmocka_unit_test(qep_and_refinement_give_the_golden_codes),
        cmocka_unit_test(awq_gives_the_golden_losses_and_codes),
        cmocka_unit_test(hqq_gives_the_golden_codes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
