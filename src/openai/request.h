/* The body of a request to /v1/completions as a gpt2q_request. It is read strictly: a field that is
 * unknown, unsupported, of the wrong type or out of range is refused by name, because a field passed over
 * in silence would change an answer without a word. Fields that this engine cannot serve are accepted if
 * they ask for nothing. Nothing is printed and nothing is read from files: a tree becomes a struct.
 *
 * Source: OpenAI's "Create completion", with vLLM's further fields. */
#ifndef OPENAI_REQUEST_H
#define OPENAI_REQUEST_H
#include "openai/fields.h"

#define REQUEST_STOPS_MAX   64 /* texts that a request has room for */
#define OPENAI_STOPS_MAX    32 /* the API takes at most so many */
#define OPENAI_LOGPROBS_MAX 20

/* Settings of whoever takes requests. */
struct openai_rules {
    struct prompt_rules prompts;
    uint64_t seed;     /* where a request names none */
    int32_t speculate; /* where a request says nothing; changes no answer */
    bool streams;      /* "stream": true is possible */
};

struct openai_request {
    char *model;           /* owned; NULL: none was named */
    gpt2q_request request; /* without prompt and callbacks; stop points to `stops` */
    struct prompt *prompts;
    size_t n_prompts; /* at least 1 */
    char *stops[REQUEST_STOPS_MAX];
    bool has_seed; /* the request named one */
    bool stream, include_usage, continuous_usage, timings;
    bool return_token_ids, return_tokens_as_token_ids;
};

/* `body` may be freed afterwards. *out must always be freed, after failure too. */
gpt2q_status openai_request_read(const cJSON *body, const struct openai_rules *rules,
                                 struct openai_request *out, struct openai_error *err);
void openai_request_free(struct openai_request *r);
#endif
