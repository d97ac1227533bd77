/* The types of GGUF tensors: blocks of numbers that share scales, as ggml defines them (ggml-common.h, dequantize_row_* of
 * ggml-quants.c). Arithmetic is float32, rounded after each operation, as there. */
#ifndef MODEL_GGUF_TYPES_H
#define MODEL_GGUF_TYPES_H
#include "model/safetensors.h"
#include "qtensor/qtensor.h"

#define GGUF_GROUP      32  /* values of a small block */
#define GGUF_VALUES_MAX 256 /* of any block */

/* A small block as integers: value i is scale * code[i], plus min where the type has one. */
struct gguf_codes {
    float scale, min;
    int8_t code[GGUF_GROUP];
};

struct gguf_type {
    uint32_t id;
    const char *name;    /* ggml's, "Q8_0" */
    int values, bytes;   /* of a block */
    enum st_dtype dtype; /* of a type without blocks; else ST_F32, what it is decoded to */
    /* A block as floats, `values` of them. NULL: a type without blocks. */
    void (*decode)(const uint8_t *block, float *values);
    /* A block of 32 as codes. NULL: no scheme holds this type, it becomes f32. */
    void (*codes)(const uint8_t *block, struct gguf_codes *out);
    enum qformat format; /* of the scheme that holds codes; with a minimum its grid is minmax */
    bool has_min;
};

/* NULL: a type that is not read. */
const struct gguf_type *gguf_type_find(uint32_t id);
/* The name of a type that is not read, "type 999" where it has none. */
const char *gguf_type_print(uint32_t id, char text[24]);

/* The scheme that holds n values of a type with exactly their values, f32 where there is none for these blocks (FORMATS: Q8_0,
 * Q5_0, IQ4_NL, MXFP4 become i8:g32, Q4_0 i4:g32:signed, Q4_1 i4:g32:minmax, Q5_1 i8:g32:minmax). `cols` values are an output. */
struct scheme gguf_exact_scheme(const struct gguf_type *type, const uint8_t *blocks, size_t n, int cols);
/* A block's codes in such a scheme, stored from 0 on, with a scale (and minimum) that the scheme allows. */
struct gguf_stored {
    float scale, zero;
    uint8_t code[GGUF_GROUP];
};
void gguf_store_block(const struct gguf_type *type, struct scheme scheme, const uint8_t *block,
                      struct gguf_stored *out);
#endif
