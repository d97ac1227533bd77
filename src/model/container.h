/* Containers: files that hold tensors by name. A reader per kind of file fills the same list; who binds weights or lists them
 * knows no kind.
 *
 * A reader is one file beside this one and one row in the table of container.c. A file's kind follows from its first bytes, not from
 * its name. */
#ifndef MODEL_CONTAINER_H
#define MODEL_CONTAINER_H
#include "model/safetensors.h"

struct gguf_type;
struct gguf_file;
struct container_tensor {
    const char *name; /* the checkpoint's, as the file has it */
    enum st_dtype dtype;
    const struct gguf_type
        *blocks; /* the numbers lie in blocks, which decode to dtype; NULL: one after another */
    int n_dims;  /* 0: a scalar */
    uint64_t shape[ST_MAX_DIMS]; /* in the checkpoint's order: a Conv1D weight is (in, out) */
    bool turned;                 /* a matrix whose numbers lie the other way round: (out, in) */
    const uint8_t *data;         /* within the map; may be misaligned for its type */
    size_t size;                 /* bytes */
};

struct container_reader;
struct container_file { /* one opened file */
    char *path;
    const struct container_reader *reader;
    void *owner;                      /* the reader's */
    struct container_tensor *tensors; /* in the order of their data; names and data are the owner's */
    size_t n_tensors;
};

struct container_reader {
    const char *name; /* "safetensors" */
    /* Whether a file of n bytes that begins with these is of this kind. */
    bool (*recognizes)(const uint8_t *data, size_t n);
    /* Fills owner, tensors and n_tensors. On failure the file is left to be closed. */
    gpt2q_status (*open)(struct container_file *file, gpt2q_error *err);
    const struct container_tensor *(*find)(const struct container_file *file,
                                           const char *name); /* NULL: none */
    gpt2q_status (*check)(const struct container_file *file,
                          gpt2q_error *err); /* checksums; NULL: it has none */
    void (*close)(void *owner);
};
extern const struct container_reader safetensors_reader, torch_reader, gguf_reader;

struct container { /* of one model: a file, or shards in the order of their names */
    struct container_file *files;
    size_t n_files;
};

/* The weights of a Hugging Face directory: model.safetensors, or else the shards that model.safetensors.index.json names: each
 * beside the index, each holding what the index says it holds; or else the same of pytorch_model.bin. */
gpt2q_status container_open_directory(const char *directory, struct container *out, gpt2q_error *err);
/* One file. */
gpt2q_status container_open_file(const char *path, struct container *out, gpt2q_error *err);
/* What kind of file it is, by its first bytes. */
gpt2q_status container_kind(const char *path, const struct container_reader **out, gpt2q_error *err);
/* The safetensors file behind an opened one, NULL where it is of another kind; still owned by it. */
struct safetensors *container_safetensors(const struct container_file *file);
/* The GGUF file behind an opened one, NULL where it is of another kind. */
const struct gguf_file *container_gguf(const struct container_file *file);
void container_close(struct container *c);
/* Whether the numbers have to become floats before they are used: blocks and doubles. container_floats makes them, in the tensor's order,
 * for mem_free; refused are blocks that stand for no finite number and doubles beyond the range of a float. `file` is for messages. */
bool container_needs_floats(const struct container_tensor *t);
gpt2q_status container_floats(const struct container_tensor *t, const char *file, float **out,
                              gpt2q_error *err);
/* What the file calls its type: "F16", "Q8_0". */
const char *container_type_name(const struct container_tensor *t);
/* A safetensors tensor as a container has it; the name and the data stay its own. */
struct container_tensor container_tensor_of(const struct st_tensor *t);
/* Whether two tensors are the same numbers: the head that is wte once more. */
bool container_equal(const struct container_tensor *a, const struct container_tensor *b);
#endif
