#include "base/utf8.h"
#include "base/checked.h"
#include "base/memory.h"
#include <string.h>

#define REPLACEMENT "\xEF\xBF\xBD"

/* What a lead byte promises: continuation bytes to come and the range of the first of them, which alone is
 * ever narrower than 80..BF (it keeps out overlong forms, surrogates and what is beyond U+10FFFF). */
struct lead {
    size_t more;
    unsigned char low, high;
};

static struct lead lead_of(unsigned char b)
{
    if (b >= 0xC2 && b <= 0xDF) return (struct lead){1, 0x80, 0xBF};
    if (b == 0xE0) return (struct lead){2, 0xA0, 0xBF};
    if (b == 0xED) return (struct lead){2, 0x80, 0x9F};
    if (b >= 0xE1 && b <= 0xEF) return (struct lead){2, 0x80, 0xBF};
    if (b == 0xF0) return (struct lead){3, 0x90, 0xBF};
    if (b >= 0xF1 && b <= 0xF3) return (struct lead){3, 0x80, 0xBF};
    if (b == 0xF4) return (struct lead){3, 0x80, 0x8F};
    return (struct lead){0, 0, 0};
}

struct utf8_step utf8_next(const char *s, size_t n)
{
    unsigned char first = (unsigned char)s[0];
    if (first < 0x80) return (struct utf8_step){UTF8_WHOLE, first, 1};
    struct lead lead = lead_of(first);
    if (lead.more == 0) return (struct utf8_step){UTF8_BROKEN, 0, 1};
    uint32_t code_point = first & (0x3Fu >> lead.more);
    for (size_t i = 1; i <= lead.more; i++) {
        if (i == n) return (struct utf8_step){UTF8_CUT, 0, n};
        unsigned char b = (unsigned char)s[i];
        if (b < lead.low || b > lead.high) return (struct utf8_step){UTF8_BROKEN, 0, i};
        code_point = code_point << 6 | (b & 0x3Fu);
        lead.low = 0x80, lead.high = 0xBF;
    }
    return (struct utf8_step){UTF8_WHOLE, code_point, lead.more + 1};
}

size_t utf8_valid_prefix(const char *s, size_t n)
{
    size_t i = 0;
    while (i < n) {
        uint64_t eight;
        if (n - i >= sizeof eight) {
            memcpy(&eight, s + i, sizeof eight);
            if ((eight & 0x8080808080808080u) == 0) {
                i += sizeof eight;
                continue;
            }
        }
        struct utf8_step step = utf8_next(s + i, n - i);
        if (step.kind != UTF8_WHOLE) break;
        i += step.length;
    }
    return i;
}

/* Writes the sanitized text to out, or only counts its bytes where out is NULL. */
static size_t sanitize(const char *s, size_t n, char *out)
{
    size_t written = 0;
    for (size_t i = 0; i < n;) {
        size_t good = utf8_valid_prefix(s + i, n - i);
        if (out) memcpy(out + written, s + i, good);
        written += good;
        i += good;
        if (i == n) break;
        if (out) memcpy(out + written, REPLACEMENT, 3);
        written += 3;
        i += utf8_next(s + i, n - i).length;
    }
    return written;
}

char *utf8_sanitize(const char *s, size_t n, size_t *out_n)
{
    size_t worst;
    *out_n = 0;
    if (!checked_mul(n, 3, &worst)) return NULL;
    size_t size = sanitize(s, n, NULL);
    char *copy = mem_array(size + 1, 1);
    if (!copy) return NULL;
    *out_n = sanitize(s, n, copy);
    copy[size] = '\0';
    return copy;
}
