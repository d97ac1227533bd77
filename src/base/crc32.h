/* CRC-32 as in zlib, PNG and Ethernet (polynomial 0xEDB88320, reflected), so that any tool can verify it. */
#ifndef BASE_CRC32_H
#define BASE_CRC32_H
#include <stddef.h>
#include <stdint.h>

#define CRC32_STEP 16
struct crc32 {
    uint32_t state;
    uint32_t table[CRC32_STEP][256]; /* table[j]: a byte followed by j zero bytes */
};
void crc32_begin(struct crc32 *c);
void crc32_add(struct crc32 *c, const void *data, size_t n);
uint32_t crc32_value(const struct crc32 *c);
#endif
