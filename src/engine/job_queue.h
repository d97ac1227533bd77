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
    uint64_t last_id;
};

gpt2q_status job_queue_create(struct job_queue *q, int32_t capacity, int32_t n_rows, gpt2q_error *err);
/* Frees the jobs that wait and have no row. */
void job_queue_free(struct job_queue *q);

/* Any thread. */
bool job_queue_push(struct job_queue *q, struct job *job, uint64_t *id); /* false: full */
bool job_queue_cancel(struct job_queue *q, uint64_t id);                 /* false: neither waits nor runs */

/* The stepping thread. */
struct job *job_queue_front(struct job_queue *q); /* NULL: none waits */
void job_queue_pop(struct job_queue *q);
struct job *job_queue_take_cancelled(struct job_queue *q); /* out of the queue, from any place; NULL: none */
bool job_queue_is_cancelled(struct job_queue *q, const struct job *job);
void job_queue_set_running(struct job_queue *q, int32_t row, struct job *job);
#endif
