/* Reads fields of a JSON object strictly. null counts as absent. A wrong type or value is an error that
 * names the field, what was found and what was expected. Texts are copied, so that the tree can be freed
 * at once: it may be thirty times as large as its text. */
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
/* Refuses keys that are not among the n known ones and names the nearest known one. */
gpt2q_status field_check_names(const struct fields *f, const char *const *known, size_t n);

/* Each leaves *out as it is if the field is absent. Integers beyond int32 become INT32_MAX: no limit is
 * larger. */
gpt2q_status field_integer(const struct fields *f, const char *key, int64_t min, int64_t max, int32_t *out);
gpt2q_status field_real(const struct fields *f, const char *key, double min, double max, double *out);
gpt2q_status field_float(const struct fields *f, const char *key, double min, double max, float *out);
gpt2q_status field_bool(const struct fields *f, const char *key, bool *out);
/* A seed: an integer, modulo 2^64. */
gpt2q_status field_seed(const struct fields *f, const char *key, int64_t min, uint64_t *out);
/* A copy for mem_free. */
gpt2q_status field_text(const struct fields *f, const char *key, char **out);
/* Reads a text, or an array of at most `most` texts that are not empty, into copies[], for mem_free, after
 * failure too. *present: the field is there, if only as an empty array. */
gpt2q_status field_texts(const struct fields *f, const char *key, size_t most, char **copies, size_t *n,
                         bool *present);

/* An array of at most `most` ids below vocab_size (0: not checked here), for mem_free after failure too. */
gpt2q_status field_ids(const struct fields *f, const char *key, size_t most, int32_t vocab_size,
                       int32_t **ids, size_t *n);
/* {"50256": -100, ..}: at most `most` pairs, biases from -100 to 100, for mem_free after failure too. */
gpt2q_status field_bias(const struct fields *f, const char *key, size_t most, int32_t vocab_size,
                        gpt2q_logit_bias **pairs, size_t *n);

/* Reads "prompt": text or ids; or, with `many`, an array of those. */
struct prompt {
    char *text;   /* owned, zero-terminated; NULL: ids were given */
    size_t n;     /* bytes of the text */
    int32_t *ids; /* owned; NULL: text was given */
    size_t n_ids;
};
struct prompt_rules {
    bool many;          /* [text, ..] and [[id, ..], ..] are prompts, too; [] is an error then */
    size_t most;        /* prompts */
    int32_t vocab_size; /* ids must be below it; 0: not checked here */
};
/* *prompts (*n) is for prompts_free, after failure too. An absent field gives none. */
gpt2q_status field_prompts(const struct fields *f, const char *key, const struct prompt_rules *rules,
                           struct prompt **prompts, size_t *n);
void prompt_clear(struct prompt *prompt);
void prompts_free(struct prompt *prompts, size_t n);
#endif
