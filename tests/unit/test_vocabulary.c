/* Vocabularies: each malformed one is refused with a sentence that says where and what. Well-formed ones
 * of either shape give the same tokenizer. */
#include "tests/support.h"
#include "base/memory.h"
#include "tests/tiny_vocabulary.h"
#include "tokenizer/directory.h"
#include "tokenizer/merges.h"
#include <unistd.h>

static char vocab[1 << 14], whole[1 << 15];

/* The 256 bytes and the further entries; `more` begins with a comma or is empty. */
static const char *vocab_with(const char *more)
{
    size_t n = tiny_vocab_open(vocab);
    sprintf(vocab + n, "%s}", more);
    return vocab;
}

/* A tokenizer.json around vocab_with(more). */
static const char *whole_with(const char *fields, const char *model_fields, const char *more,
                              const char *merges)
{
    sprintf(whole,
            "{%s\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false},\"model\":{%s\"vocab\":"
            "%s,\"merges\":%s}}",
            fields, model_fields, vocab_with(more), merges);
    return whole;
}

static struct tokenizer *opened(const char *text, const char *merges)
{
    struct tokenizer *t;
    gpt2q_error err;
    if (tokenizer_from_memory(text, strlen(text), "V", merges, merges ? strlen(merges) : 0, "M", &t, &err))
        fail_msg("%s", err.message);
    return t;
}

static void refused(const char *text, const char *merges, const char *message)
{
    struct tokenizer *t;
    gpt2q_error err;
    assert_int_not_equal(
        tokenizer_from_memory(text, strlen(text), "V", merges, merges ? strlen(merges) : 0, "M", &t, &err),
        GPT2Q_OK);
    assert_null(t);
    if (!strstr(err.message, message)) fail_msg("'%s' where '%s' was expected", err.message, message);
}

static void encodes(const struct tokenizer *t, const char *text, unsigned special, size_t n,
                    const int32_t *expected)
{
    int32_t ids[16];
    size_t all;
    assert_int_equal(tokenizer_encode(t, text, strlen(text), special, ids, 16, &all, NULL), GPT2Q_OK);
    assert_int_equal(all, n);
    for (size_t i = 0; i < n; i++) assert_int_equal(ids[i], expected[i]);
}
#define ENCODES(t, text, special, ...)                                                                       \
    encodes(t, text, special, sizeof(int32_t[]){__VA_ARGS__} / sizeof(int32_t), (int32_t[]){__VA_ARGS__})

static void bad_vocabularies(void **state)
{
    (void)state;
    refused("", "", "V");
    refused("[1]", "", "V: the document must be an object");
    refused("{}", "", "V: no byte has a token, so that no text has ids");
    refused(vocab_with(",\"ab\":\"x\""), "", "V: token \"ab\": the id must be an integer from 0 to 1048574");
    refused(vocab_with(",\"ab\":300.5"), "", "token \"ab\": the id must be an integer");
    refused(vocab_with(",\"ab\":-1"), "", "token \"ab\": the id must be an integer");
    refused(vocab_with(",\"ab\":1048575"), "", "token \"ab\": the id must be an integer");
    refused(vocab_with(",\"ab\":1e300"), "", "token \"ab\": the id must be an integer");
    refused(vocab_with(",\"ab\":97"), "", "V: tokens \"a\" and \"ab\" both have id 97");
    refused(vocab_with(",\"ab\":256,\"ab\":257"), "", "ab");
    refused(vocab_with(",\"\":256"), "", "V: a token has an empty name");
    refused(vocab_with(",\"\\u00C3\\u0143\":256,\"\\u00C3\\u0143\":257"), "", "V");
}

static void bad_merges(void **state)
{
    (void)state;
    const char *v = vocab_with(",\"ab\":256");
    refused(v, "a b\n\na b\n", "M: line 2: two tokens with exactly one space between them are expected");
    refused(v, "#version: 0.2\na  b\n", "M: line 2: two tokens");
    refused(v, "a b c\n", "M: line 1: two tokens");
    refused(v, " b\n", "M: line 1: two tokens"), refused(v, "a \n", "M: line 1: two tokens");
    refused(v, "ab\n", "M: line 1: two tokens");
    refused(v, "a b\r", "M: line 1: U+000D is no character of the byte alphabet");
    refused(v, "a b\r\n\r\n", "M: line 2: two tokens");
    refused(v, "a \xFF\n", "M: line 1: U+FFFD is no character");
    refused(v, "xy z\n", "M: line 1: \"xy\" is not in the vocabulary");
    refused(v, "a yz\n", "M: line 1: \"yz\" is not in the vocabulary");
    refused(v, "\xEF\xBB\xBF#version: 0.2\na b\n", "M: begins with a byte order mark");
    refused(v, "\xFF\xFE#", "M: is text in UTF-16 where UTF-8 is expected");
    refused(v, "b a\n", "M: line 1: the result \"ba\" is not in the vocabulary");
}

static void bad_documents(void **state)
{
    (void)state;
    refused("{}", NULL, "V: model.vocab must be an object");
    refused("{\"model\":{\"vocab\":{}}}", NULL, "V: model.merges must be an array");
    refused("{\"added_tokens\":1,\"model\":{\"vocab\":{},\"merges\":[]}}", NULL,
            "V: added_tokens must be an array");
    refused(whole_with("\"added_tokens\":[{\"id\":256}],", "", "", "[]"), NULL,
            "must have a string as content");
    refused(whole_with("\"added_tokens\":[{\"id\":97,\"content\":\"zz\"}],", "", "", "[]"), NULL,
            "V: tokens \"a\" and \"zz\" both have id 97");
    refused(whole_with("\"added_tokens\":[{\"id\":256,\"content\":\"a\"}],", "", "", "[]"), NULL,
            "V: tokens 97 and 256 have the same text, \"a\"");
    refused(whole_with("", "\"ignore_merges\":true,", "", "[]"), NULL, "V: model.ignore_merges is not");
    refused(whole_with("\"decoder\":{\"type\":\"WordPiece\"},", "", "", "[]"), NULL,
            "V: decoder.type is not");
    refused(whole_with("\"normalizer\":{\"type\":\"NFC\"},", "", "", "[]"), NULL,
            "V: normalizer is not that of GPT-2");
    refused(whole_with("", "\"type\":\"WordPiece\",", "", "[]"), NULL, "V: model.type is not");
    refused(whole_with("", "\"dropout\":0.1,", "", "[]"), NULL, "V: model.dropout is not");
    refused(whole_with("", "\"end_of_word_suffix\":\"</w>\",", "", "[]"), NULL,
            "V: model.end_of_word_suffix is not");
    refused(whole_with("", "", ",\"ab\":256", "[\"a b\",\"ab\"]"), NULL,
            "V: merge 1: two tokens with exactly one space");
    refused(whole_with("", "", ",\"ab\":256", "[[\"a\"]]"), NULL, "V: merge 0: must be a string");
    refused(whole_with("", "", ",\"ab\":256", "[[\"a\",\"b\",\"c\"]]"), NULL, "V: merge 0: must be a string");
    refused(whole_with("", "", ",\"ab\":256", "[[\"a\",\"z\"]]"), NULL, "V: merge 0: the result \"az\"");
}

static void both_shapes_agree(void **state)
{
    (void)state;
    static const char more[] = ",\"\\u0120t\":256,\"he\":257,\"\\u0120the\":260,\"<|endoftext|>\":259";
    static const char *const merges[] = {"[\"\\u0120 t\",\"h e\",\"\\u0120t he\"]",
                                         "[[\"\\u0120\",\"t\"],[\"h\",\"e\"],[\"\\u0120t\",\"he\"]]"};
    static const char text[] = "#version: 0.2\n\xC4\xA0 t\nh e\n\xC4\xA0t he\n";
    for (int i = 0; i < 4; i++) {
        const char *added = "\"added_tokens\":[{\"id\":259,\"content\":\"<|endoftext|>\",\"special\":true}],";
        struct tokenizer *t =
            i < 2 ? opened(whole_with(added, "\"dropout\":null,\"type\":\"BPE\",", more, merges[i]), NULL)
                  : opened(vocab_with(more), i == 2 ? text : text + 14);
        assert_int_equal(tokenizer_size(t), 261);
        assert_int_equal(tokenizer_end_of_text(t), 259);
        ENCODES(t, "the the", false, 't', 257, 260);
        ENCODES(t, "a<|endoftext|>he", true, 'a', 259, 257);
        ENCODES(t, "<|endoftext|><|endoftext|>", true, 259, 259);
        ENCODES(t, "<|endoftext", true, '<', '|', 'e', 'n', 'd', 'o', 'f', 't', 'e', 'x', 't');
        size_t n = 9;
        assert_null(tokenizer_bytes(t, 258, &n)); /* a gap */
        assert_int_equal(n, 0);
        assert_null(tokenizer_bytes(t, 261, &n)), assert_null(tokenizer_bytes(t, -1, &n));
        assert_memory_equal(tokenizer_bytes(t, 260, &n), " the", 4);
        assert_int_equal(n, 4);
        assert_int_equal(tokenizer_longest(t), 13);
        tokenizer_free(t);
    }
}

static void names_that_are_texts(void **state)
{
    (void)state;
    struct tokenizer *t = opened(vocab_with(",\"<|im start|>\":256"), "");
    size_t n;
    assert_memory_equal(tokenizer_bytes(t, 256, &n), "<|im start|>", 12);
    assert_int_equal(n, 12);
    assert_int_equal(tokenizer_end_of_text(t), -1);
    ENCODES(t, "ab", true, 'a', 'b');
    tokenizer_free(t);
    t = opened(whole_with("\"added_tokens\":[{\"id\":300,\"content\":\"\\u00E9 x\"}],", "", "", "[]"), NULL);
    assert_int_equal(tokenizer_size(t), 301);
    assert_memory_equal(tokenizer_bytes(t, 300, &n), "\xC3\xA9 x",
                        4); /* as it stands: the space is no character of the alphabet */
    assert_int_equal(n, 4);
    tokenizer_free(t);
}

/* A token that no merge makes. Its text must not become it. */
static void unreachable_tokens(void **state)
{
    (void)state;
    struct tokenizer *t = opened(vocab_with(",\"abc\":256,\"bc\":257,\"ab\":258"), "a b\nb c\na bc\n");
    ENCODES(t, "abc", false, 258, 'c');
    ENCODES(t, "bc", false, 257);
    tokenizer_free(t);
}

static void directories(void **state)
{
    (void)state;
    char *dir = temp_directory(), path[4200];
    struct tokenizer *t;
    gpt2q_error err;
    assert_int_equal(tokenizer_open(dir, &t, &err), GPT2Q_IO);
    assert_non_null(strstr(err.message, "holds neither vocab.json and merges.txt nor tokenizer.json"));
    snprintf(path, sizeof path, "%s/vocab.json", dir);
    vocab_with("");
    write_file(path, vocab, strlen(vocab));
    assert_int_equal(tokenizer_open(dir, &t, &err), GPT2Q_IO);
    assert_non_null(strstr(err.message, "merges.txt"));
    assert_null(t);
    snprintf(path, sizeof path, "%s/tokenizer.json", dir);
    whole_with("", "", ",\"ab\":256", "[\"a b\"]");
    write_file(path, whole, strlen(whole));
    assert_int_equal(tokenizer_open(dir, &t, &err), GPT2Q_OK);
    ENCODES(t, "ab", false, 256);
    tokenizer_free(t);
    snprintf(path, sizeof path, "%s/merges.txt", dir);
    write_file(path, "", 0);
    assert_int_equal(tokenizer_open(dir, &t, &err),
                     GPT2Q_OK); /* tokenizer.json comes first, as in transformers 5 */
    ENCODES(t, "ab", false, 256);
    tokenizer_free(t);
    temp_remove(dir);
}

/* A link to nothing, as a broken download leaves it, does not count as a missing file. */
static void broken_links(void **state)
{
    (void)state;
    static const char *const names[] = {"vocab.json", "tokenizer.json", "added_tokens.json"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char *dir = temp_directory(), path[4200];
        struct directory_texts texts;
        gpt2q_error err;
        snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        assert_int_equal(symlink("no-such-blob", path), 0);
        assert_int_equal(directory_read_to_store(dir, &texts, &err), GPT2Q_IO);
        assert_non_null(strstr(err.message, "is a link to a file that is not there"));
        directory_free(&texts);
        unlink(path);
        assert_int_equal(directory_read_to_store(dir, &texts, &err), GPT2Q_OK);
        assert_null(texts.texts.vocab.text);
        directory_free(&texts);
        temp_remove(dir);
    }
}

static void refused_with(const char *file, const char *content, const char *message)
{
    char *dir = temp_directory(), path[4200];
    struct tokenizer *t;
    gpt2q_error err = {.message = ""};
    snprintf(path, sizeof path, "%s/vocab.json", dir);
    vocab_with(",\"<|endoftext|>\":256");
    write_file(path, vocab, strlen(vocab));
    snprintf(path, sizeof path, "%s/merges.txt", dir);
    write_file(path, "", 0);
    snprintf(path, sizeof path, "%s/%s", dir, file);
    write_file(path, content, strlen(content));
    assert_int_not_equal(tokenizer_open(dir, &t, &err), GPT2Q_OK);
    assert_null(t);
    if (!strstr(err.message, message)) fail_msg("'%s' where '%s' was expected", err.message, message);
    temp_remove(dir);
}

/* A file beside the vocabulary that asks for something unsupported gets a sentence. */
static void refused_beside(void **state)
{
    (void)state;
    static const char *const config = "tokenizer_config.json";
    refused_with(config, "{\"tokenizer_class\":\"BertTokenizer\"}", "tokenizer_class is \"BertTokenizer\"");
    refused_with(config, "{\"add_prefix_space\":1}", "add_prefix_space must be true or false");
    refused_with(config, "{\"bos_token\":7}", "bos_token must be a string or a token");
    refused_with(config, "{\"added_tokens_decoder\":[]}", "added_tokens_decoder must be an object");
    refused_with(config, "{\"added_tokens_decoder\":{\"x\":{\"content\":\"y\"}}}", "\"x\" is no id");
    refused_with(config, "{\"added_tokens_decoder\":{\"300\":{\"content\":\"yy\"}}}",
                 "token \"yy\" has the id 300, but the tokenizers library numbers it 257");
    refused_with(config, "[]", "is not a JSON object");
    refused_with(config, "\xEF\xBB\xBF{}",
                 "tokenizer_config.json: not valid JSON: begins with a byte order mark");
    refused_with("added_tokens.json", "{\"y\":-1}", "token \"y\": the id must be an integer");
    vocab_with("");
    char text[1 << 15];
    static const char *const fields[][2] = {
        {"\"normalizer\":{\"type\":\"Lowercase\"},", "normalizer is not that of GPT-2"},
        {"\"post_processor\":{\"type\":\"Other\"},", "post_processor.type is \"Other\""},
        {"\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[]},", "must hold the text once"}};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        snprintf(text, sizeof text, "%s", whole_with(fields[i][0], "", "", "[]"));
        refused_with("tokenizer.json", text, fields[i][1]);
    }
    snprintf(text, sizeof text, "%s", whole_with("", "", "", "[]"));
    char *no = strstr(text, "false");
    memcpy(no, "true ", 5);
    refused_with("tokenizer.json", text, "pre_tokenizer.add_prefix_space is true");
}

/* A byte without a token matters only to a text that has it. */
static void missing_bytes(void **state)
{
    (void)state;
    char *hole = strstr(strcpy(whole, vocab_with("")), "\"a\":97,");
    memmove(hole, hole + 7, strlen(hole + 7) + 1);
    struct tokenizer *t = opened(whole, "");
    ENCODES(t, "bc", 0, 'b', 'c');
    int32_t ids[4];
    size_t n;
    gpt2q_error err;
    assert_int_equal(tokenizer_encode(t, "bac", 3, 0, ids, 4, &n, &err), GPT2Q_INVALID_ARGUMENT);
    assert_string_equal(err.message, "the text has the byte 0x61, for which the vocabulary has no token");
    tokenizer_free(t);
}

static void merges_from_elsewhere(void **state)
{
    (void)state;
    const char *v = vocab_with(",\"ab\":256,\"bc\":257");
    struct tokenizer *t = opened(v, "#version: 0.2\r\na b\r\nb c\r\n");
    ENCODES(t, "abc", 0, 256, 'c');
    tokenizer_free(t);
    t = opened(v, "a b\nb c\n#version\na b\n"); /* the last place counts */
    ENCODES(t, "abc", 0, 'a', 257);
    tokenizer_free(t);
    t = opened(vocab_with(",\"<|pad|>\":256,\"<|endoftext|>\":256,\"user name\":300"), "");
    size_t length;
    assert_memory_equal(tokenizer_bytes(t, 256, &length), "<|endoftext|>", 13); /* two names of one id */
    assert_memory_equal(tokenizer_bytes(t, 300, &length), "user name", 9);
    ENCODES(t, "<|endoftext|>", TOKENIZER_SPECIAL, 256);
    tokenizer_free(t);
}

/* Any one changed or missing byte of the texts: opening ends with a tokenizer or a message. */
static void damaged_texts(void **state)
{
    (void)state;
    whole_with("\"added_tokens\":[{\"id\":259,\"content\":\"<|endoftext|>\"}],", "", ",\"ab\":256",
               "[\"a b\"]");
    struct rng rng = {3};
    size_t size = strlen(whole);
    for (int round = 0; round < 300; round++) {
        size_t n = round % 2 ? size : rng_below(&rng, (uint32_t)size), at = rng_below(&rng, (uint32_t)size);
        char *copy = guard_alloc(n);
        memcpy(copy, whole, n);
        if (at < n) copy[at] = "\"{}[],:0 \\a\xFF"[rng_below(&rng, 12)];
        struct tokenizer *t;
        gpt2q_error err = {0};
        gpt2q_status s = tokenizer_from_memory(copy, n, "V", NULL, 0, NULL, &t, &err);
        assert_true((s == GPT2Q_OK) == (t != NULL));
        if (s) assert_true(err.status == s && strlen(err.message) > 10);
        tokenizer_free(t);
        guard_free(copy, n);
    }
}

/* ---- lists of names ---- */

/* The bytes' names, not terminated, and further tokens from id 256 on. */
static struct tokenizer_names names_with(const char *const *more, size_t n, const char *const *merges,
                                         size_t n_merges)
{
    static char spelled[512];
    static struct tokenizer_name tokens[300], pairs[8];
    char *at = spelled;
    for (int32_t b = 0; b < 256; b++, at += tokens[b - 1].n) {
        const char byte = (char)b;
        tokens[b] = (struct tokenizer_name){at, alphabet_spell(&byte, 1, at), b};
    }
    for (size_t i = 0; i < n; i++)
        tokens[256 + i] = (struct tokenizer_name){more[i], strlen(more[i]), 256 + (int32_t)i};
    for (size_t i = 0; i < n_merges; i++) pairs[i] = (struct tokenizer_name){merges[i], strlen(merges[i]), 0};
    return (struct tokenizer_names){.tokens = tokens,
                                    .merges = pairs,
                                    .n_tokens = 256 + n,
                                    .n_merges = n_merges,
                                    .tokens_name = "T",
                                    .merges_name = "M"};
}

static void names_are_refused(const struct tokenizer_names *names, const char *message)
{
    struct tokenizer *t;
    gpt2q_error err;
    assert_int_equal(tokenizer_from_names(names, &t, &err), GPT2Q_FORMAT);
    assert_null(t);
    if (!strstr(err.message, message)) fail_msg("'%s' where '%s' was expected", err.message, message);
}

/* Lists make the tables that the texts make, a name outside the alphabet and <|endoftext|> included. */
static void names_make_the_same(void **state)
{
    (void)state;
    static const char *const more[] = {"ab", "abc", "a b", "<|endoftext|>"}, *const merges[] = {"a b",
                                                                                                "ab c"};
    const struct tokenizer_names names = names_with(more, 4, merges, 2);
    struct tokenizer *from_texts =
        opened(vocab_with(",\"ab\":256,\"abc\":257,\"a b\":258,\"<|endoftext|>\":259"), "a b\nab c");
    struct tokenizer *t;
    gpt2q_error err;
    if (tokenizer_from_names(&names, &t, &err)) fail_msg("%s", err.message);
    static const size_t sizes[TOKENIZER_TABLES] = {1, 4, 4, 4, 8, 4};
    struct tokenizer_table a[TOKENIZER_TABLES], b[TOKENIZER_TABLES];
    tokenizer_tables(from_texts, a), tokenizer_tables(t, b);
    for (int i = 0; i < TOKENIZER_TABLES; i++) {
        assert_int_equal(a[i].n, b[i].n);
        assert_memory_equal(a[i].data, b[i].data, a[i].n * sizes[i]);
    }
    ENCODES(t, "abcab<|endoftext|>", TOKENIZER_SPECIAL, 257, 256, 259);
    assert_int_equal(tokenizer_end_of_text(t), 259);
    tokenizer_free(from_texts);
    tokenizer_free(t);
}

static void bad_names(void **state)
{
    (void)state;
    static const char *const twice[] = {"ab", "ab"}, *const literals[] = {"a b", "a b"},
                             *const empty[] = {""}, *const ab[] = {"ab"}, *const one[] = {"a"},
                             *const other[] = {"b a"}, *const lines[] = {"a b", "a\nb c"};
    struct tokenizer_names names = names_with(twice, 2, NULL, 0);
    names_are_refused(&names, "T: tokens 256 and 257 have the same text, \"ab\"");
    names = names_with(literals, 2, NULL, 0);
    names_are_refused(&names, "T: tokens 256 and 257 have the same text, \"a b\"");
    names = names_with(empty, 1, NULL, 0);
    names_are_refused(&names, "T: a token has an empty name");
    names = names_with(ab, 1, one, 1);
    names_are_refused(&names, "M: merge 0: two tokens with exactly one space");
    names = names_with(ab, 1, other, 1);
    names_are_refused(&names, "M: merge 0: the result \"ba\" is not in the vocabulary");
    names = names_with(ab, 1, lines, 2);
    names_are_refused(&names, "M: merge 1: U+000A is no character of the byte alphabet");
    names.n_tokens = 0;
    names_are_refused(&names, "T: no byte has a token");
    const struct tokenizer_name far = {"ab", 2, 1048575};
    names.tokens = &far, names.n_tokens = 1;
    names_are_refused(&names, "T: token 1048575 is beyond the 1048575 ids or 67108864 bytes");
}

/* Each allocation fails in turn; make(from) makes a tokenizer. The number of tries. */
static int64_t tries_without_memory(gpt2q_status (*make)(const void *from, struct tokenizer **t),
                                    const void *from)
{
    gpt2q_status s = GPT2Q_OUT_OF_MEMORY;
    int64_t allowed = 0;
    for (; s; allowed++) {
        struct tokenizer *t;
        mem_fail_after(allowed);
        s = make(from, &t);
        mem_fail_after(-1);
        assert_true(!s || (s == GPT2Q_OUT_OF_MEMORY && !t));
        tokenizer_free(t);
    }
    return allowed;
}

static gpt2q_status open_directory(const void *from, struct tokenizer **t)
{
    gpt2q_error err;
    return tokenizer_open(from, t, &err);
}

static gpt2q_status open_names(const void *from, struct tokenizer **t)
{
    gpt2q_error err;
    return tokenizer_from_names(from, t, &err);
}

/* A literal's table is made when it is needed. */
static void memory_runs_out(void **state)
{
    (void)state;
    static const char *const more[] = {"ab", "a b"}, *const merges[] = {"a b"};
    const struct tokenizer_names names = names_with(more, 2, merges, 1);
    char *dir = temp_directory(), path[4200];
    snprintf(path, sizeof path, "%s/tokenizer.json", dir);
    whole_with("", "", ",\"ab\":256", "[\"a b\"]");
    write_file(path, whole, strlen(whole));
    assert_in_range(tries_without_memory(open_directory, dir), 10, 100);
    assert_in_range(tries_without_memory(open_names, &names), 10, 20);
    temp_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_vocabularies),
        cmocka_unit_test(bad_merges),
        cmocka_unit_test(bad_documents),
        cmocka_unit_test(both_shapes_agree),
        cmocka_unit_test(names_that_are_texts),
        cmocka_unit_test(unreachable_tokens),
        cmocka_unit_test(directories),
        cmocka_unit_test(broken_links),
        cmocka_unit_test(refused_beside),
        cmocka_unit_test(missing_bytes),
        cmocka_unit_test(merges_from_elsewhere),
        cmocka_unit_test(memory_runs_out),
        cmocka_unit_test(damaged_texts),
        cmocka_unit_test(names_make_the_same),
        cmocka_unit_test(bad_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
