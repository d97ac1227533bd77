/* Histograms of a tensor beside the reference's: nothing is lost, and the errors reach up to the largest
 * one. */
#include "tests/support.h"
#include "base/memory.h"
#include "study/weight_errors.h"
#include <math.h>

static gpt2q_model *open_in(const char *scheme)
{
    gpt2q_error err;
    gpt2q_model *model;
    gpt2q_model_params p = gpt2q_model_params_default();
    p.scheme = scheme;
    if (gpt2q_model_open(repo_path("models/tales-7m"), &p, &model, &err)) fail_msg("%s", err.message);
    return model;
}

static uint64_t sum_of(const uint64_t *counts, size_t n)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < n; i++) sum += counts[i];
    return sum;
}

static void test_histograms(void **state)
{
    (void)state;
    static const char *const schemes[] = {"f16", "i8:channel:absmax", "i4:g32:affine", "notes"};
    const char *name = "h.3.mlp.c_proj.weight";
    gpt2q_model *reference = open_in("f32");
    struct weight_histogram h;
    assert_true(weight_histogram(reference, reference, name, -1, 1, &h));
    assert_true(h.reach == 0);
    assert_int_equal(h.errors[WEIGHT_BINS / 2], h.count);
    for (size_t s = 0; s < sizeof schemes / sizeof *schemes; s++) {
        gpt2q_error err;
        struct weight_error *errors;
        size_t n, i = 0;
        gpt2q_model *model = open_in(schemes[s]);
        assert_true(weight_histogram(reference, model, name, -1, 1, &h));
        assert_int_equal(h.count, 256 * 1024);
        assert_int_equal(sum_of(h.values, WEIGHT_BINS), h.count);
        assert_int_equal(sum_of(h.errors, WEIGHT_BINS), h.count);
        if (h.n_codes) assert_int_equal(sum_of(h.codes, (size_t)h.n_codes), h.count);
        assert_int_equal(weight_errors(reference, model, NULL, &errors, &n, &err), GPT2Q_OK);
        while (i < n && strcmp(errors[i].name, name) != 0) i++;
        assert_true(i < n);
        assert_true(fabs(h.reach - errors[i].max_error) <= 1e-6 * h.reach);
        if (h.reach > 0)
            assert_true(h.errors[0] + h.errors[WEIGHT_BINS - 1] > 0); /* the largest lies at an end */
        mem_free(errors);
        gpt2q_model_close(model);
    }
    assert_false(weight_histogram(reference, reference, "no.such.weight", -1, 1, &h));
    gpt2q_model_close(reference);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_histograms)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
