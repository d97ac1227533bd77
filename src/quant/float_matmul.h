/* The product with weights held as floats of some width, instantiated by f32, f16 and bf16.isa.c:
 *
 *     y[o] = the chain fma(w[k][o], x[k], acc) over k = 0..cols-1, from +0
 *
 * The including file defines FLOAT_ELEMENT, the type in memory, and FLOAT_LOAD(p), 16 of them as vf. */
#ifndef QUANT_FLOAT_MATMUL_H
#define QUANT_FLOAT_MATMUL_H
#include "quant/tile.h"

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
#endif
