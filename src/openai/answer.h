/* Answers of /v1/completions: a choice per sample, the legacy log-probabilities, usage, and the object around them (OpenAI's
 * "The completion object"; seed, stop_reason and ids as in vLLM). Values are written into a json_writer; what memory could not
 * hold shows there. */
#ifndef OPENAI_ANSWER_H
#define OPENAI_ANSWER_H
#include "base/json_writer.h"
#include "openai/request.h"

/* {"text", "index", "logprobs", "finish_reason", "stop_reason", "seed"} of sample `sample` of the prompt with this number. The
 * result must be one that ended: stop or length. Texts of echo begin with the prompt. */
void openai_choice_write(struct json_writer *w, const gpt2q_model *model, const struct openai_request *r,
                         size_t prompt, int32_t sample, const gpt2q_result *result);

struct openai_usage {
    uint64_t prompt_tokens, completion_tokens; /* each prompt once; every token made */
};

/* What stands around the choices. */
struct openai_head {
    const char *id, *model; /* zero-terminated, any bytes */
    int64_t created;        /* Unix seconds */
};
/* {"id", "object", "created", "model", "choices", "usage"}; choices are texts as openai_choice_write makes them. */
void openai_completion_write(struct json_writer *w, const struct openai_head *head, char *const *choices,
                             size_t n, const struct openai_usage *usage);

/* The completion behind its prompt where echo asks for that, as any bytes, for mem_free; NULL where memory was out. `prompt` as it
 * was given, or the text of the result's ids. */
char *completion_text(const gpt2q_model *model, const struct prompt *prompt, bool echo,
                      const gpt2q_result *result, size_t *n);
const char *finish_name(gpt2q_finish finish);
#endif
