/* The vocabulary for codes, beside kernels/simd.h and by its rules. vc is sixteen lanes of four bytes: lanes
 * are outputs, bytes inputs.
 *
 *   vc_load(p) vc_store(p, a)       64 bytes, any alignment
 *   vc_signed(a)                    code + 128 to int8 code, byte by byte
 *   vc_signed_low(a) _high(a)       the low or high nibble of each byte, code + 8, to the int8 16*code
 *   vc_low(a) vc_high(a)            the same nibbles as they are, 0..15
 *   vc_bits(a, right, mask)         a >> right, or << -right, byte by byte, of which mask is kept: bits that
 *                                   come from a neighbour must not be in it
 *   vc_or(a, b)
 *   vc_table(p)                     the 16 bytes at p, for vc_lookup
 *   vc_lookup(table, a)             the table's byte of each number 0..15 of a
 *   vc_level(table, a, shift)       with a lane's four bytes as an integer, the table's float of its four bits from `shift` on
 *   vc_float(a, j)                  byte j of each lane as the float 2^24 * int8: exact, in two operations
 *   vc_pack(a, b, c, d)             the bytes of four vi of 0..255
 *   vc_broadcast(p)                 the same four bytes in every lane
 *   vi_dot(acc, u, x)               acc + the lane's four products of u (0..255) and x (int8); exact
 *   vi_dot_nibbles(acc, u, x)       the same for u in 0..15
 *   vi_dot_pairs(acc, u, x)         where NIBBLE_PAIRS: the same in sums of two products, 16 bits each; exact
 * for 8 of them vi_add_pairs(acc, pairs)        acc + the lane's two such sums vi_join(hi, lo) 256*hi + lo as
 * a float, rounded once vi_mul(a, b)                    low 32 bits of the products vi_store_i8(p, a) 16
 * integers within int8 as bytes */
#ifndef QTENSOR_CODES_H
#define QTENSOR_CODES_H
#include "kernels/simd.h"

#if defined(GPT2Q_ISA_avx512)
typedef __m512i vc;

ALWAYS_INLINE vc vc_load(const uint8_t *p) { return _mm512_loadu_si512(p); }
ALWAYS_INLINE void vc_store(uint8_t *p, vc a) { _mm512_storeu_si512(p, a); }
ALWAYS_INLINE vc vc_fill(int byte) { return _mm512_set1_epi8((char)byte); }
ALWAYS_INLINE vc vc_sub(vc a, vc b) { return _mm512_sub_epi8(a, b); }  /* of this set only */
ALWAYS_INLINE vi vi_over_256(vi a) { return _mm512_srai_epi32(a, 8); } /* the same; rounded down */
ALWAYS_INLINE vi vi_modulo_256(vi a) { return _mm512_and_si512(a, _mm512_set1_epi32(255)); }
ALWAYS_INLINE vc vc_signed(vc a) { return _mm512_xor_si512(a, vc_fill(0x80)); }
ALWAYS_INLINE vc vc_signed_high(vc a)
{
    return _mm512_and_si512(_mm512_xor_si512(a, vc_fill(0x80)), vc_fill(0xF0));
}
ALWAYS_INLINE vc vc_signed_low(vc a) { return vc_signed_high(_mm512_slli_epi16(a, 4)); }
ALWAYS_INLINE vc vc_low(vc a) { return _mm512_and_si512(a, vc_fill(0x0F)); }
ALWAYS_INLINE vc vc_high(vc a) { return _mm512_and_si512(_mm512_srli_epi16(a, 4), vc_fill(0x0F)); }
/* Shifts of the language: the compilers do not agree on the type of the intrinsics' counts. */
typedef uint16_t vc_words __attribute__((vector_size(64)));
ALWAYS_INLINE vc vc_bits(vc a, int right, int mask)
{
    if (right > 0) a = (vc)((vc_words)a >> (uint16_t)right);
    if (right < 0) a = (vc)((vc_words)a << (uint16_t)-right);
    return _mm512_and_si512(a, vc_fill(mask));
}
ALWAYS_INLINE vc vc_or(vc a, vc b) { return _mm512_or_si512(a, b); }
ALWAYS_INLINE vc vc_table(const uint8_t *p)
{
    return _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)p));
}
ALWAYS_INLINE vc vc_lookup(vc table, vc a) { return _mm512_shuffle_epi8(table, a); }
ALWAYS_INLINE vf vc_level(vf table, vc a, int shift)
{
    return _mm512_permutexvar_ps(_mm512_srli_epi32(a, (unsigned)shift), table); /* by the low four bits */
}
ALWAYS_INLINE vf vc_float(vc a, int j)
{
    __m512i to_top = _mm512_add_epi32(_mm512_set4_epi32(0x0C808080, 0x08808080, 0x04808080, 0x00808080),
                                      _mm512_set1_epi32(j << 24));
    return _mm512_cvtepi32_ps(_mm512_shuffle_epi8(a, to_top));
}
ALWAYS_INLINE vc vc_pack(vi a, vi b, vi c, vi d)
{
    return _mm512_or_si512(_mm512_or_si512(a, _mm512_slli_epi32(b, 8)),
                           _mm512_or_si512(_mm512_slli_epi32(c, 16), _mm512_slli_epi32(d, 24)));
}
ALWAYS_INLINE vc vc_broadcast(const int8_t *p)
{
    int32_t four;
    memcpy(&four, p, sizeof four);
    return _mm512_set1_epi32(four);
}
ALWAYS_INLINE vi vi_mul(vi a, vi b) { return _mm512_mullo_epi32(a, b); }
ALWAYS_INLINE void vi_store_i8(int8_t *p, vi a) { _mm_storeu_si128((__m128i *)p, _mm512_cvtepi32_epi8(a)); }
ALWAYS_INLINE __m256 join8(__m256i hi, __m256i lo) /* exact in double */
{
    return _mm512_cvtpd_ps(
        _mm512_fmadd_pd(_mm512_cvtepi32_pd(hi), _mm512_set1_pd(256.0), _mm512_cvtepi32_pd(lo)));
}
ALWAYS_INLINE vf vi_join(vi hi, vi lo)
{
    return _mm512_insertf32x8(
        _mm512_castps256_ps512(join8(_mm512_castsi512_si256(hi), _mm512_castsi512_si256(lo))),
        join8(_mm512_extracti64x4_epi64(hi, 1), _mm512_extracti64x4_epi64(lo, 1)), 1);
}

#if defined(GPT2Q_ISA_avx512vnni)
/* One instruction of inline assembly: with the intrinsic, gcc 12 copies a register around every product. */
ALWAYS_INLINE vi vi_dot(vi acc, vc u, vc x)
{
    __asm__("vpdpbusd %2, %1, %0" : "+v"(acc) : "v"(u), "v"(x));
    return acc;
}
ALWAYS_INLINE vi vi_dot_nibbles(vi acc, vc u, vc x) { return vi_dot(acc, u, x); }
#else
/* Even and odd bytes apart, in 16 bits: vpmaddubsw would saturate at 2 * 255 * 127. */
ALWAYS_INLINE vi vi_dot(vi acc, vc u, vc x)
{
    __m512i even = _mm512_madd_epi16(_mm512_and_si512(u, _mm512_set1_epi16(0xFF)),
                                     _mm512_srai_epi16(_mm512_slli_epi16(x, 8), 8));
    __m512i odd = _mm512_madd_epi16(_mm512_srli_epi16(u, 8), _mm512_srai_epi16(x, 8));
    return _mm512_add_epi32(acc, _mm512_add_epi32(even, odd));
}
/* Here it cannot: 2 * 15 * 128. */
ALWAYS_INLINE vi vi_dot_nibbles(vi acc, vc u, vc x)
{
    return _mm512_add_epi32(acc, _mm512_madd_epi16(_mm512_maddubs_epi16(u, x), _mm512_set1_epi16(1)));
}
#endif

#elif defined(GPT2Q_ISA_avx2)
typedef vi vc;

ALWAYS_INLINE vc vc_load(const uint8_t *p)
{
    return vi_pair(_mm256_loadu_si256((const __m256i *)p), _mm256_loadu_si256((const __m256i *)(p + 32)));
}
ALWAYS_INLINE void vc_store(uint8_t *p, vc a)
{
    _mm256_storeu_si256((__m256i *)p, a.lo);
    _mm256_storeu_si256((__m256i *)(p + 32), a.hi);
}
ALWAYS_INLINE __m256i fill8(int byte) { return _mm256_set1_epi8((char)byte); }
ALWAYS_INLINE vc vc_signed(vc a)
{
    return vi_pair(_mm256_xor_si256(a.lo, fill8(0x80)), _mm256_xor_si256(a.hi, fill8(0x80)));
}
ALWAYS_INLINE __m256i signed_high8(__m256i a)
{
    return _mm256_and_si256(_mm256_xor_si256(a, fill8(0x80)), fill8(0xF0));
}
ALWAYS_INLINE vc vc_signed_high(vc a) { return vi_pair(signed_high8(a.lo), signed_high8(a.hi)); }
ALWAYS_INLINE vc vc_signed_low(vc a)
{
    return vi_pair(signed_high8(_mm256_slli_epi16(a.lo, 4)), signed_high8(_mm256_slli_epi16(a.hi, 4)));
}
ALWAYS_INLINE vc vc_low(vc a)
{
    return vi_pair(_mm256_and_si256(a.lo, fill8(0x0F)), _mm256_and_si256(a.hi, fill8(0x0F)));
}
ALWAYS_INLINE vc vc_high(vc a)
{
    return vc_low(vi_pair(_mm256_srli_epi16(a.lo, 4), _mm256_srli_epi16(a.hi, 4)));
}
ALWAYS_INLINE __m256i bits8(__m256i a, int right, int mask)
{
    if (right > 0) a = _mm256_srli_epi16(a, right);
    if (right < 0) a = _mm256_slli_epi16(a, -right);
    return _mm256_and_si256(a, fill8(mask));
}
ALWAYS_INLINE vc vc_bits(vc a, int right, int mask)
{
    return vi_pair(bits8(a.lo, right, mask), bits8(a.hi, right, mask));
}
ALWAYS_INLINE vc vc_or(vc a, vc b)
{
    return vi_pair(_mm256_or_si256(a.lo, b.lo), _mm256_or_si256(a.hi, b.hi));
}
ALWAYS_INLINE vc vc_table(const uint8_t *p)
{
    __m256i table = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)p));
    return vi_pair(table, table);
}
ALWAYS_INLINE vc vc_lookup(vc table, vc a)
{
    return vi_pair(_mm256_shuffle_epi8(table.lo, a.lo), _mm256_shuffle_epi8(table.hi, a.hi));
}
/* Two tables of eight, of which the fourth bit chooses one: as a sign, it does so itself. */
ALWAYS_INLINE __m256 level8(vf table, __m256i a, int shift)
{
    __m256i at = _mm256_srli_epi32(a, shift);
    return _mm256_blendv_ps(_mm256_permutevar8x32_ps(table.lo, at), _mm256_permutevar8x32_ps(table.hi, at),
                            _mm256_castsi256_ps(_mm256_slli_epi32(a, 28 - shift)));
}
ALWAYS_INLINE vf vc_level(vf table, vc a, int shift)
{
    return vf_pair(level8(table, a.lo, shift), level8(table, a.hi, shift));
}
ALWAYS_INLINE vf vc_float(vc a, int j)
{
    __m256i to_top = _mm256_add_epi32(_mm256_setr_epi32(0x00808080, 0x04808080, 0x08808080, 0x0C808080,
                                                        0x00808080, 0x04808080, 0x08808080, 0x0C808080),
                                      _mm256_set1_epi32(j << 24));
    return vf_pair(_mm256_cvtepi32_ps(_mm256_shuffle_epi8(a.lo, to_top)),
                   _mm256_cvtepi32_ps(_mm256_shuffle_epi8(a.hi, to_top)));
}
ALWAYS_INLINE __m256i pack8(__m256i a, __m256i b, __m256i c, __m256i d)
{
    return _mm256_or_si256(_mm256_or_si256(a, _mm256_slli_epi32(b, 8)),
                           _mm256_or_si256(_mm256_slli_epi32(c, 16), _mm256_slli_epi32(d, 24)));
}
ALWAYS_INLINE vc vc_pack(vi a, vi b, vi c, vi d)
{
    return vi_pair(pack8(a.lo, b.lo, c.lo, d.lo), pack8(a.hi, b.hi, c.hi, d.hi));
}
ALWAYS_INLINE vc vc_broadcast(const int8_t *p)
{
    int32_t four;
    memcpy(&four, p, sizeof four);
    return vi_set1(four);
}
ALWAYS_INLINE vi vi_mul(vi a, vi b)
{
    return vi_pair(_mm256_mullo_epi32(a.lo, b.lo), _mm256_mullo_epi32(a.hi, b.hi));
}
ALWAYS_INLINE void vi_store_i8(int8_t *p, vi a)
{
    __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(a.lo, a.hi), _MM_SHUFFLE(3, 1, 2, 0));
    __m128i bytes = _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
    _mm_storeu_si128((__m128i *)p, bytes);
}
ALWAYS_INLINE __m128 join4(__m128i hi, __m128i lo) /* exact in double */
{
    return _mm256_cvtpd_ps(
        _mm256_fmadd_pd(_mm256_cvtepi32_pd(hi), _mm256_set1_pd(256.0), _mm256_cvtepi32_pd(lo)));
}
ALWAYS_INLINE __m256 join8(__m256i hi, __m256i lo)
{
    return _mm256_set_m128(join4(_mm256_extracti128_si256(hi, 1), _mm256_extracti128_si256(lo, 1)),
                           join4(_mm256_castsi256_si128(hi), _mm256_castsi256_si128(lo)));
}
ALWAYS_INLINE vf vi_join(vi hi, vi lo) { return vf_pair(join8(hi.lo, lo.lo), join8(hi.hi, lo.hi)); }
#if defined(GPT2Q_ISA_avxvnni)
ALWAYS_INLINE __m256i dot8(__m256i acc, __m256i u, __m256i x)
{
    __asm__("%{vex%} vpdpbusd %2, %1, %0" : "+x"(acc) : "x"(u), "x"(x));
    return acc;
}
#define dot_nibbles8 dot8
#else
/* Even and odd bytes apart, in 16 bits: vpmaddubsw would saturate at 2 * 255 * 127. */
ALWAYS_INLINE __m256i dot8(__m256i acc, __m256i u, __m256i x)
{
    __m256i even = _mm256_madd_epi16(_mm256_and_si256(u, _mm256_set1_epi16(0xFF)),
                                     _mm256_srai_epi16(_mm256_slli_epi16(x, 8), 8));
    __m256i odd = _mm256_madd_epi16(_mm256_srli_epi16(u, 8), _mm256_srai_epi16(x, 8));
    return _mm256_add_epi32(acc, _mm256_add_epi32(even, odd));
}
/* Here it cannot: 2 * 15 * 128, of which 8 fit 16 bits. */
#define NIBBLE_PAIRS 1
ALWAYS_INLINE __m256i add_pairs8(__m256i acc, __m256i pairs)
{
    return _mm256_add_epi32(acc, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}
ALWAYS_INLINE __m256i dot_nibbles8(__m256i acc, __m256i u, __m256i x)
{
    return add_pairs8(acc, _mm256_maddubs_epi16(u, x));
}
ALWAYS_INLINE vi vi_add_pairs(vi acc, vi pairs)
{
    return vi_pair(add_pairs8(acc.lo, pairs.lo), add_pairs8(acc.hi, pairs.hi));
}
/* In assembly: gcc adds the products of two steps first, and then has too few registers for the sums. */
ALWAYS_INLINE vi vi_dot_pairs(vi acc, vc u, vc x)
{
    __m256i t;
    __asm__("vpmaddubsw %[xlo], %[ulo], %[t]\n\t"
            "vpaddw %[t], %[lo], %[lo]\n\t"
            "vpmaddubsw %[xhi], %[uhi], %[t]\n\t"
            "vpaddw %[t], %[hi], %[hi]"
            : [lo] "+x"(acc.lo), [hi] "+x"(acc.hi), [t] "=&x"(t)
            : [ulo] "x"(u.lo), [uhi] "x"(u.hi), [xlo] "x"(x.lo), [xhi] "x"(x.hi));
    return acc;
}
#endif
ALWAYS_INLINE vi vi_dot(vi acc, vc u, vc x)
{
    return vi_pair(dot8(acc.lo, u.lo, x.lo), dot8(acc.hi, u.hi, x.hi));
}
ALWAYS_INLINE vi vi_dot_nibbles(vi acc, vc u, vc x)
{
    return vi_pair(dot_nibbles8(acc.lo, u.lo, x.lo), dot_nibbles8(acc.hi, u.hi, x.hi));
}

#else /* scalar: the definition */
typedef struct vc {
    uint8_t b[64];
} vc;

#define VC_BYTES(expression)                                                                                 \
    vc r_;                                                                                                   \
    for (int i = 0; i < 64; i++) r_.b[i] = (uint8_t)(expression);                                            \
    return r_

ALWAYS_INLINE vc vc_load(const uint8_t *p) { VC_BYTES(p[i]); }
ALWAYS_INLINE void vc_store(uint8_t *p, vc a) { memcpy(p, a.b, sizeof a.b); }
ALWAYS_INLINE vc vc_signed(vc a) { VC_BYTES(a.b[i] ^ 0x80); }
ALWAYS_INLINE vc vc_signed_high(vc a) { VC_BYTES((a.b[i] ^ 0x80) & 0xF0); }
ALWAYS_INLINE vc vc_signed_low(vc a) { VC_BYTES((a.b[i] << 4 ^ 0x80) & 0xF0); }
ALWAYS_INLINE vc vc_low(vc a) { VC_BYTES(a.b[i] & 0x0F); }
ALWAYS_INLINE vc vc_high(vc a) { VC_BYTES(a.b[i] >> 4); }
ALWAYS_INLINE vc vc_bits(vc a, int right, int mask)
{
    VC_BYTES((right < 0 ? a.b[i] << -right : a.b[i] >> right) & mask);
}
ALWAYS_INLINE vc vc_or(vc a, vc b) { VC_BYTES(a.b[i] | b.b[i]); }
ALWAYS_INLINE vc vc_table(const uint8_t *p) { VC_BYTES(p[i % 16]); }
ALWAYS_INLINE vc vc_lookup(vc table, vc a) { VC_BYTES(table.b[a.b[i]]); }
ALWAYS_INLINE vf vc_level(vf table, vc a, int shift)
{
    VF_LANES(table.v[a.b[4 * i + shift / 8] >> shift % 8 & 15]);
}
ALWAYS_INLINE vf vc_float(vc a, int j) { VF_LANES((float)(int8_t)a.b[4 * i + j] * 0x1p24f); }
ALWAYS_INLINE vc vc_pack(vi a, vi b, vi c, vi d)
{
    const vi *parts[4] = {&a, &b, &c, &d};
    VC_BYTES(parts[i % 4]->v[i / 4]);
}
ALWAYS_INLINE vc vc_broadcast(const int8_t *p) { VC_BYTES(p[i % 4]); }
ALWAYS_INLINE vi vi_mul(vi a, vi b) { VI_LANES((int32_t)((uint32_t)a.v[i] * (uint32_t)b.v[i])); }
ALWAYS_INLINE void vi_store_i8(int8_t *p, vi a)
{
    for (int i = 0; i < 16; i++) p[i] = (int8_t)a.v[i];
}
ALWAYS_INLINE vi vi_dot(vi acc, vc u, vc x)
{
    for (int i = 0; i < 64; i++) acc.v[i / 4] += u.b[i] * (int8_t)x.b[i];
    return acc;
}
ALWAYS_INLINE vi vi_dot_nibbles(vi acc, vc u, vc x) { return vi_dot(acc, u, x); }
ALWAYS_INLINE vf vi_join(vi hi, vi lo) { VF_LANES((float)((int64_t)hi.v[i] * 256 + lo.v[i])); }
#endif

#ifndef NIBBLE_PAIRS
#define NIBBLE_PAIRS 0
#endif
#endif
