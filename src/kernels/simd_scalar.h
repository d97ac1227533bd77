/* The vocabulary of simd.h in plain C: the definition of every word. */
#ifndef KERNELS_SIMD_SCALAR_H
#define KERNELS_SIMD_SCALAR_H

#define VF_REGISTERS 8

typedef struct vf {
    float v[16];
} vf;
typedef struct vi {
    int32_t v[16];
} vi;

/* Computes lane by lane: the expression sees the lane's number as i. */
#define VF_LANES(expression)                                                                                 \
    vf r_;                                                                                                   \
    for (int i = 0; i < 16; i++) r_.v[i] = (expression);                                                     \
    return r_
#define VI_LANES(expression)                                                                                 \
    vi r_;                                                                                                   \
    for (int i = 0; i < 16; i++) r_.v[i] = (expression);                                                     \
    return r_

ALWAYS_INLINE vf vf_set1(float x) { VF_LANES(x); }
ALWAYS_INLINE vf vf_zero(void) { return vf_set1(0.0f); }
ALWAYS_INLINE vf vf_load(const float *p) { VF_LANES(p[i]); }
ALWAYS_INLINE vf vf_load_n(const float *p, int n) { VF_LANES(i < n ? p[i] : 0.0f); }
ALWAYS_INLINE void vf_store(float *p, vf a) { memcpy(p, a.v, sizeof a.v); }
ALWAYS_INLINE void vf_store_n(float *p, vf a, int n) { memcpy(p, a.v, (size_t)n * sizeof *p); }
ALWAYS_INLINE vf vf_add(vf a, vf b) { VF_LANES(a.v[i] + b.v[i]); }
ALWAYS_INLINE vf vf_sub(vf a, vf b) { VF_LANES(a.v[i] - b.v[i]); }
ALWAYS_INLINE vf vf_mul(vf a, vf b) { VF_LANES(a.v[i] * b.v[i]); }
ALWAYS_INLINE vf vf_div(vf a, vf b) { VF_LANES(a.v[i] / b.v[i]); }
#if defined(__x86_64__)
/* fmaf rounds once, whoever computes it. Sixteen calls of libm's, which takes this instruction where there is one, were most of the
 * time of this set's products of floats. */
static __attribute__((noinline, unused, target("fma"), no_sanitize("address", "undefined", "thread"))) vf
vf_fma_instruction(vf a, vf b, vf c)
{
    VF_LANES(fmaf(a.v[i], b.v[i], c.v[i]));
}
#endif
ALWAYS_INLINE vf vf_fma(vf a, vf b, vf c)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("fma")) return vf_fma_instruction(a, b, c);
#endif
    VF_LANES(fmaf(a.v[i], b.v[i], c.v[i]));
}
ALWAYS_INLINE vf vf_sqrt(vf a) { VF_LANES(sqrtf(a.v[i])); }
ALWAYS_INLINE vf vf_rint(vf a) { VF_LANES(rintf(a.v[i])); }
ALWAYS_INLINE vf vf_max(vf a, vf b) { VF_LANES(a.v[i] > b.v[i] ? a.v[i] : b.v[i]); }
ALWAYS_INLINE vf vf_min(vf a, vf b) { VF_LANES(a.v[i] < b.v[i] ? a.v[i] : b.v[i]); }
ALWAYS_INLINE vf vf_abs(vf a) { VF_LANES(float_from_bits(float_bits(a.v[i]) & 0x7FFFFFFFu)); }
ALWAYS_INLINE vf vf_neg(vf a) { VF_LANES(float_from_bits(float_bits(a.v[i]) ^ 0x80000000u)); }
ALWAYS_INLINE vf vf_copysign(vf a, vf s)
{
    VF_LANES(float_from_bits((float_bits(a.v[i]) & 0x7FFFFFFFu) | (float_bits(s.v[i]) & 0x80000000u)));
}
ALWAYS_INLINE vf vf_first(int n, vf a, vf b) { VF_LANES(i < n ? a.v[i] : b.v[i]); }
ALWAYS_INLINE vf vf_select_lt(vf a, vf b, vf x, vf y) { VF_LANES(a.v[i] < b.v[i] ? x.v[i] : y.v[i]); }
ALWAYS_INLINE bool vf_all_lt(vf a, vf b)
{
    int n = 0;
    for (int i = 0; i < 16; i++) n += a.v[i] < b.v[i];
    return n == 16;
}
ALWAYS_INLINE float vf_sum(vf a)
{
    for (int half = 8; half; half /= 2)
        for (int i = 0; i < half; i++) a.v[i] = a.v[i] + a.v[i + half];
    return a.v[0];
}
ALWAYS_INLINE float vf_hmax(vf a)
{
    for (int half = 8; half; half /= 2)
        for (int i = 0; i < half; i++) a.v[i] = a.v[i] > a.v[i + half] ? a.v[i] : a.v[i + half];
    return a.v[0];
}

ALWAYS_INLINE vi vi_set1(int32_t x) { VI_LANES(x); }
ALWAYS_INLINE vi vi_zero(void) { return vi_set1(0); }
ALWAYS_INLINE vi vi_load(const int32_t *p) { VI_LANES(p[i]); }
ALWAYS_INLINE void vi_store(int32_t *p, vi a) { memcpy(p, a.v, sizeof a.v); }
ALWAYS_INLINE vi vi_add(vi a, vi b) { VI_LANES((int32_t)((uint32_t)a.v[i] + (uint32_t)b.v[i])); }
ALWAYS_INLINE vi vi_sub(vi a, vi b) { VI_LANES((int32_t)((uint32_t)a.v[i] - (uint32_t)b.v[i])); }
ALWAYS_INLINE vi vf_to_int(vf a) { VI_LANES((int32_t)a.v[i]); }
ALWAYS_INLINE vf vi_to_float(vi a) { VF_LANES((float)a.v[i]); }
ALWAYS_INLINE vf vf_pow2(vi n) { VF_LANES(float_from_bits((uint32_t)(n.v[i] + 127) << 23)); }

ALWAYS_INLINE vf vf_load_f16(const uint16_t *p) { VF_LANES(float_from_f16(p[i])); }
ALWAYS_INLINE vf vf_load_f16_n(const uint16_t *p, int n) { VF_LANES(i < n ? float_from_f16(p[i]) : 0.0f); }
ALWAYS_INLINE vf vf_load_bf16(const uint16_t *p) { VF_LANES(float_from_bf16(p[i])); }
ALWAYS_INLINE vf vf_load_bf16_n(const uint16_t *p, int n) { VF_LANES(i < n ? float_from_bf16(p[i]) : 0.0f); }
ALWAYS_INLINE vf vf_load_i8(const int8_t *p) { VF_LANES((float)p[i]); }
ALWAYS_INLINE vf vf_load_i16(const int16_t *p) { VF_LANES((float)p[i]); }
ALWAYS_INLINE vf vf_load_i16_n(const int16_t *p, int n) { VF_LANES(i < n ? (float)p[i] : 0.0f); }
ALWAYS_INLINE vf vf_load_e4m3(const uint8_t *p)
{
    VF_LANES(float_from_f16((uint16_t)((p[i] & 0x80u) << 8 | (p[i] & 0x7Fu) << 7)));
}
ALWAYS_INLINE vf vf_load_e5m2(const uint8_t *p) { VF_LANES(float_from_e5m2(p[i])); }
ALWAYS_INLINE vf vf_load_e8m0(const uint8_t *p)
{
    VF_LANES(float_from_bits(p[i] ? (uint32_t)p[i] << 23 : 0x00400000u));
}
ALWAYS_INLINE void vf_store_f16(uint16_t *p, vf a)
{
    for (int i = 0; i < 16; i++) p[i] = f16_from_float(a.v[i]);
}
ALWAYS_INLINE void vf_store_bf16(uint16_t *p, vf a)
{
    for (int i = 0; i < 16; i++) p[i] = bf16_from_float(a.v[i]);
}

ALWAYS_INLINE vf vf_load_i8_n(const int8_t *p, int n) { VF_LANES(i < n ? (float)p[i] : 0.0f); }

typedef struct vd {
    double v[16];
} vd;
ALWAYS_INLINE vd vd_zero(void) { return (vd){{0.0}}; }
ALWAYS_INLINE vd vd_add_vf(vd a, vf b)
{
    for (int i = 0; i < 16; i++) a.v[i] = a.v[i] + (double)b.v[i];
    return a;
}
ALWAYS_INLINE double vd_sum(vd a)
{
    for (int half = 8; half; half /= 2)
        for (int i = 0; i < half; i++) a.v[i] = a.v[i] + a.v[i + half];
    return a.v[0];
}
#endif
