/* A thread for what takes long: large bodies are read there, so that no stream waits for them. Errands are done in turn. */
#ifndef SERVE_WORKER_H
#define SERVE_WORKER_H
#include "base/task.h"

struct errand {
    struct errand *next;
    void (*work)(struct errand *e); /* in the worker's thread */
    void (*done)(struct errand *e); /* afterwards, in the thread of worker_finish */
};

struct worker {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct errand *todo, *finished; /* first in, first out */
    int event;                      /* an eventfd: something is finished */
    bool stopping;
};

/* False: the system gives no thread, or no descriptor. */
bool worker_start(struct worker *w);
/* Errands that were not begun are not worked on; all are done. */
void worker_stop(struct worker *w);
void worker_give(struct worker *w, struct errand *e);
/* Calls `done` of what is finished. */
void worker_finish(struct worker *w);
#endif
