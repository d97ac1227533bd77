/* Files of reference logits: ids must be those of the vocabulary, up to its last one. */
#include "tests/support.h"
#include "base/memory.h"
#include "study/logits_file.h"

enum { VOCAB = 7, WINDOW = 4 };

static void write_reference(const char *path, const int64_t *ids)
{
    gpt2q_error err;
    struct file_writer w;
    const struct st_declaration d[] = {{"input_ids", ST_I64, 2, {1, WINDOW}},
                                       {"logits", ST_F32, 3, {1, WINDOW, VOCAB}}};
    float logits[WINDOW * VOCAB] = {0};
    assert_int_equal(file_writer_open(&w, path, &err), GPT2Q_OK);
    assert_int_equal(st_write_header(&w, d, 2, NULL, 0, &err), GPT2Q_OK);
    assert_int_equal(file_writer_write(&w, ids, WINDOW * sizeof *ids, &err), GPT2Q_OK);
    assert_int_equal(file_writer_write(&w, logits, sizeof logits, &err), GPT2Q_OK);
    assert_int_equal(file_writer_commit(&w, &err), GPT2Q_OK);
}

static gpt2q_status open_with(const int64_t *ids, gpt2q_error *err)
{
    char *directory = temp_directory(), path[4200];
    const gpt2q_config model = {.vocab_size = VOCAB, .n_positions = 16};
    struct logits_file f;
    snprintf(path, sizeof path, "%s/l.safetensors", directory);
    write_reference(path, ids);
    gpt2q_status s = logits_file_open(path, &model, &f, err);
    if (!s) {
        for (int i = 0; i < WINDOW; i++) assert_int_equal(f.ids[i], ids[i]);
        logits_file_close(&f);
    }
    temp_remove(directory);
    return s;
}

static void test_ids(void **state)
{
    (void)state;
    gpt2q_error err;
    assert_int_equal(open_with((const int64_t[]){0, VOCAB - 1, 3, 0}, &err), GPT2Q_OK);
    static const int64_t wrong[] = {VOCAB, -1, INT64_MAX, (int64_t)1 << 32};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char found[80];
        assert_int_equal(open_with((const int64_t[]){0, 1, wrong[i], 2}, &err), GPT2Q_FORMAT);
        snprintf(found, sizeof found, "input_ids[2] is %lld, outside the vocabulary of 7",
                 (long long)wrong[i]);
        assert_non_null(strstr(err.message, found));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_ids)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
