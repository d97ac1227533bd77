/* GGUF, versions 2 and 3, little-endian: keys with values, and tensors. The file is mapped. Every count,
 * length and offset is checked against the bytes that are there before memory is allocated for it. */
#ifndef MODEL_GGUF_FILE_H
#define MODEL_GGUF_FILE_H
#include "model/gguf_types.h"

#define GGUF_NAME_MAX 64
#define GGUF_DIMS_MAX 4

enum gguf_value {
    GGUF_U8,
    GGUF_I8,
    GGUF_U16,
    GGUF_I16,
    GGUF_U32,
    GGUF_I32,
    GGUF_F32,
    GGUF_BOOL,
    GGUF_STRING,
    GGUF_ARRAY,
    GGUF_U64,
    GGUF_I64,
    GGUF_F64,
    GGUF_VALUES
};

struct gguf_string { /* well-formed UTF-8, not terminated */
    const char *text;
    size_t n;
};
struct gguf_key {
    struct gguf_string name;
    enum gguf_value type, element; /* element: an array's, or the type itself */
    uint64_t count;                /* of an array, or 1 */
    const uint8_t *value;          /* the elements, one after another */
};
struct gguf_tensor {
    char name[GGUF_NAME_MAX];
    int n_dims;
    uint64_t ne[GGUF_DIMS_MAX]; /* innermost first */
    const struct gguf_type *type;
    const uint8_t *data;
    size_t size, elements;
};
struct gguf_file {
    struct file_map map;
    struct gguf_key *keys; /* sorted by name */
    size_t n_keys;
    struct gguf_tensor *tensors; /* in the order of their data */
    size_t n_tensors;
};

bool gguf_recognizes(const uint8_t *data, size_t n);
/* On failure *out is closed. It refuses what FORMATS 5.1 refuses of any model. */
gpt2q_status gguf_open(const char *path, struct gguf_file *out, gpt2q_error *err);
/* The same over bytes in memory that outlive it; `name` for messages. */
gpt2q_status gguf_from_memory(const uint8_t *data, size_t n, const char *name, struct gguf_file *out,
                              gpt2q_error *err);
void gguf_close(struct gguf_file *f);

const struct gguf_key *gguf_find(const struct gguf_file *f, const char *name); /* NULL: none */
const struct gguf_tensor *gguf_find_tensor(const struct gguf_file *f, const char *name);
/* Reads a value. If the key is not there, *present is false and *out stays. Integers may be of any type. */
gpt2q_status gguf_integer(const struct gguf_file *f, const char *name, int64_t min, int64_t max, int64_t *out,
                          bool *present, gpt2q_error *err);
gpt2q_status gguf_number(const struct gguf_file *f, const char *name, double *out, bool *present,
                         gpt2q_error *err);
gpt2q_status gguf_bool(const struct gguf_file *f, const char *name, bool *out, bool *present,
                       gpt2q_error *err);
gpt2q_status gguf_text(const struct gguf_file *f, const char *name, struct gguf_string *out, bool *present,
                       gpt2q_error *err);
/* Reads the next string of an array of strings. *at begins as key->value. */
struct gguf_string gguf_next_string(const uint8_t **at);
#endif
