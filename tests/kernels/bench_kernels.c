/* Times the kernels of this folder's table, for every instruction set of this CPU: nanoseconds a call, and
 * GFLOP/s or GB/s where that makes sense. One thread; the best of several repetitions, because others only
 * slow it down. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/clock.h"
#include "tests/kernels/isas.h"

enum {
    EMBD = 768,
    VOCAB = 50257,
    HEAD_DIM = 64,
    POSITIONS = 1024,
    ROWS = 512,
    BLOCKS = POSITIONS / KV_BLOCK
};

static float x[VOCAB], y[VOCAB], w[VOCAB], b[VOCAB];
static float q[ROWS * HEAD_DIM], out[ROWS * HEAD_DIM];
static float *scratch;
static struct kv_view kv;
static const struct kernels *kernels;
static struct attention_rows rows;
static volatile double sink;

static void layer_norm(void) { kernels->layer_norm(x, w, b, 1e-5f, EMBD, y); }
static void add(void) { kernels->add(y, x, EMBD); }
static void act(enum activation_function f)
{
    memcpy(y, x, 4 * EMBD * sizeof *y);
    kernels->activation[f](y, 4 * EMBD, y);
}
static void gelu_new(void) { act(ACT_GELU_NEW); }
static void gelu(void) { act(ACT_GELU); }
static void tanh_(void) { act(ACT_TANH); }
static void row_max(void) { sink = (double)kernels->row_max(x, VOCAB); }
static void row_best(void) { sink = (double)kernels_argmax(kernels, x, VOCAB); }
static void row_exp(void) { sink = kernels->row_exp(x, VOCAB, 1.0f, 3.0f, y); }
static void row_sum_exp(void) { sink = kernels->row_sum_exp(x, VOCAB, 3.0f); }
static void append_at(const float *k, const float *v, int position)
{
    kernels->kv_append(&kv, 0, &(struct kv_rows){.k = k, .v = v, .n_rows = 1, .first_position = position});
}
static void append(void) { append_at(x, w, 777); }
static void attention(void) { kernels->attention(&kv, 0, &rows, scratch); }

static double seconds_of(void (*f)(void))
{
    double best = INFINITY;
    f();
    for (int repeat = 0; repeat < 15; repeat++) {
        int n = 0;
        double start = clock_seconds(), now;
        do {
            f();
            n++;
        } while ((now = clock_seconds()) - start < 0.004);
        if ((now - start) / n < best) best = (now - start) / n;
    }
    return best;
}

/* `work` units a call (0: none), in billions per second. */
static void report(const char *isa, const char *name, void (*f)(void), double work, const char *unit)
{
    double s = seconds_of(f);
    printf("%-11s %-28s %12.0f ns", isa, name, s * 1e9);
    if (work > 0) printf("  %8.1f %s", work / s * 1e-9, unit);
    putchar('\n');
}

static void attention_cases(const char *isa)
{
    static const char *const names[KV_COUNT] = {"f32", "f16", "i16", "i8"};
    static const int cases[][2] = {{15, 1},   {127, 1},  {1023, 1},  {1020, 4},
                                   {1016, 8}, {0, ROWS}, {512, ROWS}};
    for (enum kv_format format = 0; format < KV_COUNT; format++) {
        size_t bytes = kv_block_bytes(format, 1, HEAD_DIM);
        int32_t table[BLOCKS];
        for (int i = 0; i < BLOCKS; i++) table[i] = i;
        kv = (struct kv_view){.format = format,
                              .n_head = 1,
                              .head_dim = HEAD_DIM,
                              .block_bytes = bytes,
                              .pool = aligned_alloc(64, bytes * BLOCKS),
                              .table = table};
        if (!kv.pool) return;
        for (int t = 0; t < POSITIONS; t++) append_at(x + t, w + t, t);
        char name[64];
        snprintf(name, sizeof name, "kv_append %s", names[format]);
        report(isa, name, append, 0, "");
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            int first = cases[i][0], n = cases[i][1];
            rows = (struct attention_rows){q, out, HEAD_DIM, HEAD_DIM, n, first, 0.125f};
            double positions = 0;
            for (int r = 0; r < n; r++) positions += first + r + 1;
            snprintf(name, sizeof name, "attention %s %d+%d", names[format], first, n);
            report(isa, name, attention, 4.0 * HEAD_DIM * positions, "GFLOP/s");
        }
        free(kv.pool);
    }
}

int main(int argc, char **argv)
{
    scratch = malloc(attention_scratch_floats(POSITIONS) * sizeof *scratch);
    if (!scratch) return 1;
    for (int i = 0; i < VOCAB; i++) {
        x[i] = 3.0f * sinf((float)i * 0.37f);
        w[i] = cosf((float)i * 0.11f);
        b[i] = 0.1f;
    }
    for (int i = 0; i < ROWS * HEAD_DIM; i++) q[i] = sinf((float)i);
    for_each_isa(isa)
    {
        if (argc > 1 && strcmp(argv[1], isa->name) != 0) continue;
        kernels = isa->kernels;
        report(isa->name, "layer_norm 768", layer_norm, 0, "");
        report(isa->name, "add 768", add, 0, "");
        report(isa->name, "gelu_new 3072", gelu_new, 0, "");
        report(isa->name, "gelu 3072", gelu, 0, "");
        report(isa->name, "tanh 3072", tanh_, 0, "");
        report(isa->name, "row_max 50257", row_max, VOCAB * 4.0, "GB/s");
        report(isa->name, "row_best 50257", row_best, VOCAB * 4.0, "GB/s");
        report(isa->name, "row_exp 50257", row_exp, 0, "");
        report(isa->name, "row_sum_exp 50257", row_sum_exp, 0, "");
        attention_cases(isa->name);
    }
    free(scratch);
    return 0;
}
