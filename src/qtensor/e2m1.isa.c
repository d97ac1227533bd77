/* Weights as numbers of the levels of e2m1, mxfp4 and nvfp4, and float activations. params.isa.h knows their scales, and the rest is
 * the same. */
#include "qtensor/formats_table.h"
#include "qtensor/integer_matmul.isa.h"

INTEGER_MATMUL(mxfp4, BOOK_E2M1)

void ISA(matmul_nvfp4)(const struct qtensor *w, const struct qinput *x, float *y, size_t y_stride, int p0,
                       int p1)
{
    ISA(matmul_mxfp4)(w, x, y, y_stride, p0, p1);
}
