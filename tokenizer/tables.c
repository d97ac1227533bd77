#include "tokenizer/tables.h"
#include "base/memory.h"
#include <assert.h>

/* Slots for count entries at most half full: a power of two, 2^bits. */
static unsigned slot_bits(size_t count)
{
    unsigned bits = 4;
    while ((count >> (bits - 1)) != 0) bits++;
    return bits;
}

bool pair_table_create(struct pair_table *table, size_t count)
{
    unsigned bits = slot_bits(count);
    size_t n = (size_t)1 << bits;
    *table =
        (struct pair_table){.slots = mem_array(n, sizeof *table->slots), .mask = n - 1, .shift = 64 - bits};
    if (!table->slots) return false;
    for (size_t i = 0; i < n; i++) table->slots[i] = (struct pair_slot){0, 0, NO_RANK};
    return true;
}

void pair_table_free(struct pair_table *table) { mem_free(table->slots); }

bool pair_table_insert(struct pair_table *table, int32_t left, int32_t right, uint32_t rank)
{
    assert(rank != NO_RANK);
    struct pair_slot *slot = pair_table_slot(table, left, right);
    if (slot->rank != NO_RANK) return false;
    *slot = (struct pair_slot){left, right, rank};
    return true;
}

bool byte_table_create(struct byte_table *table, size_t count)
{
    unsigned bits = slot_bits(count);
    size_t n = (size_t)1 << bits;
    *table =
        (struct byte_table){.slots = mem_array(n, sizeof *table->slots), .mask = n - 1, .shift = 64 - bits};
    if (!table->slots) return false;
    for (size_t i = 0; i < n; i++) table->slots[i] = (struct byte_slot){0, NO_TOKEN};
    return true;
}

void byte_table_free(struct byte_table *table) { mem_free(table->slots); }

void byte_table_insert(struct byte_table *table, const struct token_bytes *tokens, int32_t id)
{
    uint32_t begin = tokens->at[id];
    uint64_t h = hash_bytes(tokens->data + begin, tokens->at[id + 1] - begin);
    size_t i = (size_t)(h >> table->shift);
    while (table->slots[i].id != NO_TOKEN) i = (i + 1) & table->mask;
    table->slots[i] = (struct byte_slot){(uint32_t)h, id};
}
