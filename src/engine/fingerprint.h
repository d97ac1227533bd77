/* What the numbers of an answer depend on, as a short text. */
#ifndef ENGINE_FINGERPRINT_H
#define ENGINE_FINGERPRINT_H
#include "gpt2q.h"

/* Changes whenever any bit of an answer does. */
#define NUMERICS "1"

#define FINGERPRINT_TEXT 16
/* "fp_" and 12 hexadecimal digits: of the SHA-256 over the weights as they are held, scheme, activations, format of keys and values, and
 * NUMERICS. Reads all weights. Same fingerprint, same request, same seed: the same answer. */
void fingerprint_make(const gpt2q_model *model, const gpt2q_context *ctx, char text[FINGERPRINT_TEXT]);
#endif
