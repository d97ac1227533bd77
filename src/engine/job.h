/* A request as the scheduler keeps it: a checked copy that owns all it needs, shared by its samples. */
#ifndef ENGINE_JOB_H
#define ENGINE_JOB_H
#include "engine/internal.h"
#include "engine/sampler.h"

struct job {
    uint64_t id;
    gpt2q_request request;     /* its pointers point into this job; prompt is not kept */
    int32_t *prompt;           /* after truncation */
    int32_t n_prompt, max_new; /* max_new: completion tokens at most, as the context allows */
    const char **stop;
    size_t *stop_len, longest_stop;
    struct sampling_rules rules; /* its pointers point into this job */
    int32_t *ends;               /* what may end a sample: stop_ids first, then what ends a text */
    int32_t n_started, n_ended;  /* samples */
    bool cancelled;
    double submitted_at;
};

/* Checks and copies a request for contexts of n_ctx positions. A request that can never run is refused with a
 * sentence. */
gpt2q_status job_create(const gpt2q_model *model, int32_t n_ctx, const gpt2q_request *request,
                        struct job **out, gpt2q_error *err);
void job_free(struct job *job);
/* Ends the samples that have not started, as cancelled. */
void job_cancel_rest(struct job *job);
/* Passes' worth of tokens that the samples which have not started will take, at most. */
static inline int64_t job_tokens_left(const struct job *job)
{
    return (int64_t)(job->request.n_samples - job->n_started) * ((int64_t)job->n_prompt + job->max_new);
}
/* Every prompt position's logits are wanted, not the last one's only. */
static inline bool job_scores_prompt(const struct job *job)
{
    return job->request.n_logprobs >= 0 && job->request.echo;
}
#endif
