#include "methods/awq.h"
#include "base/memory.h"
#include "kernels/scalar_math.h"
#include "methods/panel.h"
#include <math.h>
#include <string.h>

/* x^p for x >= 0 by the project's own logarithm. */
static double power(double x, double p) { return p == 0.0 ? 1.0 : x > 0.0 ? math_exp(p * math_log(x)) : 0.0; }

void smoothquant_scale(const float *weights, int rows, int cols, const float *max_abs, double alpha,
                       double *scale)
{
    for (int j = 0; j < cols; j++) {
        double most = 1e-5;
        for (int o = 0; o < rows; o++) {
            const double x = fabs((double)weights[(size_t)o * (size_t)cols + (size_t)j]);
            most = x > most ? x : most;
        }
        const double s = power((double)max_abs[j], alpha) / power(most, 1.0 - alpha);
        scale[j] = s > 1e-5 ? s : 1e-5;
    }
}

static void scale_of_step(const double *mean, int n, int step, double *scale)
{
    double least = INFINITY, most = 0;
    for (int j = 0; j < n; j++) {
        const double s = power(mean[j], (double)step / AWQ_STEPS);
        scale[j] = s > 1e-4 ? s : 1e-4;
        least = scale[j] < least ? scale[j] : least;
        most = scale[j] > most ? scale[j] : most;
    }
    const double middle = sqrt(most * least);
    for (int j = 0; j < n; j++) scale[j] /= middle;
}

struct awq_job {
    const struct workers *w;
    const float *weights;
    int rows, cols;
    const struct square *h;
    const struct code_scheme *s;
    const double *scale;
    double *losses, *memory; /* memory: three panels per thread */
};

static void panel_item(void *arg, int64_t item, int thread)
{
    const struct awq_job *job = arg;
    const int first = (int)item * LANES, n = job->cols;
    double *w = job->memory + (size_t)thread * 3 * (size_t)n * LANES, *e = w + (size_t)n * LANES,
           *codes = e + (size_t)n * LANES;
    double losses[LANES];
    struct lane_scales s;
    for (int o = 0; o < LANES; o++) {
        const bool there = first + o < job->rows;
        const float *from = job->weights + (size_t)(there ? first + o : 0) * (size_t)n;
        for (int j = 0; j < n; j++)
            w[(size_t)j * LANES + (size_t)o] = there ? (double)from[j] * job->scale[j] : 0.0;
    }
    memcpy(e, w, (size_t)n * LANES * sizeof *e);
    for (int j = 0; j < n; j++) {
        if (j % job->s->group == 0)
            lane_scales_choose(job->w->ops, job->s, w + (size_t)j * LANES, job->s->group, NULL, &s);
        const struct rounding r = {s.scale, s.divisor, s.zero, code_least(job->s), code_most(job->s)};
        job->w->ops->round(e + (size_t)j * LANES, &r, job->scale[j], codes);
    }
    panel_loss(job->w, job->h, NULL, e, codes, losses);
    for (int o = 0; o < LANES && first + o < job->rows; o++) job->losses[first + o] = losses[o];
}

gpt2q_status awq_scale(const struct workers *w, const float *weights, int rows, int cols,
                       const struct square *h, const double *mean, const struct code_scheme *codes,
                       double *scale, struct awq_report *report, gpt2q_error *err)
{
    const size_t doubles = (size_t)w->crew->n_threads * 3 * (size_t)cols * LANES;
    struct awq_job job = {w, weights, rows, cols, h, codes, scale, NULL, NULL};
    job.losses = mem_array((size_t)rows, sizeof *job.losses);
    job.memory = mem_array(doubles, sizeof *job.memory);
    gpt2q_status s = job.losses && job.memory ? GPT2Q_OK : error_memory(err, "AWQ", doubles * sizeof(double));
    report->step = 0;
    for (int step = 0; step < AWQ_STEPS && !s; step++) {
        double loss = 0;
        scale_of_step(mean, cols, step, scale);
        crew_each(w->crew, (rows + LANES - 1) / LANES, panel_item, &job);
        for (int o = 0; o < rows; o++) loss += job.losses[o];
        report->losses[step] = loss;
        if (loss < report->losses[report->step]) report->step = step;
    }
    if (!s) scale_of_step(mean, cols, report->step, scale);
    mem_free(job.losses);
    mem_free(job.memory);
    return s;
}
