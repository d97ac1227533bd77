/* A pass under way: what forward.c and forward_phases.c share. */
#ifndef MODEL_FORWARD_PARTS_H
#define MODEL_FORWARD_PARTS_H
#include "base/threads.h"
#include "model/forward.h"
#include "qtensor/qinput.h"

/* Tokens of one sequence in consecutive positions, consecutive in the batch. */
struct token_run {
    int row, n_rows;
};
/* An item of attention: some rows of a run in one head. */
struct attention_unit {
    int run, head, row, n_rows;
};

struct pass;

/* Outputs [begin, end) of rows [r0, r1). Row r0 is at x, each next row `stride` floats further. */
struct forward_outputs {
    const float *x;
    size_t stride;
    int r0, r1, begin, end;
};

/* A product: all panels of w times the rows of `in`, into y (n, rows). */
struct linear_product {
    struct linear_weight w;
    struct qinput in;
    bool prepared; /* the rows of `in` are ready: quantized if need be, factors applied */
    bool codes;    /* the rows of `in` must be quantized */
    float *y;      /* with `then`, only if an observer wants all outputs */
    size_t y_stride;
    /* Adds or activates some outputs. NULL: they stay in y. The outputs are in a tile of the thread's own,
     * which stays in a cache. In y, writing them would fetch a few lines of every row. */
    void (*then)(const struct pass *p, const struct forward_outputs *o, int thread);
    int block; /* rows of an item, so many that their inputs fit the second-level cache */
};

struct pass {
    struct forward *f;
    const struct batch_token *tokens;
    int n, n_runs, n_units, n_outputs, first_row;
    int n_threads; /* of this pass */
    /* A run has several units per head: all keys must be cached before one of them attends. */
    bool append_apart;
    float *logits;
    int32_t *argmax; /* NULL: the logits themselves are wanted */
    struct linear_product head;

    /* The phase under way. Whoever makes it writes one cache line, which the other threads fetch. */
    _Alignas(64) bool begun;
    int layer, step;
    int rows_of_item; /* items of norms, embeddings and quantizing have so many rows */
    const struct norm *norm;
    const struct linear_product *product;
};

/* The products of the layers in passes of p->n rows: made where the last pass had another number. So in decoding every
 * core has them in its cache. */
void pass_set_products(const struct pass *p);
#define PRODUCTS_OF_LAYER 4

/* Floats from a row of a matrix to the next. */
size_t row_stride(const struct forward *f, size_t cols);
/* The largest logits that a thread has made, one per row. */
struct best *best_of(const struct forward *f, int thread);

/* A threads_next_fn over a struct pass. All but the first part of the pass begins as zeros. With an
 * observer it runs in the thread that the observer is promised. */
bool pass_next_phase(void *pass, struct phase *next);
#endif
