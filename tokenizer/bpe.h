/* Byte pair encoding of one piece. The definition is the original encoder's: of all neighbours that merge,
 * take the pair of the lowest rank, merge its occurrences from left to right, and begin again.
 *
 * Short pieces are scanned once per pass. Long ones take candidates from a heap, so that a megabyte
 * without a space costs O(n log n). Nothing recurses. */
#ifndef TOKENIZER_BPE_H
#define TOKENIZER_BPE_H
#include "tokenizer/vocabulary.h"

/* The encoding of a text so far. */
struct encoding {
    int32_t *ids; /* ids beyond the capacity are only counted */
    size_t capacity, n;
    /* positions and candidates looked at: a measure of work that is the same on every machine */
    uint64_t steps;
};

static inline void encoding_put(struct encoding *e, int32_t id)
{
    if (e->n < e->capacity) e->ids[e->n] = id;
    e->n++;
}

#define BPE_SHORT 64 /* bytes; up to here scanning is faster */

/* Appends the ids of the n >= 1 bytes by merging alone (no table of words is used). Only memory can fail,
 * and only for a piece longer than BPE_SHORT. */
gpt2q_status bpe_encode(const struct tokenizer *t, const uint8_t *piece, size_t n, struct encoding *e,
                        gpt2q_error *err);
#endif
