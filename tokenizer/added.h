/* What a tokenizer does around byte pair encoding: it finds tokens in a text before splitting it ("added
 * tokens"), puts a space before it, and ids before and after. One JSON text says all this, the extras.
 * tokenizer/directory.h makes it from a directory's files, and a .gpt2q file holds it:
 *
 *     {"added_tokens": [{"id": 266, "content": "<user>", "special": false, "lstrip": false, "rstrip": false,
 *                        "single_word": false, "normalized": true}, ...],
 *      "add_prefix_space": false, "before": [265], "after": []}
 *
 * Tokens are found as the tokenizers library finds them (added_vocabulary.rs). Tokens that are not
 * normalized come first and are searched in all of the text; the others are searched in the rest. Of the
 * matches at the leftmost place the longest counts. A special token is passed over, with the text it
 * covers, unless specials are parsed. single_word: it counts only between characters that are not part of
 * a word. lstrip, rstrip: white space beside it belongs to it. */
#ifndef TOKENIZER_ADDED_H
#define TOKENIZER_ADDED_H
#include "base/status.h"
#include <stddef.h>

#define ADDED_MAX       16384 /* tokens */
#define ADDED_MAX_BYTES 1024  /* of one token */
#define AROUND_MAX      32    /* ids before, and ids after */

struct cJSON;
struct added_flags {
    bool special, lstrip, rstrip, single_word, normalized;
};
struct added_token {
    const char *content; /* zero-terminated */
    size_t n;            /* bytes */
    int32_t id;
    struct added_flags flags;
};

struct extras {
    struct added_token *tokens; /* sorted: not normalized first, then by bytes */
    size_t n, n_first;          /* n_first: those that are not normalized */
    uint32_t begins[2][257];    /* by group and first byte: where its tokens begin */
    char *text;                 /* the contents */
    bool add_prefix_space;
    int32_t before[AROUND_MAX], after[AROUND_MAX];
    int n_before, n_after;
};

/* Reads the flags in a token's object. Flags that are not there stay as they are. *normalized: that flag
 * is there. */
gpt2q_status added_flags_read(const struct cJSON *item, const char *name, struct added_flags *flags,
                              bool *normalized, gpt2q_error *err);
/* *out is all zero on failure. `name` is for messages. */
gpt2q_status extras_parse(const char *json, size_t size, const char *name, struct extras *out,
                          gpt2q_error *err);
/* The extras of a vocabulary without others: <|endoftext|> is special. id -1: there is no such token. */
gpt2q_status extras_plain(int32_t end_of_text, struct extras *out, gpt2q_error *err);
void extras_free(struct extras *extras);

/* A part of a text: bytes without a token, or a token (then there are no bytes). */
struct text_part {
    const char *text;
    size_t n;
    int32_t id; /* -1: text */
};
/* Gives the parts of a text one after another. */
gpt2q_status extras_split(const struct extras *extras, const char *text, size_t n, bool special,
                          gpt2q_status (*take)(void *user, struct text_part part, gpt2q_error *err),
                          void *user, gpt2q_error *err);
#endif
