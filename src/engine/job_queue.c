#include "engine/job_queue.h"
#include "base/memory.h"

gpt2q_status job_queue_create(struct job_queue *q, int32_t capacity, int64_t capacity_tokens, int32_t n_rows,
                              gpt2q_error *err)
{
    *q = (struct job_queue){.capacity = capacity, .capacity_tokens = capacity_tokens, .n_rows = n_rows};
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

static bool has_room(const struct job_queue *q, size_t n, int64_t tokens)
{
    if (n > (size_t)(q->capacity - q->n_waiting)) return false;
    return !q->capacity_tokens || !q->n_waiting || q->waiting_tokens + tokens <= q->capacity_tokens;
}

bool job_queue_push(struct job_queue *q, struct job *const *jobs, size_t n, uint64_t *ids)
{
    int64_t tokens = 0;
    for (size_t i = 0; i < n; i++) tokens += jobs[i]->n_prompt;
    pthread_mutex_lock(&q->lock);
    bool room = has_room(q, n, tokens);
    for (size_t i = 0; room && i < n; i++) {
        jobs[i]->id = ++q->last_id;
        if (ids) ids[i] = jobs[i]->id;
        q->waiting_left += job_tokens_left(jobs[i]);
        *slot(q, q->n_waiting++) = jobs[i];
    }
    if (room) q->waiting_tokens += tokens;
    pthread_mutex_unlock(&q->lock);
    return room;
}

void job_queue_publish(struct job_queue *q, const gpt2q_scheduler_load *load)
{
    pthread_mutex_lock(&q->lock);
    q->load = *load;
    q->waiting_tokens = q->waiting_left = 0;
    for (int32_t i = 0; i < q->n_waiting; i++) {
        q->waiting_tokens += (*slot(q, i))->n_prompt;
        q->waiting_left += job_tokens_left(*slot(q, i));
    }
    pthread_mutex_unlock(&q->lock);
}

gpt2q_scheduler_load job_queue_load(struct job_queue *q)
{
    pthread_mutex_lock(&q->lock);
    gpt2q_scheduler_load load = q->load;
    load.waiting = q->n_waiting;
    load.waiting_tokens = q->waiting_tokens;
    load.tokens_left += q->waiting_left;
    pthread_mutex_unlock(&q->lock);
    return load;
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
