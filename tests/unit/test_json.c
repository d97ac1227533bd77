/* Strict JSON: RFC 8259 is read, what cJSON would let pass besides is refused, and no text, cut or changed
 * anywhere, is read beyond its end. */
#include "tests/support.h"
#include "base/json.h"
#include "base/memory.h"
#include <math.h>

/* The text ends at an unreadable page. */
static gpt2q_status parse_bytes(const char *text, size_t n, cJSON **out, gpt2q_error *err)
{
    char *guarded = guard_alloc(n);
    memcpy(guarded, text, n);
    gpt2q_status s = json_parse(guarded, n, "x.json", out, err);
    guard_free(guarded, n);
    assert_true((s == GPT2Q_OK) == (*out != NULL));
    return s;
}

static cJSON *parsed(const char *text)
{
    cJSON *root;
    gpt2q_error err;
    if (parse_bytes(text, strlen(text), &root, &err)) fail_msg("%s: %s", text, err.message);
    return root;
}

static void refused(const char *text, size_t n, const char *because)
{
    cJSON *root;
    gpt2q_error err;
    assert_int_equal(parse_bytes(text, n, &root, &err), GPT2Q_FORMAT);
    if (!strstr(err.message, because) || !strstr(err.message, "x.json")) {
        fail_msg("'%s' gave '%s', not '%s'", text, err.message, because);
    }
}

static void accepts_what_json_allows(void **state)
{
    (void)state;
    static const char *const texts[] = {"{}",
                                        "[]",
                                        " \t\r\n[1 , -0,0.5,1e5,1E+5,2.5e-3] ",
                                        "\"\"",
                                        "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\uD83D\\uDE00\"",
                                        "true",
                                        "null",
                                        "0",
                                        "-1",
                                        "9007199254740992",
                                        "-9007199254740992",
                                        "1e300",
                                        "\"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\xF4\x8F\xBF\xBF\"",
                                        "{\"a\":{\"b\":[{},[],null,true,false]},\"b\":1}"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) cJSON_Delete(parsed(texts[i]));
    cJSON *root = parsed("{\"\\u0120the\": 7, \"a\\nb\": \"\\uD83D\\uDE00\"}");
    assert_int_equal(cJSON_GetObjectItemCaseSensitive(root, "\xC4\xA0the")->valueint, 7);
    assert_string_equal(cJSON_GetObjectItemCaseSensitive(root, "a\nb")->valuestring, "\xF0\x9F\x98\x80");
    cJSON_Delete(root);
}

/* Editors of Windows write such files. The sentence says what they are. */
static void says_what_is_no_utf8(void **state)
{
    (void)state;
    static const char mark[] = "\xEF\xBB\xBF{}", little[] = "\xFF\xFE{\0}\0", big[] = "\xFE\xFF\0{\0}",
                      unmarked[] = "{\0}\0", unmarked_big[] = "\0{\0}";
    static const char *const utf16 = "x.json: not valid JSON: is text in UTF-16 where UTF-8 is expected";
    refused(mark, sizeof mark - 1, "x.json: not valid JSON: begins with a byte order mark");
    refused(little, sizeof little - 1, utf16);
    refused(big, sizeof big - 1, utf16);
    refused(unmarked, sizeof unmarked - 1, utf16);
    refused(unmarked_big, sizeof unmarked_big - 1, utf16);
    refused("\0\0\0\0", 4, "expected a value at byte 0");
    refused("\xEF\xBB", 2, "expected a value at byte 0");
}

static void refuses_what_cjson_lets_pass(void **state)
{
    (void)state;
    static const struct {
        const char *text, *because;
    } cases[] = {{"", "expected a value at byte 0 of 0"},
                 {"  ", "expected a value"},
                 {"{\"a\":1}x", "follows the document at byte 7"},
                 {"{\"a\":1,\n\n \"b\":x}", "expected a value at line 3, column 6"},
                 {"01", "begins with 0"},
                 {"1.", "digit"},
                 {"-.5", "digit"},
                 {".5", "expected a value"},
                 {"+1", "expected a value"},
                 {"-", "digit"},
                 {"1e", "digit"},
                 {"1e999", "range of a double"},
                 {"NaN", "expected a value"},
                 {"-Infinity", "digit"},
                 {"[9007199254740993]", "beyond 2^53 at byte 1"},
                 {"-9007199254740993", "2^53"},
                 {"18446744073709551616", "2^53"},
                 {"1000000000000000000000000000000000000000000000000000000000000000000000", "63 characters"},
                 {"\"\\u0000\"", "\\u0000"},
                 {"\"\\ud83d\"", "surrogate"},
                 {"\"\\ude00\"", "surrogate"},
                 {"\"\\ud83d\\u0041\"", "surrogate"},
                 {"\"\\x41\"", "escape"},
                 {"\"\\u12g4\"", "hexadecimal"},
                 {"\"a", "does not end"},
                 {"\"a\nb\"", "control character"},
                 {"\"\xFF\"", "UTF-8 at byte 1"},
                 {"\"\xC0\x80\"", "UTF-8"},
                 {"\"\xED\xA0\x80\"", "UTF-8"},
                 {"\"\xF4\x90\x80\x80\"", "UTF-8"},
                 {"\"\xE0\x9F\xBF\"", "UTF-8"},
                 {"\"\xF0\x8F\xBF\xBF\"", "UTF-8"},
                 {"\"\xE2\x82\"", "UTF-8"},
                 {"[1,]", "expected a value"},
                 {"{\"a\":1,}", "expected a string"},
                 {"{a:1}", "expected a string"},
                 {"{\"a\" 1}", "':'"},
                 {"[1 2]", "','"},
                 {"{\"a\":1", "'}'"},
                 {"tru", "expected a value"},
                 {"[1]\v", "follows"},
                 {"{\"a\":{\"b\":1,\"c\":2,\"b\":3}}", "\"b\" stands twice"},
                 {"{\"\\u0041\":1,\"A\":2}", "\"A\" stands twice"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        refused(cases[i].text, strlen(cases[i].text), cases[i].because);
    refused("[\"a\0b\"]", 7, "control character");
    refused("1\0", 2, "follows");
}

static void bounds_depth(void **state)
{
    (void)state;
    char text[2 * 65];
    memset(text, '[', 65);
    memset(text + 65, ']', 65);
    refused(text, 130, "nested deeper than 64 at byte 64");
    cJSON *root;
    assert_int_equal(parse_bytes(text + 1, 128, &root, NULL), GPT2Q_OK);
    cJSON_Delete(root);
}

static void bounds_values(void **state)
{
    (void)state;
    size_t n = ((size_t)4 << 20) * 2 + 1; /* an array of 4 Mi values: with the array itself one too many */
    char *text = malloc(n);
    for (size_t i = 0; i < n; i++) text[i] = i % 2 ? '0' : ',';
    text[0] = '[', text[n - 1] = ']';
    cJSON *root;
    gpt2q_error err;
    assert_int_equal(json_parse(text, n, "x.json", &root, &err), GPT2Q_FORMAT);
    assert_non_null(strstr(err.message, "4194304 values"));
    free(text);
}

static void finds_duplicates_among_many(void **state)
{
    (void)state;
    enum { KEYS = 50000 };
    char *text = malloc((size_t)KEYS * 16);
    size_t n = 0;
    text[n++] = '{';
    for (int i = 0; i < KEYS; i++) n += (size_t)sprintf(text + n, "\"k%d\":%d,", i, i);
    text[n - 1] = '}';
    cJSON *root;
    assert_int_equal(json_parse(text, n, "x.json", &root, NULL), GPT2Q_OK);
    cJSON_Delete(root);
    for (int allowed = 0; allowed < 2; allowed++) {
        mem_fail_after(allowed);
        assert_int_equal(json_parse(text, n, "x.json", &root, NULL), GPT2Q_OUT_OF_MEMORY);
        mem_fail_after(-1);
        assert_null(root);
    }
    n--;
    n += (size_t)sprintf(text + n, ",\"k123\":0}");
    refused(text, n, "\"k123\" stands twice");
    free(text);
}

/* However long a key is, the sentence keeps its end. */
static void cuts_a_long_key_in_a_message(void **state)
{
    (void)state;
    enum { KEY = 5000 };
    static char text[2 * KEY + 64];
    refused(text, (size_t)snprintf(text, sizeof text, "{\"%0*d\":1,\"%0*d\":2}", KEY, 7, KEY, 7),
            "000...\" stands twice");
}

/* Keys chosen so that hashing (FNV-1a, its high half scaled to the number of keys) tells none of them apart.
 */
static void finds_duplicates_among_keys_of_one_hash(void **state)
{
    (void)state;
    enum { KEYS = 40 };
    char text[KEYS * 16 + 64];
    size_t n = (size_t)sprintf(text, "{");
    for (int i = 0, found = 0; found < KEYS; i++) {
        char key[16];
        uint64_t h = 0xCBF29CE484222325u;
        snprintf(key, sizeof key, "k%d", i);
        for (const char *c = key; *c; c++) h = (h ^ (unsigned char)*c) * 0x100000001B3u;
        if ((h >> 32) * KEYS >> 32 == 7)
            n += (size_t)sprintf(text + n, "%s\"%s\":0", found++ ? "," : "", key);
    }
    cJSON *root;
    text[n++] = '}';
    assert_int_equal(json_parse(text, n, "x.json", &root, NULL), GPT2Q_OK);
    char words[32];
    const char *one = root->child->string, *last = root->child->prev->string;
    snprintf(words, sizeof words, "\"%s\" stands twice", one);
    n -= strlen(last) + 5; /* "last":0} */
    n += (size_t)sprintf(text + n, "\"%s\":0}", one);
    refused(text, n, words);
    cJSON_Delete(root);
}

/* Every prefix of a document is refused. Every change of a byte is refused or read, never beyond the end. */
static void survives_truncation_and_damage(void **state)
{
    (void)state;
    static const char text[] =
        "{\"a\":[1,-2.5e3,\"\\u00e9\xC3\xA9\\uD83D\\uDE00\"],\"b\":{\"c\":null,\"d\":true}}";
    size_t n = sizeof text - 1;
    cJSON *root;
    for (size_t i = 0; i < n; i++) assert_int_equal(parse_bytes(text, i, &root, NULL), GPT2Q_FORMAT);
    char changed[sizeof text];
    for (size_t i = 0; i < n; i++) {
        for (int c = 0; c < 256; c++) {
            memcpy(changed, text, n);
            changed[i] = (char)c;
            char *guarded = guard_alloc(n);
            memcpy(guarded, changed, n);
            json_parse(guarded, n, "x.json", &root, NULL);
            guard_free(guarded, n);
            cJSON_Delete(root);
        }
    }
}

static void reads_integers(void **state)
{
    (void)state;
    cJSON *root = parsed("{\"n\":12,\"big\":9007199254740992,\"half\":1.5,\"text\":\"12\",\"none\":null,"
                         "\"huge\":1e300,\"e\":1e3}");
    int64_t v = -7;
    bool present;
    gpt2q_error err;
    assert_int_equal(json_integer(root, "n", "x.json", 1, 12, &v, &present, &err), GPT2Q_OK);
    assert_true(present && v == 12);
    assert_int_equal(json_integer(root, "big", "x.json", 0, INT64_MAX, &v, &present, &err), GPT2Q_OK);
    assert_true(v == (int64_t)1 << 53);
    assert_int_equal(json_integer(root, "e", "x.json", 0, 1000, &v, &present, &err), GPT2Q_OK);
    assert_true(v == 1000);
    assert_int_equal(json_integer(root, "none", "x.json", 0, 9, &v, &present, &err), GPT2Q_OK);
    assert_true(!present && v == 1000);
    assert_int_equal(json_integer(root, "absent", "x.json", 0, 9, &v, &present, &err), GPT2Q_OK);
    assert_false(present);
    assert_int_equal(json_integer(root, "n", "x.json", 13, 20, &v, &present, &err), GPT2Q_FORMAT);
    assert_string_equal(err.message, "x.json: n must be an integer from 13 to 20, not 12");
    assert_int_equal(json_integer(root, "n", "x.json", 13, INT64_MAX, &v, &present, &err), GPT2Q_FORMAT);
    assert_string_equal(err.message, "x.json: n must be an integer >= 13, not 12");
    assert_int_equal(json_integer(root, "half", "x.json", 0, 9, &v, &present, &err), GPT2Q_FORMAT);
    assert_string_equal(err.message, "x.json: half must be an integer from 0 to 9, not 1.5");
    assert_int_equal(json_integer(root, "text", "x.json", 0, 99, &v, &present, &err), GPT2Q_FORMAT);
    assert_string_equal(err.message, "x.json: text must be an integer from 0 to 99, not a string");
    assert_int_equal(json_integer(root, "huge", "x.json", 0, INT64_MAX, &v, &present, &err), GPT2Q_FORMAT);
    cJSON_Delete(root);
}

static void reads_numbers_and_truth(void **state)
{
    (void)state;
    cJSON *root = parsed("{\"x\":-0.5,\"yes\":true,\"no\":false,\"one\":1,\"list\":[]}");
    double v = 0;
    bool b = false, present;
    gpt2q_error err;
    assert_int_equal(json_number(root, "x", "x.json", -1, 1, &v, &present, &err), GPT2Q_OK);
    assert_true(present && v == -0.5);
    assert_int_equal(json_number(root, "x", "x.json", 0, 2, &v, &present, &err), GPT2Q_FORMAT);
    assert_string_equal(err.message, "x.json: x must be a number from 0 to 2, not -0.5");
    assert_int_equal(json_number(root, "x", "x.json", 0, INFINITY, &v, &present, &err), GPT2Q_FORMAT);
    assert_string_equal(err.message, "x.json: x must be a number >= 0, not -0.5");
    assert_int_equal(json_number(root, "list", "x.json", -INFINITY, INFINITY, &v, &present, &err),
                     GPT2Q_FORMAT);
    assert_string_equal(err.message, "x.json: list must be a number, not an array");
    assert_int_equal(json_bool(root, "yes", "x.json", &b, &present, &err), GPT2Q_OK);
    assert_true(present && b);
    assert_int_equal(json_bool(root, "no", "x.json", &b, &present, &err), GPT2Q_OK);
    assert_true(present && !b);
    assert_int_equal(json_bool(root, "one", "x.json", &b, &present, &err), GPT2Q_FORMAT);
    assert_string_equal(err.message, "x.json: one must be true or false, not 1");
    assert_int_equal(json_bool(root, "absent", "x.json", &b, &present, &err), GPT2Q_OK);
    assert_false(present);
    cJSON_Delete(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accepts_what_json_allows),
        cmocka_unit_test(says_what_is_no_utf8),
        cmocka_unit_test(refuses_what_cjson_lets_pass),
        cmocka_unit_test(bounds_depth),
        cmocka_unit_test(bounds_values),
        cmocka_unit_test(finds_duplicates_among_many),
        cmocka_unit_test(cuts_a_long_key_in_a_message),
        cmocka_unit_test(finds_duplicates_among_keys_of_one_hash),
        cmocka_unit_test(survives_truncation_and_damage),
        cmocka_unit_test(reads_integers),
        cmocka_unit_test(reads_numbers_and_truth),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
