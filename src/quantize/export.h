/* Dequantized weights as a Hugging Face directory: float32 safetensors, config.json and the tokenizer's
 * files. So any other tool can judge what a scheme did. */
#ifndef QUANTIZE_EXPORT_H
#define QUANTIZE_EXPORT_H
#include "quantize/quantizer.h"

struct exporter;

/* Makes the directory if it does not exist. Its parent must exist. */
gpt2q_status exporter_open(const char *directory, const struct quantizer *q, struct exporter **out,
                           gpt2q_error *err);
/* The tensors in the order of quantizer_run. */
gpt2q_status exporter_put(struct exporter *e, const struct quantized *q, gpt2q_error *err);
/* Finishes the files and frees the exporter, also on failure. */
gpt2q_status exporter_commit(struct exporter *e, gpt2q_error *err);
/* Removes the files, and the directory if it was made here. NULL is ignored. */
void exporter_abort(struct exporter *e);
#endif
