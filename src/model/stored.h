/* Files that are quantized already: which scheme holds exactly what a file stores, and holding it without another quantization. */
#ifndef MODEL_STORED_H
#define MODEL_STORED_H
#include "model/bindings.h"

struct stored_schemes {
    struct scheme *
        by_slot; /* of matrices; of those without blocks the float format they lie in. NULL: no matrix has blocks */
};
/* Looks at the blocks of every matrix. Where there are some and params->as_stored, the schemes become params->stored and params->scheme
 * that of wte. On failure there is nothing to free. */
gpt2q_status stored_schemes_find(const struct bindings *b, struct weights_params *params,
                                 struct stored_schemes *out, gpt2q_error *err);
/* Once schemes are chosen (by slot): marks what is held as_blocks. A quantized tensor in another scheme than its own is refused, unless
 * params->requantize. */
gpt2q_status stored_schemes_keep(const struct stored_schemes *stored, struct bindings *b,
                                 const struct scheme *schemes, const struct weights_params *params,
                                 gpt2q_error *err);
void stored_schemes_free(struct stored_schemes *stored);

/* A matrix with blocks in the scheme that stored_schemes_find gave it, codes and scales as they are, in qtensor_memory bytes of the
 * caller's. `shape` has name, rows and cols. */
gpt2q_status stored_hold(const struct container_tensor *t, struct scheme scheme, const struct qsource *shape,
                         void *memory, const struct quantize_run *run, struct qtensor *out, gpt2q_error *err);
#endif
