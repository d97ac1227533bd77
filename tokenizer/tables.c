#include "tokenizer/tables.h"
#include "base/memory.h"
#include <assert.h>

unsigned table_shift(size_t n)
{
    for (unsigned bits = 1; bits <= 32; bits++)
        if (n == (size_t)1 << bits) return 64 - bits;
    return 0;
}

/* The number of slots for count entries: a power of two, at most four fifths full. */
static size_t slots_for(size_t count)
{
    size_t n = 16;
    while (n / 5 * 4 < count) n *= 2;
    return n;
}

bool pair_table_create(struct pair_table *table, size_t count)
{
    size_t n = slots_for(count);
    *table = (struct pair_table){
        .slots = mem_array(n, sizeof *table->slots), .mask = n - 1, .shift = table_shift(n), .probes = n};
    if (!table->slots) return false;
    for (size_t i = 0; i < n; i++) table->slots[i] = EMPTY_PAIR;
    return true;
}

void pair_table_put(struct pair_table *table, int32_t left, int32_t right, uint32_t rank)
{
    assert(rank <= (uint32_t)MAX_ID);
    uint64_t key = pair_key(left, right), *slot = pair_table_slot(table, key);
    *slot = key << ID_BITS | rank;
    if (rank >= table->n_ranks) table->n_ranks = rank + 1;
}

bool byte_table_create(struct byte_table *table, size_t count)
{
    size_t n = slots_for(count);
    *table = (struct byte_table){
        .slots = mem_array(n, sizeof *table->slots), .mask = n - 1, .shift = table_shift(n), .probes = n};
    if (!table->slots) return false;
    memset(table->slots, 0xFF, n * sizeof *table->slots);
    return true;
}

static uint32_t *slot_of(const struct byte_table *table, const struct token_bytes *tokens, int32_t id,
                         uint64_t *h)
{
    size_t n;
    const uint8_t *bytes = token_find(tokens, id, &n);
    assert(bytes);
    *h = hash_bytes(bytes, n);
    return byte_table_slot(table, tokens, bytes, n, *h);
}

int32_t byte_table_insert(struct byte_table *table, const struct token_bytes *tokens, int32_t id)
{
    uint64_t h;
    uint32_t *slot = slot_of(table, tokens, id, &h);
    if (*slot != EMPTY_BYTE) return (int32_t)(*slot & ID_MASK);
    *slot = hash_tag(h) | (uint32_t)id;
    return NO_TOKEN;
}

void byte_table_mark_word(const struct byte_table *table, const struct token_bytes *tokens, int32_t id)
{
    uint64_t h;
    __atomic_fetch_or(slot_of(table, tokens, id, &h), WORD_BIT, __ATOMIC_RELAXED);
}

bool tables_are_short(const struct pair_table *pairs, const struct byte_table *bytes)
{
    size_t run = 0;
    for (size_t i = 0; i <= 2 * pairs->mask + 1 && run < TABLE_PROBES;
         i++) /* twice around: a run may pass the end */
        run = pairs->slots[i & pairs->mask] == EMPTY_PAIR ? 0 : run + 1;
    if (run >= TABLE_PROBES) return false;
    run = 0;
    for (size_t i = 0; i <= 2 * bytes->mask + 1 && run < TABLE_PROBES; i++)
        run = bytes->slots[i & bytes->mask] == EMPTY_BYTE ? 0 : run + 1;
    return run < TABLE_PROBES;
}
