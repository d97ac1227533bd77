/* The vector vocabulary. Every *.isa.c file is written once in these words and compiled once per
 * instruction set, with -DGPT2Q_ISA=<name> and that set's own -m flags. ISA(f) is f_<name>.
 *
 * There is one type with sixteen lanes in every instruction set: vf is 16 floats, vi 16 int32. scalar
 * spells them as arrays and is the definition; avx2 as two registers; avx512 as one. Each word gives the
 * same bits in all sets, so code written with them does, too. (There are no rcp, rsqrt, scalef or bf16
 * instructions: they round differently or flush denormals.)
 *
 *     vf_zero() vf_set1(x) vf_load(p) vf_store(p, v)        any alignment
 *     vf_load_n(p, n) vf_store_n(p, v, n)                   first n lanes (0..16), nothing else is touched;
 *                                                           other lanes +0
 *     vf_add sub mul div(a, b)   vf_fma(a, b, c) = a*b + c, rounded once   vf_sqrt(a)
 *     vf_rint(a)                                            ties to even
 *     vf_max(a, b) = a > b ? a : b    vf_min(a, b) = a < b ? a : b    (lane by lane; b if either is NaN)
 *     vf_abs(a)  vf_neg(a)  vf_copysign(magnitude, sign)
 *     vf_first(n, a, b)                                     lanes < n of a, the others of b
 *     vf_select_lt(a, b, x, y)                              a < b ? x : y
 *     bool vf_all_lt(a, b)                                  a < b in every lane (so none is NaN)
 *     vf_sum(a)                                             tree: +8, +4, +2, +1
 *     vf_hmax(a)                                            by the same tree of vf_max
 *     vi vf_to_int(a)                                       a is integral and within int32
 *     vf vi_to_float(i)   vf vf_pow2(vi n)                  2^n for -126 <= n <= 127
 *     vi_set1 vi_zero vi_load vi_store vi_add vi_sub
 *     vf_load_f16(p) vf_load_bf16(p) vf_load_i8(p)          16 values of 2, 2, 1 bytes, any alignment
 *     vf_load_f16_n(p, n) vf_load_bf16_n(p, n) vf_load_i8_n(p, n)
 *     vf_load_i16(p) vf_load_i16_n(p, n)
 *     vf_load_e4m3(p) vf_load_e5m2(p) vf_load_e8m0(p)       16 floats of a byte (float8.h); e4m3: times 2^-8. Codes of NaN
 *                                                           of e4m3 and e8m0 give some number
 *     vf_store_f16(p, v) vf_store_bf16(p, v)                round to nearest even
 *     vd: 16 doubles   vd_zero()   vd_add_vf(a, b) = a + (double)b   vd_sum(a) by vf_sum's tree
 *     prefetch(p) prefetch_far(p)                           hints: needed soon; later (second-level cache)
 *
 * VF_REGISTERS is the number of vf that the registers hold. Kernels choose the shape of their tiles by it,
 * and nothing else. A NaN stays a NaN. Its payload and sign are not specified where two operands are NaN
 * or an operation is invalid. */
#ifndef KERNELS_SIMD_H
#define KERNELS_SIMD_H
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define ISA_PASTE_(f, isa) f##_##isa
#define ISA_PASTE(f, isa)  ISA_PASTE_(f, isa)
#define ISA(f)             ISA_PASTE(f, GPT2Q_ISA)

/* Tiles are written with constant shapes, which must reach the innermost word, so words are inlined. Only
 * under a sanitizer the plain-C words stay functions: inlined with a check at every lane they take minutes
 * to compile. */
#if defined(__has_feature)
#define SANITIZED (__has_feature(address_sanitizer) || __has_feature(thread_sanitizer))
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif
#if SANITIZED && defined(GPT2Q_ISA_scalar)
#define ALWAYS_INLINE static __attribute__((noinline, unused))
#else
#define ALWAYS_INLINE static inline __attribute__((always_inline))
#endif

/* A set that only adds a dot product of codes to another set has that set's words, and BASE(f) of its
 * kernels. Only *.dot.isa.c are compiled for it. */
#if defined(GPT2Q_ISA_amx)
#define GPT2Q_ISA_avx512vnni
#endif
#if defined(GPT2Q_ISA_avxvnni)
#define GPT2Q_ISA_avx2
#define BASE(f) ISA_PASTE(f, avx2)
#elif defined(GPT2Q_ISA_avx512vnni)
#define GPT2Q_ISA_avx512
#define BASE(f) ISA_PASTE(f, avx512)
#else
#define BASE(f) ISA(f)
#endif

#define prefetch(p)     __builtin_prefetch(p)
#define prefetch_far(p) __builtin_prefetch(p, 0, 2)

#include "kernels/float8.h"

#if defined(GPT2Q_ISA_avx512)
#include "kernels/simd_avx512.h"
#elif defined(GPT2Q_ISA_avx2)
#include "kernels/simd_avx2.h"
#else
#include "kernels/simd_scalar.h"
#endif
#endif
