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
#define OPENAI_STOP_MAX     256 /* bytes of a stop string */
#define OPENAI_STOP_IDS_MAX 32
#define OPENAI_BIAS_MAX     1024

/* Settings of whoever takes requests. */
struct openai_rules {
    struct prompt_rules prompts;
    uint64_t seed;              /* of a request that names none */
    int32_t speculate;          /* of a request that says nothing; changes no answer */
    bool streams;               /* "stream": true is possible */
    bool ignore_unknown;        /* unknown fields pass */
    int32_t max_tokens;         /* of a sample at most; 0: no limit */
    int32_t most_choices;       /* prompts times samples; 0: no limit */
    int64_t most_tokens;        /* asked for, all samples together; 0: no limit */
    int32_t default_max_tokens; /* of a chat that says nothing; 0: 16 */
    double max_temperature;     /* 0: the API's 2 */
};

struct openai_request {
    char *model; /* owned; NULL: none was named */
    gpt2q_request
        request; /* without prompt and callbacks; its pointers point into this. n_samples is best_of; its positions
                            * cover what any of the fields below wants */
    int32_t n;                         /* choices of a prompt that are answered: the best of n_samples */
    int32_t logprobs, prompt_logprobs; /* as asked; -1: none */
    bool echo;                         /* as asked */
    struct prompt *prompts;
    size_t n_prompts; /* at least 1 */
    char *stops[REQUEST_STOPS_MAX];
    int32_t *stop_ids, *allowed; /* owned, as the next */
    gpt2q_logit_bias *bias;
    bool has_seed; /* the request named one */
    bool stream, include_usage, continuous_usage, timings;
    bool return_token_ids, return_tokens_as_token_ids;
};

/* `body` may be freed afterwards. *out must always be freed, after failure too. */
gpt2q_status openai_request_read(const cJSON *body, const struct openai_rules *rules,
                                 struct openai_request *out, struct openai_error *err);
/* request's n_logprobs, echo and ranks by what the fields want; for who fills the struct in another way. */
void openai_request_settle(struct openai_request *r);
void openai_request_free(struct openai_request *r);
#endif
