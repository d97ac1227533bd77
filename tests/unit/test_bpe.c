/* Byte pair encoding: both ways of merging give the definition's result on any vocabulary, and the work
 * stays near linear. */
#include "tests/support.h"
#include "base/memory.h"
#include "tests/tiny_vocabulary.h"
#include "tokenizer/bpe.h"
#include "tokenizer/tokenizer.h"

/* ---- random vocabularies over "abc", with what the definition needs to know of them ---- */

#define MAX_TOKENS 400
#define MAX_MERGES 300

struct made {
    struct tokenizer *t;
    char token[MAX_TOKENS][32];
    int n_tokens;
    int left[MAX_MERGES], right[MAX_MERGES], result[MAX_MERGES], n_merges; /* by rank */
};

static int token_of(struct made *m, const char *bytes)
{
    for (int i = 0; i < m->n_tokens; i++)
        if (!strcmp(m->token[i], bytes)) return i;
    strcpy(m->token[m->n_tokens], bytes);
    return m->n_tokens++;
}

/* Adds a merge unless it is there or too long. */
static void add_merge(struct made *m, int left, int right)
{
    char result[64];
    snprintf(result, sizeof result, "%s%s", m->token[left], m->token[right]);
    for (int i = 0; i < m->n_merges; i++)
        if (m->left[i] == left && m->right[i] == right) return;
    if (strlen(result) > 31 || m->n_merges == MAX_MERGES) return;
    m->left[m->n_merges] = left, m->right[m->n_merges] = right;
    m->result[m->n_merges++] = token_of(m, result);
}

/* Token 0, 1, 2 are a, b, c; tokens after them have the ids 256... */
static int32_t id_of(int token) { return token < 3 ? 'a' + token : 256 + token - 3; }

static void build(struct made *m)
{
    static char vocab[4096 + MAX_TOKENS * 48], merges[MAX_MERGES * 64];
    gpt2q_error err;
    size_t n = tiny_vocab_open(vocab), k = 0;
    for (int i = 3; i < m->n_tokens; i++)
        n += (size_t)sprintf(vocab + n, ",\"%s\":%d", m->token[i], id_of(i));
    n += (size_t)sprintf(vocab + n, "}");
    for (int i = 0; i < m->n_merges; i++)
        k += (size_t)sprintf(merges + k, "%s %s\n", m->token[m->left[i]], m->token[m->right[i]]);
    if (tokenizer_from_memory(vocab, n, "vocab", merges, k, "merges", &m->t, &err))
        fail_msg("%s", err.message);
}

static void start(struct made *m)
{
    memset(m, 0, sizeof *m);
    for (const char *s = "a\0b\0c"; m->n_tokens < 3; s += 2) token_of(m, s);
}

/* Ranks in any order: a pair may come before the merges that make its parts. */
static void make_random(struct made *m, struct rng *rng)
{
    start(m);
    int wanted = 5 + (int)rng_below(rng, MAX_MERGES / 3);
    for (int i = 0; i < wanted; i++) {
        int left = (int)rng_below(rng, (uint32_t)m->n_tokens);
        add_merge(m, left, (int)rng_below(rng, (uint32_t)m->n_tokens));
    }
    for (int i = m->n_merges - 1; i > 0; i--) {
        int j = (int)rng_below(rng, (uint32_t)i + 1), *columns[] = {m->left, m->right, m->result};
        for (int k = 0; k < 3; k++) {
            int swap = columns[k][i];
            columns[k][i] = columns[k][j], columns[k][j] = swap;
        }
    }
    build(m);
}

/* ---- the definition, word for word ---- */

static int rank_of(const struct made *m, int left, int right)
{
    for (int r = 0; r < m->n_merges; r++)
        if (m->left[r] == left && m->right[r] == right) return r;
    return MAX_MERGES;
}

static size_t define(const struct made *m, const char *text, size_t n, int *symbol)
{
    for (size_t i = 0; i < n; i++) symbol[i] = text[i] - 'a';
    for (;;) {
        int best = MAX_MERGES;
        for (size_t i = 0; i + 1 < n; i++) {
            int r = rank_of(m, symbol[i], symbol[i + 1]);
            if (r < best) best = r;
        }
        if (best == MAX_MERGES) return n;
        size_t to = 0;
        for (size_t i = 0; i < n; to++) {
            bool both = i + 1 < n && symbol[i] == m->left[best] && symbol[i + 1] == m->right[best];
            symbol[to] = both ? m->result[best] : symbol[i];
            i += both ? 2 : 1;
        }
        n = to;
    }
}

static void check_against_definition(const struct made *m, struct rng *rng, size_t n)
{
    static int symbol[512];
    static int32_t ids[512], through[512];
    char text[512];
    uint32_t letters = 1 + rng_below(rng, 3);
    for (size_t i = 0; i < n; i++) text[i] = (char)('a' + (int)rng_below(rng, letters));
    struct encoding e = {.ids = ids, .capacity = n};
    assert_int_equal(bpe_encode(m->t, (const uint8_t *)text, n, &e, NULL), GPT2Q_OK);
    size_t expected = define(m, text, n, symbol), all;
    assert_int_equal(e.n, expected);
    for (size_t i = 0; i < expected; i++) assert_int_equal(ids[i], id_of(symbol[i]));
    /* the same through the front door, where words are looked up whole */
    assert_int_equal(tokenizer_encode(m->t, text, n, false, through, n, &all, NULL), GPT2Q_OK);
    assert_int_equal(all, e.n);
    assert_memory_equal(through, ids, all * sizeof *ids);
}

static void definition(void **state)
{
    (void)state;
    struct rng rng = {1};
    static struct made m;
    for (int round = 0; round < 60; round++) {
        make_random(&m, &rng);
        for (int i = 0; i < 10; i++) check_against_definition(&m, &rng, 1 + rng_below(&rng, 12));
        for (size_t n = BPE_SHORT - 1; n <= BPE_SHORT + 2; n++) check_against_definition(&m, &rng, n);
        check_against_definition(&m, &rng, 100 + rng_below(&rng, 200));
        tokenizer_free(m.t);
    }
}

/* x ab and a b: the merge that makes "ab" ranks after the pair that needs it. A pass that stops half-way
 * is found out. */
static void a_pass_ends_before_the_next(void **state)
{
    (void)state;
    static struct made m;
    start(&m);
    int ab = token_of(&m, "ab");
    add_merge(&m, ab, ab);
    add_merge(&m, 2, ab);
    add_merge(&m, 0, 1);
    build(&m);
    int32_t ids[2];
    struct encoding e = {.ids = ids, .capacity = 2};
    assert_int_equal(bpe_encode(m.t, (const uint8_t *)"cabab", 5, &e, NULL), GPT2Q_OK);
    assert_int_equal(e.n, 2);
    assert_int_equal(ids[0], 'c');
    assert_int_equal(ids[1], id_of(token_of(&m, "abab")));
    tokenizer_free(m.t);
}

/* ---- work and memory ---- */

/* Doubling runs: aa, aaaa, ... and abab... as trained vocabularies have them. */
static void make_runs(struct made *m)
{
    start(m);
    int a = 0, ab;
    for (int i = 0; i < 4; i++) {
        add_merge(m, a, a);
        a = m->result[m->n_merges - 1];
    }
    add_merge(m, 1, 2);
    ab = m->result[m->n_merges - 1];
    for (int i = 0; i < 3; i++) {
        add_merge(m, ab, ab);
        ab = m->result[m->n_merges - 1];
    }
    build(m);
}

static uint64_t steps_of(const struct made *m, const char *period, size_t n)
{
    char *text = malloc(n);
    size_t p = strlen(period);
    for (size_t i = 0; i < n; i++) text[i] = period[i % p];
    struct encoding e = {0};
    assert_int_equal(bpe_encode(m->t, (const uint8_t *)text, n, &e, NULL), GPT2Q_OK);
    free(text);
    return e.steps;
}

static void work_is_linear_in_heap_operations(void **state)
{
    (void)state;
    static struct made m;
    make_runs(&m);
    static const char *const periods[] = {"a", "bc", "abc", "aab", "aaaabcbcbc"};
    for (size_t i = 0; i < sizeof periods / sizeof *periods; i++) {
        assert_in_range(steps_of(&m, periods[i], 5000), 0, 6 * 5000);
        assert_in_range(steps_of(&m, periods[i], 100000), 0, 6 * 100000);
    }
    for (size_t n = 1; n <= BPE_SHORT; n++) assert_in_range(steps_of(&m, "a", n), 1, n * (n + 1));
    tokenizer_free(m.t);
}

static void memory_runs_out(void **state)
{
    (void)state;
    static struct made m;
    make_runs(&m);
    char text[BPE_SHORT + 1];
    memset(text, 'a', sizeof text);
    gpt2q_status s = GPT2Q_OUT_OF_MEMORY;
    int failures = -1;
    for (int64_t allowed = 0; s; allowed++, failures++) {
        size_t n = 77;
        gpt2q_error err = {0};
        mem_fail_after(allowed);
        s = tokenizer_encode(m.t, text, sizeof text, false, NULL, 0, &n, &err);
        mem_fail_after(-1);
        if (!s) break;
        assert_int_equal(s, GPT2Q_OUT_OF_MEMORY);
        assert_int_equal(err.status, s);
        assert_int_equal(n, 0);
    }
    assert_in_range(failures + 1, 1, 10);
    /* a short piece needs none */
    uint64_t before = mem_count();
    size_t n;
    assert_int_equal(tokenizer_encode(m.t, text, BPE_SHORT, false, NULL, 0, &n, NULL), GPT2Q_OK);
    assert_int_equal(mem_count(), before);
    tokenizer_free(m.t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(definition),
        cmocka_unit_test(a_pass_ends_before_the_next),
        cmocka_unit_test(work_is_linear_in_heap_operations),
        cmocka_unit_test(memory_runs_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
