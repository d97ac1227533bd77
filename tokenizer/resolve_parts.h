/* What the files of resolve.h share.
 *
 *     resolve.c           which class of tokenizer, adding the tokens, the text of the extras
 *     resolve_lists.c     the tokens that files list, and the named ones
 *     resolve_around.c    what goes around a text */
#ifndef TOKENIZER_RESOLVE_PARTS_H
#define TOKENIZER_RESOLVE_PARTS_H
#include "tokenizer/added.h"
#include "tokenizer/resolve.h"

struct listed_token {
    const char *content;
    int64_t stated; /* id that a file gives it; -1: none */
    const char *path;
    struct added_flags flags;
    bool string;  /* a file gives its name alone */
    bool hidden;  /* a later token took its id: it is not found any more */
    bool implied; /* named by a default or by a key of its own */
    int32_t id;   /* as added */
};

struct token_list {
    struct listed_token *items;
    size_t n, capacity;
};

struct vocabulary_name {
    const char *text;
    int32_t id;
};

struct resolver {
    const struct resolve_source *src;
    bool backend;                  /* PreTrainedTokenizerFast, not GPT2Tokenizer */
    struct vocabulary_name *names; /* of the vocabulary, sorted */
    size_t n_names;
    struct token_list decoder; /* added_tokens_decoder: by stated id */
    struct token_list named;   /* bos_token and so on, in the order of transformers */
    struct token_list added;   /* the result, in the order they were added */
    int32_t next;              /* id of the next new one */
    size_t n_map;              /* of the named: without the extra ones */
    const char *bos, *eos;
    int32_t before[AROUND_MAX], after[AROUND_MAX];
    int n_before, n_after;
    bool prefix;
};

/* The value of a key; NULL where there is none or it is null. */
const cJSON *resolve_get(const cJSON *object, const char *key);
gpt2q_status resolve_push(struct token_list *list, struct listed_token token, gpt2q_error *err);
/* The first token of that content; NULL: none. */
struct listed_token *resolve_find(const struct token_list *list, const char *content);
/* The id of a token that was added or is in the vocabulary; NO_TOKEN: it is neither. */
int32_t resolve_id(const struct resolver *r, const char *content);

/* Fills decoder and named. */
gpt2q_status resolve_read_lists(struct resolver *r, gpt2q_error *err);
/* Calls `take` with the tokens that tokenizer.json lists. */
typedef gpt2q_status take_token_fn(struct resolver *r, struct listed_token t, gpt2q_error *err);
gpt2q_status resolve_added_list(struct resolver *r, take_token_fn *take, gpt2q_error *err);
/* Fills before, after and prefix. */
gpt2q_status resolve_read_around(struct resolver *r, gpt2q_error *err);
#endif
