/* What the products of all formats share: the walk over panels and blocks of rows, and the store of a
 * panel's outputs.
 *
 * A tile is one panel by 1 to TILE_ROWS rows of x. Each of its outputs is one chain over all inputs, in
 * registers. Which rows share a tile changes no bit. Panels are the outer loop, so a panel's codes come
 * from memory once and then from the cache. */
#ifndef QTENSOR_TILE_H
#define QTENSOR_TILE_H
#include "kernels/simd.h"
#include "qtensor/qinput.h"

#define VECTORS (PANEL / 16)
/* Vectors of outputs held together. With 32 registers they are the whole panel's; with 16, as many as
 * leave room for the weights. */
/* scalar has no registers to block for, and the definition stays small */
#if defined(GPT2Q_ISA_scalar)
#define TILE_ROWS          2
#define TILE_VECTORS(rows) 1
#elif defined(GPT2Q_ISA_avx2)
#define TILE_ROWS          6
#define TILE_VECTORS(rows) ((rows) == 1 ? 4 : (rows) <= 3 ? 2 : 1)
#else
#define TILE_ROWS          6
#define TILE_VECTORS(rows) VECTORS
#endif

/* What a tile fetches meanwhile, some lines with each 256 bytes of its own codes. Where memory is slower
 * than the sums, it should never rest.
 *
 * If a panel has only one tile, its codes come from memory. The tile fetches what it needs a little later:
 * far enough ahead for memory, near enough to stay in the first-level cache. If several tiles share a
 * panel, the first would wait for memory, and memory for the others. So each fetches its share of the next
 * panel into the second level. */
struct ahead {
    const uint8_t *at;
    size_t step;
    bool is_share;
};
#define AHEAD_BYTES 6144
/* the second-level cache should hold a panel and the next one */
#define AHEAD_PANEL_MOST ((size_t)256 << 10)

struct tile {
    const struct qtensor *w;
    const struct qinput *x;
    int panel, row; /* the first row */
    int outputs;    /* of the panel, 1..64 */
    int groups,
        /* the number of groups, and the inputs of one; kept here, because a division takes as long as ten
         * products */
        group;
    float *y; /* the panel's first output of the first row */
    size_t y_stride;
    struct ahead ahead;
};

typedef void tile_fn(const struct tile *t, int rows);

/* A tile with copies of what it points to; its kernel lets none of them escape. Without the copies each
 * store of a vector, which may alias anything, would make the kernel read all of it again. */
struct tile_copy {
    struct tile t;
    struct qtensor w;
    struct qinput x;
};
ALWAYS_INLINE const struct tile *tile_copied(struct tile_copy *to, const struct tile *t)
{
    *to = (struct tile_copy){.t = *t, .w = *t->w, .x = *t->x};
    to->t.w = &to->w;
    to->t.x = &to->x;
    return &to->t;
}

/* The panel that the thread most likely takes next: the one after this. Block b's share begins b * *share bytes later than that of
 * the first. */
static inline struct ahead ahead_of(const struct qtensor *w, int panel, int blocks, size_t *share)
{
    const uint8_t *codes = w->codes + (size_t)panel * w->panel_bytes;
    *share = 0;
    if (blocks == 1 || w->panel_bytes > AHEAD_PANEL_MOST || panel + 1 == qtensor_panels(w))
        return (struct ahead){.at = codes + AHEAD_BYTES, .step = 256};
    *share = w->panel_bytes / (size_t)blocks;
    return (struct ahead){.at = codes + w->panel_bytes, .step = 256 / (size_t)blocks, .is_share = true};
}

ALWAYS_INLINE void fetch_ahead(struct ahead *a)
{
    if (a->is_share) {
        prefetch_far(a->at);
        prefetch_far(a->at + 64); /* a step has at most 128 bytes */
    } else {
        for (int line = 0; line < 256; line += 64) prefetch(a->at + line);
    }
    a->at += a->step;
}

ALWAYS_INLINE struct tile tile_at(const struct qtensor *w, const struct qinput *x, float *y, size_t y_stride,
                                  int panel, int row)
{
    int left = w->rows - panel * PANEL;
    return (struct tile){.w = w,
                         .x = x,
                         .panel = panel,
                         .row = row,
                         .outputs = left < PANEL ? left : PANEL,
                         .groups = qtensor_groups(w),
                         .group = w->scheme.gran == QG_GROUP ? w->scheme.group : w->cols,
                         .y = y,
                         .y_stride = y_stride};
}

/* The first row of block b, if n rows are cut into `blocks` nearly equal blocks; a multiple of step. */
ALWAYS_INLINE int block_begin(int n, int b, int blocks, int step)
{
    int row = ((int)((int64_t)n * b / blocks) + step - 1) / step * step;
    return row < n ? row : n;
}

/* Calls tile for the rows that x asks for and the panels [p0, p1), in nearly equal blocks of at most
 * rows_max rows (a multiple of rows_step) that begin at multiples of rows_step. */
ALWAYS_INLINE void for_tiles(const struct qtensor *w, const struct qinput *x, float *y, size_t y_stride,
                             int p0, int p1, int rows_max, int rows_step, tile_fn *tile)
{
    const int rows = x->end - x->begin, blocks = (rows + rows_max - 1) / rows_max;
    for (int p = p0; p < p1; p++, y += PANEL) {
        size_t share;
        struct tile t = tile_at(w, x, y, y_stride, p, x->begin);
        t.ahead = ahead_of(w, p, blocks, &share);
        for (int b = 0, n; b < blocks; b++, t.row += n, t.y += (size_t)n * y_stride, t.ahead.at += share) {
            n = x->begin + block_begin(rows, b + 1, blocks, rows_step) - t.row;
            tile(&t, n);
        }
    }
}

/* Stores vector v of a row of the tile. Nothing beyond the outputs is touched. */
ALWAYS_INLINE void store_outputs(const struct tile *t, int row, int v, vf a)
{
    float *y = t->y + (size_t)row * t->y_stride + 16 * v;
    int left = t->outputs - 16 * v;
    if (left >= 16)
        vf_store(y, a);
    else if (left > 0)
        vf_store_n(y, a, left);
}

ALWAYS_INLINE const float *tile_input(const struct tile *t, int row)
{
    size_t r = (size_t)(t->row + row);
    return t->x->scaled ? t->x->scaled + r * (size_t)t->x->cols : t->x->f32 + r * t->x->stride;
}

/* A switch that makes the number of rows a constant: TILE_DISPATCH(rows, R, call using R). */
#define TILE_CASE(r, call)                                                                                   \
    case r: {                                                                                                \
        enum { R = r };                                                                                      \
        call;                                                                                                \
        break;                                                                                               \
    }
#if TILE_ROWS == 2
#define TILE_CASES_FROM_3(call)
#else
#define TILE_CASES_FROM_3(call) TILE_CASE(3, call) TILE_CASE(4, call) TILE_CASE(5, call) TILE_CASE(6, call)
#endif
#define TILE_DISPATCH(rows, call)                                                                            \
    switch (rows) {                                                                                          \
        TILE_CASE(1, call)                                                                                   \
        TILE_CASE(2, call)                                                                                   \
        TILE_CASES_FROM_3(call)                                                                              \
    default: break;                                                                                          \
    }
#endif
