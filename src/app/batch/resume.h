/* Which lines an earlier run has answered already. */
#ifndef APP_BATCH_RESUME_H
#define APP_BATCH_RESUME_H
#include "base/status.h"

/* Lines first, first + step, first + 2*step ... of the file, counted from 0; the n-th of them is first +
 * n*step. */
struct batch_shard {
    uint64_t first, step;
};
struct batch_lines { /* of the input: n lines, the shard's are to be answered */
    uint64_t n;
    struct batch_shard shard;
};
uint64_t batch_lines_of_shard(const struct batch_lines *lines);

struct batch_done {   /* what an output answers */
    int64_t keep;     /* bytes up to the end of its last whole line */
    uint64_t n_lines; /* answered, of the shard */
    uint64_t n_errors;
    bool again;    /* what follows those bytes is answered again: memory was out for the next line */
    uint8_t *bits; /* a bit per line of the shard where the order is free */
    uint64_t n_bits;
};
/* A torn last line is not kept; nor is what follows an answer that says only that memory was out. A line that is strange, or answers what
 * is not in the input, is refused; in order, one that is missing, too. */
gpt2q_status batch_done_scan(const char *output, const struct batch_lines *lines, bool ordered,
                             struct batch_done *out, gpt2q_error *err);
bool batch_done_has(const struct batch_done *d, uint64_t n);
void batch_done_free(struct batch_done *d);
#endif
