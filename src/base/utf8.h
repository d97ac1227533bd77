/* UTF-8: the one place that knows which byte sequences are well formed (Unicode 15, table 3-7). Overlong
 * forms, surrogates and what lies beyond U+10FFFF are broken from the first byte that shows it. */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H
#include <stddef.h>
#include <stdint.h>

enum utf8_kind {
    UTF8_WHOLE,  /* a code point */
    UTF8_BROKEN, /* can never become one */
    UTF8_CUT     /* the text ends inside of what may be one */
};

struct utf8_step {
    enum utf8_kind kind;
    uint32_t code_point; /* of UTF8_WHOLE */
    size_t length; /* bytes; a broken or cut sequence counts up to its maximal subpart (Unicode 15, 3.9), at
                      least 1 */
};

/* What the n >= 1 bytes at s begin with. */
struct utf8_step utf8_next(const char *s, size_t n);

/* Length of the longest prefix of s that is well-formed UTF-8: n if all is. */
size_t utf8_valid_prefix(const char *s, size_t n);

/* A zero-terminated copy in which each maximal broken subpart is one U+FFFD, for the caller to mem_free; NULL
 * when memory is out. */
char *utf8_sanitize(const char *s, size_t n, size_t *out_n);
#endif
