/* The pickles of PyTorch checkpoints. The reader runs no code. It knows the opcodes that torch.save writes
 * for a dictionary of tensors (protocol 2) and describes the results of three functions, nothing else.
 * FORMATS: CPython's Lib/pickletools.py, PyTorch's torch/_weights_only_unpickler.py.
 *
 * Values become nodes, at most one per opcode, so that the pickle's length bounds the memory. Nodes refer
 * to each other by index. Nothing recurses. Strings point into the pickle. */
#ifndef MODEL_TORCH_PICKLE_H
#define MODEL_TORCH_PICKLE_H
#include "model/safetensors.h"

#define TORCH_MAX_DIMS 4

enum torch_kind {
    TORCH_NONE,
    TORCH_BOOL,
    TORCH_INT,
    TORCH_WIDE, /* an integer beyond int64: its bytes, least first */
    TORCH_FLOAT,
    TORCH_STRING,
    TORCH_TUPLE,
    TORCH_LIST,
    TORCH_DICT,     /* and OrderedDict */
    TORCH_FUNCTION, /* one of three */
    TORCH_TYPE,     /* of a storage: dtype */
    TORCH_STORAGE,
    TORCH_TENSOR
};

#define TORCH_NOTHING UINT32_MAX
/* The items of a tuple, list or dictionary (key and value) are a chain of cells. */
struct torch_cell {
    uint32_t node, value, next;
};

struct torch_node {
    enum torch_kind kind;
    uint8_t depth;
    enum st_dtype dtype; /* TYPE, STORAGE */
    union {
        int64_t number; /* BOOL, INT, FUNCTION */
        double real;
        struct {
            const uint8_t *bytes;
            size_t n;
        } text; /* STRING, WIDE */
        struct {
            uint32_t first, last, count; /* cells */
        } items;
        struct {
            const uint8_t *key;
            size_t key_len;
            int64_t numel;                /* elements of the storage */
            int64_t view_first, view_len; /* a legacy view; else 0 and numel */
        } storage;
        uint32_t tensor; /* index into tensors */
    };
};

struct torch_tensor {
    uint32_t storage; /* a node */
    int n_dims;
    int64_t offset, shape[TORCH_MAX_DIMS],
        stride[TORCH_MAX_DIMS]; /* in elements; not checked against the storage */
};

struct torch_pickle {
    const char *file; /* for messages */
    struct torch_node *nodes;
    struct torch_cell *cells;
    struct torch_tensor *tensors;
    size_t n_nodes, n_cells, n_tensors, nodes_room, cells_room, tensors_room;
    uint32_t result; /* the node that the pickle stands for */
    size_t size;     /* bytes up to and with STOP */
};

/* Reads one pickle of at most n bytes. `out` is for torch_pickle_free in any case. The bytes must outlive
 * it. An error names what was found: an opcode, a function ("os.system: a model file does not call
 * functions"), or the place where the pickle ends. */
gpt2q_status torch_pickle_read(const uint8_t *data, size_t n, const char *file, struct torch_pickle *out,
                               gpt2q_error *err);
void torch_pickle_free(struct torch_pickle *p);

static inline const struct torch_node *torch_node(const struct torch_pickle *p, uint32_t i)
{
    return &p->nodes[i];
}
bool torch_is_string(const struct torch_node *node, const char *text);
/* The value of a string key; NULL if there is none. */
const struct torch_node *torch_dict_get(const struct torch_pickle *p, const struct torch_node *dict,
                                        const char *key);
#endif
