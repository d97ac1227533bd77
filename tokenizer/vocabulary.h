/* The tables of a tokenizer, and where they come from. */
#ifndef TOKENIZER_VOCABULARY_H
#define TOKENIZER_VOCABULARY_H
#include "base/status.h"
#include "tokenizer/tables.h"

/* GPT-2's larger file has 1 MB; what is far beyond any vocabulary is none. Offsets fit into 32 bits thanks to
 * this. */
#define VOCABULARY_MAX_BYTES ((size_t)64 << 20)

#define END_OF_TEXT "<|endoftext|>"

struct tokenizer {
    int32_t size;        /* 1 + the largest id */
    int32_t end_of_text; /* NO_TOKEN if there is none */
    char *names;         /* zero-terminated, one after another */
    uint32_t *name_at;   /* (size); meaningless for a gap */
    struct token_bytes bytes;
    int32_t byte_id[256];
    struct pair_table pairs;
    int32_t *merged; /* by rank: the id that a pair becomes */
    struct byte_table
        words; /* the tokens that their own bytes encode to: for a piece among them merging can be left out */
    size_t longest_word; /* bytes */
};

/* Fills *t, all zero before, from the texts as tokenizer_from_memory takes them; t->words is left empty. On
 * failure *t holds what tokenizer_free has to free. */
gpt2q_status vocabulary_read(struct tokenizer *t, const char *vocab, size_t vocab_size,
                             const char *vocab_name, const char *merges, size_t merges_size,
                             const char *merges_name, gpt2q_error *err);
#endif
