/* Zero points of groups (affine), in as many bits as a code has: z + 2^(bits-1), stored from 0 on. A panel's 64 outputs have a block
 * of 8 * bits bytes for each group, [panels][groups][block]. With v = o / 16 and i = o % 16, output o is in
 *
 *     8 bits   byte 16v + i
 *     4 bits   byte 16(v / 2) + i, bits 4(v % 2) on
 *     2 bits   byte i, bits 2v on
 *     3 bits   the low two bits as of 2 bits; the high bit in byte 16 + i % 8, bit 2v + i / 8
 *
 * so that 16 outputs are one shift of 16 bytes. */
#ifndef QTENSOR_ZERO_POINTS_H
#define QTENSOR_ZERO_POINTS_H
#include "qtensor/qtensor.h"

/* Of formats whose zero points are stored so: bytes of a block. */
#define ZERO_BLOCK(bits) ((size_t)(PANEL / 8) * (size_t)(bits))
#define ZERO_BLOCK_MAX   PANEL

static inline bool scheme_zero_in_bits(struct scheme s)
{
    return format_facts[s.format].has_codes && s.gran == QG_GROUP && scheme_zero(s) == QZERO_POINT;
}

/* Where the field of vector v (16 outputs) lies: its first byte, and the shift in each of 16 bytes. */
static inline int zero_field(int v, int bits, int *shift)
{
    const int width = bits == 3 ? 2 : bits, fields = 8 / width;
    *shift = v % fields * width;
    return v / fields * 16;
}

/* The stored zero point of output o. */
static inline int zero_point_get(const uint8_t *block, int o, int bits)
{
    int shift, first = zero_field(o / 16, bits, &shift), i = o % 16;
    const int low = block[first + i] >> shift & ((1 << (bits == 3 ? 2 : bits)) - 1);
    return bits == 3 ? low | (block[16 + i % 8] >> (o / 16 * 2 + i / 8) & 1) << 2 : low;
}

/* Puts it into a block whose field is 0. */
static inline void zero_point_put(uint8_t *block, int o, int bits, int stored)
{
    int shift, first = zero_field(o / 16, bits, &shift), i = o % 16;
    const int low = bits == 3 ? stored & 3 : stored;
    block[first + i] = (uint8_t)(block[first + i] | low << shift);
    if (bits == 3) block[16 + i % 8] = (uint8_t)(block[16 + i % 8] | stored >> 2 << (o / 16 * 2 + i / 8));
}

/* The zero points of the 16 outputs of vector v. */
static inline void zero_points_16(const uint8_t *block, int v, int bits, int8_t z[16])
{
    int shift, first = zero_field(v, bits, &shift);
    const int mask = (1 << (bits == 3 ? 2 : bits)) - 1, middle = 1 << (bits - 1);
    uint8_t u[16];
    for (int i = 0; i < 16; i++) u[i] = (uint8_t)(block[first + i] >> shift & mask);
    for (int i = 0; bits == 3 && i < 8; i++) {
        u[i] = (uint8_t)(u[i] | (block[16 + i] >> 2 * v & 1) << 2);
        u[8 + i] = (uint8_t)(u[8 + i] | (block[16 + i] >> (2 * v + 1) & 1) << 2);
    }
    for (int i = 0; i < 16; i++) z[i] = (int8_t)(u[i] - middle);
}
#endif
