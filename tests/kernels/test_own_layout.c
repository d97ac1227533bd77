/* own_layout.isa.h, by which a format is one file and one row: a file that states the layout of i3 makes i3's codes, floats and
 * products, bit by bit. */
#define GPT2Q_ISA scalar
#define GPT2Q_ISA_scalar
#define OWN_FORMAT i3
#include "qtensor/own_layout.isa.h"
#include "base/memory.h"
#include "tests/products.h"
#include "tests/schemes.h"
#include "tests/support.h"

OWN_WORD unsigned own_code(const uint8_t *lane, int k)
{
    const int quad = k % 32 / 4;
    const uint8_t *step = lane + k / 32 * 3 * 256 + k % 4;
    return (step[quad / 4 * 256] >> quad % 4 * 2 & 3u) | (step[2 * 256] >> quad & 1u) << 2;
}

OWN_WORD void own_put(uint8_t *lane, int k, unsigned code)
{
    const int quad = k % 32 / 4;
    uint8_t *low = lane + (k / 32 * 3 + quad / 4) * 256 + k % 4,
            *high = lane + (k / 32 * 3 + 2) * 256 + k % 4;
    *low = (uint8_t)(*low | (code & 3) << quad % 4 * 2);
    *high = (uint8_t)(*high | code >> 2 << quad);
}

unsigned code_own_i3(const uint8_t *lane, int k);
encode_fn encode_own_i3_scalar;
matmul_fn matmul_own_i3_scalar;
OWN_FUNCTIONS(own_i3)

enum { ROWS = 70, COLS = 131, MOST = 5 };

/* The codes of a panel, and what encode_i3 and this file make of them: so the whole row of inputs is read and written. */
static void compare_codes(const struct qtensor *w)
{
    const size_t bytes = w->panel_bytes;
    uint8_t *mine = mem_alloc(bytes);
    float *block = mem_array((size_t)w->cols * PANEL, sizeof *block);
    struct coding as_they_are = {.most = 7.0f};
    for (int o = 0; o < PANEL; o++) as_they_are.divisor[o] = 1.0f;
    for (int k = 0; k < w->cols; k++)
        for (int o = 0; o < PANEL; o++) {
            const unsigned code = code_own_i3(w->codes + 4 * o, k);
            assert_int_equal(code, qtensor_stored_code(w, o, k));
            block[k * PANEL + o] = (float)code;
        }
    encode_own_i3_scalar(block, PANEL, w->cols, &as_they_are, mine);
    assert_memory_equal(mine, w->codes, bytes);
    mem_free(block);
    mem_free(mine);
}

static void compare_products(const struct qtensor *w)
{
    float *x = input_create(MOST, (size_t)w->cols, 5), expected[MOST * ROWS], y[MOST * ROWS];
    struct qinput in = {.f32 = x, .stride = (size_t)w->cols};
    void *memory = mem_alloc(qinput_layout(NULL, w, ACTIVATIONS_F32, MOST, NULL));
    qinput_layout(&in, w, ACTIVATIONS_F32, MOST, memory);
    if (qinput_needs_prepare(w, ACTIVATIONS_F32)) isa_at(0)->formats[QF_I3].prepare(w, &in, 0, MOST);
    product(isa_at(0), w, ACTIVATIONS_F32, x, (size_t)w->cols, MOST, expected, ROWS, 0, 2);
    matmul_own_i3_scalar(w, &in, y, ROWS, 0, 2);
    assert_memory_equal(expected, y, sizeof y);
    mem_free(memory);
    guard_free(x, (size_t)MOST * (size_t)w->cols * sizeof *x);
}

static void test_same_bits_as_i3(void **state)
{
    (void)state;
    size_t n, tried = 0;
    const char *const *schemes = every_scheme(&n);
    for (size_t s = 0; s < n; s++) {
        if (scheme_of(schemes[s]).format != QF_I3) continue;
        for (int cols = 128; cols <= COLS;
             cols += COLS - 128) { /* whole steps, and a last one of three inputs */
            if (!scheme_fits(scheme_of(schemes[s]), cols)) continue;
            struct weight w = weight_create(schemes[s], ROWS, cols, 11);
            compare_codes(&w.w);
            compare_products(&w.w);
            weight_free(&w);
            tried++;
        }
    }
    assert_true(tried > 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_same_bits_as_i3)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
