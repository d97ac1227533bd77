/* A model through its methods: reads the calibration texts, folds, and rounds matrix by matrix, block after block. What comes out
 * goes to quantize/quantizer.h, which writes it. */
#ifndef METHODS_RUN_H
#define METHODS_RUN_H
#include "methods/calibration.h"
#include "methods/floats.h"
#include "methods/gptq.h"
#include "methods/plan.h"
#include "quantize/quantizer.h"

/* A matrix that a method has rounded. */
struct matrix_report {
    const char *name;
    struct scheme scheme;
    bool has_loss;         /* e H e^T of its outputs is known: */
    double loss_rtn, loss; /* of rounding to nearest; of what the method chose */
    double damping;        /* gptq: over the mean of H's diagonal */
    bool damping_raised;   /* H was not positive definite with the damping asked for */
    int dead;              /* inputs that are always 0 */
    bool few_tokens;       /* fewer tokens than inputs: only damping makes H regular */
};

struct methods_hooks { /* each may be NULL */
    void (*matrix)(void *user, const struct matrix_report *r);
    /* Work done, of `total`; false stops with GPT2Q_CANCELLED. */
    bool (*progress)(void *user, double done, double total);
    void *user;
};

struct methods_result {
    struct prepared *prepared; /* by slot, for struct quantizer */
    struct model_floats model; /* what they were made from, folds included */
    float *
        static_scales; /* (4 n_layer + 1) of the inputs of linear layers, the head's last; NULL: not asked for */
    float *factors;    /* (n_layer, n_inner) that multiply mlp.c_proj's inputs; NULL: none */
    size_t n_slots;
};

/* The calibration may be NULL where the plan needs none. Refused: schemes that a method cannot round to, named by tensor. */
gpt2q_status methods_run(const struct quantizer *q, const struct method_plan *plan,
                         const struct calibration *text, const struct methods_hooks *hooks,
                         struct methods_result *out, gpt2q_error *err);
void methods_result_free(struct methods_result *r);
#endif
