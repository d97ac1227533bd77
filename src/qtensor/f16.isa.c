/* Weights as IEEE half floats, widened exactly; the product is float_matmul.isa.h's. */
#include "qtensor/formats_table.h"

#define FLOAT_ELEMENT      uint16_t
#define FLOAT_LOAD(p)      vf_load_f16(p)
#define FLOATS_IN_PLACE(p) NULL
#include "qtensor/float_matmul.isa.h"

void ISA(matmul_f16)(const struct qtensor *w, const struct qinput *x, float *y, size_t y_stride, int p0,
                     int p1)
{
    float_matmul(w, x, y, y_stride, p0, p1);
}
