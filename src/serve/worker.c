#include "serve/worker.h"
#include <stddef.h>
#include <sys/eventfd.h>
#include <unistd.h>

static void append(struct errand **list, struct errand *e)
{
    e->next = NULL;
    while (*list) list = &(*list)->next;
    *list = e;
}

static struct errand *next_errand(struct worker *w)
{
    pthread_mutex_lock(&w->lock);
    while (!w->todo && !w->stopping) pthread_cond_wait(&w->wake, &w->lock);
    struct errand *e = w->stopping ? NULL : w->todo;
    if (e) w->todo = e->next;
    pthread_mutex_unlock(&w->lock);
    return e;
}

static void *run(void *arg)
{
    struct worker *w = arg;
    for (struct errand *e; (e = next_errand(w));) {
        e->work(e);
        pthread_mutex_lock(&w->lock);
        append(&w->finished, e);
        pthread_mutex_unlock(&w->lock);
        eventfd_write(w->event, 1);
    }
    return NULL;
}

bool worker_start(struct worker *w)
{
    *w = (struct worker){.event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)};
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->wake, NULL);
    if (w->event >= 0 && task_start(&w->thread, run, w)) return true;
    if (w->event >= 0) close(w->event);
    w->event = -1;
    return false;
}

void worker_give(struct worker *w, struct errand *e)
{
    pthread_mutex_lock(&w->lock);
    append(&w->todo, e);
    pthread_cond_signal(&w->wake);
    pthread_mutex_unlock(&w->lock);
}

static void do_all(struct errand *list)
{
    for (struct errand *next; list; list = next) {
        next = list->next;
        list->done(list);
    }
}

void worker_finish(struct worker *w)
{
    eventfd_t count;
    eventfd_read(w->event, &count);
    pthread_mutex_lock(&w->lock);
    struct errand *list = w->finished;
    w->finished = NULL;
    pthread_mutex_unlock(&w->lock);
    do_all(list);
}

void worker_stop(struct worker *w)
{
    pthread_mutex_lock(&w->lock);
    w->stopping = true;
    pthread_cond_signal(&w->wake);
    pthread_mutex_unlock(&w->lock);
    task_join(w->thread);
    do_all(w->finished);
    do_all(w->todo);
    close(w->event);
    pthread_mutex_destroy(&w->lock);
    pthread_cond_destroy(&w->wake);
}
