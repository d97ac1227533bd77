/* One row per format: the kernels of a product with weights, y (n,rows) = x (n,cols) @ W (rows,cols)^T.
 *
 * There is one order of summation. Lanes run over outputs, never over the reduction. Each output is one
 * chain of fused multiply-adds in increasing k from +0, over codes if the weight is quantized (the head of
 * each format's file has the formula). It is the same for every number of rows. So a kernel for many rows
 * and a kernel for one may differ in everything but bits. */
#ifndef QTENSOR_FORMAT_H
#define QTENSOR_FORMAT_H
#include "qtensor/qtensor.h"

enum activations { ACTIVATIONS_F32, ACTIVATIONS_I16, ACTIVATIONS_I8, ACTIVATIONS_COUNT };

/* The activations that a scheme takes: f32 always; integers if the format has products of codes. notes
 * takes f32 alone. */
static inline bool scheme_takes(struct scheme s, enum activations kind)
{
    return kind == ACTIVATIONS_F32 || (format_facts[s.format].takes_codes && !scheme_is_notes(s));
}
/* The default: i16 for integer codes, on every machine and for every number of rows. */
static inline enum activations scheme_activations(struct scheme s)
{
    return scheme_takes(s, ACTIVATIONS_I16) ? ACTIVATIONS_I16 : ACTIVATIONS_F32;
}

struct qinput; /* qtensor/qinput.h */

struct format_ops {
    const char *name;
    /* Writes row `row` of W as floats, y (cols). This defines the format. */
    void (*dequantize_row)(const struct qtensor *w, int row, float *y);
    /* Computes the rows that x asks for and the panels [p0, p1). Output o of row r goes to y[(r -
     * x->begin) * y_stride + o - p0 * PANEL]. Nothing beyond the outputs is written. */
    void (*matmul)(const struct qtensor *w, const struct qinput *x, float *y, size_t y_stride, int p0,
                   int p1);
    /* The same with integer activations. NULL: the format has none. */
    void (*matmul_q)(const struct qtensor *w, const struct qinput *x, float *y, size_t y_stride, int p0,
                     int p1);
    /* Fills what matmul (or matmul_q, by x->kind) needs of rows [r0, r1) of x besides f32. NULL: nothing. */
    void (*prepare)(const struct qtensor *w, struct qinput *x, int r0, int r1);
    bool wide_codes
        [ACTIVATIONS_COUNT]; /* By kind: prepare makes codes of 16 bits, x->wide, instead of bytes. */
};
#endif
