/* A Hugging Face directory, opened and understood: which tensor of which file is which weight. */
#ifndef MODEL_BINDINGS_H
#define MODEL_BINDINGS_H
#include "model/checkpoint.h"
#include "model/weights_names.h"
#include "qtensor/quantize.h"

struct binding {
    struct weight_id id;
    const struct st_tensor *tensor;
    size_t file;
};

struct bindings {
    const char *directory; /* the caller's, for messages */
    gpt2q_config config;
    struct checkpoint checkpoint;
    struct binding *items; /* in the order of the files; room for every slot */
    size_t n;
    const struct binding **bound; /* by slot, used while binding */
    struct binding wte;
    bool tied; /* there is no head, or it is wte once more and not listed */
};

gpt2q_status bindings_open(const char *directory, struct bindings *out, gpt2q_error *err);
void bindings_close(struct bindings *b);
/* Lists a second copy of a tied wte, as the head. */
void bindings_add_head(struct bindings *b);
/* A tensor's numbers where they lie in the file. */
struct qsource binding_source(const struct bindings *b, const struct binding *binding, const char *name);
#endif
