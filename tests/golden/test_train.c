/* Training against torch: losses, gradients and weights of 20 steps of quantization-aware training of
 * tiny-gelu; and the same bits for any number of threads and every instruction set. */
#include "tests/parameters.h"
#include "tests/support.h"
#include "base/memory.h"
#include "qtensor/isa.h"
#include "train/adam.h"
#include "train/loss.h"
#include "kernels/half.h"
#include <math.h>

struct qat_norm {
    const char *name;
    double value;
};
#include "tests/golden/qat_curves.h"

enum { STEPS = 20, WINDOWS = 4, WINDOW = 32, N = WINDOWS * WINDOW };

struct lesson {
    struct param_list params;
    struct crew crew;
    struct train_pass student, teacher;
    struct loss_scratch loss;
    struct adam adam;
    float *start, *latent, *effective, *gradient; /* blocks of params' layout */
    int32_t tokens[STEPS * N];
};

/* The list of ids that the golden's generator makes. */
static void make_tokens(int32_t *out, size_t n, uint32_t vocabulary, uint64_t s)
{
    for (size_t i = 0; i < n; i++) {
        s = s * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        out[i] = (int32_t)((s >> 33) % vocabulary);
    }
}

static void lesson_create(struct lesson *l, const char *isa_name, int n_threads)
{
    gpt2q_error err;
    const struct isa *isa;
    size_t a, b, own;
    if (isa_choose(isa_name, &isa, &err)) fail_msg("%s", err.message);
    memset(l, 0, sizeof *l);
    parameters_read(repo_path("tests/golden/data/tiny-gelu"), &l->params, &l->start);
    pass_scratch(&l->params, N, WINDOW, LOSS_ROWS, &a, &b, &own);
    assert_int_equal(crew_create(&l->crew, isa, n_threads, a, b, own, &err), GPT2Q_OK);
    assert_int_equal(pass_create(&l->student, &l->params, WINDOWS, WINDOW, true, &err), GPT2Q_OK);
    assert_int_equal(pass_create(&l->teacher, &l->params, WINDOWS, WINDOW, false, &err), GPT2Q_OK);
    assert_int_equal(loss_create(&l->loss, &l->params, true, &err), GPT2Q_OK);
    assert_int_equal(adam_create(&l->adam, l->params.floats, 0.9, 0.999, 1e-8, &err), GPT2Q_OK);
    l->latent = mem_zarray(l->params.floats, sizeof(float));
    l->effective = mem_zarray(l->params.floats, sizeof(float));
    l->gradient = mem_zarray(l->params.floats, sizeof(float));
    memcpy(l->latent, l->start, l->params.floats * sizeof(float));
    make_tokens(l->tokens, STEPS * N, (uint32_t)l->params.config.vocab_size - 1, 7);
}

static void lesson_free(struct lesson *l)
{
    adam_free(&l->adam);
    loss_free(&l->loss);
    pass_free(&l->student);
    pass_free(&l->teacher);
    crew_free(&l->crew);
    params_free(&l->params);
    float *blocks[] = {l->start, l->latent, l->effective, l->gradient};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) mem_free(blocks[i]);
}

/* The golden's grid: i4:g32:absmax, the scale from the weights of the step. */
static void land(const struct lesson *l)
{
    memcpy(l->effective, l->latent, l->params.floats * sizeof(float));
    for (int t = 0; t < l->params.count; t++) {
        if (!l->params.list[t].matrix) continue;
        float *w = l->effective + l->params.list[t].at;
        for (size_t g = 0; g < param_floats(&l->params.list[t]); g += 32) {
            float most = 0;
            for (size_t i = g; i < g + 32; i++) most = fmaxf(most, fabsf(w[i]));
            const float s = float_from_f16(f16_from_float(most / 7.0f)), d = s > 0 ? s : 1.0f;
            for (size_t i = g; i < g + 32; i++) w[i] = fminf(fmaxf(rintf(w[i] / d), -7.0f), 7.0f) * s;
        }
    }
}

static double lesson_step(struct lesson *l, int step, bool kl)
{
    const int32_t *tokens = l->tokens + (size_t)step * N;
    land(l);
    pass_forward(&l->student, &l->crew, l->effective, tokens);
    struct loss_model teacher = {l->teacher.hidden, l->start + l->params.list[params_head(&l->params)].at};
    if (kl) pass_forward(&l->teacher, &l->crew, l->start, tokens);
    const double loss =
        loss_run(&l->loss, &l->student, &l->crew, l->effective, kl ? &teacher : NULL, tokens, l->gradient);
    pass_backward(&l->student, &l->crew, l->effective, tokens, l->gradient);
    return loss;
}

static void lesson_update(struct lesson *l)
{
    adam_begin(&l->adam);
    adam_update(&l->adam, &l->crew, 0, l->params.floats, l->latent, l->gradient, 1e-3, 0.0);
}

/* The gradient of the keys' third of c_attn.bias is only noise. */
static bool is_noise(const char *name, size_t i, int d)
{
    return !strcmp(name, "h.0.attn.c_attn.bias") && i / (size_t)d == 1;
}

static double norm_of(const struct lesson *l, const float *block, const char *name, bool all)
{
    double sum = 0;
    for (int t = 0; t < l->params.count; t++) {
        const struct param *p = &l->params.list[t];
        if (strcmp(p->name, name)) continue;
        for (size_t i = 0; i < param_floats(p); i++)
            if (all || !is_noise(name, i, l->params.config.n_embd))
                sum += (double)block[p->at + i] * (double)block[p->at + i];
    }
    return sqrt(sum);
}

static void check_norms(const struct lesson *l, const float *block, const struct qat_norm *want,
                        double tolerance, bool weights)
{
    for (int i = 0; i < l->params.count; i++) {
        if (weights && !strcmp(want[i].name, "h.0.attn.c_attn.bias")) continue;
        const double norm = norm_of(l, block, want[i].name, true);
        if (!(fabs(norm - want[i].value) <= tolerance * want[i].value))
            fail_msg("%s: norm %.9g, torch has %.9g", want[i].name, norm, want[i].value);
    }
}

static void check_curve(bool kl)
{
    struct lesson l;
    const double *want = kl ? qat_kl_losses : qat_ce_losses;
    double mean = 0, want_mean = 0;
    lesson_create(&l, NULL, 2);
    for (int step = 0; step < STEPS; step++) {
        const double loss = lesson_step(&l, step, kl);
        const double tolerance = !kl ? 2e-3 : step < 5 ? 1e-4 : 5e-2;
        if (!(fabs(loss - want[step]) <= tolerance * want[step]))
            fail_msg("step %d: loss %.9g, torch has %.9g", step, loss, want[step]);
        if (step == 0)
            check_norms(&l, l.gradient, kl ? qat_kl_gradient_norms_step_0 : qat_ce_gradient_norms_step_0,
                        1e-4, false);
        lesson_update(&l);
        mean += loss / STEPS;
        want_mean += want[step] / STEPS;
    }
    if (kl) assert_true(fabs(mean - want_mean) <= 2e-2 * want_mean);
    check_norms(&l, l.latent, kl ? qat_kl_norms_after : qat_ce_norms_after, 1e-3, true);
    lesson_free(&l);
}

static void cross_entropy_curve(void **state) { (void)state, check_curve(false); }
static void divergence_curve(void **state) { (void)state, check_curve(true); }

static void same_bits(void **state)
{
    struct lesson first, other;
    (void)state;
    lesson_create(&first, "scalar", 1);
    for (int step = 0; step < STEPS; step++) lesson_step(&first, step, true), lesson_update(&first);
    for (size_t i = 0; i < isa_count(); i++)
        for (int n_threads = 1; n_threads <= 3; n_threads++) {
            if (!isa_at(i)->supported()) continue;
            lesson_create(&other, isa_at(i)->name, n_threads);
            for (int step = 0; step < STEPS; step++) lesson_step(&other, step, true), lesson_update(&other);
            if (memcmp(first.latent, other.latent, first.params.floats * sizeof(float)))
                fail_msg("%s with %d threads trains other weights than scalar with one", isa_at(i)->name,
                         n_threads);
            lesson_free(&other);
        }
    lesson_free(&first);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cross_entropy_curve),
        cmocka_unit_test(divergence_curve),
        cmocka_unit_test(same_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
