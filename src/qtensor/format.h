/* One row per format: the kernels of a product with weights, y (n,rows) = x (n,cols) @ W (rows,cols)^T.
 *
 * One order of summation: lanes run over outputs, never over the reduction; each output is one chain of fused multiply-adds
 * in increasing k from +0, over codes where the weight is quantized (the formula stands in each format's file head).
 * The same for every number of rows, so a kernel for many rows may differ from that for one in all but its bits. */
#ifndef QTENSOR_FORMAT_H
#define QTENSOR_FORMAT_H
#include "qtensor/qtensor.h"

enum activations { ACTIVATIONS_F32, ACTIVATIONS_I16, ACTIVATIONS_I8, ACTIVATIONS_COUNT };

/* The activations that a scheme takes: f32 always, integers where the format has products of codes; notes takes f32 alone. */
static inline bool scheme_takes(struct scheme s, enum activations kind)
{
    return kind == ACTIVATIONS_F32 || (format_facts[s.format].takes_codes && !scheme_is_notes(s));
}
/* Where none are named: i16 for integer codes, on every machine and for every number of rows. */
static inline enum activations scheme_activations(struct scheme s)
{
    return scheme_takes(s, ACTIVATIONS_I16) ? ACTIVATIONS_I16 : ACTIVATIONS_F32;
}

/* A piece is a group, or the longest power-of-two run of it whose integer sum cannot overflow int32: the largest code of the kind of
 * activations times the largest distance of a weight's code from its zero, for each input. */
static inline int qtensor_piece(const struct qtensor *w, enum activations kind)
{
    const int32_t code = (1 << scheme_bits(w->scheme)) / (scheme_zero(w->scheme) == QZERO_NONE ? 2 : 1);
    const int32_t most = INT32_MAX / (kind == ACTIVATIONS_I16 ? 32639 : 127) / code;
    int group = w->cols / qtensor_groups(w), piece = 128;
    while (2 * piece <= most && piece < group) piece *= 2;
    return group < piece ? group : piece;
}
static inline int qtensor_pieces(const struct qtensor *w, enum activations kind)
{
    int group = w->cols / qtensor_groups(w), piece = qtensor_piece(w, kind);
    return qtensor_groups(w) * ((group + piece - 1) / piece);
}

/* The inputs whose 16-bit codes lie together for all rows: a multiple of 16 and of the group, or a part of it. */
static inline int qtensor_slab(const struct qtensor *w)
{
    const int most = 256, group = w->cols / qtensor_groups(w), unit = group % 16 ? 2 * group : group;
    return group > most ? most : unit > most ? unit : most / unit * unit;
}

/* What prepare makes of the codes of every piece where they are multiplied in 16 bits, modulo 2^32: their sum, and what the sum of
 * a product begins with for few and for many rows (wide_matmul.h). */
enum wide_sum { WIDE_X, WIDE_START, WIDE_START_MANY, WIDE_SUMS };

/* Rows whose 16-bit codes are interleaved, four inputs of each after another: a register tile takes them together, and from a slab
 * its codes come as one stream. */
#define WIDE_LANES 4

/* The rows whose codes take memory together, where there is more than one. */
#define QINPUT_ROWS 16
/* Rows that a kernel may take together. */
#define QINPUT_BLOCK 32

/* The input of a product, as a format's kernel wants it. `f32` always; the rest is made by `prepare`, in buffers of the caller
 * (sized by qinput_layout), row by row. */
struct qinput {
    int n, cols;
    int begin,
        end; /* the rows that matmul is asked for, [0, n) unless the caller wants fewer; begin is a multiple of QINPUT_BLOCK */
    const float *f32; /* x (n, cols), row r at f32 + r*stride */
    size_t stride;
    enum activations kind;
    float *scaled; /* QG_INPUT: x times the input's scale; else NULL and f32 is used */
    float *sums;   /* sum over each group (or all) of x, for zero points and minima, float; (n, groups) */
    /* Codes of x (n, cols rounded up to 64), as format_ops.wide_codes says; padding is 0. As bytes: i16: 256*hi + lo; i8: hi
     * only. As 16-bit integers, in the same memory: each four inputs in the order 0 2 1 3, qinput_lanes rows interleaved. */
    int8_t *hi, *lo;
    int16_t *wide;
    int slab; /* inputs: of 16-bit codes all rows' for these, then all rows' for the next */
    int32_t *
        code_sums; /* bytes: sums of hi, then of lo, over each group (n, 2, groups); 16 bits: (n, WIDE_SUMS, pieces) */
    float *code_scale; /* (n): x = code_scale * code */
};

static inline int qinput_lanes(const struct qinput *x) { return x->n < WIDE_LANES ? x->n : WIDE_LANES; }
/* The 16-bit codes of a row's inputs k to k + 3; the next four of the slab follow 4 * qinput_lanes later. */
static inline int16_t *qinput_wide(const struct qinput *x, int row, int k)
{
    const int lanes = qinput_lanes(x), lane = row % lanes, first = k / x->slab * x->slab;
    const int rest = (x->cols + 63) / 64 * 64 - first, width = rest < x->slab ? rest : x->slab;
    const size_t rows = ((size_t)x->n + (size_t)lanes - 1) / (size_t)lanes * (size_t)lanes;
    return x->wide + (size_t)first * rows + (size_t)(row - lane) * (size_t)width +
           (size_t)((k - first) * lanes + 4 * lane);
}

struct format_ops {
    const char *name;
    /* Row `row` of W as floats, the definition of the format: y (cols). */
    void (*dequantize_row)(const struct qtensor *w, int row, float *y);
    /* For the rows that x asks for and the panels [p0, p1): output o of row r goes to
     * y[(r - x->begin) * y_stride + o - p0 * PANEL]; nothing beyond rows is written. */
    void (*matmul)(const struct qtensor *w, const struct qinput *x, float *y, size_t y_stride, int p0,
                   int p1);
    /* The same with integer activations; NULL where the format has none. */
    void (*matmul_q)(const struct qtensor *w, const struct qinput *x, float *y, size_t y_stride, int p0,
                     int p1);
    /* Fills what matmul (or matmul_q, by x->kind) needs of rows [r0, r1) of x beyond f32. NULL: nothing. */
    void (*prepare)(const struct qtensor *w, struct qinput *x, int r0, int r1);
    bool wide_codes
        [ACTIVATIONS_COUNT]; /* by kind: prepare makes codes of 16 bits, x->wide, in place of bytes */
};

/* Whether a product with this weight needs `prepare` (and so a barrier between it and matmul). */
bool qinput_needs_prepare(const struct qtensor *w, enum activations kind);
/* Points x's buffers into memory (64-byte aligned) for n rows of a product with w; returns the bytes it takes. memory NULL: only
 * counts. */
size_t qinput_layout(struct qinput *x, const struct qtensor *w, enum activations kind, int n, void *memory);
#endif
