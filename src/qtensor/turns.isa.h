/* Tiles that take turns: all tiles of a panel go over a stretch of inputs, which stays in a cache, then all over the next, which they
 * fetch meanwhile. So a panel comes from memory as one stream. If the first tile went over the whole panel, as it does where many tiles
 * hide what memory takes, the others would read it from the next cache, and of what they fetch in so short a time the processor drops
 * much. What is summed so far rests in memory between stretches: integers, or chains of floats, which is not rounded. */
#ifndef QTENSOR_TURNS_H
#define QTENSOR_TURNS_H
#include "qtensor/tile.isa.h"

struct turn {
    const uint8_t *codes; /* of the inputs [k, k1) */
    int k, k1;
    int row; /* the first row of the turn; 0 is the tile's first */
    struct ahead ahead;
    void *rows; /* the caller's: inputs and sums of all rows */
};
typedef void turn_fn(const struct turn *turn, int rows);

/* Calls turn for n rows in nearly equal blocks of at most rows_max, in each stretch of `inputs` inputs, whose codes are `bytes` bytes (a
 * multiple of 256). Two or three blocks fetch a little more than their share. */
ALWAYS_INLINE void for_turns(const struct tile *t, int n, int rows_max, int inputs, size_t bytes, void *rows,
                             turn_fn *turn)
{
    const int cols = t->w->cols, blocks = (n + rows_max - 1) / rows_max;
    const size_t step = blocks <= 3 ? 128 : 256 / (size_t)blocks;
    const uint8_t *codes = t->w->codes + (size_t)t->panel * t->w->panel_bytes;
    for (int k = 0; k < cols; k += inputs, codes += bytes) {
        struct turn next = {.codes = codes,
                            .k = k,
                            .k1 = k + inputs < cols ? k + inputs : cols,
                            .ahead = {.at = codes + bytes, .step = step, .is_share = true},
                            .rows = rows};
        for (int b = 0, end; b < blocks; b++, next.row = end, next.ahead.at += bytes / 256 * step) {
            end = block_begin(n, b + 1, blocks, 1);
            turn(&next, end - next.row);
        }
    }
}
#endif
