/* The same request gives the same bits for any instruction set, number of threads, chunks of its prompt,
 * and company in the batch. The reference is the scalar instruction set, one thread, one token at a time. */
#include "model/forward.h"
#include "tests/golden/golden.h"
#include "engine/model.h"
#include "model/shape.h"
#include "qtensor/isa.h"

#define N_IDS 41

/* A sanitizer makes the scalar code ten times slower. It checks memory, so every third setting is enough. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SETTINGS_STEP 3
#else
#define SETTINGS_STEP 1
#endif

struct setting {
    const char *model, *scheme, *activations, *kv;
};

static int32_t vocab_of(const char *model)
{
    return strstr(model, "odd") ? 259 : strstr(model, "tales") ? 8193 : 257;
}

static void make_ids(int32_t *ids, int n, uint64_t seed, int32_t vocab_size)
{
    struct rng rng = {seed};
    for (int i = 0; i < n; i++) ids[i] = (int32_t)rng_below(&rng, (uint32_t)vocab_size);
}

static struct runner open_setting(const struct setting *s, const char *isa, int threads, int n_batch)
{
    return runner_open(repo_path(s->model), (struct run_settings){.scheme = s->scheme,
                                                                  .activations = s->activations,
                                                                  .kv = s->kv,
                                                                  .isa = isa,
                                                                  .n_threads = threads,
                                                                  .n_seq_max = 8,
                                                                  .n_outputs = 512,
                                                                  .n_batch = n_batch});
}

/* The logits of every position. The prompt is cut into chunks of at most `chunk` and runs in batches with
 * `company` other sequences. */
static float *logits_of(struct runner *r, const int32_t *ids, int chunk, int company, int32_t vocab_size)
{
    gpt2q_error err;
    float *all = malloc((size_t)N_IDS * (size_t)vocab_size * sizeof *all);
    int32_t other[N_IDS];
    for (int i = 0; i < 8; i++) gpt2q_context_truncate(r->ctx, i, 0);
    for (int begin = 0; begin < N_IDS; begin += chunk) {
        int end = begin + chunk < N_IDS ? begin + chunk : N_IDS, rows_before = 0;
        gpt2q_batch_clear(r->batch);
        for (int sequence = 0; sequence < 1 + company;
             sequence++) { /* ours stands in the middle of the others */
            bool ours = sequence == company / 2;
            make_ids(other, N_IDS, 77 + (uint64_t)sequence, vocab_size);
            int last = ours ? end : end - sequence % 3 > begin ? end - sequence % 3 : begin, first = begin;
            if (!ours && begin > 0)
                first = begin - sequence % 3 > begin - chunk ? begin - sequence % 3 : begin - chunk;
            for (int i = first; i < last; i++) {
                assert_true(gpt2q_batch_add(r->batch, ours ? ids[i] : other[i], i, sequence, ours || i % 2));
                if (!ours && sequence < company / 2) rows_before += i % 2;
            }
        }
        if (gpt2q_decode(r->ctx, r->batch, &err)) fail_msg("%s", err.message);
        for (int i = begin; i < end; i++)
            memcpy(all + (size_t)i * (size_t)vocab_size, gpt2q_logits(r->ctx, rows_before + i - begin),
                   (size_t)vocab_size * sizeof *all);
    }
    return all;
}

static void expect_same(const float *want, const float *got, int32_t vocab_size, const char *what,
                        const char *isa, int threads, int chunk, int company)
{
    for (size_t i = 0; i < (size_t)N_IDS * (size_t)vocab_size; i++)
        if (memcmp(&want[i], &got[i], sizeof *want))
            fail_msg("%s: logit %zu of position %zu is %.9g, not %.9g, with %s, %d threads, chunks of %d, %d "
                     "other sequences",
                     what, i % (size_t)vocab_size, i / (size_t)vocab_size, (double)got[i], (double)want[i],
                     isa, threads, chunk, company);
}

static void check_setting(const struct setting *s)
{
    static const struct {
        int threads, chunk, company;
    } cases[] = {{1, 1, 0}, {1, N_IDS, 0}, {2, N_IDS, 0}, {5, 5, 0},
                 {2, 1, 3}, {1, 7, 7},     {3, 16, 2},    {2, 33, 5}};
    int32_t vocab_size = vocab_of(s->model), ids[N_IDS];
    char what[128];
    snprintf(what, sizeof what, "%s %s@%s", s->model, s->scheme, s->activations ? s->activations : "default");
    make_ids(ids, N_IDS, 1, vocab_size);
    struct runner r = open_setting(s, "scalar", 1, 512);
    float *want = logits_of(&r, ids, 1, 0, vocab_size);
    runner_close(&r);
    for (size_t k = 0; k < isa_count(); k++) {
        const struct isa *isa = isa_at(k);
        if (!isa->supported()) continue;
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            if (k == 0 && i > 3 && strstr(s->model, "tales")) continue; /* scalar is slow */
            if ((i + k) % SETTINGS_STEP) continue;
            r = open_setting(s, isa->name, cases[i].threads, i == 6 ? 13 : 512);
            float *got = logits_of(&r, ids, cases[i].chunk, cases[i].company, vocab_size);
            expect_same(want, got, vocab_size, what, isa->name, cases[i].threads, cases[i].chunk,
                        cases[i].company);
            free(got);
            runner_close(&r);
        }
    }
    free(want);
}

static void tiny_models(void **state)
{
    (void)state;
    static const char *const models[] = {"tests/golden/data/tiny-odd", "tests/golden/data/tiny-gelu",
                                         "tests/golden/data/tiny-silu", "tests/golden/data/tiny-tanh"};
    static const char *const schemes[] = {"f32", "f16", "bf16", "i8"};
    for (size_t m = 0; m < sizeof models / sizeof *models; m++)
        for (size_t s = 0; s < sizeof schemes / sizeof *schemes; s++) {
            struct setting setting = {.model = models[m], .scheme = schemes[s], .activations = "f32"};
            check_setting(&setting);
        }
}

/* Every granularity, method and kind of activations at least once. */
static void integer_schemes(void **state)
{
    (void)state;
    static const char *const schemes[] = {"i8:tensor:minmax",  "i8:channel:affine", "i8:input:absmax",
                                          "i8:input:minmax",   "i8:g8:absmax",      "i8:g16:affine",
                                          "i4:channel:absmax", "i4:tensor:affine",  "i4:g32:absmax",
                                          "i4:g16:minmax",     "i4:input:affine",   "i8:channel:absmax"};
    static const char *const activations[] = {"f32", "i16", "i8"};
    for (size_t s = 0; s < sizeof schemes / sizeof *schemes; s++)
        for (size_t a = s % SETTINGS_STEP; a < 3; a += SETTINGS_STEP) {
            struct setting setting = {
                .model = "tests/golden/data/tiny-gelu", .scheme = schemes[s], .activations = activations[a]};
            check_setting(&setting);
        }
    struct setting notes = {.model = "tests/golden/data/tiny-odd", .scheme = "notes"};
    check_setting(&notes);
    struct setting odd = {
        .model = "tests/golden/data/tiny-odd", .scheme = "i4:channel:minmax", .activations = "i16"};
    check_setting(&odd);
}

static void cache_formats(void **state)
{
    (void)state;
    static const char *const formats[] = {"f16", "i16", "i8"};
    for (int i = 0; i < 3; i++) {
        struct setting setting = {
            .model = "tests/golden/data/tiny-odd", .scheme = "f32", .activations = "f32", .kv = formats[i]};
        check_setting(&setting);
    }
}

/* No `kv` is i16 beside integer activations, f32 beside floats. */
static void the_default_cache(void **state)
{
    (void)state;
    static const struct setting settings[] = {{"tests/golden/data/tiny-odd", "i8", NULL, "i16"},
                                              {"tests/golden/data/tiny-odd", "i8", "i8", "i16"},
                                              {"tests/golden/data/tiny-odd", "i8", "f32", "f32"},
                                              {"tests/golden/data/tiny-odd", "f32", NULL, "f32"},
                                              {"tests/golden/data/tiny-odd", "i8", "llm.int8", "i16"}};
    int32_t ids[N_IDS], vocab_size = vocab_of(settings->model);
    make_ids(ids, N_IDS, 3, vocab_size);
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        float *logits[3]; /* by default, as expected, otherwise */
        const char *const kv[3] = {NULL, settings[i].kv, strcmp(settings[i].kv, "f32") ? "f32" : "i16"};
        for (int k = 0; k < 3; k++) {
            struct setting s = settings[i];
            s.kv = kv[k];
            struct runner r = open_setting(&s, NULL, 1, 512);
            logits[k] = logits_of(&r, ids, N_IDS, 0, vocab_size);
            runner_close(&r);
        }
        expect_same(logits[1], logits[0], vocab_size, "the default cache", "any", 1, N_IDS, 0);
        assert_memory_not_equal(logits[2], logits[0], (size_t)N_IDS * (size_t)vocab_size * sizeof(float));
        for (int k = 0; k < 3; k++) free(logits[k]);
    }
}

/* Far more threads than cores, than heads and than panels. */
static void one_to_64_threads(void **state)
{
    (void)state;
    static const int counts[] = {2, 3, 4, 6, 7, 8, 9, 13, 16, 17, 31, 48, 64};
    struct setting s = {.model = "tests/golden/data/tiny-gelu", .scheme = "i8"};
    int32_t ids[N_IDS], vocab_size = vocab_of(s.model);
    make_ids(ids, N_IDS, 2, vocab_size);
    struct runner r = open_setting(&s, "scalar", 1, 512);
    float *want = logits_of(&r, ids, N_IDS, 0, vocab_size);
    runner_close(&r);
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i += SETTINGS_STEP) {
        r = open_setting(&s, NULL, counts[i], 512);
        float *got = logits_of(&r, ids, 21, 2, vocab_size);
        expect_same(want, got, vocab_size, s.model, "the best instruction set", counts[i], 21, 2);
        free(got);
        runner_close(&r);
    }
    free(want);
}

/* So wide, and with so many rows, that products are made in several blocks of rows: at once and by 50
 * rows. With the second layer all rows enter the last one's logits. */
static void blocks_of_rows(void **state)
{
    (void)state;
    enum { N = 300 };
    static const char *const activations[] = {"f32", "i16", "i8"};
    gpt2q_error err;
    gpt2q_config config;
    assert_int_equal(shape_parse("2x1024x4", &config, &err), GPT2Q_OK);
    config.vocab_size = 257;
    int32_t ids[N];
    make_ids(ids, N, 3, config.vocab_size);
    struct runner r = {0};
    gpt2q_model_params mp = gpt2q_model_params_default();
    mp.scheme = "i8";
    assert_int_equal(model_synthesize(&config, "wide", &mp, &r.model, &err), GPT2Q_OK);
    assert_int_equal(gpt2q_batch_create(512, &r.batch, &err), GPT2Q_OK);
    const size_t bytes = (size_t)config.vocab_size * sizeof(float);
    for (size_t a = 0; a < sizeof activations / sizeof *activations; a++) {
        float *want = malloc(bytes);
        for (int chunk = N; chunk; chunk = chunk == N ? 50 : 0) {
            gpt2q_context_params cp = gpt2q_context_params_default();
            cp.activations = activations[a];
            cp.n_batch = 512;
            cp.n_threads = chunk == N ? 3 : 1;
            assert_int_equal(gpt2q_context_create(r.model, &cp, &r.ctx, &err), GPT2Q_OK);
            for (int i = 0; i < N; i += chunk) runner_decode(&r, ids + i, (size_t)chunk, i, 0, false);
            if (chunk == N)
                memcpy(want, gpt2q_logits(r.ctx, 0), bytes);
            else
                assert_memory_equal(gpt2q_logits(r.ctx, 0), want, bytes);
            gpt2q_context_free(r.ctx);
            r.ctx = NULL;
        }
        free(want);
    }
    runner_close(&r);
}

static void look_on(void *user, const char *name, float *data, int32_t rows_first, int32_t rows, int32_t cols)
{
    (void)name, (void)data, (void)rows_first, (void)rows, (void)cols;
    ++*(int *)user;
}

/* With an observer, outputs lie elsewhere. */
static void an_observer_changes_nothing(void **state)
{
    (void)state;
    static const char *const models[] = {"tests/golden/data/tiny-odd", "models/tales-7m"};
    for (size_t m = 0; m < sizeof models / sizeof *models; m++)
        for (int integers = 0; integers < 2; integers++) {
            struct setting s = {.model = models[m], .scheme = integers ? "i8" : "f32"};
            int32_t ids[N_IDS], vocab_size = vocab_of(s.model);
            int seen = 0;
            make_ids(ids, N_IDS, 4, vocab_size);
            struct runner r = open_setting(&s, NULL, 2, 512);
            float *want = logits_of(&r, ids, 17, 2, vocab_size);
            gpt2q_context_observe(r.ctx, look_on, &seen);
            float *got = logits_of(&r, ids, 17, 2, vocab_size);
            expect_same(want, got, vocab_size, s.model, "an observer", 2, 17, 2);
            assert_true(seen > 0);
            free(want);
            free(got);
            runner_close(&r);
        }
}

static void default_model(void **state)
{
    (void)state;
    struct setting setting = {.model = "models/tales-7m", .scheme = "i8", .activations = "f32"};
    check_setting(&setting);
}

int main(void)
{
    forward_use_every_thread(true); /* the models are small: their passes would run on one thread */
    const struct CMUnitTest tests[] = {cmocka_unit_test(tiny_models),
                                       cmocka_unit_test(integer_schemes),
                                       cmocka_unit_test(cache_formats),
                                       cmocka_unit_test(the_default_cache),
                                       cmocka_unit_test(one_to_64_threads),
                                       cmocka_unit_test(blocks_of_rows),
                                       cmocka_unit_test(an_observer_changes_nothing),
                                       cmocka_unit_test(default_model)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
