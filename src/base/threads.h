/* Threads, made nowhere else. A team runs one function on n threads that meet at barriers (one parallel region per
 * forward pass); work is split over outputs, never over a sum: evenly (threads_split) or as it gets done (base/shares.h). */
#ifndef BASE_THREADS_H
#define BASE_THREADS_H
#include <stdint.h>

#define THREADS_MAX 1024

/* Cores this process may use (affinity mask), at least 1. */
int threads_available(void);

/* Calls fn(arg, thread, n) for thread = 0..n-1 at the same time, thread 0 being the caller, and returns when all have. Where
 * the system gives fewer threads, n is what it gave; inside of fn, n is 1. Rounding and denormal modes are the default ones inside, the
 * caller's again afterwards. */
typedef void threads_fn(void *arg, int thread, int n);
void threads_run(int n, threads_fn *fn, void *arg);

/* Inside fn: waits until every thread of the team is here. */
void threads_barrier(void);

/* The part [*begin, *end) of `count` items that is thread's among n: contiguous, sizes differ by one at most. */
static inline void threads_split(int64_t count, int thread, int n, int64_t *begin, int64_t *end)
{
    *begin = count * thread / n;
    *end = count * (thread + 1) / n;
}
#endif
