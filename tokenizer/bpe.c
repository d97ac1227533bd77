#include "tokenizer/bpe.h"
#include "base/checked.h"
#include "base/memory.h"

/* ---- short pieces: symbol[i], and rank[i] of the pair (i, i + 1) ---- */

/* One pass: merges the pairs of rank `best` and closes the gaps. Only ranks beside a new symbol are looked
 * up again. Writing never overtakes reading: what is written at `to` was read at `from` >= to. */
static size_t merge_pass(const struct tokenizer *t, int32_t *symbol, uint32_t *rank, size_t n, uint32_t best)
{
    size_t to = 0;
    bool fresh_before = false;
    for (size_t from = 0; from < n; to++) {
        bool fresh = from + 1 < n && rank[from] == best;
        int32_t s = fresh ? merge_result(t, best) : symbol[from];
        if (to > 0) {
            bool looked_up = fresh || fresh_before;
            rank[to - 1] = looked_up ? pair_table_find(&t->pairs, symbol[to - 1], s) : rank[from - 1];
        }
        symbol[to] = s;
        from += fresh ? 2 : 1;
        fresh_before = fresh;
    }
    return to;
}

static void encode_short(const struct tokenizer *t, const uint8_t *piece, size_t n, struct encoding *e)
{
    int32_t symbol[BPE_SHORT];
    uint32_t rank[BPE_SHORT];
    symbol[0] = t->byte_id[piece[0]];
    for (size_t i = 1; i < n; i++) {
        symbol[i] = t->byte_id[piece[i]];
        rank[i - 1] = pair_table_find(&t->pairs, symbol[i - 1], symbol[i]);
    }
    for (;;) {
        uint32_t best = NO_RANK;
        for (size_t i = 0; i + 1 < n; i++) best = rank[i] < best ? rank[i] : best;
        e->steps += n;
        if (best == NO_RANK) break;
        n = merge_pass(t, symbol, rank, n, best);
    }
    for (size_t i = 0; i < n; i++) encoding_put(e, symbol[i]);
}

/* ---- long pieces: a doubly linked list of symbols, and candidates taken in the order of (rank, position)
 * ---- */

#define NO_CANDIDATE UINT64_MAX

struct long_piece {
    const struct tokenizer *t;
    int32_t *symbol; /* at the position of its first byte */
    uint32_t *rank;  /* of the pair that begins here; a candidate of another rank is out of date */
    uint32_t *next, *previous;
    uint32_t n;
    /* Candidates are rank << 32 | position. Those that a pass makes wait for the next one, in room for n:
     * a pass of m merges makes at most 2 m <= n. Then they go to the heap (four children to a node), in
     * room for 2 n: it begins with n, and a merge takes one out and puts two in. If they are in order
     * already, as in a run of one character, they stay in a row instead. */
    uint64_t *waiting, *heap, *row;
    size_t n_waiting, n_heap, n_row, row_at;
};

static void heap_push(struct long_piece *p, uint64_t key)
{
    size_t i = p->n_heap++;
    for (; i > 0; i = (i - 1) / 4) {
        uint64_t parent = p->heap[(i - 1) / 4];
        if (parent <= key) break;
        p->heap[i] = parent;
    }
    p->heap[i] = key;
}

static void heap_pop(struct long_piece *p)
{
    uint64_t key = p->heap[--p->n_heap];
    size_t i = 0;
    for (;;) {
        size_t child = 4 * i + 1, least = child;
        if (child >= p->n_heap) break;
        size_t end = child + 4 < p->n_heap ? child + 4 : p->n_heap;
        while (++child < end) least = p->heap[child] < p->heap[least] ? child : least;
        if (p->heap[least] >= key) break;
        p->heap[i] = p->heap[least];
        i = least;
    }
    p->heap[i] = key;
}

/* Looks up the pair that begins at i. If it merges, it becomes a candidate of the next pass. */
static void consider(struct long_piece *p, uint32_t i)
{
    uint32_t j = p->next[i];
    p->rank[i] = j == p->n ? NO_RANK : pair_table_find(&p->t->pairs, p->symbol[i], p->symbol[j]);
    if (p->rank[i] != NO_RANK) p->waiting[p->n_waiting++] = (uint64_t)p->rank[i] << 32 | i;
}

static void merge_at(struct long_piece *p, uint32_t i)
{
    uint32_t gone = p->next[i], after = p->next[gone];
    p->symbol[i] = merge_result(p->t, p->rank[i]);
    p->rank[gone] = NO_RANK;
    p->next[i] = after;
    if (after < p->n) p->previous[after] = i;
    if (i > 0) consider(p, p->previous[i]);
    consider(p, i);
}

static bool ascending(const uint64_t *keys, size_t n)
{
    for (size_t i = 1; i < n; i++)
        if (keys[i - 1] >= keys[i]) return false;
    return true;
}

static void begin_pass(struct long_piece *p)
{
    if (p->row_at == p->n_row && ascending(p->waiting, p->n_waiting)) {
        uint64_t *used_up = p->row;
        p->row = p->waiting, p->n_row = p->n_waiting, p->row_at = 0;
        p->waiting = used_up;
    } else {
        for (size_t i = 0; i < p->n_waiting; i++) heap_push(p, p->waiting[i]);
    }
    p->n_waiting = 0;
}

static uint64_t first_candidate(const struct long_piece *p)
{
    uint64_t row = p->row_at < p->n_row ? p->row[p->row_at] : NO_CANDIDATE;
    uint64_t heap = p->n_heap > 0 ? p->heap[0] : NO_CANDIDATE;
    return row < heap ? row : heap;
}

static void merge_long(struct long_piece *p, uint64_t *steps)
{
    uint32_t pass = NO_RANK;
    for (;;) {
        uint64_t first = first_candidate(p);
        if (first == NO_CANDIDATE || first >> 32 != pass) {
            *steps += p->n_waiting;
            begin_pass(p);
            first = first_candidate(p);
            if (first == NO_CANDIDATE) return;
            pass = (uint32_t)(first >> 32);
        }
        if (p->row_at < p->n_row && p->row[p->row_at] == first)
            p->row_at++;
        else
            heap_pop(p);
        uint32_t i = (uint32_t)first;
        if (p->rank[i] == pass) merge_at(p, i);
        ++*steps;
    }
}

static void long_piece_free(struct long_piece *p)
{
    mem_free(p->symbol);
    mem_free(p->rank);
    mem_free(p->next);
    mem_free(p->previous);
    mem_free(p->waiting);
    mem_free(p->heap);
    mem_free(p->row);
}

static bool long_piece_create(struct long_piece *p, const struct tokenizer *t, const uint8_t *piece,
                              uint32_t n)
{
    *p = (struct long_piece){.t = t, .n = n};
    p->symbol = mem_array(n, sizeof *p->symbol);
    p->rank = mem_array(n, sizeof *p->rank);
    p->next = mem_array(n, sizeof *p->next);
    p->previous = mem_array(n, sizeof *p->previous);
    p->waiting = mem_array(n, sizeof *p->waiting);
    p->heap = mem_array(n, 2 * sizeof *p->heap);
    p->row = mem_array(n, sizeof *p->row);
    if (!p->symbol || !p->rank || !p->next || !p->previous || !p->waiting || !p->heap || !p->row)
        return false;
    for (uint32_t i = 0; i < n; i++) {
        p->symbol[i] = t->byte_id[piece[i]];
        p->next[i] = i + 1;
        p->previous[i] = i - 1;
    }
    for (uint32_t i = 0; i < n; i++) consider(p, i);
    return true;
}

static gpt2q_status encode_long(const struct tokenizer *t, const uint8_t *piece, size_t n, struct encoding *e,
                                gpt2q_error *err)
{
    struct long_piece p = {0};
    size_t needed;
    if (!checked_mul(n, 4 * sizeof(uint32_t) + 4 * sizeof(uint64_t), &needed)) needed = SIZE_MAX;
    /* Positions have 32 bits: a longer piece would need 190 GiB and more here. */
    bool ok = n < UINT32_MAX && long_piece_create(&p, t, piece, (uint32_t)n);
    if (ok) {
        merge_long(&p, &e->steps);
        for (uint32_t i = 0; i < p.n; i = p.next[i]) encoding_put(e, p.symbol[i]);
    }
    long_piece_free(&p);
    return ok ? GPT2Q_OK : error_memory(err, "merging a long piece of text", needed);
}

gpt2q_status bpe_encode(const struct tokenizer *t, const uint8_t *piece, size_t n, struct encoding *e,
                        gpt2q_error *err)
{
    if (n > BPE_SHORT) return encode_long(t, piece, n, e, err);
    encode_short(t, piece, n, e);
    return GPT2Q_OK;
}
