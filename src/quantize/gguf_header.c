#include "quantize/gguf_header.h"
#include "base/checked.h"
#include "base/memory.h"
#include "base/utf8.h"
#include <string.h>

#define COUNTS_AT 8 /* after magic and version: of tensors, of keys */

static void put(struct gguf_header *h, const void *bytes, size_t n)
{
    if (h->failed) return;
    if (n > h->room - h->n) {
        const size_t room = h->room + n + (h->room >> 1) + 4096;
        uint8_t *data = mem_grow(h->data, h->n, room);
        if (!data) {
            h->failed = true;
            return;
        }
        h->data = data, h->room = room;
    }
    memcpy(h->data + h->n, bytes, n);
    h->n += n;
}

static void little(uint64_t value, int bytes, uint8_t *to)
{
    for (int i = 0; i < bytes; i++) to[i] = (uint8_t)(value >> 8 * i);
}

static void put_number(struct gguf_header *h, uint64_t value, int bytes)
{
    uint8_t to[8];
    little(value, bytes, to);
    put(h, to, (size_t)bytes);
}

void gguf_put_u32(struct gguf_header *h, uint32_t value) { put_number(h, value, 4); }

void gguf_put_string(struct gguf_header *h, const char *text, size_t n)
{
    put_number(h, n, 8);
    if (n) put(h, text, n);
}

void gguf_header_begin(struct gguf_header *h)
{
    put(h, "GGUF", 4);
    gguf_put_u32(h, 3);
    put_number(h, 0, 8), put_number(h, 0, 8);
}

static void put_key(struct gguf_header *h, const char *key, enum gguf_value type)
{
    gguf_put_string(h, key, strlen(key));
    gguf_put_u32(h, type);
    h->n_keys++;
}

void gguf_put_integer(struct gguf_header *h, const char *key, uint32_t value)
{
    put_key(h, key, GGUF_U32);
    gguf_put_u32(h, value);
}

void gguf_put_float(struct gguf_header *h, const char *key, float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    put_key(h, key, GGUF_F32);
    gguf_put_u32(h, bits);
}

void gguf_put_bool(struct gguf_header *h, const char *key, bool value)
{
    put_key(h, key, GGUF_BOOL);
    put_number(h, value, 1);
}

void gguf_put_text(struct gguf_header *h, const char *key, const char *text, size_t n)
{
    size_t length;
    char *clean = utf8_sanitize(text, n, &length);
    if (!clean) {
        h->failed = true;
        return;
    }
    put_key(h, key, GGUF_STRING);
    gguf_put_string(h, clean, length);
    mem_free(clean);
}

void gguf_put_array(struct gguf_header *h, const char *key, enum gguf_value type, uint64_t n)
{
    put_key(h, key, GGUF_ARRAY);
    gguf_put_u32(h, type);
    put_number(h, n, 8);
}

void gguf_put_tensor(struct gguf_header *h, const char *name, int n_dims, const uint64_t ne[],
                     const struct gguf_type *type, uint64_t offset)
{
    gguf_put_string(h, name, strlen(name));
    gguf_put_u32(h, (uint32_t)n_dims);
    for (int i = 0; i < n_dims; i++) put_number(h, ne[i], 8);
    gguf_put_u32(h, type->id);
    put_number(h, offset, 8);
    h->n_tensors++;
}

gpt2q_status gguf_header_end(struct gguf_header *h, size_t alignment, gpt2q_error *err)
{
    while (!h->failed && h->n % alignment) put_number(h, 0, 1);
    if (h->failed) return error_memory(err, "the header", h->room);
    little(h->n_tensors, 8, h->data + COUNTS_AT);
    little(h->n_keys, 8, h->data + COUNTS_AT + 8);
    return GPT2Q_OK;
}
