/* The tables of arithmetic in double, one object per instruction set. */
#ifndef METHODS_DENSE_TABLE_H
#define METHODS_DENSE_TABLE_H
#include "methods/dense.h"

extern const struct dense_ops dense_ops_scalar;
#if defined(__x86_64__)
extern const struct dense_ops dense_ops_avx2, dense_ops_avx512;
#endif
#endif
