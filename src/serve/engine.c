#include "serve/engine.h"
#include "base/clock.h"
#include "base/task.h"
#include "serve/call.h"

/* A step does not wait for another thread that holds the lock: the next step tells the same. */
static void note_step(struct lane *lane, double seconds, uint64_t rows)
{
    histogram_add(&lane->fresh.step_seconds, HISTOGRAM_SECONDS, seconds);
    if (rows) histogram_add(&lane->fresh.step_rows, HISTOGRAM_ROWS, (double)rows);
    if (pthread_mutex_trylock(&lane->lock)) return;
    lane->numbers = lane->fresh;
    pthread_mutex_unlock(&lane->lock);
}

/* All requests of the scheduler end with this error. A new context and scheduler replace the old ones. */
static void replace(struct lane *lane, const gpt2q_error *why)
{
    gpt2q_error err;
    pthread_mutex_lock(&lane->lock);
    calls_fail(lane, why);
    lane_renew(lane, &err);
    pthread_mutex_unlock(&lane->lock);
}

/* Makes one pass. True: something is left to do. Only this thread replaces the scheduler, so reading it needs no lock here. */
static bool step(struct lane *lane)
{
    bool busy = false;
    gpt2q_error err;
    if (!lane->scheduler) return false;
    gpt2q_scheduler_stats before = gpt2q_scheduler_get_stats(lane->scheduler);
    double began = clock_seconds();
    if (gpt2q_scheduler_step(lane->scheduler, &busy, &err)) {
        replace(lane, &err);
        return true;
    }
    gpt2q_scheduler_stats after = gpt2q_scheduler_get_stats(lane->scheduler);
    if (after.steps > before.steps) note_step(lane, clock_seconds() - began, after.rows - before.rows);
    return busy;
}

static void *run(void *arg)
{
    struct engine *e = arg;
    for (bool busy = false;;) {
        pthread_mutex_lock(&e->lock);
        e->stepped_at = clock_seconds();
        while (!busy && !e->woken && !e->stopping) {
            e->running = false;
            pthread_cond_wait(&e->wake, &e->lock);
        }
        e->running = true;
        e->stepped_at = clock_seconds();
        e->woken = false;
        bool stopping = e->stopping;
        pthread_mutex_unlock(&e->lock);
        if (stopping) return NULL;
        busy = false;
        for (size_t i = 0; i < e->n_lanes; i++) {
            busy = step(&e->lanes[i]) || busy;
            news_tell(e->news);
        }
    }
}

bool engine_start(struct engine *e, struct lane *lanes, size_t n, struct news *news)
{
    *e = (struct engine){.lanes = lanes, .n_lanes = n, .news = news, .stepped_at = clock_seconds()};
    pthread_mutex_init(&e->lock, NULL);
    pthread_cond_init(&e->wake, NULL);
    return task_start(&e->thread, run, e);
}

void engine_stop(struct engine *e)
{
    pthread_mutex_lock(&e->lock);
    e->stopping = true;
    pthread_cond_signal(&e->wake);
    pthread_mutex_unlock(&e->lock);
    task_join(e->thread);
    pthread_mutex_destroy(&e->lock);
    pthread_cond_destroy(&e->wake);
}

void engine_wake(struct engine *e)
{
    pthread_mutex_lock(&e->lock);
    e->woken = true;
    pthread_mutex_unlock(&e->lock);
    pthread_cond_signal(&e->wake); /* under the lock it would wake the engine to wait for the lock */
}

double engine_silent_s(struct engine *e)
{
    pthread_mutex_lock(&e->lock);
    double s = e->running ? clock_seconds() - e->stepped_at : 0;
    pthread_mutex_unlock(&e->lock);
    return s;
}
