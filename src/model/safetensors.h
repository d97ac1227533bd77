/* The safetensors container: a mapped file and its checked header; and a writer. */
#ifndef MODEL_SAFETENSORS_H
#define MODEL_SAFETENSORS_H
#include "base/file.h"
#include "base/file_writer.h"

#define ST_MAX_DIMS     8
#define ST_LENGTH_BYTES 8 /* of the header's length, with which a file begins */

/* name, bits of an element */
/* clang-format off */
#define ST_DTYPE_MAP(X)                                                                                      \
    X(BOOL, 8)                                                                                               \
    X(F4, 4) X(F6_E2M3, 6) X(F6_E3M2, 6) X(U8, 8) X(I8, 8) X(F8_E5M2, 8) X(F8_E4M3, 8) X(F8_E8M0, 8)         \
    X(F8_E4M3FNUZ, 8) X(F8_E5M2FNUZ, 8) X(I16, 16) X(U16, 16) X(F16, 16) X(BF16, 16) X(I32, 32)              \
    X(U32, 32) X(F32, 32) X(C64, 64) X(F64, 64) X(I64, 64) X(U64, 64)
/* clang-format on */

enum st_dtype {
#define ST_ENUM(name, bits) ST_##name,
    ST_DTYPE_MAP(ST_ENUM)
#undef ST_ENUM
        ST_DTYPE_COUNT
};
const char *st_dtype_name(enum st_dtype dtype);
int st_dtype_bits(enum st_dtype dtype);

struct st_tensor {
    char *name;
    enum st_dtype dtype;
    int n_dims; /* 0: a scalar */
    uint64_t shape[ST_MAX_DIMS];
    const uint8_t *data; /* within the map; may be misaligned for its type */
    size_t size;         /* bytes */
};
struct st_metadata {
    char *key, *value;
};
struct safetensors {
    struct file_map map;
    struct st_tensor *tensors; /* in the order of their data */
    size_t n_tensors;
    const struct st_tensor **by_name; /* the same, sorted by name */
    struct st_metadata *metadata;
    size_t n_metadata;
};

/* Opens a file. Every size is checked as FORMATS.md 4 says. Each error names the file and the tensor. */
gpt2q_status safetensors_open(const char *path, struct safetensors *out, gpt2q_error *err);
/* The same over bytes in memory that outlive it (tests, fuzzing); `name` for messages. */
gpt2q_status safetensors_from_memory(const uint8_t *data, size_t size, const char *name,
                                     struct safetensors *out, gpt2q_error *err);
void safetensors_close(struct safetensors *st);
const struct st_tensor *safetensors_find(const struct safetensors *st, const char *name); /* NULL: none */
const char *safetensors_metadata(const struct safetensors *st, const char *key);          /* NULL: none */

/* The writer writes the header of all declared tensors; then the caller writes the data of each in the
 * order of declaration. The data begins at a multiple of 64 in the file. Tensors follow each other without
 * holes. */
struct st_declaration {
    const char *name;
    enum st_dtype dtype;
    int n_dims;
    uint64_t shape[ST_MAX_DIMS];
};
gpt2q_status st_write_header(struct file_writer *w, const struct st_declaration *tensors, size_t n_tensors,
                             const struct st_metadata *metadata, size_t n_metadata, gpt2q_error *err);
/* The same header in memory, for mem_free. `path` is for messages. */
gpt2q_status st_header_create(const struct st_declaration *tensors, size_t n_tensors,
                              const struct st_metadata *metadata, size_t n_metadata, const char *path,
                              char **header, size_t *n, gpt2q_error *err);
/* The bytes of a declared tensor. */
size_t st_declaration_size(const struct st_declaration *d);
#endif
