/* SPECs: which are read, how they are printed, what is suggested; sizes of a tensor's parts; the choice of
 * an instruction set. */
#include "tests/support.h"
#include "qtensor/isa.h"
#include "qtensor/qtensor.h"

static void expect_full(const char *spec, const char *full)
{
    struct scheme s, again;
    char text[SCHEME_TEXT_MAX];
    assert_int_equal(scheme_parse(spec, &s, NULL), GPT2Q_OK);
    assert_string_equal(scheme_print(s, text), full);
    assert_int_equal(scheme_parse(full, &again, NULL), GPT2Q_OK);
    assert_true(scheme_equal(s, again));
}

static void test_full_forms(void **state)
{
    (void)state;
    expect_full("f32", "f32");
    expect_full("f16", "f16");
    expect_full("bf16", "bf16");
    expect_full("notes", "notes");
    expect_full("i8", "i8:channel:absmax");
    expect_full("i4", "i4:g32:absmax");
    expect_full("i8:affine", "i8:channel:affine");
    expect_full("i4:minmax", "i4:g32:minmax");
    expect_full("i8:tensor", "i8:tensor:absmax");
    expect_full("i8:input:minmax", "i8:input:minmax");
    expect_full("i4:channel", "i4:channel:absmax");
    expect_full("i4:g128:affine", "i4:g128:affine");
    expect_full("i8:g8", "i8:g8:absmax");
    expect_full("i3", "i3:g32:signed");
    expect_full("i2:channel", "i2:channel:signed");
    expect_full("i2:g16:minmax", "i2:g16:minmax");
    expect_full("i4:g32:minmax:f32", "i4:g32:minmax:f32");
    expect_full("i8:g16:f32", "i8:g16:absmax:f32");
    expect_full("i4:f32", "i4:g32:absmax:f32");
    expect_full("nf4", "nf4:g64");
    expect_full("nf4:g32", "nf4:g32");
    expect_full("fp8", "fp8:e4m3");
    expect_full("fp8:e5m2", "fp8:e5m2");
    expect_full("mxfp4", "mxfp4");
    expect_full("nvfp4", "nvfp4");
}

static void expect_refused(const char *spec, const char *part)
{
    struct scheme s;
    gpt2q_error err;
    assert_int_equal(scheme_parse(spec, &s, &err), GPT2Q_INVALID_ARGUMENT);
    if (!strstr(err.message, part)) fail_msg("\"%s\" says: %s", spec, err.message);
    /* What is suggested is a SPEC itself. */
    const char *said = strstr(err.message, "did you mean \"");
    char suggested[SCHEME_TEXT_MAX];
    if (!said) return;
    assert_int_equal(sscanf(said, "did you mean \"%31[^\"]", suggested), 1);
    if (scheme_parse(suggested, &s, &err)) fail_msg("\"%s\" suggests \"%s\"", spec, suggested);
}

static void test_refused_with_the_nearest(void **state)
{
    (void)state;
    expect_refused("", "a scheme is f32");
    expect_refused("i9", "did you mean \"i8\"?");
    expect_refused("int8", "did you mean \"i8\"?");
    expect_refused("fp16", "did you mean \"f16\"?");
    expect_refused("I8", "did you mean \"i8\"?");
    expect_refused("i8:chanel", "did you mean \"i8:channel\"?");
    expect_refused("nf4:channel", "did you mean \"i4:channel\"?"); /* nf4 has groups only */
    expect_refused("nf4:tensr", "did you mean");
    expect_refused("i2:absmx", "did you mean");
    expect_refused("mxfp4:g32", "did you mean");
    expect_refused("i4:g32:afine", "did you mean \"i4:g32:affine\"?");
    expect_refused("i8:absmax:channel", "did you mean");
    expect_refused("i8:", "did you mean \"i8\"?");
    expect_refused("i8:channel:", "did you mean \"i8:channel\"?");
    expect_refused("i8:notes", "did you mean");
    expect_refused("f32:channel", "did you mean");
    expect_refused("i4:g", "did you mean");
    expect_refused("i4:g30", "multiple of 8");
    expect_refused("i4:g0", "multiple of 8");
    expect_refused("i3:g16", "i3 is a multiple of 32");
    expect_refused("i2:g8", "i2 is a multiple of 16");
    expect_refused("i3:absmax", "absmax leaves one of 8 codes unused");
    expect_refused("i4:g99999999999999999999", "multiple of 8");
    expect_refused("nf4:g12", "a group of nf4 is a multiple of 8");
    expect_refused("nf4:affine", "did you mean");
    expect_refused("mxfp4:g32", "did you mean");
    expect_refused("i4:g32:minmax:f33", "did you mean \"i4:g32:minmax:f32\"?");
    expect_refused("i4:g32:minmax:f16", "did you mean");
    expect_refused("i4:channel:f32", "did you mean");
    expect_refused("nf4:g64:f32", "did you mean");
    expect_refused("fp8:e4m4", "did you mean \"fp8:e4m3\"?");
    char longer[400];
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    expect_refused(longer, "unknown scheme");
}

static struct qtensor_layout layout(const char *spec, int rows, int cols)
{
    struct scheme s;
    struct qtensor_layout l;
    assert_int_equal(scheme_parse(spec, &s, NULL), GPT2Q_OK);
    assert_true(qtensor_layout(s, rows, cols, &l));
    return l;
}

static void test_layouts(void **state)
{
    (void)state;
    struct qtensor_layout l = layout("f16", 65, 7);
    assert_true(l.panel_bytes == 7 * 64 * 2 && l.codes_bytes == 2 * l.panel_bytes && !l.scale_bytes &&
                !l.zero_bytes);
    l = layout("i8:channel:affine", 65, 7);
    assert_true(l.panel_bytes == 8 * 64 && l.scale_bytes == 128 * 4 && l.zero_bytes == l.scale_bytes);
    l = layout("i4:input", 64, 9);
    assert_true(l.panel_bytes == 8 * 64 && l.scale_bytes == 9 * 4 && !l.zero_bytes);
    l = layout("i4:g32", 1, 96);
    assert_true(l.panel_bytes == 48 * 64 && l.scale_bytes == 3 * 64 * 2);
    l = layout("i3:channel", 1, 33);
    assert_true(l.panel_bytes == 2 * 12 * 64 && l.codes_bytes == l.panel_bytes);
    l = layout("i2", 65, 32);
    assert_true(l.panel_bytes == 8 * 64 && l.codes_bytes == 2 * l.panel_bytes && l.scale_bytes == 128 * 2);
    l = layout("i3:g32:affine", 65, 64);
    assert_true(l.scale_bytes == 128 * 2 * 2 && l.zero_bytes == 128 * 2 * 3 / 8);
    l = layout("i8:g8:affine", 1, 8);
    assert_true(l.zero_bytes == 64);
    l = layout("i4:g32:minmax:f32", 65, 64);
    assert_true(l.scale_bytes == 128 * 2 * 4 && l.zero_bytes == l.scale_bytes);
    l = layout("i8:g8:affine:f32", 1, 8);
    assert_true(l.scale_bytes == 64 * 4 && l.zero_bytes == 64);
    l = layout("nf4", 65, 64);
    assert_true(l.codes_bytes == 2 * 32 * 64 && l.scale_bytes == 128 * 2 && !l.zero_bytes);
    l = layout("fp8", 65, 7);
    assert_true(l.codes_bytes == 2 * 7 * 64 && l.scale_bytes == 128 * 4);
    l = layout("mxfp4", 65, 64);
    assert_true(l.codes_bytes == 2 * 32 * 64 && l.scale_bytes == 128 * 2 && !l.factor_bytes);
    l = layout("nvfp4", 65, 64);
    assert_true(l.scale_bytes == 128 * 4 && l.factor_bytes == 4);
    l = layout("notes", 3, 3);
    assert_true(l.scale_bytes == 4 && l.zero_bytes == 4);
}

static void test_shapes_refused(void **state)
{
    (void)state;
    struct qtensor_layout l;
    struct scheme i8 = {.format = QF_I8, .gran = QG_CHANNEL},
                  group = {.format = QF_I4, .gran = QG_GROUP, .group = 32};
    assert_false(qtensor_layout(i8, 0, 8, &l));
    assert_false(qtensor_layout(i8, 8, -1, &l));
    assert_false(qtensor_layout(i8, 8, 65537, &l)); /* int32 sums would no longer be exact */
    assert_true(qtensor_layout(i8, 8, 65536, &l));
    assert_false(qtensor_layout(group, 8, 48, &l));
    assert_false(qtensor_layout((struct scheme){.format = QF_F32}, 2147483647, 8, &l));
}

static void test_isa_choice(void **state)
{
    (void)state;
    const struct isa *isa;
    gpt2q_error err;
    assert_string_equal(isa_at(0)->name, "scalar");
    assert_null(isa_at(isa_count()));
    for (size_t i = 0; i < isa_count(); i++) {
        gpt2q_status expected = isa_at(i)->supported() ? GPT2Q_OK : GPT2Q_INVALID_ARGUMENT;
        assert_int_equal(isa_choose(isa_at(i)->name, &isa, &err), expected);
        if (!expected) assert_ptr_equal(isa, isa_at(i));
    }
    assert_int_equal(isa_choose("avx3", &isa, &err), GPT2Q_INVALID_ARGUMENT);
    assert_null(isa);
    assert_non_null(strstr(err.message, "avx3"));
    assert_non_null(strstr(err.message, "scalar"));
    setenv("GPT2Q_ISA", "scalar", 1);
    assert_int_equal(isa_choose(NULL, &isa, &err), GPT2Q_OK);
    assert_ptr_equal(isa, isa_at(0));
    setenv("GPT2Q_ISA", "nonsense", 1);
    assert_int_equal(isa_choose("", &isa, &err), GPT2Q_INVALID_ARGUMENT);
    assert_int_equal(isa_choose("scalar", &isa, &err), GPT2Q_OK);
    setenv("GPT2Q_ISA", "", 1);
    assert_int_equal(isa_choose(NULL, &isa, &err), GPT2Q_OK);
    assert_true(isa->supported());
    unsetenv("GPT2Q_ISA");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_full_forms), cmocka_unit_test(test_refused_with_the_nearest),
        cmocka_unit_test(test_layouts),    cmocka_unit_test(test_shapes_refused),
        cmocka_unit_test(test_isa_choice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
