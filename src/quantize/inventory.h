/* What a model's files hold, tensor by tensor, before anything is loaded: a Hugging Face directory, any
 * safetensors, GGUF or pytorch_model.bin file, a .gpt2q file, or a shape without data. */
#ifndef QUANTIZE_INVENTORY_H
#define QUANTIZE_INVENTORY_H
#include "model/container.h"
#include "model/weights_names.h"
#include "quantize/errors.h"

enum inventory_kind { INVENTORY_HUGGINGFACE, INVENTORY_SAFETENSORS, INVENTORY_GPT2Q };

struct inventory_tensor {
    const char *name; /* in a Hugging Face directory without "transformer." */
    const char *dtype;
    int n_dims;
    uint64_t shape[ST_MAX_DIMS]; /* in the checkpoint's order */
    uint64_t elements;
    size_t bytes;
    const struct container_tensor *stored; /* NULL: a shape without data */
    const char *file;                      /* of stored */
    bool is_weight;                        /* of a GPT-2; else a causal mask or something unknown */
    struct weight_id id;                   /* of a weight */
    bool has_scheme;                       /* false: of a dtype that no scheme has */
    struct scheme scheme;
    bool measured; /* by inventory_quantize: */
    struct tensor_errors errors;
    bool one_scale;
    float scale, zero;
};

struct inventory {
    enum inventory_kind kind;
    bool has_config, quantized; /* quantized: by inventory_quantize */
    gpt2q_config config;
    struct inventory_tensor *tensors; /* in the order of the files */
    size_t n_tensors;
    uint64_t parameters; /* a head that is wte once more is not counted */
    uint64_t bytes;      /* of all tensors as they are stored */
    struct container container;
    char (*names)[WEIGHT_NAME_MAX]; /* of a shape's tensors */
    struct gpt2_weights weights;    /* of a .gpt2q file */
};

/* A directory or a file; the files stay mapped until inventory_close. */
gpt2q_status inventory_open(const char *path, struct inventory *out, gpt2q_error *err);
/* The tensors of a shape, as float32. */
gpt2q_status inventory_of_shape(const gpt2q_config *config, struct inventory *out, gpt2q_error *err);
void inventory_close(struct inventory *v);

/* By its name, with or without "transformer."; NULL: none. */
const struct inventory_tensor *inventory_find(const struct inventory *v, const char *name);

/* Refuses the first value of a float tensor that is no finite number, naming file, tensor and index; of a
 * .gpt2q file also a wrong checksum and codes that are none. */
gpt2q_status inventory_check(const struct inventory *v, gpt2q_error *err);

/* The numbers of a float tensor as a matrix W (outputs, inputs), or, with `turn` false, as they lie in the
 * checkpoint. False: not a float tensor with data, or an empty one. `floats` is what container_floats made of a tensor that needs them,
 * else NULL. */
bool inventory_source(const struct inventory_tensor *t, bool turn, const float *floats, struct qsource *out);
/* Quantizes every weight, one at a time, and notes scheme, bytes and errors; of a shape bytes alone. What is
 * no weight of a GPT-2 is taken off the list. A .gpt2q file is refused. */
gpt2q_status inventory_quantize(struct inventory *v, struct scheme scheme, const struct quantize_run *run,
                                gpt2q_error *err);

/* Bytes of the model in three ways of holding it: float32; float32 with the buffers that PyTorch keeps (a
 * causal mask of n_positions x n_positions booleans and a scalar of 4 bytes in every block); uint8 for every
 * parameter, with the same buffers. */
struct footprint {
    uint64_t f32, f32_with_masks, notes;
};
struct footprint inventory_footprint(const gpt2q_config *config, uint64_t parameters);
#endif
