/* Layer norm and the residual sum.
 *
 * mean = sum(x) / n; d = x - mean; variance = sum(d^2) / n; inv = 1 / sqrt(variance + epsilon); y = fma(d
 * * inv, weight, bias). Both sums have 16 lanes, with element i in lane i mod 16, and the tree of vf_sum.
 * Lanes beyond n are cleared after the mean is subtracted, because -mean is not a term. */
#include "kernels/kernels_parts.isa.h"

void ISA(layer_norm)(const float *x, const float *weight, const float *bias, float epsilon, int n, float *y)
{
    int full = n / 16 * 16, rest = n - full;
    vf sum = vf_zero();
    for (int i = 0; i < full; i += 16) sum = vf_add(sum, vf_load(x + i));
    if (rest) sum = vf_add(sum, vf_load_n(x + full, rest));
    vf mean = vf_set1(vf_sum(sum) / (float)n);

    vf squares = vf_zero();
    for (int i = 0; i < full; i += 16) {
        vf d = vf_sub(vf_load(x + i), mean);
        squares = vf_fma(d, d, squares);
    }
    if (rest) {
        vf d = vf_first(rest, vf_sub(vf_load_n(x + full, rest), mean), vf_zero());
        squares = vf_fma(d, d, squares);
    }
    float variance = vf_sum(squares) / (float)n;
    vf inv = vf_set1(1.0f / sqrtf(variance + epsilon));

    for (int i = 0; i < full; i += 16) {
        vf d = vf_mul(vf_sub(vf_load(x + i), mean), inv);
        vf_store(y + i, vf_fma(d, vf_load(weight + i), vf_load(bias + i)));
    }
    if (rest) {
        vf d = vf_mul(vf_sub(vf_load_n(x + full, rest), mean), inv);
        vf_store_n(y + full, vf_fma(d, vf_load_n(weight + full, rest), vf_load_n(bias + full, rest)), rest);
    }
}

void ISA(add)(float *y, const float *x, size_t n)
{
    size_t i = 0;
    for (; i + 16 <= n; i += 16) vf_store(y + i, vf_add(vf_load(y + i), vf_load(x + i)));
    int rest = (int)(n - i);
    if (rest) vf_store_n(y + i, vf_add(vf_load_n(y + i, rest), vf_load_n(x + i, rest)), rest);
}
