/* Takes GGUF's blocks of 256 values apart: the K types and IQ4_XS. The products of a block's float16 scale and the few bits of a
 * group's own are exact in float32. */
#ifndef MODEL_GGUF_SUPERBLOCKS_H
#define MODEL_GGUF_SUPERBLOCKS_H
#include "kernels/half.h"
#include "model/gguf_types.h"

/* A float16 of a block; its first byte is the low one. */
static inline float half_at(const uint8_t *p) { return float_from_f16((uint16_t)(p[0] | p[1] << 8)); }

extern const int8_t gguf_iq4_values[16]; /* the values of IQ4's nibbles */
void gguf_codes_q2_k(const uint8_t *block, struct gguf_codes *out);
void gguf_codes_q3_k(const uint8_t *block, struct gguf_codes *out);
void gguf_codes_q4_k(const uint8_t *block, struct gguf_codes *out);
void gguf_codes_q5_k(const uint8_t *block, struct gguf_codes *out);
void gguf_codes_q6_k(const uint8_t *block, struct gguf_codes *out);
void gguf_codes_iq4_xs(const uint8_t *block, struct gguf_codes *out);
#endif
