/* Threads. OpenMP makes them, here and nowhere else.
 *
 * A run is a sequence of phases. A phase is a list of items that the threads of a team take one by one. It is
 * over when its items are done, not when all threads have come: a thread that sleeps and holds no item delays
 * nobody. When it wakes it goes on with the phase that is under way. Whoever does the last item of a phase
 * makes the next one. Which thread does an item must change no bit, so work is split over outputs and never
 * over a sum.
 *
 * A team belongs to one run at a time; the caller is its thread 0. Between runs its threads spin briefly,
 * then sleep. They end when nobody retains them any more. A process that forks has no teams in the child; a
 * run makes new ones there. */
#ifndef BASE_THREADS_H
#define BASE_THREADS_H
#include <stdbool.h>
#include <stdint.h>

#define THREADS_MAX 1024

/* The OpenMP runtime that this was compiled for: "libgomp" or "libomp". */
const char *threads_runtime(void);

/* Cores this process may use, at least 1: OpenMP's count (affinity, places), bounded by the cgroup's CPU
 * quota. */
int threads_available(void);
/* How many threads to use where nobody says: OMP_NUM_THREADS, else the cores; bounded by the quota, and at
 * least 1. */
int threads_default(void);

/* Teams are kept for the next run while somebody retains them; the last release ends all that are idle. Each
 * retain has its release. A run outside of both makes a team and ends it. */
void threads_retain(void);
void threads_release(void);

/* A phase: fn(arg, item, thread) for item = 0..n_items-1, in any order and at the same time, 0 <= thread < n
 * of the run. No two items at the same time have the same thread. The rounding and denormal modes are the
 * default ones; fn must not change them. */
struct phase {
    void (*fn)(void *arg, int item, int thread);
    int n_items;
};
/* Fills in the next phase; false: the run is over. One thread at a time calls it, any of the team. It sees
 * all that the items before have written, and the items after see what it writes. */
typedef bool threads_next_fn(void *arg, struct phase *next);

/* Runs the phases on at most n threads. Within an item it runs them on the caller alone, and so it does where
 * the system gives no threads. The caller's rounding and denormal modes are its own again afterwards. Returns
 * whether the caller had to sleep until others were done: then the cores are not free, and a short run is
 * faster alone. */
bool threads_run_phases(int n, threads_next_fn *next, void *arg);

/* One phase. */
void threads_run_items(int n, void (*fn)(void *arg, int item, int thread), int n_items, void *arg);

/* One phase of n items: fn(arg, share, n) for share = 0..n-1. */
typedef void threads_fn(void *arg, int share, int n);
void threads_run(int n, threads_fn *fn, void *arg);

/* The part [*begin, *end) of `count` items that belongs to share among n. Sizes differ by one at most. */
static inline void threads_split(int64_t count, int share, int n, int64_t *begin, int64_t *end)
{
    *begin = count * share / n;
    *end = count * (share + 1) / n;
}
#endif
