/* A thread of one's own that is no part of a team: it waits, mostly. Of work that is shared among threads base/threads.h knows. */
#ifndef BASE_TASK_H
#define BASE_TASK_H
#include <pthread.h>
#include <stdbool.h>

/* Runs fn(arg) in a thread that takes no signals but those that its own instructions raise: a mapped file may become shorter (SIGBUS).
 * False: the system gives none. */
bool task_start(pthread_t *task, void *(*fn)(void *arg), void *arg);
void task_join(pthread_t task);

/* The thread that calls it works for moments, and others wait for each: from now on it asks the system for short slices. Linux lets such a
 * thread begin soon after it is woken, also where every core computes, from 6.12 on; what it may use in all stays the same. Without it a
 * thread that is woken may wait for some slices of others, of 3 ms each. Where that cannot be had nothing changes. */
void task_runs_soon(void);
#endif
