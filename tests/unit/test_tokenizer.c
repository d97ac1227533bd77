/* The whole tokenizer: published ids with GPT-2's own vocabulary and the default model's, and the round
 * trip of any bytes. */
#include "tests/support.h"
#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/threads.h"
#include "base/utf8.h"
#include "tokenizer/tokenizer.h"

static struct tokenizer *opened(const char *directory)
{
    struct tokenizer *t;
    gpt2q_error err;
    if (tokenizer_open(directory, &t, &err)) fail_msg("%s", err.message);
    return t;
}

static struct tokenizer *tales(void) { return opened(repo_path("models/tales-7m")); }

/* ids: numbers with blanks between them. */
static void expect_ids(const struct tokenizer *t, const char *text, size_t n, bool special, const char *ids)
{
    int32_t got[64];
    size_t count, i = 0;
    char *guarded = guard_alloc(n), *at;
    memcpy(guarded, text, n);
    assert_int_equal(tokenizer_encode(t, guarded, n, special, got, 64, &count, NULL), GPT2Q_OK);
    guard_free(guarded, n);
    for (; *ids; ids = at, i++) {
        long id = strtol(ids, &at, 10);
        if (i >= count || got[i] != id)
            fail_msg("id %zu of '%s' is %d, not %ld", i, text, i < count ? got[i] : -1, id);
    }
    assert_int_equal(count, i);
}

#define TEXT(s) s, sizeof s - 1

static void published_ids(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t n;
        const char *ids;
    } cases[] = {
        {TEXT("The quick brown fox jumped over the"), "464 2068 7586 21831 11687 625 262"},
        {TEXT("Hello world"), "15496 995"},
        {TEXT(" Hello world"), "18435 995"},
        {TEXT(""), ""},
        {TEXT("  "), "220 220"},
        {TEXT("a  b"), "64 220 275"},
        {TEXT("\n\n"), "628"},
        {TEXT("\n\n\n"), "628 198"},
        {TEXT("a\r\n\r\nb"), "64 201 198 201 198 65"},
        {TEXT("I've 'RE"), "40 1053 705 2200"},
        {TEXT("don't  's"), "9099 470 220 705 82"},
        {TEXT("\t\tfoo"), "197 197 21943"},
        {TEXT("\xC2\x85"
              "a"),
         "126 227 64"},
        {TEXT("\xEF\xBB\xBF"
              "BOM"),
         "171 119 123 33 2662"},
        {TEXT("\xC2\xA0x"), "1849 87"},
        {TEXT("\xE3\x80\x80x"), "5099 222 87"},
        {TEXT("\x1C\x1D a"), "216 217 257"},
        {TEXT("e\xCC\x81"), "68 136 223"},
        {TEXT("\xE2\x80\x8D"), "447 235"},
        {TEXT("\xF0\x9F\x91\x8D"), "41840 235"},
        {TEXT("\xE6\xAD\xAA"), "29826 103"},
        {TEXT("\xC2\xBD"), "23141"},
        {TEXT("0000000000000000"), "25645"},
        {TEXT("<|endoftext|>"), "27 91 437 1659 5239 91 29"},
        {TEXT("\0"), "188"},
    };
    need_shared(directory, "gpt2-tokenizer/vocab.json");
    (void)directory;
    struct tokenizer *t = opened(shared_path("gpt2-tokenizer"));
    assert_int_equal(tokenizer_size(t), 50257);
    assert_int_equal(tokenizer_end_of_text(t), 50256);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect_ids(t, cases[i].text, cases[i].n, false, cases[i].ids);
    expect_ids(t, TEXT("Hello world<|endoftext|>  <|endoftext|>"), true, "15496 995 50256 220 220 50256");
    tokenizer_free(t);
}

/* Every token that is UTF-8 is the encoding of its own text, as one piece and through merging alone. */
static void tokens_encode_to_themselves(const struct tokenizer *t, int utf8_expected, int other_expected)
{
    int utf8 = 0, other = 0;
    for (int32_t id = 0; id < tokenizer_size(t); id++) {
        size_t len, n;
        int32_t ids[128];
        const char *bytes = tokenizer_bytes(t, id, &len);
        if (id == tokenizer_end_of_text(t)) continue;
        assert_int_equal(tokenizer_encode(t, bytes, len, false, ids, 128, &n, NULL), GPT2Q_OK);
        bool itself = n == 1 && ids[0] == id;
        if (utf8_valid_prefix(bytes, len) < len) {
            other++;
            continue;
        }
        utf8++;
        if (!itself) fail_msg("token %d, '%.*s', became %zu tokens", id, (int)len, bytes, n);
    }
    assert_int_equal(utf8, utf8_expected);
    assert_int_equal(other, other_expected);
}

static void every_token(void **state)
{
    (void)state;
    need_shared(directory, "gpt2-tokenizer/vocab.json");
    (void)directory;
    struct tokenizer *t = opened(shared_path("gpt2-tokenizer"));
    tokens_encode_to_themselves(t, 49912, 344);
    tokenizer_free(t);
}

/* Ids made by Hugging Face's tokenizers for the prompts of the default model's goldens. */
static void default_model_prompts(void **state)
{
    (void)state;
    struct tokenizer *t = tales();
    char *text;
    size_t size, lines = 0;
    gpt2q_error err;
    assert_int_equal(
        file_read(repo_path("tests/golden/data/tales-7m-prompt-ids.jsonl"), 1 << 20, &text, &size, &err), 0);
    for (char *line = text; *line; line += strcspn(line, "\n") + 1, lines++) {
        cJSON *row;
        static int32_t ids[4096];
        size_t n, i = 0;
        assert_int_equal(json_parse(line, strcspn(line, "\n"), "row", &row, &err), 0);
        const char *prompt = cJSON_GetObjectItem(row, "prompt")->valuestring;
        assert_int_equal(tokenizer_encode(t, prompt, strlen(prompt), false, ids, 4096, &n, &err), 0);
        const cJSON *id;
        cJSON_ArrayForEach(id, cJSON_GetObjectItem(row, "ids"))
            assert_true(i < n && ids[i++] == (int32_t)id->valuedouble);
        assert_int_equal(i, n);
        cJSON_Delete(row);
    }
    assert_int_equal(lines, 27);
    mem_free(text);
    tokenizer_free(t);
}

/* Any bytes come back from at most as many ids. A small buffer takes the first of them. */
static void any_bytes_round_trip(void **state)
{
    (void)state;
    struct tokenizer *t = tales();
    struct rng rng = {11};
    for (int round = 0; round < 3000; round++) {
        char text[300];
        int32_t ids[300];
        size_t n = rng_below(&rng, 300), count, back = 0, again, capacity;
        uint32_t range = round % 3 ? 256 : 4;
        static const char few[] = {' ', 'a', '\n', '\''};
        for (size_t i = 0; i < n; i++)
            text[i] = range == 256 ? (char)rng_below(&rng, 256) : few[rng_below(&rng, 4)];
        assert_int_equal(tokenizer_encode(t, text, n, false, ids, 300, &count, NULL), GPT2Q_OK);
        assert_in_range(count, 0, n);
        for (size_t i = 0; i < count; i++) {
            size_t len;
            const char *bytes = tokenizer_bytes(t, ids[i], &len);
            assert_non_null(bytes);
            assert_true(back + len <= n && !memcmp(text + back, bytes, len));
            back += len;
        }
        assert_int_equal(back, n);
        capacity = rng_below(&rng, (uint32_t)count + 1);
        int32_t *some = guard_alloc(capacity * sizeof *some);
        assert_int_equal(tokenizer_encode(t, text, n, true, some, capacity, &again, NULL), GPT2Q_OK);
        assert_int_equal(again, count);
        assert_memory_equal(some, ids, capacity * sizeof *some);
        guard_free(some, capacity * sizeof *some);
    }
    tokenizer_free(t);
}

/* A piece longer than any word, with breaks of every kind around it. */
static void long_texts(void **state)
{
    (void)state;
    static const char *const periods[] = {"a",   " ",        "\n",   "^",  "ab",  "'s",
                                          " \n", "\xC3\xA9", "\xFF", "1 ", "the "};
    enum { N = 30000 };
    struct tokenizer *t = tales();
    char *text = malloc(N), *back = malloc(N);
    int32_t *ids = malloc(N * sizeof *ids);
    for (size_t k = 0; k < sizeof periods / sizeof *periods; k++) {
        size_t count, used = 0, len;
        for (size_t i = 0; i < N; i++) text[i] = periods[k][i % strlen(periods[k])];
        assert_int_equal(tokenizer_encode(t, text, N, false, ids, N, &count, NULL), GPT2Q_OK);
        for (size_t i = 0; i < count; i++, used += len) {
            const char *bytes = tokenizer_bytes(t, ids[i], &len);
            assert_true(used + len <= N);
            memcpy(back + used, bytes, len);
        }
        assert_int_equal(used, N);
        assert_memory_equal(back, text, N);
    }
    free(text), free(back), free(ids);
    tokenizer_free(t);
}

struct shared_use {
    const struct tokenizer *t;
    bool same[4];
};

static void encode_in_thread(void *arg, int thread, int n)
{
    struct shared_use *use = arg;
    static const char text[] =
        "Once upon a time, there was a dragonfly-hunting wizard's apprentice called Zyxx.";
    int32_t first[sizeof text], ids[sizeof text];
    size_t n_first, count;
    (void)n;
    bool same = !tokenizer_encode(use->t, text, sizeof text - 1, false, first, sizeof text, &n_first, NULL);
    for (int i = 0; i < 200 && same; i++) {
        same = !tokenizer_encode(use->t, text, sizeof text - 1, false, ids, sizeof text, &count, NULL) &&
               count == n_first && !memcmp(ids, first, count * sizeof *ids);
    }
    use->same[thread] = same;
}

static void threads_share_one(void **state)
{
    (void)state;
    struct tokenizer *t = tales();
    struct shared_use use = {.t = t, .same = {true, true, true, true}};
    threads_run(4, encode_in_thread, &use);
    for (int i = 0; i < 4; i++) assert_true(use.same[i]);
    tokenizer_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_ids),
        cmocka_unit_test(every_token),
        cmocka_unit_test(default_model_prompts),
        cmocka_unit_test(any_bytes_round_trip),
        cmocka_unit_test(long_texts),
        cmocka_unit_test(threads_share_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
