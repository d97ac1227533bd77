/* config.json of a Hugging Face GPT-2 (FORMATS: keys, defaults, aliases) into gpt2q_config. */
#ifndef MODEL_CONFIG_H
#define MODEL_CONFIG_H
#include "base/status.h"
#include "kernels/kernels.h"

/* Parses config.json's text; `name` is the file, for messages. All sizes are positive and within limits (config.c), n_embd is a
 * multiple of n_head, n_inner is filled in. bos and eos may be -1 where the file gives null. */
gpt2q_status config_parse(const char *text, size_t size, const char *name, gpt2q_config *out,
                          gpt2q_error *err);
/* The config as the text of a config.json, for mem_free; NULL when memory is out. */
char *config_print(const gpt2q_config *config);
enum activation_function config_activation(const gpt2q_config *config);
/* Parameters of a model of this shape (tied wte once). */
uint64_t config_parameters(const gpt2q_config *config);
#endif
