/* Which files a model consists of, by name alone: for a program that must not write on them. */
#ifndef MODEL_MODEL_FILES_H
#define MODEL_MODEL_FILES_H
#include "base/status.h"

/* Bytes of an index, which names the shards of a model. */
#define MODEL_INDEX_MAX ((size_t)16 << 20)

typedef gpt2q_status model_file_fn(void *user, const char *path, gpt2q_error *err);
/* Of a file, itself. Of a Hugging Face directory config.json, generation_config.json, what the tokenizer is read from, model.safetensors,
 * pytorch_model.bin, their indexes and the shards that these name: those that are there, and those that would be read if they were.
 * Another status than OK stops. An index that cannot be read names nothing: who opens the model says so. */
gpt2q_status model_files_each(const char *path, model_file_fn *fn, void *user, gpt2q_error *err);
/* Whether a file of this name says how a model is read and what text means: config.json, generation_config.json, those of the
 * tokenizer. */
bool model_file_is_text(const char *name);
#endif
