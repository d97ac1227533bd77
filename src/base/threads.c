#include "base/threads.h"
#include <fenv.h>
#include <omp.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <unistd.h>

int threads_available(void)
{
#ifdef __linux__
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0) return CPU_COUNT(&set);
#endif
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n > 0 ? (int)n : 1;
}

/* Threads meet at a counter of their own rather than at OpenMP's barrier: a pass has a hundred meetings, and
 * where other programs hold the cores a thread that waits must soon let them go on, or the one it waits for
 * never comes. */
struct team {
    _Alignas(64) atomic_uint arrived;
    _Alignas(64) atomic_uint meeting; /* number of the next one */
    atomic_uint sleepers;
    unsigned n;
    pthread_mutex_t lock; /* of sleeping */
    pthread_cond_t met;
};
static _Thread_local struct team *my_team;

#define SPINS  2000 /* some tens of microseconds: longer than shares of work differ, shorter than a time slice */
#define YIELDS 50   /* others may go first; then it sleeps */

static inline void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static void run_one(struct team *team, threads_fn *fn, void *arg, int thread)
{
    fenv_t env;
    struct team *outer = my_team;
    my_team = team;
    fegetenv(&env);
    fesetenv(FE_DFL_ENV);
    fn(arg, thread, (int)team->n);
    fesetenv(&env);
    my_team = outer;
}

void threads_run(int n, threads_fn *fn, void *arg)
{
    struct team team = {.n = 1, .lock = PTHREAD_MUTEX_INITIALIZER, .met = PTHREAD_COND_INITIALIZER};
    if (n < 2) {
        run_one(&team, fn, arg, 0);
        return;
    }
#pragma omp parallel num_threads(n)
    {
#pragma omp single
        team.n = (unsigned)omp_get_num_threads();
        run_one(&team, fn, arg, omp_get_thread_num());
    }
}

static bool is_over(struct team *team, unsigned meeting) { return atomic_load(&team->meeting) != meeting; }

static void sleep_until_over(struct team *team, unsigned meeting)
{
    pthread_mutex_lock(&team->lock);
    atomic_fetch_add(&team->sleepers, 1);
    while (!is_over(team, meeting)) pthread_cond_wait(&team->met, &team->lock);
    atomic_fetch_sub(&team->sleepers, 1);
    pthread_mutex_unlock(&team->lock);
}

void threads_barrier(void)
{
    struct team *team = my_team;
    unsigned meeting = atomic_load(&team->meeting);
    if (atomic_fetch_add(&team->arrived, 1) + 1 == team->n) {
        atomic_store(&team->arrived, 0);
        atomic_store(&team->meeting, meeting + 1);
        if (!atomic_load(&team->sleepers)) return; /* who counts itself later sees the new meeting */
        pthread_mutex_lock(&team->lock);
        pthread_cond_broadcast(&team->met);
        pthread_mutex_unlock(&team->lock);
        return;
    }
    for (int i = 0; i < SPINS; i++) {
        if (is_over(team, meeting)) return;
        relax();
    }
    for (int i = 0; i < YIELDS; i++) {
        if (is_over(team, meeting)) return;
        sched_yield();
    }
    sleep_until_over(team, meeting);
}
