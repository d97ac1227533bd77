/* Weights as int8 codes and float activations: the products of integer_matmul.isa.h. */
#include "qtensor/formats_table.h"
#include "qtensor/integer_matmul.isa.h"

static void i8_tile(const struct tile *t, int rows)
{
    TILE_DISPATCH(rows, integer_tile(t, 8, R, INTEGER_VECTORS(8, R)))
}

#if CHAIN_BLOCKS
static void i8_block(const struct tile *t, int rows) { integer_block(t, rows, 8); }
#endif

void ISA(matmul_i8)(const struct qtensor *w, const struct qinput *x, float *y, size_t y_stride, int p0,
                    int p1)
{
    for_chains(w, x, y, y_stride, p0, p1, INTEGER_ROWS, i8_tile, i8_block);
}
