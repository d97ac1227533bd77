/* Weights as int4 codes and integer activations: the products of code_matmul.isa.h or wide_matmul.isa.h. */
#include "qtensor/code_matmul.isa.h"
#include "qtensor/formats_table.h"
#include "qtensor/wide.isa.h"
#if WIDE_CODES
#include "qtensor/wide_matmul.isa.h"

static void i4_wide(const struct tile *t, int rows) { wide_panel(t, rows, 4); }
#endif

#if defined(GPT2Q_ISA_amx)
#include "qtensor/amx_matmul.isa.h"

AMX_TILE(4)
#endif

static void i4_dots(const struct tile *t, int rows) { TILE_DISPATCH(rows, code_tile(t, 4, R)) }

void ISA(matmul_q_i4)(const struct qtensor *w, const struct qinput *x, float *y, size_t y_stride, int p0,
                      int p1)
{
#if WIDE_CODES
    if (x->kind == ACTIVATIONS_I16) {
        for_tiles(w, x, y, y_stride, p0, p1, WIDE_BLOCK, WIDE_LANES, i4_wide);
        return;
    }
#endif
#if defined(GPT2Q_ISA_amx)
    if (amx_takes(w, x)) {
        AMX_MATMUL(w, x, y, y_stride, p0, p1);
        return;
    }
#endif
    for_tiles(w, x, y, y_stride, p0, p1, x->kind == ACTIVATIONS_I16 ? CODE_ROWS / 2 : CODE_ROWS, 1, i4_dots);
}
