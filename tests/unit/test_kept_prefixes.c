/* Prefixes that stay in the cache when their requests have ended: they hold what they should, whatever was shared, truncated,
 * copied and given up in between; and answers are the same bits with them as without. */
#include "tests/serving.h"
#include "engine/internal.h"

/* ---- the cache. A position is stamped with a number that stands for all ids up to it, so a block that is found for
 * a text it does not hold shows. ---- */

#define POSITIONS 96
#define SEQUENCES 6
#define LAYERS    2

static const gpt2q_config tiny = {.n_layer = LAYERS, .n_embd = 4, .n_head = 2, .n_positions = POSITIONS};

struct world {
    struct kv_cache kv;
    int32_t ids[SEQUENCES][POSITIONS];
};

static int32_t *stamp_at(const struct world *w, int layer, int sequence, int position)
{
    struct kv_view v = kv_cache_view(&w->kv, layer, sequence);
    return (int32_t *)(void *)(v.pool + (size_t)v.table[position / KV_BLOCK] * v.block_bytes) +
           position % KV_BLOCK;
}

static int32_t stamp_of(const int32_t *ids, int position)
{
    uint32_t hash = 2166136261u;
    for (int i = 0; i <= position; i++) hash = (hash ^ (uint32_t)ids[i]) * 16777619u;
    return (int32_t)(hash & 0xffffff);
}

static void check(const struct world *w)
{
    for (int s = 0; s < SEQUENCES; s++)
        for (int layer = 0; layer < LAYERS; layer++)
            for (int i = 0; i < w->kv.length[s]; i++)
                assert_int_equal(*stamp_at(w, layer, s, i), stamp_of(w->ids[s], i) + layer);
}

/* Few ids, so that texts often begin alike. */
static void grow(struct world *w, struct rng *rng, int s, int n)
{
    int length = w->kv.length[s];
    if (length + n > POSITIONS || !kv_cache_extend(&w->kv, s, n)) return;
    for (int i = length; i < length + n; i++) {
        if (i % KV_BLOCK == 0)
            w->ids[s][i] = (int32_t)rng_below(rng, 2);
        else
            w->ids[s][i] = 7;
        for (int layer = 0; layer < LAYERS; layer++)
            *stamp_at(w, layer, s, i) = stamp_of(w->ids[s], i) + layer;
    }
}

static int recall(struct world *w, struct rng *rng, int s)
{
    int32_t ids[POSITIONS];
    for (int i = 0; i < POSITIONS; i++) ids[i] = i % KV_BLOCK ? 7 : (int32_t)rng_below(rng, 2);
    int n = (int)rng_below(rng, POSITIONS + 1), remembered = kv_cache_remembered(&w->kv, ids, n);
    memcpy(w->ids[s], ids, sizeof ids);
    assert_int_equal(kv_cache_recall(&w->kv, s, ids, n), remembered);
    assert_true(remembered <= n && remembered % KV_BLOCK == 0);
    return remembered;
}

static void remembered_blocks_hold_what_they_should(void **state)
{
    (void)state;
    enum { OPERATIONS = 20000 };
    int64_t recalled = 0;
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct world w = {.ids = {{0}}};
        struct rng rng = {seed};
        gpt2q_error err;
        /* from a pool that always runs out to one that holds everything */
        assert_int_equal(
            kv_cache_create(&w.kv, KV_F32, &tiny, SEQUENCES, POSITIONS, (int64_t)seed * 96, &err), GPT2Q_OK);
        assert_int_equal(kv_cache_keep(&w.kv, &err), GPT2Q_OK);
        for (int i = 0; i < OPERATIONS / 6; i++) {
            int s = (int)rng_below(&rng, SEQUENCES), other = (int)rng_below(&rng, SEQUENCES);
            int length = w.kv.length[s], part = (int)rng_below(&rng, (uint32_t)length + 1);
            switch (rng_below(&rng, 6)) {
            case 0:
            case 1: grow(&w, &rng, s, (int)rng_below(&rng, 30)); break;
            case 2: kv_cache_truncate(&w.kv, s, part); break;
            case 3:
                kv_cache_remember(&w.kv, s, w.ids[s], length);
                kv_cache_truncate(&w.kv, s, 0);
                break;
            case 4:
                if (length == 0) recalled += recall(&w, &rng, s);
                break;
            default:
                if (w.kv.length[other] == 0) {
                    memcpy(w.ids[other], w.ids[s], sizeof w.ids[s]);
                    kv_cache_share(&w.kv, s, other, part);
                }
            }
            if (i % 16 == 0) check(&w);
        }
        check(&w);
        for (int s = 0; s < SEQUENCES; s++) kv_cache_truncate(&w.kv, s, 0);
        assert_int_equal(w.kv.n_free, w.kv.n_blocks);
        kv_cache_free(&w.kv);
    }
    assert_true(recalled > 1000);
}

static void what_is_needed_is_given_up_oldest_first(void **state)
{
    (void)state;
    gpt2q_error err;
    struct world w = {.ids = {{0}}};
    struct rng rng = {5};
    int32_t *a = w.ids[0], *b = w.ids[1];
    assert_int_equal(kv_cache_create(&w.kv, KV_F32, &tiny, SEQUENCES, POSITIONS, 6 * KV_BLOCK, &err),
                     GPT2Q_OK);
    assert_int_equal(kv_cache_remembered(&w.kv, a, 32), 0);
    assert_int_equal(kv_cache_keep(&w.kv, &err), GPT2Q_OK);
    for (int s = 0; s < 2; s++) { /* two texts of two blocks, one of them ends first */
        grow(&w, &rng, s, 2 * KV_BLOCK + 3);
        for (int i = 0; i < 3; i++) w.ids[s][i] = 100 + s;
        kv_cache_remember(&w.kv, s, w.ids[s], w.kv.length[s]);
        kv_cache_truncate(&w.kv, s, 0);
    }
    assert_int_equal(kv_cache_remembered(&w.kv, a, POSITIONS), 2 * KV_BLOCK);
    assert_int_equal(kv_cache_remembered(&w.kv, b, 31), KV_BLOCK);
    grow(&w, &rng, 2, 2 * KV_BLOCK); /* fits beside both */
    assert_int_equal(kv_cache_remembered(&w.kv, a, 32), 2 * KV_BLOCK);
    grow(&w, &rng, 3, KV_BLOCK); /* the end of the first goes */
    assert_int_equal(kv_cache_remembered(&w.kv, a, 32), KV_BLOCK);
    assert_int_equal(kv_cache_remembered(&w.kv, b, 32), 2 * KV_BLOCK);
    assert_int_equal(kv_cache_recall(&w.kv, 4, b, 32), 2 * KV_BLOCK); /* in use: cannot go */
    grow(&w, &rng, 3, KV_BLOCK);
    assert_int_equal(kv_cache_remembered(&w.kv, a, 32), 0);
    assert_int_equal(w.kv.n_free, 0);
    assert_false(kv_cache_extend(&w.kv, 5, 1));
    assert_int_equal(kv_cache_remembered(&w.kv, b, 32), 2 * KV_BLOCK);
    kv_cache_free(&w.kv);
}

/* ---- the scheduler ---- */

/* Questions that begin like one of four, so that what ended serves what comes. */
static struct question *families(size_t n, uint64_t seed)
{
    struct question *q = make_questions(n, seed, 44, 12);
    for (size_t i = 4; i < n; i++) {
        const struct question *first = &q[i % 4];
        size_t common = first->request.n_ids < q[i].request.n_ids ? first->request.n_ids : q[i].request.n_ids;
        memcpy(q[i].prompt, first->prompt, common * sizeof *first->prompt);
    }
    return q;
}

static uint64_t cached_tokens(struct settings set, size_t n, const struct question *want)
{
    struct question *got = families(n, 31);
    struct engine e = engine_open(set);
    serve(&e, got, n, true); /* one after the other: only what ended can be shared */
    uint64_t one_by_one = gpt2q_scheduler_get_stats(e.scheduler).cached_tokens;
    expect_same(want, got, n, "one by one");
    forget_answers(got, n);
    serve(&e, got, n, false);
    expect_same(want, got, n, "together");
    engine_close(&e);
    free_questions(got, n);
    return one_by_one;
}

static void the_same_bits_with_kept_prefixes(void **state)
{
    (void)state;
    enum { N = 120 };
    static const char *const caches[] = {"f32", "f16", "i8"};
    for (size_t i = 0; i < 3; i++) {
        struct question *want = families(N, 31);
        struct settings set = {.scheme = "i8", .rows = 4, .chunk = 16, .kv = caches[i]};
        answer_alone(want, N, set);
        uint64_t samples = cached_tokens(set, N, want); /* of one request share its prompt anyway */
        set.keep = true;
        assert_true(cached_tokens(set, N, want) > samples + N * KV_BLOCK / 4);
        set.n_cache = N_CTX + 2 * KV_BLOCK; /* runs out all the time */
        set.threads = 2;
        assert_true(cached_tokens(set, N, want) > samples);
        free_questions(want, N);
    }
}

static void on_end(void *user, uint64_t request, int32_t sample, const gpt2q_result *result)
{
    (void)request, (void)sample;
    *(size_t *)user = result->n_cached;
}

static void results_say_how_many_were_cached(void **state)
{
    (void)state;
    struct engine e = engine_open((struct settings){.scheme = "f32", .rows = 1, .keep = true});
    int32_t ids[40];
    size_t cached = 99;
    for (int i = 0; i < 40; i++) ids[i] = i;
    gpt2q_request r = gpt2q_request_default();
    r.ids = ids;
    r.max_tokens = 3;
    r.ignore_eos = true;
    r.on_end = on_end;
    r.user = &cached;
    static const size_t lengths[] = {40, 40, 33, 32, 16, 17}, expected[] = {0, 32, 32, 16, 0, 16};
    for (size_t i = 0; i < 6; i++) {
        gpt2q_error err;
        bool busy = true;
        r.n_ids = lengths[i];
        assert_int_equal(gpt2q_scheduler_submit(e.scheduler, &r, NULL, &err), GPT2Q_OK);
        while (busy) assert_int_equal(gpt2q_scheduler_step(e.scheduler, &busy, &err), GPT2Q_OK);
        assert_int_equal(cached, expected[i]); /* the last token of a prompt is always computed */
    }
    assert_int_equal(gpt2q_scheduler_get_stats(e.scheduler).cached_tokens, 32 + 32 + 16 + 16);
    engine_close(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(remembered_blocks_hold_what_they_should),
                                       cmocka_unit_test(what_is_needed_is_given_up_oldest_first),
                                       cmocka_unit_test(the_same_bits_with_kept_prefixes),
                                       cmocka_unit_test(results_say_how_many_were_cached)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
