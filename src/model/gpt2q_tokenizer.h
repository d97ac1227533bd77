/* The tokenizer inside a .gpt2q file: its texts, and the tables of a large vocabulary ready for use. */
#ifndef MODEL_GPT2Q_TOKENIZER_H
#define MODEL_GPT2Q_TOKENIZER_H
#include "model/safetensors.h"
#include "tokenizer/directory.h"

/* Opens the tokenizer. It is NULL, without an error, if the file was made without one. It may point into
 * the file. */
gpt2q_status gpt2q_tokenizer_open(const struct safetensors *st, struct tokenizer **out, gpt2q_error *err);
/* Reads the texts and compares their result with the tables. */
gpt2q_status gpt2q_tokenizer_check(const struct safetensors *st, gpt2q_error *err);
/* Copies the texts, as directory_read_to_store gives them. *out is for directory_free, also on failure. */
gpt2q_status gpt2q_texts(const struct safetensors *st, struct directory_texts *out, gpt2q_error *err);

/* The declaration of the tensor that holds a table (TOKENIZER_BYTES ...) of n elements. */
struct st_declaration tokenizer_table_declare(int table, size_t n);
/* Whether a tensor of this name belongs to the tokenizer. */
bool is_tokenizer_tensor(const char *name);
#endif
