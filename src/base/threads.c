#include "base/threads.h"
#include "base/memory.h"
#include <fenv.h>
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

/* A team is a caller's own: made at its first run, kept for the next, gone with the caller. Threads meet at a
 * counter rather than at the system's barrier, and wait for the next run in the same way: a pass has a
 * hundred meetings, and where other programs hold the cores a thread that waits must soon let them go on, or
 * the one it waits for never comes. */
struct gate { /* to wait for a number to change: spinning, then yielding, then asleep */
    _Alignas(64) atomic_uint number;
    atomic_uint sleepers;
    pthread_mutex_t lock; /* of sleeping */
    pthread_cond_t changed;
};

struct member {
    struct gate called; /* a number for each run it takes part in */
    struct team *team;
    pthread_t id;
    int thread;
};

struct team {
    _Alignas(64) atomic_uint arrived;
    struct gate meeting;
    unsigned n;
    atomic_int spins; /* before a thread that waits yields: none where it holds the core of one that works */
    threads_fn *fn;   /* of the run under way */
    void *arg;
    struct member *members[THREADS_MAX]; /* [1, n_made) */
    int n_made;
    bool ending;
};
static _Thread_local struct team *my_team; /* of the run under way */
static pthread_key_t own_team;             /* the team that this thread calls */
static pthread_once_t once = PTHREAD_ONCE_INIT;

#define SPINS                                                                                                \
    2000 /* some tens of microseconds: longer than shares of work differ, shorter than a time slice */
#define YIELDS 50 /* others may go first; then it sleeps */

static inline void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static void gate_create(struct gate *g)
{
    pthread_mutex_init(&g->lock, NULL);
    pthread_cond_init(&g->changed, NULL);
}

static bool gate_changed(struct gate *g, unsigned from) { return atomic_load(&g->number) != from; }

static void gate_wait(struct gate *g, unsigned from, int spins)
{
    for (int i = 0; i < spins; i++) {
        if (gate_changed(g, from)) return;
        relax();
    }
    for (int i = 0; i < YIELDS; i++) {
        if (gate_changed(g, from)) return;
        sched_yield();
    }
    pthread_mutex_lock(&g->lock);
    atomic_fetch_add(&g->sleepers, 1);
    while (!gate_changed(g, from)) pthread_cond_wait(&g->changed, &g->lock);
    atomic_fetch_sub(&g->sleepers, 1);
    pthread_mutex_unlock(&g->lock);
}

static void gate_advance(struct gate *g)
{
    atomic_fetch_add(&g->number, 1);
    if (!atomic_load(&g->sleepers)) return; /* who counts itself later sees the new number */
    pthread_mutex_lock(&g->lock);
    pthread_cond_broadcast(&g->changed);
    pthread_mutex_unlock(&g->lock);
}

void threads_barrier(void)
{
    struct team *team = my_team;
    unsigned meeting = atomic_load(&team->meeting.number),
             n = team->n; /* before others may begin another run */
    if (atomic_fetch_add(&team->arrived, 1) + 1 < n) {
        gate_wait(&team->meeting, meeting, atomic_load_explicit(&team->spins, memory_order_relaxed));
        return;
    }
    atomic_store(&team->arrived, 0);
    gate_advance(&team->meeting);
}

/* The share of one thread; whoever comes last ends the run. */
static void run_share(struct team *team, int thread)
{
    fenv_t env;
    my_team = team;
    fegetenv(&env);
    fesetenv(FE_DFL_ENV);
    team->fn(team->arg, thread, (int)team->n);
    fesetenv(&env);
    threads_barrier();
    my_team = NULL;
}

static void *serve(void *arg)
{
    struct member *m = arg;
    for (unsigned run = 0;; run++) {
        gate_wait(&m->called, run, atomic_load_explicit(&m->team->spins, memory_order_relaxed));
        if (m->team->ending) return NULL;
        run_share(m->team, m->thread);
    }
}

static void team_free(void *arg)
{
    struct team *team = arg;
    team->ending = true;
    for (int i = 1; i < team->n_made; i++) {
        gate_advance(&team->members[i]->called);
        pthread_join(team->members[i]->id, NULL);
        mem_free(team->members[i]);
    }
    mem_free(team);
}

static void make_key(void) { pthread_key_create(&own_team, team_free); }

static bool add_member(struct team *team)
{
    struct member *m = mem_zalloc(sizeof *m);
    if (!m) return false;
    *m = (struct member){.team = team, .thread = team->n_made};
    gate_create(&m->called);
    if (pthread_create(&m->id, NULL, serve, m)) {
        mem_free(m);
        return false;
    }
    team->members[team->n_made++] = m;
    return true;
}

/* The caller's team, with n threads or as many as the system gives; NULL: none. */
static struct team *team_of_caller(int n)
{
    pthread_once(&once, make_key);
    struct team *team = pthread_getspecific(own_team);
    if (!team) {
        team = mem_zalloc(sizeof *team);
        if (!team) return NULL;
        gate_create(&team->meeting);
        team->n_made = 1; /* the caller */
        team->spins = SPINS;
        pthread_setspecific(own_team, team);
    }
    while (team->n_made < n && add_member(team)) continue;
    if (team->n_made < n) n = team->n_made;
    if (team->n != (unsigned)n) team->spins = n > threads_available() ? 0 : SPINS;
    team->n = (unsigned)n;
    return team;
}

static void run_alone(threads_fn *fn, void *arg)
{
    struct team alone = {.n = 1, .fn = fn, .arg = arg};
    run_share(&alone, 0);
}

void threads_run(int n, threads_fn *fn, void *arg)
{
    struct team *outer = my_team, *team = NULL;
    if (n > 1 && !outer) team = team_of_caller(n < THREADS_MAX ? n : THREADS_MAX);
    if (!team) {
        run_alone(fn, arg);
        my_team = outer;
        return;
    }
    team->fn = fn;
    team->arg = arg;
    for (unsigned i = 1; i < team->n; i++) gate_advance(&team->members[i]->called);
    run_share(team, 0);
    my_team = outer;
}
