/* Which tensors can be held in few bits? Each is held in each scheme (a level) alone, with the rest as in
 * the reference. The cost is the KL divergence. From the costs a mixed model within a budget of bytes is
 * made, greedily: tensors go down to the level that costs least per byte saved until all fits, then up
 * again where there is room.
 *
 * The costs are added as if tensors were independent, which they are not. So the proposed model is run, on
 * text that was not used for ranking, beside every uniform scheme that fits the budget. The best of all is
 * the answer. */
#ifndef STUDY_SENSITIVITY_H
#define STUDY_SENSITIVITY_H
#include "qtensor/qtensor.h"
#include "study/reader.h"

#define LEVELS_MAX 16

struct sensitive_tensor {
    char *name;
    uint64_t bytes[LEVELS_MAX]; /* level 0: the reference's */
    double kl[LEVELS_MAX];      /* of the model in which only this tensor is held so; 0 at level 0 */
    size_t level;               /* in the mixed model */
};

struct sensitivity_params {
    const char *path; /* of the model, as gpt2q_model_open has it */
    const char *isa, *kv;
    int32_t n_threads;
    const gpt2q_model *reference;
    const char *const *levels; /* n_levels SPECs; levels[0] is the reference's */
    size_t n_levels;
    /* A quantized model, whose matrices are ranked in place of a scheme's: levels[1] is its name, and there is no budget. NULL: none. */
    const gpt2q_model *file;
    uint64_t budget; /* bytes; 0: rank only */
    const struct windows *ranking, *check;
    const struct progress *progress; /* counts models */
};

struct uniform_result {
    char scheme[SCHEME_TEXT_MAX];
    uint64_t bytes;
    double kl, kl_error;
};

struct sensitivity {
    char levels[LEVELS_MAX][SCHEME_TEXT_MAX]; /* in full */
    size_t n_levels;
    struct sensitive_tensor *tensors; /* matrices, in checkpoint order */
    size_t n_tensors;
    uint64_t reference_bytes;
    bool ranked; /* all went well */
    /* Set with a budget: */
    size_t base;                    /* the level that most tensors of the mixed model have */
    struct uniform_result mixed;    /* scheme "mixed" */
    struct uniform_result *uniform; /* those that fit the budget, best first; n_uniform 0: none */
    size_t n_uniform;
    bool mixed_wins; /* its KL is not above the best uniform one's */
};

/* *out is for sensitivity_free, in any case. A budget that the levels cannot reach is
 * GPT2Q_INVALID_ARGUMENT. */
gpt2q_status sensitivity_run(const struct sensitivity_params *p, struct sensitivity *out, gpt2q_error *err);
void sensitivity_free(struct sensitivity *s);

/* Makes the choice alone: from bytes and kl to level. `bytes` is the size of the whole model at level 0.
 * Returns false if it cannot fit. *total: the bytes of the choice. */
bool sensitivity_choose(struct sensitive_tensor *tensors, size_t n, size_t n_levels, uint64_t bytes,
                        uint64_t budget, uint64_t *total);
#endif
