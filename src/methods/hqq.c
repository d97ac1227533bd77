/* The mean error decides when the repetitions end. It is one chain of double over the groups in order, so
 * it does not depend on threads. */
#include "base/memory.h"
#include "kernels/scalar_math.h"
#include "methods/rounding.h"
#include "methods/square.h"
#include <math.h>

#define BETA         10.0
#define POWER        -0.3 /* p - 1 */
#define VANISHES     0.17 /* |d|^-0.3 / 10 is more than |d| up to 0.1^(1/1.3) = 0.1701 */
#define ROWS_OF_ITEM 8

struct hqq_job {
    const float *weights;
    struct coded *out;
    int bits, group;
    double *r, *z, *error; /* (rows, groups); error: sum of |d| */
};

static double clamp_code(double x, double top) { return x > 0.0 ? x < top ? x : top : 0.0; }

static void begin_group(const struct hqq_job *job, const float *w, size_t at)
{
    double least = (double)w[0], greatest = least, top = (double)((1 << job->bits) - 1);
    for (int i = 1; i < job->group; i++) {
        least = (double)w[i] < least ? (double)w[i] : least;
        greatest = (double)w[i] > greatest ? (double)w[i] : greatest;
    }
    const double range = greatest - least;
    job->r[at] = range > 1e-4 ? top / range : 1.0;
    if (job->r[at] > 2e4) job->r[at] = 2e4;
    job->z[at] = -least * job->r[at];
}

/* |d| - |d|^-0.3 / 10, or 0 where that is negative. For most weights the error is so small that it is 0. */
static double shrink(double d)
{
    const double a = fabs(d);
    if (a <= VANISHES) return 0.0;
    const double left = a - math_exp(POWER * math_log(a)) / BETA;
    return left > 0.0 ? copysign(left, d) : 0.0;
}

static void move_group(const struct hqq_job *job, const float *w, size_t at)
{
    const double r = job->r[at], z = job->z[at], top = (double)((1 << job->bits) - 1);
    double sum = 0, error = 0;
    for (int i = 0; i < job->group; i++) {
        const double x = (double)w[i], q = clamp_code(rint(x * r + z), top), d = x - (q - z) / r;
        error += fabs(d);
        sum += q - (x - shrink(d)) * r;
    }
    job->error[at] = error;
    job->z[at] = sum / job->group;
}

static void end_group(const struct hqq_job *job, const float *w, size_t at, uint8_t *codes)
{
    const double r = job->r[at], z = job->z[at], top = (double)((1 << job->bits) - 1);
    for (int i = 0; i < job->group; i++) codes[i] = (uint8_t)clamp_code(rint((double)w[i] * r + z), top);
    job->out->scale[at] = (float)round_to_f16(1.0 / r);
    job->out->zero[at] = (float)round_to_f16(z);
}

enum hqq_step { BEGIN, MOVE, END };
struct hqq_round {
    const struct hqq_job *job;
    enum hqq_step step;
};

static void rows_item(void *arg, int64_t item, int thread)
{
    const struct hqq_round *round = arg;
    const struct hqq_job *job = round->job;
    const size_t cols = (size_t)job->out->cols, groups = (size_t)job->out->groups;
    (void)thread;
    for (int o = (int)item * ROWS_OF_ITEM; o < ((int)item + 1) * ROWS_OF_ITEM && o < job->out->rows; o++)
        for (size_t g = 0; g < groups; g++) {
            const size_t first = (size_t)o * cols + g * (size_t)job->group, at = (size_t)o * groups + g;
            const float *w = job->weights + first;
            if (round->step == BEGIN)
                begin_group(job, w, at);
            else if (round->step == MOVE)
                move_group(job, w, at);
            else
                end_group(job, w, at, job->out->codes + first);
        }
}

static void each(const struct workers *w, const struct hqq_job *job, enum hqq_step step)
{
    struct hqq_round round = {job, step};
    crew_each(w->crew, (job->out->rows + ROWS_OF_ITEM - 1) / ROWS_OF_ITEM, rows_item, &round);
}

static void repeat(const struct workers *w, const struct hqq_job *job, int iterations,
                   struct hqq_report *report)
{
    const size_t n = (size_t)job->out->rows * (size_t)job->out->groups;
    double last = INFINITY;
    each(w, job, BEGIN);
    for (report->repetitions = 0; report->repetitions < iterations;) {
        double now = 0;
        each(w, job, MOVE);
        for (size_t i = 0; i < n; i++) now += job->error[i];
        now /= (double)job->out->rows * (double)job->out->cols;
        report->mean_errors[report->repetitions++] = now;
        if (now >= last) break;
        last = now;
    }
    each(w, job, END);
}

gpt2q_status hqq_run(const struct workers *w, const float *weights, int rows, int cols, struct scheme scheme,
                     int bits, int group, int iterations, struct coded *out, struct hqq_report *report,
                     gpt2q_error *err)
{
    gpt2q_status s = coded_create(out, scheme, rows, cols, group, err);
    if (s) return s;
    const size_t n = (size_t)rows * (size_t)out->groups;
    struct hqq_job job = {.weights = weights, .out = out, .bits = bits, .group = group};
    job.r = mem_array(n, sizeof *job.r);
    job.z = mem_array(n, sizeof *job.z);
    job.error = mem_array(n, sizeof *job.error);
    if (job.r && job.z && job.error)
        repeat(w, &job, iterations, report);
    else
        s = error_memory(err, "half-quadratic quantization", 3 * n * sizeof(double));
    mem_free(job.r);
    mem_free(job.z);
    mem_free(job.error);
    if (s) coded_free(out);
    return s;
}
