/* The answer to a line of a batch file, collected from the samples of its prompts and written as one line of
 * JSON: gpt2q's own shape, or that of OpenAI's batch API (src/openai writes its body). Its bytes depend on the request alone. */
#ifndef APP_BATCH_ANSWER_H
#define APP_BATCH_ANSWER_H
#include "app/batch/input.h"
#include "openai/answer.h"

struct batch_answer {
    const gpt2q_model *model;
    const struct batch_line *line;
    struct openai_choice
        *choices; /* (n_prompts * n_samples): fields, in gpt2q's own shape, too; NULL: not ended */
    size_t n_choices, n_ended;
    bool out_of_memory; /* a choice could not be kept */
    uint64_t prompt_tokens, completion_tokens;
    gpt2q_error error; /* the first; status OK: none */
};

gpt2q_status batch_answer_begin(struct batch_answer *a, const gpt2q_model *model,
                                const struct batch_line *line, gpt2q_error *err);
/* A line that is refused, or a sample that failed: the answer is the error. */
void batch_answer_refuse(struct batch_answer *a, const gpt2q_error *err);
void batch_answer_add(struct batch_answer *a, size_t prompt, int32_t sample, const gpt2q_result *result);
/* The line without its end, for mem_free. Memory that is out is the run's error, not an answer. */
gpt2q_status batch_answer_print(struct batch_answer *a, char **text, gpt2q_error *err);
void batch_answer_free(struct batch_answer *a);
#endif
