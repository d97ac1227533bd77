/* The writer writes the JSON that was asked for, in cJSON's own bytes. A failed allocation anywhere gives
 * no text. */
#include "tests/support.h"
#include "base/json_writer.h"
#include "base/json.h"
#include "base/memory.h"
#include <math.h>
#include <setjmp.h>

static void nests_and_separates(void **state)
{
    (void)state;
    struct json_writer w = {0};
    json_open(&w, '{');
    json_key(&w, "a"), json_open(&w, '['), json_close(&w, ']');
    json_key(&w, "b"), json_open(&w, '[');
    json_put_integer(&w, -1), json_put_bool(&w, true), json_put_null(&w);
    json_open(&w, '{'), json_key(&w, "c"), json_put_bool(&w, false), json_close(&w, '}');
    json_put_raw(&w, "", 0), json_put_raw(&w, "7", 1);
    json_close(&w, ']');
    json_key(&w, "d"), json_put_string(&w, NULL);
    json_key(&w, "e"), json_put_unsigned(&w, UINT64_MAX);
    json_put_raw(&w, "\"f\":1,\"g\":2", 11);
    json_close(&w, '}');
    char *text = json_finish(&w);
    assert_string_equal(text, "{\"a\":[],\"b\":[-1,true,null,{\"c\":false},7],\"d\":null,\"e\":"
                              "18446744073709551615,\"f\":1,\"g\":2}");
    assert_null(w.text);
    mem_free(text);
}

static void strings_hold_any_bytes(void **state)
{
    (void)state;
    static const char bytes[] = "\"\\\b\f\n\r\t\x01\x7f/\0\xc3\xa9\xe2\x80\xf0\x9f\x91\x8d\xff";
    struct json_writer w = {0};
    json_put_bytes(&w, bytes, sizeof bytes - 1);
    char *text = json_finish(&w);
    assert_string_equal(
        text,
        "\"\\\"\\\\\\b\\f\\n\\r\\t\\u0001\x7f/\\u0000\xc3\xa9\xef\xbf\xbd\xf0\x9f\x91\x8d\xef\xbf\xbd\"");
    mem_free(text);
}

/* Random doubles and floats, as cJSON prints them. */
static void numbers_are_those_of_cjson(void **state)
{
    (void)state;
    static const double edges[] = {0,
                                   1,
                                   -1,
                                   2147483647.0,
                                   -2147483648.0,
                                   2147483648.0,
                                   9007199254740992.0,
                                   0.1,
                                   1e300,
                                   -1e-300,
                                   5e-324,
                                   1.0 / 3,
                                   NAN,
                                   INFINITY,
                                   1234.5e5,
                                   1e15,
                                   123456789012345678.0};
    struct rng rng = {11};
    for (int i = 0; i < 20000; i++) {
        double x;
        uint64_t bits = ((uint64_t)rng_below(&rng, UINT32_MAX) << 32) | rng_below(&rng, UINT32_MAX);
        memcpy(&x, &bits, 8);
        if (i % 2) x = (double)(float)x;
        if (i < (int)(sizeof edges / sizeof *edges)) x = edges[i];
        if (x == 0) x = 0; /* versions of cJSON print -0 as -0 or 0 */
        struct json_writer w = {0};
        json_put_real(&w, x);
        char *got = json_finish(&w);
        cJSON *item = isfinite(x) ? cJSON_CreateNumber(x) : cJSON_CreateNull();
        char *want = cJSON_PrintUnformatted(item);
        assert_string_equal(got, want);
        cJSON_free(want);
        cJSON_Delete(item);
        mem_free(got);
    }
}

static char *write_much(void)
{
    struct json_writer w = {0};
    json_open(&w, '[');
    for (int i = 0; i < 500; i++) json_put_string(&w, "a text of some length");
    json_close(&w, ']');
    return json_finish(&w);
}

static void every_failed_allocation_is_seen(void **state)
{
    (void)state;
    uint64_t before = mem_count();
    char *whole = write_much();
    int64_t n = (int64_t)(mem_count() - before);
    assert_true(n > 3);
    mem_free(whole);
    for (int64_t i = 0; i < n; i++) {
        mem_fail_after(i);
        assert_null(write_much());
        mem_fail_after(-1);
    }
}

/* ---- cJSON's own memory ---- */

static jmp_buf out;
static void leave(void) { longjmp(out, 1); }

static void cjson_reports_what_it_cannot_allocate(void **state)
{
    (void)state;
    static const char text[] = "{\"a\": [1, 2, {\"b\": \"c\"}]}";
    gpt2q_error err;
    json_when_out_of_memory(leave);
    uint64_t before = mem_count();
    cJSON *document;
    assert_int_equal(json_parse(text, sizeof text - 1, "x", &document, &err), GPT2Q_OK);
    int64_t n = (int64_t)(mem_count() - before);
    assert_true(n > 5);
    cJSON_Delete(document);
    for (int64_t i = 0; i < n; i++) { /* in parsing it is a status */
        mem_fail_after(i);
        assert_int_equal(json_parse(text, sizeof text - 1, "x", &document, &err), GPT2Q_OUT_OF_MEMORY);
        mem_fail_after(-1);
        assert_null(document);
    }
    volatile int called = 0;
    cJSON *object = cJSON_CreateObject(), *item = cJSON_CreateNumber(1);
    mem_fail_after(0);
    if (!setjmp(out))
        cJSON_AddItemToObject(object, "a", item); /* no room for its name: the field would be lost */
    else
        called = 1;
    mem_fail_after(-1);
    assert_int_equal(called, 1);
    cJSON_Delete(item);
    cJSON_Delete(object);
    cJSON_InitHooks(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nests_and_separates), cmocka_unit_test(strings_hold_any_bytes),
        cmocka_unit_test(numbers_are_those_of_cjson), cmocka_unit_test(every_failed_allocation_is_seen),
        cmocka_unit_test(cjson_reports_what_it_cannot_allocate)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
