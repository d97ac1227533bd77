/* The backward pass against numerical differences of a forward pass in double, and against PyTorch's gradients on every golden
 * model; and the lesson of `explain --qat` against autograd. The numbers of PyTorch are data/gradients.json, which
 * data/make_gradients.py made. */
#include "tests/cli.h"
#include "tests/parameters.h"
#include "base/memory.h"
#include "model/config.h"
#include "qtensor/isa.h"
#include "study/qat_lesson.h"
#include "train/loss.h"
#include "base/file.h"
#include <math.h>

/* ---- a model, its gradient by training's own backward pass ---- */

struct model {
    struct param_list params;
    float *weights, *gradient;
    double loss;
};

static void model_open(const char *directory, struct model *m)
{
    parameters_read(directory, &m->params, &m->weights);
    m->gradient = mem_zarray(m->params.floats, sizeof(float));
    assert_non_null(m->gradient);
}

static void model_close(struct model *m)
{
    mem_free(m->weights);
    mem_free(m->gradient);
    params_free(&m->params);
}

static void backward(struct model *m, const int32_t *tokens, int windows, int window)
{
    gpt2q_error err;
    const struct isa *isa;
    struct crew crew;
    struct train_pass pass;
    struct loss_scratch loss;
    size_t a, b, own;
    assert_int_equal(isa_choose(NULL, &isa, &err), GPT2Q_OK);
    pass_scratch(&m->params, windows * window, window, LOSS_ROWS, &a, &b, &own);
    assert_int_equal(crew_create(&crew, isa, 2, a, b, own, &err), GPT2Q_OK);
    assert_int_equal(pass_create(&pass, &m->params, windows, window, true, &err), GPT2Q_OK);
    assert_int_equal(loss_create(&loss, &m->params, false, &err), GPT2Q_OK);
    pass_forward(&pass, &crew, m->weights, tokens);
    m->loss = loss_run(&loss, &pass, &crew, m->weights, NULL, tokens, m->gradient);
    pass_backward(&pass, &crew, m->weights, tokens, m->gradient);
    loss_free(&loss);
    pass_free(&pass);
    crew_free(&crew);
}

static void make_tokens(int32_t *out, size_t n, uint32_t vocabulary)
{
    uint64_t s = 7;
    for (size_t i = 0; i < n; i++) {
        s = s * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        out[i] = (int32_t)((s >> 33) % vocabulary);
    }
}

static float largest(const float *x, size_t n)
{
    float most = 0;
    for (size_t i = 0; i < n; i++) most = fmaxf(most, fabsf(x[i]));
    return most;
}

/* ---- a forward pass in double, one window, as plain as it can be ---- */

#define WIDE_MAX 512
#define TOKENS   8

struct plain {
    const struct param_list *p;
    const double *w;
    int n, d;
    double x[TOKENS][WIDE_MAX], a[TOKENS][WIDE_MAX], b[TOKENS][WIDE_MAX];
};

static const double *tensor(const struct plain *f, int which) { return f->w + f->p->list[which].at; }

static void plain_norm(struct plain *f, int which, double out[TOKENS][WIDE_MAX])
{
    const double *weight = tensor(f, which), *bias = tensor(f, which + 1);
    for (int t = 0; t < f->n; t++) {
        double mean = 0, variance = 0;
        for (int i = 0; i < f->d; i++) mean += f->x[t][i] / f->d;
        for (int i = 0; i < f->d; i++) variance += (f->x[t][i] - mean) * (f->x[t][i] - mean) / f->d;
        const double inv = 1 / sqrt(variance + (double)f->p->config.layer_norm_epsilon);
        for (int i = 0; i < f->d; i++) out[t][i] = (f->x[t][i] - mean) * inv * weight[i] + bias[i];
    }
}

static void plain_linear(struct plain *f, int which, double in[TOKENS][WIDE_MAX],
                         double out[TOKENS][WIDE_MAX], bool add)
{
    const struct param *p = &f->p->list[which];
    const double *w = tensor(f, which), *bias = tensor(f, which + 1);
    for (int t = 0; t < f->n; t++)
        for (int o = 0; o < p->rows; o++) {
            double sum = bias[o];
            for (int k = 0; k < p->cols; k++) sum += w[o * p->cols + k] * in[t][k];
            out[t][o] = (add ? out[t][o] : 0) + sum;
        }
}

static void plain_attention(struct plain *f, int layer) /* a: qkv, to b */
{
    const gpt2q_config *c = &f->p->config;
    const int hd = f->d / c->n_head;
    double scale = c->scale_attn_weights ? 1 / sqrt(hd) : 1;
    if (c->scale_attn_by_inverse_layer_idx) scale /= layer + 1;
    for (int h = 0; h < c->n_head; h++)
        for (int t = 0; t < f->n; t++) {
            double p[TOKENS], most = -INFINITY, sum = 0;
            for (int u = 0; u <= t; u++) {
                p[u] = 0;
                for (int i = 0; i < hd; i++) p[u] += f->a[t][h * hd + i] * f->a[u][f->d + h * hd + i] * scale;
                most = fmax(most, p[u]);
            }
            for (int u = 0; u <= t; u++) sum += p[u] = exp(p[u] - most);
            for (int i = 0; i < hd; i++) {
                f->b[t][h * hd + i] = 0;
                for (int u = 0; u <= t; u++)
                    f->b[t][h * hd + i] += p[u] / sum * f->a[u][2 * f->d + h * hd + i];
            }
        }
}

static double plain_activation(enum activation_function which, double x)
{
    switch (which) {
    case ACT_GELU_NEW:
        return 0.5 * x * (1 + tanh(sqrt(2 / 3.14159265358979323846) * (x + 0.044715 * x * x * x)));
    case ACT_GELU: return 0.5 * x * (1 + erf(x / sqrt(2.0)));
    case ACT_RELU: return x > 0 ? x : 0;
    case ACT_SILU: return x / (1 + exp(-x));
    default: return tanh(x);
    }
}

static double plain_loss(struct plain *f, const int32_t *tokens)
{
    const gpt2q_config *c = &f->p->config;
    const double *wte = tensor(f, params_wte()), *wpe = tensor(f, params_wpe()),
                 *head = tensor(f, params_head(f->p));
    double loss = 0;
    for (int t = 0; t < f->n; t++)
        for (int i = 0; i < f->d; i++) f->x[t][i] = wte[tokens[t] * f->d + i] + wpe[t * f->d + i];
    for (int l = 0; l < c->n_layer; l++) {
        plain_norm(f, params_block(l, P_LN_1_WEIGHT), f->b);
        plain_linear(f, params_block(l, P_C_ATTN_WEIGHT), f->b, f->a, false);
        plain_attention(f, l);
        plain_linear(f, params_block(l, P_ATTN_C_PROJ_WEIGHT), f->b, f->x, true);
        plain_norm(f, params_block(l, P_LN_2_WEIGHT), f->b);
        plain_linear(f, params_block(l, P_C_FC_WEIGHT), f->b, f->a, false);
        for (int t = 0; t < f->n; t++)
            for (int i = 0; i < c->n_inner; i++)
                f->a[t][i] = plain_activation(config_activation(c), f->a[t][i]);
        plain_linear(f, params_block(l, P_MLP_C_PROJ_WEIGHT), f->a, f->x, true);
    }
    plain_norm(f, params_ln_f_weight(f->p), f->b);
    for (int t = 0; t + 1 < f->n; t++) {
        double logits[WIDE_MAX], sum = 0;
        for (int v = 0; v < c->vocab_size; v++) {
            logits[v] = 0;
            for (int i = 0; i < f->d; i++) logits[v] += head[v * f->d + i] * f->b[t][i];
            sum += exp(logits[v]);
        }
        loss += (log(sum) - logits[tokens[t + 1]]) / (f->n - 1);
    }
    return loss;
}

/* 64 entries of every tensor, spread evenly, by central differences. */
static void check_differences(const char *name, int n)
{
    static struct plain f;
    struct model m;
    int32_t tokens[TOKENS];
    char path[256];
    snprintf(path, sizeof path, "tests/golden/data/%s", name);
    model_open(repo_path(path), &m);
    assert_true(m.params.config.vocab_size <= WIDE_MAX && 3 * m.params.config.n_embd <= WIDE_MAX);
    make_tokens(tokens, (size_t)n, (uint32_t)m.params.config.vocab_size - 1);
    backward(&m, tokens, 1, n);
    double *w = mem_array(m.params.floats, sizeof *w);
    assert_non_null(w);
    for (size_t i = 0; i < m.params.floats; i++) w[i] = (double)m.weights[i];
    f.p = &m.params, f.w = w, f.n = n, f.d = m.params.config.n_embd;
    near(m.loss, plain_loss(&f, tokens), 1e-6);
    for (int t = 0; t < m.params.count; t++) {
        const struct param *p = &m.params.list[t];
        const size_t all = param_floats(p), some = all < 64 ? all : 64;
        const double most = (double)largest(m.gradient + p->at, all),
                     step = config_activation(&m.params.config) == ACT_RELU ? 1e-8 : 1e-6;
        for (size_t k = 0; k < some; k++) {
            const size_t at = p->at + k * all / some;
            const double kept = w[at];
            w[at] = kept + step;
            const double up = plain_loss(&f, tokens);
            w[at] = kept - step;
            const double slope = (up - plain_loss(&f, tokens)) / (2 * step);
            w[at] = kept;
            if (!(fabs(slope - (double)m.gradient[at]) <= 2e-5 * most + 1e-8))
                fail_msg("%s: %s, entry %zu: %.9g, by differences %.9g (largest %.3g)", name, p->name,
                         at - p->at, (double)m.gradient[at], slope, most);
        }
    }
    mem_free(w);
    model_close(&m);
}

static void numerical_differences(void **state)
{
    (void)state;
    check_differences("tiny-gelu", 8);
    check_differences("tiny-relu", 8);
    check_differences("tiny-silu", 8);
    check_differences("tiny-tanh", 8);
}

static void numerical_differences_odd(void **state)
{
    (void)state;
    slow_build_skips();
    check_differences("tiny-odd", 4); /* gelu_new, attention scaled by layer, odd sizes */
}

/* ---- PyTorch ---- */

static cJSON *golden(void)
{
    gpt2q_error err;
    char *text;
    size_t n;
    if (file_read(repo_path("tests/golden/data/gradients.json"), (size_t)1 << 24, &text, &n, &err))
        fail_msg("%s", err.message);
    cJSON *doc = cJSON_Parse(text);
    assert_non_null(doc);
    mem_free(text);
    return doc;
}

/* Of the checkpoint's flat index. */
static size_t place(const struct param *p, size_t flat)
{
    if (!p->conv1d) return p->at + flat;
    const size_t rows = (size_t)p->rows;
    return p->at + flat % rows * (size_t)p->cols + flat / rows;
}

static void check_model(const char *directory, const cJSON *want)
{
    struct model m;
    int32_t tokens[32];
    model_open(directory, &m);
    make_tokens(tokens, 32, (uint32_t)m.params.config.vocab_size - 1);
    backward(&m, tokens, 2, 16);
    near(m.loss, number(want, "loss"), 1e-6);
    for (int t = 0; t < m.params.count; t++) {
        const struct param *p = &m.params.list[t];
        const cJSON *tensors = item(want, "tensors"), *entry, *of = item(tensors, p->name);
        const double most = number(of, "largest");
        const size_t all = param_floats(p), some = all < 64 ? all : 64;
        size_t k = 0;
        near((double)largest(m.gradient + p->at, all), most, 1e-5);
        assert_int_equal(cJSON_GetArraySize(item(of, "entries")), some);
        cJSON_ArrayForEach(entry, item(of, "entries"))
        {
            const double have = (double)m.gradient[place(p, k * all / some)];
            if (!(fabs(have - entry->valuedouble) <= 1e-5 * most + 1e-9))
                fail_msg("%s: %s, number %zu: %.9g, torch has %.9g", directory, p->name, k, have,
                         entry->valuedouble);
            k++;
        }
    }
    model_close(&m);
}

static void check_models(bool ours)
{
    cJSON *doc = golden();
    const cJSON *model;
    int checked = 0;
    cJSON_ArrayForEach(model, item(doc, "models"))
    {
        char path[256];
        snprintf(path, sizeof path, "tests/golden/data/%s", model->string);
        if (file_is_directory(repo_path(path)) != ours) continue;
        if (!ours) snprintf(path, sizeof path, "golden/%s", model->string);
        check_model(ours ? repo_path(path) : shared_path(path), model);
        checked++;
    }
    assert_true(checked >= (ours ? 7 : 3));
    cJSON_Delete(doc);
}

static void torch_gradients(void **state) { (void)state, check_models(true); }
static void torch_gradients_of_shared_models(void **state)
{
    (void)state;
    need_shared(untied, "golden/tiny-untied");
    assert_non_null(untied);
    check_models(false);
}

static void lesson_is_autograds(void **state)
{
    static struct qat_curve c;
    cJSON *doc = golden();
    const cJSON *lesson = item(doc, "lesson");
    const double rate = qat_rate(&explain_example);
    (void)state;
    near(rate, number(lesson, "rate"), 1e-12);
    for (int l = 0; l < QAT_LOOPS; l++) {
        const cJSON *want = item(lesson, qat_loop_names[l]);
        qat_train(&explain_example, (enum qat_loop)l, rate, &c);
        assert_int_equal(cJSON_GetArraySize(item(want, "losses")), QAT_STEPS + 1);
        for (int i = 0; i <= QAT_STEPS; i++) {
            near(c.losses[i], cJSON_GetArrayItem(item(want, "losses"), i)->valuedouble, 1e-9);
            const double norm = cJSON_GetArrayItem(item(want, "gradient_norms"), i)->valuedouble;
            if (norm == 0.0)
                assert_true(c.gradients[i] == 0.0);
            else
                near(c.gradients[i], norm, 1e-9);
        }
    }
    cJSON_Delete(doc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numerical_differences), cmocka_unit_test(numerical_differences_odd),
        cmocka_unit_test(torch_gradients),       cmocka_unit_test(torch_gradients_of_shared_models),
        cmocka_unit_test(lesson_is_autograds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
