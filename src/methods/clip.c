#include "base/memory.h"
#include "methods/rounding.h"
#include "methods/square.h"

struct clip_job {
    const struct workers *w;
    const float *weights;
    const double *cost;
    const struct code_scheme *s;
    struct coded *out;
    double *memory; /* per thread a group of LANES outputs, and its codes */
};

static void group_of(const struct clip_job *job, int first, int g, double *w)
{
    const size_t n = (size_t)job->out->cols;
    const int group = job->s->group;
    for (int o = 0; o < LANES; o++) {
        const int row = first + o < job->out->rows ? first + o : first;
        const float *from = job->weights + (size_t)row * n + (size_t)g * (size_t)group;
        for (int i = 0; i < group; i++) w[(size_t)i * LANES + (size_t)o] = (double)from[i];
    }
}

static void store(const struct clip_job *job, int first, int g, const struct lane_scales *s,
                  const double *codes)
{
    const size_t n = (size_t)job->out->cols, groups = (size_t)job->out->groups;
    const int group = job->s->group;
    for (int o = 0; o < LANES && first + o < job->out->rows; o++) {
        const size_t row = (size_t)(first + o);
        uint8_t *to = job->out->codes + row * n + (size_t)g * (size_t)group;
        for (int i = 0; i < group; i++) to[i] = (uint8_t)codes[(size_t)i * LANES + (size_t)o];
        job->out->scale[row * groups + (size_t)g] = (float)s->scale[o];
        job->out->zero[row * groups + (size_t)g] = (float)s->zero[o];
    }
}

static void clip_item(void *arg, int64_t item, int thread)
{
    const struct clip_job *job = arg;
    const int first = (int)item * LANES, group = job->s->group;
    double *w = job->memory + (size_t)thread * 2 * (size_t)group * LANES, *codes = w + (size_t)group * LANES;
    struct lane_scales s;
    for (int g = 0; g < job->out->groups; g++) {
        group_of(job, first, g, w);
        lane_scales_choose(job->w->ops, job->s, w, group, job->cost + g * group, &s);
        const struct rounding r = {s.scale, s.divisor, s.zero, code_least(job->s), code_most(job->s)};
        for (int i = 0; i < group; i++)
            job->w->ops->round(w + (size_t)i * LANES, &r, 1.0, codes + (size_t)i * LANES);
        store(job, first, g, &s, codes);
    }
}

gpt2q_status clip_run(const struct workers *w, const float *weights, int rows, int cols, const double *cost,
                      struct scheme scheme, const struct code_scheme *codes, struct coded *out,
                      gpt2q_error *err)
{
    const size_t doubles = (size_t)w->crew->n_threads * 2 * (size_t)codes->group * LANES;
    double *ones = mem_array((size_t)cols, sizeof *ones);
    struct clip_job job = {w, weights, cost ? cost : ones, codes, out, mem_array(doubles, sizeof(double))};
    gpt2q_status s = job.memory && ones ? coded_create(out, scheme, rows, cols, codes->group, err)
                                        : error_memory(err, "the clip search", doubles * sizeof(double));
    for (int i = 0; i < cols && !s; i++) ones[i] = 1.0;
    if (!s) crew_each(w->crew, (rows + LANES - 1) / LANES, clip_item, &job);
    mem_free(job.memory);
    mem_free(ones);
    return s;
}
