/* What GPTQ and its refinement share about LANES outputs of a matrix. Buffers are [inputs][LANES]. */
#ifndef METHODS_PANEL_H
#define METHODS_PANEL_H
#include "methods/gptq.h"

struct panel_job { /* of a matrix; all threads read it */
    const struct workers *w;
    const struct gptq_matrix *m;
    const struct gptq_options *o;
    struct code_scheme s;
    int groups;
    const int32_t *perm;    /* place in the order -> input */
    const struct square *h; /* damped; dead inputs have 1 on the diagonal */
    const double *diagonal; /* (n) H's diagonal as given */
    struct square u;        /* H^-1 = U^T U in the order of perm */
    const double *cost;     /* (n) 1 / U_jj^2 by input; NULL: no search */
    struct coded *sets;     /* [refine + 1]: the result of each pass; the first is the start */
    double *losses;         /* [refine + 1][rows] */
    double *loss_rtn;       /* [rows] the loss of plain rounding, with H as given */
    double *memory;         /* the threads' buffers */
    size_t own;             /* doubles of a thread */
};

struct panel { /* a thread's */
    double *w, *target, *v, *codes, *value, *pull, *scratch;
    double *rounded;            /* what became codes; NULL: nobody asks */
    struct lane_scales *scales; /* [groups] */
    double *normal;             /* the normal equations of the scales, lower triangle [g][h <= g][LANES] */
    double *right;              /* [groups][LANES] */
};

/* Makes the passes over a panel whose codes, scales and target are chosen. Records set and losses from
 * pass 0 (the start) on. */
void panel_refine(const struct panel_job *job, struct panel *p, int first);
/* Keeps the panel's codes and scales as set number `pass`. */
void panel_keep(const struct panel_job *job, const struct panel *p, int first, int pass);
/* losses (LANES) = e H e^T for e [n][LANES]; scratch is [n][LANES]. `diagonal` replaces H's diagonal
 * unless it is NULL. */
void panel_loss(const struct workers *w, const struct square *h, const double *diagonal, const double *e,
                double *scratch, double *losses);
static inline struct rounding lane_rounding(const struct panel_job *job, const struct lane_scales *s)
{
    return (struct rounding){s->scale, s->divisor, s->zero, code_least(&job->s), code_most(&job->s)};
}
#endif
