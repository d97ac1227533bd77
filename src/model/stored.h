/* Files that are quantized already: finds the scheme that holds exactly what a file stores, and holds it
 * without quantizing again. */
#ifndef MODEL_STORED_H
#define MODEL_STORED_H
#include "model/bindings.h"

struct stored_schemes {
    /* By slot, for matrices. Those without blocks have the float format they lie in. NULL: no matrix has
     * blocks. */
    struct scheme *by_slot;
};
/* Looks at the blocks of every matrix. If there are some and params->as_stored is set, they become
 * params->stored, and params->scheme is wte's. On failure there is nothing to free. */
gpt2q_status stored_schemes_find(const struct bindings *b, struct weights_params *params,
                                 struct stored_schemes *out, gpt2q_error *err);
/* To be called once schemes are chosen (by slot). Marks tensors that are held as_blocks. A quantized
 * tensor in another scheme than its own is refused, unless params->requantize. */
gpt2q_status stored_schemes_keep(const struct stored_schemes *stored, struct bindings *b,
                                 const struct scheme *schemes, const struct weights_params *params,
                                 gpt2q_error *err);
void stored_schemes_free(struct stored_schemes *stored);

/* Holds a matrix with blocks in the scheme that stored_schemes_find gave it, codes and scales as they are,
 * in qtensor_memory bytes of the caller's. `shape` has name, rows and cols. */
gpt2q_status stored_hold(const struct container_tensor *t, struct scheme scheme, const struct qsource *shape,
                         void *memory, const struct quantize_run *run, struct qtensor *out, gpt2q_error *err);
#endif
