#include "base/task.h"
#include <signal.h>

bool task_start(pthread_t *task, void *(*fn)(void *arg), void *arg)
{
    static const int own[] = {SIGBUS, SIGSEGV, SIGFPE, SIGILL};
    sigset_t others, before;
    sigfillset(&others);
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) sigdelset(&others, own[i]);
    pthread_sigmask(SIG_SETMASK, &others, &before);
    bool started = !pthread_create(task, NULL, fn, arg);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return started;
}

void task_join(pthread_t task) { pthread_join(task, NULL); }
