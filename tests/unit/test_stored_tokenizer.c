/* A tokenizer over tables does the same as that of the texts, for any text. Damage changes only ids. A
 * .gpt2q file of a large vocabulary holds its tables. */
#include "tests/quantized.h"
#include "base/memory.h"
#include "model/gpt2q_read.h"
#include "model/gpt2q_tokenizer.h"
#include "model/weights_names.h"
#include "tests/tiny_vocabulary.h"
#include "tokenizer/tables.h"

static struct tokenizer *opened(const char *directory)
{
    struct tokenizer *t;
    gpt2q_error err;
    if (tokenizer_open(directory, &t, &err)) fail_msg("%s", err.message);
    return t;
}

/* ---- tables in memory of their own, which ends at a guard page ---- */

struct copy {
    struct tokenizer_table tables[TOKENIZER_TABLES];
    size_t bytes[TOKENIZER_TABLES];
};

static struct copy copy_tables(const struct tokenizer *t)
{
    struct copy c;
    tokenizer_tables(t, c.tables);
    for (int i = 0; i < TOKENIZER_TABLES; i++) {
        struct st_declaration d = tokenizer_table_declare(i, c.tables[i].n);
        c.bytes[i] = st_declaration_size(&d);
        void *own = guard_alloc(c.bytes[i]);
        memcpy(own, c.tables[i].data, c.bytes[i]);
        c.tables[i].data = own;
    }
    return c;
}

static void copy_free(struct copy *c)
{
    for (int i = 0; i < TOKENIZER_TABLES; i++) guard_free((void *)(uintptr_t)c->tables[i].data, c->bytes[i]);
}

/* ---- texts: any bytes, words, one character for long ---- */

#define MAX_TEXT 400

static size_t make_text(struct rng *rng, const struct tokenizer *words, char text[MAX_TEXT])
{
    size_t n = rng_below(rng, MAX_TEXT), used = 0, length;
    uint32_t kind = rng_below(rng, 3), letter = rng_below(rng, 256);
    if (kind < 2) {
        for (size_t i = 0; i < n; i++) text[i] = (char)(kind ? letter : rng_below(rng, 256));
        return n;
    }
    for (;; used += length) {
        int32_t id = (int32_t)rng_below(rng, (uint32_t)tokenizer_size(words));
        const char *bytes = tokenizer_bytes(words, id, &length);
        if (length > n - used) return used;
        if (bytes) memcpy(text + used, bytes, length);
    }
}

static void same_tokens(const struct tokenizer *a, const struct tokenizer *b)
{
    assert_int_equal(tokenizer_size(a), tokenizer_size(b));
    assert_int_equal(tokenizer_end_of_text(a), tokenizer_end_of_text(b));
    assert_int_equal(tokenizer_longest(a), tokenizer_longest(b));
    for (int32_t id = -1; id <= tokenizer_size(a); id++) {
        size_t n, m;
        const char *x = tokenizer_bytes(a, id, &n), *y = tokenizer_bytes(b, id, &m);
        assert_true(n == m && !x == !y);
        if (x) assert_memory_equal(x, y, n);
    }
}

static void same_ids(const char *directory, int rounds)
{
    struct tokenizer *a = opened(directory), *b;
    assert_int_equal(tokenizer_find_words(a, NULL), GPT2Q_OK);
    struct copy c = copy_tables(a);
    struct rng rng = {17};
    assert_int_equal(tokenizer_from_tables(c.tables, NULL, "tables", &b, NULL), GPT2Q_OK);
    same_tokens(a, b);
    for (int round = 0; round < rounds; round++) {
        char text[MAX_TEXT];
        int32_t x[MAX_TEXT], y[MAX_TEXT];
        size_t n = make_text(&rng, a, text), n_x, n_y;
        assert_int_equal(tokenizer_encode(a, text, n, round & 1, x, MAX_TEXT, &n_x, NULL), GPT2Q_OK);
        assert_int_equal(tokenizer_encode(b, text, n, round & 1, y, MAX_TEXT, &n_y, NULL), GPT2Q_OK);
        assert_int_equal(n_x, n_y);
        assert_memory_equal(x, y, n_x * sizeof *x);
    }
    tokenizer_free(a), tokenizer_free(b);
    copy_free(&c);
}

static void same_ids_of_the_default_model(void **state)
{
    (void)state;
    same_ids(repo_path("models/tales-7m"), 3000);
}

static void same_ids_of_gpt2(void **state)
{
    (void)state;
    need_shared(vocab, "gpt2-tokenizer/vocab.json");
    (void)vocab;
    same_ids(shared_path("gpt2-tokenizer"), 3000);
}

/* ---- damage ---- */

/* Ids stay valid, are at most as many as the bytes, and their bytes lie in the table. */
static void use(const struct tokenizer *t, const char *text, size_t n)
{
    int32_t ids[MAX_TEXT];
    size_t count, length;
    gpt2q_error err;
    if (tokenizer_encode(t, text, n, true, ids, MAX_TEXT, &count, &err))
        assert_non_null(strstr(err.message, "for which the vocabulary has no token"));
    assert_in_range(count, 0, n);
    for (size_t i = 0; i < count; i++) {
        assert_in_range(ids[i], 0, tokenizer_size(t) - 1);
        const char *bytes = tokenizer_bytes(t, ids[i], &length);
        char read[1 << 10];
        assert_true(length <= tokenizer_longest(t) && !bytes == !length);
        if (bytes && length < sizeof read) memcpy(read, bytes, length);
    }
}

static void damaged_tables(void **state)
{
    (void)state;
    struct tokenizer *whole = opened(repo_path("models/tales-7m"));
    struct rng rng = {23};
    int refused = 0;
    assert_int_equal(tokenizer_find_words(whole, NULL), GPT2Q_OK);
    for (int round = 0; round < 200; round++) {
        struct copy c = copy_tables(whole);
        int table = (int)rng_below(&rng, TOKENIZER_TABLES);
        uint8_t *bytes = (uint8_t *)(uintptr_t)c.tables[table].data;
        uint32_t hits = round % 4 ? 1 + rng_below(&rng, 2000) : (uint32_t)c.bytes[table],
                 fill = rng_below(&rng, 3);
        for (uint32_t i = 0; i < hits; i++) {
            size_t at = round % 4 ? rng_below(&rng, (uint32_t)c.bytes[table]) : i;
            bytes[at] = (uint8_t)(fill == 0 ? 0 : fill == 1 ? 0xFF : rng_below(&rng, 256));
        }
        struct tokenizer *t;
        gpt2q_error err = {0};
        if (tokenizer_from_tables(c.tables, NULL, "tables", &t, &err)) {
            assert_non_null(strstr(err.message, "tables: "));
            refused++;
        } else {
            char text[MAX_TEXT];
            for (int i = 0; i < 4; i++) use(t, text, make_text(&rng, whole, text));
        }
        tokenizer_free(t);
        copy_free(&c);
    }
    assert_in_range(refused, 5, 150); /* both ways are gone */
    tokenizer_free(whole);
}

static void sizes_that_do_not_fit(void **state)
{
    (void)state;
    static const struct {
        int table;
        size_t n;
        const char *words;
    } cases[] = {
        {TOKENIZER_BYTES, (size_t)1 << 30, "too many bytes of tokens"},
        {TOKENIZER_BYTES, 3, "an impossible longest token"},
        {TOKENIZER_AT, 0, "an impossible number of tokens"},
        {TOKENIZER_AT, 1, "an impossible number of tokens"},
        {TOKENIZER_AT, (1 << 20) + 1, "an impossible number of tokens"},
        {TOKENIZER_LONGEST, 0, "an impossible longest token"},
        {TOKENIZER_LONGEST, 2, "an impossible longest token"},
        {TOKENIZER_TOKENS, 0, "no power of two"},
        {TOKENIZER_TOKENS, 1, "no power of two"},
        {TOKENIZER_TOKENS, 24, "no power of two"},
        {TOKENIZER_PAIRS, 0, "no power of two"},
        {TOKENIZER_PAIRS, (size_t)1 << 33, "no power of two"},
        {TOKENIZER_MERGED, 1 << 20, "too many merges"},
    };
    struct tokenizer *whole = opened(repo_path("models/tales-7m")), *t;
    struct tokenizer_table tables[TOKENIZER_TABLES];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        gpt2q_error err;
        tokenizer_tables(whole, tables);
        tables[cases[i].table].n = cases[i].n;
        assert_int_equal(tokenizer_from_tables(tables, NULL, "F", &t, &err), GPT2Q_FORMAT);
        assert_null(t);
        if (!strstr(err.message, cases[i].words)) fail_msg("'%s', not '%s'", err.message, cases[i].words);
    }
    tokenizer_tables(whole, tables); /* fewer tokens than the bytes need */
    tables[TOKENIZER_AT].n = 100;
    assert_int_equal(tokenizer_from_tables(tables, NULL, "F", &t, NULL), GPT2Q_OK);
    use(t, "any \xFF\x80 text", 11);
    tokenizer_free(t);
    tokenizer_free(whole);
}

/* ---- the file ---- */

/* vocab.json and merges.txt of n ids: bytes, then all pairs of 64 letters, then such pairs and a third. */
static void write_vocabulary(const char *directory, int n)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-";
    char path[4200], *vocab = malloc((size_t)n * 24 + 4096), *merges = malloc((size_t)n * 8);
    size_t v = tiny_vocab_open(vocab), m = 0;
    for (int id = 256; id < n; id++) {
        int k = id - 256, third = k >= 4096;
        char token[4] = {letters[k / 64 % 64], letters[k % 64]};
        if (third)
            k -= 4096, token[0] = letters[k / 4096], token[1] = letters[k / 64 % 64],
                       token[2] = letters[k % 64];
        v += (size_t)sprintf(vocab + v, ",\"%s\":%d", token, id);
        m += (size_t)sprintf(merges + m, "%.*s %s\n", 1 + third, token, token + 1 + third);
    }
    vocab[v++] = '}';
    snprintf(path, sizeof path, "%s/vocab.json", directory);
    write_file(path, vocab, v);
    snprintf(path, sizeof path, "%s/merges.txt", directory);
    write_file(path, merges, m);
    free(vocab), free(merges);
}

/* A .gpt2q file of zeros with a vocabulary of n ids. */
static void write_model(const char *directory, int n, const char *path)
{
    enum { PARTS = BLOCK_PARTS + 4 };
    static char names[PARTS][WEIGHT_NAME_MAX];
    struct st_declaration tensors[PARTS];
    gpt2q_config c = {
        .n_layer = 1, .n_embd = 8, .n_inner = 32, .n_head = 1, .n_positions = 16, .vocab_size = n};
    char text[512], file[4200];
    struct file_writer w;
    gpt2q_error err;
    snprintf(text, sizeof text,
             "{\"model_type\":\"gpt2\",\"vocab_size\":%d,\"n_positions\":16,\"n_embd\":8,\"n_layer\":1,\"n_"
             "head\":1}",
             n);
    snprintf(file, sizeof file, "%s/config.json", directory);
    write_file(file, text, strlen(text));
    for (size_t i = 0; i < PARTS; i++) {
        struct weight_id id = weight_at(&c, i);
        tensors[i] = (struct st_declaration){.name = weight_print(id, names[i]), .dtype = ST_F32};
        tensors[i].n_dims = weight_shape(&c, id.part, tensors[i].shape);
    }
    snprintf(file, sizeof file, "%s/model.safetensors", directory);
    assert_int_equal(file_writer_open(&w, file, NULL), GPT2Q_OK);
    assert_int_equal(st_write_header(&w, tensors, PARTS, NULL, 0, NULL), GPT2Q_OK);
    for (size_t i = 0; i < PARTS; i++)
        for (size_t k = st_declaration_size(&tensors[i]); k > 0; k--)
            assert_int_equal(file_writer_write(&w, "", 1, NULL), GPT2Q_OK);
    assert_int_equal(file_writer_commit(&w, NULL), GPT2Q_OK);
    write_vocabulary(directory, n);
    if (quantize_to(directory, "i8", NULL, 0, path, &err)) fail_msg("%s", err.message);
}

static bool holds_tables(const struct safetensors *st)
{
    int n = 0;
    for (size_t i = 0; i < st->n_tensors; i++) n += !strncmp(st->tensors[i].name, "tokenizer.table.", 16);
    assert_true(n == 0 || n == TOKENIZER_TABLES);
    return n != 0;
}

static void files_of_large_vocabularies_hold_tables(void **state)
{
    (void)state;
    for (int n = 16383; n <= 16384; n++) {
        char *directory = temp_directory(), path[4200];
        struct gpt2q_file f;
        struct gpt2_weights w;
        struct tokenizer *stored, *read = NULL;
        snprintf(path, sizeof path, "%s/model.gpt2q", directory);
        write_model(directory, n, path);
        assert_int_equal(model_tokenizer_open(path, &f, &stored, NULL), GPT2Q_OK);
        read = opened(directory);
        assert_int_equal(holds_tables(&f.st), n == 16384);
        assert_int_equal(gpt2q_tokenizer_check(&f.st, NULL), GPT2Q_OK);
        same_tokens(read, stored);
        assert_int_equal(gpt2q_file_weights(&f, &w, NULL), GPT2Q_OK); /* it accepts the tables */
        same_tokens(read, stored);                                    /* and the weights have the file now */
        tokenizer_free(stored), tokenizer_free(read);
        weights_free(&w);
        gpt2q_file_close(&f);
        temp_remove(directory);
    }
}

/* Added tokens, and ids around a text, go into the file and come back. Such a file is of version 2. */
static void files_hold_added_tokens(void **state)
{
    (void)state;
    static const char config[] = "{\"add_prefix_space\":true,\"add_bos_token\":true,\"bos_token\":\"a\"}";
    for (int n = 500; n <= 16384; n += 15884) {
        struct gpt2q_file f;
        struct tokenizer *stored, *read;
        char *directory = temp_directory(), path[4200];
        snprintf(path, sizeof path, "%s/tokenizer_config.json", directory);
        write_file(path, config, strlen(config));
        snprintf(path, sizeof path, "%s/added_tokens.json", directory);
        write_file(path, "{\"<user>\":97}", 13); /* is refused below */
        snprintf(path, sizeof path, "%s/model.gpt2q", directory);
        gpt2q_error err;
        write_vocabulary(directory, n);
        assert_int_equal(tokenizer_open(directory, &read, &err), GPT2Q_UNSUPPORTED);
        int number = 0;
        const char *said = strstr(err.message, "numbers it ");
        assert_true(said && sscanf(said, "numbers it %d", &number) == 1);
        char added[64], file[4200];
        snprintf(added, sizeof added, "{\"<user>\":%d}", number);
        snprintf(file, sizeof file, "%s/added_tokens.json", directory);
        write_file(file, added, strlen(added));
        write_model(directory, n, path);
        assert_int_equal(model_tokenizer_open(path, &f, &stored, NULL), GPT2Q_OK);
        read = opened(directory);
        assert_string_equal(safetensors_metadata(&f.st, "gpt2q.version"), "2");
        assert_non_null(safetensors_find(&f.st, "tokenizer.extras.json"));
        assert_int_equal(gpt2q_tokenizer_check(&f.st, NULL), GPT2Q_OK);
        int32_t ids[2][16];
        size_t counts[2];
        assert_int_equal(tokenizer_encode(stored, "b<user>c", 8, 0, ids[0], 16, &counts[0], NULL), GPT2Q_OK);
        assert_int_equal(tokenizer_encode(read, "b<user>c", 8, 0, ids[1], 16, &counts[1], NULL), GPT2Q_OK);
        assert_true(counts[0] == counts[1] && counts[0] >= 4);
        assert_memory_equal(ids[0], ids[1], counts[0] * sizeof ids[0][0]);
        bool found = false;
        for (size_t i = 0; i < counts[0]; i++) found |= ids[0][i] == number;
        assert_true(found);
        size_t length;
        assert_memory_equal(tokenizer_bytes(stored, number, &length), "<user>", 6);
        tokenizer_free(stored), tokenizer_free(read);
        gpt2q_file_close(&f);
        temp_remove(directory);
    }
}

static void expect_open(const uint8_t *bytes, size_t size, bool check, const char *words)
{
    struct safetensors st;
    struct tokenizer *t = NULL;
    gpt2q_error err = {.message = ""};
    assert_int_equal(safetensors_from_memory(bytes, size, "F", &st, NULL), GPT2Q_OK);
    gpt2q_status s = check ? gpt2q_tokenizer_check(&st, &err) : gpt2q_tokenizer_open(&st, &t, &err);
    assert_true(words ? s != GPT2Q_OK : s == GPT2Q_OK);
    if (words && !strstr(err.message, words)) fail_msg("'%s', not '%s'", err.message, words);
    tokenizer_free(t);
    safetensors_close(&st);
}

/* Opening checks that the tables are there and fit. --check compares their contents. */
static void damaged_files(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to, *words;
    } changes[] = {
        {"\"tokenizer.table.at\"", "\"tokenizer.table.aT\"", "tokenizer.table.at is missing"},
        {"\"tokenizer.vocab.json\"", "\"tokenizer.vocaB.json\"", "tokenizer.vocab.json is missing"},
        {"\"tokenizer.table.at\":{\"dtype\":\"U32\"", "\"tokenizer.table.at\":{\"dtype\":\"I32\"",
         "tokenizer.table.at is no list of U32"},
    };
    static const char *const names[] = {"bytes", "at", "longest", "tokens", "pairs", "merged"};
    char *directory = temp_directory(), path[4200], *data;
    size_t size;
    snprintf(path, sizeof path, "%s/model.gpt2q", directory);
    write_model(directory, 16384, path);
    assert_int_equal(file_read(path, (size_t)1 << 26, &data, &size, NULL), GPT2Q_OK);
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        char *at = memmem(data, size, changes[i].from, strlen(changes[i].from));
        assert_non_null(at);
        memcpy(at, changes[i].to, strlen(changes[i].to));
        expect_open((uint8_t *)data, size, false, changes[i].words);
        memcpy(at, changes[i].from, strlen(changes[i].from));
    }
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct safetensors st;
        char name[64], words[128];
        snprintf(name, sizeof name, "tokenizer.table.%s", names[i]);
        snprintf(words, sizeof words, "F: %s is not what the texts", name);
        assert_int_equal(safetensors_from_memory((uint8_t *)data, size, "F", &st, NULL), GPT2Q_OK);
        const struct st_tensor *t = safetensors_find(&st, name);
        uint8_t *last = (uint8_t *)data + (t->data - (uint8_t *)data) + (i == 2 ? 0 : t->size - 1);
        *last ^= 4;
        expect_open((uint8_t *)data, size, true, words);
        *last ^= 4;
        safetensors_close(&st);
    }
    expect_open((uint8_t *)data, size, true, NULL);
    mem_free(data);
    temp_remove(directory);
}

/* A table without an empty slot, whose tags all match: a look-up gives up, and such a table is not stored. */
static void full_tables(void **state)
{
    (void)state;
    enum { SLOTS = 1 << 16 };
    static uint32_t bytes[SLOTS];
    static uint64_t pairs[SLOTS];
    const uint64_t h = hash_bytes((const uint8_t *)"a", 1);
    for (size_t i = 0; i < SLOTS; i++) bytes[i] = hash_tag(h) | 1, pairs[i] = 5;
    const struct token_bytes none = {.n = 0};
    struct byte_table b = {bytes, SLOTS - 1, table_shift(SLOTS), TABLE_PROBES};
    struct pair_table p = {pairs, SLOTS - 1, table_shift(SLOTS), TABLE_PROBES, 1};
    assert_null(byte_table_slot(&b, &none, (const uint8_t *)"a", 1, h));
    assert_int_equal(pair_table_find(&p, 1, 2), NO_RANK);
    assert_false(tables_are_short(&p, &b));
    /* what lies within the bound is found, what lies beyond it is not */
    const size_t first = (size_t)(hash_mix(0, pair_key(1, 2)) * TABLE_MULTIPLIER >> p.shift);
    pairs[(first + TABLE_PROBES - 1) & p.mask] = pair_key(1, 2) << ID_BITS;
    assert_int_equal(pair_table_find(&p, 1, 2), 0);
    pairs[(first + TABLE_PROBES - 1) & p.mask] = 5;
    pairs[(first + TABLE_PROBES) & p.mask] = pair_key(1, 2) << ID_BITS;
    assert_int_equal(pair_table_find(&p, 1, 2), NO_RANK);
    memset(bytes, 0xFF, sizeof bytes);
    memset(pairs, 0xFF, sizeof pairs);
    assert_true(tables_are_short(&p, &b));
    for (size_t i = 0; i < TABLE_PROBES / 2; i++)
        bytes[i] = bytes[SLOTS - 1 - i] = 1; /* a run around the end */
    assert_false(tables_are_short(&p, &b));
}

/* ---- marks of words ---- */

static size_t marks(const struct tokenizer *t)
{
    struct tokenizer_table tables[TOKENIZER_TABLES];
    tokenizer_tables(t, tables);
    const uint32_t *slots = tables[TOKENIZER_TOKENS].data;
    size_t n = 0;
    for (size_t i = 0; i < tables[TOKENIZER_TOKENS].n; i++)
        n += slots[i] != EMPTY_BYTE && slots[i] & WORD_BIT;
    return n;
}

static size_t encoded(const struct tokenizer *t, const char *text, int32_t ids[16])
{
    size_t n;
    assert_int_equal(tokenizer_encode(t, text, strlen(text), false, ids, 16, &n, NULL), GPT2Q_OK);
    return n;
}

/* When a word is marked changes no id, and not what is stored. Tables that lie in a file are not written to. */
static void words_are_marked_when_they_occur(void **state)
{
    (void)state;
    static const char text[] = "Once upon a time, zqxzqx";
    struct tokenizer *t = opened(repo_path("models/tales-7m")), *all = opened(repo_path("models/tales-7m")),
                     *mapped;
    struct tokenizer_table tables[2][TOKENIZER_TABLES];
    int32_t first[16], again[16];
    assert_int_equal(marks(t), 0);
    tokenizer_tables(t, tables[0]);
    assert_int_equal(tokenizer_from_tables(tables[0], NULL, "F", &mapped, NULL), GPT2Q_OK);
    const size_t n = encoded(mapped, text, first);
    assert_int_equal(marks(t), 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(encoded(i < 2 ? t : all, text, again), n);
        assert_memory_equal(again, first, n * sizeof *again);
        assert_int_equal(marks(t), 5); /* the last piece is no token */
        if (i == 1) assert_int_equal(tokenizer_find_words(all, NULL), GPT2Q_OK);
    }
    assert_int_equal(tokenizer_find_words(t, NULL), GPT2Q_OK);
    tokenizer_tables(t, tables[0]), tokenizer_tables(all, tables[1]);
    assert_true(marks(t) > 1000);
    assert_memory_equal(tables[0][TOKENIZER_TOKENS].data, tables[1][TOKENIZER_TOKENS].data,
                        tables[0][TOKENIZER_TOKENS].n * sizeof(uint32_t));
    tokenizer_free(mapped), tokenizer_free(t), tokenizer_free(all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_ids_of_the_default_model),
        cmocka_unit_test(same_ids_of_gpt2),
        cmocka_unit_test(damaged_tables),
        cmocka_unit_test(sizes_that_do_not_fit),
        cmocka_unit_test(files_of_large_vocabularies_hold_tables),
        cmocka_unit_test(files_hold_added_tokens),
        cmocka_unit_test(damaged_files),
        cmocka_unit_test(full_tables),
        cmocka_unit_test(words_are_marked_when_they_occur),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
