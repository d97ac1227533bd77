/* What the program may know of a scheduler beyond the public header: what each step did, and an order of passes for a server. */
#ifndef ENGINE_SCHEDULER_H
#define ENGINE_SCHEDULER_H
#include "gpt2q.h"

struct scheduler_step {
    uint64_t step;                                  /* from 0 */
    const uint64_t *prefilled, *decoded, *finished; /* requests, once per row */
    int32_t n_prefilled, n_decoded, n_finished;
    int32_t rows, columns;     /* of the batch after its pass, before finished rows are filtered */
    int64_t padding;           /* padding columns, all rows together */
    int32_t truncated_columns; /* dropped by left_truncate after the filter */
};
/* Called at the end of each step that made a pass, on the thread that steps; what step points to is valid
 * during the call. */
typedef void scheduler_step_fn(void *user, const struct scheduler_step *step);
void scheduler_on_step(gpt2q_scheduler *s, scheduler_step_fn *fn, void *user);

/* From now on prompts have passes of their own, before the next token of the rows that decode. First tokens come
 * sooner. A few rows of a large model are a little slower in all, for the weights are read once more. The more rows
 * decode the fewer tokens of prompts come between two of their tokens: n_chunk less 5/2 a row, but at least a
 * quarter. A pass counts an eighth at least. A few short prompts have a pass each. The answers are the same. It
 * changes nothing for a padded cache. */
void scheduler_prompts_first(gpt2q_scheduler *s);
#endif
