/* Blocks of GGUF types from weights: by ggml's reference rounding (quantize_row_*_ref of ggml-quants.c, whose bytes these are), and
 * from codes that a scheme holds already, as they are. */
#ifndef MODEL_GGUF_ENCODE_H
#define MODEL_GGUF_ENCODE_H
#include "model/gguf_types.h"
#include "qtensor/quantize.h"

/* A type that --gguf-type may name, "q8_0" in either case; NULL: none. */
const struct gguf_type *gguf_type_named(const char *name);
/* "f32, f16, ... or q5_1": those types, for messages. */
extern const char gguf_type_names[];

/* The type whose blocks say exactly what a scheme's codes do; NULL: none. i8:g32:minmax is Q5_1 only where its codes are below 32. */
const struct gguf_type *gguf_type_of_scheme(struct scheme s);
/* What stands in for a scheme without such a type, for messages: "i4:g32:minmax". */
const char *gguf_nearest_spec(struct scheme s);
/* Bytes of a matrix in a type; 0 where its rows are no multiple of a block. */
size_t gguf_matrix_bytes(const struct gguf_type *type, int rows, int cols);

/* W (rows, cols) as it is held, row by row, into gguf_matrix_bytes of the type of its scheme. */
gpt2q_status gguf_encode_exactly(const struct qtensor *w, const char *name, const struct quantize_run *run,
                                 uint8_t *blocks, gpt2q_error *err);
/* W in f32, rounded as ggml does. Refused: weights without a code, scales beyond float16. */
gpt2q_status gguf_encode_rounded(const struct qtensor *w, const struct gguf_type *type, const char *name,
                                 const struct quantize_run *run, uint8_t *blocks, gpt2q_error *err);
#endif
