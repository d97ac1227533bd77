/* Weights as int8 codes and integer activations: the products of code_matmul.isa.h or wide_matmul.isa.h. */
#include "qtensor/formats_table.h"
#include "qtensor/wide.isa.h"
#if WIDE_CODES
#include "qtensor/wide_matmul.isa.h"

static void i8_wide(const struct tile *t, int rows) { wide_panel(t, rows, 8); }

void ISA(matmul_q_i8)(const struct qtensor *w, const struct qinput *x, float *y, size_t y_stride, int p0,
                      int p1)
{
    for_tiles(w, x, y, y_stride, p0, p1, WIDE_BLOCK, WIDE_LANES, i8_wide);
}
#else
#include "qtensor/code_matmul.isa.h"
#if defined(GPT2Q_ISA_amx)
#include "qtensor/amx_matmul.isa.h"

AMX_TILE(8)
#endif

static void i8_dots(const struct tile *t, int rows) { TILE_DISPATCH(rows, code_tile(t, 8, R)) }

void ISA(matmul_q_i8)(const struct qtensor *w, const struct qinput *x, float *y, size_t y_stride, int p0,
                      int p1)
{
#if defined(GPT2Q_ISA_amx)
    if (amx_takes(w, x)) {
        AMX_MATMUL(w, x, y, y_stride, p0, p1);
        return;
    }
#endif
    for_tiles(w, x, y, y_stride, p0, p1, x->kind == ACTIVATIONS_I16 ? CODE_ROWS / 2 : CODE_ROWS, 1, i8_dots);
}
#endif
