/* Running the program as a user does. */
#ifndef TESTS_CLI_H
#define TESTS_CLI_H
#include "tests/support.h"
#include <cjson/cJSON.h>

struct cli {
    int code;          /* exit code */
    char *out, *error; /* what went to stdout and stderr, zero-terminated */
    size_t out_size;
};
/* Runs `$GPT2Q <arguments>` (./gpt2q by default) through the shell, so that arguments are quoted as a shell
 * wants them. */
__attribute__((format(printf, 1, 2))) struct cli cli_run(const char *format, ...);
void cli_free(struct cli *c);
/* Runs it, expects this exit code and that stderr contains the text; prints what came instead. */
void expect_failure(int code, const char *error, const char *arguments);
/* Runs it, expects exit code 0 and one JSON document on stdout. */
cJSON *expect_json(const char *arguments);
/* The value of a key; fails the test without it. */
const cJSON *item(const cJSON *object, const char *key);
/* The same for a number. */
double number(const cJSON *object, const char *key);
/* Fails the test where a is farther from b than `relative` of b. */
void near(double a, double b, double relative);
/* The document in a file of at most a megabyte. */
cJSON *json_of_file(const char *path);

/* Thousands of tokens are too many where every instruction is checked. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define slow_build_skips() skip()
#else
#define slow_build_skips() ((void)0)
#endif
#endif
