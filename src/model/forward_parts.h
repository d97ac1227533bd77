/* A pass under way; what forward.c and forward_phases.c share. */
#ifndef MODEL_FORWARD_PARTS_H
#define MODEL_FORWARD_PARTS_H
#include "base/threads.h"
#include "model/forward.h"
#include "qtensor/qinput.h"

/* Tokens of one sequence in consecutive positions, side by side in the batch. */
struct token_run {
    int row, n_rows;
};
/* An item of attention: some rows of a run, in one head. */
struct attention_unit {
    int run, head, row, n_rows;
};

struct pass;

/* Outputs [begin, end) of rows [r0, r1), those of row r0 at x and of each further one `stride` floats on. */
struct outputs {
    const float *x;
    size_t stride;
    int r0, r1, begin, end;
};

/* A product: all panels of w times the rows of `in`, to y (n, rows). */
struct linear_product {
    struct linear_weight w;
    struct qinput in;
    bool prepared; /* the rows of `in` are quantized, or need not be, and have no factors */
    bool codes;    /* they have to be */
    float *y;      /* with `then`, only where an observer wants all outputs */
    size_t y_stride;
    /* What becomes of some outputs; NULL: they stay in y. A tile of the thread's own stays in a cache; of y, a few lines of
     * every row would be fetched to be written. */
    void (*then)(const struct pass *p, const struct outputs *o, int thread);
    int block; /* rows of an item: the second-level cache has room for their inputs */
};

struct pass {
    struct forward *f;
    const struct batch_token *tokens;
    int n, n_runs, n_units, n_outputs, first_row;
    bool
        append_apart; /* some run has several units a head: all keys must be cached before any of them attends */
    float *logits;
    int32_t *argmax; /* NULL: the logits themselves are wanted */

    /* the phase under way */
    bool begun;
    int layer, step;
    const struct norm *norm;
    int rows_of_item; /* of norms, embeddings and quantizing */
    struct linear_product product;
};

/* Floats from a row of a matrix to the next. */
size_t row_stride(const struct forward *f, size_t cols);
/* The largest logits that a thread has met, one a row. */
struct best *best_of(const struct forward *f, int thread);

/* A threads_next_fn over a struct pass, which begins zeroed but for its first part. With an observer it must be called in the
 * thread that the observer is promised. */
bool pass_next_phase(void *pass, struct phase *next);
#endif
