/* A .gpt2q file as a container of tensors. */
#ifndef MODEL_CONTAINER_GPT2Q_H
#define MODEL_CONTAINER_GPT2Q_H
#include "model/container.h"
#include "model/weights.h"

gpt2q_status container_open_gpt2q(const char *path, struct container *out, gpt2q_error *err);
/* The model behind such a file, still owned by it; NULL where the file is of another kind. */
const struct gpt2_weights *container_gpt2q(const struct container_file *file);
#endif
