/* Answers of /v1/completions: a choice per sample, the legacy log-probabilities, usage, and the object around them (OpenAI's
 * "The completion object"; seed, stop_reason, ids and prompt_logprobs as in vLLM). Values are written into a json_writer,
 * which also says whether memory was out. */
#ifndef OPENAI_ANSWER_H
#define OPENAI_ANSWER_H
#include "base/json_writer.h"
#include "openai/request.h"

/* A sample that ended. */
struct openai_choice {
    char *fields;        /* all but its index, `"text":..,"logprobs":..`, for mem_free; NULL: not there */
    double mean_logprob; /* of its tokens, where best_of wants it */
};

/* The fields of sample `sample` of the prompt with this number: text, logprobs, finish_reason, stop_reason, seed and what else was
 * asked for. The result must be one that ended: stop or length. Texts of echo begin with the prompt. False: memory was out. */
bool openai_choice_make(struct openai_choice *choice, const gpt2q_model *model,
                        const struct openai_request *r, size_t prompt, int32_t sample,
                        const gpt2q_result *result);

struct openai_usage {
    uint64_t prompt_tokens, completion_tokens; /* each prompt once; every token made */
    uint64_t cached_tokens;                    /* of prompts, not computed again */
    bool has_cached;                           /* say so: it depends on what ran before */
};
struct openai_timings {
    double queue_ms, prefill_ms, decode_ms;
    uint64_t prompt_n, cached_n, predicted_n, steps, proposed_n, accepted_n;
};

/* What surrounds the choices. */
struct openai_head {
    const char *id, *model;  /* zero-terminated, any bytes */
    int64_t created;         /* Unix seconds */
    const char *fingerprint; /* NULL: not said */
};
/* {"id", "object", "created", "model", "choices", "usage"} with the object named so; n_prompts times n_samples choices. Of each prompt the n best are
 * answered. timings NULL: not asked for. */
void openai_completion_write(struct json_writer *w, const struct openai_head *head, const char *object,
                             const struct openai_request *r, const struct openai_choice *choices,
                             const struct openai_usage *usage, const struct openai_timings *timings);
/* "id":..,"object":..,"created":..,"model":.. with `object` as it is named. */
void openai_head_write(struct json_writer *w, const struct openai_head *head, const char *object);
/* "usage":{..} and "timings":{..} */
void openai_usage_write(struct json_writer *w, const struct openai_usage *usage);
void openai_timings_write(struct json_writer *w, const struct openai_timings *timings);

/* "finish_reason":..,"stop_reason":..,"seed":.. */
void openai_finish_write(struct json_writer *w, const struct openai_request *r, int32_t sample,
                         const gpt2q_result *result);
/* The value of "logprobs": null, or four arrays of one length. *offset: characters before the first position, then behind the
 * last one. */
void openai_logprobs_write(struct json_writer *w, const gpt2q_model *model, const struct openai_request *r,
                           const gpt2q_position *positions, size_t n, size_t *offset);
/* The same with `"content":[{"token", "logprob", "bytes", "top_logprobs"}]`, as chats have it. */
void openai_chat_logprobs_write(struct json_writer *w, const gpt2q_model *model,
                                const struct openai_request *r, const gpt2q_position *positions, size_t n);
void openai_ids_write(struct json_writer *w, const char *key, const int32_t *ids, size_t n);

/* The completion as bytes, with its prompt before it if echo asks for that. For mem_free; NULL when memory
 * is out. `prompt` is the text that was given, or the text of the result's ids. */
char *completion_text(const gpt2q_model *model, const struct prompt *prompt, bool echo,
                      const gpt2q_result *result, size_t *n);
/* Bytes of the ids, one after another, into `to` unless it is NULL; returns how many. */
size_t bytes_of_ids(const gpt2q_model *model, const int32_t *ids, size_t n_ids, char *to);
const char *finish_name(gpt2q_finish finish);
#endif
