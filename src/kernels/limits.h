/* What one core can do at most, measured by the loops the products would be if nothing else were in the way:
 * reading memory, fp32 fused multiply-adds, int8 dot products. The benchmark holds every figure against
 * these. They compute nothing that is wanted; each returns a value only so that a compiler cannot leave the
 * work out. */
#ifndef KERNELS_LIMITS_H
#define KERNELS_LIMITS_H
#include <stddef.h>
#include <stdint.h>

struct limits {
    /* Reads n bytes once, in order; n is a multiple of 256, p 64-byte aligned. */
    uint64_t (*read)(const uint8_t *p, size_t n);
    /* `steps` times fma_flops operations (a multiply-add is two) in independent chains. */
    float (*fma)(size_t steps);
    /* `steps` times dot_ops operations on int8, summed exactly in int32, by the best instruction of the set.
     */
    uint64_t (*dot)(size_t steps);
    double fma_flops, dot_ops;
    int i16_products; /* int8 products that one with an i16 activation takes */
};

/* The row of an instruction set by its name, NULL for a name that is not compiled in. */
const struct limits *limits_find(const char *isa);
#endif
