/* Calibration texts: what a model reads while its weights are quantized. Each file gives an equal share of
 * the windows, from its beginning, in the order of the files. A remainder shorter than a window is
 * dropped. Nothing is random. */
#ifndef METHODS_CALIBRATION_H
#define METHODS_CALIBRATION_H
#include "base/sha256.h"
#include "base/status.h"

struct tokenizer;

struct calibration_text {
    const char *path; /* the caller's */
    char sha256[SHA256_TEXT];
    int windows, asked; /* windows taken, and its share */
};
struct calibration {
    int32_t *ids;               /* (windows, window) */
    int windows, window, asked; /* asked: windows wanted */
    struct calibration_text *texts;
    size_t n_texts;
};

struct calibration_params {
    const char *const *paths;
    size_t n_paths;
    int64_t tokens; /* at most so many; a remainder that does not fill a window is not used */
    int window;
};
/* Refused: tokens that the model's vocabulary lacks, and texts that fill no window. */
gpt2q_status calibration_open(const struct calibration_params *p, const struct tokenizer *tokenizer,
                              int32_t vocab_size, struct calibration *out, gpt2q_error *err);
void calibration_close(struct calibration *c);
#endif
