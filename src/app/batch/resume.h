/* Going on where an earlier run ended: which lines its output answers already, and whether it was the same
 * run. A file beside the output, OUTPUT.fingerprint, says what the run was made of: input, model, and every
 * option that enters into an answer. (Batch size, threads, chunks and the instruction set do not.) */
#ifndef APP_BATCH_RESUME_H
#define APP_BATCH_RESUME_H
#include "base/status.h"

/* Lines first, first + step, first + 2*step ... of the file, counted from 0; the n-th of them is first +
 * n*step. */
struct batch_shard {
    uint64_t first, step;
};

struct batch_survey {              /* of an input that is a regular file */
    uint64_t bytes, n_lines, hash; /* n_lines: not blank */
};
gpt2q_status batch_survey_make(int fd, const char *path, struct batch_survey *out, gpt2q_error *err);

#define FINGERPRINT_MAX 4096
/* `options` is one line of text. `model` is a path as model_locate gives it. */
gpt2q_status batch_fingerprint_make(const struct batch_survey *input, const char *model, const char *options,
                                    char text[FINGERPRINT_MAX], gpt2q_error *err);
gpt2q_status batch_fingerprint_write(const char *output, const char *text, gpt2q_error *err);
/* Refuses, by what differs, to go on with another run's output. */
gpt2q_status batch_fingerprint_check(const char *output, const char *text, gpt2q_error *err);
uint64_t batch_hash(uint64_t hash, const void *data, size_t n);

struct batch_done {   /* what an output answers */
    int64_t keep;     /* bytes up to the end of its last whole line */
    uint64_t n_lines; /* answered, of the shard */
    uint64_t n_errors;
    uint8_t *bits; /* a bit per line where the order is free */
    uint64_t n_bits;
};
/* A torn last line is not kept. In order, a line that is missing
 * or strange is refused. */
gpt2q_status batch_done_scan(const char *output, struct batch_shard shard, bool ordered,
                             struct batch_done *out, gpt2q_error *err);
bool batch_done_has(const struct batch_done *d, uint64_t n);
void batch_done_free(struct batch_done *d);
#endif
