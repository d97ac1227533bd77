#include "base/threads.h"
#include "base/control_group.h"
#include "base/memory.h"
#include <assert.h>
#include <fenv.h>
#include <omp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>

const char *threads_runtime(void)
{
#ifdef __clang__
    return "libomp";
#else
    return "libgomp";
#endif
}

static int at_least_1(int n) { return n > 1 ? n : 1; }
static int bounded(int n)
{
    int quota = control_group_cores("");
    return at_least_1(quota && quota < n ? quota : n);
}
int threads_available(void) { return bounded(omp_get_num_procs()); }
int threads_default(void)
{
    int n = omp_get_max_threads();
    return bounded(n < THREADS_MAX ? n : THREADS_MAX);
}

/* A team has a host: a thread that opens one parallel region and sleeps in it until the team ends. The
 * region's other threads serve run after run, the caller of a run works in the host's place. So the runtime
 * gives the threads their places, a library in a thread of somebody else's leaves nothing in that thread, and
 * how the runtime waits, which on a busy machine is for a time slice, plays no part: the region ends once.
 *
 * The items of a phase lie in contiguous shares, one a thread. A thread takes its own from the front, so that
 * it reads memory as one stream, then what others have not begun from the back. It counts what it did once
 * nothing is left to take, and until then it holds the phase open: whoever has taken an item may read what
 * the phase is, and nobody else may.
 *
 * A short pass waits for cache lines that go from core to core, so few do. The offer says all that a thread
 * needs to take an item. Nobody writes the shares of a new phase: a share whose number is not the offer's has not
 * been begun, and whoever takes from it first computes where it lies. Numbers begin again after 2^24 phases; shares
 * that nobody took from are renewed in between. */
#define FIELD       20 /* bits */
#define ITEMS_MAX   ((1 << FIELD) - 1)
#define RENEW_EVERY (1u << 22) /* phases */

/* number of the phase (24 bits), then two fields: threads and items of an offer, begin and end of a share */
typedef uint_least64_t word;
static word word_of(unsigned number, int64_t high, int64_t low)
{
    return (word)number << 2 * FIELD | (word)high << FIELD | (word)low;
}
static unsigned number_of(word w) { return (unsigned)(w >> 2 * FIELD); }
static int high_of(word w) { return (int)(w >> FIELD & ITEMS_MAX); }
static int low_of(word w) { return (int)(w & ITEMS_MAX); }

struct share {
    _Alignas(64) _Atomic word left;
};

struct team {
    /* What a phase is, in one line. Threads that wait read it all the time, so it is written at once. */
    _Alignas(64) _Atomic word offer;
    void (*fn)(void *arg, int item, int thread);
    unsigned done_then; /* what `done` is when the phase is over */

    _Alignas(64) atomic_uint done; /* items of all phases */

    _Alignas(64) atomic_bool over; /* the run */
    atomic_bool ending;            /* the team */
    atomic_uint sleepers, caller_sleeps;
    threads_next_fn *next;
    void *arg;
    int n; /* threads of this run */
    atomic_int
        spins; /* of a thread that waits, before it yields: none where it holds the core of one that works */
    int cores;
    pthread_mutex_t lock;
    pthread_cond_t offered, returned, changed; /* wakes threads, the caller, the host */
    pthread_t host;
    int size;          /* threads, the caller among them; fewer where the system gives no more */
    int n_started;     /* of the region's threads; under start_lock */
    bool caller_slept; /* in this run */
    struct team *link;
    struct share shares[]; /* of as many threads as were asked for */
};

#define SPINS  1000 /* some tens of microseconds: longer than items differ, shorter than a time slice */
#define YIELDS 1    /* others may go first; then it sleeps */

static inline void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* ---- a phase ---- */

/* An item of a share of the phase that is offered. The share is read before the offer is read again: a phase that is
 * offered then, and a share that nobody has begun then, are not over before that share changes. */
static bool take_from(struct team *team, word offer, int of, bool front, int *item)
{
    _Atomic word *share = &team->shares[of].left;
    const unsigned number = number_of(offer);
    word left = atomic_load_explicit(share, memory_order_acquire), rest;
    do {
        int64_t begin = high_of(left), end = low_of(left);
        if (number_of(left) != number) {
            if (atomic_load(&team->offer) != offer) return false;
            threads_split(low_of(offer), of, high_of(offer), &begin, &end);
        }
        if (begin == end) return false;
        *item = (int)(front ? begin : end - 1);
        rest = front ? word_of(number, begin + 1, end) : word_of(number, begin, end - 1);
    } while (!atomic_compare_exchange_weak(share, &left, rest));
    return true;
}

static bool take(struct team *team, word offer, int thread, int *item)
{
    const int n = high_of(offer);
    if (thread >= n) return false; /* a run of fewer threads */
    if (take_from(team, offer, thread, true, item)) return true;
    for (int i = 1; i < n; i++)
        if (take_from(team, offer, (thread + i) % n, false, item)) return true;
    return false;
}

/* Wakes as many as may be of use: not more than there are items or cores. The caller comes first, since it
 * must return. */
static void wake(struct team *team, int n, int n_items)
{
    int sleepers = (int)atomic_load(&team->sleepers);
    if (!sleepers) return;
    int awake = n - sleepers, limit = n_items < team->cores ? n_items : team->cores;
    if (awake >= limit) return;
    pthread_mutex_lock(&team->lock);
    if (atomic_load(&team->caller_sleeps)) {
        pthread_cond_signal(&team->returned);
        awake++;
    }
    for (; awake < limit; awake++) pthread_cond_signal(&team->offered);
    pthread_mutex_unlock(&team->lock);
}

/* So that no number comes again before its share knows: every share has been begun, and is empty. */
static void renew_shares(struct team *team, unsigned number)
{
    for (int t = 0; t < team->size; t++) atomic_store(&team->shares[t].left, word_of(number, 0, 0));
}

static void offer_phase(struct team *team, struct phase phase)
{
    const int n = team->n; /* once a phase is offered the run may end, and another begin */
    const unsigned last = number_of(atomic_load_explicit(&team->offer, memory_order_relaxed));
    assert(phase.n_items <= ITEMS_MAX);
    if (last % RENEW_EVERY == 0) renew_shares(team, last);
    team->fn = phase.fn;
    team->done_then += (unsigned)phase.n_items;
    atomic_store_explicit(&team->offer, word_of(last + 1, n, phase.n_items), memory_order_release);
    atomic_thread_fence(memory_order_seq_cst); /* who counts itself a sleeper from now on sees the offer */
    wake(team, n, phase.n_items);
}

/* From a phase that is done to the next. A phase of one item is done at once. */
static void advance(struct team *team, int thread)
{
    struct phase phase;
    while (team->next(team->arg, &phase)) {
        if (phase.n_items > 1) {
            offer_phase(team, phase);
            return;
        }
        if (phase.n_items == 1) phase.fn(team->arg, 0, thread);
    }
    atomic_store(&team->over, true);
    if (!atomic_load(&team->caller_sleeps)) return; /* who sleeps later sees that it is over */
    pthread_mutex_lock(&team->lock);
    pthread_cond_signal(&team->returned);
    pthread_mutex_unlock(&team->lock);
}

/* Does items until none is left to take; *seen is the last offer that it looked at. */
static void do_items(struct team *team, int thread, word *seen)
{
    int item;
    for (;;) {
        const word offer = *seen = atomic_load(&team->offer);
        if (!take(team, offer, thread, &item)) return;
        unsigned n = 0;
        do team->fn(team->arg, item, thread), n++;
        while (take(team, offer, thread, &item));
        const unsigned done_then = team->done_then;
        if (atomic_fetch_add(&team->done, n) + n == done_then)
            advance(team, thread);
        else if (atomic_load(&team->offer) == offer)
            return; /* others hold what is left */
    }
}

/* ---- waiting ---- */

static bool is_due(struct team *team, int thread, word seen)
{
    return atomic_load(&team->offer) != seen || atomic_load(thread ? &team->ending : &team->over);
}

static void wait_until_due(struct team *team, int thread, word seen)
{
    const int spins = atomic_load_explicit(&team->spins, memory_order_relaxed);
    for (int i = 0; i < spins; i++) {
        if (is_due(team, thread, seen)) return;
        relax();
    }
    for (int i = 0; i < YIELDS; i++) {
        if (is_due(team, thread, seen)) return;
        sched_yield();
    }
    pthread_mutex_lock(&team->lock);
    atomic_fetch_add(&team->sleepers, 1);
    if (!thread) {
        team->caller_slept = true;
        atomic_store(&team->caller_sleeps, 1);
    }
    while (!is_due(team, thread, seen))
        pthread_cond_wait(thread ? &team->offered : &team->returned, &team->lock);
    if (!thread) atomic_store(&team->caller_sleeps, 0);
    atomic_fetch_sub(&team->sleepers, 1);
    pthread_mutex_unlock(&team->lock);
}

/* ---- a team's life ---- */

static _Thread_local bool inside; /* of an item: a run there is the caller's alone */

/* A child that is forked while the runtime makes threads would find the runtime's locks held by nobody. So
 * forks wait for that. */
static pthread_mutex_t start_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t all_started = PTHREAD_COND_INITIALIZER;
static int n_starting; /* teams */

static void begin_start(void)
{
    pthread_mutex_lock(&start_lock);
    n_starting++;
    pthread_mutex_unlock(&start_lock);
}

/* By each of a region's threads; or once, where there is no region. */
static void end_start(int *n_started, int size)
{
    pthread_mutex_lock(&start_lock);
    if (++*n_started == size && !--n_starting) pthread_cond_broadcast(&all_started);
    pthread_mutex_unlock(&start_lock);
}

static void serve(struct team *team, int thread)
{
    inside = true;
    fesetenv(FE_DFL_ENV);
    for (word seen = 0;;) {
        wait_until_due(team, thread, seen);
        if (atomic_load(&team->ending)) return;
        do_items(team, thread, &seen);
    }
}

static void sleep_until_end(struct team *team)
{
    pthread_mutex_lock(&team->lock);
    while (!atomic_load(&team->ending)) pthread_cond_wait(&team->changed, &team->lock);
    pthread_mutex_unlock(&team->lock);
}

static void *host(void *arg)
{
    struct team *team = arg;
#pragma omp parallel num_threads(team->size)
    {
        int thread = omp_get_thread_num();
        end_start(&team->n_started, omp_get_num_threads());
        if (thread)
            serve(team, thread);
        else
            sleep_until_end(team);
    }
    return NULL;
}

static void team_end(struct team *team)
{
    pthread_mutex_lock(&team->lock);
    atomic_store(&team->ending, true);
    pthread_cond_broadcast(&team->changed);
    pthread_cond_broadcast(&team->offered);
    pthread_mutex_unlock(&team->lock);
    pthread_join(team->host, NULL);
    pthread_cond_destroy(&team->changed);
    pthread_cond_destroy(&team->returned);
    pthread_cond_destroy(&team->offered);
    pthread_mutex_destroy(&team->lock);
    mem_free(team);
}

/* The program's signals are the program's: threads of a team take none. */
static bool start_host(struct team *team)
{
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    begin_start();
    bool ok = !pthread_create(&team->host, NULL, host, team);
    if (!ok) end_start(&team->n_started, 1);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return ok;
}

/* A team of n threads; NULL: the system gives no thread. It serves at once: those that start late help when
 * they come, and what they have not begun is done by those that are there. */
static struct team *team_create(int n)
{
    struct team *team = mem_zalloc(sizeof *team + (size_t)n * sizeof *team->shares);
    if (!team) return NULL;
    team->size = n;
    team->cores = omp_get_num_procs();
    pthread_mutex_init(&team->lock, NULL);
    pthread_cond_init(&team->offered, NULL);
    pthread_cond_init(&team->returned, NULL);
    pthread_cond_init(&team->changed, NULL);
    if (start_host(team)) return team;
    mem_free(team);
    return NULL;
}

/* ---- teams that wait for a run ---- */

static pthread_mutex_t pool_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t pool_once = PTHREAD_ONCE_INIT;
static struct team *idle; /* the one used last comes first */
static int n_retained;

static void before_fork(void)
{
    pthread_mutex_lock(&pool_lock);
    pthread_mutex_lock(&start_lock);
    while (n_starting) pthread_cond_wait(&all_started, &start_lock);
}
static void after_fork(void)
{
    pthread_mutex_unlock(&start_lock);
    pthread_mutex_unlock(&pool_lock);
}
static void after_fork_in_child(void)
{
    while (idle) { /* their threads are the parent's */
        struct team *team = idle;
        idle = team->link;
        mem_free(team);
    }
    after_fork();
}
static void watch_forks(void) { pthread_atfork(before_fork, after_fork, after_fork_in_child); }

static void end_list(struct team *list)
{
    while (list) {
        struct team *team = list;
        list = team->link;
        team_end(team);
    }
}

void threads_retain(void)
{
    pthread_once(&pool_once, watch_forks);
    pthread_mutex_lock(&pool_lock);
    n_retained++;
    pthread_mutex_unlock(&pool_lock);
}

void threads_release(void)
{
    struct team *all = NULL;
    pthread_mutex_lock(&pool_lock);
    if (!--n_retained) {
        all = idle;
        idle = NULL;
    }
    pthread_mutex_unlock(&pool_lock);
    end_list(all);
}

/* An idle team of at least n threads; a smaller one makes room for it. */
static struct team *team_borrow(int n)
{
    struct team *team, *small = NULL;
    pthread_mutex_lock(&pool_lock);
    struct team **at = &idle;
    while (*at && (*at)->size < n) at = &(*at)->link;
    if (!*at) at = &idle;
    team = *at;
    if (team) *at = team->link;
    pthread_mutex_unlock(&pool_lock);
    if (team && team->size < n) small = team, team = NULL;
    if (small) {
        small->link = NULL;
        end_list(small);
    }
    return team ? team : team_create(n);
}

static void team_return(struct team *team)
{
    pthread_mutex_lock(&pool_lock);
    team->link = idle;
    idle = team;
    pthread_mutex_unlock(&pool_lock);
}

/* ---- a run ---- */

static void run_alone(threads_next_fn *next, void *arg)
{
    struct phase phase;
    while (next(arg, &phase))
        for (int i = 0; i < phase.n_items; i++) phase.fn(arg, i, 0);
}

static void run_together(struct team *team, int n, threads_next_fn *next, void *arg)
{
    team->n = n < team->size ? n : team->size;
    atomic_store_explicit(&team->spins, team->n > team->cores ? 0 : SPINS, memory_order_relaxed);
    team->next = next;
    team->arg = arg;
    team->caller_slept = false;
    atomic_store(&team->over, false);
    word seen = atomic_load(&team->offer);
    for (advance(team, 0); !atomic_load(&team->over); wait_until_due(team, 0, seen)) do_items(team, 0, &seen);
}

static bool run_on_team(int n, threads_next_fn *next, void *arg)
{
    bool slept = false;
    threads_retain();
    struct team *team = team_borrow(n < THREADS_MAX ? n : THREADS_MAX);
    if (team) {
        run_together(team, n, next, arg);
        slept = team->caller_slept;
        team_return(team);
    } else {
        run_alone(next, arg);
    }
    threads_release();
    return slept;
}

bool threads_run_phases(int n, threads_next_fn *next, void *arg)
{
    fenv_t env;
    bool outer = inside, slept = false;
    inside = true;
    fegetenv(&env);
    fesetenv(FE_DFL_ENV);
    if (n > 1 && !outer)
        slept = run_on_team(n, next, arg);
    else
        run_alone(next, arg);
    fesetenv(&env);
    inside = outer;
    return slept;
}

struct one_phase {
    void (*fn)(void *arg, int item, int thread);
    threads_fn *share;
    void *arg;
    int n_items;
    bool given;
};
static void one_item(void *arg, int item, int thread)
{
    const struct one_phase *p = arg;
    p->fn(p->arg, item, thread);
}
static void one_share(void *arg, int item, int thread)
{
    const struct one_phase *p = arg;
    (void)thread;
    p->share(p->arg, item, p->n_items);
}
static bool give_one(void *arg, struct phase *next)
{
    struct one_phase *p = arg;
    if (p->given) return false;
    p->given = true;
    *next = (struct phase){p->fn ? one_item : one_share, p->n_items};
    return true;
}

void threads_run_items(int n, void (*fn)(void *arg, int item, int thread), int n_items, void *arg)
{
    struct one_phase p = {.fn = fn, .arg = arg, .n_items = n_items};
    threads_run_phases(n, give_one, &p);
}

void threads_run(int n, threads_fn *fn, void *arg)
{
    struct one_phase p = {.share = fn, .arg = arg, .n_items = at_least_1(n)};
    threads_run_phases(n, give_one, &p);
}
