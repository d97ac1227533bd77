/* Chains of many rows for sets with few registers (AVX2). A stretch of a panel's inputs, as floats, stays
 * in the first-level cache while all rows of a block continue their chains over it. Between stretches a
 * chain rests in memory. That rounds nothing, so the bits are those of a chain in a register.
 *
 * With 32 registers one tile holds all 64 outputs of a panel and reads it as one stream. With 16 registers
 * it holds 16 outputs; a tile over all inputs would read the panel four times from the second-level cache. */
#ifndef QTENSOR_CHAIN_BLOCK_H
#define QTENSOR_CHAIN_BLOCK_H
#include "qtensor/tile.isa.h"

#if defined(GPT2Q_ISA_avx2)
#define CHAIN_BLOCKS 1
#else
#define CHAIN_BLOCKS 0
#endif
#define STRETCH    128 /* inputs: 8 KB of floats for 16 outputs */
#define BLOCK_ROWS 48

struct chain_block {
    _Alignas(64) float chains[BLOCK_ROWS][PANEL];
    float totals[BLOCK_ROWS][PANEL]; /* for formats with groups */
    float stretch[STRETCH][PANEL];   /* for formats that are not float */
};

/* Keeps it in a register. gcc would let each instruction fetch it again. */
ALWAYS_INLINE vf vf_keep(vf a)
{
#if CHAIN_BLOCKS
    __asm__("" : "+x"(a.lo), "+x"(a.hi));
#endif
    return a;
}

ALWAYS_INLINE void chain_tile(const float *w, const float *x, size_t stride, int inputs,
                              float (*chains)[PANEL], struct ahead *ahead, const int rows, const int vectors)
{
    const uint8_t *fetched = ahead->at;
    for (int v0 = 0; v0 < VECTORS; v0 += vectors) {
        const float *at = w + 16 * v0;
        vf acc[TILE_ROWS][VECTORS];
        for (int r = 0; r < rows; r++)
            for (int v = 0; v < vectors; v++) acc[r][v] = vf_load(chains[r] + 16 * (v0 + v));
        for (int k = 0; k < inputs; k++, at += PANEL) {
            vf wk[VECTORS];
            for (int v = 0; v < vectors; v++) wk[v] = vf_keep(vf_load(at + 16 * v));
            prefetch_far(fetched);
            fetched += ahead->step;
            for (int r = 0; r < rows; r++) {
                vf xk = vf_set1(x[(size_t)r * stride + (size_t)k]);
                for (int v = 0; v < vectors; v++) acc[r][v] = vf_fma(wk[v], xk, acc[r][v]);
            }
        }
        for (int r = 0; r < rows; r++)
            for (int v = 0; v < vectors; v++) vf_store(chains[r] + 16 * (v0 + v), acc[r][v]);
    }
    ahead->at = fetched;
}

/* Functions of their own, since they need all registers. */
#define CHAIN_TILE(r)                                                                                        \
    static __attribute__((noinline, unused)) void chain_tile_##r(const float *w, const float *x,             \
                                                                 size_t stride, int inputs,                  \
                                                                 float(*chains)[PANEL], struct ahead *ahead) \
    {                                                                                                        \
        chain_tile(w, x, stride, inputs, chains, ahead, r, TILE_VECTORS(r));                                 \
    }
#if CHAIN_BLOCKS
CHAIN_TILE(1)
CHAIN_TILE(2)
CHAIN_TILE(3)
CHAIN_TILE(4)
CHAIN_TILE(5)
CHAIN_TILE(6)

/* Continues the chains of n rows over the inputs [k0, k1). Their weights are w [k1 - k0][64]; they come
 * from `bytes` bytes at `codes`. */
ALWAYS_INLINE void chain_stretch(const struct tile *t, const float *w, const uint8_t *codes, size_t bytes,
                                 int k0, int k1, int n, struct chain_block *b)
{
    static void (*const by_rows[])(const float *, const float *, size_t, int, float(*)[PANEL],
                                   struct ahead *) = {NULL,         chain_tile_1, chain_tile_2, chain_tile_3,
                                                      chain_tile_4, chain_tile_5, chain_tile_6};
    const int tiles = (n + TILE_ROWS - 1) / TILE_ROWS;
    /* Fetches the next stretch meanwhile, a share with each input of each tile. */
    struct ahead ahead = {.at = codes + bytes, .step = bytes / (size_t)(k1 - k0) / (size_t)(4 * tiles)};
    for (int i = 0; i < tiles; i++) {
        int r0 = n * i / tiles, r1 = n * (i + 1) / tiles;
        size_t stride = t->x->scaled ? (size_t)t->x->cols : t->x->stride;
        by_rows[r1 - r0](w, tile_input(t, r0) + k0, stride, k1 - k0, b->chains + r0, &ahead);
    }
}

ALWAYS_INLINE void store_block(const struct tile *t, float (*sums)[PANEL], int n)
{
    for (int r = 0; r < n; r++)
        for (int v = 0; v < VECTORS; v++) store_outputs(t, r, v, vf_load(sums[r] + 16 * v));
}
#endif

/* Calls for_tiles with tile. If more rows than a tile's are chained in blocks, calls it with block. */
#if CHAIN_BLOCKS
#define for_chains(w, x, y, y_stride, p0, p1, rows_max, tile, block)                                         \
    ((x)->n > (rows_max) ? for_tiles(w, x, y, y_stride, p0, p1, BLOCK_ROWS, 1, block)                        \
                         : for_tiles(w, x, y, y_stride, p0, p1, rows_max, 1, tile))
#else
#define for_chains(w, x, y, y_stride, p0, p1, rows_max, tile, block)                                         \
    for_tiles(w, x, y, y_stride, p0, p1, rows_max, 1, tile)
#endif
#endif
