#include "base/threads.h"
#include <fenv.h>
#include <omp.h>
#ifdef __linux__
#include <sched.h>
#endif
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

static void run_one(threads_fn *fn, void *arg, int thread, int n)
{
    fenv_t env;
    fegetenv(&env);
    fesetenv(FE_DFL_ENV);
    fn(arg, thread, n);
    fesetenv(&env);
}

void threads_run(int n, threads_fn *fn, void *arg)
{
    if (n < 2) {
        run_one(fn, arg, 0, 1);
        return;
    }
#pragma omp parallel num_threads(n)
    run_one(fn, arg, omp_get_thread_num(), omp_get_num_threads());
}

void threads_barrier(void)
{
#pragma omp barrier
}
