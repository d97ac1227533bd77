/* The tables of kernels, one object per instruction set that the Makefile compiles for this machine's
 * architecture. */
#ifndef KERNELS_KERNELS_TABLE_H
#define KERNELS_KERNELS_TABLE_H
#include "kernels/kernels.h"

extern const struct kernels kernels_table_scalar;
#if defined(__x86_64__)
extern const struct kernels kernels_table_avx2, kernels_table_avx512;
#endif
#endif
