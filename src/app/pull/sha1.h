/* SHA-1 (FIPS 180-4): git names the contents of a file by it, as "blob SIZE\0" and the bytes. */
#ifndef PULL_SHA1_H
#define PULL_SHA1_H
#include <stddef.h>
#include <stdint.h>

#define SHA1_TEXT 41 /* 40 hexadecimal digits and a zero */

struct sha1 {
    uint32_t state[5];
    uint64_t bytes;
    uint8_t block[64];
};
void sha1_begin(struct sha1 *s);
void sha1_add(struct sha1 *s, const void *data, size_t n);
/* Ends it; returns text. */
const char *sha1_print(struct sha1 *s, char *text);
#endif
