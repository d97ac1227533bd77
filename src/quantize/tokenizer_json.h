/* A tokenizer as the text of a tokenizer.json, for tools that read a Hugging Face directory. */
#ifndef QUANTIZE_TOKENIZER_JSON_H
#define QUANTIZE_TOKENIZER_JSON_H
#include "tokenizer/tokenizer.h"

/* Vocabulary, merges, added tokens with their flags, the space before a text and the ids around it. For mem_free; NULL when memory
 * is out. */
char *tokenizer_json_print(const struct tokenizer *t);
/* The text of the tokenizer_config.json that belongs to it. */
char *tokenizer_config_print(const struct tokenizer *t);
#endif
