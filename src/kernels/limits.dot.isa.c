/* The limits of one instruction set. There are enough chains to hide the latency of the instruction (4
 * cycles, two a cycle), and few enough to stay in registers. Where sets differ, one step of one chain is
 * spelled per set. */
#if defined(GPT2Q_ISA_amx)
#include "kernels/amx.h"
#endif
#include "kernels/limits_table.h"
#include "kernels/simd.h"

#define READ_STEP 256 /* four cache lines */
/* Bytes ahead of what is read. It hides the change of a page, which the hardware prefetcher does not cross. */
#define READ_PREFETCH 8192

/* A fold makes one number of a register. Any number will do; a sum would overflow. */

/* ---- reading ---- */

#if defined(GPT2Q_ISA_avx512)
typedef __m512i block;
ALWAYS_INLINE block block_zero(void) { return _mm512_setzero_si512(); }
ALWAYS_INLINE block block_join(block a, const uint8_t *p)
{
    return _mm512_xor_si512(a, _mm512_load_si512(p));
}
ALWAYS_INLINE uint64_t block_fold(block a) { return (uint64_t)_mm512_reduce_or_epi64(a); }
#elif defined(GPT2Q_ISA_avx2)
typedef struct block {
    __m256i lo, hi;
} block;
ALWAYS_INLINE block block_zero(void) { return (block){_mm256_setzero_si256(), _mm256_setzero_si256()}; }
ALWAYS_INLINE block block_join(block a, const uint8_t *p)
{
    return (block){_mm256_xor_si256(a.lo, _mm256_load_si256((const __m256i *)p)),
                   _mm256_xor_si256(a.hi, _mm256_load_si256((const __m256i *)(p + 32)))};
}
ALWAYS_INLINE uint64_t block_fold(block a)
{
    __m256i s = _mm256_xor_si256(a.lo, a.hi);
    return (uint64_t)_mm256_extract_epi64(s, 0) + (uint64_t)_mm256_extract_epi64(s, 1) +
           (uint64_t)_mm256_extract_epi64(s, 2) + (uint64_t)_mm256_extract_epi64(s, 3);
}
#else
typedef struct block {
    uint64_t word[8];
} block;
ALWAYS_INLINE block block_zero(void) { return (block){{0}}; }
ALWAYS_INLINE block block_join(block a, const uint8_t *p)
{
    block b;
    memcpy(&b, p, sizeof b);
    for (int i = 0; i < 8; i++) a.word[i] ^= b.word[i];
    return a;
}
ALWAYS_INLINE uint64_t block_fold(block a)
{
    uint64_t s = 0;
    for (int i = 0; i < 8; i++) s += a.word[i];
    return s;
}
#endif

static uint64_t ISA(limit_read)(const uint8_t *p, size_t n)
{
    block a = block_zero(), b = a, c = a, d = a;
    for (const uint8_t *end = p + n; p < end; p += READ_STEP) {
        for (int line = 0; line < READ_STEP; line += 64) prefetch(p + READ_PREFETCH + line);
        a = block_join(a, p);
        b = block_join(b, p + 64);
        c = block_join(c, p + 128);
        d = block_join(d, p + 192);
    }
    return block_fold(a) ^ block_fold(b) ^ block_fold(c) ^ block_fold(d);
}

/* ---- fused multiply-adds ---- */

#if VF_REGISTERS >= 32
#define CHAINS 12
#else
#define CHAINS 5
#endif

static float ISA(limit_fma)(size_t steps)
{
    static const volatile float factors[2] = {0.9990234375f,
                                              0.0009765625f}; /* towards 1: neither overflow nor denormals */
    vf a = vf_set1(factors[0]), b = vf_set1(factors[1]), acc[CHAINS], sum = vf_zero();
    for (int i = 0; i < CHAINS; i++) { /* all lanes differ: equal chains would be computed once */
        float start[16];
        for (int lane = 0; lane < 16; lane++) start[lane] = (float)(16 * i + lane);
        acc[i] = vf_load(start);
    }
    while (steps-- > 0)
        for (int i = 0; i < CHAINS; i++) acc[i] = vf_fma(acc[i], a, b);
    for (int i = 0; i < CHAINS; i++) sum = vf_add(sum, acc[i]);
    return vf_sum(sum);
}

/* ---- int8 dot products ---- */

/* OPAQUE makes a value unknown to the compiler. Otherwise it would move the product of two constants out
 * of the loop. */
#if defined(GPT2Q_ISA_avx512vnni)
typedef __m512i codes;
#define DOT_MACS    64
#define DOT_SET1(v) _mm512_set1_epi8(v)
#define OPAQUE(x)   __asm__("" : "+v"(x))
/* One instruction: gcc 12 copies registers around the intrinsic. */
#define DOT_STEP(acc, x, y) __asm__("vpdpbusd %2, %1, %0" : "+v"(acc) : "v"(x), "v"(y))
#define DOT_FOLD(acc)       ((uint64_t)_mm512_reduce_or_epi32(acc))
#ifndef GPT2Q_ISA_amx
/* in 16 bits, half of the products by sums, with one multiplication for two (qtensor/pair_sums.dot.isa.c) */
#define I16_PRODUCTS_FREE 1.5
#endif
#elif defined(GPT2Q_ISA_avx512)
typedef __m512i codes; /* widened to 16 bits: the 8-bit product of this set saturates */
#define DOT_MACS            32
#define DOT_SET1(v)         _mm512_set1_epi16(v)
#define OPAQUE(x)           __asm__("" : "+v"(x))
#define DOT_STEP(acc, x, y) ((acc) = _mm512_add_epi32(acc, _mm512_madd_epi16(x, y)))
#define DOT_FOLD(acc)       ((uint64_t)_mm512_reduce_or_epi32(acc))
#elif defined(GPT2Q_ISA_avxvnni)
typedef __m256i codes;
#define DOT_MACS            32
#define DOT_SET1(v)         _mm256_set1_epi8(v)
#define OPAQUE(x)           __asm__("" : "+x"(x))
#define DOT_STEP(acc, x, y) __asm__("%{vex%} vpdpbusd %2, %1, %0" : "+x"(acc) : "x"(x), "x"(y))
#define DOT_FOLD(acc)       ((uint64_t)_mm256_extract_epi64(acc, 0))
#elif defined(GPT2Q_ISA_avx2)
/* in 16 bits, two products from one multiplication of sums (qtensor/wide_matmul.isa.h) */
typedef __m256i codes;
#define DOT_MACS     32
#define I16_PRODUCTS 1
#define DOT_SET1(v)  _mm256_set1_epi16(v)
#define OPAQUE(x)    __asm__("" : "+x"(x))
/* One block: with intrinsics gcc 12 keeps sums in memory. */
#define DOT_STEP(acc, x, y)                                                                                  \
    do {                                                                                                     \
        codes s_, t_;                                                                                        \
        __asm__("vpaddw %4, %3, %1\n\tvpsubw %4, %3, %2\n\tvpmaddwd %1, %2, %1\n\tvpaddd %1, %0, %0"         \
                : "+x"(acc), "=&x"(s_), "=&x"(t_)                                                            \
                : "x"(x), "x"(y));                                                                           \
    } while (0)
#define DOT_FOLD(acc) ((uint64_t)_mm256_extract_epi64(acc, 0))
#else
typedef uint32_t codes;
#define DOT_MACS            1
#define DOT_SET1(v)         (v)
#define OPAQUE(x)           __asm__("" : "+r"(x))
#define DOT_STEP(acc, x, y) ((acc) += (x) * (y))
#define DOT_FOLD(acc)       ((uint64_t)(acc))
#endif

#ifndef I16_PRODUCTS
#define I16_PRODUCTS 2 /* one for the high byte, one for the low byte */
#endif
#ifndef I16_PRODUCTS_FREE
#define I16_PRODUCTS_FREE I16_PRODUCTS
#endif

#if defined(GPT2Q_ISA_amx)
/* Tiles of 16 rows, 16 outputs and 64 inputs. */
#define DOT_PRODUCTS (16 * 16 * 64 * 4)
static uint64_t ISA(limit_dot)(size_t steps)
{
    uint64_t sums[16 * 8];
    amx_configure(16, 16, 64, true);
    AMX_ZERO(0);
    AMX_ZERO(1);
    AMX_ZERO(2);
    AMX_ZERO(3);
    AMX_ZERO(4);
    AMX_ZERO(5);
    AMX_ZERO(6);
    AMX_ZERO(7);
    while (steps-- > 0) {
        AMX_DOT(0, 4, 6);
        AMX_DOT(1, 4, 7);
        AMX_DOT(2, 5, 6);
        AMX_DOT(3, 5, 7);
    }
    AMX_STORE(0, sums, 64);
    amx_release();
    return sums[0];
}
#else
#define DOT_CHAINS   10
#define DOT_PRODUCTS (DOT_MACS * DOT_CHAINS)
static uint64_t ISA(limit_dot)(size_t steps)
{
    codes x = DOT_SET1(3), y = DOT_SET1(5);
    codes a = DOT_SET1(0), b = a, c = a, d = a, e = a, f = a, g = a, h = a, i = a,
          j = a; /* an array would live on the stack */
    while (steps-- > 0) {
#define STEP(acc)                                                                                            \
    OPAQUE(x);                                                                                               \
    DOT_STEP(acc, x, y)
        STEP(a);
        STEP(b);
        STEP(c);
        STEP(d);
        STEP(e);
        STEP(f);
        STEP(g);
        STEP(h);
        STEP(i);
        STEP(j);
#undef STEP
    }
    return DOT_FOLD(a) + DOT_FOLD(b) + DOT_FOLD(c) + DOT_FOLD(d) + DOT_FOLD(e) + DOT_FOLD(f) + DOT_FOLD(g) +
           DOT_FOLD(h) + DOT_FOLD(i) + DOT_FOLD(j);
}
#endif

const struct limits ISA(limits_table) = {
    .read = ISA(limit_read),
    .fma = ISA(limit_fma),
    .dot = ISA(limit_dot),
    .fma_flops = 2.0 * 16 * CHAINS,
    .dot_ops = 2.0 * DOT_PRODUCTS,
    .i16_products = {I16_PRODUCTS, I16_PRODUCTS_FREE},
};
