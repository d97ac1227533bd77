#include "base/status.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *gpt2q_version(void) { return GPT2Q_VERSION_STRING; }

const char *gpt2q_status_text(gpt2q_status status)
{
    static const char *const text[] = {
#define STATUS_TEXT(name, words) words,
        GPT2Q_STATUS_MAP(STATUS_TEXT)
#undef STATUS_TEXT
    };
    size_t i = (size_t)status;
    return i < sizeof text / sizeof *text ? text[i] : "unknown status";
}

/* The largest length of at most n bytes that ends at a code point. */
static size_t cut(const char *text, size_t n)
{
    while (n > 0 && ((unsigned char)text[n] & 0xC0) == 0x80) n--;
    return n;
}

gpt2q_status error_set(gpt2q_error *err, gpt2q_status status, const char *format, ...)
{
    if (!err) return status;
    err->status = status;
    va_list args;
    va_start(args, format);
    int n = vsnprintf(err->message, sizeof err->message, format, args);
    va_end(args);
    if (n < 0) err->message[0] = '\0';
    if (n < (int)sizeof err->message) return status;
    memcpy(err->message + cut(err->message, sizeof err->message - 4), "...", 4);
    return status;
}

struct error_quote error_quote(const char *text, size_t n)
{
    struct error_quote q;
    const size_t most = sizeof q.text - 4, end = n > most ? cut(text, most) : n;
    memcpy(q.text, text, end);
    memcpy(q.text + end, "...", 4);
    if (n <= most) q.text[end] = '\0';
    return q;
}

gpt2q_status error_memory(gpt2q_error *err, const char *what, size_t bytes)
{
    return error_set(err, GPT2Q_OUT_OF_MEMORY, "out of memory: %s needs %zu bytes", what, bytes);
}
