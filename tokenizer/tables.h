/* The two hash tables of a tokenizer: pairs of ids to ranks, and bytes to ids. Flat, linear probing, at most
 * half full, unchanged after loading. Both sizes are known beforehand, so neither ever grows. */
#ifndef TOKENIZER_TABLES_H
#define TOKENIZER_TABLES_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define TABLE_MULTIPLIER 0x9E3779B97F4A7C15u /* 2^64 / golden ratio: spreads keys over the high bits */

/* ---- pairs: which two neighbours merge, and how early ---- */

#define NO_RANK UINT32_MAX

struct pair_slot {
    int32_t left, right;
    uint32_t rank; /* NO_RANK: an empty slot; it is then itself the answer for a pair that is not there */
};

struct pair_table {
    struct pair_slot *slots;
    size_t mask;
    unsigned shift; /* 64 - log2(slots) */
};

/* False when memory is out. */
bool pair_table_create(struct pair_table *table, size_t count);
void pair_table_free(struct pair_table *table);
/* False if the pair is there already. */
bool pair_table_insert(struct pair_table *table, int32_t left, int32_t right, uint32_t rank);

static inline struct pair_slot *pair_table_slot(const struct pair_table *table, int32_t left, int32_t right)
{
    uint64_t key = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    size_t i = (size_t)((key * TABLE_MULTIPLIER ^ key >> 32) * TABLE_MULTIPLIER >> table->shift);
    for (;; i = (i + 1) & table->mask) {
        struct pair_slot *slot = &table->slots[i];
        if (slot->rank == NO_RANK || (slot->left == left && slot->right == right)) return slot;
    }
}

static inline uint32_t pair_table_find(const struct pair_table *table, int32_t left, int32_t right)
{
    return pair_table_slot(table, left, right)->rank;
}

/* ---- bytes: which token is spelled like this ---- */

#define NO_TOKEN (-1)

/* The tokens' bytes one after another: those of id lie from at[id] to at[id + 1]. */
struct token_bytes {
    uint8_t *data;
    uint32_t *at;
};

struct byte_slot {
    uint32_t tag; /* low half of the hash: most other tokens are told apart without a look at their bytes */
    int32_t id;   /* NO_TOKEN: empty */
};

struct byte_table {
    struct byte_slot *slots;
    size_t mask;
    unsigned shift;
};

bool byte_table_create(struct byte_table *table, size_t count);
void byte_table_free(struct byte_table *table);
void byte_table_insert(struct byte_table *table, const struct token_bytes *tokens, int32_t id);

static inline uint64_t hash_mix(uint64_t h, uint64_t word)
{
    h = (h ^ word) * TABLE_MULTIPLIER;
    return h ^ h >> 32;
}

static inline uint64_t hash_load(const uint8_t *p, size_t n)
{
    uint64_t word = 0;
    memcpy(&word, p, n);
    return word;
}

/* The order of bytes in a word differs between machines, and so do the hashes; nothing but speed depends on
 * them. */
static inline uint64_t hash_bytes(const uint8_t *p, size_t n)
{
    uint64_t h = n;
    for (; n >= 8; p += 8, n -= 8) h = hash_mix(h, hash_load(p, 8));
    uint64_t tail = 0;
    if (n >= 4)
        tail = hash_load(p, 4) | hash_load(p + n - 4, 4) << 32;
    else if (n > 0)
        tail = (uint64_t)p[0] | (uint64_t)p[n / 2] << 8 | (uint64_t)p[n - 1] << 16;
    return hash_mix(h, tail) * TABLE_MULTIPLIER;
}

/* Token of these bytes, or NO_TOKEN. */
static inline int32_t byte_table_find(const struct byte_table *table, const struct token_bytes *tokens,
                                      const uint8_t *bytes, size_t n)
{
    uint64_t h = hash_bytes(bytes, n);
    for (size_t i = (size_t)(h >> table->shift);; i = (i + 1) & table->mask) {
        struct byte_slot slot = table->slots[i];
        if (slot.id == NO_TOKEN) return NO_TOKEN;
        if (slot.tag != (uint32_t)h) continue;
        uint32_t begin = tokens->at[slot.id];
        if (tokens->at[slot.id + 1] - begin == n && !memcmp(tokens->data + begin, bytes, n)) return slot.id;
    }
}
#endif
