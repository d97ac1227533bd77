#include "train/crew.h"
#include "base/memory.h"
#include "base/threads.h"
#include "qtensor/isa.h"
#include <stdatomic.h>

gpt2q_status crew_create(struct crew *c, const struct isa *isa, int n_threads, size_t a_floats,
                         size_t b_floats, size_t own_floats, gpt2q_error *err)
{
    own_floats = (own_floats + 15) / 16 * 16;
    *c = (struct crew){.n_threads = n_threads,
                       .ops = train_ops_of(isa),
                       .kernels = isa->kernels,
                       .packed_a = mem_array(a_floats, sizeof(float)),
                       .packed_b = mem_array(b_floats, sizeof(float)),
                       .a_floats = a_floats,
                       .b_floats = b_floats,
                       .own = mem_array((size_t)n_threads, own_floats * sizeof(float)),
                       .own_floats = own_floats};
    threads_retain(); /* one round follows another, so the threads stay */
    if (c->packed_a && c->packed_b && c->own) return GPT2Q_OK;
    crew_free(c);
    return error_memory(err, "the scratch of training",
                        (a_floats + b_floats + (size_t)n_threads * own_floats) * sizeof(float));
}

void crew_free(struct crew *c)
{
    if (c->n_threads) threads_release();
    mem_free(c->packed_a);
    mem_free(c->packed_b);
    mem_free(c->own);
    *c = (struct crew){0};
}

struct round {
    crew_fn *fn;
    void *arg;
    int64_t n_items;
    atomic_int_least64_t next;
};

static void take_items(void *arg, int thread, int n)
{
    struct round *round = arg;
    (void)n;
    for (;;) {
        const int64_t item = atomic_fetch_add(&round->next, 1);
        if (item >= round->n_items) return;
        round->fn(round->arg, item, thread);
    }
}

void crew_each(const struct crew *c, int64_t n_items, crew_fn *fn, void *arg)
{
    struct round round = {.fn = fn, .arg = arg, .n_items = n_items};
    atomic_init(&round.next, 0);
    threads_run(n_items < c->n_threads ? (int)n_items : c->n_threads, take_items, &round);
}
