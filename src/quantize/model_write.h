/* A model's file, of the kind that its name ends in: .gguf, else .gpt2q. */
#ifndef QUANTIZE_MODEL_WRITE_H
#define QUANTIZE_MODEL_WRITE_H
#include "quantize/quantizer.h"

struct model_writer { /* zeros: no writer is open */
    struct gpt2q_writer *gpt2q;
    struct gguf_writer *gguf;
};

bool model_path_is_gguf(const char *path);
/* They do what gpt2q_writer_ and gguf_writer_ (gguf_write.h) say. Only the latter use `force`. */
gpt2q_status model_writer_open(const char *path, struct quantizer *q, const char *source, bool force,
                               struct model_writer *out, gpt2q_error *err);
gpt2q_status model_writer_put(const struct model_writer *w, const struct quantized *q, gpt2q_error *err);
gpt2q_status model_writer_commit(struct model_writer *w, uint64_t *bytes, gpt2q_error *err);
void model_writer_abort(struct model_writer *w);
#endif
