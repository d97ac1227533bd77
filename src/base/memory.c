#include "base/memory.h"
#include "base/checked.h"
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#ifdef __linux__
#include <sys/mman.h>
#endif

#define HUGE_PAGE ((size_t)2 << 20)

static atomic_uint_fast64_t allocations;
static atomic_int_fast64_t allowance = -1; /* -1: no limit */
static atomic_bool once;                   /* what comes after the one that fails succeeds */

uint64_t mem_count(void) { return atomic_load(&allocations); }
void mem_fail_after(int64_t n)
{
    atomic_store(&once, false);
    atomic_store(&allowance, n);
}
void mem_fail_one(int64_t n)
{
    atomic_store(&once, true);
    atomic_store(&allowance, n);
}

static bool allowed(void)
{
    int_fast64_t left = atomic_load_explicit(&allowance, memory_order_relaxed);
    if (left < 0) return true;
    if (left == 0) {
        if (atomic_load(&once)) atomic_store(&allowance, -1);
        return false;
    }
    atomic_fetch_sub(&allowance, 1);
    return true;
}

void *mem_alloc(size_t n)
{
    atomic_fetch_add_explicit(&allocations, 1, memory_order_relaxed);
    if (!allowed() || n > SIZE_MAX / 2) return NULL;
    size_t align = n >= 2 * HUGE_PAGE ? HUGE_PAGE : MEM_ALIGN;
    void *p = aligned_alloc(align, round_up(n ? n : 1, align));
#ifdef MADV_HUGEPAGE
    if (p && align == HUGE_PAGE) madvise(p, round_up(n, align), MADV_HUGEPAGE);
#endif
    return p;
}

void *mem_alloc_small(size_t n)
{
    atomic_fetch_add_explicit(&allocations, 1, memory_order_relaxed);
    return allowed() ? malloc(n ? n : 1) : NULL;
}

void *mem_zalloc(size_t n)
{
    void *p = mem_alloc(n);
    return p ? memset(p, 0, n) : NULL;
}

void *mem_array(size_t count, size_t size)
{
    size_t n;
    return checked_mul(count, size, &n) ? mem_alloc(n) : NULL;
}

void *mem_zarray(size_t count, size_t size)
{
    size_t n;
    return checked_mul(count, size, &n) ? mem_zalloc(n) : NULL;
}

void *mem_grow(void *p, size_t old, size_t n)
{
    void *q = mem_alloc(n);
    if (!q) return NULL;
    if (p) memcpy(q, p, old < n ? old : n);
    mem_free(p);
    return q;
}

char *mem_memdup(const char *s, size_t n)
{
    char *copy =
        n < SIZE_MAX ? mem_alloc_small(n + 1) : NULL; /* names, by the thousand: no whole lines of cache */
    if (!copy) return NULL;
    if (n) memcpy(copy, s, n);
    copy[n] = '\0';
    return copy;
}

char *mem_strdup(const char *s) { return mem_memdup(s, strlen(s)); }

void mem_free(void *p) { free(p); }
