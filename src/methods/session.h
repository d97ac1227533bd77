/* What the parts of a run share (run.h). */
#ifndef METHODS_SESSION_H
#define METHODS_SESSION_H
#include "methods/run.h"
#include "methods/stream.h"

struct session {
    const struct quantizer *q;
    const struct method_plan *plan;
    const struct calibration *text; /* may be NULL */
    const struct methods_hooks *hooks;
    struct methods_result *out;
    struct crew crew;
    struct workers w;
    struct reading reading; /* used if there is a text */
    double done, total;     /* work, in multiplications */
    double percent;         /* of static scales; 0: they are not wanted */
};

/* Adds work. GPT2Q_CANCELLED if the hooks say so. */
gpt2q_status session_advance(struct session *s, double work, gpt2q_error *err);
/* The scheme of a weight, and whether it has codes (f32, f16, bf16 do not). */
struct scheme session_scheme(const struct session *s, struct weight_id id);

/* Gathers the inputs of a block's linear layers in the unquantized model; with_h: H too. The stream moves
 * to the next block. */
gpt2q_status session_observe(struct session *s, struct stream *stream, int layer, bool with_h,
                             struct layer_inputs in[SITES], gpt2q_error *err);
/* Does so for the whole unquantized model. It calls fn for the four layers of every block, then for the
 * head with layer n_layer. */
typedef gpt2q_status observed_fn(struct session *s, int layer, const struct layer_inputs *in, int n,
                                 void *user, gpt2q_error *err);
gpt2q_status session_read(struct session *s, bool with_h, bool head_h, observed_fn *fn, void *user,
                          gpt2q_error *err);

/* Rounds a matrix, without inputs or with their moments (imatrix, gptq), and records it in the result. If
 * values (rows, cols) is not NULL, it becomes what the codes stand for. */
gpt2q_status session_round(struct session *s, struct weight_id id, struct layer_inputs *in, float *values,
                           gpt2q_error *err);
/* gptq: wte or the head first, then block after block. */
gpt2q_status session_gptq(struct session *s, gpt2q_error *err);
/* awq and smoothquant: change out->model. */
gpt2q_status session_awq(struct session *s, gpt2q_error *err);
gpt2q_status session_smoothquant(struct session *s, gpt2q_error *err);
/* Computes the scales of `-a static`. */
gpt2q_status session_static(struct session *s, gpt2q_error *err);
#endif
