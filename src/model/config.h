/* config.json of a Hugging Face GPT-2 (FORMATS: keys, defaults, aliases) into gpt2q_config. */
#ifndef MODEL_CONFIG_H
#define MODEL_CONFIG_H
#include "base/status.h"
#include "kernels/kernels.h"

/* Parses config.json's text. `name` is the file, for messages. All sizes are positive and within limits
 * (config.c). n_embd is a multiple of n_head. n_inner is filled in. activation_function has one of five
 * names; an alias is replaced. bos and eos are -1 if the file gives null or an id outside the vocabulary
 * (GPT2Config writes 50256 for every vocabulary). */
gpt2q_status config_parse(const char *text, size_t size, const char *name, gpt2q_config *out,
                          gpt2q_error *err);
/* Reads config.json of a directory. If generation_config.json exists, it decides bos_token_id and
 * eos_token_id: what it leaves out is none. */
gpt2q_status config_open(const char *directory, gpt2q_config *out, gpt2q_error *err);
/* Whether the id ends a text. */
bool config_is_end(const gpt2q_config *config, int32_t id);
/* Writes the config as the text of a config.json, for mem_free. NULL when memory is out. */
char *config_print(const gpt2q_config *config);
enum activation_function config_activation(const gpt2q_config *config);
/* The number of parameters of a model of this shape (a tied wte counts once). */
uint64_t config_parameters(const gpt2q_config *config);
#endif
