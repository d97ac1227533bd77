#include "tests/cli.h"
#include "base/file.h"
#include "base/memory.h"
#include <math.h>
#include <sys/wait.h>
#include <unistd.h>

static char *read_all(const char *path, size_t *size)
{
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    char *text = NULL;
    size_t used = 0, capacity = 0;
    for (size_t got = 1; got;) {
        if (used + 4096 > capacity) text = realloc(text, capacity = capacity * 2 + 8192);
        got = fread(text + used, 1, 4095, f);
        used += got;
    }
    fclose(f);
    text[used] = '\0';
    if (size) *size = used;
    return text;
}

struct cli cli_run(const char *format, ...)
{
    static char arguments[65536], command[70000];
    va_list args;
    va_start(args, format);
    vsnprintf(arguments, sizeof arguments, format, args);
    va_end(args);
    char out[512], error[512];
    snprintf(out, sizeof out, "%s/gpt2q-out-XXXXXX", temp_base());
    snprintf(error, sizeof error, "%s/gpt2q-error-XXXXXX", temp_base());
    assert_int_equal(close(mkstemp(out)), 0);
    assert_int_equal(close(mkstemp(error)), 0);
    const char *program = getenv("GPT2Q");
    snprintf(command, sizeof command, "exec >'%s' 2>'%s'; %s %s", out, error, program ? program : "./gpt2q",
             arguments);
    int status = system(command);
    struct cli c = {.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status)};
    c.out = read_all(out, &c.out_size);
    c.error = read_all(error, NULL);
    unlink(out);
    unlink(error);
    return c;
}

void cli_free(struct cli *c)
{
    free(c->out);
    free(c->error);
}

void expect_exit(int code, const char *format, ...)
{
    char arguments[4096];
    va_list args;
    va_start(args, format);
    vsnprintf(arguments, sizeof arguments, format, args);
    va_end(args);
    struct cli c = cli_run("%s", arguments);
    if (c.code != code)
        fail_msg("gpt2q %s: exit code %d where %d is expected: %s", arguments, c.code, code, c.error);
    cli_free(&c);
}

void expect_failure(int code, const char *error, const char *arguments)
{
    struct cli c = cli_run("%s", arguments);
    if (c.code != code || !strstr(c.error, error))
        fail_msg("gpt2q %s: exit code %d (expected %d), stderr '%s' (expected '%s')", arguments, c.code, code,
                 c.error, error);
    const char *newline = strchr(c.error, '\n');
    if (!newline || newline[1]) fail_msg("gpt2q %s: stderr is not one line: '%s'", arguments, c.error);
    cli_free(&c);
}

cJSON *expect_json(const char *arguments)
{
    struct cli c = cli_run("%s", arguments);
    if (c.code != 0) fail_msg("gpt2q %s: exit code %d, '%s'", arguments, c.code, c.error);
    const char *end;
    cJSON *doc = cJSON_ParseWithOpts(c.out, &end, 0);
    if (!doc || strcmp(end, "\n"))
        fail_msg("gpt2q %s: stdout is not one JSON document: '%s'", arguments, c.out);
    cli_free(&c);
    return doc;
}

cJSON *json_of_file(const char *path)
{
    static char text[1 << 20];
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    text[fread(text, 1, sizeof text - 1, f)] = '\0';
    fclose(f);
    cJSON *doc = cJSON_Parse(text);
    assert_non_null(doc);
    return doc;
}

const cJSON *item(const cJSON *object, const char *key)
{
    const cJSON *i = cJSON_GetObjectItemCaseSensitive(object, key);
    if (!i) fail_msg("key '%s' is missing", key);
    return i;
}

double number(const cJSON *object, const char *key)
{
    const cJSON *i = item(object, key);
    if (!cJSON_IsNumber(i)) fail_msg("key '%s' is no number", key);
    return i->valuedouble;
}

void near(double a, double b, double relative)
{
    if (!(fabs(a - b) <= relative * fabs(b))) fail_msg("%.9g where %.9g is expected", a, b);
}

void sum_of_file(const char *path, char text[SHA256_TEXT])
{
    gpt2q_error err;
    char *data;
    size_t n;
    struct sha256 sum;
    if (file_read(path, (size_t)1 << 30, &data, &n, &err)) fail_msg("%s", err.message);
    sha256_begin(&sum);
    sha256_add(&sum, data, n);
    sha256_print(&sum, text);
    mem_free(data);
}
