/* Containers: files that hold tensors by name. A reader for each kind of file fills the same list. Code
 * that binds or lists weights does not know the kind.
 *
 * A reader is one file beside this one, and one row in the table of container.c. The first bytes of a file
 * decide its kind, not its name. */
#ifndef MODEL_CONTAINER_H
#define MODEL_CONTAINER_H
#include "model/safetensors.h"

struct gguf_type;
struct gguf_file;
struct qtensor;
struct container_tensor {
    const char *name; /* the checkpoint's, as the file has it */
    enum st_dtype dtype;
    const struct gguf_type
        *blocks; /* The numbers lie in blocks, and each decodes to dtype. NULL: one number after another. */
    const struct qtensor *panels; /* The numbers are those of this matrix (a .gpt2q file). NULL: of `data`. */
    int n_dims;                   /* 0: a scalar */
    uint64_t shape[ST_MAX_DIMS];  /* in the checkpoint's order: a Conv1D weight is (in, out) */
    bool turned;                  /* a matrix whose numbers lie as (out, in) */
    const uint8_t *data;          /* within the map; may be misaligned for its type */
    size_t size;                  /* bytes */
    bool copied;                  /* data is not in a map: it cannot be let go and read again */
};

struct container_reader;
struct container_file { /* one opened file */
    char *path;
    const struct container_reader *reader;
    void *owner;                      /* the reader's own data */
    struct container_tensor *tensors; /* in the order of their data; names and data are the owner's */
    size_t n_tensors;
};

struct container_reader {
    const char *name; /* "safetensors" */
    /* Whether a file that begins with these n bytes is of this kind. */
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

struct container { /* one model: a file, or shards in the order of their names */
    struct container_file *files;
    size_t n_files;
};

/* Opens the weights of a Hugging Face directory: model.safetensors, or the shards that
 * model.safetensors.index.json names, or the same with pytorch_model.bin. Each shard lies beside the index
 * and holds what the index says. */
gpt2q_status container_open_directory(const char *directory, struct container *out, gpt2q_error *err);
/* Opens one file. */
gpt2q_status container_open_file(const char *path, struct container *out, gpt2q_error *err);
/* Finds the kind of a file by its first bytes. */
gpt2q_status container_kind(const char *path, const struct container_reader **out, gpt2q_error *err);
/* The safetensors file behind an opened one, which still owns it. NULL: another kind. */
struct safetensors *container_safetensors(const struct container_file *file);
/* The GGUF file behind an opened one. NULL: another kind. */
const struct gguf_file *container_gguf(const struct container_file *file);
void container_close(struct container *c);
/* Blocks, panels and doubles must become floats before they are used. container_floats makes them, in the tensor's
 * order, for mem_free. It refuses blocks that decode to a number that is not finite, and doubles beyond
 * the range of a float. `file` is for messages. */
bool container_needs_floats(const struct container_tensor *t);
gpt2q_status container_floats(const struct container_tensor *t, const char *file, float **out,
                              gpt2q_error *err);
/* The file's name for its type: "F16", "Q8_0". */
const char *container_type_name(const struct container_tensor *t);
/* A safetensors tensor as a container has it. It still owns the name and the data. */
struct container_tensor container_tensor_of(const struct st_tensor *t);
/* For readers: lists n such tensors as those of the file. */
gpt2q_status container_list(struct container_file *file, const struct st_tensor *tensors, size_t n,
                            gpt2q_error *err);
/* Whether two tensors hold the same numbers, as a head and its wte may. */
bool container_equal(const struct container_tensor *a, const struct container_tensor *b);
#endif
