/* Misspelt words: edits are counted as the textbook defines them, and only near words are suggested. */
#include "tests/support.h"
#include "base/nearest.h"

/* Optimal string alignment by its recursive definition. */
static size_t by_definition(const char *a, size_t n, const char *b, size_t m)
{
    if (!n || !m) return n + m;
    size_t best = by_definition(a, n - 1, b, m - 1) + (a[n - 1] != b[m - 1]),
           other = by_definition(a, n - 1, b, m) + 1;
    if (other < best) best = other;
    if ((other = by_definition(a, n, b, m - 1) + 1) < best) best = other;
    if (n > 1 && m > 1 && a[n - 1] == b[m - 2] && a[n - 2] == b[m - 1] &&
        (other = by_definition(a, n - 2, b, m - 2) + 1) < best)
        best = other;
    return best;
}

static void test_distance(void **state)
{
    (void)state;
    struct rng rng = {7};
    for (int i = 0; i < 300; i++) {
        char words[2][7];
        for (int w = 0; w < 2; w++) {
            size_t n = rng_next(&rng) % 7;
            for (size_t k = 0; k < n; k++) words[w][k] = (char)('a' + rng_next(&rng) % 3);
            words[w][n] = '\0';
        }
        size_t expected = by_definition(words[0], strlen(words[0]), words[1], strlen(words[1]));
        assert_int_equal(edit_distance(words[0], words[1]), expected);
    }
    char long_a[200], long_b[200];
    memset(long_a, 'a', sizeof long_a - 1), memset(long_b, 'b', sizeof long_b - 1);
    long_a[199] = long_b[199] = '\0';
    assert_int_equal(edit_distance(long_a, long_b), NEAREST_WORD_MAX);
}

static void test_suggestions(void **state)
{
    (void)state;
    static const char *const names[] = {"max-tokens", "temperature", "top-k", "top-p",
                                        "quiet",      "quantize",    "ids"};
    static const char *const meant[][2] = {{"temprature", "temperature"},
                                           {"temp", "temperature"},
                                           {"max-new-tokens", "max-tokens"},
                                           {"topk", "top-k"},
                                           {"qui", "quiet"},
                                           {"quantise", "quantize"},
                                           {"id", "ids"},
                                           {"frobnicate", NULL},
                                           {"x", NULL},
                                           {"", NULL},
                                           {"verbose", NULL},
                                           {"length", NULL}};
    for (size_t i = 0; i < sizeof meant / sizeof *meant; i++) {
        const char *near = nearest_name(meant[i][0], names, sizeof names / sizeof *names);
        if (!near || !meant[i][1])
            assert_ptr_equal(near, meant[i][1]);
        else
            assert_string_equal(near, meant[i][1]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_distance), cmocka_unit_test(test_suggestions)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
