/* What calibration finds and what it leaves, against golden/calibrated: moments of the inputs of every layer, SmoothQuant's scales,
 * GPTQ walking over a whole model; and products with LLM.int8() and static activations. */
#include "tests/support.h"
#include "tests/golden_tensors.h"
#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "methods/hessian.h"
#include "methods/run.h"
#include "methods/stream.h"
#include "model/linear.h"
#include "model/safetensors.h"
#include "model/weights_names.h"
#include "qtensor/isa.h"
#include "qtensor/qinput.h"
#include "qtensor/quantize.h"
#include <math.h>

static double value(const cJSON *o, const char *key)
{
    const cJSON *n = cJSON_GetObjectItem(o, key);
    if (!n) fail_msg("%s is missing", key);
    return n->valuedouble;
}

static bool near(double a, double b, double tolerance) { return fabs(a - b) <= tolerance * fabs(b); }

/* ---- integer activations ---- */

/* A layer's weights in i8 by channel, and eight inputs of it. */
struct product {
    struct safetensors st;
    struct qtensor w;
    const char *prefix;
    float threshold, scale;
};

static void compare_codes(const struct product *p, const struct qinput *x)
{
    char name[64];
    snprintf(name, sizeof name, "%s.codes", p->prefix);
    const struct st_tensor *codes = golden_tensor(&p->st, name);
    const size_t stride = ((size_t)x->cols + 63) / 64 * 64;
    for (int r = 0; r < x->n; r++)
        for (int k = 0; k < x->cols; k++)
            if ((double)x->hi[(size_t)r * stride + (size_t)k] !=
                golden_number(codes, (size_t)(r * x->cols + k)))
                fail_msg("%s: another code of token %d, input %d", p->prefix, r, k);
    if (!(p->threshold > 0)) return;
    const struct st_tensor *scale = golden_tensor(&p->st, "llm_int8.scale"),
                           *outlier = golden_tensor(&p->st, "llm_int8.outlier");
    for (int r = 0; r < x->n; r++) {
        int n = 0;
        for (int k = 0; k < x->cols; k++) n += golden_number(outlier, (size_t)(r * x->cols + k)) > 0;
        assert_int_equal(x->outliers[(size_t)r * (size_t)(x->cols + 1)], n);
        assert_true(near((double)x->code_scale[r], golden_number(scale, (size_t)r), 1e-6));
    }
}

static void multiply(const struct product *p, const struct isa *isa)
{
    char name[64];
    const struct st_tensor *x = golden_tensor(&p->st, p->threshold > 0 ? "llm_int8.x" : "static.x");
    snprintf(name, sizeof name, "%s.y", p->prefix);
    const struct st_tensor *y = golden_tensor(&p->st, name);
    const int n = (int)x->shape[0], rows = p->w.rows;
    struct qinput in = {.f32 = (const float *)(const void *)x->data,
                        .stride = (size_t)p->w.cols,
                        .threshold = p->threshold,
                        .fixed_scale = p->scale};
    struct qinput sizes = in;
    void *memory = mem_alloc(qinput_layout(&sizes, &p->w, ACTIVATIONS_I8, n, NULL));
    qinput_layout(&in, &p->w, ACTIVATIONS_I8, n, memory);
    isa->formats[p->w.scheme.format].prepare(&p->w, &in, 0, n);
    if (isa == isa_at(0)) compare_codes(p, &in);
    float *got = mem_array((size_t)(n * rows), sizeof *got);
    for (int panel = 0; panel < qtensor_panels(&p->w); panel++)
        linear_panel(isa, &(struct linear_weight){.weight = p->w}, &in, got + panel * PANEL, (size_t)rows,
                     panel);
    double largest = 0;
    for (int i = 0; i < n * rows; i++) largest = fmax(largest, fabs(golden_number(y, (size_t)i)));
    for (int i = 0; i < n * rows; i++)
        if (fabs((double)got[i] - golden_number(y, (size_t)i)) > 1e-5 * largest)
            fail_msg("%s, %s: output %d is %g, not %g", p->prefix, isa->name, i, (double)got[i],
                     golden_number(y, (size_t)i));
    mem_free(got);
    mem_free(memory);
}

static void integer_activations_are_the_goldens(void **state)
{
    (void)state;
    gpt2q_error err;
    struct product p = {0};
    struct scheme scheme = {0};
    if (safetensors_open(repo_path("tests/golden/data/activations.safetensors"), &p.st, &err) ||
        scheme_parse("i8:channel:absmax", &scheme, &err))
        fail_msg("%s", err.message);
    const struct st_tensor *w = golden_tensor(&p.st, "weight");
    const int cols = (int)w->shape[1];
    const struct qsource src = {"weight", DT_F32, w->data, (int)w->shape[0], cols, (size_t)cols, 1};
    if (qtensor_quantize(&src, scheme, &(struct quantize_run){.n_threads = 1}, &p.w, &err))
        fail_msg("%s", err.message);
    static const struct {
        const char *prefix;
        float threshold;
    } cases[] = {{"llm_int8", 6.0f}, {"static.all", 0}, {"static.half", 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char key[64];
        p.prefix = cases[i].prefix;
        p.threshold = cases[i].threshold;
        snprintf(key, sizeof key, "%s.scale", p.prefix);
        p.scale = p.threshold > 0 ? 0.0f : strtof(safetensors_metadata(&p.st, key), NULL);
        for (size_t k = 0; k < isa_count(); k++)
            if (isa_at(k)->supported()) multiply(&p, isa_at(k));
    }
    qtensor_free(&p.w);
    safetensors_close(&p.st);
}

/* ---- the tokens of the goldens through a whole model ---- */

enum { WINDOWS = 16, WINDOW = 32 };

struct walk {
    struct safetensors st;
    cJSON *numbers;
    struct calibration text;
    struct quantizer q;
    struct crew crew;
    struct workers w;
    size_t seen; /* layers of gptq */
};

static void walk_open(struct walk *k, const char *spec)
{
    gpt2q_error err;
    char *text = NULL;
    size_t n = 0, a, b, own;
    static const char *const overrides[] = {"wte.weight=f32"};
    struct weights_params p = {.overrides = overrides, .n_overrides = 1, .n_threads = 2};
    *k = (struct walk){0};
    if (isa_choose(NULL, &p.isa, &err) || scheme_parse(spec, &p.scheme, &err) ||
        safetensors_open(shared_path("golden/calibrated/linear.safetensors"), &k->st, &err) ||
        file_read(shared_path("golden/calibrated/methods.json"), 1 << 24, &text, &n, &err) ||
        json_parse(text, n, "methods.json", &k->numbers, &err) ||
        quantizer_open(shared_path("golden/tiny-plain"), &p, &k->q, &err))
        fail_msg("%s", err.message);
    mem_free(text);
    const struct st_tensor *ids = golden_tensor(&k->st, "tokens");
    k->text = (struct calibration){.windows = WINDOWS, .window = WINDOW, .asked = WINDOWS};
    k->text.ids = mem_array(WINDOWS * WINDOW, sizeof *k->text.ids);
    for (size_t i = 0; i < WINDOWS * WINDOW; i++) k->text.ids[i] = (int32_t)golden_number(ids, i);
    reading_scratch(&k->q.bindings.config, WINDOW, &a, &b, &own);
    if (crew_create(&k->crew, p.isa, 2, a, b, own, &err)) fail_msg("%s", err.message);
    k->w = (struct workers){&k->crew, dense_ops_of(p.isa)};
}

static void walk_close(struct walk *k)
{
    crew_free(&k->crew);
    quantizer_close(&k->q);
    mem_free(k->text.ids);
    cJSON_Delete(k->numbers);
    safetensors_close(&k->st);
}

static void compare_moments(const struct walk *k, const char *name, const float *x, int n)
{
    gpt2q_error err;
    struct layer_inputs in;
    const cJSON *golden = cJSON_GetObjectItem(cJSON_GetObjectItem(k->numbers, "statistics"), name);
    char key[64];
    if (layer_inputs_create(&in, n, true, false, &err)) fail_msg("%s", err.message);
    layer_inputs_add(&in, &k->w, x, NULL, WINDOWS * WINDOW);
    layer_inputs_finish(&in, &k->w);
    double trace = 0, most = 0;
    for (int i = 0; i < n; i++) {
        trace += square_row(&in.h, i)[i];
        most = fmax(most, (double)in.max_abs[i]);
    }
    assert_true(near(trace, value(golden, "trace"), 1e-5));
    assert_true(near(most, value(golden, "max_abs"), 1e-5));
    for (int i = 0; i < 4; i++)
        assert_true(near(in.sum_abs[i],
                         cJSON_GetArrayItem(cJSON_GetObjectItem(golden, "mean_abs_first"), i)->valuedouble,
                         1e-5));
    snprintf(key, sizeof key, "%s.H", name);
    const struct st_tensor *h = safetensors_find(&k->st, key);
    for (int i = 0; h && i < n; i++)
        for (int j = 0; j < n; j++) {
            const double size = sqrt(square_row(&in.h, i)[i] * square_row(&in.h, j)[j]);
            if (fabs(square_row(&in.h, i)[j] - golden_number(h, (size_t)(i * n + j))) > 2e-5 * size)
                fail_msg("%s: H[%d][%d] differs", name, i, j);
        }
    layer_inputs_free(&in);
}

static const char *const sites[SITES] = {"attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"};

static void inputs_have_the_golden_moments(void **state)
{
    (void)state;
    need_shared(here, "golden/calibrated/linear.safetensors");
    (void)here;
    gpt2q_error err;
    struct walk k;
    struct model_floats model;
    struct reading r;
    struct stream s;
    walk_open(&k, "i4:g32:affine");
    if (model_floats_load(&k.q.bindings, &model, &err) || reading_create(&r, &model, &k.text, &k.w, &err) ||
        stream_create(&s, &r, &err))
        fail_msg("%s", err.message);
    stream_embed(&s, &r, floats_of(&model, params_wte()));
    for (int l = 0; l < 2; l++) {
        const float *before = NULL;
        for (int site = 0; site < SITES; site++) {
            char name[64];
            snprintf(name, sizeof name, "h.%d.%s", l, sites[site]);
            const float *x = stream_input(&s, &r, l, (enum site)site, before);
            compare_moments(&k, name, x, site_inputs(&r, (enum site)site));
            before = floats_of(&model, params_block(l, site_param((enum site)site)));
        }
        stream_leave(&s, &r, l, before);
    }
    compare_moments(&k, "lm_head", stream_final(&s, &r), model.params.config.n_embd);
    stream_free(&s);
    reading_free(&r);
    model_floats_free(&model);
    walk_close(&k);
}

/* The factors are found again in the norms that were divided by them. */
static void smoothquant_gives_the_golden_scales(void **state)
{
    static const struct {
        const char *name;
        int layer;
        enum block_param norm;
    } cases[] = {{"h.0.attn.c_attn.smoothquant.scale", 0, P_LN_1_WEIGHT},
                 {"h.1.mlp.c_fc.smoothquant.scale", 1, P_LN_2_WEIGHT}};
    (void)state;
    need_shared(here, "golden/calibrated/linear.safetensors");
    (void)here;
    gpt2q_error err;
    struct walk k;
    struct model_floats before;
    struct methods_result result;
    struct method_plan plan = method_plan_default();
    walk_open(&k, "i8");
    const char *const names[] = {"smoothquant"};
    if (method_plan_parse(&plan, names, 1, &err) || model_floats_load(&k.q.bindings, &before, &err) ||
        methods_run(&k.q, &plan, &k.text, NULL, &result, &err))
        fail_msg("%s", err.message);
    for (size_t i = 0; i < 2; i++) {
        const struct st_tensor *scale = golden_tensor(&k.st, cases[i].name);
        const int which = params_block(cases[i].layer, cases[i].norm);
        for (int j = 0; j < before.params.config.n_embd; j++)
            assert_true(
                near((double)floats_of(&before, which)[j] / (double)floats_of(&result.model, which)[j],
                     golden_number(scale, (size_t)j), 1e-5));
    }
    methods_result_free(&result);
    model_floats_free(&before);
    walk_close(&k);
}

/* ---- gptq over the model ---- */

static void compare_loss(void *user, const struct matrix_report *r)
{
    struct walk *k = user;
    char name[64];
    snprintf(name, sizeof name, "%.*s", (int)(strlen(r->name) - strlen(".weight")), r->name);
    const cJSON *layers = cJSON_GetObjectItem(cJSON_GetObjectItem(k->numbers, "gptq_sequential"), "layers");
    const double loss = value(cJSON_GetObjectItem(layers, name), "loss");
    if (!near(r->loss, loss, 1e-2)) fail_msg("%s: loss %g, not %g", name, r->loss, loss);
    k->seen++;
}

static void compare_layer(const struct walk *k, const struct methods_result *r, const char *name, int layer,
                          enum weight_part part, double share)
{
    const size_t slot = weight_slot(&k->q.bindings.config, (struct weight_id){part, layer});
    const struct qtensor *w = &r->prepared[slot].matrix;
    const struct st_tensor *codes = golden_tensor(&k->st, name);
    size_t wrong = 0;
    for (int o = 0; o < w->rows; o++)
        for (int i = 0; i < w->cols; i++)
            wrong += (double)qtensor_stored_code(w, o, i) != golden_number(codes, (size_t)(o * w->cols + i));
    if ((double)wrong > share * w->rows * w->cols) fail_msg("%s: %zu codes differ", name, wrong);
}

/* Log-probabilities of window 0: out (WINDOW, vocabulary). */
static void log_probabilities(const struct walk *k, const struct model_floats *model, double *out)
{
    gpt2q_error err;
    struct reading r;
    struct stream s;
    struct calibration first = k->text;
    first.windows = 1;
    if (reading_create(&r, model, &first, &k->w, &err) || stream_create(&s, &r, &err))
        fail_msg("%s", err.message);
    stream_embed(&s, &r, floats_of(model, params_wte()));
    for (int l = 0; l < model->params.config.n_layer; l++) {
        const float *before = NULL;
        for (int site = 0; site < SITES; site++) {
            stream_input(&s, &r, l, (enum site)site, before);
            before = floats_of(model, params_block(l, site_param((enum site)site)));
        }
        stream_leave(&s, &r, l, before);
    }
    const float *x = stream_final(&s, &r), *wte = floats_of(model, params_wte());
    const int d = model->params.config.n_embd, v = model->params.config.vocab_size;
    for (int t = 0; t < WINDOW; t++) {
        double *z = out + (size_t)t * (size_t)v, sum = 0;
        for (int i = 0; i < v; i++) {
            z[i] = 0;
            for (int j = 0; j < d; j++) z[i] += (double)x[t * d + j] * (double)wte[i * d + j];
            sum += exp(z[i]);
        }
        for (int i = 0; i < v; i++) z[i] -= log(sum);
    }
    stream_free(&s);
    reading_free(&r);
}

/* result's model becomes the quantized one. */
static double divergence(const struct walk *k, struct methods_result *r)
{
    const gpt2q_config *c = &k->q.bindings.config;
    const size_t n = (size_t)WINDOW * (size_t)c->vocab_size;
    double *p = mem_array(n, sizeof *p), *q = mem_array(n, sizeof *q), kl = 0;
    const struct isa *isa = isa_at(0);
    log_probabilities(k, &r->model, p);
    for (int l = 0; l < c->n_layer; l++)
        for (int site = 0; site < SITES; site++) {
            const enum block_param part = site_param((enum site)site);
            const size_t slot = weight_slot(c, (struct weight_id){(enum weight_part)part, l});
            const struct qtensor *w = &r->prepared[slot].matrix;
            float *at = floats_of(&r->model, params_block(l, part));
            for (int o = 0; o < w->rows; o++)
                isa->formats[w->scheme.format].dequantize_row(w, o, at + (size_t)o * (size_t)w->cols);
        }
    log_probabilities(k, &r->model, q);
    for (size_t i = 0; i < n; i++) kl += exp(p[i]) * (p[i] - q[i]) / WINDOW;
    mem_free(p);
    mem_free(q);
    return kl;
}

static void gptq_walks_as_the_goldens(void **state)
{
    (void)state;
    need_shared(here, "golden/calibrated/linear.safetensors");
    (void)here;
    gpt2q_error err;
    struct walk k;
    struct methods_result result;
    struct method_plan plan = method_plan_default();
    const char *const names[] = {"gptq"};
    walk_open(&k, "i4:g32:affine");
    const struct methods_hooks hooks = {.matrix = compare_loss, .user = &k};
    if (method_plan_parse(&plan, names, 1, &err)) fail_msg("%s", err.message);
    plan.qep = 0;
    plan.refine = plan.search = 0;
    if (methods_run(&k.q, &plan, &k.text, &hooks, &result, &err)) fail_msg("%s", err.message);
    assert_int_equal(k.seen, 8);
    compare_layer(&k, &result, "h.0.attn.c_attn.gptq_sequential.codes", 0, PART_C_ATTN_WEIGHT, 0.005);
    compare_layer(&k, &result, "h.1.mlp.c_fc.gptq_sequential.codes", 1, PART_C_FC_WEIGHT, 0.05);
    const double kl = divergence(&k, &result),
                 golden = value(cJSON_GetObjectItem(k.numbers, "gptq_sequential"), "kl_window_0");
    if (!near(kl, golden, 0.05)) fail_msg("KL of window 0 is %g, not %g", kl, golden);
    methods_result_free(&result);
    walk_close(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integer_activations_are_the_goldens),
        cmocka_unit_test(inputs_have_the_golden_moments),
        cmocka_unit_test(smoothquant_gives_the_golden_scales),
        cmocka_unit_test(gptq_walks_as_the_goldens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
