/* The part of a GGUF file before its data, put together in memory: keys with values, then tensors. */
#ifndef QUANTIZE_GGUF_HEADER_H
#define QUANTIZE_GGUF_HEADER_H
#include "model/gguf_file.h"

struct gguf_header { /* begins as zeros; data is for mem_free */
    uint8_t *data;
    size_t n, room;
    uint64_t n_keys, n_tensors;
    bool failed; /* memory was out; the end reports it */
};

void gguf_header_begin(struct gguf_header *h);
void gguf_put_integer(struct gguf_header *h, const char *key, uint32_t value);
void gguf_put_float(struct gguf_header *h, const char *key, float value);
void gguf_put_bool(struct gguf_header *h, const char *key, bool value);
/* Broken UTF-8 (names of files may be any bytes) becomes U+FFFD: readers refuse it. */
void gguf_put_text(struct gguf_header *h, const char *key, const char *text, size_t n);
/* An array of n elements of a type; the elements follow, by gguf_put_string or gguf_put_u32. */
void gguf_put_array(struct gguf_header *h, const char *key, enum gguf_value type, uint64_t n);
void gguf_put_string(struct gguf_header *h, const char *text, size_t n);
void gguf_put_u32(struct gguf_header *h, uint32_t value);
/* Dimensions innermost first. */
void gguf_put_tensor(struct gguf_header *h, const char *name, int n_dims, const uint64_t ne[],
                     const struct gguf_type *type, uint64_t offset);
/* Pads to a multiple of `alignment` and enters the counts. */
gpt2q_status gguf_header_end(struct gguf_header *h, size_t alignment, gpt2q_error *err);
#endif
