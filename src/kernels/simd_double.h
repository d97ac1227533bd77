/* Words for arithmetic in double precision: v8 is 8 doubles in every instruction set. Include after simd.h.
 *
 *   v8_zero() v8_set1(x) v8_load(p) v8_store(p, v)     any alignment
 *   v8_fma(a, b, c) = a*b + c     v8_fnma(a, b, c) = c - a*b, each rounded once
 *
 * V8_REGISTERS is how many v8 the registers hold. */
#ifndef KERNELS_SIMD_DOUBLE_H
#define KERNELS_SIMD_DOUBLE_H
#include "kernels/simd.h"

#if defined(GPT2Q_ISA_avx512)
#define V8_REGISTERS 32
typedef __m512d v8;
ALWAYS_INLINE v8 v8_zero(void) { return _mm512_setzero_pd(); }
ALWAYS_INLINE v8 v8_set1(double x) { return _mm512_set1_pd(x); }
ALWAYS_INLINE v8 v8_load(const double *p) { return _mm512_loadu_pd(p); }
ALWAYS_INLINE void v8_store(double *p, v8 a) { _mm512_storeu_pd(p, a); }
ALWAYS_INLINE v8 v8_fma(v8 a, v8 b, v8 c) { return _mm512_fmadd_pd(a, b, c); }
ALWAYS_INLINE v8 v8_fnma(v8 a, v8 b, v8 c) { return _mm512_fnmadd_pd(a, b, c); }
#elif defined(GPT2Q_ISA_avx2)
#define V8_REGISTERS 8
typedef struct {
    __m256d a, b;
} v8;
ALWAYS_INLINE v8 v8_zero(void) { return (v8){_mm256_setzero_pd(), _mm256_setzero_pd()}; }
ALWAYS_INLINE v8 v8_set1(double x) { return (v8){_mm256_set1_pd(x), _mm256_set1_pd(x)}; }
ALWAYS_INLINE v8 v8_load(const double *p) { return (v8){_mm256_loadu_pd(p), _mm256_loadu_pd(p + 4)}; }
ALWAYS_INLINE void v8_store(double *p, v8 a)
{
    _mm256_storeu_pd(p, a.a);
    _mm256_storeu_pd(p + 4, a.b);
}
ALWAYS_INLINE v8 v8_fma(v8 a, v8 b, v8 c)
{
    return (v8){_mm256_fmadd_pd(a.a, b.a, c.a), _mm256_fmadd_pd(a.b, b.b, c.b)};
}
ALWAYS_INLINE v8 v8_fnma(v8 a, v8 b, v8 c)
{
    return (v8){_mm256_fnmadd_pd(a.a, b.a, c.a), _mm256_fnmadd_pd(a.b, b.b, c.b)};
}
#else
#define V8_REGISTERS 2
typedef struct {
    double x[8];
} v8;
ALWAYS_INLINE v8 v8_set1(double x) { return (v8){{x, x, x, x, x, x, x, x}}; }
ALWAYS_INLINE v8 v8_zero(void) { return v8_set1(0.0); }
ALWAYS_INLINE v8 v8_load(const double *p)
{
    v8 r;
    memcpy(r.x, p, sizeof r.x);
    return r;
}
ALWAYS_INLINE void v8_store(double *p, v8 a) { memcpy(p, a.x, sizeof a.x); }
ALWAYS_INLINE v8 v8_fma(v8 a, v8 b, v8 c)
{
    for (int i = 0; i < 8; i++) c.x[i] = fma(a.x[i], b.x[i], c.x[i]);
    return c;
}
ALWAYS_INLINE v8 v8_fnma(v8 a, v8 b, v8 c)
{
    for (int i = 0; i < 8; i++) c.x[i] = fma(-a.x[i], b.x[i], c.x[i]);
    return c;
}
#endif
#endif
