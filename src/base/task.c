#include "base/task.h"
#include <signal.h>

bool task_start(pthread_t *task, void *(*fn)(void *arg), void *arg)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool started = !pthread_create(task, NULL, fn, arg);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return started;
}

void task_join(pthread_t task) { pthread_join(task, NULL); }
