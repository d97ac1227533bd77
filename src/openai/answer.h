/* Answers of /v1/completions: a choice per sample, the legacy log-probabilities, usage, and the object
 * around them. Sources: OpenAI's "The completion object"; vLLM for seed, stop_reason and ids. All is
 * written into a json_writer, which also knows whether memory was out. */
#ifndef OPENAI_ANSWER_H
#define OPENAI_ANSWER_H
#include "base/json_writer.h"
#include "openai/request.h"

/* Writes {"text", "index", "logprobs", "finish_reason", "stop_reason", "seed"} for sample `sample` of the
 * prompt with this number. The result must have ended: stop or length. With echo the text begins with the
 * prompt. */
void openai_choice_write(struct json_writer *w, const gpt2q_model *model, const struct openai_request *r,
                         size_t prompt, int32_t sample, const gpt2q_result *result);

struct openai_usage {
    /* each prompt counts once, every token that was made counts */
    uint64_t prompt_tokens, completion_tokens;
};

/* What surrounds the choices. */
struct openai_head {
    const char *id, *model; /* zero-terminated, any bytes */
    int64_t created;        /* Unix seconds */
};
/* Writes {"id", "object", "created", "model", "choices", "usage"}. Choices are texts that
 * openai_choice_write made. */
void openai_completion_write(struct json_writer *w, const struct openai_head *head, char *const *choices,
                             size_t n, const struct openai_usage *usage);

/* The completion as bytes, with its prompt before it if echo asks for that. For mem_free; NULL when memory
 * is out. `prompt` is the text that was given, or the text of the result's ids. */
char *completion_text(const gpt2q_model *model, const struct prompt *prompt, bool echo,
                      const gpt2q_result *result, size_t *n);
const char *finish_name(gpt2q_finish finish);
#endif
