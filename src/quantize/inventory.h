/* What a model's files hold, tensor by tensor, without loading it. The model is a Hugging Face directory,
 * a safetensors, GGUF, pytorch_model.bin or .gpt2q file, or a shape without data. */
#ifndef QUANTIZE_INVENTORY_H
#define QUANTIZE_INVENTORY_H
#include "model/container.h"
#include "model/weights_names.h"
#include "quantize/errors.h"

enum inventory_kind { INVENTORY_HUGGINGFACE, INVENTORY_SAFETENSORS, INVENTORY_GPT2Q };

struct inventory_tensor {
    const char *name; /* without "transformer." in a Hugging Face directory */
    const char *dtype;
    int n_dims;
    uint64_t shape[ST_MAX_DIMS]; /* in the checkpoint's order */
    uint64_t elements;
    size_t bytes;
    const struct container_tensor *stored; /* NULL: a shape without data */
    const char *file;                      /* of stored */
    bool is_left_out;                      /* of another head than the language model's */
    bool is_weight;                        /* a weight of GPT-2; else a causal mask or something unknown */
    struct weight_id id;                   /* of a weight */
    bool has_scheme;                       /* false: no scheme has its dtype */
    struct scheme scheme;
    bool measured; /* set by inventory_quantize: */
    struct tensor_errors errors;
    bool one_scale;
    float scale, zero;
};

struct inventory {
    enum inventory_kind kind;
    bool has_config, quantized; /* quantized: set by inventory_quantize */
    gpt2q_config config;
    struct inventory_tensor *tensors; /* in the order of the files */
    size_t n_tensors;
    uint64_t parameters; /* a head that equals wte is not counted */
    uint64_t bytes;      /* of all tensors as they are stored */
    struct container container;
    char (*names)[WEIGHT_NAME_MAX]; /* of a shape's tensors */
    struct gpt2_weights weights;    /* of a .gpt2q file */
};

/* Opens a directory or a file. The files stay mapped until inventory_close. */
gpt2q_status inventory_open(const char *path, struct inventory *out, gpt2q_error *err);
/* Lists the tensors of a shape, as float32. */
gpt2q_status inventory_of_shape(const gpt2q_config *config, struct inventory *out, gpt2q_error *err);
void inventory_close(struct inventory *v);

/* Finds a tensor by its name, with or without "transformer.". NULL: none. */
const struct inventory_tensor *inventory_find(const struct inventory *v, const char *name);

/* Refuses the first value that is not finite in a float tensor, and names file, tensor and index. In a
 * .gpt2q file it also refuses a wrong checksum and codes that the scheme does not have. */
gpt2q_status inventory_check(const struct inventory *v, gpt2q_error *err);

/* The numbers of a float tensor as a matrix W (outputs, inputs), or with `turn` false as they lie in the
 * checkpoint. `floats` is what container_floats made of a tensor that needs it, else NULL. Returns false
 * if it is not a float tensor with data, or is empty. */
bool inventory_source(const struct inventory_tensor *t, bool turn, const float *floats, struct qsource *out);
/* Quantizes every weight, one at a time, and records scheme, bytes and errors. For a shape it records
 * bytes alone. Tensors that are not weights of GPT-2 leave the list. A .gpt2q file is refused. */
gpt2q_status inventory_quantize(struct inventory *v, struct scheme scheme, const struct quantize_run *run,
                                gpt2q_error *err);

/* Bytes of the model held in three ways: float32; float32 with the buffers that PyTorch keeps; uint8 for
 * every parameter, with the same buffers. The buffers are, in every block, a causal mask of n_positions x
 * n_positions booleans and a scalar of 4 bytes. */
struct footprint {
    uint64_t f32, f32_with_masks, notes;
};
struct footprint inventory_footprint(const gpt2q_config *config, uint64_t parameters);
#endif
