#include "model/torch_file.h"
#include "base/checked.h"
#include "base/memory.h"
#include "base/utf8.h"
#include "model/torch_pickle.h"
#include <stdlib.h>
#include <string.h>

#define MAX_KEY 100 /* bytes of a storage's name, which is a number */

/* A storage: numbers that tensors are parts of. */
struct storage {
    const uint8_t *key;
    size_t key_len;
    enum st_dtype dtype;
    int64_t numel;
    const uint8_t *data; /* NULL: not found yet */
};

struct torch_reading {
    struct torch_file *out;
    const uint8_t *data;
    size_t n;
    const char *file;
    gpt2q_error *err;
    struct torch_pickle pickle; /* of the object */
    struct storage *storages;   /* sorted by key */
    size_t n_storages;
};

static gpt2q_status broken(const struct torch_reading *r, const char *what)
{
    return error_set(r->err, GPT2Q_FORMAT, "%s: %s", r->file, what);
}

/* ---- storages ---- */

static int by_key(const void *a, const void *b)
{
    const struct storage *x = a, *y = b;
    int order = memcmp(x->key, y->key, x->key_len < y->key_len ? x->key_len : y->key_len);
    return order ? order : (x->key_len > y->key_len) - (x->key_len < y->key_len);
}

/* Lists all storages that the pickle refers to. Each has one type and one size. */
static gpt2q_status list_storages(struct torch_reading *r)
{
    const struct torch_pickle *p = &r->pickle;
    size_t n = 0;
    for (size_t i = 0; i < p->n_nodes; i++) n += p->nodes[i].kind == TORCH_STORAGE;
    r->storages = mem_array(n, sizeof *r->storages);
    if (!r->storages) return error_memory(r->err, r->file, n * sizeof *r->storages);
    size_t k = 0;
    for (size_t i = 0; i < p->n_nodes; i++) {
        const struct torch_node *node = &p->nodes[i];
        if (node->kind != TORCH_STORAGE) continue;
        r->storages[k++] = (struct storage){node->storage.key, node->storage.key_len, node->dtype,
                                            node->storage.numel, NULL};
    }
    qsort(r->storages, n, sizeof *r->storages, by_key);
    for (size_t i = 0; i < n; i++) {
        const struct storage *s = &r->storages[i],
                             *last = r->n_storages ? &r->storages[r->n_storages - 1] : NULL;
        if (!last || by_key(last, s))
            r->storages[r->n_storages++] = *s;
        else if (last->dtype != s->dtype || last->numel != s->numel)
            return broken(r, "one storage has two types or sizes");
    }
    return GPT2Q_OK;
}

static struct storage *storage_of(const struct torch_reading *r, const uint8_t *key, size_t key_len)
{
    const struct storage wanted = {.key = key, .key_len = key_len};
    return r->n_storages ? bsearch(&wanted, r->storages, r->n_storages, sizeof wanted, by_key) : NULL;
}

static gpt2q_status storage_bytes(const struct torch_reading *r, const struct storage *s, size_t *bytes)
{
    if (!checked_mul((size_t)s->numel, (size_t)st_dtype_bits(s->dtype) / 8, bytes))
        return broken(r, "a storage is too large");
    return GPT2Q_OK;
}

/* ---- tensors ---- */

/* Counts the elements of a tensor. It is an error if the tensor reaches beyond its storage or is larger
 * than it. */
static gpt2q_status check_tensor(const struct torch_reading *r, const struct torch_tensor *t,
                                 const char *name, size_t *count)
{
    const struct torch_node *storage = torch_node(&r->pickle, t->storage);
    size_t n = 1, last = (size_t)t->offset;
    for (int i = 0; i < t->n_dims; i++) {
        size_t far = 0;
        bool fits = checked_mul(n, (size_t)t->shape[i], &n);
        if (t->shape[i]) fits = fits && checked_mul((size_t)t->shape[i] - 1, (size_t)t->stride[i], &far);
        if (!fits || !checked_add(last, far, &last))
            return error_set(r->err, GPT2Q_FORMAT, "%s: the shape of %s makes no possible number of elements",
                             r->file, name);
    }
    *count = n;
    if (n && (last >= (size_t)storage->storage.view_len || n > (size_t)storage->storage.view_len))
        return error_set(r->err, GPT2Q_FORMAT, "%s: %s is larger than its storage of %lld elements", r->file,
                         name, (long long)storage->storage.view_len);
    return GPT2Q_OK;
}

static bool in_rows(const struct torch_tensor *t)
{
    int64_t step = 1;
    for (int i = t->n_dims; i-- > 0; step *= t->shape[i])
        if (t->shape[i] != 1 && t->stride[i] != step) return false;
    return true;
}

/* Allocates a copy of n bytes. The file's size bounds all copies together, however often the file shows
 * one storage. */
static uint8_t *make_copy(struct torch_reading *r, size_t n)
{
    struct torch_file *t = r->out;
    if (n > 2 * r->n + 4096 - t->copied_bytes) {
        broken(r, "its tensors are far larger than the file");
        return NULL;
    }
    uint8_t *copy = mem_alloc(n);
    if (!copy)
        error_memory(r->err, r->file, n);
    else
        t->copies[t->n_copies++] = copy, t->copied_bytes += n;
    return copy;
}

/* Copies elements into row-major order, from any strides. */
static void copy_rows(const struct torch_tensor *t, size_t count, size_t size, const uint8_t *from,
                      uint8_t *to)
{
    int64_t index[TORCH_MAX_DIMS] = {0};
    for (size_t i = 0; i < count; i++, to += size) {
        size_t at = 0;
        for (int d = 0; d < t->n_dims; d++) at += (size_t)(index[d] * t->stride[d]);
        memcpy(to, from + at * size, size);
        for (int d = t->n_dims; d-- > 0 && ++index[d] == t->shape[d];) index[d] = 0;
    }
}

static gpt2q_status read_tensor(struct torch_reading *r, const struct torch_tensor *t, struct st_tensor *to)
{
    const struct torch_node *node = torch_node(&r->pickle, t->storage);
    const struct storage *storage = storage_of(r, node->storage.key, node->storage.key_len);
    size_t count = 0, item = (size_t)st_dtype_bits(node->dtype) / 8;
    gpt2q_status s = check_tensor(r, t, to->name, &count);
    if (s) return s;
    if (!storage || !storage->data)
        return error_set(r->err, GPT2Q_FORMAT, "%s: the storage of %s is not in the file", r->file, to->name);
    to->dtype = node->dtype;
    to->n_dims = t->n_dims;
    for (int i = 0; i < t->n_dims; i++) to->shape[i] = (uint64_t)t->shape[i];
    to->data = storage->data;
    if (count) to->data += (size_t)(node->storage.view_first + t->offset) * item;
    if (count && !in_rows(t)) {
        uint8_t *copy = make_copy(r, count * item);
        if (!copy) return r->err->status;
        copy_rows(t, count, item, to->data, copy);
        to->data = copy;
    }
    to->size = count * item;
    return GPT2Q_OK;
}

/* ---- the dictionary ---- */

static gpt2q_status read_name(const struct torch_reading *r, const struct torch_node *key, char **name)
{
    if (key->kind != TORCH_STRING) return broken(r, "a tensor's name is no text");
    if (memchr(key->text.bytes, 0, key->text.n) ||
        utf8_valid_prefix((const char *)key->text.bytes, key->text.n) != key->text.n)
        return broken(r, "a tensor's name is no UTF-8");
    *name = mem_memdup((const char *)key->text.bytes, key->text.n);
    return *name ? GPT2Q_OK : error_memory(r->err, "a tensor's name", key->text.n);
}

static int by_place(const void *a, const void *b)
{
    const struct st_tensor *x = a, *y = b;
    if (x->data != y->data) return (uintptr_t)x->data < (uintptr_t)y->data ? -1 : 1;
    if (x->size != y->size) return x->size < y->size ? -1 : 1;
    return strcmp(x->name, y->name);
}

static int by_name(const void *a, const void *b)
{
    return strcmp((*(const struct st_tensor *const *)a)->name, (*(const struct st_tensor *const *)b)->name);
}

static gpt2q_status index_names(const struct torch_reading *r)
{
    struct torch_file *t = r->out;
    qsort(t->tensors, t->n_tensors, sizeof *t->tensors, by_place);
    for (size_t i = 0; i < t->n_tensors; i++) t->by_name[i] = &t->tensors[i];
    qsort(t->by_name, t->n_tensors, sizeof *t->by_name, by_name);
    for (size_t i = 1; i < t->n_tensors; i++)
        if (!by_name(&t->by_name[i - 1], &t->by_name[i]))
            return error_set(r->err, GPT2Q_FORMAT, "%s: %s stands twice", r->file, t->by_name[i]->name);
    return GPT2Q_OK;
}

/* The dictionary of tensors: the whole object, or what training checkpoints keep under these names. */
static const struct torch_node *find_dict(const struct torch_pickle *p)
{
    static const char *const under[] = {"state_dict", "model_state_dict", "model"};
    const struct torch_node *top = torch_node(p, p->result);
    for (size_t i = 0; i < sizeof under / sizeof *under; i++) {
        const struct torch_node *inner = torch_dict_get(p, top, under[i]);
        if (inner && inner->kind == TORCH_DICT) return inner;
    }
    return top;
}

/* Reads the dictionary. Values that are not tensors are left out. */
static gpt2q_status read_dict(struct torch_reading *r)
{
    const struct torch_pickle *p = &r->pickle;
    const struct torch_node *dict = find_dict(p);
    struct torch_file *t = r->out;
    if (dict->kind != TORCH_DICT)
        return broken(r, "a dictionary of tensors is expected, not a single value or a list");
    size_t n = dict->items.count;
    t->tensors = mem_zarray(n, sizeof *t->tensors);
    t->by_name = mem_array(n, sizeof *t->by_name);
    t->copies = mem_array(n, sizeof *t->copies);
    if (!t->tensors || !t->by_name || !t->copies)
        return error_memory(r->err, r->file, n * sizeof *t->tensors);
    uint32_t cell = dict->items.first;
    for (size_t left = n; left; left--, cell = p->cells[cell].next) {
        const struct torch_node *value = torch_node(p, p->cells[cell].value);
        struct st_tensor *to = &t->tensors[t->n_tensors];
        char *name;
        gpt2q_status s = read_name(r, torch_node(p, p->cells[cell].node), &name);
        if (s) return s;
        if (value->kind != TORCH_TENSOR) {
            mem_free(name);
            continue;
        }
        to->name = name;
        t->n_tensors++;
        s = read_tensor(r, &p->tensors[value->tensor], to);
        if (s) return s;
    }
    return index_names(r);
}

/* ---- zip ---- */

/* "archive/" of the one member "archive/data.pkl". */
static gpt2q_status find_root(const struct torch_reading *r, const struct zip_member **pickle,
                              size_t *root_len)
{
    static const char last[] = "/data.pkl";
    const size_t n = sizeof last - 1;
    *pickle = NULL;
    for (size_t i = 0; i < r->out->zip.n_members; i++) {
        const struct zip_member *m = &r->out->zip.members[i];
        if (m->name_len <= n || memcmp(m->name + m->name_len - n, last, n) != 0) continue;
        if (*pickle) return broken(r, "the archive has two members data.pkl");
        *pickle = m;
        *root_len = m->name_len - n + 1;
    }
    return *pickle ? GPT2Q_OK
                   : broken(r, "is a zip archive without data.pkl, so that torch.save did not write it");
}

static gpt2q_status find_data(const struct torch_reading *r, const char *root, size_t root_len,
                              struct storage *storage)
{
    char name[5 + MAX_KEY];
    size_t bytes;
    gpt2q_status s = storage_bytes(r, storage, &bytes);
    if (s) return s;
    if (storage->key_len > MAX_KEY) return broken(r, "a storage's name is too long");
    memcpy(name, "data/", 5);
    memcpy(name + 5, storage->key, storage->key_len);
    const struct zip_member *m = torch_zip_find(&r->out->zip, root, root_len, name, 5 + storage->key_len);
    if (!m) return broken(r, "a storage that the pickle names has no data in the archive");
    if (m->size != bytes)
        return error_set(r->err, GPT2Q_FORMAT,
                         "%s: a storage has %zu bytes of data, its type and size make %zu", r->file, m->size,
                         bytes);
    storage->data = m->data;
    return GPT2Q_OK;
}

static gpt2q_status read_zip(struct torch_reading *r)
{
    const struct zip_member *pickle, *order;
    size_t root_len = 0;
    gpt2q_status s = torch_zip_open(r->data, r->n, r->file, &r->out->zip, r->err);
    if (!s) s = find_root(r, &pickle, &root_len);
    if (s) return s;
    const char *root = pickle->name;
    order = torch_zip_find(&r->out->zip, root, root_len, "byteorder", 9);
    if (order && (order->size != 6 || memcmp(order->data, "little", 6) != 0))
        return broken(r, "its byteorder is not \"little\": numbers of other machines are not read");
    s = torch_zip_check(pickle, r->file, r->err);
    if (!s) s = torch_pickle_read(pickle->data, pickle->size, r->file, &r->pickle, r->err);
    if (!s) s = list_storages(r);
    for (size_t i = 0; !s && i < r->n_storages; i++) s = find_data(r, root, root_len, &r->storages[i]);
    return s ? s : read_dict(r);
}

/* ---- legacy: five pickles, then the storages in the order of the fifth ---- */

static gpt2q_status next_pickle(const struct torch_reading *r, size_t *at, struct torch_pickle *p)
{
    gpt2q_status s = torch_pickle_read(r->data + *at, r->n - *at, r->file, p, r->err);
    if (!s) *at += p->size;
    return s;
}

static gpt2q_status check_magic(const struct torch_reading *r, const struct torch_pickle *p)
{
    static const uint8_t magic[10] = {0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19};
    const struct torch_node *n = torch_node(p, p->result);
    if (n->kind == TORCH_WIDE && n->text.n == sizeof magic && !memcmp(n->text.bytes, magic, sizeof magic))
        return GPT2Q_OK;
    return broken(
        r, "is a pickle, but not one that torch.save wrote: its first value is not torch's magic number");
}

static gpt2q_status check_version(const struct torch_reading *r, const struct torch_pickle *p)
{
    const struct torch_node *n = torch_node(p, p->result);
    if (n->kind == TORCH_INT && n->number == 1001) return GPT2Q_OK;
    return broken(r, "is not of version 1001 of torch's legacy format");
}

static gpt2q_status check_system(const struct torch_reading *r, const struct torch_pickle *p)
{
    const struct torch_node *little = torch_dict_get(p, torch_node(p, p->result), "little_endian");
    if (!little || (little->kind == TORCH_BOOL && little->number == 1)) return GPT2Q_OK;
    return broken(r, "its numbers are not little-endian");
}

/* A storage is an int64 count, then the elements. */
static gpt2q_status read_storage(struct torch_reading *r, const struct torch_node *key, size_t *at)
{
    uint64_t count = 0;
    size_t bytes;
    struct storage *storage = key->kind == TORCH_STRING ? storage_of(r, key->text.bytes, key->text.n) : NULL;
    if (!storage || storage->data) return broken(r, "its list of storages is not that of its tensors");
    if (r->n - *at < 8) return broken(r, "ends before the data of its storages");
    for (int i = 8; i-- > 0;) count = count << 8 | r->data[*at + (size_t)i];
    *at += 8;
    if (count != (uint64_t)storage->numel)
        return broken(r, "a storage has another number of elements than its tensors say");
    gpt2q_status s = storage_bytes(r, storage, &bytes);
    if (s) return s;
    if (r->n - *at < bytes) return broken(r, "ends before the data of its storages");
    storage->data = r->data + *at;
    *at += bytes;
    return GPT2Q_OK;
}

static gpt2q_status read_storages(struct torch_reading *r, const struct torch_pickle *keys, size_t at)
{
    const struct torch_node *list = torch_node(keys, keys->result);
    if (list->kind != TORCH_LIST) return broken(r, "its list of storages is no list");
    uint32_t cell = list->items.first;
    for (uint32_t left = list->items.count; left; left--, cell = keys->cells[cell].next) {
        gpt2q_status s = read_storage(r, torch_node(keys, keys->cells[cell].node), &at);
        if (s) return s;
    }
    return at == r->n ? GPT2Q_OK : broken(r, "goes on after the data of its last storage");
}

static gpt2q_status read_legacy(struct torch_reading *r)
{
    static gpt2q_status (*const check[])(const struct torch_reading *, const struct torch_pickle *) = {
        check_magic, check_version, check_system};
    size_t at = 0;
    for (size_t i = 0; i < sizeof check / sizeof *check; i++) {
        struct torch_pickle p;
        gpt2q_status s = next_pickle(r, &at, &p);
        if (!s) s = check[i](r, &p);
        torch_pickle_free(&p);
        if (s) return s;
    }
    struct torch_pickle keys = {0};
    gpt2q_status s = next_pickle(r, &at, &r->pickle);
    if (!s) s = list_storages(r);
    if (!s) s = next_pickle(r, &at, &keys);
    if (!s) s = read_storages(r, &keys, at);
    torch_pickle_free(&keys);
    return s ? s : read_dict(r);
}

/* ---- files ---- */

static bool begins(const uint8_t *data, size_t n, const char *with)
{
    return n >= strlen(with) && !memcmp(data, with, strlen(with));
}

/* Whether it is a tar. torch may have written one without tar's own mark, so its members' names count,
 * too. */
static bool is_tar(const uint8_t *data, size_t n)
{
    return n >= 262 &&
           (!memcmp(data + 257, "ustar", 5) || begins(data, n, "sys_info") || begins(data, n, "storages") ||
            begins(data, n, "pickle") || begins(data, n, "tensors"));
}

/* A pickle begins with PROTO. A safetensors file whose header has such a length does, too, but there "{"
 * follows. */
static bool is_pickle(const uint8_t *data, size_t n)
{
    return n >= 2 && data[0] == 0x80 &&
           !(n > 8 && data[8] == '{' && !data[4] && !data[5] && !data[6] && !data[7]);
}

bool torch_file_recognizes(const uint8_t *data, size_t n)
{
    return begins(data, n, "PK\3\4") || begins(data, n, "PK\5\6") ||
           begins(data, n, "version https://git-lfs") || begins(data, n, "<!DOCTYPE") ||
           begins(data, n, "<!doctype") || begins(data, n, "<html") || is_tar(data, n) || is_pickle(data, n);
}

static gpt2q_status read_bytes(struct torch_reading *r)
{
    if (begins(r->data, r->n, "version https://git-lfs"))
        return broken(r, "is a Git LFS pointer and not the file itself; 'git lfs pull' gets that");
    if (begins(r->data, r->n, "<"))
        return broken(r, "is a web page and not a model; the download went wrong");
    if (is_tar(r->data, r->n))
        return broken(r, "is a tar of torch before 0.1.10, which is not read; save it with a newer torch");
    if (begins(r->data, r->n, "PK")) return read_zip(r);
    if (is_pickle(r->data, r->n)) return read_legacy(r);
    return broken(r, "is no file that torch.save wrote");
}

static gpt2q_status read_into(const uint8_t *data, size_t n, const char *file, struct torch_file *out,
                              gpt2q_error *err)
{
    gpt2q_error ignored;
    struct torch_reading r = {.out = out, .data = data, .n = n, .file = file, .err = err ? err : &ignored};
    gpt2q_status s = read_bytes(&r);
    torch_pickle_free(&r.pickle);
    mem_free(r.storages);
    if (s) torch_file_close(out);
    return s;
}

gpt2q_status torch_file_open(const char *path, struct torch_file *out, gpt2q_error *err)
{
    *out = (struct torch_file){0};
    gpt2q_status s = file_map_open(path, &out->map, err);
    return s ? s : read_into(out->map.data, out->map.size, path, out, err);
}

gpt2q_status torch_file_from_memory(const uint8_t *data, size_t n, const char *name, struct torch_file *out,
                                    gpt2q_error *err)
{
    *out = (struct torch_file){0};
    return read_into(data, n, name, out, err);
}

void torch_file_close(struct torch_file *t)
{
    for (size_t i = 0; i < t->n_tensors; i++) mem_free(t->tensors[i].name);
    for (size_t i = 0; i < t->n_copies; i++) mem_free(t->copies[i]);
    mem_free(t->tensors);
    mem_free(t->by_name);
    mem_free(t->copies);
    torch_zip_free(&t->zip);
    file_map_close(&t->map);
    *t = (struct torch_file){0};
}

static int compare_name_with(const void *name, const void *tensor)
{
    return strcmp(name, (*(const struct st_tensor *const *)tensor)->name);
}

const struct st_tensor *torch_file_find(const struct torch_file *t, const char *name)
{
    const struct st_tensor *const *found =
        t->n_tensors ? bsearch(name, t->by_name, t->n_tensors, sizeof *t->by_name, compare_name_with) : NULL;
    return found ? *found : NULL;
}

gpt2q_status torch_file_check(const struct torch_file *t, gpt2q_error *err)
{
    for (size_t i = 0; i < t->zip.n_members; i++) {
        gpt2q_status s = torch_zip_check(&t->zip.members[i], t->map.path ? t->map.path : "the file", err);
        if (s) return s;
    }
    return GPT2Q_OK;
}
