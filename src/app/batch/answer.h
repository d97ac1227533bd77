/* The answer to a line of a batch file. It is collected from the samples of the line's prompts and written
 * as one line of JSON: gpt2q's own shape, or that of OpenAI's batch API (src/openai writes its body). Its
 * bytes depend on the request alone. */
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
    bool out_of_memory; /* there was no memory for a choice */
    uint64_t prompt_tokens, completion_tokens;
    gpt2q_error error; /* the first error; status OK: none */
};

gpt2q_status batch_answer_begin(struct batch_answer *a, const gpt2q_model *model,
                                const struct batch_line *line, gpt2q_error *err);
/* Records that a line was refused or a sample failed: the answer is the error. */
void batch_answer_refuse(struct batch_answer *a, const gpt2q_error *err);
void batch_answer_add(struct batch_answer *a, size_t prompt, int32_t sample, const gpt2q_result *result);
/* The line without its line end, for mem_free. If memory is out, that is the run's error, not an answer. */
gpt2q_status batch_answer_print(struct batch_answer *a, char **text, gpt2q_error *err);
void batch_answer_free(struct batch_answer *a);
#endif
