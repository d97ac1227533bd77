#include "app/pull/sha1.h"
#include <stdio.h>
#include <string.h>

static uint32_t rotate(uint32_t x, int n) { return x << n | x >> (32 - n); }

static void add_block(struct sha1 *s, const uint8_t *p)
{
    uint32_t w[80], a = s->state[0], b = s->state[1], c = s->state[2], d = s->state[3], e = s->state[4];
    for (int i = 0; i < 16; i++, p += 4)
        w[i] = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
    for (int i = 16; i < 80; i++) w[i] = rotate(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
    for (int i = 0; i < 80; i++) {
        uint32_t f, k;
        if (i < 20)
            f = (b & c) | (~b & d), k = 0x5a827999;
        else if (i < 40)
            f = b ^ c ^ d, k = 0x6ed9eba1;
        else if (i < 60)
            f = (b & c) | (b & d) | (c & d), k = 0x8f1bbcdc;
        else
            f = b ^ c ^ d, k = 0xca62c1d6;
        uint32_t next = rotate(a, 5) + f + e + k + w[i];
        e = d, d = c, c = rotate(b, 30), b = a, a = next;
    }
    s->state[0] += a, s->state[1] += b, s->state[2] += c, s->state[3] += d, s->state[4] += e;
}

void sha1_begin(struct sha1 *s)
{
    *s = (struct sha1){.state = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0}};
}

void sha1_add(struct sha1 *s, const void *data, size_t n)
{
    const uint8_t *p = data;
    while (n) {
        size_t used = (size_t)(s->bytes % 64), part = 64 - used < n ? 64 - used : n;
        memcpy(s->block + used, p, part);
        s->bytes += part;
        p += part;
        n -= part;
        if (used + part == 64) add_block(s, s->block);
    }
}

const char *sha1_print(struct sha1 *s, char *text)
{
    uint64_t bits = s->bytes * 8;
    uint8_t length[8];
    sha1_add(s, "\x80", 1);
    while (s->bytes % 64 != 56) sha1_add(s, "", 1);
    for (int i = 0; i < 8; i++) length[i] = (uint8_t)(bits >> (56 - 8 * i));
    sha1_add(s, length, 8);
    for (int i = 0; i < 5; i++)
        snprintf(text + 8 * i, SHA1_TEXT - 8 * (size_t)i, "%08x", (unsigned)s->state[i]);
    return text;
}
