/* Logits in a safetensors file, so that any program can be judged by any other:
 *
 *     input_ids  I64 (or I32)            (windows, window), or (tokens): one window
 *     logits     F32 (or F16, BF16)      the same, and vocab_size: the logits after each token of a window
 *
 * The first named types and three dimensions are written. What `gpt2q trace` writes can be read, too. */
#ifndef STUDY_LOGITS_FILE_H
#define STUDY_LOGITS_FILE_H
#include "model/safetensors.h"
#include "study/reader.h"

struct logits_file {
    struct safetensors file;
    const struct st_tensor *logits;
    int32_t *ids; /* (count, window) */
    size_t count;
    int32_t window, vocab;
};
/* Refuses a vocabulary other than the model's, and windows longer than its context. */
gpt2q_status logits_file_open(const char *path, const gpt2q_config *model, struct logits_file *out,
                              gpt2q_error *err);
void logits_file_close(struct logits_file *f);
/* Reads rows [first, first + n) of a window as floats (n, vocab). */
void logits_file_read(const struct logits_file *f, size_t window, int32_t first, int32_t n, float *out);

/* Begins a file of the windows. The logits of each tile follow in order (file_writer_write), then
 * file_writer_commit. */
gpt2q_status logits_file_begin(struct file_writer *w, const struct windows *windows, int32_t vocab,
                               gpt2q_error *err);
#endif
