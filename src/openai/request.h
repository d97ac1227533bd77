/* The body of a request to /v1/completions as a gpt2q_request. Strict: what is unknown, unsupported, of the wrong type or out of
 * range is refused by name, for a field that is passed over in silence changes an answer without a word. Fields that this engine
 * cannot do are taken where they ask for nothing. Prints nothing, reads nothing: who has a tree gets a struct.
 *
 * What the API says: OpenAI's "Create completion", with vLLM's further fields. */
#ifndef OPENAI_REQUEST_H
#define OPENAI_REQUEST_H
#include "openai/fields.h"

#define REQUEST_STOPS_MAX   64 /* texts that a request has room for */
#define OPENAI_STOPS_MAX    32 /* of them the API takes so many */
#define OPENAI_LOGPROBS_MAX 20

/* What differs between those who take requests. */
struct openai_rules {
    struct prompt_rules prompts;
    uint64_t seed;     /* of a request that names none */
    int32_t speculate; /* of a request that says nothing; changes no answer */
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

/* `body` may be freed afterwards. *out is always to be freed, after failure too. */
gpt2q_status openai_request_read(const cJSON *body, const struct openai_rules *rules,
                                 struct openai_request *out, struct openai_error *err);
void openai_request_free(struct openai_request *r);
#endif
