/* What a test would take on this machine if nothing were lost. Its passes follow each other as in run.c.
 * Each takes as long as moving its bytes or as computing, whichever is longer. */
#include "app/bench/bench.h"

struct bound_sum {
    const struct gpt2_weights *weights;
    enum activations activations;
    enum kv_format kv;
    struct bench_rates rates;
    struct bench_bound total;
};

static double seconds_of(const struct bound_sum *s, const struct cost *c)
{
    double moving = c->bytes / s->rates.read_gb_s,
           computing = c->f32_flops / s->rates.gflops_f32 + c->i8_ops / s->rates.gops_i8;
    return 1e-9 * (moving > computing ? moving : computing);
}

static void add_pass(struct bound_sum *s, const struct batch_token *tokens, int n)
{
    struct cost parts[PART_COUNT];
    cost_of_pass(s->weights, s->activations, s->kv, tokens, n, parts);
    for (int i = 0; i < PART_COUNT; i++) {
        s->total.cost[i].bytes += parts[i].bytes;
        s->total.cost[i].f32_flops += parts[i].f32_flops;
        s->total.cost[i].i8_ops += parts[i].i8_ops;
        s->total.part_seconds[i] += seconds_of(s, &parts[i]);
    }
    struct cost c = cost_total(parts);
    s->total.bytes += c.bytes;
    s->total.seconds += seconds_of(s, &c);
}

static void add_prefill(struct bound_sum *s, int32_t length, bool all_logits)
{
    struct batch_token tokens[BENCH_CHUNK];
    for (int32_t begin = 0, n; begin < length; begin += n) {
        n = length - begin < BENCH_CHUNK ? length - begin : BENCH_CHUNK;
        for (int32_t i = 0; i < n; i++)
            tokens[i] = (struct batch_token){.position = begin + i,
                                             .wants_logits = all_logits || begin + i + 1 == length};
        add_pass(s, tokens, n);
    }
}

static void add_step(struct bound_sum *s, int32_t position, int32_t batch)
{
    struct batch_token tokens[BENCH_CHUNK];
    for (int32_t begin = 0, n; begin < batch; begin += n) {
        n = batch - begin < BENCH_CHUNK ? batch - begin : BENCH_CHUNK;
        for (int32_t i = 0; i < n; i++)
            tokens[i] =
                (struct batch_token){.position = position, .sequence = begin + i, .wants_logits = true};
        add_pass(s, tokens, n);
    }
}

struct bench_bound bench_bound(const struct bench_plan *plan, const struct bench_test *test,
                               const struct gpt2_weights *weights, enum activations activations,
                               struct bench_rates rates)
{
    struct bound_sum s = {.weights = weights, .activations = activations, .rates = rates};
    kv_format_parse(plan->kv, activations, &s.kv); /* checked before */
    s.total.n_steps = test->kind == TEST_DECODE ? test->tokens : 1;
    if (test->kind == TEST_PREFILL)
        add_prefill(&s, test->tokens, plan->all_logits);
    else
        for (int32_t i = 0; i < test->tokens; i++) add_step(&s, test->position + i, test->batch);
    return s.total;
}
