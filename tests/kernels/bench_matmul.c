/* Times products with weights, for every instruction set of this CPU: one row from memory (GB/s against a
 * plain read in the same run) and many rows (GFLOP/s; an integer product counts as two operations, too).
 * Two threads, or the number given. All variants take turns in rounds; medians are shown.
 *
 * usage: bench_matmul [THREADS [SCHEME@ACTIVATIONS ...]] */
#include "base/clock.h"
#include "base/memory.h"
#include "base/threads.h"
#include "kernels/limits.h"
#include "qtensor/isa.h"
#include "qtensor/qinput.h"
#include "qtensor/quantize.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { COLS = 768, MANY = 512, MANY_ROWS = 768, ROUNDS = 9 };
#define STREAM_BYTES ((size_t)96 << 20) /* of codes, beyond every cache */

static const char *const kinds[ACTIVATIONS_COUNT] = {"f32", "i16", "i8"};

struct task {
    const struct isa *isa;
    struct qtensor *w;
    struct qinput x;
    float *y;
    int panels;
};

static void prepare_share(void *arg, int share, int n)
{
    struct task *t = arg;
    int64_t r0, r1;
    threads_split(t->x.n, share, n, &r0, &r1);
    t->isa->formats[t->w->scheme.format].prepare(t->w, &t->x, (int)r0, (int)r1);
}

static void multiply_share(void *arg, int share, int n)
{
    struct task *t = arg;
    const struct format_ops *ops = &t->isa->formats[t->w->scheme.format];
    int64_t p0, p1;
    threads_split(t->panels, share, n, &p0, &p1);
    (t->x.kind == ACTIVATIONS_F32 ? ops->matmul : ops->matmul_q)(t->w, &t->x, t->y + p0 * PANEL,
                                                                 (size_t)t->w->rows, (int)p0, (int)p1);
}

static void run_task(int threads, void *arg)
{
    struct task *t = arg;
    if (qinput_needs_prepare(t->w, t->x.kind)) threads_run(threads, prepare_share, t);
    threads_run(threads, multiply_share, t);
}

struct reading {
    const uint8_t *data;
    size_t blocks; /* of 256 bytes */
    const struct limits *limits;
    uint64_t sums[THREADS_MAX];
};

static void read_share(void *arg, int share, int n)
{
    struct reading *r = arg;
    int64_t begin, end;
    threads_split((int64_t)r->blocks, share, n, &begin, &end);
    r->sums[share] = r->limits->read(r->data + begin * 256, (size_t)(end - begin) * 256);
}

static void run_read(int threads, void *reading) { threads_run(threads, read_share, reading); }

static double best(const double *v)
{
    double least = v[0];
    for (int i = 1; i < ROUNDS; i++) least = v[i] < least ? v[i] : least;
    return least;
}

static double seconds(int threads, void (*run)(int threads, void *arg), void *arg)
{
    double start = clock_seconds();
    run(threads, arg);
    return clock_seconds() - start;
}

/* A weight of the scheme: simple noise, quantized once and repeated over the panels. */
static struct qtensor weight_create(struct scheme s, int rows, int threads)
{
    float *m = mem_array((size_t)rows * COLS, sizeof *m);
    struct qtensor w;
    gpt2q_error err;
    uint64_t state = 1;
    for (size_t i = 0; i < (size_t)rows * COLS; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        m[i] = (float)(int32_t)(state >> 32) * 0x1p-34f;
    }
    struct qsource src = {"bench", DT_F32, m, rows, COLS, 1, (size_t)rows};
    if (qtensor_quantize(&src, s, &(struct quantize_run){.n_threads = threads}, &w, &err))
        puts(err.message), exit(1);
    mem_free(m);
    return w;
}

static struct task task_create(const struct isa *isa, struct qtensor *w, enum activations kind, int n,
                               float *x)
{
    struct task t = {.isa = isa, .w = w, .panels = qtensor_panels(w), .x = {.f32 = x, .stride = COLS}};
    qinput_layout(&t.x, w, kind, n, mem_zalloc(qinput_layout(NULL, w, kind, n, NULL)));
    t.y = mem_zarray((size_t)n * (size_t)w->rows, sizeof *t.y);
    return t;
}

static void bench(const char *spec, enum activations kind, int threads, float *x)
{
    struct scheme s;
    struct qtensor_layout l;
    gpt2q_error err;
    if (scheme_parse(spec, &s, &err)) puts(err.message), exit(1);
    qtensor_layout(s, PANEL, COLS, &l);
    struct qtensor many = weight_create(s, MANY_ROWS, threads);
    struct qtensor stream = weight_create(s, (int)(STREAM_BYTES / l.panel_bytes) * PANEL, threads);
    struct reading reading = {stream.codes, stream.bytes / 256, NULL, {0}};
    for (size_t i = isa_count(); i-- > 1;) {
        if (!isa_at(i)->supported()) continue;
        reading.limits = limits_find(isa_at(i)->name);
        double one[ROUNDS], read[ROUNDS], eight[ROUNDS], block[ROUNDS];
        struct task t1 = task_create(isa_at(i), &stream, kind, 1, x);
        struct task t8 = task_create(isa_at(i), &many, kind, 8, x);
        struct task tn = task_create(isa_at(i), &many, kind, MANY, x);
        for (int r = 0; r < ROUNDS; r++) {
            read[r] = seconds(threads, run_read, &reading);
            one[r] = seconds(threads, run_task, &t1);
            eight[r] = seconds(threads, run_task, &t8);
            block[r] = seconds(threads, run_task, &tn);
        }
        double bytes = (double)stream.bytes, flop = 2.0 * COLS * MANY_ROWS;
        double gb = bytes / best(one) * 1e-9, gb_read = bytes / best(read) * 1e-9;
        printf("%-18s %-3s %-10s %6.1f GB/s of %5.1f (%3.0f %%) %8.0f GFLOP/s at 8 %8.0f at %d\n", spec,
               kinds[kind], isa_at(i)->name, gb, gb_read, 100.0 * gb / gb_read,
               8.0 * flop / best(eight) * 1e-9, MANY * flop / best(block) * 1e-9, (int)MANY);
        fflush(stdout);
    }
    qtensor_free(&many);
    qtensor_free(&stream);
}

int main(int argc, char **argv)
{
    static const char *const all[] = {"f32@f32",       "f16@f32",       "bf16@f32",      "i8@f32",
                                      "i8@i16",        "i8@i8",         "i8:affine@i16", "i8:g64@f32",
                                      "i8:g64@i16",    "i4@f32",        "i4@i16",        "i4@i8",
                                      "i4:affine@f32", "i4:affine@i16", "i4:channel@i16"};
    int threads = argc > 1 ? atoi(argv[1]) : 2, n = argc > 2 ? argc - 2 : (int)(sizeof all / sizeof *all);
    float *x = mem_array((size_t)MANY * COLS, sizeof *x);
    for (int i = 0; i < MANY * COLS; i++) x[i] = (float)((uint32_t)i * 2654435761u >> 8) * 0x1p-24f - 0.5f;
    for (int i = 0; i < n; i++) {
        char spec[64];
        snprintf(spec, sizeof spec, "%s", argc > 2 ? argv[i + 2] : all[i]);
        char *at = strchr(spec, '@');
        enum activations kind = ACTIVATIONS_F32;
        if (at) {
            *at = '\0';
            while (kind < ACTIVATIONS_COUNT - 1 && strcmp(at + 1, kinds[kind]) != 0) kind++;
        }
        bench(spec, kind, threads, x);
    }
    mem_free(x);
    return 0;
}
