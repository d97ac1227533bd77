#include "model/torch_pickle.h"
#include "base/memory.h"
#include "model/pickle_machine.h"
#include <inttypes.h>
#include <string.h>

#define MAX_PICKLE ((size_t)256 << 20)
#define NAME_SHOWN 80

enum function { ORDERED_DICT, REBUILD_TENSOR, REBUILD_PARAMETER };

/* ---- bytes ---- */

static gpt2q_status take(struct pickle_machine *m, size_t n, const uint8_t **bytes)
{
    if ((size_t)(m->end - m->at) < n) return pickle_broken(m, "it ends in the middle of a value");
    *bytes = m->at;
    m->at += n;
    return GPT2Q_OK;
}

/* An unsigned number of n <= 4 bytes, least first. */
static gpt2q_status take_number(struct pickle_machine *m, size_t n, uint32_t *number)
{
    const uint8_t *bytes = NULL;
    gpt2q_status s = take(m, n, &bytes);
    *number = 0;
    for (size_t i = 0; !s && i < n; i++) *number |= (uint32_t)bytes[i] << (8 * i);
    return s;
}

static gpt2q_status read_unicode(struct pickle_machine *m)
{
    uint32_t n = 0;
    const uint8_t *bytes = NULL;
    gpt2q_status s = take_number(m, 4, &n);
    if (!s) s = take(m, n, &bytes);
    return s ? s : pickle_push(m, (struct torch_node){.kind = TORCH_STRING, .text = {bytes, n}});
}

static gpt2q_status read_long(struct pickle_machine *m)
{
    uint32_t n = 0;
    const uint8_t *bytes = NULL;
    gpt2q_status s = take_number(m, 1, &n);
    if (!s && n > 16) return pickle_broken(m, "an integer of more than 16 bytes");
    if (!s) s = take(m, n, &bytes);
    if (s) return s;
    if (n > 8) return pickle_push(m, (struct torch_node){.kind = TORCH_WIDE, .text = {bytes, n}});
    uint64_t number = n && bytes[n - 1] >= 0x80 ? UINT64_MAX : 0; /* two's complement */
    for (size_t i = n; i-- > 0;) number = number << 8 | bytes[i];
    return pickle_push_int(m, (int64_t)number);
}

static gpt2q_status read_float(struct pickle_machine *m)
{
    const uint8_t *bytes = NULL;
    uint64_t bits = 0;
    double real;
    gpt2q_status s = take(m, 8, &bytes);
    for (size_t i = 0; !s && i < 8; i++) bits = bits << 8 | bytes[i];
    memcpy(&real, &bits, sizeof real);
    return s ? s : pickle_push(m, (struct torch_node){.kind = TORCH_FLOAT, .real = real});
}

/* ---- what pickles name ---- */

static const struct {
    const char *name;
    enum torch_kind kind;
    enum st_dtype dtype;
    enum function function;
} globals[] = {{"collections OrderedDict", TORCH_FUNCTION, ST_U8, ORDERED_DICT},
               {"torch._utils _rebuild_tensor_v2", TORCH_FUNCTION, ST_U8, REBUILD_TENSOR},
               {"torch._utils _rebuild_parameter", TORCH_FUNCTION, ST_U8, REBUILD_PARAMETER},
               {"torch FloatStorage", TORCH_TYPE, ST_F32, 0},
               {"torch HalfStorage", TORCH_TYPE, ST_F16, 0},
               {"torch BFloat16Storage", TORCH_TYPE, ST_BF16, 0},
               {"torch DoubleStorage", TORCH_TYPE, ST_F64, 0},
               {"torch ByteStorage", TORCH_TYPE, ST_U8, 0},
               {"torch BoolStorage", TORCH_TYPE, ST_BOOL, 0},
               {"torch CharStorage", TORCH_TYPE, ST_I8, 0},
               {"torch ShortStorage", TORCH_TYPE, ST_I16, 0},
               {"torch IntStorage", TORCH_TYPE, ST_I32, 0},
               {"torch LongStorage", TORCH_TYPE, ST_I64, 0}};

/* Copies a line of a GLOBAL into `name` as far as it fits. Characters that no name has become "?". */
static gpt2q_status take_line(struct pickle_machine *m, char *name, size_t size)
{
    const uint8_t *line = m->at, *end = memchr(line, '\n', (size_t)(m->end - line));
    if (!end) return pickle_broken(m, "it ends in the middle of a name");
    size_t n = (size_t)(end - line) < size - 1 ? (size_t)(end - line) : size - 1;
    for (size_t i = 0; i < n; i++) name[i] = (char)(line[i] > 0x20 && line[i] < 0x7f ? line[i] : '?');
    name[n] = '\0';
    m->at = end + 1;
    return GPT2Q_OK;
}

static gpt2q_status read_global(struct pickle_machine *m)
{
    char module[NAME_SHOWN], name[NAME_SHOWN], both[2 * NAME_SHOWN + 1];
    gpt2q_status s = take_line(m, module, sizeof module);
    if (!s) s = take_line(m, name, sizeof name);
    if (s) return s;
    snprintf(both, sizeof both, "%s %s", module, name);
    for (size_t i = 0; i < sizeof globals / sizeof *globals; i++)
        if (!strcmp(both, globals[i].name))
            return pickle_push(m, (struct torch_node){.kind = globals[i].kind,
                                                      .dtype = globals[i].dtype,
                                                      .number = globals[i].function});
    const char *storage = strstr(name, "Storage");
    if (!strcmp(module, "torch") && storage && !storage[7])
        return error_set(m->err, GPT2Q_UNSUPPORTED, "%s: holds a torch.%s: weights are real numbers",
                         m->out->file, name);
    return error_set(m->err, GPT2Q_UNSUPPORTED, "%s: names %s.%s: a model file does not call functions",
                     m->out->file, module, name);
}

/* ("storage", type, key, location, elements[, view]) becomes a storage. */
static gpt2q_status read_persistent(struct pickle_machine *m)
{
    struct torch_node *tuple;
    gpt2q_status s = pickle_need(m, 1);
    if (!s) s = pickle_top_of_kind(m, 0, TORCH_TUPLE, &tuple);
    if (s) return s;
    const struct torch_pickle *p = m->out;
    const struct torch_node *items[6] = {NULL};
    uint32_t cell = tuple->items.first, count = tuple->items.count;
    for (uint32_t i = 0; i < count && i < 6; i++, cell = p->cells[cell].next)
        items[i] = &p->nodes[p->cells[cell].node];
    if ((count != 5 && count != 6) || !torch_is_string(items[0], "storage") || items[1]->kind != TORCH_TYPE ||
        items[2]->kind != TORCH_STRING || items[3]->kind != TORCH_STRING || items[4]->kind != TORCH_INT)
        return pickle_broken(m, "a reference that is to no storage");
    if (items[4]->number < 0) return pickle_broken(m, "a storage of fewer than 0 elements");
    struct torch_node node = {.kind = TORCH_STORAGE, .dtype = items[1]->dtype};
    node.storage.key = items[2]->text.bytes;
    node.storage.key_len = items[2]->text.n;
    node.storage.numel = node.storage.view_len = items[4]->number;
    if (count == 6 && items[5]->kind == TORCH_TUPLE) { /* (key, offset, elements) of a view */
        const struct torch_node *view = items[5], *part[3] = {NULL};
        cell = view->items.first;
        for (uint32_t i = 0; i < view->items.count && i < 3; i++, cell = p->cells[cell].next)
            part[i] = &p->nodes[p->cells[cell].node];
        if (view->items.count != 3 || part[1]->kind != TORCH_INT || part[2]->kind != TORCH_INT ||
            part[1]->number < 0 || part[2]->number < 0 || part[1]->number > node.storage.numel ||
            part[2]->number > node.storage.numel - part[1]->number)
            return pickle_broken(m, "a view beyond its storage");
        node.storage.view_first = part[1]->number;
        node.storage.view_len = part[2]->number;
    } else if (count == 6 && items[5]->kind != TORCH_NONE) {
        return pickle_broken(m, "a reference that is to no storage");
    }
    m->n--;
    return pickle_push(m, node);
}

/* ---- calls: described, not made ---- */

static gpt2q_status take_integers(struct pickle_machine *m, const struct torch_node *tuple, int64_t *out,
                                  int *n)
{
    const struct torch_pickle *p = m->out;
    if (tuple->kind != TORCH_TUPLE) return pickle_broken(m, "a tensor's sizes and strides are tuples");
    if (tuple->items.count > TORCH_MAX_DIMS) return pickle_broken(m, "a tensor of more than 4 dimensions");
    *n = (int)tuple->items.count;
    uint32_t cell = tuple->items.first;
    for (int i = 0; i < *n; i++, cell = p->cells[cell].next) {
        const struct torch_node *item = &p->nodes[p->cells[cell].node];
        if (item->kind != TORCH_INT || item->number < 0)
            return pickle_broken(m, "a tensor's sizes and strides are integers of at least 0");
        out[i] = item->number;
    }
    return GPT2Q_OK;
}

/* (storage, offset, sizes, strides, requires_grad, hooks[, metadata]) */
static gpt2q_status rebuild_tensor(struct pickle_machine *m, const uint32_t *args, uint32_t n_args)
{
    struct torch_pickle *p = m->out;
    struct torch_tensor t = {0};
    int n_strides;
    if (n_args < 4 || p->nodes[args[0]].kind != TORCH_STORAGE || p->nodes[args[1]].kind != TORCH_INT)
        return pickle_broken(
            m, "_rebuild_tensor_v2 is given something other than a storage, an offset, sizes and strides");
    if (p->nodes[args[1]].number < 0) return pickle_broken(m, "a tensor that begins before its storage");
    t.storage = args[0];
    t.offset = p->nodes[args[1]].number;
    gpt2q_status s = take_integers(m, &p->nodes[args[2]], t.shape, &t.n_dims);
    if (!s) s = take_integers(m, &p->nodes[args[3]], t.stride, &n_strides);
    if (s) return s;
    if (n_strides != t.n_dims) return pickle_broken(m, "a tensor with as many sizes as strides is expected");
    if (!pickle_room_for((void **)&p->tensors, p->n_tensors, &p->tensors_room, sizeof *p->tensors))
        return pickle_no_memory(m);
    p->tensors[p->n_tensors++] = t;
    return pickle_push(m, (struct torch_node){.kind = TORCH_TENSOR, .tensor = (uint32_t)p->n_tensors - 1});
}

/* OrderedDict(), or OrderedDict([(key, value), ..]). */
static gpt2q_status make_dict(struct pickle_machine *m, const uint32_t *args, uint32_t n_args)
{
    gpt2q_status s = pickle_push_empty(m, TORCH_DICT);
    if (s || !n_args) return s;
    struct torch_pickle *p = m->out;
    uint32_t dict = m->stack[m->n - 1];
    if (n_args != 1 || p->nodes[args[0]].kind != TORCH_LIST)
        return pickle_broken(m, "OrderedDict is given no list of pairs");
    uint32_t cell = p->nodes[args[0]].items.first;
    for (uint32_t left = p->nodes[args[0]].items.count; left && !s; left--, cell = p->cells[cell].next) {
        const struct torch_node *pair = &p->nodes[p->cells[cell].node];
        if (pair->kind != TORCH_TUPLE || pair->items.count != 2)
            return pickle_broken(m, "OrderedDict is given no list of pairs");
        s = pickle_append(m, &p->nodes[dict], p->cells[pair->items.first].node,
                          p->cells[pair->items.last].node);
    }
    return s;
}

static gpt2q_status reduce(struct pickle_machine *m)
{
    enum { ARGS = 8 };
    struct torch_node *tuple;
    gpt2q_status s = pickle_need(m, 2);
    if (!s) s = pickle_top_of_kind(m, 0, TORCH_TUPLE, &tuple);
    if (s) return s;
    const struct torch_pickle *p = m->out;
    const struct torch_node *function = &p->nodes[m->stack[m->n - 2]];
    uint32_t args[ARGS], n_args = tuple->items.count, cell = tuple->items.first;
    if (function->kind != TORCH_FUNCTION) return pickle_broken(m, "a call of something that is no function");
    if (n_args > ARGS) return pickle_broken(m, "a call with too many arguments");
    for (uint32_t i = 0; i < n_args; i++, cell = p->cells[cell].next) args[i] = p->cells[cell].node;
    m->n -= 2;
    switch ((enum function)function->number) {
    case ORDERED_DICT: return make_dict(m, args, n_args);
    case REBUILD_TENSOR: return rebuild_tensor(m, args, n_args);
    case REBUILD_PARAMETER: break;
    }
    if (n_args < 1 || p->nodes[args[0]].kind != TORCH_TENSOR)
        return pickle_broken(m, "_rebuild_parameter is given no tensor");
    return pickle_push_node(m, args[0]);
}

/* The state of an OrderedDict, its _metadata, has no weights. */
static gpt2q_status build(struct pickle_machine *m)
{
    struct torch_node *dict;
    gpt2q_status s = pickle_need(m, 2);
    if (!s) s = pickle_top_of_kind(m, 1, TORCH_DICT, &dict);
    if (!s) m->n--;
    return s;
}

/* ---- opcodes ---- */

static const char *name_of(uint8_t op)
{
    static const struct {
        uint8_t op;
        const char *name;
    } names[] = {{'i', "INST"},
                 {'o', "OBJ"},
                 {0x81, "NEWOBJ"},
                 {0x82, "EXT1"},
                 {0x83, "EXT2"},
                 {0x84, "EXT4"},
                 {0x8b, "LONG4"},
                 {0x93, "STACK_GLOBAL"},
                 {0x92, "NEWOBJ_EX"},
                 {0x95, "FRAME"},
                 {'R', "REDUCE"},
                 {'P', "PERSID"},
                 {'I', "INT"},
                 {'S', "STRING"},
                 {'V', "UNICODE"},
                 {0x8c, "SHORT_BINUNICODE"},
                 {'U', "SHORT_BINSTRING"},
                 {'T', "BINSTRING"},
                 {'C', "SHORT_BINBYTES"},
                 {0x94, "MEMOIZE"}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (names[i].op == op) return names[i].name;
    return "unknown";
}

static gpt2q_status with_number(struct pickle_machine *m, uint8_t op)
{
    uint32_t number = 0;
    size_t bytes = op == 'J' || op == 'r' || op == 'j' ? 4 : op == 'M' ? 2 : 1;
    gpt2q_status s = take_number(m, bytes, &number);
    if (s) return s;
    switch (op) {
    case 'J': return pickle_push_int(m, (int32_t)number);
    case 'K':
    case 'M': return pickle_push_int(m, number);
    case 'q':
    case 'r': return pickle_memo_put(m, number);
    case 'h':
    case 'j': return pickle_memo_get(m, number);
    default: break; /* 0x80, the protocol */
    }
    if (number == 2) return GPT2Q_OK;
    return error_set(m->err, GPT2Q_UNSUPPORTED,
                     "%s: is a pickle of protocol %u, where 2, torch.save's, is read", m->out->file,
                     (unsigned)number);
}

static gpt2q_status run_opcode(struct pickle_machine *m, uint8_t op)
{
    size_t n = 0;
    gpt2q_status s;
    switch (op) {
    case 0x80:
    case 'J':
    case 'K':
    case 'M':
    case 'q':
    case 'r':
    case 'h':
    case 'j': return with_number(m, op);
    case '(': return pickle_mark(m);
    case ')': return pickle_push_empty(m, TORCH_TUPLE);
    case ']': return pickle_push_empty(m, TORCH_LIST);
    case '}': return pickle_push_empty(m, TORCH_DICT);
    case 't': s = pickle_take_marked(m, &n); return s ? s : pickle_make_tuple(m, n);
    case 0x85: return pickle_tuple_of(m, 1);
    case 0x86: return pickle_tuple_of(m, 2);
    case 0x87: return pickle_tuple_of(m, 3);
    case 'a': return pickle_put_items(m, TORCH_LIST, 1);
    case 'e': return pickle_put_marked(m, TORCH_LIST);
    case 's': return pickle_put_items(m, TORCH_DICT, 2);
    case 'u': return pickle_put_marked(m, TORCH_DICT);
    case 'N': return pickle_push(m, (struct torch_node){.kind = TORCH_NONE});
    case 0x88: return pickle_push(m, (struct torch_node){.kind = TORCH_BOOL, .number = 1});
    case 0x89: return pickle_push(m, (struct torch_node){.kind = TORCH_BOOL});
    case 0x8a: return read_long(m);
    case 'G': return read_float(m);
    case 'X': return read_unicode(m);
    case 'c': return read_global(m);
    case 'R': return reduce(m);
    case 'b': return build(m);
    case 'Q': return read_persistent(m);
    default: break;
    }
    return error_set(
        m->err, GPT2Q_UNSUPPORTED,
        "%s: the pickle has the opcode 0x%02x (%s) at byte %zu, which no dictionary of tensors needs",
        m->out->file, op, name_of(op), (size_t)(m->at - m->begin - 1));
}

static gpt2q_status run(struct pickle_machine *m)
{
    while (m->at < m->end) {
        uint8_t op = *m->at++;
        if (op == '.') {
            if (m->n != 1 || m->n_marks) return pickle_broken(m, "one value is expected at its end");
            m->out->result = m->stack[0];
            m->out->size = (size_t)(m->at - m->begin);
            return GPT2Q_OK;
        }
        gpt2q_status s = run_opcode(m, op);
        if (s) return s;
    }
    return pickle_broken(m, "it ends without STOP");
}

gpt2q_status torch_pickle_read(const uint8_t *data, size_t n, const char *file, struct torch_pickle *out,
                               gpt2q_error *err)
{
    *out = (struct torch_pickle){.file = file};
    struct pickle_machine m = {
        .at = data, .begin = data, .end = data + (n < MAX_PICKLE ? n : MAX_PICKLE), .out = out, .err = err};
    gpt2q_status s = run(&m);
    mem_free(m.stack);
    mem_free(m.marks);
    mem_free(m.memo);
    return s;
}

void torch_pickle_free(struct torch_pickle *p)
{
    mem_free(p->nodes);
    mem_free(p->cells);
    mem_free(p->tensors);
    *p = (struct torch_pickle){0};
}

bool torch_is_string(const struct torch_node *node, const char *text)
{
    return node->kind == TORCH_STRING && node->text.n == strlen(text) &&
           !memcmp(node->text.bytes, text, node->text.n);
}

const struct torch_node *torch_dict_get(const struct torch_pickle *p, const struct torch_node *dict,
                                        const char *key)
{
    uint32_t cell = dict->items.first;
    for (uint32_t left = dict->kind == TORCH_DICT ? dict->items.count : 0; left;
         left--, cell = p->cells[cell].next)
        if (torch_is_string(&p->nodes[p->cells[cell].node], key)) return &p->nodes[p->cells[cell].value];
    return NULL;
}
