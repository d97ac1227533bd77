#include "base/terminal_text.h"
#include "base/utf8.h"
#include <stdbool.h>
#include <string.h>

/* The escape of a control character, "" for any other. */
static size_t escape(uint32_t c, char text[4])
{
    static const char digits[] = "0123456789abcdef";
    if (c >= 0x20 && (c < 0x7F || c > 0x9F)) return 0;
    text[0] = '\\';
    text[1] = c == '\n' ? 'n' : c == '\t' ? 't' : c == '\r' ? 'r' : 'x';
    if (text[1] != 'x') return 2;
    text[2] = digits[c >> 4];
    text[3] = digits[c & 15];
    return 4;
}

size_t terminal_text(char *to, size_t capacity, const char *s, size_t n)
{
    size_t used = 0;
    for (size_t i = 0; i < n;) {
        const struct utf8_step step = utf8_next(s + i, n - i);
        char escaped[4];
        const bool whole = step.kind == UTF8_WHOLE;
        const size_t length = whole ? escape(step.code_point, escaped) : 0;
        const char *piece = !whole ? "\xEF\xBF\xBD" : length ? escaped : s + i;
        const size_t size = !whole ? 3 : length ? length : step.length;
        if (used + size >= capacity) break;
        memcpy(to + used, piece, size);
        used += size;
        i += step.length;
    }
    to[used] = '\0';
    return used;
}
