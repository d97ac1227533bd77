/* What the tests share: paths of data, memory that ends at a guard page, reproducible random numbers.
 * Include it first. */
#ifndef TESTS_SUPPORT_H
#define TESTS_SUPPORT_H
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "gpt2q.h"

/* clang says in its own way which sanitizer there is. */
#ifdef __has_feature
#if __has_feature(thread_sanitizer) && !defined(__SANITIZE_THREAD__)
#define __SANITIZE_THREAD__ 1
#endif
#if __has_feature(address_sanitizer) && !defined(__SANITIZE_ADDRESS__)
#define __SANITIZE_ADDRESS__ 1
#endif
#endif

/* A path below the repository (tests run from its root, or $GPT2Q_ROOT names it):
 * repo_path("tests/golden/data"). Four results stay valid at a time. */
const char *repo_path(const char *relative);
/* A path below the shared data ($GPT2Q_SHARED, else ../shared beside the repository). NULL if that file is
 * missing: then the test says skip(). */
const char *shared_path(const char *relative);
/* The result of a program that can run none of its tests here: one skipped test, and a line that says why. */
int skip_all(const char *why);
/* skip() with a line that says what is missing. */
#define need_shared(variable, relative)                                                                      \
    const char *variable = shared_path(relative);                                                            \
    if (!variable) {                                                                                         \
        print_message("skipped: %s is not here\n", relative);                                                \
        skip();                                                                                              \
    }

/* n bytes that end exactly at an unreadable page, for guard_free. */
void *guard_alloc(size_t n);
void guard_free(void *p, size_t n);

/* Reproducible: splitmix64. */
struct rng {
    uint64_t state;
};
uint64_t rng_next(struct rng *r);
uint32_t rng_below(struct rng *r, uint32_t n); /* 0..n-1 */
float rng_uniform(struct rng *r);              /* [-1, 1) */
float rng_normal(struct rng *r);               /* approximately: a sum of uniforms */

/* The folder of temporary files: $TMPDIR, or /tmp if that is not set. */
const char *temp_base(void);
/* A fresh temporary directory (removed with all in it by temp_remove). */
char *temp_directory(void);
/* An empty file of its own below temp_base(); its path goes to `path`, short enough for a socket. Returns a descriptor. */
#define TEMP_PATH 100
int temp_file(char path[TEMP_PATH]);
void temp_remove(char *directory);
void write_file(const char *path, const void *data, size_t n);
#endif
