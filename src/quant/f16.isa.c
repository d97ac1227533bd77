/* Weights as IEEE half floats, widened exactly; the product is float_matmul.h's. */
#include "quant/formats_table.h"

#define FLOAT_ELEMENT uint16_t
#define FLOAT_LOAD(p) vf_load_f16(p)
#include "quant/float_matmul.h"

void ISA(matmul_f16)(const struct qtensor *w, const struct qinput *x, float *y, size_t y_stride, int p0,
                     int p1)
{
    for_tiles(w, x, y, y_stride, p0, p1, TILE_ROWS, float_tiles);
}
