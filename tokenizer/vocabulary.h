/* The tables of a tokenizer, and where they come from. */
#ifndef TOKENIZER_VOCABULARY_H
#define TOKENIZER_VOCABULARY_H
#include "base/status.h"
#include "tokenizer/added.h"
#include "tokenizer/tables.h"
#include "tokenizer/tokenizer.h"

/* GPT-2's larger file has 1 MB. A file far beyond that is not a vocabulary. So offsets fit into 32 bits. */
#define VOCABULARY_MAX_BYTES ((size_t)64 << 20)

#define END_OF_TEXT "<|endoftext|>"

struct tokenizer {
    struct token_bytes bytes;
    /* Its words are the tokens that are the encoding of their own bytes: a piece that is a word needs no
     * merging. A word has its mark from the file, or from when it first occurred. */
    struct byte_table tokens;
    struct pair_table pairs;
    uint32_t *merged;     /* (pairs.n_ranks): the id that a pair becomes */
    bool mapped;          /* the arrays lie in a file and are only read */
    int32_t byte_id[256]; /* NO_TOKEN for a byte without a token, and for all bytes in `missing` */
    bool missing;         /* there is such a byte */
    int32_t some_byte;    /* a token of one byte, for damaged files */
    int32_t end_of_text;  /* NO_TOKEN if there is none */
    struct extras extras; /* its own memory */
};

/* Fills *t, which is all zero but for its extras, from the texts as tokenizer_from_memory takes them. No
 * token is a word yet. `extras`: the added tokens are t's, not those of a tokenizer.json. On failure
 * tokenizer_free must free *t. */
gpt2q_status vocabulary_read(struct tokenizer *t, const char *vocab, size_t vocab_size,
                             const char *vocab_name, const char *merges, size_t merges_size,
                             const char *merges_name, bool extras, gpt2q_error *err);

/* The same from lists of names. */
gpt2q_status vocabulary_read_names(struct tokenizer *t, const struct tokenizer_names *names, bool extras,
                                   gpt2q_error *err);

/* Looks up other tokens by their bytes: byte_id and end_of_text. At least one byte must have a token,
 * because merging begins there. `file` is for the message. */
gpt2q_status vocabulary_find_ends(struct tokenizer *t, const char *file, gpt2q_error *err);

/* The token that the merge of this rank makes. In a damaged file it may be the wrong token, but it is one. */
static inline int32_t merge_result(const struct tokenizer *t, uint32_t rank)
{
    uint32_t id = t->merged[rank];
    return id < (uint32_t)t->bytes.n ? (int32_t)id : t->some_byte;
}
#endif
