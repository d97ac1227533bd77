/* The two hash tables of a tokenizer: pairs of ids to ranks, and bytes to ids. They are flat, with linear
 * probing, at most four fifths full. After loading, nothing but the marks of words changes. Both sizes are known beforehand, so
 * they never grow.
 *
 * They may lie in a mapped file, so their contents are not trusted: a probe ends after TABLE_PROBES steps at
 * most, and an entry is used only if it points inside. The hashes are part of the file's format
 * (ARCHITECTURE.md, "The .gpt2q file") and little-endian. */
#ifndef TOKENIZER_TABLES_H
#define TOKENIZER_TABLES_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define TABLE_MULTIPLIER 0x9E3779B97F4A7C15u /* 2^64 / golden ratio: spreads keys over the high bits */

#define ID_BITS 20 /* of an id or a rank in a slot */
#define ID_MASK ((1u << ID_BITS) - 1)
#define MAX_ID  ((int32_t)ID_MASK - 1) /* the greatest id or rank; all ones is an empty slot */

static inline uint64_t hash_mix(uint64_t h, uint64_t word)
{
    h = (h ^ word) * TABLE_MULTIPLIER;
    return h ^ h >> 32;
}

/* Of a table in a file: more slots in a row are never taken but by keys that were chosen for it, and a table that is full of what never
 * matches must not make every look-up long. A tokenizer with such keys is stored without its tables. */
#define TABLE_PROBES ((size_t)2048)

/* 64 - log2(n) for n slots; 0 if n is not a power of two from 2 to 2^32. */
unsigned table_shift(size_t n);

/* ---- pairs: which two neighbours merge, and how early ---- */

#define NO_RANK    UINT32_MAX
#define EMPTY_PAIR UINT64_MAX

struct pair_table {
    uint64_t *slots; /* left << 40 | right << 20 | rank */
    size_t mask;
    unsigned shift;   /* 64 - log2(slots) */
    size_t probes;    /* steps of a look-up at most */
    uint32_t n_ranks; /* ranks are below */
};

/* Creates a table for at most `count` pairs with ranks below it. False when memory is out. */
bool pair_table_create(struct pair_table *table, size_t count);
/* Enters the pair. A pair that is there already gets the new rank. */
void pair_table_put(struct pair_table *table, int32_t left, int32_t right, uint32_t rank);

static inline uint64_t pair_key(int32_t left, int32_t right)
{
    return (uint64_t)(uint32_t)left << ID_BITS | (uint32_t)right;
}

/* The slot of the pair, or the empty one where it would be. NULL if a full table has neither. */
static inline uint64_t *pair_table_slot(const struct pair_table *table, uint64_t key)
{
    size_t i = (size_t)(hash_mix(0, key) * TABLE_MULTIPLIER >> table->shift);
    for (size_t steps = 0; steps < table->probes; steps++, i = (i + 1) & table->mask) {
        uint64_t slot = table->slots[i];
        if (slot >> ID_BITS == key || slot == EMPTY_PAIR) return &table->slots[i];
    }
    return NULL;
}

static inline uint32_t pair_table_find(const struct pair_table *table, int32_t left, int32_t right)
{
    const uint64_t *slot = pair_table_slot(table, pair_key(left, right));
    uint32_t rank = slot && *slot != EMPTY_PAIR ? (uint32_t)*slot & ID_MASK : NO_RANK;
    return rank < table->n_ranks ? rank : NO_RANK;
}

/* ---- bytes: which token is spelled like this ---- */

#define NO_TOKEN   (-1)
#define EMPTY_BYTE UINT32_MAX
#define WORD_BIT   (1u << ID_BITS)
#define TAG_MASK   (~(WORD_BIT | ID_MASK))

/* The tokens' bytes one after another: those of id lie from at[id] to at[id + 1]. */
struct token_bytes {
    uint8_t *data;
    uint32_t *at;
    size_t size;      /* bytes of data */
    int32_t n;        /* ids, 1 + the largest */
    uint32_t longest; /* bytes of the longest token */
};

/* The bytes of a token; NULL if it has none or they lie outside. */
static inline const uint8_t *token_find(const struct token_bytes *tokens, int32_t id, size_t *n)
{
    *n = 0;
    if (id < 0 || id >= tokens->n) return NULL;
    size_t begin = tokens->at[id], end = tokens->at[id + 1];
    if (begin >= end || end > tokens->size || end - begin > tokens->longest) return NULL;
    *n = end - begin;
    return tokens->data + begin;
}

struct byte_table {
    /* An entry has an id, a bit that says whether the token is a word (vocabulary.h), and eleven bits of
     * the hash. These distinguish it from most other tokens without reading their bytes. */
    uint32_t *slots;
    size_t mask;
    unsigned shift;
    size_t probes; /* as above */
};

/* Whether no look-up takes more than TABLE_PROBES steps. */
bool tables_are_short(const struct pair_table *pairs, const struct byte_table *bytes);

bool byte_table_create(struct byte_table *table, size_t count);
/* Enters a token. Returns the token that has the same bytes already, or NO_TOKEN if it is new. */
int32_t byte_table_insert(struct byte_table *table, const struct token_bytes *tokens, int32_t id);
/* Marks a token of the table as a word. Others may look up meanwhile. */
void byte_table_mark_word(const struct byte_table *table, const struct token_bytes *tokens, int32_t id);

static inline uint64_t hash_load(const uint8_t *p, size_t n)
{
    uint64_t word = 0;
    memcpy(&word, p, n);
    return word;
}

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

static inline uint32_t hash_tag(uint64_t h) { return (uint32_t)h & TAG_MASK; }

static inline uint32_t byte_slot_load(const uint32_t *slot)
{
    return __atomic_load_n(slot, __ATOMIC_RELAXED); /* words are marked while others read */
}

/* The slot of the token with these bytes, or the empty one where it would be. NULL if a full table has
 * neither. */
static inline uint32_t *byte_table_slot(const struct byte_table *table, const struct token_bytes *tokens,
                                        const uint8_t *bytes, size_t n, uint64_t h)
{
    size_t i = (size_t)(h >> table->shift), length;
    for (size_t steps = 0; steps < table->probes; steps++, i = (i + 1) & table->mask) {
        uint32_t slot = byte_slot_load(&table->slots[i]);
        if (slot == EMPTY_BYTE) return &table->slots[i];
        if ((slot & TAG_MASK) != hash_tag(h)) continue;
        const uint8_t *found = token_find(tokens, (int32_t)(slot & ID_MASK), &length);
        if (found && length == n && !memcmp(found, bytes, n)) return &table->slots[i];
    }
    return NULL;
}

/* The entry of the token with these bytes; EMPTY_BYTE if there is none. */
static inline uint32_t byte_table_look_up(const struct byte_table *table, const struct token_bytes *tokens,
                                          const uint8_t *bytes, size_t n)
{
    const uint32_t *slot = byte_table_slot(table, tokens, bytes, n, hash_bytes(bytes, n));
    return slot ? byte_slot_load(slot) : EMPTY_BYTE;
}

/* The token with these bytes, or NO_TOKEN. */
static inline int32_t byte_table_find(const struct byte_table *table, const struct token_bytes *tokens,
                                      const uint8_t *bytes, size_t n)
{
    uint32_t slot = byte_table_look_up(table, tokens, bytes, n);
    return slot == EMPTY_BYTE ? NO_TOKEN : (int32_t)(slot & ID_MASK);
}
#endif
