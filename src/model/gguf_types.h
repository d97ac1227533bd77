/* The types of GGUF tensors: blocks of numbers that share scales. Source: ggml-common.h and
 * dequantize_row_* of ggml-quants.c. As there, arithmetic is float32 and rounded after each operation. */
#ifndef MODEL_GGUF_TYPES_H
#define MODEL_GGUF_TYPES_H
#include "model/safetensors.h"
#include "qtensor/qtensor.h"

#define GGUF_GROUP      32  /* values of a small block, all with one scale */
#define GGUF_VALUES_MAX 256 /* of any block */
#define GGUF_GROUPS_MAX 16  /* of any block */

/* A block as integers. With g = i / the type's group, value i is scale[g] * code[i], plus min[g] where the type has minima. */
struct gguf_codes {
    float scale[GGUF_GROUPS_MAX], min[GGUF_GROUPS_MAX];
    int8_t code[GGUF_VALUES_MAX];
};

struct gguf_type {
    uint32_t id;
    const char *name;    /* ggml's, "Q8_0" */
    int values, bytes;   /* of a block */
    int group;           /* values that share a scale */
    enum st_dtype dtype; /* a type without blocks has this dtype; others decode to ST_F32 */
    /* Takes a block apart. NULL: a type without blocks. */
    void (*codes)(const uint8_t *block, struct gguf_codes *out);
    /* The format of the scheme that holds the codes. If there is a minimum, the grid is minmax. */
    enum qformat format;
    bool has_min;
};

/* The type with this number. NULL: it is not read. */
const struct gguf_type *gguf_type_find(uint32_t id);
/* The name of a type that is not read; "type 999" if it has none. */
const char *gguf_type_print(uint32_t id, char text[24]);

/* Decodes a block to `values` floats. */
void gguf_decode(const struct gguf_type *type, const uint8_t *block, float *values);

/* The scheme that holds n values of a type with blocks exactly; f32 if no scheme holds these blocks. Q8_0,
 * Q5_0 and IQ4_NL become i8:g32, Q4_0 i4:g32:signed, Q4_1 i4:g32:minmax, Q5_1 i8:g32:minmax, MXFP4 mxfp4;
 * with scales in float32 Q2_K i2:g16:minmax, Q3_K i4:g16:signed, Q4_K i4:g32:minmax, Q5_K i8:g32:minmax, Q6_K
 * i8:g16:signed, IQ4_XS i8:g32:signed. Only the sign of a zero may be lost. An output has `cols` values. */
struct scheme gguf_exact_scheme(const struct gguf_type *type, const uint8_t *blocks, size_t n, int cols);
/* The same in parts: findings in some blocks of a type with codes, then the scheme that follows from all of them. */
struct gguf_findings {
    bool floats;     /* a block that no scheme of codes holds */
    bool least_code; /* code -128 with a scale */
};
struct gguf_findings gguf_look_at(const struct gguf_type *type, const uint8_t *blocks, size_t n_blocks);
struct scheme gguf_scheme_of(const struct gguf_type *type, struct gguf_findings f, int cols);
/* Stores a block's codes for such a scheme of integers, counted from 0, with a scale (and minimum) that the
 * scheme allows. */
struct gguf_stored {
    float scale[GGUF_GROUPS_MAX], zero[GGUF_GROUPS_MAX];
    uint8_t code[GGUF_VALUES_MAX];
};
void gguf_store_block(const struct gguf_type *type, struct scheme scheme, const uint8_t *block,
                      struct gguf_stored *out);
#endif
