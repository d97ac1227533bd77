/* What a model's files hold, tensor by tensor, before anything is loaded: a Hugging Face directory, any
 * safetensors file, or a shape without data. */
#ifndef QUANTIZE_INVENTORY_H
#define QUANTIZE_INVENTORY_H
#include "model/checkpoint.h"
#include "model/weights_names.h"

enum inventory_kind { INVENTORY_HUGGINGFACE, INVENTORY_SAFETENSORS };

struct inventory_tensor {
    const char *name; /* in a Hugging Face directory without "transformer." */
    const char *dtype;
    int n_dims;
    uint64_t shape[ST_MAX_DIMS]; /* in the checkpoint's order */
    uint64_t elements;
    size_t bytes;
    const struct st_tensor *stored; /* NULL: a shape without data */
    const char *file;               /* of stored */
    bool is_weight;                 /* of a GPT-2; else a causal mask or something unknown */
    struct weight_id id;            /* of a weight */
};

struct inventory {
    enum inventory_kind kind;
    bool has_config;
    gpt2q_config config;
    struct inventory_tensor *tensors; /* in the order of the files */
    size_t n_tensors;
    uint64_t parameters; /* a head that is wte once more is not counted */
    uint64_t bytes;      /* of all tensors as they are stored */
    struct checkpoint checkpoint;
    char (*names)[WEIGHT_NAME_MAX]; /* of a shape's tensors */
};

/* A directory or a file; the files stay mapped until inventory_close. */
gpt2q_status inventory_open(const char *path, struct inventory *out, gpt2q_error *err);
/* The tensors of a shape, as float32. */
gpt2q_status inventory_of_shape(const gpt2q_config *config, struct inventory *out, gpt2q_error *err);
void inventory_close(struct inventory *v);

/* By its name, with or without "transformer."; NULL: none. */
const struct inventory_tensor *inventory_find(const struct inventory *v, const char *name);

/* Refuses the first value of a float tensor that is no finite number, naming file, tensor and index. */
gpt2q_status inventory_check(const struct inventory *v, gpt2q_error *err);

/* Bytes of the model in three ways of holding it: float32; float32 with the buffers that PyTorch keeps (a
 * causal mask of n_positions x n_positions booleans and a scalar of 4 bytes in every block); uint8 for every
 * parameter, with the same buffers. */
struct footprint {
    uint64_t f32, f32_with_masks, notes;
};
struct footprint inventory_footprint(const gpt2q_config *config, uint64_t parameters);
#endif
