/* Sixteen bytes a step, each through a table of its own ("slicing by 16"). */
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
        for (int j = 1; j < CRC32_STEP; j++) {
            uint32_t r = c->table[j - 1][i];
            c->table[j][i] = r >> 8 ^ c->table[0][r & 0xFFu];
        }
    }
}

void crc32_add(struct crc32 *c, const void *data, size_t n)
{
    const uint8_t *p = data;
    uint32_t state = c->state;
    for (; n >= CRC32_STEP; p += CRC32_STEP, n -= CRC32_STEP) {
        uint32_t next = 0;
        for (int i = 0; i < 4; i++) next ^= c->table[CRC32_STEP - 1 - i][p[i] ^ (state >> 8 * i & 0xFFu)];
        for (int i = 4; i < CRC32_STEP; i++) next ^= c->table[CRC32_STEP - 1 - i][p[i]];
        state = next;
    }
    for (; n > 0; p++, n--) state = state >> 8 ^ c->table[0][(state ^ *p) & 0xFFu];
    c->state = state;
}

uint32_t crc32_value(const struct crc32 *c) { return ~c->state; }
