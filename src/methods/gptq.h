/* GPTQ (Frantar et al. 2022) for one matrix W (out, in) and the moments of its inputs, with act-order over
 * static groups, QEP's targets (Arai and Ichikawa 2025) and coordinate descent. Outputs are independent.
 * LANES of them are processed together, in double. Every sum is one chain, so threads and instruction set
 * change no bit. */
#ifndef METHODS_GPTQ_H
#define METHODS_GPTQ_H
#include "methods/grids.h"
#include "methods/hessian.h"

#define REFINE_MAX 16

struct gptq_options {
    double damp;       /* this times the mean of H's diagonal is added to the diagonal */
    bool act_order;    /* inputs in descending order of the diagonal; scales from the uncorrected weights */
    double qep;        /* 0: aim at W; 1: at W + W D (H + damping)^-1 */
    int refine;        /* passes of scale refit and coordinate descent, 0 .. REFINE_MAX */
    bool keep_rounded; /* the result says which values were rounded to its codes */
    bool search;       /* clip search with weights 1 / U_jj^2 */
};

struct gptq_matrix {
    const char *name;
    int rows, cols;
    const float *w;           /* (rows, cols) */
    struct square *h;         /* gptq_run adds damping to its diagonal and restores it */
    const struct square *d;   /* NULL or empty if there is no reference */
    struct scheme scheme;     /* recorded in the result */
    struct code_scheme codes; /* of scheme */
};

struct gptq_report {
    double loss_rtn, loss; /* sum over outputs of e H e^T with H as given */
    double refine_losses[REFINE_MAX +
                         1]; /* With the damped H and the target: at the start and after each pass. */
    double damping;          /* added to the diagonal, relative to its mean */
    int dead;                /* inputs that are always 0 */
};

/* Creates *out. Refused: inputs that are not finite, and an H that has no factor with any damping. */
gpt2q_status gptq_run(const struct workers *w, const struct gptq_matrix *m, const struct gptq_options *o,
                      struct coded *out, struct gptq_report *report, gpt2q_error *err);

/* The sum over outputs of e H e^T for e = W - W', where *c gives W'. */
gpt2q_status matrix_loss(const struct workers *w, const float *weights, const struct coded *c,
                         const struct square *h, double *loss, gpt2q_error *err);
#endif
