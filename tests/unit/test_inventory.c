/* `inspect --check` on files alone: values that are not finite, in every float type, at any place. */
#include "tests/support.h"
#include "quantize/inventory.h"
#include <math.h>

enum { ROWS = 3, COLS = 5000 }; /* more than one block of the search */

static gpt2q_status check(enum st_dtype dtype, const void *data, size_t size, gpt2q_error *err)
{
    char *directory = temp_directory(), path[4200];
    struct file_writer w;
    struct inventory v;
    const struct st_declaration d = {"x", dtype, 2, {ROWS, COLS}};
    snprintf(path, sizeof path, "%s/x.safetensors", directory);
    assert_int_equal(file_writer_open(&w, path, err), GPT2Q_OK);
    assert_int_equal(st_write_header(&w, &d, 1, NULL, 0, err), GPT2Q_OK);
    assert_int_equal(file_writer_write(&w, data, size, err), GPT2Q_OK);
    assert_int_equal(file_writer_commit(&w, err), GPT2Q_OK);
    assert_int_equal(inventory_open(path, &v, err), GPT2Q_OK);
    gpt2q_status s = inventory_check(&v, err);
    inventory_close(&v);
    temp_remove(directory);
    return s;
}

static void test_doubles(void **state)
{
    (void)state;
    static double x[ROWS * COLS];
    gpt2q_error err;
    for (size_t i = 0; i < ROWS * COLS; i++)
        x[i] = i % 2 ? -1e300 : 5e-324; /* far beyond float32, and finite */
    assert_int_equal(check(ST_F64, x, sizeof x, &err), GPT2Q_OK);
    static const struct {
        double value;
        const char *name;
    } wrong[] = {{NAN, "NaN"}, {INFINITY, "infinity"}, {-INFINITY, "-infinity"}};
    static const size_t places[] = {0, 4095, 4096, ROWS * COLS - 1};
    for (size_t k = 0; k < 3; k++)
        for (size_t p = 0; p < sizeof places / sizeof *places; p++) {
            char found[80];
            double kept = x[places[p]];
            x[places[p]] = wrong[k].value;
            assert_int_equal(check(ST_F64, x, sizeof x, &err), GPT2Q_FORMAT);
            snprintf(found, sizeof found, "x holds %s at [%zu, %zu]", wrong[k].name, places[p] / COLS,
                     places[p] % COLS);
            if (!strstr(err.message, found)) fail_msg("%s", err.message);
            x[places[p]] = kept;
        }
}

static void test_halves(void **state)
{
    (void)state;
    static uint16_t x[ROWS * COLS];
    gpt2q_error err;
    x[4097] = 0x7BFF; /* 65504 */
    assert_int_equal(check(ST_F16, x, sizeof x, &err), GPT2Q_OK);
    x[4097] = 0x7C00;
    assert_int_equal(check(ST_F16, x, sizeof x, &err), GPT2Q_FORMAT);
    assert_non_null(strstr(err.message, "infinity at [0, 4097]"));
    assert_int_equal(check(ST_BF16, x, sizeof x, &err), GPT2Q_OK); /* there a number */
    x[4097] = 0x7F80;
    assert_int_equal(check(ST_BF16, x, sizeof x, &err), GPT2Q_FORMAT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_doubles), cmocka_unit_test(test_halves)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
