/* The product with weights held as floats of some width. f32, f16, bf16 and fp8_*.isa.c instantiate it:
 *
 *     y[o] = the chain fma(w[k][o], x[k], acc) over k = 0..cols-1, from +0
 *
 * The including file defines FLOAT_ELEMENT, the type in memory; FLOAT_LOAD(p), 16 of them as vf; and
 * FLOATS_IN_PLACE(p): p if they are floats already, else NULL. Where outputs have scales, a weight is FLOAT_UNIT * s[o] * w[k][o],
 * and the chain is multiplied by the float FLOAT_UNIT * s[o]. */
#ifndef QTENSOR_FLOAT_MATMUL_H
#define QTENSOR_FLOAT_MATMUL_H
#include "qtensor/chain_block.isa.h"
#include "qtensor/turns.isa.h"

/* Vector v of the outputs' chains, as it is stored. */
ALWAYS_INLINE vf float_finish(const struct tile *t, int v, vf chain)
{
#ifdef FLOAT_UNIT
    const float *scale = (const float *)t->w->scale + (size_t)t->panel * PANEL + 16 * (size_t)v;
    return vf_mul(vf_mul(vf_load(scale), vf_set1(FLOAT_UNIT)), chain);
#else
    (void)t, (void)v;
    return chain;
#endif
}

/* Goes on with the chains over the inputs [k, k1), whose weights begin at w. */
ALWAYS_INLINE void float_chains(vf acc[TILE_ROWS][VECTORS], const FLOAT_ELEMENT *w, const float *const *x,
                                int k, int k1, struct ahead *ahead, const int rows, const int vectors)
{
    for (; k < k1; k++, w += PANEL) {
        vf wk[VECTORS];
        for (int v = 0; v < vectors; v++) wk[v] = FLOAT_LOAD(w + 16 * v);
        if (k % (4 / (int)sizeof *w) == 0) fetch_ahead(ahead); /* once for 256 bytes */
        for (int r = 0; r < rows; r++) {
            vf xk = vf_set1(x[r][k]);
            for (int v = 0; v < vectors; v++) acc[r][v] = vf_fma(wk[v], xk, acc[r][v]);
        }
    }
}

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
        float_chains(acc, w, x, 0, t->w->cols, &ahead, rows, vectors);
        for (int r = 0; r < rows; r++)
            for (int v = 0; v < vectors; v++) store_outputs(t, r, v0 + v, float_finish(t, v0 + v, acc[r][v]));
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
    for (int r = 0; r < n; r++)
        for (int v = 0; v < VECTORS; v++)
            vf_store(b.chains[r] + 16 * v, float_finish(t, v, vf_load(b.chains[r] + 16 * v)));
    store_block(t, b.chains, n);
}
#endif

#if VF_REGISTERS >= 32
#define FLOAT_TURNS   48          /* rows that take turns (turns.isa.h), at most */
#define FLOAT_STRETCH (128 << 10) /* bytes: a stretch and the next one are in the second-level cache */

struct float_rows {
    const float *x[FLOAT_TURNS];
    _Alignas(64) float chains[FLOAT_TURNS][PANEL];
};

/* If the panel is too large for the second-level cache. */
ALWAYS_INLINE bool float_takes_turns(const struct qtensor *w, const struct qinput *x)
{
    return w->panel_bytes > AHEAD_PANEL_MOST && x->end - x->begin > TILE_ROWS;
}

ALWAYS_INLINE void float_turn_of(const struct turn *turn, const int rows)
{
    struct float_rows *of = turn->rows;
    float(*chains)[PANEL] = of->chains + turn->row;
    struct ahead ahead = turn->ahead;
    vf acc[TILE_ROWS][VECTORS];
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < VECTORS; v++) acc[r][v] = vf_load(chains[r] + 16 * v);
    float_chains(acc, (const FLOAT_ELEMENT *)turn->codes, of->x + turn->row, turn->k, turn->k1, &ahead, rows,
                 VECTORS);
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < VECTORS; v++) vf_store(chains[r] + 16 * v, acc[r][v]);
}
static __attribute__((noinline)) void float_turn(const struct turn *turn, int rows)
{
    TILE_DISPATCH(rows, float_turn_of(turn, R))
}

/* One panel times n rows. */
static void float_turns(const struct tile *given, int n)
{
    struct tile_copy copy;
    const struct tile *t = tile_copied(&copy, given);
    struct float_rows rows;
    memset(rows.chains, 0, (size_t)n * sizeof rows.chains[0]);
    for (int r = 0; r < n; r++) rows.x[r] = tile_input(t, r);
    for_turns(t, n, TILE_ROWS, FLOAT_STRETCH / PANEL / (int)sizeof(FLOAT_ELEMENT), FLOAT_STRETCH, &rows,
              float_turn);
    for (int r = 0; r < n; r++)
        for (int v = 0; v < VECTORS; v++)
            store_outputs(t, r, v, float_finish(t, v, vf_load(rows.chains[r] + 16 * v)));
}
#endif

static void float_matmul(const struct qtensor *w, const struct qinput *x, float *y, size_t y_stride, int p0,
                         int p1)
{
#if VF_REGISTERS >= 32 /* sets with fewer have chain_block.isa.h */
    if (float_takes_turns(w, x)) {
        for_tiles(w, x, y, y_stride, p0, p1, FLOAT_TURNS, 1, float_turns);
        return;
    }
#endif
    for_chains(w, x, y, y_stride, p0, p1, TILE_ROWS, float_tiles, float_block);
}
#endif
