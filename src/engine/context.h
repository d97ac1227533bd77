/* What the scheduler and the benchmark may know of a context beyond the public header. */
#ifndef ENGINE_CONTEXT_H
#define ENGINE_CONTEXT_H
#include "engine/internal.h"

/* "f32", "i16", "i8"; NULL: the default for the weights: i16 for i8 and i4 weights, f32 otherwise. Integer
 * activations with float weights are refused. */
gpt2q_status activations_parse(const char *text, const struct gpt2_weights *weights, enum activations *out,
                               gpt2q_error *err);
const char *activations_print(enum activations a);
/* The same and "llm.int8[:T]" (T: 6) and "static", which is refused where the weights come without scales of
 * their inputs. */
gpt2q_status activation_mode_parse(const char *text, const struct gpt2_weights *weights,
                                   struct activation_mode *out, gpt2q_error *err);
const char *gpt2q_context_activations(const gpt2q_context *ctx);
/* How a context with these activations and this `kv` caches keys and values; NULL as in its parameters. */
gpt2q_status context_kv_format(const struct gpt2_weights *weights, const char *activations, const char *kv,
                               enum kv_format *out, gpt2q_error *err);
/* "f32", "f16", "i16" or "i8". */
const char *gpt2q_context_kv(const gpt2q_context *ctx);
/* From now on each pass adds the time of its parts; NULL ends that. */
void context_profile(gpt2q_context *ctx, struct forward_profile *profile);
/* The batch of tokens as the scheduler builds it; argmax_only as of a batch. */
gpt2q_status context_decode(gpt2q_context *ctx, const struct batch_token *tokens, int32_t n, bool argmax_only,
                            gpt2q_error *err);
#endif
