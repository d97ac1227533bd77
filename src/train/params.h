/* The parameters of a GPT-2 in training: names, shapes and places in one block of floats.
 *
 * Matrices lie as W (rows = outputs, cols = inputs). Conv1D's are turned once when they are read and once
 * when they are written. Gradients, Adam's moments, the effective (quantized) weights and the teacher's
 * weights are further blocks of the same layout. */
#ifndef TRAIN_PARAMS_H
#define TRAIN_PARAMS_H
#include "base/status.h"
#include "qtensor/quantize.h"

#define PARAM_NAME_MAX 40

/* The tensors of a block, in checkpoint order. */
enum block_param {
    P_LN_1_WEIGHT,
    P_LN_1_BIAS,
    P_C_ATTN_WEIGHT,
    P_C_ATTN_BIAS,
    P_ATTN_C_PROJ_WEIGHT,
    P_ATTN_C_PROJ_BIAS,
    P_LN_2_WEIGHT,
    P_LN_2_BIAS,
    P_C_FC_WEIGHT,
    P_C_FC_BIAS,
    P_MLP_C_PROJ_WEIGHT,
    P_MLP_C_PROJ_BIAS,
    P_BLOCK_COUNT
};

struct param {
    char name[PARAM_NAME_MAX]; /* the checkpoint's, "h.0.attn.c_attn.weight" */
    int rows, cols;            /* a vector has one row */
    bool conv1d;               /* the checkpoint stores it as (cols, rows) */
    bool matrix;               /* a scheme may quantize it: the matrices of linear layers, wte, lm_head */
    size_t at;                 /* first float in a block; a multiple of 16 */
};

struct param_list {
    gpt2q_config config;
    struct param
        *list; /* wte, wpe, the blocks', ln_f.weight, ln_f.bias, and lm_head.weight if it is not tied */
    int count;
    size_t floats; /* of a block */
};

/* `untied`: lm_head has numbers of its own. Running out of memory is the only failure. */
gpt2q_status params_create(struct param_list *p, const gpt2q_config *config, bool untied, gpt2q_error *err);
void params_free(struct param_list *p);

static inline int params_wte(void) { return 0; }
static inline int params_wpe(void) { return 1; }
static inline int params_block(int layer, enum block_param which)
{
    return 2 + layer * P_BLOCK_COUNT + (int)which;
}
static inline int params_ln_f_weight(const struct param_list *p)
{
    return 2 + p->config.n_layer * P_BLOCK_COUNT;
}
static inline int params_ln_f_bias(const struct param_list *p) { return params_ln_f_weight(p) + 1; }
/* lm_head.weight, or wte if it is tied. */
static inline int params_head(const struct param_list *p)
{
    return p->count > params_ln_f_bias(p) + 1 ? params_ln_f_bias(p) + 1 : params_wte();
}
/* A parameter of a block as the quantizer reads it. */
struct qsource param_source(const struct param *p, const float *block);
static inline size_t param_floats(const struct param *t) { return (size_t)t->rows * (size_t)t->cols; }
#endif
