/* What one core can do at most: reading memory, fp32 fused multiply-adds, int8 dot products. The loops are
 * those of the products without anything else. The benchmark compares every figure with these limits. Each
 * function returns a value only so that the compiler cannot remove the work. */
#ifndef KERNELS_LIMITS_H
#define KERNELS_LIMITS_H
#include <stddef.h>
#include <stdint.h>

struct limits {
    /* Reads n bytes once, in order. n is a multiple of 256; p is aligned to 64 bytes. */
    uint64_t (*read)(const uint8_t *p, size_t n);
    /* Makes `steps` times fma_flops operations (a multiply-add counts as two) in independent chains. */
    float (*fma)(size_t steps);
    /* Makes `steps` times dot_ops operations on int8, summed exactly in int32, with the best instruction
     * of the set. */
    uint64_t (*dot)(size_t steps);
    double fma_flops, dot_ops;
    double i16_products
        [2]; /* int8 products that stand for one with an i16 activation; [1]: where additions are free (core.h) */
};

/* The row of an instruction set by its name; NULL if the name is not compiled in. */
const struct limits *limits_find(const char *isa);
#endif
