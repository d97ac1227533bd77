/* Decodes GGUF's blocks of 256 values to floats: the K types and IQ4_XS. */
#ifndef MODEL_GGUF_SUPERBLOCKS_H
#define MODEL_GGUF_SUPERBLOCKS_H
#include <stdint.h>

extern const int8_t gguf_iq4_values[16]; /* the values of IQ4's nibbles */
void gguf_decode_q2_k(const uint8_t *block, float *values);
void gguf_decode_q3_k(const uint8_t *block, float *values);
void gguf_decode_q4_k(const uint8_t *block, float *values);
void gguf_decode_q5_k(const uint8_t *block, float *values);
void gguf_decode_q6_k(const uint8_t *block, float *values);
void gguf_decode_iq4_xs(const uint8_t *block, float *values);
#endif
