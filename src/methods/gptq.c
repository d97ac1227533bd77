#include "methods/gptq.h"
#include "base/memory.h"
#include "methods/panel.h"
#include <math.h>
#include <string.h>

#define BLOCK 64 /* inputs whose errors are pushed on together */

static double *row(double *p, int i) { return p + (size_t)i * LANES; }

/* ---- a panel ---- */

static void load(const struct panel_job *job, int first, double *w)
{
    const int n = job->m->cols;
    for (int o = 0; o < LANES; o++) {
        const bool there = first + o < job->m->rows;
        const float *from = job->m->w + (size_t)(there ? first + o : 0) * (size_t)n;
        for (int i = 0; i < n; i++) row(w, i)[o] = there ? (double)from[i] : 0.0;
    }
}

static void clear_dead(const struct panel_job *job, double *w)
{
    for (int i = 0; i < job->m->cols; i++)
        if (job->diagonal[i] == 0.0) memset(row(w, i), 0, LANES * sizeof *w);
}

/* Writes U v or U^T v to out; U is upper triangular. */
static void times_u(const struct panel_job *job, bool turned, const double *v, double *out)
{
    const struct square *u = &job->u;
    memset(out, 0, (size_t)u->n * LANES * sizeof *out);
    for (int r0 = 0; r0 < u->n; r0 += BLOCK) {
        const int r1 = r0 + BLOCK < u->n ? r0 + BLOCK : u->n, k0 = turned ? 0 : r0, k1 = turned ? r1 : u->n;
        const struct dense_product p = {.m = r1 - r0,
                                        .n = LANES,
                                        .k = k1 - k0,
                                        .a = turned ? square_row(u, k0) + r0 : square_row(u, r0) + k0,
                                        .a_row = turned ? 1 : u->ld,
                                        .a_k = turned ? u->ld : 1,
                                        .b = v + (size_t)k0 * LANES,
                                        .ldb = LANES,
                                        .c = row(out, r0),
                                        .ldc = LANES};
        job->w->ops->product(&p);
    }
}

/* target = W + qep W D H^-1, where H^-1 = U^T U in the order of perm. */
static void aim(const struct panel_job *job, struct panel *p)
{
    const int n = job->m->cols;
    memcpy(p->target, p->w, (size_t)n * LANES * sizeof *p->w);
    if (!job->m->d || !job->m->d->at || job->o->qep == 0.0) return;
    const struct dense_product wd = {.m = n,
                                     .n = LANES,
                                     .k = n,
                                     .a = job->m->d->at,
                                     .a_row = 1,
                                     .a_k = job->m->d->ld,
                                     .b = p->w,
                                     .ldb = LANES,
                                     .c = p->pull,
                                     .ldc = LANES};
    memset(p->pull, 0, (size_t)n * LANES * sizeof *p->pull);
    job->w->ops->product(&wd);
    for (int k = 0; k < n; k++) memcpy(row(p->v, k), row(p->pull, job->perm[k]), LANES * sizeof *p->v);
    times_u(job, false, p->v, p->scratch);
    times_u(job, true, p->scratch, p->v);
    for (int k = 0; k < n; k++) {
        double *to = row(p->target, job->perm[k]);
        for (int o = 0; o < LANES; o++) to[o] += job->o->qep * row(p->v, k)[o];
    }
}

/* Chooses the scales of group g from its weights [group][LANES]. */
static void choose(const struct panel_job *job, struct panel *p, int g, const double *w)
{
    const int at = g * job->s.group;
    lane_scales_choose(job->w->ops, &job->s, w, job->s.group, job->cost ? job->cost + at : NULL,
                       &p->scales[g]);
}

/* The end of the block that begins at b0. Without act-order, a group's scales depend on all errors before
 * it. So the group's first input begins a block, or a block holds the whole group. */
static int block_end(const struct panel_job *job, int b0)
{
    const int n = job->m->cols, group = job->s.group;
    int end = b0 + BLOCK;
    if (!job->o->act_order)
        end = group <= BLOCK                   ? b0 + BLOCK / group * group
              : end < (b0 / group + 1) * group ? end
                                               : (b0 / group + 1) * group;
    return end < n ? end : n;
}

/* GPTQ's loop over v, the target in the order of perm. */
static void push_errors(const struct panel_job *job, struct panel *p)
{
    const struct square *u = &job->u;
    const struct dense_ops *ops = job->w->ops;
    const int n = job->m->cols;
    for (int k = 0; k < n; k++) memcpy(row(p->v, k), row(p->target, job->perm[k]), LANES * sizeof *p->v);
    for (int b0 = 0, b1; b0 < n; b0 = b1) {
        b1 = block_end(job, b0);
        for (int k = b0; k < b1; k++) {
            const int j = job->perm[k], g = j / job->s.group;
            if (!job->o->act_order && k % job->s.group == 0) choose(job, p, g, row(p->v, k));
            const struct rounding r = lane_rounding(job, &p->scales[g]);
            if (p->rounded) memcpy(row(p->rounded, j), row(p->v, k), LANES * sizeof *p->v);
            ops->round(row(p->v, k), &r, square_row(u, k)[k], row(p->codes, j));
            for (int l = k + 1; l < b1; l++) ops->axpy(row(p->v, k), square_row(u, k)[l], row(p->v, l));
        }
        const struct dense_product rest = {.m = n - b1,
                                           .n = LANES,
                                           .k = b1 - b0,
                                           .a = square_row(u, b0) + b1,
                                           .a_row = 1,
                                           .a_k = u->ld,
                                           .b = row(p->v, b0),
                                           .ldb = LANES,
                                           .c = row(p->v, b1),
                                           .ldc = LANES,
                                           .subtract = true};
        ops->product(&rest);
    }
}

void panel_keep(const struct panel_job *job, const struct panel *p, int first, int pass)
{
    const struct coded *set = &job->sets[pass];
    const size_t n = (size_t)job->m->cols, groups = (size_t)job->groups;
    for (int o = 0; o < LANES && first + o < job->m->rows; o++) {
        const size_t at = (size_t)(first + o);
        for (size_t i = 0; i < n; i++) set->codes[at * n + i] = (uint8_t)p->codes[i * LANES + (size_t)o];
        for (size_t i = 0; i < n && p->rounded; i++)
            set->rounded[at * n + i] = (float)p->rounded[i * LANES + (size_t)o];
        for (size_t g = 0; g < groups; g++) {
            set->scale[at * groups + g] = (float)p->scales[g].scale[o];
            set->zero[at * groups + g] = (float)p->scales[g].zero[o];
        }
    }
}

void panel_loss(const struct workers *w, const struct square *h, const double *diagonal, const double *e,
                double *scratch, double *losses)
{
    memset(losses, 0, LANES * sizeof *losses);
    for (int r0 = 0; r0 < h->n; r0 += BLOCK) {
        const int r1 = r0 + BLOCK < h->n ? r0 + BLOCK : h->n;
        /* entries right of the diagonal block count twice */
        for (int half = 0; half < 2; half++) {
            const int k0 = half ? r1 : r0, k1 = half ? h->n : r1;
            const struct dense_product p = {.m = r1 - r0,
                                            .n = LANES,
                                            .k = k1 - k0,
                                            .a = square_row(h, r0) + k0,
                                            .a_row = h->ld,
                                            .a_k = 1,
                                            .b = e + (size_t)k0 * LANES,
                                            .ldb = LANES,
                                            .c = scratch,
                                            .ldc = LANES};
            memset(scratch, 0, (size_t)p.m * LANES * sizeof *scratch);
            w->ops->product(&p);
            for (int i = r0; i < r1; i++)
                for (int o = 0; o < LANES; o++) {
                    const double x = e[(size_t)i * LANES + (size_t)o];
                    double y = row(scratch, i - r0)[o] * (half ? 2.0 : 1.0);
                    if (!half && diagonal) y += (diagonal[i] - square_row(h, i)[i]) * x;
                    losses[o] += x * y;
                }
        }
    }
}

/* Losses e H e^T of the original weights: of plain rounding, and of the panel's set `pass`. */
static void note_rtn(const struct panel_job *job, struct panel *p, int first)
{
    double losses[LANES];
    struct lane_scales s;
    const int n = job->m->cols;
    for (int i = 0; i < n; i++) {
        if (i % job->s.group == 0)
            lane_scales_choose(job->w->ops, &job->s, row(p->w, i), job->s.group, NULL, &s);
        const struct rounding r = lane_rounding(job, &s);
        double *e = row(p->v, i);
        memcpy(e, row(p->w, i), LANES * sizeof *e);
        job->w->ops->round(e, &r, 1.0, row(p->value, i));
    }
    panel_loss(job->w, job->h, job->diagonal, p->v, p->scratch, losses);
    for (int o = 0; o < LANES && first + o < job->m->rows; o++) job->loss_rtn[first + o] = losses[o];
}

static struct panel panel_of(const struct panel_job *job, int thread)
{
    double *at = job->memory + (size_t)thread * job->own;
    const size_t n = (size_t)job->m->cols * LANES;
    struct panel p = {0};
    double **buffers[] = {&p.w, &p.target, &p.v, &p.codes, &p.value, &p.pull, &p.scratch, &p.rounded};
    for (size_t i = 0; i < 7 + (size_t)job->o->keep_rounded; i++, at += n) *buffers[i] = at;
    p.scales = (struct lane_scales *)at;
    at += (size_t)job->groups * (sizeof *p.scales / sizeof *at);
    p.right = at;
    p.normal = at + (size_t)job->groups * LANES;
    return p;
}

static void panel_item(void *arg, int64_t item, int thread)
{
    const struct panel_job *job = arg;
    const int first = (int)item * LANES;
    struct panel p = panel_of(job, thread);
    load(job, first, p.w);
    clear_dead(job, p.w);
    note_rtn(job, &p, first);
    aim(job, &p);
    clear_dead(job, p.target);
    for (int g = 0; g < job->groups && job->o->act_order; g++)
        choose(job, &p, g, row(p.target, g * job->s.group));
    push_errors(job, &p);
    panel_keep(job, &p, first, 0);
    if (job->o->refine) panel_refine(job, &p, first);
}

/* ---- a matrix ---- */

/* Sorts in descending order; of equals the lower index comes first. It is a merge sort, so it is stable. */
static void sort_inputs(const double *diagonal, int32_t *perm, int32_t *other, int n)
{
    for (int width = 1; width < n; width *= 2) {
        for (int a = 0; a < n; a += 2 * width) {
            const int b = a + width < n ? a + width : n, end = b + width < n ? b + width : n;
            int i = a, j = b;
            for (int k = a; k < end; k++) {
                const bool left = i < b && (j >= end || diagonal[perm[i]] >= diagonal[perm[j]]);
                other[k] = left ? perm[i++] : perm[j++];
            }
        }
        memcpy(perm, other, (size_t)n * sizeof *perm);
    }
}

/* Adds damping to H, whose diagonal was `diagonal`, and makes U. Damping rises tenfold until H has a
 * factor. */
static gpt2q_status prepare(struct panel_job *job, struct square *h, const double *diagonal, int32_t *perm,
                            double *cost, struct gptq_report *report, gpt2q_error *err)
{
    const int n = h->n;
    double mean = 0;
    for (int i = 0; i < n; i++) {
        if (!isfinite(diagonal[i]))
            return error_set(err, GPT2Q_UNSUPPORTED, "%s: its inputs are not finite numbers (input %d)",
                             job->m->name, i);
        if (diagonal[i] == 0.0) square_row(h, i)[i] = 1.0, report->dead++;
        mean += square_row(h, i)[i];
        perm[i] = i;
    }
    mean /= n;
    double *keyed = mem_array((size_t)n, sizeof *keyed);
    int32_t *other = mem_array((size_t)n, sizeof *other);
    gpt2q_status s = keyed && other ? GPT2Q_OK : error_memory(err, "the order of inputs", (size_t)n * 12);
    for (int i = 0; i < n && !s; i++) keyed[i] = square_row(h, i)[i];
    if (!s && job->o->act_order) sort_inputs(keyed, perm, other, n);
    mem_free(keyed);
    mem_free(other);
    bool positive = false;
    report->damping = job->o->damp;
    for (int tries = 0; !s && !positive && tries < 12; tries++) {
        if (tries) report->damping = report->damping > 0.0 ? 10.0 * report->damping : 1e-4;
        s = inverse_factor(job->w, h, report->damping * mean, perm, &job->u, &positive, err);
    }
    if (s) return s;
    if (!positive)
        return error_set(err, GPT2Q_UNSUPPORTED,
                         "%s: the Hessian of its inputs has no factor, whatever the damping", job->m->name);
    for (int i = 0; i < n; i++) square_row(h, i)[i] += report->damping * mean;
    for (int k = 0; k < n; k++) cost[perm[k]] = 1.0 / (square_row(&job->u, k)[k] * square_row(&job->u, k)[k]);
    return GPT2Q_OK;
}

static double sum_of(const double *x, int n)
{
    double sum = 0;
    for (int i = 0; i < n; i++) sum += x[i];
    return sum;
}

struct work { /* memory of a run */
    double *diagonal, *cost;
    int32_t *perm;
    struct coded sets[REFINE_MAX + 1];
};

static gpt2q_status create_work(struct panel_job *job, struct work *k, gpt2q_error *err)
{
    const size_t n = (size_t)job->m->cols, rows = (size_t)job->m->rows, groups = (size_t)job->groups;
    const size_t threads = (size_t)job->w->crew->n_threads, passes = (size_t)job->o->refine + 1;
    job->own = (7 + (size_t)job->o->keep_rounded) * n * LANES +
               groups * (sizeof(struct lane_scales) / sizeof(double)) + groups * LANES;
    if (job->o->refine) job->own += groups * (groups + 1) / 2 * LANES;
    k->diagonal = mem_array(n, sizeof *k->diagonal);
    k->cost = mem_array(n, sizeof *k->cost);
    k->perm = mem_array(n, sizeof *k->perm);
    job->memory = mem_array(threads * job->own, sizeof(double));
    job->losses = mem_zarray(passes * rows, sizeof(double));
    job->loss_rtn = mem_zarray(rows, sizeof(double));
    if (!k->diagonal || !k->cost || !k->perm || !job->memory || !job->losses || !job->loss_rtn)
        return error_memory(err, "GPTQ", threads * job->own * sizeof(double));
    gpt2q_status s = GPT2Q_OK;
    for (size_t i = 0; i < passes && !s; i++)
        s = coded_create(&k->sets[i], job->m->scheme, job->m->rows, job->m->cols, job->s.group, err);
    for (size_t i = 0; i < passes && !s && job->o->keep_rounded; i++) {
        k->sets[i].rounded = mem_array(rows, n * sizeof(float));
        if (!k->sets[i].rounded)
            s = error_memory(err, "the values that GPTQ rounds", rows * n * sizeof(float));
    }
    job->sets = k->sets;
    return s;
}

static void free_work(struct panel_job *job, struct work *k)
{
    mem_free(k->diagonal);
    mem_free(k->cost);
    mem_free(k->perm);
    mem_free(job->memory);
    mem_free(job->losses);
    mem_free(job->loss_rtn);
    square_free(&job->u);
    for (int i = 0; i <= REFINE_MAX; i++) coded_free(&k->sets[i]);
}

/* The pass with the least loss; the first of equals. */
static void take_best(const struct panel_job *job, struct work *k, struct coded *out,
                      struct gptq_report *report)
{
    int best = 0;
    for (int i = 0; i <= job->o->refine; i++) {
        report->refine_losses[i] = sum_of(job->losses + (size_t)i * (size_t)job->m->rows, job->m->rows);
        if (report->refine_losses[i] < report->refine_losses[best]) best = i;
    }
    *out = k->sets[best];
    k->sets[best] = (struct coded){0};
}

static gpt2q_status run(struct panel_job *job, struct work *k, struct coded *out, struct gptq_report *report,
                        gpt2q_error *err)
{
    struct square *h = job->m->h;
    gpt2q_status s = create_work(job, k, err);
    if (s) return s;
    for (int i = 0; i < h->n; i++) k->diagonal[i] = square_row(h, i)[i];
    s = prepare(job, h, k->diagonal, k->perm, k->cost, report, err);
    job->h = h;
    job->diagonal = k->diagonal;
    job->perm = k->perm;
    job->cost = job->o->search ? k->cost : NULL;
    if (!s) crew_each(job->w->crew, (job->m->rows + LANES - 1) / LANES, panel_item, job);
    for (int i = 0; i < h->n; i++) square_row(h, i)[i] = k->diagonal[i];
    if (s) return s;
    take_best(job, k, out, report);
    report->loss_rtn = sum_of(job->loss_rtn, job->m->rows);
    return GPT2Q_OK;
}

gpt2q_status gptq_run(const struct workers *w, const struct gptq_matrix *m, const struct gptq_options *o,
                      struct coded *out, struct gptq_report *report, gpt2q_error *err)
{
    struct panel_job job = {.w = w, .m = m, .o = o};
    struct work k = {0};
    *out = (struct coded){0};
    *report = (struct gptq_report){0};
    job.s = m->codes;
    job.groups = m->cols / job.s.group;
    gpt2q_status s = run(&job, &k, out, report, err);
    free_work(&job, &k);
    if (!s) s = matrix_loss(w, m->w, out, m->h, &report->loss, err);
    if (s) coded_free(out);
    return s;
}

/* ---- the loss of a coded matrix ---- */

struct loss_job {
    const struct workers *w;
    const float *weights;
    const struct coded *c;
    const struct square *h;
    double *memory, *losses;
};

static void loss_item(void *arg, int64_t item, int thread)
{
    const struct loss_job *job = arg;
    const int first = (int)item * LANES, n = job->c->cols;
    double *e = job->memory + (size_t)thread * 2 * (size_t)n * LANES, *scratch = e + (size_t)n * LANES;
    double losses[LANES];
    memset(e, 0, (size_t)n * LANES * sizeof *e);
    for (int o = 0; o < LANES && first + o < job->c->rows; o++) {
        const size_t at = (size_t)(first + o), groups = (size_t)job->c->groups;
        const float *w = job->weights + at * (size_t)n;
        const uint8_t *codes = job->c->codes + at * (size_t)n;
        for (int i = 0; i < n; i++) {
            const size_t g = at * groups + (size_t)(i / (n / job->c->groups));
            row(e, i)[o] =
                (double)w[i] - ((double)codes[i] - (double)job->c->zero[g]) * (double)job->c->scale[g];
        }
    }
    panel_loss(job->w, job->h, NULL, e, scratch, losses);
    for (int o = 0; o < LANES && first + o < job->c->rows; o++) job->losses[first + o] = losses[o];
}

gpt2q_status matrix_loss(const struct workers *w, const float *weights, const struct coded *c,
                         const struct square *h, double *loss, gpt2q_error *err)
{
    const size_t threads = (size_t)w->crew->n_threads, n = (size_t)c->cols;
    struct loss_job job = {.w = w, .weights = weights, .c = c, .h = h};
    job.memory = mem_array(threads * 2 * n * LANES, sizeof *job.memory);
    job.losses = mem_array((size_t)c->rows, sizeof *job.losses);
    gpt2q_status s = job.memory && job.losses ? GPT2Q_OK
                                              : error_memory(err, "the loss of a matrix",
                                                             threads * 2 * n * LANES * sizeof(double));
    if (!s) {
        crew_each(w->crew, (c->rows + LANES - 1) / LANES, loss_item, &job);
        *loss = sum_of(job.losses, c->rows);
    }
    mem_free(job.memory);
    mem_free(job.losses);
    return s;
}
