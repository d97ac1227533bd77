/* The sampler against its plain definition: sort all candidates, cut, renormalize, walk. Logits have many
 * ties, both zeros and wide ranges. Every combination of cuts occurs. */
#include "tests/support.h"
#include "engine/sampler.h"
#include "qtensor/isa.h"
#include <math.h>

#define VOCAB 3001

static struct sampler sampler;
static float logits[VOCAB];

static int by_logit_then_id(const void *a, const void *b)
{
    int32_t i = *(const int32_t *)a, k = *(const int32_t *)b;
    if (logits[i] != logits[k]) return logits[i] > logits[k] ? -1 : 1;
    return i < k ? -1 : i > k;
}

static void sorted_ids(int32_t ids[VOCAB])
{
    for (int32_t i = 0; i < VOCAB; i++) ids[i] = i;
    qsort(ids, VOCAB, sizeof *ids, by_logit_then_id);
}

static int32_t plain_draw(const gpt2q_sampling *p, int32_t position)
{
    int32_t ids[VOCAB], n = VOCAB;
    float probability[VOCAB];
    sorted_ids(ids);
    if (p->temperature == 0) return ids[0];
    if (p->top_k > 0 && p->top_k < n) n = p->top_k;
    for (int32_t i = 0; i < n; i++) probability[i] = (logits[ids[i]] - logits[ids[0]]) / p->temperature;
    sampler.kernels->row_exp(probability, (size_t)n, 1, 0, probability);
    double whole = 0, sum = 0;
    for (int32_t i = 0; i < n; i++) whole += (double)probability[i];
    for (int32_t i = 0; p->top_p < 1 && i < n; i++) {
        sum += (double)probability[i];
        if (sum >= p->top_p * whole) n = i + 1;
    }
    while (n > 1 && probability[n - 1] < p->min_p) n--;
    whole = sum = 0;
    for (int32_t i = 0; i < n; i++) whole += (double)probability[i];
    double target = sampler_uniform(p->seed, (uint64_t)position) * whole;
    for (int32_t i = 0; i < n; i++)
        if (target < (sum += (double)probability[i])) return ids[i];
    return ids[n - 1];
}

static void make_logits(struct rng *rng, int kind)
{
    for (int i = 0; i < VOCAB; i++) {
        logits[i] = rng_normal(rng) * 5;
        if (kind == 1) logits[i] = truncf(logits[i]); /* ties, 0 and -0 */
        if (kind == 2) logits[i] *= 1e4f;
        if (kind == 3) logits[i] = -1.5f;
        if (kind == 4) logits[i] = logits[i] / 5 - 100; /* flat */
    }
    if (kind == 5) logits[rng_below(rng, VOCAB)] = 40; /* one has nearly all */
    for (int i = 0; kind == 6 && i < VOCAB; i++) logits[i] = i % 100 == 7 ? -0.3f * (float)(i / 100) : -30;
}

static int set_up(void **state)
{
    (void)state;
    const struct isa *isa;
    return isa_choose(NULL, &isa, NULL) || sampler_create(&sampler, isa->kernels, VOCAB, NULL);
}

static int tear_down(void **state)
{
    (void)state;
    sampler_free(&sampler);
    return 0;
}

static void draws_by_the_definition(void **state)
{
    (void)state;
    static const int32_t ks[] = {0, 1, 2, 40, VOCAB - 1, VOCAB, VOCAB + 5};
    static const float ps[] = {1, 0.9f, 0.3f, 1e-30f, 0.999f, 0x1.fffffep-1f};
    static const float ms[] = {0, 0.05f, 1, 1e-30f}, ts[] = {0, 0.3f, 1, 3, 1e-6f, 0.02f, 1e6f};
    struct rng rng = {1};
    for (int round = 0; round < 6000; round++) {
        make_logits(&rng, round % 7);
        gpt2q_sampling p = {.repetition_penalty = 1,
                            .seed = rng_next(&rng),
                            .top_k = ks[rng_below(&rng, 7)],
                            .top_p = ps[rng_below(&rng, 6)],
                            .min_p = ms[rng_below(&rng, 4)],
                            .temperature = ts[rng_below(&rng, 7)]};
        int32_t position = (int32_t)rng_below(&rng, 1000), want = plain_draw(&p, position);
        assert_int_equal(sampler_draw(&sampler, &p, NULL, logits, (struct sampling_history){0}, position),
                         want);
    }
}

/* Sums in another order could not tell here: four equal candidates, of which top_p wants exactly some; and
 * one that is min_p of the largest up to a rounding. */
static void cuts_that_are_met_exactly(void **state)
{
    (void)state;
    gpt2q_sampling p = {.repetition_penalty = 1, .temperature = 1, .top_p = 1};
    for (int n = 1; n <= 4; n++) {
        for (int i = 0; i < VOCAB; i++)
            logits[i] = -38; /* 2^-58 each: lost beside a sum of 4, but not all together */
        for (int i = 0; i < 4; i++) logits[700 * i + 5] = 2;
        p.top_p = (double)n / 4;
        bool met[VOCAB] = {false};
        for (int32_t position = 0; position < 100; position++) {
            int32_t id = sampler_draw(&sampler, &p, NULL, logits, (struct sampling_history){0}, position);
            assert_int_equal(id, plain_draw(&p, position));
            met[id] = true;
        }
        for (int i = 0; i < VOCAB; i++) assert_int_equal(met[i], i % 700 == 5 && i / 700 < n);
    }
    /* k of n equal tokens, as a caller types it: the shortest prefix that reaches P is k */
    for (int count = 2; count <= 16; count++)
        for (int k = 1; k <= count; k++) {
            char typed[32];
            bool met[VOCAB] = {false};
            int kept = 0;
            for (int i = 0; i < VOCAB; i++) logits[i] = i < count ? 2 : -1000;
            snprintf(typed, sizeof typed, "%.6g", (double)k / count);
            p.top_p = strtod(typed, NULL);
            if (p.top_p != (double)k / count) continue; /* no short decimal */
            for (int32_t position = 0; position < 400; position++)
                met[sampler_draw(&sampler, &p, NULL, logits, (struct sampling_history){0}, position)] = true;
            for (int i = 0; i < VOCAB; i++) kept += met[i];
            if (kept != k) fail_msg("top_p %s of %d equal tokens keeps %d", typed, count, kept);
        }
    p.top_p = 1;
    for (int step = -4; step <= 4; step++) {
        float ratio = -1.0f;
        for (int i = 0; i < VOCAB; i++) logits[i] = i % 2 ? 0 : -1;
        sampler.kernels->row_exp(&ratio, 1, 1, 0, &ratio);
        p.min_p = ratio;
        for (int k = 0; k < abs(step); k++) p.min_p = nextafterf(p.min_p, step < 0 ? 0.0f : 1.0f);
        for (int32_t position = 0; position < 20; position++)
            assert_int_equal(sampler_draw(&sampler, &p, NULL, logits, (struct sampling_history){0}, position),
                             plain_draw(&p, position));
    }
}

/* A row whose best logits are 0.3 apart, while the others hardly count. */
static void sorts_what_decides(void **state)
{
    (void)state;
    struct rng rng = {5};
    static const gpt2q_sampling cuts[] = {
        {.top_p = 1}, {.top_p = 0.9}, {.top_p = 1, .min_p = 0.05f}, {.top_p = 1, .min_p = 1}};
    make_logits(&rng, 6);
    for (size_t k = 0; k < sizeof cuts / sizeof *cuts; k++)
        for (int32_t position = 0; position < 50; position++) {
            gpt2q_sampling p = cuts[k];
            p.repetition_penalty = p.temperature = 1;
            assert_int_equal(sampler_draw(&sampler, &p, NULL, logits, (struct sampling_history){0}, position),
                             plain_draw(&p, position));
            assert_in_range(sampler.ranking.n_sorted, 1, 31);
        }
}

/* A small vocabulary, and logits that a penalty makes infinite. */
static void draws_from_few_and_from_infinite(void **state)
{
    (void)state;
    struct sampler few;
    gpt2q_sampling p = {.repetition_penalty = 1, .temperature = 1, .top_p = 1};
    for (int32_t n = 1; n <= 17; n++) {
        float x[17];
        bool met[17] = {false};
        for (int i = 0; i < 17; i++) x[i] = 0.1f * (float)i;
        assert_int_equal(sampler_create(&few, sampler.kernels, n, NULL), GPT2Q_OK);
        for (int32_t position = 0; position < 400; position++) {
            int32_t id = sampler_draw(&few, &p, NULL, x, (struct sampling_history){0}, position);
            assert_in_range(id, 0, n - 1);
            met[id] = true;
        }
        for (int i = 0; i < n; i++) assert_true(met[i]);
        x[0] = 1e35f, x[1] = -1e35f;
        for (int k = 0; k < 3; k++) {
            p.repetition_penalty = (float[]){1e-6f, 1e6f, 1}[k];
            p.min_p = k == 2 ? 0.5f : 0;
            assert_in_range(sampler_draw(&few, &p, NULL, x,
                                         (struct sampling_history){(const int32_t[]){0, n > 1}, 2, 0}, 2),
                            0, n - 1);
        }
        p.repetition_penalty = 1;
        p.min_p = 0;
        sampler_free(&few);
    }
}

static void the_best_are_exactly_k_in_order(void **state)
{
    (void)state;
    struct rng rng = {2};
    int32_t ids[VOCAB];
    gpt2q_token_logprob top[VOCAB];
    for (int round = 0; round < 200; round++) {
        int32_t k = (int32_t[]){1, 3, 100, VOCAB}[round / 4 % 4];
        make_logits(&rng, round % 6);
        sorted_ids(ids);
        float logprob = sampler_logprobs(&sampler, logits, ids[k - 1], top, k);
        double sum = 0;
        for (int i = 0; i < VOCAB; i++) sum += exp((double)logits[i] - (double)logits[ids[0]]);
        for (int32_t i = 0; i < k; i++) {
            assert_int_equal(top[i].id, ids[i]);
            assert_true(
                fabs((double)top[i].logprob - ((double)logits[ids[i]] - (double)logits[ids[0]] - log(sum))) <
                1e-5 * (1 + fabs((double)top[i].logprob)));
        }
        assert_memory_equal(&logprob, &top[k - 1].logprob, sizeof logprob);
    }
}

static void penalizes_what_was_seen_once(void **state)
{
    (void)state;
    for (int i = 0; i < VOCAB; i++) logits[i] = -100;
    logits[3] = 2;
    logits[4] = 1.5f;
    logits[5] = -0.5f;
    gpt2q_sampling p = {.repetition_penalty = 1.3f, .top_p = 1};
    assert_int_equal(
        sampler_draw(&sampler, &p, NULL, logits, (struct sampling_history){(const int32_t[]){3, 3}, 2, 0}, 2),
        3); /* 2 / 1.3 is still above 1.5 */
    p.repetition_penalty = 1.4f;
    assert_int_equal(
        sampler_draw(&sampler, &p, NULL, logits, (struct sampling_history){(const int32_t[]){3}, 1, 0}, 1),
        4);
    p.repetition_penalty = 100;
    assert_int_equal(sampler_draw(&sampler, &p, NULL, logits,
                                  (struct sampling_history){(const int32_t[]){3, 4, 5}, 3, 0}, 3),
                     3); /* 0.02, 0.015, -50 */
}

static void refuses_what_is_not_finite(void **state)
{
    (void)state;
    struct rng rng = {3};
    gpt2q_sampling p = {.repetition_penalty = 1, .top_p = 1, .temperature = 1};
    for (int i = 0; i < 3; i++) {
        make_logits(&rng, 0);
        logits[rng_below(&rng, VOCAB)] = (float[]){NAN, INFINITY, -INFINITY}[i];
        assert_int_equal(sampler_draw(&sampler, &p, NULL, logits, (struct sampling_history){0}, 0), -1);
    }
}

/* ---- what a request asks of single tokens ---- */

static int32_t ruled(const gpt2q_sampling *p, const struct sampling_rules *rules, const float *x,
                     int32_t made)
{
    const int32_t history[] = {0, 1, 1};
    return sampler_draw(&sampler, p, rules, x, (struct sampling_history){history, made, 0}, made);
}

static void rules_bias_and_ban(void **state)
{
    (void)state;
    float x[VOCAB];
    for (int i = 0; i < VOCAB; i++) x[i] = -(float)i;
    gpt2q_sampling p = gpt2q_sampling_default();
    const gpt2q_logit_bias bias[] = {{5, 7.0f}, {0, -100.0f}};
    const int32_t allowed[] = {9, 4, 6}, ends[] = {0, 1};
    assert_int_equal(ruled(&p, &(struct sampling_rules){.bias = bias, .n_bias = 1}, x, 0), 5);
    assert_int_equal(ruled(&p, &(struct sampling_rules){.bias = bias + 1, .n_bias = 1}, x, 0), 1);
    assert_int_equal(ruled(&p, &(struct sampling_rules){.allowed = allowed, .n_allowed = 3}, x, 0), 4);
    const struct sampling_rules late = {.ends = ends, .n_ends = 2, .min_tokens = 2};
    assert_int_equal(ruled(&p, &late, x, 1), 2);
    assert_int_equal(ruled(&p, &late, x, 2), 0);
    for (int draw = 0; draw < 500; draw++) { /* what is banned never comes, by any way of drawing */
        p = (gpt2q_sampling){.repetition_penalty = draw % 2 ? 1.3f : 1.0f,
                             .temperature = draw % 3 ? 0.3f : 50.0f,
                             .top_p = draw % 5 ? 1.0 : 0.99,
                             .top_k = draw % 7 ? 0 : 5,
                             .seed = (uint64_t)draw};
        const struct sampling_rules rules = {.allowed = allowed, .n_allowed = 3, .bias = bias, .n_bias = 2};
        int32_t id = ruled(&p, &rules, x, 0);
        assert_true(id == 9 || id == 4 || id == 6);
    }
    uint8_t banned[VOCAB];
    assert_int_equal(sampling_rules_left(&late, banned, VOCAB), VOCAB - 2);
    assert_int_equal(sampling_rules_left(
                         &(struct sampling_rules){
                             .allowed = ends, .n_allowed = 2, .ends = ends, .n_ends = 2, .min_tokens = 1},
                         banned, VOCAB),
                     0);
}

static void presence_counts_the_completion_alone(void **state)
{
    (void)state;
    float x[VOCAB];
    for (int i = 0; i < VOCAB; i++) x[i] = -10.0f;
    x[1] = 3.0f, x[2] = 2.0f, x[3] = 1.0f;
    const int32_t history[] = {2, 1, 1, 3}; /* prompt: 2 */
    gpt2q_sampling p = gpt2q_sampling_default();
    struct sampling_history h = {history, 4, 1};
    p.frequency_penalty = 0.75f;
    assert_int_equal(sampler_draw(&sampler, &p, NULL, x, h, 4), 2); /* 3 - 2 * 0.75 < 2 */
    p.frequency_penalty = 0.25f;
    assert_int_equal(sampler_draw(&sampler, &p, NULL, x, h, 4), 1);
    p.frequency_penalty = 0, p.presence_penalty = 1.5f;
    assert_int_equal(sampler_draw(&sampler, &p, NULL, x, h, 4), 2);
    assert_int_equal(sampler_draw(&sampler, &p, NULL, x, (struct sampling_history){history, 1, 1}, 1), 1);
    assert_int_equal(sampler_rank(&sampler, x, 1), 1);
    assert_int_equal(sampler_rank(&sampler, x, 3), 3);
    assert_int_equal(sampler_rank(&sampler, x, 5), 6); /* equals: 0 and 4 come first */
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(draws_by_the_definition),
                                       cmocka_unit_test(rules_bias_and_ban),
                                       cmocka_unit_test(presence_counts_the_completion_alone),
                                       cmocka_unit_test(cuts_that_are_met_exactly),
                                       cmocka_unit_test(sorts_what_decides),
                                       cmocka_unit_test(draws_from_few_and_from_infinite),
                                       cmocka_unit_test(the_best_are_exactly_k_in_order),
                                       cmocka_unit_test(penalizes_what_was_seen_once),
                                       cmocka_unit_test(refuses_what_is_not_finite)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
