/* Quantizes a checkpoint's tensors one after another. `quantize` and `inspect -q` walk over them. One
 * tensor is in memory at a time, however large the model is. */
#ifndef QUANTIZE_QUANTIZER_H
#define QUANTIZE_QUANTIZER_H
#include "model/bindings.h"
#include "quantize/errors.h"

/* A tensor and its result. */
struct quantized {
    const char *name;
    struct weight_id id;
    struct scheme scheme;
    size_t bytes_before, bytes_after; /* before: in the checkpoint; 0 unless quantizer_run made it */
    struct tensor_errors errors;
    bool is_matrix;
    struct qtensor matrix; /* of a linear layer; else: */
    uint8_t *blocks;       /* with rounded_as: the matrix in that type, `matrix` has its numbers; else NULL */
    float *values;         /* the values that stand for the tensor, in the checkpoint's order */
    uint8_t *codes;        /* the notes' codes, or NULL */
    float scale, min;      /* of codes */
    size_t n;              /* of values */
};

/* Quantizes a matrix, or any other tensor (is_matrix false: its scheme is f32 or notes). On failure
 * nothing is left. */
gpt2q_status quantized_create(const struct qsource *src, struct scheme scheme, bool is_matrix,
                              const struct quantize_run *run, struct quantized *out, gpt2q_error *err);
void quantized_free(struct quantized *q);

/* Called for every tensor in the order of the files. What q points to is valid during the call. A status
 * other than OK stops the walk. */
typedef gpt2q_status quantized_fn(void *user, const struct quantized *q, gpt2q_error *err);

/* What a method (src/methods) made of a weight beforehand. */
struct prepared {
    struct qtensor matrix; /* without codes, the scheme rounds the weight */
    const float *floats;   /* (rows, cols) of W, or a vector, changed by folding. NULL: as in the file */
};

struct quantizer {
    const float *static_scales; /* (4 n_layer + 1) scales of inputs to write; the caller's. NULL: none */
    const float *factors; /* (n_layer, n_inner) factors of mlp.c_proj's inputs; the caller's. NULL: none */
    const char *method, *calibration;   /* to write into the file; the caller's. NULL: nothing */
    const struct gguf_type *rounded_as; /* the blocks that ggml's rounding makes of matrices. NULL: none */
    struct prepared *prepared;          /* by slot; the caller's. Matrices are taken out of it. NULL: none */
    float *inputs; /* its own memory for static_scales and factors that a .gpt2q file has; or NULL */
    struct bindings bindings;
    struct scheme base, *schemes; /* asked for; by slot */
    struct quantize_run run;
};
/* Opens a Hugging Face directory, a GGUF or a .gpt2q file and chooses schemes. A tied wte gets a second copy if
 * overrides ask for it. */
gpt2q_status quantizer_open(const char *directory, const struct weights_params *params, struct quantizer *out,
                            gpt2q_error *err);
void quantizer_close(struct quantizer *q);
struct scheme quantizer_scheme(const struct quantizer *q, size_t i); /* of bindings.items[i] */
/* Whether the scheme of one of the matrices is such. */
bool quantizer_any_matrix(const struct quantizer *q, bool (*is_such)(struct scheme s));
gpt2q_status quantizer_run(const struct quantizer *q, quantized_fn *fn, void *user, gpt2q_error *err);
#endif
