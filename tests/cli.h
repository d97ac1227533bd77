/* Runs the program as a user does. */
#ifndef TESTS_CLI_H
#define TESTS_CLI_H
#include "base/sha256.h"
#include "tests/support.h"
#include <cjson/cJSON.h>

struct cli {
    int code;          /* exit code */
    char *out, *error; /* the output on stdout and stderr, zero-terminated */
    size_t out_size;
};
/* Runs `$GPT2Q <arguments>` (./gpt2q by default) through the shell, so arguments are quoted for a shell. */
__attribute__((format(printf, 1, 2))) struct cli cli_run(const char *format, ...);
void cli_free(struct cli *c);
/* Runs it and expects this exit code. Prints what came instead. */
__attribute__((format(printf, 2, 3))) void expect_exit(int code, const char *format, ...);
/* The same, and the text in stderr. */
void expect_failure(int code, const char *error, const char *arguments);
/* Runs it and expects exit code 0 and one JSON document on stdout. */
cJSON *expect_json(const char *arguments);
/* The value of a key. Fails the test if it is missing. */
const cJSON *item(const cJSON *object, const char *key);
/* The same for a number. */
double number(const cJSON *object, const char *key);
/* Fails the test if a differs from b by more than `relative` of b. */
void near(double a, double b, double relative);
/* The SHA-256 of a file. */
void sum_of_file(const char *path, char text[SHA256_TEXT]);
/* Parses a file of at most a megabyte. */
cJSON *json_of_file(const char *path);

/* Before a program that a shell starts in the background and that gets SIGINT: the shell would have it ignored. */
#define WITH_SIGINT "env --default-signal=INT "

/* Fewer tokens under a sanitizer, which checks every instruction. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define slow_build_skips() skip()
#else
#define slow_build_skips() ((void)0)
#endif
#endif
