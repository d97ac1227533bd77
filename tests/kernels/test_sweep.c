/* Products over sampled shapes: widths that are multiples of 8 up to 328 and some odd ones, every
 * granularity that fits, 1 to 40 rows, now and then up to 130, prepared in any order and by any division among threads, every kind
 * of activations that the scheme takes. Every instruction set must give the scalar definition's bits.
 * GPT2Q_SWEEP is the number of samples ("make sweep" takes 100,000), GPT2Q_SWEEP_SEED the seed. A failure
 * prints both, so that it can be repeated. */
#include "tests/support.h"
#include "tests/schemes.h"
#include "base/memory.h"
#include "qtensor/isa.h"
#include "qtensor/qinput.h"
#include "qtensor/quantize.h"

struct sample {
    struct scheme scheme;
    char spec[SCHEME_TEXT_MAX];
    enum activations kind;
    int rows, cols, n, parts; /* parts: how many threads share the rows */
};

static bool fits(struct scheme s, int cols)
{
    return !scheme_has_codes(s) || s.gran != QG_GROUP || cols % s.group == 0;
}

/* A group of any multiple of 8 that divides the inputs, besides the listed ones. */
static void any_group(struct rng *rng, struct scheme *s, int cols)
{
    const int group = 8 * (1 + (int)rng_below(rng, (uint32_t)(cols + 7) / 8));
    char text[SCHEME_TEXT_MAX];
    struct scheme other = *s, parsed;
    other.group = group;
    if (cols % group == 0 && !scheme_parse(scheme_print(other, text), &parsed, NULL) && parsed.group == group)
        *s = other; /* formats with a group of their own keep it */
}

static struct sample draw(struct rng *rng)
{
    static const int odd[] = {1, 3, 5, 7, 9, 17, 63, 65, 150, 257, 321};
    struct sample s;
    size_t count;
    const char *const *list = every_scheme(&count);
    do {
        s.cols = rng_below(rng, 8) ? 8 * (1 + (int)rng_below(rng, 41))
                                   : odd[rng_below(rng, sizeof odd / sizeof *odd)];
        if (!rng_below(rng, 8)) s.cols *= 4; /* more than a stretch of any way */
        assert_int_equal(scheme_parse(list[rng_below(rng, (uint32_t)count)], &s.scheme, NULL), GPT2Q_OK);
        if (s.scheme.gran == QG_GROUP && scheme_has_codes(s.scheme)) any_group(rng, &s.scheme, s.cols);
        s.kind = (enum activations)rng_below(rng, ACTIVATIONS_COUNT);
    } while (!fits(s.scheme, s.cols) || !scheme_takes(s.scheme, s.kind));
    scheme_print(s.scheme, s.spec);
    s.rows = 1 + (int)rng_below(rng, 130);
    s.n = 1 + (int)rng_below(rng, rng_below(rng, 8) ? 40 : rng_below(rng, 8) ? 130 : 420);
    s.parts = 1 + (int)rng_below(rng, 4);
    return s;
}

/* Like threads: each prepares its part of the rows, in any order. */
static void prepare(const struct isa *isa, const struct qtensor *w, struct qinput *in, const struct sample *s,
                    struct rng *rng)
{
    if (!qinput_needs_prepare(w, s->kind)) return;
    const int first = (int)rng_below(rng, (uint32_t)s->parts);
    for (int i = 0; i < s->parts; i++) {
        const int part = (first + s->parts - i) % s->parts;
        isa->formats[w->scheme.format].prepare(w, in, s->n * part / s->parts, s->n * (part + 1) / s->parts);
    }
}

static void multiply(const struct isa *isa, const struct qtensor *w, const float *x, const struct sample *s,
                     struct rng *rng, float *y)
{
    const struct format_ops *ops = &isa->formats[w->scheme.format];
    struct qinput in = {.f32 = x, .stride = (size_t)s->cols};
    const size_t bytes = qinput_layout(NULL, w, s->kind, s->n, NULL);
    void *memory = mem_alloc(bytes);
    assert_non_null(memory);
    memset(memory, 0xFF, bytes);
    qinput_layout(&in, w, s->kind, s->n, memory);
    in.n = s->n, in.cols = s->cols, in.end = s->n, in.kind = s->kind;
    in.free_sums = rng_below(rng, 2); /* as on this processor, or as on others */
    prepare(isa, w, &in, s, rng);
    (s->kind == ACTIVATIONS_F32 ? ops->matmul : ops->matmul_q)(w, &in, y, (size_t)s->rows, 0,
                                                               qtensor_panels(w));
    mem_free(memory);
}

static void check(const struct sample *s, uint64_t seed)
{
    struct rng rng = {seed};
    const size_t weights = (size_t)s->rows * (size_t)s->cols, outputs = (size_t)s->n * (size_t)s->rows;
    float *m = mem_array(weights, sizeof *m), *x = mem_array((size_t)s->n * (size_t)s->cols, sizeof *x);
    float *want = mem_zarray(outputs, sizeof *want), *got = mem_zarray(outputs, sizeof *got);
    const struct qsource src = {"m", DT_F32, m, s->rows, s->cols, (size_t)s->cols, 1};
    struct qtensor w;
    gpt2q_error err;
    for (size_t i = 0; i < weights; i++) m[i] = rng_normal(&rng);
    for (size_t i = 0; i < (size_t)s->n * (size_t)s->cols; i++) x[i] = rng_normal(&rng);
    if (qtensor_quantize(&src, s->scheme, &(struct quantize_run){.n_threads = 1}, &w, &err))
        fail_msg("%s", err.message);
    multiply(isa_at(0), &w, x, s, &rng, want);
    for (size_t i = 1; i < isa_count(); i++) {
        if (!isa_at(i)->supported()) continue;
        memset(got, 0xFF, outputs * sizeof *got);
        multiply(isa_at(i), &w, x, s, &rng, got);
        if (memcmp(want, got, outputs * sizeof *got))
            fail_msg("%s differs from scalar: %s, activations %d, %d rows of %d inputs to %d outputs, %d "
                     "threads (GPT2Q_SWEEP_SEED=%llu)",
                     isa_at(i)->name, s->spec, (int)s->kind, s->n, s->cols, s->rows, s->parts,
                     (unsigned long long)seed);
    }
    qtensor_free(&w);
    float *all[] = {m, x, want, got};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) mem_free(all[i]);
}

static uint64_t number_of(const char *variable, uint64_t otherwise)
{
    const char *text = getenv(variable);
    return text && *text ? strtoull(text, NULL, 10) : otherwise;
}

static void test_sweep(void **state)
{
    (void)state;
    const uint64_t samples = number_of("GPT2Q_SWEEP", 3000), first = number_of("GPT2Q_SWEEP_SEED", 1);
    for (uint64_t i = 0; i < samples; i++) {
        struct rng rng = {first + i};
        const struct sample s = draw(&rng);
        check(&s, first + i);
    }
    print_message("%llu samples\n", (unsigned long long)samples);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_sweep)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
