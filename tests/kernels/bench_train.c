/* Times training's products with the shapes of the default model (6 blocks of 256, 8,193 tokens) beside the
 * fused multiply-adds that this machine can make, for every instruction set. Packing the operands is part of
 * the time. All take turns in rounds; medians are shown.
 *
 * usage: bench_train [THREADS [TOKENS]] */
#include "base/clock.h"
#include "base/memory.h"
#include "base/threads.h"
#include "kernels/limits.h"
#include "qtensor/isa.h"
#include "train/loss.h"
#include "train/product.h"
#include <stdio.h>
#include <stdlib.h>

enum { ROUNDS = 9, VOCABULARY = 8193, WIDTH = 256 };

struct shape {
    const char *name;
    int outputs, inputs;
    bool head; /* its tokens come LOSS_ROWS at a time */
};
static const struct shape shapes[] = {{"attn.c_attn", 3 * WIDTH, WIDTH, false},
                                      {"attn.c_proj", WIDTH, WIDTH, false},
                                      {"mlp.c_fc", 4 * WIDTH, WIDTH, false},
                                      {"mlp.c_proj", WIDTH, 4 * WIDTH, false},
                                      {"head", VOCABULARY, WIDTH, true}};
enum { SHAPES = sizeof shapes / sizeof *shapes, KINDS = 3 };
static const char *const kinds[KINDS] = {"y = x W^T", "dx = dy W", "dW = dy^T x"};

struct fma_share {
    const struct limits *limits;
    size_t steps;
    float sums[THREADS_MAX];
};

static void fma_share(void *arg, int share, int n)
{
    struct fma_share *f = arg;
    (void)n;
    f->sums[share] = f->limits->fma(f->steps);
}

/* x (tokens, inputs), w (outputs, inputs), y (tokens, outputs); the result goes to out. */
static struct product product_of(const struct shape *s, int kind, int tokens, float *const blocks[4])
{
    const float *x = blocks[0], *w = blocks[1], *y = blocks[2];
    const size_t in = (size_t)s->inputs, out = (size_t)s->outputs;
    struct product p = {.c = blocks[3], .ldc = kind == 0 ? out : in, .n = kind == 0 ? s->outputs : s->inputs};
    p.m = kind == 2 ? s->outputs : tokens;
    p.k = kind == 0 ? s->inputs : kind == 1 ? s->outputs : tokens;
    p.a = kind == 0 ? rows_of(x, in) : kind == 1 ? rows_of(y, out) : columns_of(y, out);
    p.b = kind == 0 ? rows_of(w, in) : kind == 1 ? columns_of(w, in) : columns_of(x, in);
    return p;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *v)
{
    qsort(v, ROUNDS, sizeof *v, by_value);
    return v[ROUNDS / 2];
}

static float *noise(size_t n)
{
    float *x = mem_array(n, sizeof *x);
    for (size_t i = 0; i < n; i++) x[i] = (float)((uint32_t)i * 2654435761u >> 8) * 0x1p-28f;
    return x;
}

/* Seconds of each round by shape, kind; the last is that of the limit. */
static double times[SHAPES * KINDS + 1][ROUNDS];

static void run_round(const struct crew *c, struct fma_share *f, int tokens, float *const blocks[4],
                      int round)
{
    double start = clock_seconds();
    threads_run(c->n_threads, fma_share, f);
    times[SHAPES * KINDS][round] = clock_seconds() - start;
    for (int i = 0; i < SHAPES * KINDS; i++) {
        const struct shape *s = &shapes[i / KINDS];
        const struct product p = product_of(s, i % KINDS, s->head ? LOSS_ROWS : tokens, blocks);
        start = clock_seconds();
        product_run(c, &p);
        times[i][round] = clock_seconds() - start;
    }
}

static void report(const struct isa *isa, const struct fma_share *f, int threads, int tokens)
{
    const double limit =
        (double)f->steps * f->limits->fma_flops * threads / median(times[SHAPES * KINDS]) * 1e-9;
    double all = 0, seconds = 0;
    printf("%s: limit %.0f GFLOP/s\n", isa->name, limit);
    for (int i = 0; i < SHAPES * KINDS; i++) {
        const struct shape *s = &shapes[i / KINDS];
        const int rows = s->head ? LOSS_ROWS : tokens, count = s->head ? tokens / LOSS_ROWS : 6;
        const double flop = 2.0 * rows * s->outputs * s->inputs, t = median(times[i]);
        all += flop * count, seconds += t * count;
        printf("  %-12s %-12s %7.0f GFLOP/s %5.1f %%\n", s->name, kinds[i % KINDS], flop / t * 1e-9,
               100.0 * flop / t * 1e-9 / limit);
    }
    printf("  all products of a step %10.0f GFLOP/s %5.1f %%\n", all / seconds * 1e-9,
           100.0 * all / seconds * 1e-9 / limit);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    const int threads = argc > 1 ? atoi(argv[1]) : 2, tokens = argc > 2 ? atoi(argv[2]) : 2048;
    const size_t wide = (size_t)tokens * 4 * WIDTH, head = (size_t)VOCABULARY * LOSS_ROWS;
    const size_t most = wide > head ? wide : head;
    float *blocks[4] = {noise(most), noise((size_t)VOCABULARY * WIDTH), noise(most), noise(most)};
    for (size_t i = isa_count(); i-- > 1;) {
        struct crew c;
        gpt2q_error err;
        struct fma_share f = {.limits = limits_find(isa_at(i)->name)};
        if (!isa_at(i)->supported()) continue;
        const size_t packed = product_packed_floats(most / 256, 4 * WIDTH) + head + most;
        if (crew_create(&c, isa_at(i), threads, packed, packed, 16, &err)) return puts(err.message), 1;
        f.steps = (size_t)(2e9 / f.limits->fma_flops);
        for (int r = 0; r < ROUNDS; r++) run_round(&c, &f, tokens, blocks, r);
        report(isa_at(i), &f, threads, tokens);
        crew_free(&c);
    }
    for (int i = 0; i < 4; i++) mem_free(blocks[i]);
    return 0;
}
