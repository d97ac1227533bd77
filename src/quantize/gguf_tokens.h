/* A tokenizer as the keys tokenizer.ggml.* of a GGUF file. */
#ifndef QUANTIZE_GGUF_TOKENS_H
#define QUANTIZE_GGUF_TOKENS_H
#include "quantize/gguf_header.h"
#include "tokenizer/tokenizer.h"

/* Tokens, their types and merges, for `rows` rows of token_embd. Rows without a token become unused ones called [PAD0] and so on. It
 * refuses tokens beyond the rows, and two tokens of one name, since a GGUF file knows tokens by their names. `model` is for messages. */
gpt2q_status gguf_put_tokens(struct gguf_header *h, const struct tokenizer *t, int32_t rows,
                             const char *model, gpt2q_error *err);
#endif
