/* Reading a .gpt2q file (gpt2q_file.h). Opening checks everything but what would need a pass over all codes:
 * header, shapes, schemes, scales and zero points. */
#ifndef MODEL_GPT2Q_READ_H
#define MODEL_GPT2Q_READ_H
#include "model/weights.h"
#include "tokenizer/tokenizer.h"

struct gpt2q_file {
    struct safetensors st;
    gpt2q_config config;
    struct scheme scheme; /* the one asked for when it was written */
    const char *source;   /* name of the model it was made from; lies in st */
};

/* Whether an opened safetensors file says that it is a .gpt2q. */
bool safetensors_is_gpt2q(const struct safetensors *st);
/* Takes over st, also on failure. Refused by name: no .gpt2q, a newer version, a config or a scheme that is
 * none. */
gpt2q_status gpt2q_file_from(struct safetensors *st, struct gpt2q_file *out, gpt2q_error *err);
gpt2q_status gpt2q_file_open(const char *path, struct gpt2q_file *out, gpt2q_error *err);
void gpt2q_file_close(struct gpt2q_file *f);

/* The tokenizer of a Hugging Face directory, a .gpt2q or a GGUF file; one that has none is an error. It may point
 * into *file, which is to be closed after it (all zero, and closing it does nothing, for others). */
gpt2q_status model_tokenizer_open(const char *path, struct gpt2q_file *file, struct tokenizer **out,
                                  gpt2q_error *err);
/* The weights, mapped: they take over f->st (f still has to be closed). */
gpt2q_status gpt2q_file_weights(struct gpt2q_file *f, struct gpt2_weights *out, gpt2q_error *err);

/* The checksum over a whole file, opened by safetensors_open. */
gpt2q_status gpt2q_checksum_check(const struct safetensors *st, gpt2q_error *err);
#endif
