/* Reading goes forward through the file. A cursor knows how many bytes remain. */
#include "model/gguf_file.h"
#include "base/checked.h"
#include "base/memory.h"
#include "base/utf8.h"
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define ALIGNMENT_DEFAULT 32
#define KEY_MAX           65535
#define KEY_BYTES_MIN     14 /* length, a byte of name, type, a byte of value */
#define TENSOR_BYTES_MIN  33 /* length, a byte of name, a dimension, type, offset */

struct cursor {
    const uint8_t *at;
    size_t left;
    const char *file;
    gpt2q_error *err;
};

static const int sizes[GGUF_VALUES] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};

static uint64_t number(const uint8_t *p, int bytes)
{
    uint64_t x = 0;
    for (int i = bytes; i-- > 0;) x = x << 8 | p[i];
    return x;
}

static gpt2q_status take(struct cursor *c, int bytes, const char *what, uint64_t *out)
{
    *out = 0;
    if (c->left < (size_t)bytes) return error_set(c->err, GPT2Q_FORMAT, "%s: ends within %s", c->file, what);
    *out = number(c->at, bytes);
    c->at += bytes, c->left -= (size_t)bytes;
    return GPT2Q_OK;
}

static gpt2q_status take_string(struct cursor *c, size_t max, const char *what, struct gguf_string *out)
{
    uint64_t n;
    gpt2q_status s = take(c, 8, what, &n);
    if (s) return s;
    if (n > c->left || n > max)
        return error_set(c->err, GPT2Q_FORMAT,
                         "%s: %s should have %" PRIu64 " bytes, %zu follow (at most %zu are allowed)",
                         c->file, what, n, c->left, max);
    *out = (struct gguf_string){(const char *)c->at, (size_t)n};
    if (utf8_valid_prefix(out->text, out->n) != out->n || memchr(out->text, 0, out->n))
        return error_set(c->err, GPT2Q_FORMAT, "%s: %s is not UTF-8 without zero bytes", c->file, what);
    c->at += n, c->left -= (size_t)n;
    return GPT2Q_OK;
}

/* ---- keys ---- */

static gpt2q_status check_bools(const struct cursor *c, const struct gguf_key *k)
{
    for (uint64_t i = 0; i < k->count; i++)
        if (k->value[i] > 1)
            return error_set(c->err, GPT2Q_FORMAT, "%s: %.*s is a bool of value %d, expected 0 or 1", c->file,
                             (int)k->name.n, k->name.text, k->value[i]);
    return GPT2Q_OK;
}

/* Skips the elements of a value whose type and count are known. */
static gpt2q_status take_elements(struct cursor *c, struct gguf_key *k)
{
    char what[128];
    struct gguf_string skipped;
    snprintf(what, sizeof what, "%.*s", (int)(k->name.n < 100 ? k->name.n : 100), k->name.text);
    const size_t least = k->element == GGUF_STRING ? 8 : (size_t)sizes[k->element];
    if (k->count > c->left / least)
        return error_set(c->err, GPT2Q_FORMAT, "%s: %s should have %" PRIu64 " elements, %zu bytes follow",
                         c->file, what, k->count, c->left);
    k->value = c->at;
    if (k->element == GGUF_STRING) {
        gpt2q_status s = GPT2Q_OK;
        for (uint64_t i = 0; i < k->count && !s; i++) s = take_string(c, c->left, what, &skipped);
        return s;
    }
    c->at += least * k->count, c->left -= least * (size_t)k->count;
    return k->element == GGUF_BOOL ? check_bools(c, k) : GPT2Q_OK;
}

static gpt2q_status take_key(struct cursor *c, struct gguf_key *k)
{
    uint64_t type, element;
    gpt2q_status s = take_string(c, KEY_MAX, "the name of a key", &k->name);
    if (!s && !k->name.n) s = error_set(c->err, GPT2Q_FORMAT, "%s: a key has no name", c->file);
    if (!s) s = take(c, 4, "the type of a key", &type);
    if (s) return s;
    element = type, k->count = 1;
    if (type == GGUF_ARRAY) {
        s = take(c, 4, "the type of an array", &element);
        if (!s) s = take(c, 8, "the length of an array", &k->count);
    }
    if (s) return s;
    if (type >= GGUF_VALUES || element >= GGUF_VALUES || element == GGUF_ARRAY)
        return error_set(c->err, GPT2Q_FORMAT, "%s: %.*s is %s%" PRIu64 ", types of values are 0 to 12%s",
                         c->file, (int)(k->name.n < 100 ? k->name.n : 100), k->name.text,
                         type == GGUF_ARRAY ? "an array of type " : "of type ", element,
                         element == GGUF_ARRAY ? " and arrays of arrays are not read" : "");
    k->type = (enum gguf_value)type, k->element = (enum gguf_value)element;
    return take_elements(c, k);
}

static int compare_strings(struct gguf_string a, struct gguf_string b)
{
    int order = memcmp(a.text, b.text, a.n < b.n ? a.n : b.n);
    return order ? order : a.n < b.n ? -1 : a.n > b.n;
}

static int compare_keys(const void *a, const void *b)
{
    return compare_strings(((const struct gguf_key *)a)->name, ((const struct gguf_key *)b)->name);
}

static gpt2q_status take_keys(struct cursor *c, struct gguf_file *f, uint64_t n)
{
    if (n > c->left / KEY_BYTES_MIN)
        return error_set(c->err, GPT2Q_FORMAT, "%s: should have %" PRIu64 " keys, %zu bytes follow", c->file,
                         n, c->left);
    f->keys = mem_zarray((size_t)n, sizeof *f->keys);
    if (!f->keys) return error_memory(c->err, "a table of keys", (size_t)n * sizeof *f->keys);
    for (; f->n_keys < n; f->n_keys++) {
        gpt2q_status s = take_key(c, &f->keys[f->n_keys]);
        if (s) return s;
    }
    qsort(f->keys, f->n_keys, sizeof *f->keys, compare_keys);
    for (size_t i = 1; i < f->n_keys; i++)
        if (!compare_keys(&f->keys[i - 1], &f->keys[i]))
            return error_set(c->err, GPT2Q_FORMAT, "%s: the key %.*s is there twice", c->file,
                             (int)(f->keys[i].name.n < 100 ? f->keys[i].name.n : 100), f->keys[i].name.text);
    return GPT2Q_OK;
}

/* ---- tensors ---- */

static gpt2q_status take_dims(struct cursor *c, struct gguf_tensor *t)
{
    uint64_t n;
    gpt2q_status s = take(c, 4, t->name, &n);
    if (s) return s;
    if (n < 1 || n > GGUF_DIMS_MAX)
        return error_set(c->err, GPT2Q_FORMAT, "%s: %s has %" PRIu64 " dimensions, expected 1 to %d", c->file,
                         t->name, n, GGUF_DIMS_MAX);
    t->n_dims = (int)n, t->elements = 1;
    for (int i = 0; i < t->n_dims && !s; i++) {
        s = take(c, 8, t->name, &t->ne[i]);
        if (s) return s;
        if (!t->ne[i] || t->ne[i] > INT64_MAX || !checked_mul(t->elements, (size_t)t->ne[i], &t->elements))
            return error_set(c->err, GPT2Q_FORMAT,
                             "%s: dimension %d of %s is %" PRId64 ", which makes no size", c->file, i,
                             t->name, (int64_t)t->ne[i]);
    }
    return GPT2Q_OK;
}

static gpt2q_status take_type(struct cursor *c, struct gguf_tensor *t)
{
    uint64_t id;
    char text[24];
    gpt2q_status s = take(c, 4, t->name, &id);
    if (s) return s;
    t->type = gguf_type_find((uint32_t)id);
    if (!t->type)
        return error_set(c->err, GPT2Q_UNSUPPORTED,
                         "%s: %s is of %s, which is not read; llama-quantize --allow-requantize can make it "
                         "Q8_0, Q4_0, Q4_K and others",
                         c->file, t->name, gguf_type_print((uint32_t)id, text));
    if (t->ne[0] % (uint64_t)t->type->values)
        return error_set(c->err, GPT2Q_FORMAT,
                         "%s: %s has rows of %" PRIu64 ", which is no multiple of the %d in a block of %s",
                         c->file, t->name, t->ne[0], t->type->values, t->type->name);
    if (checked_mul(t->elements / (size_t)t->type->values, (size_t)t->type->bytes, &t->size)) return GPT2Q_OK;
    return error_set(c->err, GPT2Q_FORMAT, "%s: the dimensions of %s make no possible size", c->file,
                     t->name);
}

/* For now `data` is set to the offset. */
static gpt2q_status take_tensor(struct cursor *c, struct gguf_tensor *t, uint64_t *offset)
{
    struct gguf_string name;
    gpt2q_status s = take_string(c, GGUF_NAME_MAX - 1, "the name of a tensor", &name);
    if (!s && !name.n) s = error_set(c->err, GPT2Q_FORMAT, "%s: a tensor has no name", c->file);
    if (s) return s;
    memcpy(t->name, name.text, name.n);
    s = take_dims(c, t);
    if (!s) s = take_type(c, t);
    return s ? s : take(c, 8, t->name, offset);
}

static gpt2q_status read_alignment(const struct gguf_file *f, struct cursor *c, size_t *alignment)
{
    int64_t value = ALIGNMENT_DEFAULT;
    bool present;
    gpt2q_status s = gguf_integer(f, "general.alignment", 1, UINT32_MAX, &value, &present, c->err);
    *alignment = (size_t)value;
    if (s || !(value & (value - 1))) return s;
    return error_set(c->err, GPT2Q_FORMAT, "%s: general.alignment is %" PRId64 ", expected a power of two",
                     c->file, value);
}

static int compare_places(const void *a, const void *b)
{
    const struct gguf_tensor *x = a, *y = b;
    return x->data < y->data ? -1 : x->data > y->data;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp((*(const struct gguf_tensor *const *)a)->name,
                  (*(const struct gguf_tensor *const *)b)->name);
}

static gpt2q_status check_names(const struct gguf_file *f, const char *file, gpt2q_error *err)
{
    const struct gguf_tensor **names = mem_array(f->n_tensors, sizeof *names);
    if (!names) return error_memory(err, "a table of tensors", f->n_tensors * sizeof *names);
    for (size_t i = 0; i < f->n_tensors; i++) names[i] = &f->tensors[i];
    qsort(names, f->n_tensors, sizeof *names, compare_names);
    gpt2q_status s = GPT2Q_OK;
    for (size_t i = 1; i < f->n_tensors && !s; i++)
        if (!strcmp(names[i - 1]->name, names[i]->name))
            s = error_set(err, GPT2Q_FORMAT, "%s: the tensor %s is there twice", file, names[i]->name);
    mem_free(names);
    return s;
}

/* The data part begins at a multiple of the alignment. */
static gpt2q_status place_tensors(const uint8_t *data, struct cursor *c, const uint64_t *offsets,
                                  struct gguf_file *f)
{
    size_t alignment, begin, whole = (size_t)(c->at - data) + c->left, end = 0;
    gpt2q_status s = read_alignment(f, c, &alignment);
    if (s) return s;
    begin = round_up((size_t)(c->at - data), alignment);
    for (size_t i = 0; i < f->n_tensors; i++) {
        struct gguf_tensor *t = &f->tensors[i];
        if (offsets[i] % alignment)
            return error_set(c->err, GPT2Q_FORMAT,
                             "%s: the offset %" PRIu64 " of %s is no multiple of the alignment, %zu", c->file,
                             offsets[i], t->name, alignment);
        if (begin > whole || offsets[i] > whole - begin || t->size > whole - begin - (size_t)offsets[i])
            return error_set(c->err, GPT2Q_FORMAT,
                             "%s: %s should have %zu bytes from offset %" PRIu64
                             " on, beyond the end of the file",
                             c->file, t->name, t->size, offsets[i]);
        t->data = data + begin + (size_t)offsets[i];
    }
    qsort(f->tensors, f->n_tensors, sizeof *f->tensors, compare_places);
    for (size_t i = 0; i < f->n_tensors; i++) {
        const size_t at = (size_t)(f->tensors[i].data - data);
        if (at < end)
            return error_set(c->err, GPT2Q_FORMAT, "%s: %s and %s lie in the same bytes", c->file,
                             f->tensors[i - 1].name, f->tensors[i].name);
        end = at + f->tensors[i].size;
    }
    return check_names(f, c->file, c->err);
}

static gpt2q_status take_tensors(const uint8_t *data, struct cursor *c, struct gguf_file *f, uint64_t n)
{
    f->tensors = mem_zarray((size_t)n, sizeof *f->tensors);
    uint64_t *offsets = mem_array((size_t)n, sizeof *offsets);
    gpt2q_status s = f->tensors && offsets
                         ? GPT2Q_OK
                         : error_memory(c->err, "a table of tensors", (size_t)n * sizeof *f->tensors);
    for (; !s && f->n_tensors < n; f->n_tensors += !s)
        s = take_tensor(c, &f->tensors[f->n_tensors], &offsets[f->n_tensors]);
    if (!s) s = place_tensors(data, c, offsets, f);
    mem_free(offsets);
    return s;
}

/* ---- the file ---- */

bool gguf_recognizes(const uint8_t *data, size_t n) { return n >= 4 && !memcmp(data, "GGUF", 4); }

static gpt2q_status check_version(const struct cursor *c, uint64_t version)
{
    if (version == 2 || version == 3) return GPT2Q_OK;
    if (version && !(version & 0xFFFF))
        return error_set(c->err, GPT2Q_UNSUPPORTED,
                         "%s: is a big-endian GGUF file, little-endian ones are read", c->file);
    return error_set(c->err, GPT2Q_UNSUPPORTED,
                     "%s: is GGUF of version %" PRIu64 ", versions 2 and 3 are read", c->file, version);
}

static gpt2q_status read_file(const uint8_t *data, size_t n, const char *file, struct gguf_file *f,
                              gpt2q_error *err)
{
    struct cursor c = {data, n, file, err};
    uint64_t version, n_tensors, n_keys;
    if (!gguf_recognizes(data, n))
        return error_set(err, GPT2Q_FORMAT, "%s: is no GGUF file: it does not begin with GGUF", file);
    c.at += 4, c.left -= 4;
    gpt2q_status s = take(&c, 4, "its header", &version);
    if (!s) s = check_version(&c, version);
    if (!s) s = take(&c, 8, "its header", &n_tensors);
    if (!s) s = take(&c, 8, "its header", &n_keys);
    if (s) return s;
    if (n_tensors > c.left / TENSOR_BYTES_MIN)
        return error_set(err, GPT2Q_FORMAT, "%s: should have %" PRIu64 " tensors, %zu bytes follow", file,
                         n_tensors, c.left);
    s = take_keys(&c, f, n_keys);
    return s ? s : take_tensors(data, &c, f, n_tensors);
}

gpt2q_status gguf_open(const char *path, struct gguf_file *out, gpt2q_error *err)
{
    *out = (struct gguf_file){0};
    gpt2q_status s = file_map_open(path, &out->map, err);
    if (!s) s = read_file(out->map.data, out->map.size, out->map.path, out, err);
    if (s) gguf_close(out);
    return s;
}

gpt2q_status gguf_from_memory(const uint8_t *data, size_t n, const char *name, struct gguf_file *out,
                              gpt2q_error *err)
{
    *out = (struct gguf_file){0};
    out->map.path = mem_strdup(name);
    gpt2q_status s =
        out->map.path ? read_file(data, n, name, out, err) : error_memory(err, name, strlen(name));
    if (s) gguf_close(out);
    return s;
}

void gguf_close(struct gguf_file *f)
{
    file_map_close(&f->map);
    mem_free(f->keys);
    mem_free(f->tensors);
    *f = (struct gguf_file){0};
}

/* ---- values ---- */

const struct gguf_key *gguf_find(const struct gguf_file *f, const char *name)
{
    const struct gguf_key wanted = {.name = {name, strlen(name)}};
    return f->n_keys ? bsearch(&wanted, f->keys, f->n_keys, sizeof *f->keys, compare_keys) : NULL;
}

const struct gguf_tensor *gguf_find_tensor(const struct gguf_file *f, const char *name)
{
    for (size_t i = 0; i < f->n_tensors; i++)
        if (!strcmp(f->tensors[i].name, name)) return &f->tensors[i];
    return NULL;
}

static gpt2q_status wrong_type(const struct gguf_file *f, const char *name, const char *expected,
                               gpt2q_error *err)
{
    return error_set(err, GPT2Q_FORMAT, "%s: %s is not %s", f->map.path, name, expected);
}

gpt2q_status gguf_integer(const struct gguf_file *f, const char *name, int64_t min, int64_t max, int64_t *out,
                          bool *present, gpt2q_error *err)
{
    static const bool is_signed[GGUF_VALUES] = {[GGUF_I8] = true, [GGUF_I16] = true, [GGUF_I32] = true};
    const struct gguf_key *k = gguf_find(f, name);
    *present = k;
    if (!k) return GPT2Q_OK;
    if (k->type == GGUF_F32 || k->type == GGUF_F64 || k->type == GGUF_BOOL || k->type == GGUF_STRING ||
        k->type == GGUF_ARRAY)
        return wrong_type(f, name, "an integer", err);
    const int bits = 8 * sizes[k->type];
    uint64_t value = number(k->value, sizes[k->type]);
    if (is_signed[k->type] && value >> (bits - 1)) value |= ~(uint64_t)0 << (bits - 1);
    const bool beyond = k->type == GGUF_U64 && value > INT64_MAX;
    if (beyond || (int64_t)value < min || (int64_t)value > max)
        return error_set(err, GPT2Q_FORMAT, "%s: %s is %s%" PRId64 ", expected %" PRId64 " to %" PRId64,
                         f->map.path, name, beyond ? "more than " : "", beyond ? INT64_MAX : (int64_t)value,
                         min, max);
    *out = (int64_t)value;
    return GPT2Q_OK;
}

gpt2q_status gguf_number(const struct gguf_file *f, const char *name, double *out, bool *present,
                         gpt2q_error *err)
{
    const struct gguf_key *k = gguf_find(f, name);
    float single;
    *present = k;
    if (!k) return GPT2Q_OK;
    if (k->type != GGUF_F32 && k->type != GGUF_F64) return wrong_type(f, name, "a float", err);
    const uint64_t bits = number(k->value, sizes[k->type]);
    const uint32_t low = (uint32_t)bits;
    memcpy(&single, &low, sizeof single);
    *out = (double)single;
    if (k->type == GGUF_F64) memcpy(out, &bits, sizeof *out);
    return GPT2Q_OK;
}

gpt2q_status gguf_bool(const struct gguf_file *f, const char *name, bool *out, bool *present,
                       gpt2q_error *err)
{
    const struct gguf_key *k = gguf_find(f, name);
    *present = k;
    if (!k) return GPT2Q_OK;
    if (k->type != GGUF_BOOL) return wrong_type(f, name, "a bool", err);
    *out = *k->value;
    return GPT2Q_OK;
}

struct gguf_string gguf_next_string(const uint8_t **at)
{
    const struct gguf_string s = {(const char *)*at + 8, (size_t)number(*at, 8)};
    *at += 8 + s.n;
    return s;
}

gpt2q_status gguf_text(const struct gguf_file *f, const char *name, struct gguf_string *out, bool *present,
                       gpt2q_error *err)
{
    const struct gguf_key *k = gguf_find(f, name);
    *present = k;
    if (!k) return GPT2Q_OK;
    if (k->type != GGUF_STRING) return wrong_type(f, name, "a string", err);
    const uint8_t *at = k->value;
    *out = gguf_next_string(&at);
    return GPT2Q_OK;
}
