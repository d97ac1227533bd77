/* The tensors of a GPT-2 checkpoint: their names, shapes and places in struct gpt2_weights. */
#ifndef MODEL_WEIGHTS_NAMES_H
#define MODEL_WEIGHTS_NAMES_H
#include "model/weights.h"

enum weight_part {
    /* of block `layer` */
    PART_LN_1_WEIGHT,
    PART_LN_1_BIAS,
    PART_C_ATTN_WEIGHT,
    PART_C_ATTN_BIAS,
    PART_ATTN_C_PROJ_WEIGHT,
    PART_ATTN_C_PROJ_BIAS,
    PART_LN_2_WEIGHT,
    PART_LN_2_BIAS,
    PART_C_FC_WEIGHT,
    PART_C_FC_BIAS,
    PART_MLP_C_PROJ_WEIGHT,
    PART_MLP_C_PROJ_BIAS,
    BLOCK_PARTS,
    /* once */
    PART_WTE = BLOCK_PARTS,
    PART_WPE,
    PART_LN_F_WEIGHT,
    PART_LN_F_BIAS,
    PART_LM_HEAD,
    PART_COUNT
};

/* A tensor's identity. It is also a number below weight_slots, in the order wte, wpe, blocks, ln_f,
 * lm_head. */
struct weight_id {
    enum weight_part part;
    int layer; /* 0 outside blocks */
};
size_t weight_slots(const gpt2q_config *config);
size_t weight_slot(const gpt2q_config *config, struct weight_id id);
struct weight_id weight_at(const gpt2q_config *config, size_t slot);

#define WEIGHT_NAME_MAX 64
const char *weight_print(struct weight_id id,
                         char name[WEIGHT_NAME_MAX]); /* "h.0.ln_1.weight"; returns name */

enum weight_name {
    NAME_WEIGHT,  /* *id names it; its layer may be any number */
    NAME_MASK,    /* not a weight: a causal mask */
    NAME_OTHER,   /* something beside the transformer: another head */
    NAME_UNKNOWN, /* in a block, but GPT-2 has no such tensor */
};
/* The name without a leading "transformer.". */
const char *weight_strip(const char *name);
enum weight_name weight_parse(const char *stripped, struct weight_id *id);

/* The dimensions in the checkpoint's order. Returns their number. */
int weight_shape(const gpt2q_config *config, enum weight_part part, uint64_t shape[2]);
/* Whether it belongs to a linear layer and can be quantized: the four of a block, wte and lm_head. All
 * others are floats. */
bool weight_is_matrix(enum weight_part part);
/* Whether it belongs to a linear layer and is stored (in, out). */
bool weight_is_conv1d(enum weight_part part);

/* The place of a matrix; the place of any other tensor. */
struct qtensor *weight_matrix(struct gpt2_weights *w, struct weight_id id);
const float **weight_floats(struct gpt2_weights *w, struct weight_id id);
/* W's outputs and inputs as the engine sees a matrix. A vector has one output. */
void weight_rows_cols(const gpt2q_config *config, enum weight_part part, int *rows, int *cols);
/* The same of a tensor with this shape, in the checkpoint's order. */
void weight_shape_rows_cols(enum weight_part part, int n_dims, const uint64_t shape[2], int *rows, int *cols);
#endif
