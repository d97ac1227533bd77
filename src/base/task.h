/* A thread of one's own that is no part of a team: it waits, mostly. Of work that is shared among threads base/threads.h knows. */
#ifndef BASE_TASK_H
#define BASE_TASK_H
#include <pthread.h>
#include <stdbool.h>

/* Runs fn(arg) in a thread that takes no signals but those that its own instructions raise: a mapped file may become shorter (SIGBUS).
 * False: the system gives none. */
bool task_start(pthread_t *task, void *(*fn)(void *arg), void *arg);
void task_join(pthread_t task);
#endif
