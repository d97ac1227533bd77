/* The product with weights held as floats of some width. f32, f16 and bf16.isa.c instantiate it:
 *
 *     y[o] = the chain fma(w[k][o], x[k], acc) over k = 0..cols-1, from +0
 *
 * The including file defines FLOAT_ELEMENT, the type in memory; FLOAT_LOAD(p), 16 of them as vf; and
 * FLOATS_IN_PLACE(p): p if they are floats already, else NULL. */
#ifndef QTENSOR_FLOAT_MATMUL_H
#define QTENSOR_FLOAT_MATMUL_H
#include "qtensor/chain_block.isa.h"

ALWAYS_INLINE void float_tile(const struct tile *t, const int rows, const int vectors)
{
    const float *x[TILE_ROWS];
    for (int r = 0; r < rows; r++) x[r] = tile_input(t, r);
    for (int v0 = 0; v0 < VECTORS; v0 += vectors) {
        const FLOAT_ELEMENT *w =
            (const FLOAT_ELEMENT *)(t->w->codes + (size_t)t->panel * t->w->panel_bytes) + 16 * v0;
        struct ahead ahead = t->ahead;
        vf acc[TILE_ROWS][VECTORS];
        for (int r = 0; r < rows; r++)
            for (int v = 0; v < vectors; v++) acc[r][v] = vf_zero();
        for (int k = 0; k < t->w->cols; k++, w += PANEL) {
            vf wk[VECTORS];
            for (int v = 0; v < vectors; v++) wk[v] = FLOAT_LOAD(w + 16 * v);
            if (sizeof *w == 4 || k % 2 == 0) fetch_ahead(&ahead); /* once for 256 bytes */
            for (int r = 0; r < rows; r++) {
                vf xk = vf_set1(x[r][k]);
                for (int v = 0; v < vectors; v++) acc[r][v] = vf_fma(wk[v], xk, acc[r][v]);
            }
        }
        for (int r = 0; r < rows; r++)
            for (int v = 0; v < vectors; v++) store_outputs(t, r, v0 + v, acc[r][v]);
    }
}

static void float_tiles(const struct tile *t, int rows)
{
    TILE_DISPATCH(rows, float_tile(t, R, TILE_VECTORS(R)))
}

#if CHAIN_BLOCKS
static void float_block(const struct tile *t, int n)
{
    struct chain_block b;
    const FLOAT_ELEMENT *panel = (const FLOAT_ELEMENT *)(t->w->codes + (size_t)t->panel * t->w->panel_bytes);
    memset(b.chains, 0, (size_t)n * sizeof b.chains[0]);
    for (int k0 = 0, k1; k0 < t->w->cols; k0 = k1) {
        k1 = k0 + STRETCH < t->w->cols ? k0 + STRETCH : t->w->cols;
        const FLOAT_ELEMENT *from = panel + (size_t)k0 * PANEL;
        const size_t elements = (size_t)(k1 - k0) * PANEL;
        const float *floats = FLOATS_IN_PLACE(from);
        if (!floats) {
            floats = b.stretch[0];
            for (size_t i = 0; i < elements; i += 16) vf_store(b.stretch[0] + i, FLOAT_LOAD(from + i));
        }
        chain_stretch(t, floats, (const uint8_t *)from, elements * sizeof *from, k0, k1, n, &b);
    }
    store_block(t, b.chains, n);
}
#endif

static void float_matmul(const struct qtensor *w, const struct qinput *x, float *y, size_t y_stride, int p0,
                         int p1)
{
    for_chains(w, x, y, y_stride, p0, p1, TILE_ROWS, float_tiles, float_block);
}
#endif
