/* Refinement after GPTQ. Given codes, it finds the scales with the least loss: a system of groups by
 * groups for each output. Given scales, it gives every input in order its best code. Both only lower the
 * loss e H e^T, except for the rounding of scales. */
#include "methods/panel.h"
#include <math.h>
#include <string.h>

#define BLOCK 64

static double *row(double *p, int i) { return p + (size_t)i * LANES; }

/* c (n, LANES) = H[:, k0 .. k0+k-1] b, for the rows from r0 on. */
static void times_h(const struct panel_job *job, int r0, int k0, int k, const double *b, double *c)
{
    const struct square *h = job->h;
    const struct dense_product p = {.m = h->n - r0,
                                    .n = LANES,
                                    .k = k,
                                    .a = square_row(h, k0) + r0, /* H is symmetric: rows are columns */
                                    .a_row = 1,
                                    .a_k = h->ld,
                                    .b = b,
                                    .ldb = LANES,
                                    .c = c,
                                    .ldc = LANES};
    memset(c, 0, (size_t)p.m * LANES * sizeof *c);
    job->w->ops->product(&p);
}

static void values_of(const struct panel_job *job, struct panel *p)
{
    for (int i = 0; i < job->m->cols; i++) {
        const struct lane_scales *s = &p->scales[i / job->s.group];
        for (int o = 0; o < LANES; o++)
            row(p->value, i)[o] = (row(p->codes, i)[o] - s->zero[o]) * s->scale[o];
    }
}

/* pull = E H for E = target - value. */
static void pull_of(const struct panel_job *job, struct panel *p)
{
    const size_t n = (size_t)job->m->cols * LANES;
    for (size_t i = 0; i < n; i++) p->v[i] = p->target[i] - p->value[i];
    times_h(job, 0, 0, job->m->cols, p->v, p->pull);
}

static void note_loss(const struct panel_job *job, struct panel *p, int first, int pass)
{
    double sums[LANES] = {0};
    for (int i = 0; i < job->m->cols; i++)
        for (int o = 0; o < LANES; o++)
            sums[o] += row(p->pull, i)[o] * (row(p->target, i)[o] - row(p->value, i)[o]);
    for (int o = 0; o < LANES && first + o < job->m->rows; o++)
        job->losses[(size_t)pass * (size_t)job->m->rows + (size_t)(first + o)] = sums[o];
}

/* ---- scales ---- */

static double *normal_at(const struct panel *p, int g, int h)
{
    return p->normal + ((size_t)g * (size_t)(g + 1) / 2 + (size_t)h) * LANES;
}

/* Builds the equations A s = b: A_gh = B_g H_gh B_h and b_g = (H w)_g B_g for B = code - zero. */
static void normal_equations(const struct panel_job *job, struct panel *p)
{
    const int n = job->m->cols, group = job->s.group;
    for (int i = 0; i < n; i++) /* B, over the values */
        for (int o = 0; o < LANES; o++)
            row(p->value, i)[o] = row(p->codes, i)[o] - p->scales[i / group].zero[o];
    memset(p->right, 0, (size_t)job->groups * LANES * sizeof *p->right);
    for (int i = 0; i < n; i++)
        job->w->ops->multiply_sum(row(p->scratch, i), row(p->value, i), row(p->right, i / group));
    for (int h = 0; h < job->groups; h++) {
        const int k0 = h * group;
        times_h(job, k0, k0, group, row(p->value, k0), row(p->v, k0));
        for (int g = h; g < job->groups; g++) {
            double *sums = normal_at(p, g, h);
            memset(sums, 0, LANES * sizeof *sums);
            for (int i = g * group; i < (g + 1) * group; i++)
                job->w->ops->multiply_sum(row(p->v, i), row(p->value, i), sums);
        }
    }
}

/* Factors A = L D L^T in place, after adding 1e-8 of the mean diagonal. Then `right` becomes s. */
static void solve_scales(const struct panel_job *job, struct panel *p)
{
    const int groups = job->groups;
    for (int o = 0; o < LANES; o++) {
        double sum = 0;
        for (int g = 0; g < groups; g++) sum += normal_at(p, g, g)[o];
        for (int g = 0; g < groups; g++) normal_at(p, g, g)[o] += 1e-8 * (sum / groups) + 1e-30;
    }
    for (int g = 0; g < groups; g++) {
        for (int h = 0; h < g; h++) /* row g so far holds L D */
            for (int k = 0; k < h; k++) {
                double *to = normal_at(p, g, h);
                const double *a = normal_at(p, g, k), *b = normal_at(p, h, k);
                for (int o = 0; o < LANES; o++) to[o] = fma(-a[o], b[o], to[o]);
            }
        for (int h = 0; h < g; h++) {
            double *l = normal_at(p, g, h), *d = normal_at(p, g, g);
            for (int o = 0; o < LANES; o++) {
                const double ld = l[o];
                l[o] = ld / normal_at(p, h, h)[o];
                d[o] = fma(-ld, l[o], d[o]);
            }
        }
    }
    for (int g = 0; g < groups; g++)
        for (int h = 0; h < g; h++)
            for (int o = 0; o < LANES; o++)
                row(p->right, g)[o] = fma(-normal_at(p, g, h)[o], row(p->right, h)[o], row(p->right, g)[o]);
    for (int g = groups - 1; g >= 0; g--)
        for (int o = 0; o < LANES; o++) {
            double s = row(p->right, g)[o] / normal_at(p, g, g)[o];
            for (int h = g + 1; h < groups; h++) s = fma(-normal_at(p, h, g)[o], row(p->right, h)[o], s);
            row(p->right, g)[o] = s;
        }
}

static void refit(const struct panel_job *job, struct panel *p)
{
    times_h(job, 0, 0, job->m->cols, p->target, p->scratch);
    normal_equations(job, p);
    solve_scales(job, p);
    for (int g = 0; g < job->groups; g++)
        for (int o = 0; o < LANES; o++) {
            const double s = stored_scale(&job->s, row(p->right, g)[o]);
            if (!isfinite(s) || s == 0.0) continue;
            p->scales[g].scale[o] = p->scales[g].divisor[o] = s;
        }
}

/* ---- codes ---- */

static void descend(const struct panel_job *job, struct panel *p)
{
    const struct square *h = job->h;
    const struct dense_ops *ops = job->w->ops;
    const int n = job->m->cols;
    for (int b0 = 0; b0 < n; b0 += BLOCK) {
        const int b1 = b0 + BLOCK < n ? b0 + BLOCK : n;
        for (int j = b0; j < b1; j++) {
            const struct rounding r = lane_rounding(job, &p->scales[j / job->s.group]);
            for (int o = 0; o < LANES && p->rounded; o++)
                row(p->rounded, j)[o] = row(p->value, j)[o] + row(p->pull, j)[o] / square_row(h, j)[j];
            ops->descend(row(p->value, j), row(p->pull, j), square_row(h, j)[j], &r, row(p->codes, j),
                         row(p->scratch, j));
            for (int l = b0; l < b1; l++) ops->axpy(row(p->scratch, j), square_row(h, j)[l], row(p->pull, l));
        }
        const struct dense_product before = {.m = b0,
                                             .n = LANES,
                                             .k = b1 - b0,
                                             .a = square_row(h, b0),
                                             .a_row = 1,
                                             .a_k = h->ld,
                                             .b = row(p->scratch, b0),
                                             .ldb = LANES,
                                             .c = p->pull,
                                             .ldc = LANES,
                                             .subtract = true};
        ops->product(&before);
        struct dense_product after = before;
        after.m = n - b1, after.a = square_row(h, b0) + b1, after.c = row(p->pull, b1);
        ops->product(&after);
    }
}

void panel_refine(const struct panel_job *job, struct panel *p, int first)
{
    values_of(job, p);
    pull_of(job, p);
    note_loss(job, p, first, 0);
    for (int pass = 1; pass <= job->o->refine; pass++) {
        refit(job, p);
        values_of(job, p);
        pull_of(job, p);
        descend(job, p);
        note_loss(job, p, first, pass);
        panel_keep(job, p, first, pass);
    }
}
