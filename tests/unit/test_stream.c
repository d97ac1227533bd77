/* The stream decoder: nothing is lost or changed, whole code points come at once, and only bytes that may
 * still become one are held. */
#include "tests/support.h"
#include "base/utf8.h"
#include "tokenizer/tokenizer.h"

/* Feeds one chunk and checks how many bytes come out: of the chunk, and of the held bytes. */
static void feed(struct stream_decoder *d, const char *bytes, const char *expected)
{
    char out[64];
    size_t n = stream_decode(d, bytes, strlen(bytes), out);
    assert_int_equal(n, strlen(expected));
    assert_memory_equal(out, expected, n);
}

static void holds_prefixes_only(void **state)
{
    (void)state;
    struct stream_decoder d = {0};
    feed(&d, "a\xC3", "a");
    feed(&d, "\xA9", "\xC3\xA9");
    feed(&d, "\xF0", ""), feed(&d, "\x9F", ""), feed(&d, "\x91", "");
    assert_int_equal(d.n_held, 3);
    feed(&d, "\x8D!", "\xF0\x9F\x91\x8D!");
    feed(&d, "\xE2\x82", "");
    feed(&d, "a",
         "\xE2\x82"
         "a");
    feed(&d, "\xE2\x82", "");
    feed(&d, "\xE2", "\xE2\x82");
    feed(&d, "\xC3", "\xE2");
    feed(&d, "", "");
    char out[4];
    assert_int_equal(stream_flush(&d, out), 1);
    assert_int_equal(out[0], (char)0xC3);
    assert_int_equal(stream_flush(&d, out), 0);
}

static void releases_the_hopeless_at_once(void **state)
{
    (void)state;
    static const char *const hopeless[] = {"\x80",
                                           "\xC0",
                                           "\xC1",
                                           "\xF5",
                                           "\xFF",
                                           "\xE0\x80",
                                           "\xED\xA0",
                                           "\xF0\x8F",
                                           "\xF4\x90",
                                           "\xE2\x82\x41",
                                           "\xF0\x9F\x91\xFF"};
    for (size_t i = 0; i < sizeof hopeless / sizeof *hopeless; i++) {
        struct stream_decoder d = {0};
        feed(&d, hopeless[i], hopeless[i]);
        assert_int_equal(d.n_held, 0);
    }
}

static void any_bytes_in_any_chunks(void **state)
{
    (void)state;
    static const unsigned char likely[] = {'a',  0x80, 0xBF, 0xA0, 0x9F, 0xC3, 0xE0,
                                           0xE2, 0xED, 0xF0, 0xF4, 0xC0, 0x90};
    struct rng rng = {7};
    for (int round = 0; round < 2000; round++) {
        char text[40], out[40];
        struct stream_decoder d = {0};
        size_t fed = 0, came = 0, n = rng_below(&rng, 40);
        for (size_t i = 0; i < n; i++) text[i] = (char)likely[rng_below(&rng, sizeof likely)];
        while (fed < n) {
            size_t chunk = rng_below(&rng, 6), room;
            if (chunk > n - fed) chunk = n - fed;
            room = chunk + 3;
            char *guarded = guard_alloc(room);
            size_t released = stream_decode(&d, text + fed, chunk, guarded);
            memcpy(out + came, guarded, released);
            guard_free(guarded, room);
            fed += chunk, came += released;
            assert_int_equal(came + (size_t)d.n_held, fed);
            if (d.n_held > 0) assert_int_equal(utf8_next(text + came, fed - came).kind, UTF8_CUT);
        }
        came += stream_flush(&d, out + came);
        assert_int_equal(came, n);
        assert_memory_equal(out, text, n);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(holds_prefixes_only),
        cmocka_unit_test(releases_the_hopeless_at_once),
        cmocka_unit_test(any_bytes_in_any_chunks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
