/* GPT-2's byte-level BPE: any bytes to ids and the same bytes back.
 *
 * pretokenizer.c splits text into pieces by GPT-2's pattern (utf8proc gives the classes), bpe.c merges the bytes of a piece,
 * vocabulary.c reads vocab.json + merges.txt or tokenizer.json, stream.c releases whole code points only. A tokenizer is
 * immutable after opening and may be shared by threads. */
#ifndef TOKENIZER_TOKENIZER_H
#define TOKENIZER_TOKENIZER_H
#include "base/status.h"

struct tokenizer;

/* From a directory that holds vocab.json and merges.txt, or tokenizer.json. */
gpt2q_status tokenizer_open(const char *directory, struct tokenizer **out, gpt2q_error *err);
/* From the texts of vocab.json and merges.txt in memory, or of tokenizer.json where merges is NULL (names for messages); nothing
 * is kept of them. */
gpt2q_status tokenizer_from_memory(const char *vocab, size_t vocab_size, const char *vocab_name, const char *merges,
                                   size_t merges_size, const char *merges_name, struct tokenizer **out, gpt2q_error *err);
void tokenizer_free(struct tokenizer *t);

/* Number of ids, 1 + the largest. Ids without a token (gaps) have no bytes. */
int32_t tokenizer_size(const struct tokenizer *t);
/* Id of <|endoftext|>, -1 if the vocabulary has none. */
int32_t tokenizer_end_of_text(const struct tokenizer *t);
/* The bytes of a token, NULL outside; not terminated. */
const char *tokenizer_bytes(const struct tokenizer *t, int32_t id, size_t *len);
/* The token's name as vocab.json spells it ("\u0120the"), zero-terminated UTF-8; NULL outside. */
const char *tokenizer_name(const struct tokenizer *t, int32_t id);

/* Encodes bytes; at most len ids come out. `special`: <|endoftext|> in the text is one token. Writes the first `capacity` ids and
 * returns all there are through *n. Only GPT2Q_OUT_OF_MEMORY can go wrong. */
gpt2q_status tokenizer_encode(const struct tokenizer *t, const char *text, size_t len, bool special, int32_t *ids,
                              size_t capacity, size_t *n, gpt2q_error *err);

/* The stream decoder: bytes of tokens in, whole code points out. It holds back at most 3 bytes: the beginning of a code point
 * that may still be completed. Bytes that can never become one come out as they are, at once. */
struct stream_decoder {
    unsigned char held[4];
    int n_held;
};
/* Appends to out (room for n + 3 bytes) and returns how many bytes came out. */
size_t stream_decode(struct stream_decoder *d, const char *bytes, size_t n, char *out);
/* What is still held, at the end. */
size_t stream_flush(struct stream_decoder *d, char *out);
#endif
