/* Scores of rows of logits against the definitions, written plainly. */
#include "tests/support.h"
#include "base/memory.h"
#include "study/reader.h"
#include "study/score.h"
#include <math.h>

enum { VOCAB = 1003, ROWS = 37 };

struct rows {
    float *logits, *reference;
    int32_t targets[ROWS];
};

static struct rows random_rows(uint64_t seed)
{
    struct rng r = {seed};
    struct rows rows = {.logits = mem_array(ROWS * VOCAB, sizeof(float)),
                        .reference = mem_array(ROWS * VOCAB, sizeof(float))};
    for (size_t i = 0; i < ROWS * VOCAB; i++) {
        rows.reference[i] = 4 * rng_normal(&r);
        rows.logits[i] = rows.reference[i] + 0.3f * rng_normal(&r);
    }
    for (size_t i = 0; i < ROWS; i++) rows.targets[i] = i % 7 == 6 ? -1 : (int32_t)rng_below(&r, VOCAB);
    return rows;
}
static void free_rows(struct rows *rows)
{
    mem_free(rows->logits);
    mem_free(rows->reference);
}

static const struct kernels *best_kernels(void)
{
    const struct isa *isa;
    assert_int_equal(isa_choose(NULL, &isa, NULL), GPT2Q_OK);
    return isa->kernels;
}

static struct score score_of(const struct rows *rows, const float *reference, int n_threads, int tile)
{
    struct scorer s;
    struct score score = {0};
    assert_int_equal(scorer_create(&s, best_kernels(), VOCAB, tile, reference != NULL, n_threads, NULL),
                     GPT2Q_OK);
    for (int first = 0; first < ROWS; first += tile) {
        int n = ROWS - first < tile ? ROWS - first : tile;
        size_t at = (size_t)first * VOCAB;
        assert_int_equal(scorer_add(&s, rows->logits + at, reference ? reference + at : NULL,
                                    rows->targets + first, n, &score, NULL),
                         GPT2Q_OK);
    }
    scorer_free(&s);
    return score;
}

static double log_sum(const float *x)
{
    double sum = 0, max = -INFINITY;
    for (int i = 0; i < VOCAB; i++) max = (double)x[i] > max ? (double)x[i] : max;
    for (int i = 0; i < VOCAB; i++) sum += exp((double)x[i] - max);
    return max + log(sum);
}

static void near(double a, double b, double relative)
{
    if (!(fabs(a - b) <= relative * fabs(b) + 1e-12)) fail_msg("%.12g where %.12g is expected", a, b);
}

static void nll_and_kl_are_the_definitions(void **state)
{
    (void)state;
    struct rows rows = random_rows(1);
    struct score got = score_of(&rows, rows.reference, 2, 16);
    double nll = 0, reference_nll = 0, kl = 0, kl_max = 0;
    int n = 0;
    for (int r = 0; r < ROWS; r++) {
        const float *x = rows.logits + r * VOCAB, *y = rows.reference + r * VOCAB;
        double lx = log_sum(x), ly = log_sum(y), row = 0;
        for (int i = 0; i < VOCAB; i++)
            row += exp((double)y[i] - ly) * (((double)y[i] - ly) - ((double)x[i] - lx));
        kl += row / ROWS;
        kl_max = row > kl_max ? row : kl_max;
        if (rows.targets[r] < 0) continue;
        nll += lx - (double)x[rows.targets[r]];
        reference_nll += ly - (double)y[rows.targets[r]];
        n++;
    }
    assert_int_equal(got.nll.n, n);
    assert_int_equal(got.kl.n, ROWS);
    near(got.nll.mean, nll / n, 1e-7);
    near(got.reference_nll.mean, reference_nll / n, 1e-7);
    near(got.delta.mean, (nll - reference_nll) / n, 1e-5);
    near(got.kl.mean, kl, 1e-5);
    near(got.kl_max, kl_max, 1e-5);
    double p50, p100;
    score_kl_quantile(&got, 0.5, &p50, NULL);
    score_kl_quantile(&got, 1, &p100, NULL);
    near(p100, got.kl_max, 1e-6);
    assert_true(p50 < p100);
    score_free(&got);
    free_rows(&rows);
}

static void tiles_and_threads_change_no_bit(void **state)
{
    (void)state;
    struct rows rows = random_rows(2);
    struct score a = score_of(&rows, rows.reference, 1, ROWS);
    for (int n_threads = 1; n_threads <= 3; n_threads++) {
        for (int tile = 1; tile <= ROWS; tile += 9) {
            struct score b = score_of(&rows, rows.reference, n_threads, tile);
            assert_memory_equal(&a.nll, &b.nll, sizeof a.nll);
            assert_memory_equal(&a.kl, &b.kl, sizeof a.kl);
            assert_memory_equal(&a.delta, &b.delta, sizeof a.delta);
            assert_memory_equal(a.kl_rows, b.kl_rows, ROWS * sizeof(float));
            score_free(&b);
        }
    }
    struct score alone = score_of(&rows, NULL, 2, 8); /* the reference does not enter into nll */
    assert_memory_equal(&a.nll, &alone.nll, sizeof a.nll);
    assert_null(alone.kl_rows);
    score_free(&a), score_free(&alone);
    free_rows(&rows);
}

static void a_model_beside_itself_is_at_zero(void **state)
{
    (void)state;
    struct rows rows = random_rows(3);
    struct score s = score_of(&rows, rows.logits, 2, 16);
    assert_true(s.kl.mean == 0 && s.kl_max == 0 && s.delta.mean == 0 && s.max_difference == 0);
    assert_true(score_agreement(&s) == 1 && score_agreement_error(&s) == 0);
    score_free(&s);
    free_rows(&rows);
}

static void what_is_not_finite_is_refused(void **state)
{
    (void)state;
    static const float bad[] = {NAN, INFINITY};
    for (size_t i = 0; i < 2; i++) {
        struct rows rows = random_rows(4);
        struct scorer s;
        struct score score = {0};
        rows.logits[3 * VOCAB + 77] = bad[i];
        assert_int_equal(scorer_create(&s, best_kernels(), VOCAB, ROWS, true, 2, NULL), GPT2Q_OK);
        assert_int_equal(scorer_add(&s, rows.logits, NULL, rows.targets, ROWS, &score, NULL),
                         GPT2Q_NON_FINITE);
        assert_int_equal(scorer_add(&s, rows.logits, rows.reference, rows.targets, ROWS, &score, NULL),
                         GPT2Q_NON_FINITE);
        score_free(&score);
        scorer_free(&s);
        free_rows(&rows);
    }
}

static void allocations_may_fail(void **state)
{
    (void)state;
    struct rows rows = random_rows(5);
    for (int fail = 0; fail < 3; fail++) {
        struct scorer s;
        struct score score = {0};
        mem_fail_after(fail);
        gpt2q_status status = scorer_create(&s, best_kernels(), VOCAB, ROWS, true, 2, NULL);
        if (!status) status = scorer_add(&s, rows.logits, rows.reference, rows.targets, ROWS, &score, NULL);
        mem_fail_after(-1);
        assert_int_equal(status, GPT2Q_OUT_OF_MEMORY);
        if (fail == 2) scorer_free(&s);
        score_free(&score);
    }
    free_rows(&rows);
}

/* Welford's sums against the plain ones, far from zero. */
static void moments_are_stable(void **state)
{
    (void)state;
    struct moments m = {0};
    for (int i = 0; i < 1000; i++) moments_add(&m, 1e9 + i % 2);
    near(m.mean, 1e9 + 0.5, 1e-15);
    near(moments_error(&m), sqrt(0.25 * 1000 / 999 / 1000), 1e-6);
    assert_true(moments_error(&(struct moments){.n = 1}) == 0);
}

/* Every token but the first of the text (stride < window), or of each window (stride = window), counts once.
 */
static void windows_predict_each_token_once(void **state)
{
    (void)state;
    enum { N = 100 };
    int32_t ids[N];
    for (int i = 0; i < N; i++) ids[i] = i;
    for (int32_t window = 2; window <= 20; window += 3) {
        for (int32_t stride = 1; stride <= window; stride++) {
            struct windows w = {.ids = ids, .n = N, .window = window, .stride = stride};
            int seen[N] = {0}, total = 0;
            size_t end = 0;
            for (size_t j = 0; j < windows_count(&w); j++) {
                int32_t targets[32];
                windows_targets(&w, j, 0, window / 2, targets); /* in two tiles */
                windows_targets(&w, j, window / 2, window - window / 2, targets + window / 2);
                for (int32_t i = 0; i < window; i++) {
                    if (targets[i] < 0) continue;
                    assert_int_equal(targets[i], windows_begin(&w, j) + (size_t)i + 1);
                    seen[targets[i]]++;
                    total++;
                }
                end = windows_begin(&w, j) + (size_t)window;
            }
            assert_int_equal(total, windows_predictions(&w));
            assert_true(end <= N && end + (size_t)stride > N);
            for (size_t t = 0; t < N; t++) {
                bool first = stride == window ? t % (size_t)window == 0 : t == 0;
                assert_int_equal(seen[t], t < end && !first);
            }
        }
    }
    struct windows none = {.ids = ids, .n = 5, .window = 6, .stride = 6};
    assert_int_equal(windows_count(&none), 0);
    assert_int_equal(windows_predictions(&none), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(nll_and_kl_are_the_definitions),
                                       cmocka_unit_test(tiles_and_threads_change_no_bit),
                                       cmocka_unit_test(a_model_beside_itself_is_at_zero),
                                       cmocka_unit_test(what_is_not_finite_is_refused),
                                       cmocka_unit_test(allocations_may_fail),
                                       cmocka_unit_test(moments_are_stable),
                                       cmocka_unit_test(windows_predict_each_token_once)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
