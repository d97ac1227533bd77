/* Weights as e5m2, floats of a byte, times their output's scale; the product is float_matmul.isa.h's. */
#include "qtensor/formats_table.h"

#define FLOAT_ELEMENT      uint8_t
#define FLOAT_LOAD(p)      vf_load_e5m2(p)
#define FLOAT_UNIT         1.0f
#define FLOATS_IN_PLACE(p) NULL
#include "qtensor/float_matmul.isa.h"

void ISA(matmul_fp8_e5m2)(const struct qtensor *w, const struct qinput *x, float *y, size_t y_stride, int p0,
                          int p1)
{
    float_matmul(w, x, y, y_stride, p0, p1);
}
