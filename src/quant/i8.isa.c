/* Weights as int8 codes: the products of integer_matmul.h (float activations) and code_matmul.h (integer
 * activations). */
#include "quant/code_matmul.h"
#include "quant/formats_table.h"
#include "quant/integer_matmul.h"

static void i8_tile(const struct tile *t, int rows)
{
    TILE_DISPATCH(rows, integer_tile(t, 8, R, INTEGER_VECTORS(R)))
}

static void i8_dots(const struct tile *t, int rows) { TILE_DISPATCH(rows, code_tile(t, 8, R)) }

void ISA(matmul_i8)(const struct qtensor *w, const struct qinput *x, float *y, size_t y_stride, int p0,
                    int p1)
{
    for_tiles(w, x, y, y_stride, p0, p1, INTEGER_ROWS, i8_tile);
}

void ISA(matmul_q_i8)(const struct qtensor *w, const struct qinput *x, float *y, size_t y_stride, int p0,
                      int p1)
{
    for_tiles(w, x, y, y_stride, p0, p1, x->kind == ACTIVATIONS_I16 ? CODE_ROWS / 2 : CODE_ROWS, i8_dots);
}
