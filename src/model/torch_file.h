/* pytorch_model.bin: the tensors of a file that torch.save wrote, zip (torch 1.6 and later) or legacy. The
 * reader runs nothing of what the file holds. */
#ifndef MODEL_TORCH_FILE_H
#define MODEL_TORCH_FILE_H
#include "model/safetensors.h"
#include "model/torch_zip.h"

struct torch_file {
    struct file_map map;
    struct st_tensor *tensors; /* in the order of their data; a tensor that does not lie in rows is a copy */
    size_t n_tensors;
    const struct st_tensor **by_name;
    uint8_t **copies;
    size_t n_copies, copied_bytes;
    struct torch_zip zip; /* no members: legacy */
};

/* Whether the bytes begin such a file, or something that often stands in its place: a Git LFS pointer, a
 * web page, a tar of torch before 0.1.10. */
bool torch_file_recognizes(const uint8_t *data, size_t n);
/* On failure *out is closed. */
gpt2q_status torch_file_open(const char *path, struct torch_file *out, gpt2q_error *err);
/* The same over bytes in memory that outlive it; `name` for messages. */
gpt2q_status torch_file_from_memory(const uint8_t *data, size_t n, const char *name, struct torch_file *out,
                                    gpt2q_error *err);
void torch_file_close(struct torch_file *t);
const struct st_tensor *torch_file_find(const struct torch_file *t, const char *name); /* NULL: none */
/* Checks the CRC-32 of every member of a zip. A legacy file has none. */
gpt2q_status torch_file_check(const struct torch_file *t, gpt2q_error *err);
#endif
