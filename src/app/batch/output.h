/* The answers of a batch on their way out: in the order of the lines, holding back at most `window` finished
 * ones, or as they come. What was written is flushed at the end of every step. */
#ifndef APP_BATCH_OUTPUT_H
#define APP_BATCH_OUTPUT_H
#include "base/status.h"
#include <stdio.h>

struct batch_output {
    FILE *stream;
    const char *path; /* for messages; the caller's */
    char *target;     /* of a regular file: its path, links followed */
    int64_t size;     /* what it holds so far */
    bool is_regular, made;
    bool ordered;
    char **held; /* ring: held[n % window] is the answer to the n-th line, NULL: not there yet */
    size_t window;
    uint64_t next;                 /* the first line not written */
    uint64_t n_written, n_flushed; /* answers by this run */
};

/* path NULL or "-": standard output. What a file holds stays until batch_output_begin; it is locked, and refused where another run holds
 * the lock. */
gpt2q_status batch_output_open(struct batch_output *o, const char *path, bool ordered, size_t window,
                               gpt2q_error *err);
/* `keep` bytes of a file stay, the rest is cut off; `next` is the number of the first line that is to be written. */
gpt2q_status batch_output_begin(struct batch_output *o, int64_t keep, uint64_t next, gpt2q_error *err);
/* The n-th line may be begun: its answer will have a place. */
bool batch_output_has_room(const struct batch_output *o, uint64_t n);
/* Takes the answer to the n-th line; `text` is freed with mem_free once it is written. */
gpt2q_status batch_output_put(struct batch_output *o, uint64_t n, char *text, gpt2q_error *err);
gpt2q_status batch_output_flush(struct batch_output *o, gpt2q_error *err);
/* Flushes, syncs and closes; frees in any case. */
gpt2q_status batch_output_close(struct batch_output *o, gpt2q_error *err);
/* In place of closing one that was not begun: a file that was made for it is removed, one that was there stays as it is. */
void batch_output_discard(struct batch_output *o);
#endif
