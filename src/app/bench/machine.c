/* The machine's limits: what all threads together read from memory and compute in a second. They are
 * measured with the instruction set that the engine uses, and in every round, because on a shared machine
 * they drift. */
#include "app/bench/bench.h"
#include "app/provenance.h"
#include "base/checked.h"
#include "base/clock.h"
#include "base/memory.h"
#include "base/threads.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#if defined(__linux__)
#include <sched.h>
#endif

#define MAX_WORKING_SET ((size_t)512 << 20) /* beyond any cache; reading more is not slower */
#define MIN_SECONDS     0.01                /* of one try */
#define TRIES           4
#define PAGE            4096
#define UNIT            256 /* limits->read takes multiples of it */

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

struct summary samples_summary(struct samples *s)
{
    qsort(s->values, (size_t)s->n, sizeof *s->values, compare_doubles);
    struct summary r = {.min = s->values[0], .max = s->values[s->n - 1]};
    r.median = s->n % 2 ? s->values[s->n / 2] : 0.5 * (s->values[s->n / 2 - 1] + s->values[s->n / 2]);
    r.noisy = r.max - r.min > BENCH_NOISY * r.median;
    return r;
}

/* ---- one measurement: a team repeats its work until the time is up ---- */

struct measurement {
    const struct machine *m;
    void (*work)(struct measurement *w, int thread, int n);
    size_t bytes; /* of a step, all threads together */
    size_t steps;
    struct {                         /* one for each thread, on cache lines of its own */
        _Alignas(128) uint64_t sink; /* keeps the compiler from removing the work */
    } threads[THREADS_MAX];
};

static void share_of_buffer(size_t bytes, int thread, int n, size_t *begin, size_t *size)
{
    int64_t a, b;
    threads_split((int64_t)(bytes / UNIT), thread, n, &a, &b);
    *begin = (size_t)a * UNIT;
    *size = (size_t)(b - a) * UNIT;
}

static void fill_thread(void *arg, int thread, int n)
{
    const struct machine *m = arg;
    size_t begin, size;
    share_of_buffer(m->buffer_bytes, thread, n, &begin, &size);
    memset(m->buffer + begin, 1, size);
}

static void read_work(struct measurement *w, int thread, int n)
{
    size_t begin, size;
    share_of_buffer(w->bytes, thread, n, &begin, &size);
    for (size_t i = 0; i < w->steps; i++)
        w->threads[thread].sink += w->m->kernels->read(w->m->buffer + begin, size);
}

static void fma_work(struct measurement *w, int thread, int n)
{
    (void)n;
    w->threads[thread].sink += (uint64_t)w->m->kernels->fma(w->steps);
}

static void dot_work(struct measurement *w, int thread, int n)
{
    (void)n;
    w->threads[thread].sink += w->m->kernels->dot(w->steps);
}

static void do_share(void *arg, int share, int n)
{
    struct measurement *w = arg;
    w->work(w, share, n);
}

/* Waits until the last share is done. */
static double time_once(struct measurement *w, int threads)
{
    double start = clock_seconds();
    threads_run(threads, do_share, w);
    return clock_seconds() - start;
}

/* Steps a second, all threads together: the best of a few tries. A limit says what the machine can do,
 * also if somebody else has a core just now. The first tries are too short to count; they warm up. */
static double steps_per_second(struct measurement *w, int threads, size_t first)
{
    for (w->steps = first;; w->steps *= 4) {
        double best = time_once(w, threads);
        for (int i = 1; i < TRIES && best >= MIN_SECONDS; i++) {
            double seconds = time_once(w, threads);
            if (seconds < best) best = seconds;
        }
        if (best >= MIN_SECONDS) return (double)w->steps / best;
    }
}

static void add_sample(struct samples *s, double value) { s->values[s->n++] = value; }

void machine_measure(struct machine *m, int first, int last)
{
    static struct measurement w;
    w.m = m;
    for (int i = 0; i < m->n_limits; i++) {
        struct machine_limits *l = &m->limits[i];
        double team = l->threads;
        w.work = read_work;
        for (int r = first; r < last; r++) {
            w.bytes = l->reads[r].working_set;
            add_sample(&l->reads[r].gb_s, steps_per_second(&w, l->threads, 1) * (double)w.bytes * 1e-9);
        }
        w.work = fma_work;
        add_sample(&l->gflops_f32,
                   steps_per_second(&w, l->threads, 1024) * m->kernels->fma_flops * team * 1e-9);
        w.work = dot_work;
        add_sample(&l->gops_i8, steps_per_second(&w, l->threads, 1024) * m->kernels->dot_ops * team * 1e-9);
    }
}

/* ---- making it ---- */

#if defined(__linux__)
/* What a file of the system says about a cache of a processor: the number its text begins with, and the letter behind it. */
static bool cache_number(int cpu, const char *name, long *number, char *unit)
{
    char path[96];
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/cache/index3/%s", cpu, name);
    FILE *f = fopen(path, "r");
    if (!f) return false;
    const int n = fscanf(f, "%9ld%c", number, unit);
    fclose(f);
    return n > 0;
}
#endif

/* Bytes of all third-level caches that the processors of this process have; 0 where the system does not say. Each is known by the
 * first processor that shares it. */
static size_t third_level_cache(void)
{
    size_t bytes = 0;
#if defined(__linux__)
    cpu_set_t mine, seen;
    if (sched_getaffinity(0, sizeof mine, &mine)) return 0;
    CPU_ZERO(&seen);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        long first, level, size;
        char unit = 0;
        if (!CPU_ISSET((size_t)cpu, &mine) || !cache_number(cpu, "level", &level, &unit) || level != 3 ||
            !cache_number(cpu, "shared_cpu_list", &first, &unit) || first < 0 || first >= CPU_SETSIZE ||
            CPU_ISSET((size_t)first, &seen) || !cache_number(cpu, "size", &size, &unit) || size < 0)
            continue;
        CPU_SET((size_t)first, &seen);
        bytes += (size_t)size << (unit == 'M' ? 20 : unit == 'K' ? 10 : 0);
    }
#endif
    return bytes;
}

static bool samples_create(struct samples *s, int max)
{
    s->values = mem_array((size_t)max, sizeof *s->values);
    return s->values != NULL;
}

gpt2q_status machine_create(struct machine *m, const char *isa, const int32_t *threads, int n_threads,
                            int n_reads, int max_samples, gpt2q_error *err)
{
    *m = (struct machine){
        .isa = isa, .kernels = limits_find(isa), .n_reads = n_reads, .l3_bytes = third_level_cache()};
    read_cpu_name(m->cpu, sizeof m->cpu);
    m->limits = mem_zarray((size_t)n_threads, sizeof *m->limits);
    bool ok = m->limits != NULL;
    if (ok) m->n_limits = n_threads;
    for (int i = 0; ok && i < n_threads; i++) {
        struct machine_limits *l = &m->limits[i];
        l->threads = threads[i];
        l->reads = mem_zarray((size_t)n_reads, sizeof *l->reads);
        ok = l->reads && samples_create(&l->gflops_f32, max_samples) &&
             samples_create(&l->gops_i8, max_samples);
        for (int r = 0; ok && r < n_reads; r++) ok = samples_create(&l->reads[r].gb_s, max_samples);
    }
    if (ok) return GPT2Q_OK;
    machine_free(m);
    return error_memory(err, "the machine's limits",
                        (size_t)n_threads * (size_t)max_samples * sizeof(double));
}

void machine_free(struct machine *m)
{
    for (int i = 0; i < m->n_limits; i++) {
        struct machine_limits *l = &m->limits[i];
        for (int r = 0; l->reads && r < m->n_reads; r++) mem_free(l->reads[r].gb_s.values);
        mem_free(l->reads);
        mem_free(l->gflops_f32.values);
        mem_free(l->gops_i8.values);
    }
    mem_free(m->limits);
    mem_free(m->buffer);
    *m = (struct machine){0};
}

gpt2q_status machine_set_working_set(struct machine *m, int read, uint64_t bytes, gpt2q_error *err)
{
    size_t size = round_up(bytes < MAX_WORKING_SET ? (size_t)bytes : MAX_WORKING_SET, PAGE);
    for (int i = 0; i < m->n_limits; i++) m->limits[i].reads[read].working_set = size;
    if (size <= m->buffer_bytes) return GPT2Q_OK;
    mem_free(m->buffer);
    m->buffer_bytes = 0;
    m->buffer = mem_alloc(size);
    if (!m->buffer) return error_memory(err, "the buffer whose reading is timed", size);
    m->buffer_bytes = size;
    threads_run(m->limits[m->n_limits - 1].threads, fill_thread, m);
    return GPT2Q_OK;
}
