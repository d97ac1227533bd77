/* Writes the header of a safetensors file. Spaces pad it, as the format allows, so that the data begins at
 * a multiple of 64 of the file. What the reader would refuse (names that are not UTF-8 or stand twice) is
 * not written. */
#include "model/safetensors.h"
#include "base/checked.h"
#include "base/json.h"
#include "base/memory.h"
#include <assert.h>
#include <inttypes.h>
#include <string.h>

#define DATA_ALIGN 64

size_t st_declaration_size(const struct st_declaration *d)
{
    size_t bits = (size_t)st_dtype_bits(d->dtype);
    for (int i = 0; i < d->n_dims; i++) {
        bool fits = checked_mul(bits, (size_t)d->shape[i], &bits);
        assert(fits);
        (void)fits;
    }
    assert(bits % 8 == 0);
    return bits / 8;
}

/* Text that grows. After a failed allocation it stays as it is. */
struct header_text {
    char *data;
    size_t used, capacity;
    bool failed;
};

static void put(struct header_text *t, const char *s, size_t n)
{
    if (t->failed) return;
    if (n > t->capacity - t->used) {
        size_t capacity = 2 * (t->used + n) + 4096;
        char *larger = mem_grow(t->data, t->used, capacity);
        if (!larger) {
            t->failed = true;
            return;
        }
        t->data = larger;
        t->capacity = capacity;
    }
    memcpy(t->data + t->used, s, n);
    t->used += n;
}

static void put_text(struct header_text *t, const char *s) { put(t, s, strlen(s)); }

static void put_number(struct header_text *t, uint64_t n)
{
    char digits[24];
    snprintf(digits, sizeof digits, "%" PRIu64, n);
    put_text(t, digits);
}

static void put_string(struct header_text *t, const char *s)
{
    put_text(t, "\"");
    for (; *s; s++) {
        char escape[8];
        if (*s == '"' || *s == '\\')
            snprintf(escape, sizeof escape, "\\%c", *s);
        else if ((unsigned char)*s < 0x20)
            snprintf(escape, sizeof escape, "\\u%04x", (unsigned)*s);
        else
            escape[0] = *s, escape[1] = '\0';
        put_text(t, escape);
    }
    put_text(t, "\"");
}

static void put_metadata(struct header_text *t, const struct st_metadata *metadata, size_t n)
{
    put_text(t, "\"__metadata__\":{");
    for (size_t i = 0; i < n; i++) {
        if (i) put_text(t, ",");
        put_string(t, metadata[i].key);
        put_text(t, ":");
        put_string(t, metadata[i].value);
    }
    put_text(t, "}");
}

static void put_tensor(struct header_text *t, const struct st_declaration *d, uint64_t begin)
{
    put_string(t, d->name);
    put_text(t, ":{\"dtype\":");
    put_string(t, st_dtype_name(d->dtype));
    put_text(t, ",\"shape\":[");
    for (int i = 0; i < d->n_dims; i++) {
        if (i) put_text(t, ",");
        put_number(t, d->shape[i]);
    }
    put_text(t, "],\"data_offsets\":[");
    put_number(t, begin);
    put_text(t, ",");
    put_number(t, begin + st_declaration_size(d));
    put_text(t, "]}");
}

static void put_header(struct header_text *t, const struct st_declaration *tensors, size_t n_tensors,
                       const struct st_metadata *metadata, size_t n_metadata)
{
    put_text(t, "{");
    if (n_metadata) put_metadata(t, metadata, n_metadata);
    uint64_t begin = 0;
    for (size_t i = 0; i < n_tensors; i++) {
        if (i || n_metadata) put_text(t, ",");
        put_tensor(t, &tensors[i], begin);
        begin += st_declaration_size(&tensors[i]);
    }
    put_text(t, "}");
    while (!t->failed && t->used % DATA_ALIGN) put_text(t, " ");
}

gpt2q_status st_header_create(const struct st_declaration *tensors, size_t n_tensors,
                              const struct st_metadata *metadata, size_t n_metadata, const char *path,
                              char **header, size_t *n, gpt2q_error *err)
{
    struct header_text t = {0};
    const uint8_t length[ST_LENGTH_BYTES] = {0};
    put(&t, (const char *)length, sizeof length);
    put_header(&t, tensors, n_tensors, metadata, n_metadata);
    *header = NULL;
    *n = t.used;
    cJSON *root = NULL; /* as a reader will see it */
    gpt2q_status s = t.failed
                         ? error_memory(err, "a safetensors header", t.capacity * 2)
                         : json_parse(t.data + ST_LENGTH_BYTES, t.used - ST_LENGTH_BYTES, path, &root, err);
    cJSON_Delete(root);
    if (s) {
        mem_free(t.data);
        return s;
    }
    for (int i = 0; i < ST_LENGTH_BYTES; i++)
        t.data[i] = (char)((uint64_t)(t.used - ST_LENGTH_BYTES) >> (8 * i));
    *header = t.data;
    return GPT2Q_OK;
}

gpt2q_status st_write_header(struct file_writer *w, const struct st_declaration *tensors, size_t n_tensors,
                             const struct st_metadata *metadata, size_t n_metadata, gpt2q_error *err)
{
    char *header;
    size_t n;
    gpt2q_status s = st_header_create(tensors, n_tensors, metadata, n_metadata, w->path, &header, &n, err);
    if (s) return s;
    s = file_writer_write(w, header, n, err);
    mem_free(header);
    return s;
}
