/* The requests that wait, in order of arrival, and the record of those that run: the part of the scheduler
 * that other threads may call. It owns the lock; everything else in the scheduler belongs to the thread that
 * steps. */
#ifndef ENGINE_JOB_QUEUE_H
#define ENGINE_JOB_QUEUE_H
#include "engine/job.h"
#include <pthread.h>

struct job_queue {
    pthread_mutex_t lock;
    struct job **waiting; /* ring */
    struct job **running; /* (n_rows): the job of each row, NULL: free */
    int32_t capacity, head, n_waiting, n_rows;
    int64_t capacity_tokens;              /* 0: no limit */
    int64_t waiting_tokens, waiting_left; /* prompts' tokens; tokens to be computed and made, at most */
    gpt2q_scheduler_load load;            /* as the last step left it */
    uint64_t last_id;
};

/* capacity_tokens 0: no limit. */
gpt2q_status job_queue_create(struct job_queue *q, int32_t capacity, int64_t capacity_tokens, int32_t n_rows,
                              gpt2q_error *err);
/* Frees the jobs that wait and have no row. */
void job_queue_free(struct job_queue *q);

/* Any thread. */
/* All of them, side by side, or none: false, for the queue has no room. ids may be NULL. Tokens beyond the limit have room where
 * nothing waits. */
bool job_queue_push(struct job_queue *q, struct job *const *jobs, size_t n, uint64_t *ids);
gpt2q_scheduler_load job_queue_load(struct job_queue *q);
bool job_queue_cancel(struct job_queue *q, uint64_t id); /* false: neither waits nor runs */

/* The stepping thread. */
void job_queue_publish(struct job_queue *q, const gpt2q_scheduler_load *load); /* what waits is filled in */
struct job *job_queue_front(struct job_queue *q);                              /* NULL: none waits */
void job_queue_pop(struct job_queue *q);
struct job *job_queue_take_cancelled(struct job_queue *q); /* out of the queue, from any place; NULL: none */
bool job_queue_is_cancelled(struct job_queue *q, const struct job *job);
void job_queue_set_running(struct job_queue *q, int32_t row, struct job *job);
#endif
