/* utf8proc_category is a table look-up without state, so only ASCII has a table here, and nothing is built
 * at start. */
#include "tokenizer/pretokenizer.h"
#include "base/utf8.h"
#include <utf8proc.h>

#define O CLASS_OTHER
#define L CLASS_LETTER
#define N CLASS_NUMBER
#define S CLASS_SPACE
/* clang-format off */
static const unsigned char ascii_class[128] = {
    O, O, O, O, O, O, O, O, O, S, S, S, S, S, O, O, O, O, O, O, O, O, O, O, O, O, O, O, O, O, O, O,
    S, O, O, O, O, O, O, O, O, O, O, O, O, O, O, O, N, N, N, N, N, N, N, N, N, N, O, O, O, O, O, O,
    O, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, O, O, O, O, O,
    O, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, O, O, O, O, O,
};
/* clang-format on */
#undef O
#undef L
#undef N
#undef S

enum char_class pretokenizer_class(uint32_t code_point)
{
    if (code_point < 128) return (enum char_class)ascii_class[code_point];
    switch (utf8proc_category((utf8proc_int32_t)code_point)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO: return CLASS_LETTER;
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO: return CLASS_NUMBER;
    case UTF8PROC_CATEGORY_ZS:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP: return CLASS_SPACE;
    default:
        return code_point == 0x85 ? CLASS_SPACE
                                  : CLASS_OTHER; /* NEXT LINE is a control that is White_Space */
    }
}

bool pretokenizer_is_word(uint32_t c)
{
    switch (utf8proc_category((utf8proc_int32_t)c)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_PC: return true;
    default: break;
    }
    /* Join_Control; symbols that are Alphabetic: circled, squared and parenthesized letters */
    return c == 0x200C || c == 0x200D || (c >= 0x24B6 && c <= 0x24E9) || (c >= 0x1F130 && c <= 0x1F149) ||
           (c >= 0x1F150 && c <= 0x1F169) || (c >= 0x1F170 && c <= 0x1F189);
}

/* Class and length of the first character. */
static inline enum char_class class_at(const char *s, size_t n, size_t *length)
{
    unsigned char first = (unsigned char)*s;
    *length = 1;
    if (first < 128) return (enum char_class)ascii_class[first];
    struct utf8_step step = utf8_next(s, n);
    if (step.kind != UTF8_WHOLE) return CLASS_OTHER;
    *length = step.length;
    return pretokenizer_class(step.code_point);
}

/* Length of the run of characters of one class that begins at `from`, up to the end of the text. */
static size_t run_end(const char *text, size_t from, size_t n, enum char_class class)
{
    size_t i = from, length;
    while (i < n && class_at(text + i, n - i, &length) == class) i += length;
    return i;
}

/* 's 't 'm 'd 're 've 'll; lower case only, as published. */
static size_t contraction(const char *text, size_t n)
{
    if (n < 2) return 0;
    char a = text[1], b = n > 2 ? text[2] : '\0';
    if (a == 's' || a == 't' || a == 'm' || a == 'd') return 2;
    if ((a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l')) return 3;
    return 0;
}

/* A run of white space leaves its last character to the text that follows, unless the run is a single
 * character. */
static size_t space_run(const char *text, size_t n)
{
    size_t i = 0, last = 0, length;
    while (i < n && class_at(text + i, n - i, &length) == CLASS_SPACE) {
        last = i;
        i += length;
    }
    return i == n || last == 0 ? i : last;
}

size_t pretokenizer_next(const char *text, size_t n)
{
    size_t length;
    if (*text == '\'') {
        length = contraction(text, n);
        if (length) return length;
    }
    enum char_class class = class_at(text, n, &length);
    if (class != CLASS_SPACE) return run_end(text, length, n, class);
    if (*text != ' ' || n == 1) return space_run(text, n);
    class = class_at(text + 1, n - 1, &length);
    return class == CLASS_SPACE ? space_run(text, n) : run_end(text, 1 + length, n, class);
}
