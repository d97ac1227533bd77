/* Dequantized weights as a Hugging Face directory: float32 safetensors, config.json and the tokenizer's
 * files. So any other tool can judge what a scheme did. */
#ifndef QUANTIZE_EXPORT_H
#define QUANTIZE_EXPORT_H
#include "quantize/quantizer.h"

struct exporter;

/* The directory appears at the end, in place of one that may be there (folder_writer_open); its parent must be there. */
gpt2q_status exporter_open(const char *directory, const struct quantizer *q, struct exporter **out,
                           gpt2q_error *err);
/* The tensors in the order of quantizer_run. */
gpt2q_status exporter_put(struct exporter *e, const struct quantized *q, gpt2q_error *err);
/* Finishes the files and frees the exporter, also on failure. */
gpt2q_status exporter_commit(struct exporter *e, gpt2q_error *err);
/* Leaves everything as it was. NULL is ignored. */
void exporter_abort(struct exporter *e);
#endif
