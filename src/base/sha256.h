/* SHA-256 (FIPS 180-4): how a file says which text it was calibrated on. */
#ifndef BASE_SHA256_H
#define BASE_SHA256_H
#include <stddef.h>
#include <stdint.h>

#define SHA256_TEXT 65 /* 64 hexadecimal digits and a zero */

struct sha256 {
    uint32_t state[8];
    uint64_t bytes;
    uint8_t block[64];
};
void sha256_begin(struct sha256 *s);
void sha256_add(struct sha256 *s, const void *data, size_t n);
/* Ends it; returns text. */
const char *sha256_print(struct sha256 *s, char text[SHA256_TEXT]);
#endif
