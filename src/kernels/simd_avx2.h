/* The vocabulary of simd.h for AVX2, FMA and F16C: a vf is two registers, lanes 0..7 and 8..15. */
#ifndef KERNELS_SIMD_AVX2_H
#define KERNELS_SIMD_AVX2_H
#include <immintrin.h>

#define VF_REGISTERS 8

typedef struct vf {
    __m256 lo, hi;
} vf;
typedef struct vi {
    __m256i lo, hi;
} vi;

ALWAYS_INLINE vf vf_pair(__m256 lo, __m256 hi) { return (vf){lo, hi}; }
ALWAYS_INLINE vi vi_pair(__m256i lo, __m256i hi) { return (vi){lo, hi}; }
/* All ones in the lanes below n (any n) of the lower half. The upper half takes n - 8. */
ALWAYS_INLINE __m256i mask_first8(int n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

ALWAYS_INLINE vf vf_set1(float x) { return vf_pair(_mm256_set1_ps(x), _mm256_set1_ps(x)); }
ALWAYS_INLINE vf vf_zero(void) { return vf_pair(_mm256_setzero_ps(), _mm256_setzero_ps()); }
ALWAYS_INLINE vf vf_load(const float *p) { return vf_pair(_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)); }
ALWAYS_INLINE vf vf_load_n(const float *p, int n)
{
    return vf_pair(_mm256_maskload_ps(p, mask_first8(n)),
                   n > 8 ? _mm256_maskload_ps(p + 8, mask_first8(n - 8)) : _mm256_setzero_ps());
}
ALWAYS_INLINE void vf_store(float *p, vf a)
{
    _mm256_storeu_ps(p, a.lo);
    _mm256_storeu_ps(p + 8, a.hi);
}
ALWAYS_INLINE void vf_store_n(float *p, vf a, int n)
{
    _mm256_maskstore_ps(p, mask_first8(n), a.lo);
    if (n > 8) _mm256_maskstore_ps(p + 8, mask_first8(n - 8), a.hi);
}
ALWAYS_INLINE vf vf_add(vf a, vf b) { return vf_pair(_mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi)); }
ALWAYS_INLINE vf vf_sub(vf a, vf b) { return vf_pair(_mm256_sub_ps(a.lo, b.lo), _mm256_sub_ps(a.hi, b.hi)); }
ALWAYS_INLINE vf vf_mul(vf a, vf b) { return vf_pair(_mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi)); }
ALWAYS_INLINE vf vf_div(vf a, vf b) { return vf_pair(_mm256_div_ps(a.lo, b.lo), _mm256_div_ps(a.hi, b.hi)); }
ALWAYS_INLINE vf vf_fma(vf a, vf b, vf c)
{
    return vf_pair(_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi));
}
ALWAYS_INLINE vf vf_sqrt(vf a) { return vf_pair(_mm256_sqrt_ps(a.lo), _mm256_sqrt_ps(a.hi)); }
ALWAYS_INLINE vf vf_rint(vf a)
{
    return vf_pair(_mm256_round_ps(a.lo, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC),
                   _mm256_round_ps(a.hi, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
ALWAYS_INLINE vf vf_max(vf a, vf b) { return vf_pair(_mm256_max_ps(a.lo, b.lo), _mm256_max_ps(a.hi, b.hi)); }
ALWAYS_INLINE vf vf_min(vf a, vf b) { return vf_pair(_mm256_min_ps(a.lo, b.lo), _mm256_min_ps(a.hi, b.hi)); }
ALWAYS_INLINE vf vf_abs(vf a)
{
    __m256 sign = _mm256_set1_ps(-0.0f);
    return vf_pair(_mm256_andnot_ps(sign, a.lo), _mm256_andnot_ps(sign, a.hi));
}
ALWAYS_INLINE vf vf_neg(vf a)
{
    __m256 sign = _mm256_set1_ps(-0.0f);
    return vf_pair(_mm256_xor_ps(sign, a.lo), _mm256_xor_ps(sign, a.hi));
}
ALWAYS_INLINE vf vf_copysign(vf a, vf s)
{
    __m256 sign = _mm256_set1_ps(-0.0f);
    return vf_pair(_mm256_or_ps(_mm256_andnot_ps(sign, a.lo), _mm256_and_ps(sign, s.lo)),
                   _mm256_or_ps(_mm256_andnot_ps(sign, a.hi), _mm256_and_ps(sign, s.hi)));
}
ALWAYS_INLINE vf vf_first(int n, vf a, vf b)
{
    return vf_pair(_mm256_blendv_ps(b.lo, a.lo, _mm256_castsi256_ps(mask_first8(n))),
                   _mm256_blendv_ps(b.hi, a.hi, _mm256_castsi256_ps(mask_first8(n - 8))));
}
ALWAYS_INLINE vf vf_select_lt(vf a, vf b, vf x, vf y)
{
    return vf_pair(_mm256_blendv_ps(y.lo, x.lo, _mm256_cmp_ps(a.lo, b.lo, _CMP_LT_OQ)),
                   _mm256_blendv_ps(y.hi, x.hi, _mm256_cmp_ps(a.hi, b.hi, _CMP_LT_OQ)));
}
ALWAYS_INLINE bool vf_all_lt(vf a, vf b)
{
    return _mm256_movemask_ps(_mm256_and_ps(_mm256_cmp_ps(a.lo, b.lo, _CMP_LT_OQ),
                                            _mm256_cmp_ps(a.hi, b.hi, _CMP_LT_OQ))) == 0xFF;
}
ALWAYS_INLINE float vf_sum(vf a)
{
    __m256 s8 = _mm256_add_ps(a.lo, a.hi);
    __m128 s4 = _mm_add_ps(_mm256_castps256_ps128(s8), _mm256_extractf128_ps(s8, 1));
    __m128 s2 = _mm_add_ps(s4, _mm_movehl_ps(s4, s4));
    return _mm_cvtss_f32(_mm_add_ss(s2, _mm_movehdup_ps(s2)));
}
ALWAYS_INLINE float vf_hmax(vf a)
{
    __m256 s8 = _mm256_max_ps(a.lo, a.hi);
    __m128 s4 = _mm_max_ps(_mm256_castps256_ps128(s8), _mm256_extractf128_ps(s8, 1));
    __m128 s2 = _mm_max_ps(s4, _mm_movehl_ps(s4, s4));
    return _mm_cvtss_f32(_mm_max_ss(s2, _mm_movehdup_ps(s2)));
}

ALWAYS_INLINE vi vi_set1(int32_t x) { return vi_pair(_mm256_set1_epi32(x), _mm256_set1_epi32(x)); }
ALWAYS_INLINE vi vi_zero(void) { return vi_set1(0); }
ALWAYS_INLINE vi vi_load(const int32_t *p)
{
    return vi_pair(_mm256_loadu_si256((const __m256i *)p), _mm256_loadu_si256((const __m256i *)(p + 8)));
}
ALWAYS_INLINE void vi_store(int32_t *p, vi a)
{
    _mm256_storeu_si256((__m256i *)p, a.lo);
    _mm256_storeu_si256((__m256i *)(p + 8), a.hi);
}
ALWAYS_INLINE vi vi_add(vi a, vi b)
{
    return vi_pair(_mm256_add_epi32(a.lo, b.lo), _mm256_add_epi32(a.hi, b.hi));
}
ALWAYS_INLINE vi vi_sub(vi a, vi b)
{
    return vi_pair(_mm256_sub_epi32(a.lo, b.lo), _mm256_sub_epi32(a.hi, b.hi));
}
ALWAYS_INLINE vi vf_to_int(vf a) { return vi_pair(_mm256_cvtps_epi32(a.lo), _mm256_cvtps_epi32(a.hi)); }
ALWAYS_INLINE vf vi_to_float(vi a) { return vf_pair(_mm256_cvtepi32_ps(a.lo), _mm256_cvtepi32_ps(a.hi)); }
ALWAYS_INLINE __m256 pow2_8(__m256i n)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(n, _mm256_set1_epi32(127)), 23));
}
ALWAYS_INLINE vf vf_pow2(vi n) { return vf_pair(pow2_8(n.lo), pow2_8(n.hi)); }

ALWAYS_INLINE vf f16_to_vf(__m128i lo, __m128i hi)
{
    return vf_pair(_mm256_cvtph_ps(lo), _mm256_cvtph_ps(hi));
}
ALWAYS_INLINE __m256 bf16_to_8(__m128i h)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(h), 16));
}
ALWAYS_INLINE vf bf16_to_vf(__m128i lo, __m128i hi) { return vf_pair(bf16_to_8(lo), bf16_to_8(hi)); }
ALWAYS_INLINE vf vf_load_f16(const uint16_t *p)
{
    return f16_to_vf(_mm_loadu_si128((const __m128i *)p), _mm_loadu_si128((const __m128i *)(p + 8)));
}
ALWAYS_INLINE vf vf_load_bf16(const uint16_t *p)
{
    return bf16_to_vf(_mm_loadu_si128((const __m128i *)p), _mm_loadu_si128((const __m128i *)(p + 8)));
}
ALWAYS_INLINE vf vf_load_f16_n(const uint16_t *p, int n)
{
    uint16_t part[16] = {0};
    memcpy(part, p, (size_t)n * sizeof *p);
    return vf_load_f16(part);
}
ALWAYS_INLINE vf vf_load_bf16_n(const uint16_t *p, int n)
{
    uint16_t part[16] = {0};
    memcpy(part, p, (size_t)n * sizeof *p);
    return vf_load_bf16(part);
}
ALWAYS_INLINE vf vf_load_i8(const int8_t *p)
{
    return vf_pair(_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)p))),
                   _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(p + 8)))));
}
ALWAYS_INLINE vf vf_load_i16(const int16_t *p)
{
    return vf_pair(_mm256_cvtepi32_ps(_mm256_cvtepi16_epi32(_mm_loadu_si128((const __m128i *)p))),
                   _mm256_cvtepi32_ps(_mm256_cvtepi16_epi32(_mm_loadu_si128((const __m128i *)(p + 8)))));
}
ALWAYS_INLINE vf vf_load_i16_n(const int16_t *p, int n)
{
    int16_t part[16] = {0};
    memcpy(part, p, (size_t)n * sizeof *p);
    return vf_load_i16(part);
}
ALWAYS_INLINE __m128i e4m3_words8(__m128i bytes) /* a sign extended to the bit below it is taken off there */
{
    return _mm_and_si128(_mm_slli_epi16(_mm_cvtepi8_epi16(bytes), 7), _mm_set1_epi16((short)0xBF80));
}
ALWAYS_INLINE vf vf_load_e4m3(const uint8_t *p)
{
    return f16_to_vf(e4m3_words8(_mm_loadl_epi64((const __m128i *)p)),
                     e4m3_words8(_mm_loadl_epi64((const __m128i *)(p + 8))));
}
ALWAYS_INLINE vf vf_load_e5m2(const uint8_t *p)
{
    __m128i bytes = _mm_loadu_si128((const __m128i *)p), zero = _mm_setzero_si128();
    return f16_to_vf(_mm_unpacklo_epi8(zero, bytes), _mm_unpackhi_epi8(zero, bytes));
}
ALWAYS_INLINE __m256 e8m0_8(const uint8_t *p)
{
    __m256i u = _mm256_slli_epi32(_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)p)), 23);
    return _mm256_castsi256_ps(_mm256_max_epu32(u, _mm256_set1_epi32(0x00400000)));
}
ALWAYS_INLINE vf vf_load_e8m0(const uint8_t *p) { return vf_pair(e8m0_8(p), e8m0_8(p + 8)); }
ALWAYS_INLINE void vf_store_f16(uint16_t *p, vf a)
{
    _mm_storeu_si128((__m128i *)p, _mm256_cvtps_ph(a.lo, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
    _mm_storeu_si128((__m128i *)(p + 8),
                     _mm256_cvtps_ph(a.hi, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
ALWAYS_INLINE __m256i bf16_bits_8(__m256 a)
{
    __m256i u = _mm256_castps_si256(a), top = _mm256_srli_epi32(u, 16);
    __m256i odd = _mm256_and_si256(top, _mm256_set1_epi32(1));
    __m256i rounded =
        _mm256_srli_epi32(_mm256_add_epi32(u, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7FFF))), 16);
    __m256i quiet = _mm256_or_si256(top, _mm256_set1_epi32(0x40));
    return _mm256_blendv_epi8(rounded, quiet, _mm256_castps_si256(_mm256_cmp_ps(a, a, _CMP_UNORD_Q)));
}
ALWAYS_INLINE void vf_store_bf16(uint16_t *p, vf a)
{
    __m256i both = _mm256_packus_epi32(bf16_bits_8(a.lo), bf16_bits_8(a.hi)); /* 0-3 8-11 4-7 12-15 */
    _mm256_storeu_si256((__m256i *)p, _mm256_permute4x64_epi64(both, _MM_SHUFFLE(3, 1, 2, 0)));
}

ALWAYS_INLINE vf vf_load_i8_n(const int8_t *p, int n)
{
    int8_t part[16] = {0};
    memcpy(part, p, (size_t)n);
    return vf_load_i8(part);
}

typedef struct vd { /* lanes 0..3, 4..7, 8..11, 12..15 */
    __m256d q0, q1, q2, q3;
} vd;
ALWAYS_INLINE vd vd_zero(void)
{
    __m256d z = _mm256_setzero_pd();
    return (vd){z, z, z, z};
}
ALWAYS_INLINE vd vd_add_vf(vd a, vf b)
{
    return (vd){_mm256_add_pd(a.q0, _mm256_cvtps_pd(_mm256_castps256_ps128(b.lo))),
                _mm256_add_pd(a.q1, _mm256_cvtps_pd(_mm256_extractf128_ps(b.lo, 1))),
                _mm256_add_pd(a.q2, _mm256_cvtps_pd(_mm256_castps256_ps128(b.hi))),
                _mm256_add_pd(a.q3, _mm256_cvtps_pd(_mm256_extractf128_ps(b.hi, 1)))};
}
ALWAYS_INLINE double vd_sum(vd a)
{
    __m256d s4 = _mm256_add_pd(_mm256_add_pd(a.q0, a.q2), _mm256_add_pd(a.q1, a.q3));
    __m128d s2 = _mm_add_pd(_mm256_castpd256_pd128(s4), _mm256_extractf128_pd(s4, 1));
    return _mm_cvtsd_f64(_mm_add_sd(s2, _mm_unpackhi_pd(s2, s2)));
}
#endif
