/* The weights of a GPT-2. Only this folder knows the checkpoint's names and Conv1D's (in, out) order. */
#ifndef MODEL_WEIGHTS_H
#define MODEL_WEIGHTS_H
#include "base/status.h"
#include "model/safetensors.h"
#include "qtensor/qtensor.h"

struct isa;

struct norm { /* (n_embd) each */
    const float *weight, *bias;
};
struct linear_weight { /* y (n, rows) = x (n, cols) @ weight^T + bias */
    struct qtensor weight;
    const float *bias;    /* (rows); NULL: none */
    const float *factors; /* (cols) factors of the inputs, applied first; NULL: none */
    float input_scale;    /* of static activations; 0: the file has none */
};
struct gpt2_block {
    struct norm ln_1, ln_2;
    struct linear_weight c_attn, attn_c_proj, c_fc, mlp_c_proj;
};

/* A tensor as it is held, for reports. */
struct tensor_info {
    char *name;        /* checkpoint's, without "transformer." */
    const char *dtype; /* as stored in the file, "F16" */
    int n_dims;
    uint64_t shape[2];    /* checkpoint order */
    struct scheme scheme; /* QF_F32 for vectors and wpe (notes: QF_I8, QG_TENSOR, QGRID_NOTES) */
    size_t bytes;         /* payload in this scheme */
};

/* Tensors of a checkpoint that belong to no GPT-2 with a language head, for whoever opens it to say. */
struct left_out {
    size_t n, more;  /* more: those whose names there was no room for */
    char names[200]; /* "score.weight, classifier.bias", as a terminal may show it */
};

struct gpt2_weights {
    gpt2q_config config;
    struct qtensor wte;     /* (vocab_size, n_embd) */
    struct qtensor lm_head; /* the same memory as wte if tied and not overridden */
    bool lm_head_is_wte;
    float lm_head_input_scale; /* of static activations; 0: the file has none */
    const float *wpe;          /* (n_positions, n_embd) */
    struct norm ln_f;
    struct gpt2_block *h; /* n_layer */

    struct scheme scheme;        /* the one asked for */
    bool mixed;                  /* overrides changed some */
    struct tensor_info *tensors; /* in checkpoint order */
    size_t n_tensors;
    uint64_t bytes, parameters;
    struct left_out left_out;
    size_t n_as_floats;       /* matrices in a file's blocks that no scheme of codes holds; they are f32 */
    uint64_t as_floats_bytes; /* what they take */

    struct safetensors *files; /* mapped while something points into them */
    size_t n_files;
    void **owned; /* allocations freed with the weights */
    size_t n_owned;
};

struct weights_params {
    struct scheme scheme;
    /* "GLOB=SPEC"; the last match wins. Names are as in tensor_info; "lm_head.weight" also names a tied
     * head. */
    const char *const *overrides;
    size_t n_overrides;
    bool as_stored;  /* no scheme was asked for: a quantized file keeps its own, others use `scheme` */
    bool requantize; /* a quantized tensor may become another scheme */
    const struct scheme
        *stored; /* By slot, for matrices: used instead of `scheme`. Set while loading. NULL: none. */
    int n_threads;
    const struct isa *isa; /* the set that quantizes; NULL: $GPT2Q_ISA, or the best here */
};

/* Loads a Hugging Face directory or a GGUF file. */
gpt2q_status weights_load(const char *directory, const struct weights_params *params,
                          struct gpt2_weights *out, gpt2q_error *err);
/* Synthetic weights of a shape, for benchmarks: normal-like numbers from a counter, the same at every
 * call. */
gpt2q_status weights_synthesize(const gpt2q_config *config, const struct weights_params *params,
                                struct gpt2_weights *out, gpt2q_error *err);
/* Points a matrix, by its name in the checkpoint, to the codes of other weights of the same shape. */
void weights_borrow_matrix(struct gpt2_weights *w, const struct gpt2_weights *from, const char *name);
void weights_free(struct gpt2_weights *w);
#endif
