/* The worked examples of linear quantization, on any matrix W and vector x. The engine's own quantizer
 * makes both int8, with one scale for all of W and one for x. Then W @ x is computed from codes alone. */
#ifndef QUANTIZE_EXPLAIN_H
#define QUANTIZE_EXPLAIN_H
#include "base/status.h"

#define EXPLAIN_SIDE_MAX 64

struct explain_input {
    int rows, cols;
    float W[EXPLAIN_SIDE_MAX][EXPLAIN_SIDE_MAX], x[EXPLAIN_SIDE_MAX];
};
/* The 3 x 5 example of the notes. */
extern const struct explain_input explain_example;
/* Parses {"W": [[..], ..], "x": [..]}. Refused by name: rows of different lengths, an x that does not fit,
 * more than 64 rows or columns, numbers that are not finite as float32. `name` is the file. */
gpt2q_status explain_parse(const char *text, size_t n, const char *name, struct explain_input *out,
                           gpt2q_error *err);

enum explain_method { EXPLAIN_ABSMAX, EXPLAIN_MINMAX, EXPLAIN_AFFINE, EXPLAIN_COUNT };
extern const char *const explain_names[EXPLAIN_COUNT];

struct explanation {
    int W_codes[EXPLAIN_SIDE_MAX][EXPLAIN_SIDE_MAX], x_codes[EXPLAIN_SIDE_MAX];
    double W_scale, x_scale, W_zero, x_zero;      /* w = scale * (code - zero) */
    double W_mean_error, x_mean_error;            /* mean of |w - w'| */
    int64_t sums[EXPLAIN_SIDE_MAX];               /* of products of codes */
    int int8_sums[EXPLAIN_SIDE_MAX];              /* the same accumulated in int8, which wraps around */
    double product[EXPLAIN_SIDE_MAX], mean_error; /* zero points are corrected by sums of codes */
    double product_notes[EXPLAIN_SIDE_MAX],
        mean_error_notes; /* the notes' way: corrected by sums of unquantized values */
};
gpt2q_status explain(const struct explain_input *input, enum explain_method method, struct explanation *out,
                     gpt2q_error *err);
/* W @ x in full precision. */
void explain_product(const struct explain_input *input, double product[EXPLAIN_SIDE_MAX]);
#endif
