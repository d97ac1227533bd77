/* What the tests of gpt2q batch share: a directory for the test that runs, its files, requests of every kind.
 */
#ifndef TESTS_BATCH_FILES_H
#define TESTS_BATCH_FILES_H
#include "tests/cli.h"

/* A fresh directory for a test; gone after it. */
int batch_set_up(void **state);
int batch_tear_down(void **state);
/* A file in it; good until eight others are named. */
const char *at(const char *name);

/* A whole file, ended by a 0, freed by the caller; empty where there is none. */
char *read_text(const char *path, size_t *n);
void write_text(const char *path, const char *text);
void expect_same_file(const char *want, const char *got);
/* Requests of every kind, n of them; every tenth is wrong. */
void write_requests(const char *path, int n);
/* gpt2q batch with these arguments, which must end with `code`. */
void run_batch(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* What lies at a path of keys and indexes, as in "choices.0.text"; NULL: nothing. The others fail a test
 * where it is of another kind. */
const cJSON *field(const cJSON *o, const char *path);
double number_at(const cJSON *o, const char *path);
const char *text_at(const cJSON *o, const char *path);
#endif
