/* GPT-2's byte-level BPE: any bytes to ids, and the same bytes back.
 *
 * pretokenizer.c splits text into pieces by GPT-2's pattern (utf8proc gives the classes). bpe.c merges the
 * bytes of a piece. vocabulary.c reads vocab.json + merges.txt or tokenizer.json. added.c finds added
 * tokens. directory.c puts together what the files of a directory say. stream.c releases whole code points
 * only. A tokenizer is immutable after opening, and threads may share it. */
#ifndef TOKENIZER_TOKENIZER_H
#define TOKENIZER_TOKENIZER_H
#include "base/status.h"

struct tokenizer;

/* Opens a directory that holds tokenizer.json, or vocab.json and merges.txt, and possibly more
 * (directory.h). */
gpt2q_status tokenizer_open(const char *directory, struct tokenizer **out, gpt2q_error *err);
/* Makes one from the texts of vocab.json and merges.txt in memory, or of tokenizer.json (merges is NULL).
 * Names are for messages; nothing of the texts is kept. <|endoftext|> is special; other added tokens are
 * not looked for. */
gpt2q_status tokenizer_from_memory(const char *vocab, size_t vocab_size, const char *vocab_name,
                                   const char *merges, size_t merges_size, const char *merges_name,
                                   struct tokenizer **out, gpt2q_error *err);
/* The texts that make a tokenizer, and their sources, for messages. */
struct tokenizer_text {
    const char *text; /* NULL: there is none */
    size_t size;
    const char *name;
};
struct tokenizer_texts {
    struct tokenizer_text vocab, merges, extras; /* merges: none beside a tokenizer.json. extras: added.h */
};
gpt2q_status tokenizer_from_texts(const struct tokenizer_texts *texts, struct tokenizer **out,
                                  gpt2q_error *err);
/* A vocabulary as lists of names in the byte alphabet, for a file that has no text of it. They are UTF-8 without zero bytes, need
 * no zero at the end, and nothing of them is kept. Ids increase. Two tokens with the same name are refused, unless extras have
 * another one with the first's id. */
struct tokenizer_name {
    const char *text;
    size_t n;
    int32_t id; /* of a token */
};
#define TOKENIZER_MAX_NAMES ((size_t)1 << 20) /* tokens, or merges: more are refused */
struct tokenizer_names {
    const struct tokenizer_name *tokens, *merges; /* merges: "left right" */
    size_t n_tokens, n_merges;
    const char *tokens_name, *merges_name; /* for messages */
    struct tokenizer_text extras;
};
gpt2q_status tokenizer_from_names(const struct tokenizer_names *names, struct tokenizer **out,
                                  gpt2q_error *err);
void tokenizer_free(struct tokenizer *t);

/* A tokenizer's arrays, as a file holds them. ARCHITECTURE.md ("The .gpt2q file") describes their
 * contents. */
enum {
    TOKENIZER_BYTES,   /* uint8_t: the tokens' bytes, one token after another */
    TOKENIZER_AT,      /* uint32_t: by id, where they begin; and the end of the last */
    TOKENIZER_LONGEST, /* uint32_t: one number, the bytes of the longest token */
    TOKENIZER_TOKENS,  /* uint32_t: hash table of bytes to ids */
    TOKENIZER_PAIRS,   /* uint64_t: hash table of pairs of ids to ranks */
    TOKENIZER_MERGED,  /* uint32_t: by rank, the id that the pair becomes */
    TOKENIZER_TABLES
};
struct tokenizer_table {
    const void *data;
    size_t n; /* elements */
};
/* Marks all words, as stored tables have them. Without it a word is marked when a text first has it. Only memory can fail. */
gpt2q_status tokenizer_find_words(struct tokenizer *t, gpt2q_error *err);
void tokenizer_tables(const struct tokenizer *t, struct tokenizer_table tables[TOKENIZER_TABLES]);
/* Whether look-ups in tables that were read from a file find what is there (TABLE_PROBES, tables.h): false where
 * tokens were chosen to collide. */
bool tokenizer_tables_fit(const struct tokenizer *t);
/* Makes a tokenizer over such arrays. They are aligned to their elements and outlive it; extras may be
 * NULL. Any bytes may be in them. If they are not what tokenizer_tables gave, text gets other ids, but
 * valid ones, and ids get other bytes or none. */
gpt2q_status tokenizer_from_tables(const struct tokenizer_table tables[TOKENIZER_TABLES],
                                   const struct tokenizer_text *extras, const char *name,
                                   struct tokenizer **out, gpt2q_error *err);

/* The number of ids: 1 + the largest. Ids without a token (gaps) have no bytes. */
int32_t tokenizer_size(const struct tokenizer *t);
/* The id of <|endoftext|>; -1 if the vocabulary has none. */
int32_t tokenizer_end_of_text(const struct tokenizer *t);
/* The bytes of a token, not terminated; NULL for an id outside. */
const char *tokenizer_bytes(const struct tokenizer *t, int32_t id, size_t *len);
/* Bytes of the longest token. */
size_t tokenizer_longest(const struct tokenizer *t);

/* The flags of tokenizer_encode. */
#define TOKENIZER_SPECIAL 1u /* special tokens in the text are tokens */
/* the text continues another one: no ids before or after, no space before it */
#define TOKENIZER_CONTINUE 2u

/* The most ids that a text of len bytes can have. Without added tokens, a space or ids around it this is
 * len. */
size_t tokenizer_max_ids(const struct tokenizer *t, size_t len);
/* Encodes bytes. Writes the first `capacity` ids; *n is the number of all. It refuses a text with a byte
 * that no token has. Otherwise only GPT2Q_OUT_OF_MEMORY is possible. */
gpt2q_status tokenizer_encode(const struct tokenizer *t, const char *text, size_t len, unsigned flags,
                              int32_t *ids, size_t capacity, size_t *n, gpt2q_error *err);

/* The stream decoder takes bytes of tokens and gives whole code points. It holds back at most 3 bytes: the
 * beginning of a code point that may still be completed. Bytes that can never become one come out at once,
 * as they are. */
struct stream_decoder {
    unsigned char held[4];
    int n_held;
};
/* Appends to out (room for n + 3 bytes) and returns how many bytes came out. */
size_t stream_decode(struct stream_decoder *d, const char *bytes, size_t n, char *out);
/* Gives what is still held, at the end. */
size_t stream_flush(struct stream_decoder *d, char *out);
#endif
