#include "engine/job_queue.h"
#include "base/memory.h"

gpt2q_status job_queue_create(struct job_queue *q, int32_t capacity, int32_t n_rows, gpt2q_error *err)
{
    *q = (struct job_queue){.capacity = capacity, .n_rows = n_rows};
    pthread_mutex_init(&q->lock, NULL);
    q->waiting = mem_zarray((size_t)capacity, sizeof *q->waiting);
    q->running = mem_zarray((size_t)n_rows, sizeof *q->running);
    if (q->waiting && q->running) return GPT2Q_OK;
    return error_memory(err, "a queue", ((size_t)capacity + (size_t)n_rows) * sizeof *q->waiting);
}

static struct job **slot(struct job_queue *q, int32_t i) { return &q->waiting[(q->head + i) % q->capacity]; }

void job_queue_free(struct job_queue *q)
{
    for (int32_t i = 0; i < q->n_waiting; i++) job_free(*slot(q, i));
    if (q->capacity) pthread_mutex_destroy(&q->lock);
    mem_free(q->waiting);
    mem_free(q->running);
    *q = (struct job_queue){0};
}

bool job_queue_push(struct job_queue *q, struct job *job, uint64_t *id)
{
    pthread_mutex_lock(&q->lock);
    bool room = q->n_waiting < q->capacity;
    if (room) {
        job->id = ++q->last_id;
        if (id) *id = job->id;
        *slot(q, q->n_waiting++) = job;
    }
    pthread_mutex_unlock(&q->lock);
    return room;
}

bool job_queue_cancel(struct job_queue *q, uint64_t id)
{
    bool found = false;
    pthread_mutex_lock(&q->lock);
    for (int32_t i = 0; i < q->n_waiting; i++)
        if ((*slot(q, i))->id == id) found = (*slot(q, i))->cancelled = true;
    for (int32_t i = 0; i < q->n_rows; i++)
        if (q->running[i] && q->running[i]->id == id) found = q->running[i]->cancelled = true;
    pthread_mutex_unlock(&q->lock);
    return found;
}

struct job *job_queue_front(struct job_queue *q)
{
    pthread_mutex_lock(&q->lock);
    struct job *job = q->n_waiting ? *slot(q, 0) : NULL;
    pthread_mutex_unlock(&q->lock);
    return job;
}

void job_queue_pop(struct job_queue *q)
{
    pthread_mutex_lock(&q->lock);
    q->head = (q->head + 1) % q->capacity;
    q->n_waiting--;
    pthread_mutex_unlock(&q->lock);
}

struct job *job_queue_take_cancelled(struct job_queue *q)
{
    struct job *taken = NULL;
    pthread_mutex_lock(&q->lock);
    int32_t kept = 0;
    for (int32_t i = 0; i < q->n_waiting; i++) {
        struct job *job = *slot(q, i);
        if (!taken && job->cancelled)
            taken = job;
        else
            *slot(q, kept++) = job;
    }
    q->n_waiting = kept;
    pthread_mutex_unlock(&q->lock);
    return taken;
}

bool job_queue_is_cancelled(struct job_queue *q, const struct job *job)
{
    pthread_mutex_lock(&q->lock);
    bool cancelled = job->cancelled;
    pthread_mutex_unlock(&q->lock);
    return cancelled;
}

void job_queue_set_running(struct job_queue *q, int32_t row, struct job *job)
{
    pthread_mutex_lock(&q->lock);
    q->running[row] = job;
    pthread_mutex_unlock(&q->lock);
}
