/* Memory: every allocation of the library goes through here, 64-byte aligned. Tests count allocations and make one, or
 * all from one on, fail; nothing else does. */
#ifndef BASE_MEMORY_H
#define BASE_MEMORY_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MEM_ALIGN 64

/* Uninitialized / zeroed bytes, aligned to MEM_ALIGN; NULL when there are none. Large blocks ask for huge
 * pages. n = 0 gives a valid pointer. */
void *mem_alloc(size_t n);
void *mem_zalloc(size_t n);
/* As malloc gives it, for the many small pieces of a library that takes an allocator. */
void *mem_alloc_small(size_t n);
/* count * size with the product checked. */
void *mem_array(size_t count, size_t size);
void *mem_zarray(size_t count, size_t size);
/* A larger block with the first `old` bytes of p; p is freed unless NULL is returned. */
void *mem_grow(void *p, size_t old, size_t n);
char *mem_strdup(const char *s);
char *mem_memdup(const char *s, size_t n); /* zero-terminated copy */
void mem_free(void *p);

/* For tests: allocations made so far; and the number of further allocations that succeed (-1: all). */
uint64_t mem_count(void);
void mem_fail_after(int64_t n);
/* Of further allocations number n, from 0, fails alone. */
void mem_fail_one(int64_t n);
#endif
