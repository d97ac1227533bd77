/* Fields of a JSON object, read strictly: null is absent, a wrong type or value is an error that names the field, what it was and
 * what was expected. Texts are copied, so that the tree can be freed at once: it may be thirty times as large as its text. */
#ifndef OPENAI_FIELDS_H
#define OPENAI_FIELDS_H
#include "base/json.h"
#include "openai/error.h"

#define FIELD_ANY INT64_MAX

struct fields {
    const cJSON *object;
    struct openai_error *err;
};

/* The field, or NULL where it is absent or null. */
const cJSON *field_find(const struct fields *f, const char *key);
/* Refuses keys that are not among the n known ones, with the nearest of them. */
gpt2q_status field_check_names(const struct fields *f, const char *const *known, size_t n);

/* Each leaves *out alone where the field is absent. Integers beyond int32 become INT32_MAX, as no limit has more. */
gpt2q_status field_integer(const struct fields *f, const char *key, int64_t min, int64_t max, int32_t *out);
gpt2q_status field_real(const struct fields *f, const char *key, double min, double max, double *out);
gpt2q_status field_float(const struct fields *f, const char *key, double min, double max, float *out);
gpt2q_status field_bool(const struct fields *f, const char *key, bool *out);
/* A seed: an integer, modulo 2^64. */
gpt2q_status field_seed(const struct fields *f, const char *key, int64_t min, uint64_t *out);
/* A copy for mem_free. */
gpt2q_status field_text(const struct fields *f, const char *key, char **out);
/* A text or an array of texts that are not empty: at most `most`, into copies[], for mem_free after failure too. *present: it was
 * there, if only as an empty array. */
gpt2q_status field_texts(const struct fields *f, const char *key, size_t most, char **copies, size_t *n,
                         bool *present);

/* "prompt": text or ids; or, with `many`, an array of those. */
struct prompt {
    char *text;   /* owned, zero-terminated; NULL: ids were given */
    size_t n;     /* bytes of the text */
    int32_t *ids; /* owned; NULL: text was given */
    size_t n_ids;
};
struct prompt_rules {
    bool many;          /* [text, ..] and [[id, ..], ..] are prompts, too; then [] is an error */
    size_t most;        /* prompts */
    int32_t vocab_size; /* ids are below; 0: not checked here */
};
/* *prompts (*n) for prompts_free, after failure too; none where the field is absent. */
gpt2q_status field_prompts(const struct fields *f, const char *key, const struct prompt_rules *rules,
                           struct prompt **prompts, size_t *n);
void prompts_free(struct prompt *prompts, size_t n);
#endif
