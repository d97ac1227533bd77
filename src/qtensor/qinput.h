/* The input of a product with a quantized weight, x (n, cols), as kernels want it: floats, sums for zero points and minima, integer
 * codes. And how inputs are cut for integer sums: pieces and slabs. */
#ifndef QTENSOR_QINPUT_H
#define QTENSOR_QINPUT_H
#include "qtensor/format.h"

/* A piece is a group, or the longest power-of-two run of it whose integer sum cannot overflow int32: the largest code of the kind of
 * activations times the largest distance of a weight's code from its zero, for each input. */
static inline int qtensor_piece(const struct qtensor *w, enum activations kind)
{
    const int32_t code =
        (1 << scheme_product_bits(w->scheme)) / (scheme_zero(w->scheme) == QZERO_NONE ? 2 : 1);
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

/* The inputs whose 16-bit codes lie together for all rows: a multiple of 16 and of the group, or a part of it. Where there is one
 * group they go beyond the last input, as the codes of weights do. */
static inline int qtensor_slab(const struct qtensor *w)
{
    const int most = 256, group = w->cols / qtensor_groups(w), unit = group % 16 ? 2 * group : group;
    return group > most || group == w->cols ? most : unit > most ? unit : most / unit * unit;
}

/* What prepare makes of the codes of every piece where they are multiplied in 16 bits, modulo 2^32: their sum, and what the sum of
 * a product begins with for few and for many rows (wide_matmul.isa.h). */
enum wide_sum { WIDE_X, WIDE_START, WIDE_START_MANY, WIDE_SUMS };

/* Rows whose 16-bit codes are interleaved, four inputs of each after another: a register tile takes them together, and from a slab
 * its codes come as one stream. */
#define WIDE_LANES 4

/* The rows whose codes take memory together, where there is more than one. */
#define QINPUT_ROWS 16
/* Rows that a kernel may take together. */
#define QINPUT_BLOCK 32

/* How the integer codes of a token come about. */
struct activation_mode {
    enum activations kind;
    bool fixed; /* by the layer's scale, which the file holds, not by the token's largest magnitude */
    float
        threshold; /* LLM.int8(): inputs of this magnitude and more leave the integer product; 0: none does */
};

/* The input of a product, as a format's kernel wants it. `f32` always; the rest is made by `prepare`, in buffers of the caller
 * (sized by qinput_layout), row by row. */
struct qinput {
    int n, cols;
    int begin,
        end; /* the rows that matmul is asked for, [0, n) unless the caller wants fewer; begin is a multiple of QINPUT_BLOCK */
    const float *f32; /* x (n, cols), row r at f32 + r*stride */
    size_t stride;
    enum activations kind;
    float fixed_scale; /* of all codes; 0: each row has its own */
    float threshold;   /* as in activation_mode */
    float *rest;       /* threshold: x with 0 for the outliers, in place of f32 (n, cols) */
    int32_t *outliers; /* threshold: of each row how many, and which inputs, ascending (n, 1 + cols) */
    float *scaled;     /* QG_INPUT: x times the input's scale; else NULL and f32 is used */
    float *sums;       /* sum over each group (or all) of x, for zero points and minima, float; (n, groups) */
    /* Codes of x (n, cols rounded up to 64), as format_ops.wide_codes says; padding is 0. As bytes: i16: 256*hi + lo; i8: hi
     * only. As 16-bit integers, in the same memory: each four inputs in the order 0 2 1 3, qinput_lanes rows interleaved or, where pairs_take
     * (pair_sums.h), a row after another. */
    int8_t *hi, *lo;
    int16_t *wide;
    bool
        free_sums; /* additions cost nothing beside products (core.h); `prepare` and matmul must be told the same */
    int slab; /* inputs: of 16-bit codes all rows' for these, then all rows' for the next */
    int32_t *
        code_sums; /* bytes: sums of hi, then of lo, over each group (n, 2, groups); 16 bits: (n, WIDE_SUMS or PAIR_SUMS, pieces) */
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

/* Whether a product with this weight needs `prepare` (and so a barrier between it and matmul). */
bool qinput_needs_prepare(const struct qtensor *w, enum activations kind);
/* Points x's buffers into memory (64-byte aligned) for n rows of a product with w; returns the bytes it takes. memory NULL: only
 * counts. */
size_t qinput_layout(struct qinput *x, const struct qtensor *w, enum activations kind, int n, void *memory);
#endif
