/* Makes the extras of a directory (added.h) by the rules of transformers 5 and tokenizers. Only
 * directory.c uses this. */
#ifndef TOKENIZER_RESOLVE_H
#define TOKENIZER_RESOLVE_H
#include "base/json.h"

/* The files as trees (NULL: not there), and their paths for messages. */
struct resolve_source {
    const cJSON *vocab; /* names and ids: vocab.json, or the vocabulary in tokenizer.json */
    const cJSON *tokenizer, *config, *special_tokens, *added_tokens;
    const char *tokenizer_path, *config_path, *special_tokens_path, *added_tokens_path;
    const char *model_class; /* tokenizer_class of config.json, NULL: none */
};
/* *extras is the text, for mem_free; NULL if there is only <|endoftext|>. */
gpt2q_status resolve_extras(const struct resolve_source *source, char **extras, gpt2q_error *err);
#endif
