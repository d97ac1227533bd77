/* Merges: from their spelling, "\u0120 the", to ranks and ids. */
#ifndef TOKENIZER_MERGES_H
#define TOKENIZER_MERGES_H
#include "tokenizer/vocabulary.h"

/* Decodes a token's name (n bytes of UTF-8) from the byte alphabet to at most `capacity` bytes; *length
 * counts all. Returns false, with the code point in *foreign, if a character is not in the alphabet. */
bool alphabet_decode(const char *name, size_t n, uint8_t *bytes, size_t capacity, size_t *length,
                     uint32_t *foreign);

/* Spells n bytes in it, out (2 n); returns how many bytes of UTF-8 that takes. */
size_t alphabet_spell(const char *bytes, size_t n, char *out);

/* The slots of the pairs by rank, (n_ranks), for mem_free: EMPTY_PAIR where a pair has a later rank, too. *count: pairs. NULL when
 * memory is out. */
uint64_t *pair_table_by_rank(const struct pair_table *pairs, uint32_t *count);

struct merge_reader {
    struct tokenizer *t;
    const char *file, *unit; /* "merges.txt", "line": a message says where */
    size_t number;           /* number of the next line or entry */
    uint32_t rank;           /* rank of the next merge */
    uint8_t *bytes;          /* a merge's result; room for the longest token */
    size_t capacity;
};

/* Makes room for at most `count` merges. */
gpt2q_status merge_reader_create(struct merge_reader *r, size_t count, gpt2q_error *err);
void merge_reader_free(struct merge_reader *r);
/* Adds the next merge, given as two names or as one string with a space between them. */
gpt2q_status merge_reader_pair(struct merge_reader *r, const char *left, size_t n_left, const char *right,
                               size_t n_right, gpt2q_error *err);
gpt2q_status merge_reader_line(struct merge_reader *r, const char *line, size_t n, gpt2q_error *err);
/* Reads all of merges.txt. */
gpt2q_status merges_read_text(struct merge_reader *r, const char *text, size_t n, gpt2q_error *err);
#endif
