/* The files of a Hugging Face directory's weights, whole or in shards. */
#ifndef MODEL_CHECKPOINT_H
#define MODEL_CHECKPOINT_H
#include "model/safetensors.h"

struct checkpoint {
    struct safetensors *files; /* shards in the order of their names */
    size_t n_files;
};

/* model.safetensors, or else the shards that model.safetensors.index.json names: each beside the index, each
 * holding what the index says it holds. */
gpt2q_status checkpoint_open(const char *directory, struct checkpoint *out, gpt2q_error *err);
void checkpoint_close(struct checkpoint *c);
#endif
