#include "kernels/core.h"
#include <stdatomic.h>
#if defined(__x86_64__)
#include <cpuid.h>

static bool is_intel(void)
{
    unsigned a, b, c, d;
    return __get_cpuid(0, &a, &b, &c, &d) && b == signature_INTEL_ebx;
}
#else
static bool is_intel(void) { return false; }
#endif

/* Asked once: in a virtual machine the question takes microseconds. */
bool core_adds_for_free(void)
{
    enum { UNKNOWN, YES, NO };
    static atomic_int known = UNKNOWN;
    if (atomic_load_explicit(&known, memory_order_relaxed) == UNKNOWN)
        atomic_store_explicit(&known, is_intel() ? NO : YES, memory_order_relaxed);
    return atomic_load_explicit(&known, memory_order_relaxed) == YES;
}
