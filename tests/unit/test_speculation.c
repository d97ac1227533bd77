/* The proposer of speculative decoding: its proposals against a plain definition, their number against
 * what its account may spend; and it touches nothing else. */
#include "tests/support.h"
#include "engine/speculation.h"

#define CAPACITY 512

/* One whose account is full. */
static struct speculation rich(int32_t limit)
{
    struct speculation s;
    speculation_begin(&s, limit);
    for (int32_t i = 0; i < limit; i++) speculation_earn(&s, true);
    return s;
}

static int32_t propose(int32_t limit, int32_t *ids, int32_t n)
{
    struct speculation s = rich(limit);
    return speculation_propose(&s, ids, n, CAPACITY, 1);
}

#define expect_proposal(limit, text, ...)                                                                    \
    do {                                                                                                     \
        int32_t ids_[CAPACITY] = {0}, want_[] = {__VA_ARGS__};                                               \
        int32_t n_ = (int32_t)strlen(text), n_want_ = (int32_t)(sizeof want_ / sizeof *want_);               \
        for (int32_t i_ = 0; i_ < n_; i_++) ids_[i_] = (text)[i_];                                           \
        assert_int_equal(propose(limit, ids_, n_), n_want_);                                                 \
        assert_memory_equal(ids_ + n_, want_, sizeof want_);                                                 \
    } while (0)

static void proposes_what_followed_before(void **state)
{
    (void)state;
    expect_proposal(8, "abcdef ab", 'c', 'd');             /* as many as the match is long */
    expect_proposal(8, "abcdef abcd", 'e', 'f', ' ', 'a'); /* and no end at the end of a word */
    expect_proposal(3, "abcdef abcd", 'e', 'f', ' ');
    expect_proposal(1, "abcdef abcd", 'e');
    expect_proposal(8, "ab1,ab2;ab", '2', ';');         /* the latest */
    expect_proposal(8, "zab1y ab2 zab", '1', 'y', ' '); /* but a longer match first */
}

static void goes_on_where_the_text_repeats_itself(void **state)
{
    (void)state;
    expect_proposal(8, "xxx", 'x', 'x');
    expect_proposal(8, "xxxxxxxxxx", 'x', 'x', 'x', 'x', 'x', 'x', 'x', 'x');
    expect_proposal(8, "abcabcabcab", 'c', 'a', 'b', 'c', 'a', 'b', 'c', 'a');
    expect_proposal(5, "01234560123456", '0', '1', '2', '3', '4');
}

static void proposes_nothing_without_reason(void **state)
{
    (void)state;
    static const char *const texts[] = {"a", "aa", "ab", "abcdefgh", "abcdefga", "aba"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        int32_t ids[CAPACITY], n = (int32_t)strlen(texts[i]);
        for (int32_t k = 0; k < n; k++) ids[k] = texts[i][k];
        assert_int_equal(propose(8, ids, n), 0);
    }
    int32_t ids[CAPACITY] = {1, 1, 1, 1};
    assert_int_equal(propose(0, ids, 4), 0); /* off */
    struct speculation s = rich(8);
    assert_int_equal(speculation_propose(&s, ids, 4, 0, 1), 0); /* no room */
    assert_int_equal(speculation_propose(&s, ids, 4, -3, 1), 0);
    assert_int_equal(s.n_proposed, 0);
}

/* The definition: of all earlier occurrences of a suffix it takes the one that matches the most tokens, at
 * most `limit`; of equal ones the latest. */
static int32_t plain_source(const int32_t *ids, int32_t n, int32_t limit, int32_t *length)
{
    int32_t best = 0, reach = limit < 2 ? 2 : limit;
    *length = 0;
    for (int32_t end = 1; end < n; end++) {
        int32_t k = 0;
        while (k < reach && k < end && ids[end - 1 - k] == ids[n - 1 - k]) k++;
        if (k >= 2 && k >= *length) *length = k, best = end;
    }
    return best;
}

/* In buffers that end at an unreadable page. */
static void any_text_as_defined(void **state)
{
    (void)state;
    struct rng rng = {1};
    for (int round = 0; round < 20000; round++) {
        int32_t limit = 1 + (int32_t)rng_below(&rng, SPECULATION_MAX), n = 1 + (int32_t)rng_below(&rng, 60),
                most = (int32_t)rng_below(&rng, 12), length, period = 1 + (int32_t)rng_below(&rng, 30);
        uint32_t alphabet = 1 + rng_below(&rng, 6);
        int32_t *ids = guard_alloc((size_t)(n + most) * sizeof *ids), copy[80];
        for (int32_t i = 0; i < n; i++) ids[i] = (int32_t)rng_below(&rng, alphabet);
        for (int32_t i = period; i < n; i++)
            if (rng_below(&rng, 8)) ids[i] = ids[i - period];
        memcpy(copy, ids, (size_t)n * sizeof *ids);
        int32_t source = plain_source(copy, n, limit, &length);
        struct speculation s = rich(limit);
        int32_t k = speculation_propose(&s, ids, n, most, 1), want = length;
        if (want > most) want = most;
        if (want > limit) want = limit;
        assert_int_equal(k, want);
        for (int32_t i = 0; i < k; i++) copy[n + i] = copy[source + i];
        assert_memory_equal(ids, copy, (size_t)(n + k) * sizeof *ids);
        assert_int_equal(s.n_proposed, k);
        guard_free(ids, (size_t)(n + most) * sizeof *ids);
    }
}

/* However long the text, only the last 4,096 positions are looked at. */
static void looks_back_so_far(void **state)
{
    (void)state;
    enum { N = 9000 };
    int32_t *ids = malloc((N + 8) * sizeof *ids);
    for (int32_t distance = 4090; distance < 4110; distance++) {
        for (int32_t i = 0; i < N; i++) ids[i] = i;
        ids[N - 2] = ids[N - 2 - distance];
        ids[N - 1] = ids[N - 1 - distance];
        int32_t k = propose(8, ids, N);
        assert_int_equal(k, distance < 4096 ? 2 : 0);
        if (k) assert_int_equal(ids[N], N - distance);
    }
    free(ids);
}

/* ---- the account ---- */

/* The time lost when every proposal is wrong, in 64ths of a token: as the head of the module promises. */
static void loses_little_where_nothing_comes_true(void **state)
{
    (void)state;
    static const int32_t rows[] = {1, 2, 8, 32}, limits[] = {1, 2, 8, SPECULATION_MAX};
    for (size_t r = 0; r < 4; r++)
        for (size_t l = 0; l < 4; l++) {
            struct speculation s;
            int32_t ids[CAPACITY] = {0};
            speculation_begin(&s, limits[l]);
            for (int32_t made = 1; made <= 2000; made++) {
                speculation_propose(&s, ids, 100, CAPACITY, rows[r]);
                speculation_earn(&s, false);
                /* a pass takes (rows + 1) / 2, in which a row makes a token; a proposal adds 1 / 2 */
                double lost = (double)s.n_proposed * rows[r] / (rows[r] + 1);
                assert_true(lost <= 1 + made / 64.0);
            }
            assert_true(s.n_proposed > 10); /* it never gives up for good */
            assert_int_equal(s.n_accepted, 0);
        }
}

static void proposes_in_full_once_it_pays(void **state)
{
    (void)state;
    struct speculation s;
    int32_t ids[CAPACITY] = {0};
    int passes = 0;
    speculation_begin(&s, 8);
    for (int i = 0; i < 5000; i++) { /* ordinary text, in which everything went wrong */
        speculation_propose(&s, ids, 100, CAPACITY, 1);
        speculation_earn(&s, false);
    }
    for (int32_t k = 0; k < 8; passes++) {
        k = speculation_propose(&s, ids, 100, CAPACITY, 1);
        for (int32_t i = 0; i < k; i++) speculation_earn(&s, true);
        speculation_earn(&s, false);
    }
    assert_in_range(passes, 1, 40);
    for (int i = 0; i < 1000; i++) speculation_earn(&s, true);
    for (passes = 0; speculation_propose(&s, ids, 100, CAPACITY, 1) > 1; passes++)
        speculation_earn(&s, false);
    assert_in_range(passes, 2, 4); /* past luck does not make it go on for long */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(proposes_what_followed_before),
        cmocka_unit_test(goes_on_where_the_text_repeats_itself),
        cmocka_unit_test(proposes_nothing_without_reason),
        cmocka_unit_test(any_text_as_defined),
        cmocka_unit_test(looks_back_so_far),
        cmocka_unit_test(loses_little_where_nothing_comes_true),
        cmocka_unit_test(proposes_in_full_once_it_pays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
