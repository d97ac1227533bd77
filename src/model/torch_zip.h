/* The zip container of PyTorch checkpoints. Only stored members are read, and only through the central
 * directory. FORMAT: PKWARE's APPNOTE, 4.3 and 4.5.3 (zip64). */
#ifndef MODEL_TORCH_ZIP_H
#define MODEL_TORCH_ZIP_H
#include "base/status.h"

struct zip_member {
    const char *name; /* within the file, not zero-terminated */
    size_t name_len;
    const uint8_t *data;
    size_t size;
    uint32_t crc;
};
struct torch_zip {
    struct zip_member *members; /* sorted by name */
    size_t n_members;
};

/* Opens a zip. Every member must lie within the n bytes and overlap no other; each local header must name
 * what the directory names. `file` is for messages. The bytes must outlive `out`, which is for
 * torch_zip_free in any case. */
gpt2q_status torch_zip_open(const uint8_t *data, size_t n, const char *file, struct torch_zip *out,
                            gpt2q_error *err);
void torch_zip_free(struct torch_zip *z);
/* Finds a member by the two parts of its name. NULL: none. */
const struct zip_member *torch_zip_find(const struct torch_zip *z, const char *folder, size_t folder_len,
                                        const void *name, size_t name_len);
/* Checks the member's CRC-32. */
gpt2q_status torch_zip_check(const struct zip_member *m, const char *file, gpt2q_error *err);
#endif
