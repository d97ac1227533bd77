/* Vocabularies made by tests: the 256 bytes have the ids 0..255 in order, further tokens follow. */
#ifndef TESTS_TINY_VOCABULARY_H
#define TESTS_TINY_VOCABULARY_H
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* How the byte alphabet spells a byte, as JSON text: itself or an escape. */
static inline int tiny_spell(char *out, unsigned byte)
{
    unsigned c = byte;
    if (byte <= 32)
        c = 0x100 + byte;
    else if (byte >= 127 && byte <= 160)
        c = 0x121 + byte - 127;
    else if (byte == 173)
        c = 0x143;
    if (c < 127 && c != '"' && c != '\\') return sprintf(out, "%c", (int)c);
    return sprintf(out, "\\u%04X", c);
}

/* "{...}" without the closing brace, into room for 4096 bytes. */
static inline size_t tiny_vocab_open(char *out)
{
    size_t n = (size_t)sprintf(out, "{");
    for (unsigned b = 0; b < 256; b++) {
        n += (size_t)sprintf(out + n, "%s\"", b ? "," : "");
        n += (size_t)tiny_spell(out + n, b);
        n += (size_t)sprintf(out + n, "\":%u", b);
    }
    return n;
}
#endif
