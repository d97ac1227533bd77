/* The tables of limits, one object per instruction set that the Makefile compiles for this machine's
 * architecture. */
#ifndef KERNELS_LIMITS_TABLE_H
#define KERNELS_LIMITS_TABLE_H
#include "kernels/limits.h"

extern const struct limits limits_table_scalar;
#if defined(__x86_64__)
extern const struct limits limits_table_avx2, limits_table_avxvnni, limits_table_avx512,
    limits_table_avx512vnni, limits_table_amx;
#endif
#endif
