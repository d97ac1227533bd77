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
    size_t end = sizeof err->message - 4; /* cut at a code point, then say that it was cut */
    while (end > 0 && ((unsigned char)err->message[end] & 0xC0) == 0x80) end--;
    memcpy(err->message + end, "...", 4);
    return status;
}

gpt2q_status error_memory(gpt2q_error *err, const char *what, size_t bytes)
{
    return error_set(err, GPT2Q_OUT_OF_MEMORY, "out of memory: %s needs %zu bytes", what, bytes);
}
