#include "train/adam.h"
#include "base/memory.h"
#include <math.h>

gpt2q_status adam_create(struct adam *a, size_t n, double beta1, double beta2, double epsilon,
                         gpt2q_error *err)
{
    *a = (struct adam){
        .beta1 = beta1, .beta2 = beta2, .epsilon = epsilon, .power1 = 1.0, .power2 = 1.0, .n = n};
    a->m = mem_zarray(n, sizeof(float));
    a->v = mem_zarray(n, sizeof(float));
    if (a->m && a->v) return GPT2Q_OK;
    adam_free(a);
    return error_memory(err, "Adam's moments", 2 * n * sizeof(float));
}

void adam_free(struct adam *a)
{
    mem_free(a->m);
    mem_free(a->v);
    *a = (struct adam){0};
}

void adam_begin(struct adam *a)
{
    a->power1 *= a->beta1;
    a->power2 *= a->beta2;
}

struct update {
    const struct train_ops *ops;
    struct adam_step step;
    float *w, *m, *v;
    const float *g;
    size_t n;
};

#define ITEM 16384 /* parameters */

static void update_item(void *arg, int64_t item, int thread)
{
    const struct update *u = arg;
    const size_t at = (size_t)item * ITEM, n = u->n - at < ITEM ? u->n - at : ITEM;
    (void)thread;
    u->ops->adam(u->w + at, u->g + at, u->m + at, u->v + at, n, &u->step);
}

void adam_update(const struct adam *a, const struct crew *c, size_t at, size_t n, float *w, const float *g,
                 double rate, double decay)
{
    struct update u = {.ops = c->ops, .w = w, .g = g, .m = a->m + at, .v = a->v + at, .n = n};
    u.step = (struct adam_step){.beta1 = (float)a->beta1,
                                .beta2 = (float)a->beta2,
                                .rate = (float)(rate / (1.0 - a->power1)),
                                .root_correction = (float)(1.0 / sqrt(1.0 - a->power2)),
                                .epsilon = (float)a->epsilon,
                                .decay = (float)(rate * decay)};
    crew_each(c, (int64_t)((n + ITEM - 1) / ITEM), update_item, &u);
}
