/* Weights as numbers of the levels of e2m1, mxfp4 and nvfp4, and integer activations. */
#include "qtensor/dot_matmul.isa.h"

DOT_MATMUL(mxfp4, BOOK_E2M1)

void ISA(matmul_q_nvfp4)(const struct qtensor *w, const struct qinput *x, float *y, size_t y_stride, int p0,
                         int p1)
{
    ISA(matmul_q_mxfp4)(w, x, y, y_stride, p0, p1);
}
