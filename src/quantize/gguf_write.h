/* Writing a GGUF file (FORMATS: GGUF, version 3) for llama.cpp and its kin, tensor by tensor as they come. The file appears once it
 * is whole. The same model makes the same bytes. */
#ifndef QUANTIZE_GGUF_WRITE_H
#define QUANTIZE_GGUF_WRITE_H
#include "quantize/quantizer.h"

struct gguf_writer;

/* Orders q's tensors as such files have them, and writes the header. A matrix becomes q->rounded_as, or the type
 * that has exactly its scheme. It refuses a scheme without such a type, a model without a vocabulary, and factors or static scales of
 * a method. Unless `force`, it also refuses a model that readers compute wrongly if they do not know the keys gpt2q.*. `source` is the model's name. */
gpt2q_status gguf_writer_open(const char *path, struct quantizer *q, const char *source, bool force,
                              struct gguf_writer **out, gpt2q_error *err);
/* The tensors in the order of quantizer_run. */
gpt2q_status gguf_writer_put(struct gguf_writer *w, const struct quantized *q, gpt2q_error *err);
/* Finishes the file and frees the writer. On failure it frees the writer and leaves no file. *bytes: of the file. */
gpt2q_status gguf_writer_commit(struct gguf_writer *w, uint64_t *bytes, gpt2q_error *err);
/* Leaves nothing. NULL is ignored. */
void gguf_writer_abort(struct gguf_writer *w);
#endif
