/* The layout of activation codes for AMX's register tiles: blocks of 16 rows by 64 inputs. A tile is 1,024
 * consecutive bytes, [row][64]. The tiles of low bytes come after all tiles of high bytes. If one tile has
 * room for all tokens, the rows of low bytes follow those of high bytes in the same tiles. */
#ifndef QTENSOR_AMX_INPUT_H
#define QTENSOR_AMX_INPUT_H
#include "qtensor/qinput.h"

#define AMX_TILE_BYTES 1024

/* The inputs that a tile takes: as many as its row holds, or such a part of them that a group is a whole
 * number of parts. 0 if too few would be left. */
static inline int amx_inputs(int group)
{
    return group % 64 == 0 ? 64 : group % 32 == 0 ? 32 : group % 16 == 0 ? 16 : 0;
}

/* Whether tiles are faster; then `prepare` makes codes for them. A product with one row only waits for its
 * weights. */
static inline bool amx_takes(const struct qtensor *w, const struct qinput *x)
{
    return x->n > 1 && amx_inputs(w->cols / qtensor_groups(w)) > 0;
}

static inline bool amx_few(const struct qinput *x)
{
    return x->n <= (x->kind == ACTIVATIONS_I16 ? QINPUT_ROWS / 2 : QINPUT_ROWS);
}

/* The codes of a row's first 64 inputs; the next 64 follow AMX_TILE_BYTES later. */
static inline int8_t *amx_codes(const struct qinput *x, int row, bool low)
{
    const size_t bytes = ((size_t)x->cols + 63) / 64 * 64 * QINPUT_ROWS; /* bytes of 16 rows */
    const size_t tiles = ((size_t)x->n + QINPUT_ROWS - 1) / QINPUT_ROWS;
    if (low && amx_few(x))
        row += x->n;
    else if (low)
        row += (int)tiles * QINPUT_ROWS;
    return x->hi + (size_t)(row / QINPUT_ROWS) * bytes + (size_t)(row % QINPUT_ROWS) * 64;
}
#endif
