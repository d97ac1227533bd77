#include "tests/batch_files.h"
#include <stdarg.h>

static char *directory; /* of the running test */

int batch_set_up(void **state)
{
    (void)state;
    directory = temp_directory();
    return 0;
}

int batch_tear_down(void **state)
{
    (void)state;
    temp_remove(directory);
    return 0;
}

const char *at(const char *name)
{
    static char paths[8][512];
    static unsigned turn;
    char *path = paths[turn++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", directory, name);
    return path;
}

char *read_text(const char *path, size_t *n)
{
    FILE *f = fopen(path, "rb");
    *n = 0;
    if (!f) return calloc(1, 1);
    fseek(f, 0, SEEK_END);
    size_t size = (size_t)ftell(f);
    char *text = malloc(size + 1);
    rewind(f);
    *n = fread(text, 1, size, f);
    fclose(f);
    text[*n] = '\0';
    return text;
}

void expect_same_file(const char *want, const char *got)
{
    size_t n, m;
    char *a = read_text(want, &n), *b = read_text(got, &m);
    if (n != m || memcmp(a, b, n)) fail_msg("%s (%zu bytes) and %s (%zu bytes) differ", want, n, got, m);
    free(a);
    free(b);
}

void write_text(const char *path, const char *text) { write_file(path, text, strlen(text)); }

/* Requests of every kind, n of them. */
void write_requests(const char *path, int n)
{
    static const char *const beginnings[] = {"Once upon a time", "The king", "She said",
                                             "Once upon a time there was a little dog who", "A"};
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    struct rng rng = {5};
    for (int i = 0; i < n; i++) {
        fprintf(f, "{\"prompt\": \"%s\", \"max_tokens\": %d, \"id\": \"r%d\"", beginnings[rng_below(&rng, 5)],
                (int)rng_below(&rng, 12), i);
        if (rng_below(&rng, 3) == 0) fprintf(f, ", \"temperature\": 1.1, \"seed\": %d", i);
        if (rng_below(&rng, 4) == 0) fprintf(f, ", \"stop\": [\" the\", \".\"]");
        if (rng_below(&rng, 6) == 0) fprintf(f, ", \"logprobs\": 2, \"echo\": true");
        if (rng_below(&rng, 6) == 0) fprintf(f, ", \"n\": 2");
        fprintf(f, i % 10 == 7 ? ", \"nonsense\": 1}\n" : "}\n");
    }
    fclose(f);
}

const cJSON *field(const cJSON *o, const char *path)
{
    char key[64];
    while (o && *path) {
        size_t n = strcspn(path, ".");
        snprintf(key, sizeof key, "%.*s", (int)n, path);
        o = key[0] >= '0' && key[0] <= '9' ? cJSON_GetArrayItem(o, atoi(key))
                                           : cJSON_GetObjectItemCaseSensitive(o, key);
        path += n + (path[n] == '.');
    }
    return o;
}

double number_at(const cJSON *o, const char *path)
{
    const cJSON *item = field(o, path);
    if (!cJSON_IsNumber(item)) fail_msg("%s is no number", path);
    return item->valuedouble;
}

const char *text_at(const cJSON *o, const char *path)
{
    const cJSON *item = field(o, path);
    if (!cJSON_IsString(item)) fail_msg("%s is no text", path);
    return item->valuestring;
}
