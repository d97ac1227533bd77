/* Takes a model through its methods: reads the calibration texts, folds, and rounds matrix by matrix,
 * block after block. quantize/quantizer.h writes the result. */
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
    bool has_loss;         /* the loss e H e^T of its outputs is known: */
    double loss_rtn, loss; /* of rounding to nearest; of the method's choice */
    double damping;        /* gptq: relative to the mean of H's diagonal */
    bool damping_raised;   /* H was not positive definite with the requested damping */
    int dead;              /* inputs that are always 0 */
    bool few_tokens;       /* fewer tokens than inputs: only damping makes H regular */
};

struct methods_hooks { /* each may be NULL */
    void (*matrix)(void *user, const struct matrix_report *r);
    /* Reports work done, of `total`. Returning false stops with GPT2Q_CANCELLED. */
    bool (*progress)(void *user, double done, double total);
    void *user;
};

struct methods_result {
    struct prepared *prepared; /* by slot, for struct quantizer */
    struct model_floats model; /* what they were made from, folds included. With plan->keep_rounded it is
                                  what gptq rounded, after its corrections */
    float *rounded;            /* while it works: those values, in the layout of the model */
    /* (4 n_layer + 1) scales of the inputs of linear layers; the head's is last. NULL: not wanted. */
    float *static_scales;
    float *factors; /* (n_layer, n_inner) factors of mlp.c_proj's inputs; NULL: none */
    size_t n_slots;
};

/* The calibration may be NULL if the plan needs none. Refused, by tensor: schemes that a method cannot
 * round to. */
gpt2q_status methods_run(const struct quantizer *q, const struct method_plan *plan,
                         const struct calibration *text, const struct methods_hooks *hooks,
                         struct methods_result *out, gpt2q_error *err);
void methods_result_free(struct methods_result *r);
#endif
