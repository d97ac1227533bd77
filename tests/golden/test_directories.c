/* Directories from elsewhere: the ids and texts that transformers makes (tokenizer-directories.json,
 * written by make_directories.py), from the files and from a .gpt2q file made of them. */
#include "tests/support.h"
#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/utf8.h"
#include "tokenizer/directory.h"

#define PLACE "\"@vocab@\": 0"

static const cJSON *get(const cJSON *o, const char *key) { return cJSON_GetObjectItemCaseSensitive(o, key); }

/* Writes a file, with the vocabulary's entries instead of the mark. */
static void write_text(const char *directory, const cJSON *file, const char *entries)
{
    char path[4200];
    const char *text = file->valuestring, *mark = strstr(text, PLACE);
    size_t before = mark ? (size_t)(mark - text) : strlen(text), n = strlen(text) + strlen(entries) + 1;
    char *whole = malloc(n);
    assert_non_null(whole);
    snprintf(whole, n, "%.*s%s%s", (int)before, text, mark ? entries : "", mark ? mark + strlen(PLACE) : "");
    snprintf(path, sizeof path, "%s/%s", directory, file->string);
    write_file(path, whole, strlen(whole));
    free(whole);
}

static void compare_ids(const struct tokenizer *t, const cJSON *cases, int number)
{
    const cJSON *item, *id;
    cJSON_ArrayForEach(item, cases)
    {
        const char *text = get(item, "text")->valuestring;
        int32_t ids[256];
        size_t n, k = 0;
        gpt2q_error err;
        unsigned flags = cJSON_IsTrue(get(item, "special")) ? TOKENIZER_SPECIAL : 0;
        if (tokenizer_encode(t, text, strlen(text), flags, ids, 256, &n, &err)) fail_msg("%s", err.message);
        assert_true(n <= tokenizer_max_ids(t, strlen(text)));
        cJSON_ArrayForEach(id, get(item, "ids"))
        {
            if (k == n || ids[k] != (int32_t)id->valuedouble)
                fail_msg("directory %d, '%s', special %d: id %d at %zu, not %d", number, text, (int)flags,
                         k < n ? (int)ids[k] : -1, k, (int)id->valuedouble);
            k++;
        }
        assert_int_equal(k, n);
    }
}

static void compare_texts(const struct tokenizer *t, const cJSON *cases, int number)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, cases)
    {
        size_t n, length;
        const char *bytes = tokenizer_bytes(t, (int32_t)get(item, "id")->valuedouble, &n);
        char *text = utf8_sanitize(bytes ? bytes : "", n, &length);
        if (strcmp(text, get(item, "text")->valuestring))
            fail_msg("directory %d: id %d is '%s', not '%s'", number, (int)get(item, "id")->valuedouble, text,
                     get(item, "text")->valuestring);
        mem_free(text);
    }
}

static void compare(const char *directory, const cJSON *item, int number)
{
    struct tokenizer *t;
    struct directory_texts stored;
    gpt2q_error err;
    if (tokenizer_open(directory, &t, &err)) fail_msg("directory %d: %s", number, err.message);
    compare_ids(t, get(item, "encode"), number);
    compare_texts(t, get(item, "decode"), number);
    tokenizer_free(t);
    if (directory_read_to_store(directory, &stored, &err)) fail_msg("directory %d: %s", number, err.message);
    if (tokenizer_from_texts(&stored.texts, &t, &err)) fail_msg("directory %d: %s", number, err.message);
    compare_ids(t, get(item, "encode"), number);
    compare_texts(t, get(item, "decode"), number);
    /* and over the tables of a large vocabulary */
    struct tokenizer_table tables[TOKENIZER_TABLES];
    struct tokenizer *mapped;
    tokenizer_tables(t, tables);
    assert_int_equal(tokenizer_from_tables(tables, &stored.texts.extras, "tables", &mapped, &err), GPT2Q_OK);
    compare_ids(mapped, get(item, "encode"), number);
    compare_texts(mapped, get(item, "decode"), number);
    tokenizer_free(mapped), tokenizer_free(t);
    directory_free(&stored);
}

static void as_transformers_does(void **state)
{
    (void)state;
    const char *path = repo_path("tests/golden/data/tokenizer-directories.json");
    char *text;
    size_t n;
    cJSON *goldens;
    gpt2q_error err;
    assert_int_equal(file_read(path, (size_t)1 << 24, &text, &n, NULL), GPT2Q_OK);
    if (json_parse_wild(text, n, path, &goldens, &err)) fail_msg("%s", err.message);
    char *entries = cJSON_PrintUnformatted(get(goldens, "vocab"));
    assert_non_null(entries);
    entries[strlen(entries) - 1] = '\0'; /* without its braces */
    const cJSON *item, *file;
    int number = 0;
    cJSON_ArrayForEach(item, get(goldens, "cases"))
    {
        char *directory = temp_directory();
        cJSON_ArrayForEach(file, get(item, "files")) write_text(directory, file, entries + 1);
        compare(directory, item, number++);
        temp_remove(directory);
    }
    assert_int_equal(number, 36);
    cJSON_free(entries);
    cJSON_Delete(goldens);
    mem_free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(as_transformers_does)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
