/* The threads of a training run, and their scratch. */
#ifndef TRAIN_CREW_H
#define TRAIN_CREW_H
#include "base/status.h"
#include "train/ops.h"

struct crew {
    int n_threads;
    const struct train_ops *ops;
    const struct kernels *kernels;
    float *packed_a, *packed_b; /* the operands of the current product, shared by all threads */
    size_t a_floats, b_floats;
    float *own; /* n_threads times own_floats: each thread's scratch */
    size_t own_floats;
};

/* Creates a crew with scratch for operands of at most a_floats and b_floats, and own_floats for each
 * thread. */
gpt2q_status crew_create(struct crew *c, const struct isa *isa, int n_threads, size_t a_floats,
                         size_t b_floats, size_t own_floats, gpt2q_error *err);
void crew_free(struct crew *c);
static inline float *crew_own(const struct crew *c, int thread)
{
    return c->own + (size_t)thread * c->own_floats;
}

/* Calls fn(arg, item, thread) once for each item 0 .. n_items - 1 on the threads of the crew. Returns when
 * all are done. Threads take items one by one; no result may depend on which thread takes which. */
typedef void crew_fn(void *arg, int64_t item, int thread);
void crew_each(const struct crew *c, int64_t n_items, crew_fn *fn, void *arg);
#endif
