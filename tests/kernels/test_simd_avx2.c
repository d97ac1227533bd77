/* The words of simd.h in AVX2; skipped on a CPU without it. The pragmas stand for the library's -m flags. */
#include "tests/support.h"
#if defined(__x86_64__)
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c")
#endif
#define GPT2Q_ISA avx2
#define GPT2Q_ISA_avx2
#include "tests/kernels/simd_words.h"
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#endif

int main(void)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return check_words();
#endif
    return skip_all("this CPU has no AVX2");
}
