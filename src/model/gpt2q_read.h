/* Reads a .gpt2q file (gpt2q_file.h). Opening checks header, shapes, schemes, scales and zero points, but
 * nothing that needs a pass over all codes. */
#ifndef MODEL_GPT2Q_READ_H
#define MODEL_GPT2Q_READ_H
#include "model/weights.h"
#include "tokenizer/tokenizer.h"

struct gpt2q_file {
    struct safetensors st;
    gpt2q_config config;
    struct scheme scheme; /* the one asked for when it was written */
    const char *source;   /* the name of the original model; lies in st */
};

/* Whether an opened safetensors file says that it is a .gpt2q. */
bool safetensors_is_gpt2q(const struct safetensors *st);
/* Takes over st, also on failure. Refused by name: a file that is not a .gpt2q, a newer version, a wrong
 * config or scheme. */
gpt2q_status gpt2q_file_from(struct safetensors *st, struct gpt2q_file *out, gpt2q_error *err);
gpt2q_status gpt2q_file_open(const char *path, struct gpt2q_file *out, gpt2q_error *err);
void gpt2q_file_close(struct gpt2q_file *f);

/* Opens the tokenizer of a Hugging Face directory, a .gpt2q or a GGUF file. A model without one is an
 * error. The tokenizer may point into *file, so close that after it. For other models *file is all zero,
 * and closing it does nothing. */
gpt2q_status model_tokenizer_open(const char *path, struct gpt2q_file *file, struct tokenizer **out,
                                  gpt2q_error *err);
/* The weights, mapped. They take over f->st; f must still be closed. */
gpt2q_status gpt2q_file_weights(struct gpt2q_file *f, struct gpt2_weights *out, gpt2q_error *err);

/* Checks the checksum of a whole file that safetensors_open opened. */
gpt2q_status gpt2q_checksum_check(const struct safetensors *st, gpt2q_error *err);
#endif
