/* Makes blocks of GGUF types from weights. Floats are rounded as ggml's reference does (quantize_row_*_ref of ggml-quants.c), to the
 * same bytes. Codes that a scheme holds already stay as they are. */
#ifndef MODEL_GGUF_ENCODE_H
#define MODEL_GGUF_ENCODE_H
#include "model/gguf_types.h"
#include "qtensor/quantize.h"

/* A type that --gguf-type may name, "q8_0" in either case; NULL: none. */
const struct gguf_type *gguf_type_named(const char *name);
/* "f32, f16, ... or q5_1": those types, for messages. */
extern const char gguf_type_names[];

/* The type that holds a scheme's codes exactly. NULL: none. i8:g32:minmax is Q5_1 only if its codes are below 32. */
const struct gguf_type *gguf_type_of_scheme(struct scheme s);
/* A SPEC near a scheme without such a type, for messages: "i4:g32:minmax". */
const char *gguf_nearest_spec(struct scheme s);
/* Bytes of a matrix in a type. 0: its rows are no multiple of a block. */
size_t gguf_matrix_bytes(const struct gguf_type *type, int rows, int cols);

/* Writes the codes of W (rows, cols), row by row, in the type of its scheme: gguf_matrix_bytes. */
gpt2q_status gguf_encode_exactly(const struct qtensor *w, const char *name, const struct quantize_run *run,
                                 uint8_t *blocks, gpt2q_error *err);
/* Rounds W, in f32, as ggml does. It refuses weights without a code and scales beyond float16. */
gpt2q_status gguf_encode_rounded(const struct qtensor *w, const struct gguf_type *type, const char *name,
                                 const struct quantize_run *run, uint8_t *blocks, gpt2q_error *err);
#endif
