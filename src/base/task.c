#include "base/task.h"
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

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

void task_runs_soon(void)
{
#ifdef SYS_sched_setattr
    struct { /* the kernel's sched_attr; the C library has none */
        uint32_t size, policy;
        uint64_t flags;
        int32_t nice;
        uint32_t priority;
        uint64_t runtime, deadline, period;
    } attr = {0};
    if (syscall(SYS_sched_getattr, 0, &attr, (unsigned)sizeof attr, 0u)) return;
    attr.runtime = 100000; /* ns, the shortest there is */
    if (attr.policy == SCHED_OTHER || attr.policy == SCHED_BATCH) syscall(SYS_sched_setattr, 0, &attr, 0u);
#endif
}
