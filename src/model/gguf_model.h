/* Config, vocabulary and tensor names of a GGUF file of architecture gpt2. The format has no keys for some of it; the keys
 * "gpt2q.*" hold that. */
#ifndef MODEL_GGUF_MODEL_H
#define MODEL_GGUF_MODEL_H
#include "model/gguf_file.h"
#include "model/weights_names.h"
#include "tokenizer/directory.h"

/* They are written only if the model would be wrong without them. */
#define GGUF_OWN_ACTIVATION  "gpt2q.activation_function"             /* a string */
#define GGUF_OWN_SCALE       "gpt2q.scale_attn_weights"              /* a bool */
#define GGUF_OWN_INVERSE     "gpt2q.scale_attn_by_inverse_layer_idx" /* a bool */
#define GGUF_OWN_MORE_EOS    "gpt2q.more_eos_token_ids" /* i32[]: beside tokenizer.ggml.eos_token_id */
#define GGUF_OWN_EXTRAS      "gpt2q.tokenizer_extras"   /* a string, JSON: tokenizer/added.h */
#define GGUF_OWN_METHOD      "gpt2q.method"             /* as in a .gpt2q file */
#define GGUF_OWN_CALIBRATION "gpt2q.calibration"

/* Another architecture, split files, and a missing or impossible size are refused, by name. */
gpt2q_status gguf_config(const struct gguf_file *f, gpt2q_config *out, gpt2q_error *err);
/* Writes the vocabulary as the texts of vocab.json and merges.txt, and the added tokens. texts.vocab.text
 * is NULL if the file has no vocabulary. *out is for directory_free, also on failure. */
gpt2q_status gguf_texts(const struct gguf_file *f, struct directory_texts *out, gpt2q_error *err);
/* The tokenizer, NULL if the file has no vocabulary. */
gpt2q_status gguf_tokenizer_open(const struct gguf_file *f, struct tokenizer **out, gpt2q_error *err);
/* The checkpoint's name of a tensor: "h.0.attn.c_attn.weight" for "blk.0.attn_qkv.weight". False: it is
 * not a tensor of GPT-2. */
bool gguf_weight_name(const char *gguf, char name[WEIGHT_NAME_MAX]);
/* The reverse. Returns name. */
const char *gguf_print_name(struct weight_id id, char name[GGUF_NAME_MAX]);
#endif
