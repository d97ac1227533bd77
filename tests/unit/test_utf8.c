/* UTF-8: exactly the well-formed sequences are accepted. Broken ones are split into maximal subparts. */
#include "tests/support.h"
#include "base/memory.h"
#include "base/utf8.h"
#include "base/terminal_text.h"

static size_t encode(uint32_t c, char *out)
{
    if (c < 0x80) return out[0] = (char)c, (size_t)1;
    size_t more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
    static const unsigned char lead[] = {0, 0xC0, 0xE0, 0xF0};
    for (size_t i = more; i > 0; i--, c >>= 6) out[i] = (char)(0x80 | (c & 0x3F));
    out[0] = (char)(lead[more] | c);
    return more + 1;
}

/* utf8_next on bytes that end at an unreadable page. */
static struct utf8_step next(const char *s, size_t n)
{
    char *guarded = guard_alloc(n);
    memcpy(guarded, s, n);
    struct utf8_step step = utf8_next(guarded, n);
    guard_free(guarded, n);
    return step;
}

static void every_code_point(void **state)
{
    (void)state;
    for (uint32_t c = 0; c <= 0x110010; c++) {
        char s[5] = "xxxx";
        size_t n = encode(c, s);
        struct utf8_step step = utf8_next(s, n);
        if ((c >= 0xD800 && c < 0xE000) || c > 0x10FFFF) {
            assert_int_equal(step.kind, UTF8_BROKEN);
            assert_int_equal(step.length, 1);
            continue;
        }
        assert_int_equal(step.kind, UTF8_WHOLE);
        assert_int_equal(step.code_point, c);
        assert_int_equal(step.length, n);
        for (size_t cut = 1; cut < n; cut++) {
            step = utf8_next(s, cut);
            assert_int_equal(step.kind, UTF8_CUT);
            assert_int_equal(step.length, cut);
        }
    }
}

/* Of all pairs and triples of bytes, as many are well formed as there are code points of that length. */
static void nothing_else(void **state)
{
    (void)state;
    size_t pairs = 0, triples = 0;
    for (uint32_t x = 0; x < 1u << 24; x++) {
        char s[3] = {(char)(x >> 16), (char)(x >> 8), (char)x};
        struct utf8_step step = utf8_next(s, 3);
        pairs += step.kind == UTF8_WHOLE && step.length == 2 && (x & 0xFF) == 0;
        triples += step.kind == UTF8_WHOLE && step.length == 3;
    }
    assert_int_equal(pairs, 0x800 - 0x80);
    assert_int_equal(triples, 0x10000 - 0x800 - 0x800);
}

static void subparts(void **state)
{
    (void)state;
    static const struct {
        const char *s;
        size_t n;
        enum utf8_kind kind;
        size_t length;
    } cases[] = {
        {"\x80", 1, UTF8_BROKEN, 1},
        {"\xC0\x80", 2, UTF8_BROKEN, 1},
        {"\xC1\xBF", 2, UTF8_BROKEN, 1},
        {"\xE0\x80\x80", 3, UTF8_BROKEN, 1},
        {"\xED\xA0\x80", 3, UTF8_BROKEN, 1},
        {"\xF0\x80\x80\x80", 4, UTF8_BROKEN, 1},
        {"\xF4\x90\x80\x80", 4, UTF8_BROKEN, 1},
        {"\xF5\x80", 2, UTF8_BROKEN, 1},
        {"\xFF", 1, UTF8_BROKEN, 1},
        {"\xE2\x82!", 3, UTF8_BROKEN, 2},
        {"\xF0\x9F\x91!", 4, UTF8_BROKEN, 3},
        {"\xC3\xC3", 2, UTF8_BROKEN, 1},
        {"\xE2\x82", 2, UTF8_CUT, 2},
        {"\xF0\x9F\x91", 3, UTF8_CUT, 3},
        {"\xED", 1, UTF8_CUT, 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct utf8_step step = next(cases[i].s, cases[i].n);
        assert_int_equal(step.kind, cases[i].kind);
        assert_int_equal(step.length, cases[i].length);
    }
}

static void valid_prefixes(void **state)
{
    (void)state;
    static const char text[] = "eight+ascii, \xC3\xA9, \xF0\x9F\x91\x8D and more than sixteen";
    for (size_t n = 0; n < sizeof text; n++) {
        size_t expected = n == 14 ? 13 : n >= 18 && n <= 19 ? 17 : n == 20 ? 17 : n;
        char *guarded = guard_alloc(n);
        memcpy(guarded, text, n);
        assert_int_equal(utf8_valid_prefix(guarded, n), expected);
        guard_free(guarded, n);
    }
    assert_int_equal(utf8_valid_prefix("12345678\xFF", 9), 8);
}

static void sanitized(const char *s, size_t n, const char *expected)
{
    size_t length;
    char *copy = utf8_sanitize(s, n, &length);
    assert_non_null(copy);
    assert_int_equal(length, strlen(expected));
    assert_memory_equal(copy, expected, length + 1);
    mem_free(copy);
}

#define R "\xEF\xBF\xBD"
static void sanitizes(void **state)
{
    (void)state;
    sanitized("", 0, "");
    sanitized("plain \xC3\xA9", 8, "plain \xC3\xA9");
    sanitized("\xE2\x82", 2, R);
    sanitized("a\xE2\x82z\xC0\x80", 6, "a" R "z" R R);
    /* the examples of Unicode 15, table 3-8 to 3-11 */
    sanitized("\xC0\xAF\xE0\x80\xBF\xF0\x81\x82\x41", 9, R R R R R R R R "A");
    sanitized("\xED\xA0\x80\xED\xBF\xBF\xED\xAF\x41", 9, R R R R R R R R "A");
    sanitized("\xF4\x91\x92\x93\xFF\x41\x80\xBF\x42", 9, R R R R R "A" R R "B");
    sanitized("\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41", 9, R R R R "A");
}

static void terminal(const char *s, size_t n, size_t capacity, const char *expected)
{
    char to[64];
    assert_int_equal(terminal_text(to, capacity, s, n), strlen(expected));
    assert_string_equal(to, expected);
}

static void nothing_steers_a_terminal(void **state)
{
    (void)state;
    terminal("plain \xC3\xA9", 8, 64, "plain \xC3\xA9");
    terminal("\x1B[2J\a", 5, 64, "\\x1b[2J\\x07");
    terminal("a\nb\tc\rd", 7, 64, "a\\nb\\tc\\rd");
    terminal("\0\x7F", 2, 64, "\\x00\\x7f");
    terminal("\xC2\x9B"
             "1m\xC2\xA0",
             6, 64, "\\x9b1m\xC2\xA0"); /* CSI of C1; a space without break */
    terminal("\xFFz\xE2\x82", 4, 64, R "z" R);
    terminal("ab\x1B", 3, 6, "ab"); /* a whole escape or none */
    terminal("\xC3\xA9\xC3\xA9", 4, 4, "\xC3\xA9");
    terminal("a", 1, 1, "");
}

static void memory_runs_out(void **state)
{
    (void)state;
    size_t length = 1;
    mem_fail_after(0);
    char *copy = utf8_sanitize("a", 1, &length);
    mem_fail_after(-1);
    assert_null(copy);
    assert_int_equal(length, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_point), cmocka_unit_test(nothing_else),
        cmocka_unit_test(subparts),         cmocka_unit_test(valid_prefixes),
        cmocka_unit_test(sanitizes),        cmocka_unit_test(nothing_steers_a_terminal),
        cmocka_unit_test(memory_runs_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
