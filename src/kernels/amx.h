/* The register tiles of AMX: eight of 16 rows by 64 bytes, tmm0 to tmm7. A thread begins with
 * amx_configure, which clears them, and ends with amx_release.
 *
 *     AMX_ZERO(c)               tile c = 0
 *     AMX_LOAD(c, p, stride)    its rows from p, p + stride, ...; as many, and as wide, as configured
 *     AMX_STORE(c, p, stride)   and back
 *     AMX_DOT(c, a, b)          int32 c [rows][16] += int8 a [rows][4k] times uint8 b [k][16][4]: for each
 *                               of c's 16 outputs the products of a row's inputs 4j to 4j + 3 with row j of b;
 *                               exact
 *     AMX_DOT_SIGNED(c, a, b)   the same for int8 b
 *
 * The words are inline assembly with the numbers of the tiles in the text. gcc 12's intrinsics do not say
 * that a load reads memory, so the compiler may move it before the stores that filled that memory. */
#ifndef KERNELS_AMX_H
#define KERNELS_AMX_H
#include "kernels/simd.h"
#include <stdbool.h>

#define AMX_ROWS   16 /* rows of a tile at most; also the outputs of a sum's row */
#define AMX_INPUTS 64 /* bytes of a tile's row at most */

#define AMX_ZERO(c) __asm__ volatile("tilezero %%tmm" #c ::)
#define AMX_LOAD(c, p, stride)                                                                               \
    __asm__ volatile("tileloadd (%0,%1,1), %%tmm" #c ::"r"(p), "r"((size_t)(stride)) : "memory")
#define AMX_STORE(c, p, stride)                                                                              \
    __asm__ volatile("tilestored %%tmm" #c ", (%0,%1,1)" ::"r"(p), "r"((size_t)(stride)) : "memory")
#define AMX_DOT(c, a, b) __asm__ volatile("tdpbsud %%tmm" #b ", %%tmm" #a ", %%tmm" #c ::)

#define AMX_DOT_SIGNED(c, a, b) __asm__ volatile("tdpbssd %%tmm" #b ", %%tmm" #a ", %%tmm" #c ::)

/* Configures sums in tmm0 to tmm3; the first two have rows0 rows, the others rows1. Activations of
 * `inputs` bytes are in tmm4 (rows0) and, with `pair`, in tmm5 (rows1). Weights of as many inputs are in
 * the others. */
ALWAYS_INLINE void amx_configure(int rows0, int rows1, int inputs, bool pair)
{
    struct {
        uint8_t palette, start_row, reserved[14];
        uint16_t bytes[16];
        uint8_t rows[16];
    } config = {.palette = 1};
    for (int i = 0; i < 8; i++) {
        const bool sums = i < 4, x = i == 4 || (i == 5 && pair);
        config.bytes[i] = (uint16_t)(x ? inputs : 64);
        config.rows[i] = (uint8_t)(sums ? (i < 2 ? rows0 : rows1) : !x ? inputs / 4 : i == 4 ? rows0 : rows1);
    }
    __asm__ volatile("ldtilecfg %0" ::"m"(config));
}

ALWAYS_INLINE void amx_release(void) { __asm__ volatile("tilerelease" ::); }
#endif
