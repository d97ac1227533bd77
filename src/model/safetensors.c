/* Reads the safetensors container: eight bytes of length, a JSON header, data. The header is not trusted.
 * Every size is computed with overflow checks and compared with the bytes that are there. Sorted by
 * offset, the tensors must cover the data without a hole, an overlap or a rest, so that a file has one
 * meaning only. Values such as NaN are not checked here. */
#include "model/safetensors.h"
#include "base/checked.h"
#include "base/json.h"
#include "base/memory.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define MAX_HEADER ((uint64_t)100000000) /* the reference's limit */

static const struct {
    const char *name;
    int bits;
} dtypes[] = {
#define ST_ROW(name, bits) {#name, bits},
    ST_DTYPE_MAP(ST_ROW)
#undef ST_ROW
};

const char *st_dtype_name(enum st_dtype dtype) { return dtypes[dtype].name; }
int st_dtype_bits(enum st_dtype dtype) { return dtypes[dtype].bits; }

/* The data part of a file, for the functions that read one tensor. */
struct body {
    const char *file;
    const uint8_t *data;
    size_t size;
};

/* ---- one tensor of the header ---- */

static gpt2q_status read_dtype(const cJSON *item, const char *file, struct st_tensor *t, gpt2q_error *err)
{
    if (!cJSON_IsString(item)) {
        return error_set(err, GPT2Q_FORMAT, "%s: dtype of %s is not a string", file, t->name);
    }
    for (int i = 0; i < ST_DTYPE_COUNT; i++) {
        if (strcmp(item->valuestring, dtypes[i].name) != 0) continue;
        t->dtype = (enum st_dtype)i;
        return GPT2Q_OK;
    }
    return error_set(err, GPT2Q_FORMAT, "%s: dtype of %s is unknown: \"%s\"", file, t->name,
                     item->valuestring);
}

/* Reads integers from 0 to 2^53. json_parse has refused larger ones, but not 1e300. */
static bool read_count(const cJSON *item, uint64_t *out)
{
    if (!cJSON_IsNumber(item) || !(item->valuedouble >= 0 && item->valuedouble <= 0x1p53)) return false;
    *out = (uint64_t)item->valuedouble;
    return (double)*out == item->valuedouble;
}

static gpt2q_status read_shape(const cJSON *array, const char *file, struct st_tensor *t, gpt2q_error *err)
{
    if (!cJSON_IsArray(array))
        return error_set(err, GPT2Q_FORMAT, "%s: shape of %s is not an array", file, t->name);
    for (const cJSON *item = array->child; item; item = item->next) {
        if (t->n_dims == ST_MAX_DIMS) {
            return error_set(err, GPT2Q_UNSUPPORTED, "%s: %s has more than %d dimensions", file, t->name,
                             ST_MAX_DIMS);
        }
        if (!read_count(item, &t->shape[t->n_dims++])) {
            return error_set(err, GPT2Q_FORMAT, "%s: shape of %s holds something other than integers >= 0",
                             file, t->name);
        }
    }
    return GPT2Q_OK;
}

static gpt2q_status read_offsets(const cJSON *array, const struct body *body, struct st_tensor *t,
                                 gpt2q_error *err)
{
    uint64_t begin, end;
    if (!cJSON_IsArray(array) || cJSON_GetArraySize(array) != 2 || !read_count(array->child, &begin) ||
        !read_count(array->child->next, &end)) {
        return error_set(err, GPT2Q_FORMAT, "%s: data_offsets of %s are not two integers >= 0", body->file,
                         t->name);
    }
    if (begin > end || end > body->size) {
        return error_set(err, GPT2Q_FORMAT,
                         "%s: data_offsets of %s are %" PRIu64 " to %" PRIu64
                         ", outside the %zu bytes of data",
                         body->file, t->name, begin, end, body->size);
    }
    t->data = body->data + begin;
    t->size = (size_t)(end - begin);
    return GPT2Q_OK;
}

/* The bytes of a shape and dtype. Returns false if they overflow or are not a whole number. */
static bool tensor_bytes(const uint64_t *shape, int n_dims, enum st_dtype dtype, size_t *bytes)
{
    size_t n = 1;
    for (int i = 0; i < n_dims; i++) {
        if (shape[i] > SIZE_MAX || !checked_mul(n, (size_t)shape[i], &n)) return false;
    }
    if (!checked_mul(n, (size_t)st_dtype_bits(dtype), &n) || n % 8) return false;
    *bytes = n / 8;
    return true;
}

static gpt2q_status read_tensor(const cJSON *item, const struct body *body, struct st_tensor *t,
                                gpt2q_error *err)
{
    const cJSON *dtype = NULL, *shape = NULL, *offsets = NULL;
    if (!cJSON_IsObject(item))
        return error_set(err, GPT2Q_FORMAT, "%s: %s is not a JSON object", body->file, t->name);
    for (const cJSON *f = item->child; f; f = f->next) {
        if (!strcmp(f->string, "dtype"))
            dtype = f;
        else if (!strcmp(f->string, "shape"))
            shape = f;
        else if (!strcmp(f->string, "data_offsets"))
            offsets = f;
        else
            return error_set(err, GPT2Q_FORMAT, "%s: %s has an unknown key \"%s\"", body->file, t->name,
                             f->string);
    }
    if (!dtype || !shape || !offsets) {
        return error_set(err, GPT2Q_FORMAT, "%s: %s has no %s", body->file, t->name,
                         !dtype   ? "dtype"
                         : !shape ? "shape"
                                  : "data_offsets");
    }
    gpt2q_status s = read_dtype(dtype, body->file, t, err);
    if (!s) s = read_shape(shape, body->file, t, err);
    if (!s) s = read_offsets(offsets, body, t, err);
    if (s) return s;
    size_t bytes;
    if (!tensor_bytes(t->shape, t->n_dims, t->dtype, &bytes)) {
        return error_set(err, GPT2Q_FORMAT, "%s: shape of %s makes no possible number of bytes", body->file,
                         t->name);
    }
    if (bytes == t->size) return GPT2Q_OK;
    return error_set(err, GPT2Q_FORMAT, "%s: %s has %zu bytes of data, its shape and dtype %s make %zu",
                     body->file, t->name, t->size, st_dtype_name(t->dtype), bytes);
}

/* ---- the header ---- */

static gpt2q_status twice(const char *file, const char *key, gpt2q_error *err)
{
    return error_set(err, GPT2Q_FORMAT, "%s: the key \"%s\" stands twice in one object", file,
                     error_quote(key, strlen(key)).text);
}

static gpt2q_status read_metadata(const cJSON *object, const char *file, struct safetensors *st,
                                  gpt2q_error *err)
{
    if (!cJSON_IsObject(object))
        return error_set(err, GPT2Q_FORMAT, "%s: __metadata__ is not a JSON object", file);
    if (st->metadata) return twice(file, "__metadata__", err);
    size_t n = (size_t)cJSON_GetArraySize(object);
    st->metadata = mem_zarray(n, sizeof *st->metadata);
    if (!st->metadata) return error_memory(err, "the metadata of a file", n * sizeof *st->metadata);
    for (const cJSON *item = object->child; item; item = item->next) {
        if (!cJSON_IsString(item)) {
            return error_set(err, GPT2Q_FORMAT, "%s: __metadata__ \"%s\" is not a string", file,
                             item->string);
        }
        struct st_metadata *m = &st->metadata[st->n_metadata++];
        m->key = mem_strdup(item->string);
        m->value = mem_strdup(item->valuestring);
        if (!m->key || !m->value)
            return error_memory(err, "the metadata of a file", strlen(item->valuestring));
    }
    return GPT2Q_OK;
}

/* Sorts by address. Empty tensors come before the one that begins where they lie. Names only make the
 * order definite. */
static int compare_places(const void *a, const void *b)
{
    const struct st_tensor *x = a, *y = b;
    if (x->data != y->data) return x->data < y->data ? -1 : 1;
    if (x->size != y->size) return x->size < y->size ? -1 : 1;
    return strcmp(x->name, y->name);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp((*(const struct st_tensor *const *)a)->name, (*(const struct st_tensor *const *)b)->name);
}

static gpt2q_status check_cover(const struct safetensors *st, const struct body *body, gpt2q_error *err)
{
    size_t at = 0;
    for (size_t i = 0; i < st->n_tensors; i++) {
        const struct st_tensor *t = &st->tensors[i];
        size_t begin = (size_t)(t->data - body->data);
        if (begin != at) {
            return error_set(err, GPT2Q_FORMAT,
                             "%s: data of %s begins at %zu, %s the tensor before, which ends at %zu",
                             body->file, t->name, begin, begin < at ? "within" : "apart from", at);
        }
        at += t->size;
    }
    if (at == body->size) return GPT2Q_OK;
    return error_set(err, GPT2Q_FORMAT, "%s: the tensors have %zu bytes, the file has %zu bytes of data",
                     body->file, at, body->size);
}

struct header {
    const struct body *body;
    struct safetensors *st;
    size_t capacity;
};

static gpt2q_status read_member(void *user, const char *key, const cJSON *value, gpt2q_error *err)
{
    struct header *h = user;
    struct safetensors *st = h->st;
    if (!strcmp(key, "__metadata__")) return read_metadata(value, h->body->file, st, err);
    if (st->n_tensors == h->capacity) {
        const size_t more = h->capacity + h->capacity / 2 + 64;
        struct st_tensor *larger = mem_grow(st->tensors, h->capacity * sizeof *larger, more * sizeof *larger);
        if (!larger) return error_memory(err, "a table of tensors", more * sizeof *larger);
        st->tensors = larger;
        h->capacity = more;
    }
    struct st_tensor *t = &st->tensors[st->n_tensors];
    *t = (struct st_tensor){.name = mem_strdup(key)};
    if (!t->name) return error_memory(err, "a tensor's name", strlen(key));
    st->n_tensors++;
    return read_tensor(value, h->body, t, err);
}

static gpt2q_status read_header(const char *text, size_t size, const struct body *body,
                                struct safetensors *st, gpt2q_error *err)
{
    struct header h = {.body = body, .st = st};
    gpt2q_status s = json_each_member(text, size, body->file, read_member, &h, err);
    if (s) return s;
    st->by_name = mem_array(st->n_tensors, sizeof *st->by_name);
    if (!st->by_name) return error_memory(err, "a table of tensors", st->n_tensors * sizeof *st->by_name);
    if (st->n_tensors) qsort(st->tensors, st->n_tensors, sizeof *st->tensors, compare_places);
    for (size_t i = 0; i < st->n_tensors; i++) st->by_name[i] = &st->tensors[i];
    qsort(st->by_name, st->n_tensors, sizeof *st->by_name, compare_names);
    for (size_t i = 1; i < st->n_tensors; i++)
        if (!strcmp(st->by_name[i - 1]->name, st->by_name[i]->name))
            return twice(body->file, st->by_name[i]->name, err);
    return check_cover(st, body, err);
}

static gpt2q_status read_file(const uint8_t *data, size_t size, const char *file, struct safetensors *st,
                              gpt2q_error *err)
{
    if (size < ST_LENGTH_BYTES) {
        return error_set(err, GPT2Q_FORMAT, "%s: is no safetensors file: it has %zu bytes", file, size);
    }
    uint64_t length = 0;
    for (int i = 0; i < ST_LENGTH_BYTES; i++) length |= (uint64_t)data[i] << (8 * i);
    if (length > MAX_HEADER) {
        return error_set(
            err, GPT2Q_FORMAT,
            "%s: is no .gpt2q, GGUF, PyTorch or safetensors file: read as safetensors, its header "
            "has %" PRIu64 " bytes where at most %" PRIu64 " are allowed",
            file, length, MAX_HEADER);
    }
    if (length > size - ST_LENGTH_BYTES) {
        return error_set(err, GPT2Q_FORMAT,
                         "%s: is no whole safetensors file: its header should have %" PRIu64
                         " bytes, %zu follow",
                         file, length, size - ST_LENGTH_BYTES);
    }
    const uint8_t *header = data + ST_LENGTH_BYTES;
    struct body body = {
        .file = file, .data = header + length, .size = size - ST_LENGTH_BYTES - (size_t)length};
    return read_header((const char *)header, (size_t)length, &body, st, err);
}

gpt2q_status safetensors_open(const char *path, struct safetensors *out, gpt2q_error *err)
{
    *out = (struct safetensors){0};
    gpt2q_status s = file_map_open(path, &out->map, err);
    if (!s) s = read_file(out->map.data, out->map.size, path, out, err);
    if (s) safetensors_close(out);
    return s;
}

gpt2q_status safetensors_from_memory(const uint8_t *data, size_t size, const char *name,
                                     struct safetensors *out, gpt2q_error *err)
{
    *out = (struct safetensors){0};
    out->map.path = mem_strdup(name);
    gpt2q_status s =
        out->map.path ? read_file(data, size, name, out, err) : error_memory(err, name, strlen(name));
    if (s) safetensors_close(out);
    return s;
}

void safetensors_close(struct safetensors *st)
{
    for (size_t i = 0; i < st->n_tensors; i++) mem_free(st->tensors[i].name);
    for (size_t i = 0; i < st->n_metadata; i++) {
        mem_free(st->metadata[i].key);
        mem_free(st->metadata[i].value);
    }
    mem_free(st->tensors);
    mem_free(st->by_name);
    mem_free(st->metadata);
    file_map_close(&st->map);
    *st = (struct safetensors){0};
}

static int compare_name_with(const void *name, const void *tensor)
{
    return strcmp(name, (*(const struct st_tensor *const *)tensor)->name);
}

const struct st_tensor *safetensors_find(const struct safetensors *st, const char *name)
{
    if (!st->n_tensors) return NULL;
    const struct st_tensor *const *found =
        bsearch(name, st->by_name, st->n_tensors, sizeof *st->by_name, compare_name_with);
    return found ? *found : NULL;
}

const char *safetensors_metadata(const struct safetensors *st, const char *key)
{
    for (size_t i = 0; i < st->n_metadata; i++) {
        if (!strcmp(st->metadata[i].key, key)) return st->metadata[i].value;
    }
    return NULL;
}
