/* The block pool and the four operations on a batched cache, as properties over random sequences of
 * operations. Every cached position is stamped with a number in the blocks themselves. A model beside them
 * remembers which number belongs where. A block that is used twice, lost or copied too late has a wrong
 * stamp. */
#include "tests/support.h"
#include "base/memory.h"
#include "engine/batched_cache.h"

#define N_CTX  96
#define N_SEQ  12
#define LAYERS 2

static const gpt2q_config tiny = {.n_layer = LAYERS, .n_embd = 4, .n_head = 2, .n_positions = N_CTX};

struct text { /* what a sequence should hold */
    int32_t n, stamp[N_CTX];
};

struct world {
    struct kv_cache kv;
    struct text text[N_SEQ];
    struct rng rng;
    int32_t next_stamp;
};

static int32_t *stamp_at(const struct world *w, int layer, int sequence, int position)
{
    struct kv_view v = kv_cache_view(&w->kv, layer, sequence);
    return (int32_t *)(void *)(v.pool + (size_t)v.table[position / KV_BLOCK] * v.block_bytes) +
           position % KV_BLOCK;
}

static void world_create(struct world *w, int64_t n_cache, uint64_t seed)
{
    gpt2q_error err;
    memset(w, 0, sizeof *w);
    w->rng.state = seed;
    if (kv_cache_create(&w->kv, KV_F32, &tiny, N_SEQ, N_CTX, n_cache, &err)) fail_msg("%s", err.message);
}

static void write_stamps(struct world *w, int sequence, int n)
{
    struct text *t = &w->text[sequence];
    for (int i = 0; i < n; i++) {
        t->stamp[t->n] = ++w->next_stamp;
        for (int layer = 0; layer < LAYERS; layer++)
            *stamp_at(w, layer, sequence, t->n) = w->next_stamp * (layer + 1);
        t->n++;
    }
}

static void check_text(const struct world *w, int sequence)
{
    const struct text *t = &w->text[sequence];
    assert_int_equal(w->kv.length[sequence], t->n);
    for (int layer = 0; layer < LAYERS; layer++)
        for (int i = 0; i < t->n; i++)
            assert_int_equal(*stamp_at(w, layer, sequence, i), t->stamp[i] * (layer + 1));
}

/* Every block is either free once, or held by exactly as many sequences as its count says. */
static void check_pool(const struct world *w)
{
    const struct kv_cache *kv = &w->kv;
    int32_t holders[N_SEQ * (N_CTX / KV_BLOCK + 1)] = {0};
    assert_in_range(kv->n_blocks, 1, sizeof holders / sizeof *holders);
    for (int s = 0; s < N_SEQ; s++) {
        struct kv_view v = kv_cache_view(kv, 0, s);
        for (int i = 0; i < (kv->length[s] + KV_BLOCK - 1) / KV_BLOCK; i++) holders[v.table[i]]++;
    }
    int held = 0;
    for (int b = 0; b < kv->n_blocks; b++) {
        assert_int_equal(kv->holders[b], holders[b]);
        held += holders[b] > 0;
    }
    assert_int_equal(held + kv->n_free, kv->n_blocks);
    for (int i = 0; i < kv->n_free; i++) assert_int_equal(holders[kv->free_blocks[i]]++, 0);
}

/* ---- the pool ---- */

static void extend(struct world *w, int s, int n)
{
    int needed = kv_cache_blocks_needed(&w->kv, s, n), before = w->kv.n_free;
    bool possible = w->text[s].n + n <= N_CTX && needed <= before;
    assert_int_equal(kv_cache_extend(&w->kv, s, n), possible);
    if (!possible) {
        assert_int_equal(w->kv.n_free, before);
        return;
    }
    assert_int_equal(before - w->kv.n_free, needed);
    write_stamps(w, s, n);
}

static void truncate_to(struct world *w, int s, int length)
{
    kv_cache_truncate(&w->kv, s, length);
    if (length < w->text[s].n) w->text[s].n = length;
}

static void share(struct world *w, int from, int to)
{
    if (from == to || w->text[from].n == 0) return;
    int n = 1 + (int)rng_below(&w->rng, (uint32_t)w->text[from].n), before = w->kv.n_free;
    truncate_to(w, to, 0);
    before = w->kv.n_free;
    kv_cache_share(&w->kv, from, to, n);
    assert_int_equal(w->kv.n_free, before);
    w->text[to].n = n;
    memcpy(w->text[to].stamp, w->text[from].stamp, (size_t)n * sizeof *w->text[to].stamp);
}

static void pool_survives_random_operations(void **state)
{
    (void)state;
    struct world w;
    world_create(&w, 24 * KV_BLOCK, 1); /* all sequences at their longest would take 72 blocks */
    int refused = 0;
    for (int step = 0; step < 100000; step++) {
        int s = (int)rng_below(&w.rng, N_SEQ), before = w.text[s].n;
        switch (rng_below(&w.rng, 5)) {
        case 0:
        case 1: {
            int n = 1 + (int)rng_below(&w.rng, 24);
            extend(&w, s, n);
            refused += w.text[s].n == before;
            break;
        }
        case 2: truncate_to(&w, s, (int)rng_below(&w.rng, N_CTX)); break;
        case 3: truncate_to(&w, s, 0); break;
        default: share(&w, (int)rng_below(&w.rng, N_SEQ), s);
        }
        check_pool(&w);
        check_text(&w, s);
        check_text(&w, step % N_SEQ);
    }
    assert_in_range(refused, 1000, 50000); /* both sides of the limit occurred */
    for (int s = 0; s < N_SEQ; s++) truncate_to(&w, s, 0);
    assert_int_equal(w.kv.n_free, w.kv.n_blocks);
    assert_in_range(w.kv.n_low, 0, 3);
    kv_cache_free(&w.kv);
}

/* ---- the batch ---- */

struct shadow { /* sequences of the rows, in order */
    int n, sequence[N_SEQ];
};

static void check_batch(const struct world *w, const struct batched_cache *b, const struct shadow *want,
                        bool padded)
{
    int columns = 0;
    int64_t padding = 0;
    assert_int_equal(b->n_rows, want->n);
    for (int i = 0; i < want->n; i++) {
        assert_int_equal(b->rows[i].sequence, want->sequence[i]);
        check_text(w, want->sequence[i]);
        int width = b->rows[i].n_pad + w->text[want->sequence[i]].n;
        if (width > columns) columns = width;
        padding += b->rows[i].n_pad;
        if (padded)
            assert_int_equal(w->kv.length[batched_cache_margin(b, i)], b->rows[i].n_pad);
        else
            assert_int_equal(b->rows[i].n_pad, 0);
    }
    for (int i = 0; padded && i < want->n; i++)
        assert_int_equal(b->rows[i].n_pad + w->text[want->sequence[i]].n, columns);
    assert_int_equal(batched_cache_columns(b), columns);
    assert_int_equal(batched_cache_padding(b), padding);
}

/* A fresh batch of n rows, with prompts computed and margins. */
static void prefill(struct world *w, struct batched_cache *b, const int32_t *sequence,
                    const int32_t *n_prompt, int n)
{
    batched_cache_prefill(b, sequence, n_prompt, n);
    for (int i = 0; i < n; i++) {
        assert_true(kv_cache_extend(&w->kv, sequence[i], n_prompt[i]));
        write_stamps(w, sequence[i], n_prompt[i]);
        if (b->margins && b->rows[i].n_pad) {
            assert_true(kv_cache_extend(&w->kv, batched_cache_margin(b, i), b->rows[i].n_pad));
            w->text[batched_cache_margin(b, i)].n = 0;
        }
    }
}

static void batch_create(struct world *w, struct batched_cache *b, bool padded)
{
    gpt2q_error err;
    if (batched_cache_create(b, &w->kv, N_SEQ / 2, padded, &err)) fail_msg("%s", err.message);
}

static void random_batches(bool padded)
{
    struct world w;
    struct batched_cache running, fresh;
    struct shadow rows = {0};
    world_create(&w, N_SEQ * N_CTX, padded ? 3 : 2);
    batch_create(&w, &running, padded);
    batch_create(&w, &fresh, padded);
    for (int step = 0; step < 4000; step++) {
        int32_t sequence[N_SEQ], n_prompt[N_SEQ];
        int n = 0, wanted = (int)rng_below(&w.rng, (uint32_t)(N_SEQ / 2 - rows.n) + 1);
        for (int s = 0; s < N_SEQ / 2 && n < wanted; s++) {
            if (w.text[s].n) continue;
            sequence[n] = s;
            n_prompt[n++] = 1 + (int32_t)rng_below(&w.rng, 40);
        }
        prefill(&w, &fresh, sequence, n_prompt, n);
        assert_true(batched_cache_merge(&running, &fresh));
        assert_int_equal(fresh.n_rows, 0);
        for (int i = 0; i < n; i++) rows.sequence[rows.n++] = sequence[i];
        check_batch(&w, &running, &rows, padded);
        for (int i = 0; i < rows.n; i++) extend(&w, rows.sequence[i], 1); /* decode */
        check_batch(&w, &running, &rows, padded);
        bool keep[N_SEQ];
        struct shadow kept = {0};
        for (int i = 0; i < rows.n; i++) {
            keep[i] = w.text[rows.sequence[i]].n < N_CTX - 2 && rng_below(&w.rng, 8) != 0;
            if (keep[i])
                kept.sequence[kept.n++] = rows.sequence[i];
            else
                w.text[rows.sequence[i]].n = 0;
        }
        batched_cache_filter(&running, keep);
        rows = kept;
        check_batch(&w, &running, &rows, padded);
        int before = batched_cache_columns(&running), longest = 0;
        for (int i = 0; i < rows.n; i++)
            longest = w.text[rows.sequence[i]].n > longest ? w.text[rows.sequence[i]].n : longest;
        assert_int_equal(batched_cache_left_truncate(&running), before - longest);
        check_batch(&w, &running, &rows, padded);
        assert_int_equal(batched_cache_columns(&running), longest);
        check_pool(&w);
    }
    bool none[N_SEQ] = {false};
    batched_cache_filter(&running, none);
    assert_int_equal(w.kv.n_free, w.kv.n_blocks);
    batched_cache_free(&running);
    batched_cache_free(&fresh);
    kv_cache_free(&w.kv);
}

static void ragged_batches(void **state) { (void)state, random_batches(false); }
static void padded_batches(void **state) { (void)state, random_batches(true); }

/* Merging moves descriptors: no block changes hands. */
static void merging_ragged_rows_copies_nothing(void **state)
{
    (void)state;
    struct world w;
    struct batched_cache a, b;
    world_create(&w, N_SEQ * N_CTX, 5);
    batch_create(&w, &a, false);
    batch_create(&w, &b, false);
    prefill(&w, &a, (const int32_t[]){4, 1}, (const int32_t[]){20, 3}, 2);
    prefill(&w, &b, (const int32_t[]){0, 3}, (const int32_t[]){50, 17}, 2);
    int32_t blocks[4];
    for (int i = 0; i < 4; i++) blocks[i] = kv_cache_view(&w.kv, 0, (const int[]){4, 1, 0, 3}[i]).table[0];
    int n_free = w.kv.n_free;
    assert_true(batched_cache_merge(&a, &b));
    assert_int_equal(w.kv.n_free, n_free);
    for (int i = 0; i < 4; i++)
        assert_int_equal(kv_cache_view(&w.kv, 0, a.rows[i].sequence).table[0], blocks[i]);
    check_batch(&w, &a, &(struct shadow){4, {4, 1, 0, 3}}, false);
    assert_int_equal(batched_cache_padding(&a), 0);
    assert_int_equal(batched_cache_left_truncate(&a), 0);
    batched_cache_free(&a);
    batched_cache_free(&b);
    kv_cache_free(&w.kv);
}

/* The notes' example by hand: rows of 7 and 3 tokens are padded to 7; a row of 10 joins, and all are
 * padded to 10; when the longest leaves, 3 columns go. */
static void the_rectangle_by_hand(void **state)
{
    (void)state;
    struct world w;
    struct batched_cache a, b;
    world_create(&w, N_SEQ * N_CTX, 6);
    batch_create(&w, &a, true);
    batch_create(&w, &b, true);
    prefill(&w, &a, (const int32_t[]){0, 1}, (const int32_t[]){7, 3}, 2);
    assert_int_equal(a.rows[0].n_pad, 0);
    assert_int_equal(a.rows[1].n_pad, 4);
    prefill(&w, &b, (const int32_t[]){2}, (const int32_t[]){10}, 1);
    assert_true(batched_cache_merge(&a, &b));
    assert_int_equal(batched_cache_columns(&a), 10);
    assert_int_equal(a.rows[0].n_pad, 3);
    assert_int_equal(a.rows[1].n_pad, 7);
    assert_int_equal(a.rows[2].n_pad, 0);
    assert_int_equal(batched_cache_left_truncate(&a), 0);
    batched_cache_filter(&a, (const bool[]){true, true, false});
    assert_int_equal(batched_cache_left_truncate(&a), 3);
    assert_int_equal(batched_cache_columns(&a), 7);
    assert_int_equal(batched_cache_padding(&a), 4);
    batched_cache_free(&a);
    batched_cache_free(&b);
    kv_cache_free(&w.kv);
}

static void merging_without_blocks_changes_nothing(void **state)
{
    (void)state;
    struct world w;
    struct batched_cache a, b;
    world_create(&w, 7 * KV_BLOCK, 7); /* 1 + 5 for the texts; padding the first takes 4 */
    batch_create(&w, &a, true);
    batch_create(&w, &b, true);
    prefill(&w, &a, (const int32_t[]){0}, (const int32_t[]){8}, 1);
    prefill(&w, &b, (const int32_t[]){1}, (const int32_t[]){72}, 1);
    assert_false(batched_cache_merge(&a, &b));
    check_batch(&w, &a, &(struct shadow){1, {0}}, true);
    check_batch(&w, &b, &(struct shadow){1, {1}}, true);
    assert_int_equal(w.kv.n_free, 1);
    batched_cache_free(&a);
    batched_cache_free(&b);
    kv_cache_free(&w.kv);
}

/* The memory of a few positions lies together, in all layers: memory in use grows with the positions. */
static void few_positions_lie_together(void **state)
{
    (void)state;
    struct world w;
    world_create(&w, N_CTX, 9);
    assert_true(kv_cache_extend(&w.kv, 3, KV_BLOCK));
    for (int layer = 0; layer < LAYERS; layer++) {
        struct kv_view v = kv_cache_view(&w.kv, layer, 3);
        const uint8_t *begin = v.pool + (size_t)v.table[0] * v.block_bytes;
        assert_ptr_equal(begin, w.kv.pool + (size_t)layer * w.kv.layer_bytes);
    }
    assert_true(LAYERS * w.kv.layer_bytes <= w.kv.block_bytes);
    assert_int_equal(w.kv.block_bytes % 8192, 4096); /* blocks fall into different sets of a cache */
    kv_cache_free(&w.kv);
}

static void refuses_what_does_not_fit(void **state)
{
    (void)state;
    struct world w;
    struct batched_cache b;
    gpt2q_error err;
    world_create(&w, N_CTX, 8);
    assert_int_equal(batched_cache_create(&b, &w.kv, N_SEQ / 2 + 1, true, &err), GPT2Q_INVALID_ARGUMENT);
    assert_int_equal(batched_cache_create(&b, &w.kv, N_SEQ + 1, false, &err), GPT2Q_INVALID_ARGUMENT);
    mem_fail_after(0);
    assert_int_equal(batched_cache_create(&b, &w.kv, N_SEQ, false, &err), GPT2Q_OUT_OF_MEMORY);
    mem_fail_after(-1);
    kv_cache_free(&w.kv);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(pool_survives_random_operations),
                                       cmocka_unit_test(ragged_batches),
                                       cmocka_unit_test(padded_batches),
                                       cmocka_unit_test(merging_ragged_rows_copies_nothing),
                                       cmocka_unit_test(the_rectangle_by_hand),
                                       cmocka_unit_test(merging_without_blocks_changes_nothing),
                                       cmocka_unit_test(few_positions_lie_together),
                                       cmocka_unit_test(refuses_what_does_not_fit)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
