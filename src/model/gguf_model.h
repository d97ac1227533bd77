/* What a GGUF file of architecture gpt2 says beside its tensors: config, vocabulary, names. Keys "gpt2q.*"
 * hold settings that the format has no key for: activation_function, scale_attn_weights,
 * scale_attn_by_inverse_layer_idx. */
#ifndef MODEL_GGUF_MODEL_H
#define MODEL_GGUF_MODEL_H
#include "model/gguf_file.h"
#include "model/weights_names.h"
#include "tokenizer/directory.h"

/* Refused by name: another architecture, split files, a missing or impossible size. */
gpt2q_status gguf_config(const struct gguf_file *f, gpt2q_config *out, gpt2q_error *err);
/* Writes the vocabulary as the texts of vocab.json and merges.txt, and the added tokens. texts.vocab.text
 * is NULL if the file has no vocabulary. *out is for directory_free, also on failure. */
gpt2q_status gguf_texts(const struct gguf_file *f, struct directory_texts *out, gpt2q_error *err);
/* The tokenizer, NULL if the file has no vocabulary. */
gpt2q_status gguf_tokenizer_open(const struct gguf_file *f, struct tokenizer **out, gpt2q_error *err);
/* The checkpoint's name of a tensor: "h.0.attn.c_attn.weight" for "blk.0.attn_qkv.weight". False: it is
 * not a tensor of GPT-2. */
bool gguf_weight_name(const char *gguf, char name[WEIGHT_NAME_MAX]);
#endif
