/* What the tests of gpt2q batch share: a directory for the running test, its files, requests of every
 * kind. */
#ifndef TESTS_BATCH_FILES_H
#define TESTS_BATCH_FILES_H
#include "tests/cli.h"

/* A fresh directory for a test. It is removed after the test. */
int batch_set_up(void **state);
int batch_tear_down(void **state);
/* The path of a file in it, valid until eight others are named. */
const char *at(const char *name);

/* Reads a whole file, zero-terminated, for the caller to free. A missing file is empty. */
char *read_text(const char *path, size_t *n);
void write_text(const char *path, const char *text);
void expect_same_file(const char *want, const char *got);
/* Writes n requests of every kind. Every tenth is wrong. */
void write_requests(const char *path, int n);
/* Runs gpt2q batch with these arguments. It must end with `code`. */
#define run_batch(code, ...) expect_exit(code, "batch " __VA_ARGS__)

/* The value at a path of keys and indexes, as in "choices.0.text". NULL: nothing. The others fail the test
 * if the value is of another kind. */
const cJSON *field(const cJSON *o, const char *path);
double number_at(const cJSON *o, const char *path);
const char *text_at(const cJSON *o, const char *path);
#endif
