/* Activation functions. GELU_NEW's tanh form is computed with the logistic function: 0.5 (1 + tanh u) = 1
 * / (1 + exp(-2u)). That takes one exp and one division, and nothing cancels for negative x. */
#include "kernels/kernels_parts.isa.h"
#include "kernels/vmath.isa.h"

/* x / (1 + exp(-z)) */
ALWAYS_INLINE vf times_logistic(vf x, vf z) { return vf_div(x, vf_add(vf_set1(1.0f), vm_exp(vf_neg(z)))); }

/* 2 sqrt(2/pi) (x + 0.044715 x^3) = x (c1 + c3 x^2) */
ALWAYS_INLINE vf gelu_new(vf x)
{
    vf slope = vf_fma(vf_mul(x, x), vf_set1(0x1.2444f2p-4f), vf_set1(0x1.988454p+0f));
    return times_logistic(x, vf_mul(x, slope));
}
ALWAYS_INLINE vf relu(vf x)
{
    return vf_max(vf_zero(), x);
} /* NaN stays: max gives its second operand if either is NaN */
ALWAYS_INLINE vf silu(vf x) { return times_logistic(x, x); }
ALWAYS_INLINE vf gelu(vf x)
{
    vf half = vf_mul(x, vf_set1(0.5f));
    return vf_fma(half, vm_erf(vf_mul(x, vf_set1(0x1.6a09e6p-1f))), half);
}

#define ACTIVATION(name, f)                                                                                  \
    void ISA(name)(const float *x, size_t n, float *y)                                                       \
    {                                                                                                        \
        size_t i = 0;                                                                                        \
        for (; i + 16 <= n; i += 16) vf_store(y + i, f(vf_load(x + i)));                                     \
        int rest = (int)(n - i);                                                                             \
        if (rest) vf_store_n(y + i, f(vf_load_n(x + i, rest)), rest);                                        \
    }

ACTIVATION(act_gelu_new, gelu_new)
ACTIVATION(act_relu, relu)
ACTIVATION(act_silu, silu)
ACTIVATION(act_gelu, gelu)
ACTIVATION(act_tanh, vm_tanh)
