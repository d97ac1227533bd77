/* Pieces are those of GPT-2's pattern, and character classes those of Unicode 15. */
#include "tests/support.h"
#include "base/file.h"
#include "base/memory.h"
#include "tokenizer/pretokenizer.h"

/* Splits text that ends at an unreadable page, and joins the pieces by '|'. */
static void splits(const char *text, const char *expected)
{
    char joined[256];
    size_t used = 0, n = strlen(text);
    char *guarded = guard_alloc(n);
    memcpy(guarded, text, n);
    for (size_t i = 0, length; i < n; i += length) {
        length = pretokenizer_next(guarded + i, n - i);
        assert_in_range(length, 1, n - i);
        if (i > 0) joined[used++] = '|';
        memcpy(joined + used, guarded + i, length);
        used += length;
    }
    guard_free(guarded, n);
    joined[used] = '\0';
    assert_string_equal(joined, expected);
}

static void pieces(void **state)
{
    (void)state;
    splits("The quick  brown", "The| quick| | brown");
    splits("a\r\n\r\nb", "a|\r\n\r|\n|b");
    splits(" 's", " '|s");
    splits("  's", " | '|s");
    splits("1\xC2\xBD\xE2\x85\xA7\xD9\xA3", "1\xC2\xBD\xE2\x85\xA7\xD9\xA3");
    splits("I've 'RE we'll it's I'd I'm don't they're",
           "I|'ve| '|RE| we|'ll| it|'s| I|'d| I|'m| don|'t| they|'re");
    splits("'", "'"), splits("'r", "'|r"), splits("'re", "'re"), splits("'sx", "'s|x"), splits("''s", "''|s");
    splits("'S'Ll", "'|S|'|Ll");
    splits(" ", " "), splits("  ", "  "), splits(" \n", " \n"), splits("\n ", "\n "), splits("  x", " | x");
    splits("\n\nx", "\n|\n|x"), splits("\t x", "\t| x"), splits(" \tx", " |\t|x");
    splits("a1!", "a|1|!"), splits(" 1a", " 1|a"), splits(" !a", " !|a"), splits("x  ", "x|  ");
    splits("\xC2\xA0x", "\xC2\xA0|x");               /* only U+0020 joins a word */
    splits("x \xE3\x80\x80y", "x| |\xE3\x80\x80|y"); /* ideographic space */
    splits("\xEF\xBB\xBF"
           "BOM",
           "\xEF\xBB\xBF|BOM");
    splits("e\xCC\x81t", "e|\xCC\x81|t"); /* a combining mark is no letter */
    splits("\xE6\xAD\xAA x", "\xE6\xAD\xAA| x");
}

static void broken_bytes_are_other_characters(void **state)
{
    (void)state;
    splits("a\xFF\x80z", "a|\xFF\x80|z");
    splits(" \xC3", " \xC3");
    splits("\xC3 \xA9", "\xC3| \xA9");
    splits("\xE2\x82!\xF0\x9F", "\xE2\x82!\xF0\x9F");
    splits("a\xC0\xA0"
           "b",
           "a|\xC0\xA0|b"); /* an overlong space is none */
    splits("a\xED\xA0\x80"
           "b",
           "a|\xED\xA0\x80|b"); /* nor is a surrogate anything */
    splits("\xE2\x80", "\xE2\x80");
}

/* Later versions of Unicode assign more code points, but do not change the classes of these. */
static void classes_of_unicode_15(void **state)
{
    (void)state;
    gpt2q_error err;
    char *text;
    size_t n, count[4] = {0};
    uint64_t hash = 0xCBF29CE484222325u; /* FNV-1a over the classes */
    assert_int_equal(
        file_read(repo_path("tests/golden/data/unicode-15-assigned.txt"), 1 << 20, &text, &n, &err), 0);
    char *at = text;
    while (*at) {
        uint32_t first = (uint32_t)strtoul(at, &at, 16), last = (uint32_t)strtoul(at, &at, 16);
        for (uint32_t c = first; c <= last; c++) {
            enum char_class class = pretokenizer_class(c);
            count[class]++;
            hash = (hash ^ (uint64_t) class) * 0x100000001B3u;
        }
        at += strspn(at, "\n");
    }
    mem_free(text);
    assert_int_equal(count[CLASS_LETTER], 136104);
    assert_int_equal(count[CLASS_NUMBER], 1831);
    assert_int_equal(count[CLASS_SPACE], 25);
    assert_true(hash == 0x6790DCF257E89328u);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces),
        cmocka_unit_test(broken_bytes_are_other_characters),
        cmocka_unit_test(classes_of_unicode_15),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
