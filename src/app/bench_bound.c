/* What a test would take on this machine if nothing were lost: its passes one after the other, as bench_run.c
 * makes them, each taking as long as moving its bytes or as computing, whichever is longer. */
#include "app/bench.h"

struct bound_sum {
    const struct gpt2_weights *weights;
    enum activations activations;
    enum kv_format kv;
    double bytes_per_s, flops_per_s, ops_per_s;
    struct bench_bound total;
};

static void add_pass(struct bound_sum *s, const struct batch_token *tokens, int n)
{
    struct cost parts[PART_COUNT];
    cost_of_pass(s->weights, s->activations, s->kv, tokens, n, parts);
    struct cost c = cost_total(parts);
    double moving = c.bytes / s->bytes_per_s,
           computing = c.f32_flops / s->flops_per_s + c.i8_ops / s->ops_per_s;
    s->total.bytes += c.bytes;
    s->total.seconds += moving > computing ? moving : computing;
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
                               double read_gb_s, double gflops_f32, double gops_i8)
{
    struct bound_sum s = {.weights = weights,
                          .activations = activations,
                          .kv = plan->kv_format,
                          .bytes_per_s = read_gb_s * 1e9,
                          .flops_per_s = gflops_f32 * 1e9,
                          .ops_per_s = gops_i8 * 1e9};
    if (test->kind == TEST_PREFILL) add_prefill(&s, test->tokens, plan->all_logits);
    for (int32_t i = 0; test->kind == TEST_DECODE && i < test->tokens; i++)
        add_step(&s, test->position + i, test->batch);
    return s.total;
}
