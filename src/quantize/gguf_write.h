/* Writing a GGUF file (FORMATS: GGUF, version 3) for llama.cpp and its kin, tensor by tensor as they come. The file appears when it
 * is whole. The same model makes the same bytes. */
#ifndef QUANTIZE_GGUF_WRITE_H
#define QUANTIZE_GGUF_WRITE_H
#include "quantize/quantizer.h"

struct gguf_writer;

/* Orders q's tensors as such files have them, and writes all that is known beforehand. A matrix becomes q->rounded_as or the type
 * that has exactly its scheme. Refused: a scheme without such a type; no vocabulary; factors or static scales of a method; unless
 * `force`, what readers that do not know the keys gpt2q.* would pass over. `source` is the model's name. */
gpt2q_status gguf_writer_open(const char *path, struct quantizer *q, const char *source, bool force,
                              struct gguf_writer **out, gpt2q_error *err);
/* The tensors in the order of quantizer_run. */
gpt2q_status gguf_writer_put(struct gguf_writer *w, const struct quantized *q, gpt2q_error *err);
/* Finishes the file and frees the writer, also on failure, which leaves no file. *bytes: of the file. */
gpt2q_status gguf_writer_commit(struct gguf_writer *w, uint64_t *bytes, gpt2q_error *err);
/* Leaves nothing. NULL is ignored. */
void gguf_writer_abort(struct gguf_writer *w);
#endif
