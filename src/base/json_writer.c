#include "base/json_writer.h"
#include "base/memory.h"
#include "base/utf8.h"
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_CAPACITY ((size_t)256)

/* Room for n bytes more and a final zero. */
static bool reserve(struct json_writer *w, size_t n)
{
    if (w->failed) return false;
    if (n < w->capacity - w->n) return true;
    size_t capacity = w->capacity ? w->capacity : FIRST_CAPACITY;
    while (capacity - w->n <= n && capacity <= SIZE_MAX / 4) capacity *= 2;
    char *larger = capacity - w->n > n ? mem_grow(w->text, w->n, capacity) : NULL;
    if (!larger) {
        w->failed = true;
        return false;
    }
    w->text = larger;
    w->capacity = capacity;
    return true;
}

static void append(struct json_writer *w, const char *text, size_t n)
{
    if (!reserve(w, n)) return;
    if (n) memcpy(w->text + w->n, text, n);
    w->n += n;
}

static void separate(struct json_writer *w)
{
    if (w->comma) append(w, ",", 1);
    w->comma = true;
}

static void put(struct json_writer *w, const char *text)
{
    separate(w);
    append(w, text, strlen(text));
}

void json_open(struct json_writer *w, char bracket)
{
    separate(w);
    append(w, &bracket, 1);
    w->comma = false;
}

void json_close(struct json_writer *w, char bracket)
{
    append(w, &bracket, 1);
    w->comma = true;
}

void json_key(struct json_writer *w, const char *key)
{
    json_put_string(w, key);
    append(w, ":", 1);
    w->comma = false;
}

/* A character that stands in a string only behind a backslash. */
static void escape(struct json_writer *w, unsigned char c)
{
    static const char letters[] = "\"\\\b\f\n\r\t", names[] = "\"\\bfnrt";
    const char *letter = c ? strchr(letters, c) : NULL;
    char text[8];
    int n = letter ? snprintf(text, sizeof text, "\\%c", names[letter - letters])
                   : snprintf(text, sizeof text, "\\u%04x", c);
    append(w, text, (size_t)n);
}

static bool is_plain(unsigned char c) { return c >= 0x20 && c < 0x80 && c != '"' && c != '\\'; }

static bool stands_for_itself(struct utf8_step step, char c)
{
    return step.kind == UTF8_WHOLE && (unsigned char)c >= 0x20 && c != '"' && c != '\\';
}

void json_put_bytes(struct json_writer *w, const char *bytes, size_t n)
{
    size_t plain = 0; /* bytes[plain, i) stand for themselves */
    separate(w);
    append(w, "\"", 1);
    for (size_t i = 0; i < n;) {
        if (is_plain((unsigned char)bytes[i])) { /* nearly all there is */
            i++;
            continue;
        }
        struct utf8_step step = utf8_next(bytes + i, n - i);
        size_t next = i + step.length;
        if (!stands_for_itself(step, bytes[i])) {
            append(w, bytes + plain, i - plain);
            if (step.kind == UTF8_WHOLE)
                escape(w, (unsigned char)bytes[i]);
            else
                append(w, "\xEF\xBF\xBD", 3);
            plain = next;
        }
        i = next;
    }
    append(w, bytes + plain, n - plain);
    append(w, "\"", 1);
}

void json_put_string(struct json_writer *w, const char *text)
{
    if (text)
        json_put_bytes(w, text, strlen(text));
    else
        json_put_null(w);
}

void json_put_integer(struct json_writer *w, int64_t x)
{
    char text[24];
    snprintf(text, sizeof text, "%lld", (long long)x);
    put(w, text);
}

void json_put_unsigned(struct json_writer *w, uint64_t x)
{
    char text[24];
    snprintf(text, sizeof text, "%llu", (unsigned long long)x);
    put(w, text);
}

/* Fifteen digits where they say the number but for its last bit, else seventeen: what cJSON prints. */
void json_put_real(struct json_writer *w, double x)
{
    char text[32];
    if (!isfinite(x)) {
        json_put_null(w);
        return;
    }
    snprintf(text, sizeof text, "%1.15g", x);
    double back = strtod(text, NULL), largest = fabs(back) > fabs(x) ? fabs(back) : fabs(x);
    if (!(fabs(back - x) <= largest * DBL_EPSILON)) snprintf(text, sizeof text, "%1.17g", x);
    put(w, text);
}

void json_put_bool(struct json_writer *w, bool x) { put(w, x ? "true" : "false"); }
void json_put_null(struct json_writer *w) { put(w, "null"); }

void json_put_raw(struct json_writer *w, const char *json, size_t n)
{
    if (n == 0) return;
    separate(w);
    append(w, json, n);
}

char *json_finish(struct json_writer *w)
{
    char *text = reserve(w, 0) ? w->text : NULL;
    if (!text) {
        json_discard(w);
        return NULL;
    }
    text[w->n] = '\0';
    *w = (struct json_writer){0};
    return text;
}

void json_restart(struct json_writer *w)
{
    w->n = 0;
    w->comma = w->failed = false;
}

void json_discard(struct json_writer *w)
{
    mem_free(w->text);
    *w = (struct json_writer){0};
}
