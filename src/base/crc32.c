/* Eight bytes a step, each through a table of its own ("slicing by 8"). */
#include "base/crc32.h"

void crc32_begin(struct crc32 *c)
{
    c->state = 0xFFFFFFFFu;
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t r = i;
        for (int bit = 0; bit < 8; bit++) r = r & 1u ? r >> 1 ^ 0xEDB88320u : r >> 1;
        c->table[0][i] = r;
    }
    for (uint32_t i = 0; i < 256; i++) {
        for (int j = 1; j < 8; j++) {
            uint32_t r = c->table[j - 1][i];
            c->table[j][i] = r >> 8 ^ c->table[0][r & 0xFFu];
        }
    }
}

void crc32_add(struct crc32 *c, const void *data, size_t n)
{
    const uint8_t *p = data;
    uint32_t state = c->state;
    for (; n >= 8; p += 8, n -= 8) {
        uint32_t low =
            state ^ ((uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24);
        state = c->table[7][low & 0xFFu] ^ c->table[6][low >> 8 & 0xFFu] ^ c->table[5][low >> 16 & 0xFFu] ^
                c->table[4][low >> 24] ^ c->table[3][p[4]] ^ c->table[2][p[5]] ^ c->table[1][p[6]] ^
                c->table[0][p[7]];
    }
    for (; n > 0; p++, n--) state = state >> 8 ^ c->table[0][(state ^ *p) & 0xFFu];
    c->state = state;
}

uint32_t crc32_value(const struct crc32 *c) { return ~c->state; }
