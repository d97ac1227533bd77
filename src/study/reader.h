/* A model that reads windows of a text, tile by tile, and gives logits for every position. Two readers
 * over the same tiles run a reference and a model in lock-step: each holds one tile of logits. */
#ifndef STUDY_READER_H
#define STUDY_READER_H
#include "gpt2q.h"

/* The windows of a text: window j is ids[j*stride .. j*stride + window). There are as many as fit whole
 * into n ids. */
struct windows {
    const int32_t *ids;
    size_t n;
    int32_t window, stride; /* 1 <= stride <= window */
};
size_t windows_count(const struct windows *w);
/* The beginning of window j, and the first of its positions whose token no earlier window has predicted
 * (position 0 is never predicted). */
size_t windows_begin(const struct windows *w, size_t j);
int32_t windows_first_new(const struct windows *w, size_t j);
/* The number of tokens predicted in all windows together. */
size_t windows_predictions(const struct windows *w);
/* The targets of positions [first, first + n) of window j: the next token if it is new, else -1. */
void windows_targets(const struct windows *w, size_t j, int32_t first, int32_t n, int32_t *targets);

struct reader_params {
    int32_t window, tile; /* positions of a window, of a tile */
    int32_t n_threads;    /* 0: the cores this process may use */
    const char *activations, *kv;
};
struct reader {
    gpt2q_context *ctx;
    gpt2q_batch *batch;
    int32_t tile;
    double seconds; /* spent in passes */
    uint64_t tokens;
};
/* The rows of a tile such that, with `floats` floats a row, it takes about `bytes` bytes: a multiple of 16
 * within the window. */
int32_t reader_tile(size_t floats, size_t bytes, int32_t window);

/* *r is zero on failure; reader_close then does nothing. */
gpt2q_status reader_open(struct reader *r, const gpt2q_model *model, const struct reader_params *params,
                         gpt2q_error *err);
void reader_close(struct reader *r);
/* Reads positions [first, first + n) of a window whose ids begin at ids; n <= tile. Position 0 starts a
 * new window. */
gpt2q_status reader_read(struct reader *r, const int32_t *ids, int32_t first, int32_t n, gpt2q_error *err);
/* Logits (n, vocab) of the tile read last. */
const float *reader_logits(const struct reader *r);

/* Called after each tile. Returning false stops the work with GPT2Q_CANCELLED. */
struct progress {
    bool (*report)(void *user, uint64_t done, uint64_t total);
    void *user;
};
gpt2q_status progress_report(const struct progress *p, uint64_t done, uint64_t total, gpt2q_error *err);
#endif
