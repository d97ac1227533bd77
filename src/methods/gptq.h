/* GPTQ (Frantar et al. 2022) with act-order over static groups, QEP's targets (Arai and Ichikawa 2025) and coordinate descent, for
 * one matrix W (out, in) and the moments of its inputs. Outputs are independent: they are worked on LANES at a time, all in
 * double, every sum one chain, so that threads and instruction set change no bit. */
#ifndef METHODS_GPTQ_H
#define METHODS_GPTQ_H
#include "methods/grids.h"
#include "methods/hessian.h"

#define REFINE_MAX 16

struct gptq_options {
    double damp;    /* times the mean of H's diagonal, added to it */
    bool act_order; /* inputs in the order of a falling diagonal, scales from the uncorrected weights */
    double qep;     /* 0: aim at W; 1: at W + W D (H + damping)^-1 */
    int refine;     /* passes of scale refit and coordinate descent, 0 .. REFINE_MAX */
    bool search;    /* clip search with weights 1 / U_jj^2 */
};

struct gptq_matrix {
    const char *name;
    int rows, cols;
    const float *w;           /* (rows, cols) */
    struct square *h;         /* its diagonal is damped while gptq_run works, and restored */
    const struct square *d;   /* NULL or empty where there is no reference */
    struct scheme scheme;     /* noted in the result */
    struct code_scheme codes; /* of scheme */
};

struct gptq_report {
    double loss_rtn, loss; /* sum over outputs of e H e^T with H as given */
    double refine_losses[REFINE_MAX +
                         1]; /* with the damped H and the target, at the start and after each pass */
    double damping;          /* what was added to the diagonal, over its mean */
    int dead;                /* inputs that are always 0 */
};

/* *out is created here. Refused: inputs that are not finite, and an H that has no factor with any damping. */
gpt2q_status gptq_run(const struct workers *w, const struct gptq_matrix *m, const struct gptq_options *o,
                      struct coded *out, struct gptq_report *report, gpt2q_error *err);

/* Sum over outputs of e H e^T for e = W - W', W' being *c. */
gpt2q_status matrix_loss(const struct workers *w, const float *weights, const struct coded *c,
                         const struct square *h, double *loss, gpt2q_error *err);
#endif
