/* An opened Hugging Face directory or GGUF file: which tensor of which file is which weight. */
#ifndef MODEL_BINDINGS_H
#define MODEL_BINDINGS_H
#include "model/container.h"
#include "model/weights_names.h"
#include "qtensor/quantize.h"
#include "tokenizer/directory.h"

struct binding {
    struct weight_id id;
    const struct container_tensor *tensor;
    const char *file; /* its path */
    bool as_blocks;   /* is held exactly as its blocks say (stored_schemes_keep) */
};

struct bindings {
    const char *directory; /* the caller's, for messages */
    gpt2q_config config;
    struct container container;
    struct binding *items; /* in the order of the files; room for every slot */
    size_t n;
    const struct binding **bound; /* by slot; only while binding */
    struct binding wte;
    struct left_out left_out;
    bool tied; /* there is no head, or it equals wte and is not listed */
};

/* Gives the tokenizer's texts, as directory_read_to_store does. *out is for directory_free, also on
 * failure. */
gpt2q_status bindings_texts(const struct bindings *b, struct directory_texts *out, gpt2q_error *err);
gpt2q_status bindings_open(const char *directory, struct bindings *out, gpt2q_error *err);
void bindings_close(struct bindings *b);
/* Adds a name to those of tensors that are no part of the model. */
void bindings_leave_out(struct left_out *left, const char *name);
/* The head that holds wte's numbers. It is tied to wte, and no weight of its own. NULL: there is none. */
const struct container_tensor *bindings_equal_head(const struct container *c);
/* Lists a second copy of a tied wte as the head. */
void bindings_add_head(struct bindings *b);
/* Calls fn for every tensor in the order of the files. It gets the numbers where they lie in the file, as
 * W (outputs, inputs), under the checkpoint's name. The next tensor's pages are requested ahead and this
 * one's are released, so that the model is never in memory twice. A status other than OK stops the walk. */
typedef gpt2q_status binding_fn(void *user, size_t i, const struct qsource *src, gpt2q_error *err);
gpt2q_status bindings_walk(const struct bindings *b, binding_fn *fn, void *user, gpt2q_error *err);
/* The same, but src->data is NULL if the tensor is held as_blocks. stored_hold reads such a tensor. */
gpt2q_status bindings_walk_stored(const struct bindings *b, binding_fn *fn, void *user, gpt2q_error *err);
#endif
