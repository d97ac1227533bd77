/* Writes a .gpt2q file (model/gpt2q_file.h) tensor by tensor, as they are quantized. The file appears when
 * it is complete. */
#ifndef QUANTIZE_GPT2Q_WRITE_H
#define QUANTIZE_GPT2Q_WRITE_H
#include "quantize/quantizer.h"

struct gpt2q_writer;

/* Writes all that is known beforehand: header and tokenizer (there may be none). `source` is the model's
 * name. */
gpt2q_status gpt2q_writer_open(const char *path, const struct quantizer *q, const char *source,
                               struct gpt2q_writer **out, gpt2q_error *err);
/* The tensors in the order of quantizer_run. */
gpt2q_status gpt2q_writer_put(struct gpt2q_writer *w, const struct quantized *q, gpt2q_error *err);
/* Finishes the file. *bytes is its size. On failure no file is left. Frees the writer in any case. */
gpt2q_status gpt2q_writer_commit(struct gpt2q_writer *w, uint64_t *bytes, gpt2q_error *err);
/* Leaves no file. NULL is ignored. */
void gpt2q_writer_abort(struct gpt2q_writer *w);
#endif
