/* What the answers of a run depend on, as a small file beside them, OUTPUT.fingerprint: program, input, model, and every option that
 * enters into an answer. (Batch size, threads, chunks and the instruction set do not.) */
#ifndef APP_BATCH_FINGERPRINT_H
#define APP_BATCH_FINGERPRINT_H
#include "base/status.h"

struct batch_survey {              /* of an input that is a regular file */
    uint64_t bytes, n_lines, hash; /* n_lines: not blank */
};
gpt2q_status batch_survey_make(int fd, const char *path, struct batch_survey *out, gpt2q_error *err);

#define FINGERPRINT_MAX 4096
/* `options` is one line of words NAME=VALUE. `model` is a path as model_locate gives it; all files that it is read from are read. */
gpt2q_status batch_fingerprint_make(const struct batch_survey *input, const char *model, const char *options,
                                    char text[FINGERPRINT_MAX], gpt2q_error *err);
/* `output` is a path whose links were followed. */
gpt2q_status batch_fingerprint_write(const char *output, const char *text, gpt2q_error *err);
/* In place of one, while answers of an earlier run are being replaced: then nothing can go on with them. */
extern const char batch_fingerprint_replacing[];
/* Refuses, by what differs, to go on with another run's output. */
gpt2q_status batch_fingerprint_check(const char *output, const char *text, gpt2q_error *err);
/* None is an OK, too. */
gpt2q_status batch_fingerprint_remove(const char *output, gpt2q_error *err);
/* OUTPUT.fingerprint, for mem_free. */
gpt2q_status batch_fingerprint_path(const char *output, char **path, gpt2q_error *err);
uint64_t batch_hash(uint64_t hash, const void *data, size_t n);
/* As many bytes as there are, up to BATCH_CHUNK, so that chunks do not depend on how reads are cut. -1: failed. */
#define BATCH_CHUNK ((size_t)1 << 20) /* a multiple of 8 */
int64_t batch_read_chunk(int fd, char *chunk, int64_t at);
#endif
