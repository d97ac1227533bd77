/* exp, tanh and erf on sixteen lanes, in multiply, add, fma and division only. So they give the same bits
 * in every instruction set and with every C library.
 *
 * Each is odd or even by construction if the function is. NaN gives NaN, so that a broken model is refused
 * by name; overflow gives infinity. Polynomials were fitted at Chebyshev nodes and are evaluated by
 * Horner's rule. tests/kernels/test_vmath.c compares each with double precision. */
#ifndef KERNELS_VMATH_H
#define KERNELS_VMATH_H
#include "kernels/simd.h"

/* x = n ln 2 + r, with ln 2 in two parts and |r| <= ln 2 / 2. n = clamp(round(x / ln 2)) stays an integer
 * if x is NaN. */
ALWAYS_INLINE vf vm_reduce(vf x, float lowest, float highest, vf *r)
{
    vf n = vf_rint(vf_min(vf_max(vf_mul(x, vf_set1(0x1.715476p+0f)), vf_set1(lowest)), vf_set1(highest)));
    *r = vf_fma(n, vf_set1(-0x1.7f7d1cp-20f), vf_fma(n, vf_set1(-0x1.62e4p-1f), x));
    return n;
}

/* (exp(r) - 1 - r) / r^2 for |r| <= ln 2 / 2, relative error of exp 1e-8. */
ALWAYS_INLINE vf vm_exp_tail(vf r)
{
    vf p = vf_fma(vf_set1(0x1.6d127ep-10f), r, vf_set1(0x1.120ce4p-7f));
    p = vf_fma(p, r, vf_set1(0x1.555518p-5f));
    p = vf_fma(p, r, vf_set1(0x1.5554dcp-3f));
    return vf_fma(p, r, vf_set1(0.5f));
}

/* 1.1 ulp; 0 below -86.6 (results under 2^-125), infinity from 88.73 on. The factor 2^n is split into
 * 2^(n-1) and 2, since 2^128 is not a float. The 2 is in the constants. */
ALWAYS_INLINE vf vm_exp(vf x)
{
    vf r, n = vm_reduce(x, -125.0f, 128.0f, &r);
    vf r2 = vf_add(r, r);
    vf twice = vf_add(vf_fma(vf_mul(r2, r), vm_exp_tail(r), r2), vf_set1(2.0f));
    vf y = vf_mul(twice, vf_pow2(vi_sub(vf_to_int(n), vi_set1(1))));
    return vf_select_lt(x, vf_set1(-0x1.5a92d6p+6f), vf_zero(), y);
}

/* With e = exp(2|x|) - 1: tanh |x| = e / (e + 2). e keeps its relative accuracy near 0. 2.4 ulp; 1 from
 * 9.02 on. */
ALWAYS_INLINE vf vm_tanh(vf x)
{
    vf a = vf_abs(x), u = vf_min(vf_set1(18.1f), vf_add(a, a));
    vf r, n = vm_reduce(u, 0.0f, 27.0f, &r), power = vf_pow2(vf_to_int(n));
    vf e = vf_fma(vf_mul(r, r), vm_exp_tail(r), r);
    e = vf_fma(power, e, vf_sub(power, vf_set1(1.0f)));
    return vf_copysign(vf_div(e, vf_add(e, vf_set1(2.0f))), x);
}

/* |x| < 1: x + x P(x^2); beyond: 1 - exp(Q(|x|)), Q = log erfc on [1, 4]; 1 from 4 on. Absolute error 1.5e-7.
 */
ALWAYS_INLINE vf vm_erf(vf x)
{
    vf a = vf_abs(x), t = vf_mul(x, x);
    vf p = vf_fma(vf_set1(0x1.4a569p-14f), t, vf_set1(-0x1.a45088p-11f));
    p = vf_fma(p, t, vf_set1(0x1.54127p-8f));
    p = vf_fma(p, t, vf_set1(-0x1.b7fabap-6f));
    p = vf_fma(p, t, vf_set1(0x1.ce2d1p-4f));
    p = vf_fma(p, t, vf_set1(-0x1.81273ep-2f));
    p = vf_fma(p, t, vf_set1(0x1.06eba8p-3f));
    vf near = vf_fma(p, a, a);

    vf b = vf_min(vf_set1(4.0f), a);
    vf q = vf_fma(vf_set1(-0x1.bd58b8p-17f), b, vf_set1(0x1.4c5522p-12f));
    q = vf_fma(q, b, vf_set1(-0x1.c1e29ap-9f));
    q = vf_fma(q, b, vf_set1(0x1.725b4ap-6f));
    q = vf_fma(q, b, vf_set1(-0x1.a70a1ap-4f));
    q = vf_fma(q, b, vf_set1(-0x1.473d86p-1f));
    q = vf_fma(q, b, vf_set1(-0x1.203a9p+0f));
    q = vf_fma(q, b, vf_set1(-0x1.918d1p-11f));
    vf far = vf_sub(vf_set1(1.0f), vm_exp(q));
    return vf_copysign(vf_select_lt(a, vf_set1(1.0f), near, far), x);
}
#endif
