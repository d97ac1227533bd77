/* Codes as 16-bit integers: the vocabulary of wide_matmul.isa.h, for instruction sets whose only exact
 * product of codes is vpmaddwd (AVX2 without VNNI: vpmaddubsw saturates at 2 * 255 * 127). WIDE_CODES says
 * whether this set is one. int4 with int8 activations stays with bytes there, too. AVX-512 VNNI has those words that
 * pair_matmul.isa.h needs; there, `step` is 4.
 *
 * A quad is four consecutive inputs. A vi holds two 16-bit integers in each of its sixteen lanes. Lanes
 * are outputs.
 *
 *     vi_widen(u, j)                  of the bytes u of a quad: j = 0 inputs 0 and 2, j = 1 inputs 1 and 3
 *     vi_widen_signed(u, j)           the same less 128
 *     vi_widen_nibbles(u, j)          of the nibbles of two quads: j = 0, 1 of the low ones, 2, 3 of the high
 *     vi_broadcast_two(p)             the two 16-bit integers at p in every lane
 *     vi_dot_two(acc, a, b)           acc + the lane's two products, modulo 2^32
 *     vi_dot_quad(acc, p, even, odd)  acc + the products of a quad's sums,
 *                                     (x0 + w1)(x1 + w0) + (x2 + w3)(x3 + w2)
 *     vd_load(p) vd_store(p, a)       16 doubles
 *     vd_add_vi(a, b) vd_to_float(a)
 *     vi_store_quads(p, step, a)      16 integers within int16, each four as inputs 0, 2, 1, 3 of a quad;
 *                                     quads are `step` integers apart
 *     quad_sums(p, step, n, &pairs)   of n such integers, n a multiple of 8: their sum; in pairs the sum of
 *                                     x0 x1 + x2 x3 of every quad; modulo 2^32 */
#ifndef QTENSOR_WIDE_H
#define QTENSOR_WIDE_H
#include "qtensor/codes.isa.h"

#if defined(GPT2Q_ISA_avx2) && !defined(GPT2Q_ISA_avxvnni)
#define WIDE_CODES 1

ALWAYS_INLINE __m256i widen8(__m256i u, int j)
{
    return j ? _mm256_srli_epi16(u, 8) : _mm256_and_si256(u, _mm256_set1_epi16(0xFF));
}
ALWAYS_INLINE vi vi_widen(vc u, int j) { return vi_pair(widen8(u.lo, j), widen8(u.hi, j)); }
ALWAYS_INLINE __m256i widen_signed8(__m256i u, int j)
{
    __m256i c = _mm256_xor_si256(u, fill8(0x80));
    return _mm256_srai_epi16(j ? c : _mm256_slli_epi16(c, 8), 8);
}
ALWAYS_INLINE vi vi_widen_signed(vc u, int j)
{
    return vi_pair(widen_signed8(u.lo, j), widen_signed8(u.hi, j));
}
ALWAYS_INLINE __m256i widen_nibbles8(__m256i u, int j)
{
    static const int shift[4] = {0, 8, 4, 12};
    if (j == 3) return _mm256_srli_epi16(u, 12);
    return _mm256_and_si256(j ? _mm256_srli_epi16(u, shift[j]) : u, _mm256_set1_epi16(0x0F));
}
ALWAYS_INLINE vi vi_widen_nibbles(vc u, int j)
{
    return vi_pair(widen_nibbles8(u.lo, j), widen_nibbles8(u.hi, j));
}
ALWAYS_INLINE vi vi_broadcast_two(const int16_t *p)
{
    int32_t two;
    memcpy(&two, p, sizeof two);
    return vi_set1(two);
}
ALWAYS_INLINE vi vi_dot_two(vi acc, vi a, vi b)
{
    return vi_pair(_mm256_add_epi32(acc.lo, _mm256_madd_epi16(a.lo, b.lo)),
                   _mm256_add_epi32(acc.hi, _mm256_madd_epi16(a.hi, b.hi)));
}

/* One block of assembly, because it needs all sixteen registers: with intrinsics gcc keeps weights in
 * memory. */
ALWAYS_INLINE vi vi_dot_quad(vi acc, const int16_t *p, vi even, vi odd)
{
    typedef int32_t __attribute__((may_alias)) two;
    __m256i a, b, s, t;
    __asm__("vpbroadcastd %[x02], %[a]\n\t"
            "vpbroadcastd %[x13], %[b]\n\t"
            "vpaddw %[odd0], %[a], %[s]\n\t"
            "vpaddw %[even0], %[b], %[t]\n\t"
            "vpaddw %[odd1], %[a], %[a]\n\t"
            "vpaddw %[even1], %[b], %[b]\n\t"
            "vpmaddwd %[s], %[t], %[s]\n\t"
            "vpmaddwd %[a], %[b], %[a]\n\t"
            "vpaddd %[s], %[lo], %[lo]\n\t"
            "vpaddd %[a], %[hi], %[hi]"
            : [lo] "+x"(acc.lo), [hi] "+x"(acc.hi), [a] "=&x"(a), [b] "=&x"(b), [s] "=&x"(s), [t] "=&x"(t)
            : [even0] "x"(even.lo), [even1] "x"(even.hi), [odd0] "x"(odd.lo), [odd1] "x"(odd.hi),
              [x02] "m"(*(const two *)p), [x13] "m"(*(const two *)(p + 2)));
    return acc;
}

ALWAYS_INLINE vd vd_load(const double *p)
{
    return (vd){_mm256_loadu_pd(p), _mm256_loadu_pd(p + 4), _mm256_loadu_pd(p + 8), _mm256_loadu_pd(p + 12)};
}
ALWAYS_INLINE void vd_store(double *p, vd a)
{
    _mm256_storeu_pd(p, a.q0);
    _mm256_storeu_pd(p + 4, a.q1);
    _mm256_storeu_pd(p + 8, a.q2);
    _mm256_storeu_pd(p + 12, a.q3);
}
ALWAYS_INLINE vd vd_add_vi(vd a, vi b)
{
    return (vd){_mm256_add_pd(a.q0, _mm256_cvtepi32_pd(_mm256_castsi256_si128(b.lo))),
                _mm256_add_pd(a.q1, _mm256_cvtepi32_pd(_mm256_extracti128_si256(b.lo, 1))),
                _mm256_add_pd(a.q2, _mm256_cvtepi32_pd(_mm256_castsi256_si128(b.hi))),
                _mm256_add_pd(a.q3, _mm256_cvtepi32_pd(_mm256_extracti128_si256(b.hi, 1)))};
}
ALWAYS_INLINE vf vd_to_float(vd a)
{
    return vf_pair(_mm256_set_m128(_mm256_cvtpd_ps(a.q1), _mm256_cvtpd_ps(a.q0)),
                   _mm256_set_m128(_mm256_cvtpd_ps(a.q3), _mm256_cvtpd_ps(a.q2)));
}

ALWAYS_INLINE void vi_store_quads(int16_t *p, int step, vi a)
{
    enum { SWAP = _MM_SHUFFLE(3, 1, 2, 0) };
    __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(a.lo, a.hi), SWAP);
    words = _mm256_shufflehi_epi16(_mm256_shufflelo_epi16(words, SWAP), SWAP);
    __m128d lo = _mm_castsi128_pd(_mm256_castsi256_si128(words)),
            hi = _mm_castsi128_pd(_mm256_extracti128_si256(words, 1));
    _mm_storel_pd((double *)(void *)p, lo);
    _mm_storeh_pd((double *)(void *)(p + step), lo);
    _mm_storel_pd((double *)(void *)(p + 2 * step), hi);
    _mm_storeh_pd((double *)(void *)(p + 3 * step), hi);
}
ALWAYS_INLINE uint32_t quad_sums(const int16_t *p, int step, int n, uint32_t *pairs)
{
    __m128i sum = _mm_setzero_si128(), products = sum;
    for (int i = 0; i < n; i += 8, p += 2 * step) {
        __m128d first = _mm_load_sd((const double *)(const void *)p);
        __m128i x = _mm_castpd_si128(_mm_loadh_pd(first, (const double *)(const void *)(p + step)));
        sum = _mm_add_epi32(sum, _mm_madd_epi16(x, _mm_set1_epi16(1)));
        /* both lanes of a quad get its two products */
        products = _mm_add_epi32(products, _mm_madd_epi16(x, _mm_shuffle_epi32(x, _MM_SHUFFLE(2, 3, 0, 1))));
    }
    sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, _MM_SHUFFLE(1, 0, 3, 2)));
    *pairs = (uint32_t)_mm_extract_epi32(products, 0) + (uint32_t)_mm_extract_epi32(products, 2);
    return (uint32_t)_mm_extract_epi32(sum, 0) + (uint32_t)_mm_extract_epi32(sum, 1);
}
#else
#define WIDE_CODES 0
#endif

#if defined(GPT2Q_ISA_avx512vnni)
ALWAYS_INLINE vi vi_widen(vc u, int j)
{
    return j ? _mm512_srli_epi16(u, 8) : _mm512_and_si512(u, _mm512_set1_epi16(0xFF));
}
ALWAYS_INLINE vi vi_widen_signed(vc u, int j)
{
    vc c = vc_signed(u);
    return _mm512_srai_epi16(j ? c : _mm512_slli_epi16(c, 8), 8);
}
ALWAYS_INLINE vi vi_dot_two(vi acc, vi a, vi b)
{
    __asm__("vpdpwssd %2, %1, %0" : "+v"(acc) : "v"(a), "v"(b));
    return acc;
}
ALWAYS_INLINE void vi_store_quads(int16_t *p, int step, vi a)
{
    enum { SWAP = _MM_SHUFFLE(3, 1, 2, 0) };
    __m256i words = _mm512_cvtepi32_epi16(a);
    (void)step; /* 4 */
    _mm256_storeu_si256((__m256i *)(void *)p,
                        _mm256_shufflehi_epi16(_mm256_shufflelo_epi16(words, SWAP), SWAP));
}
#endif
#endif
