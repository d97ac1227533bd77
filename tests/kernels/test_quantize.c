/* Quantization against the goldens of make_goldens.py (tests/golden/data/tales-7m/tensors.json, of
 * models/tales-7m), against genuine GPT-2 weights, and on matrices at the edges; the same codes from every
 * instruction set, source type, orientation and number of threads. */
#include "tests/support.h"
#include "base/file.h"
#include "base/memory.h"
#include "kernels/half.h"
#include "model/safetensors.h"
#include "qtensor/isa.h"
#include "qtensor/levels.h"
#include "qtensor/quantize.h"
#include "qtensor/zero_points.h"
#include "tests/products.h"
#include "tests/schemes.h"
#include <cjson/cJSON.h>
#include <math.h>

static const struct format_ops *scalar_ops(const struct qtensor *w)
{
    return &isa_at(0)->formats[w->scheme.format];
}

/* Zero point number n, through the layout that zero_points.h states. */
static float zero_in_bits(const struct qtensor *w, int n)
{
    const int groups = w->cols / w->scheme.group, o = n / groups, v = o % PANEL / 16, i = o % 16;
    const int bits = format_facts[w->scheme.format].bits, middle = 1 << (bits - 1);
    const uint8_t *block = (const uint8_t *)w->zero + (o / PANEL * groups + n % groups) * 8 * bits;
    switch (bits) {
    case 8: return (float)(block[16 * v + i] - middle);
    case 4: return (float)((block[v / 2 * 16 + i] >> v % 2 * 4 & 15) - middle);
    case 2: return (float)((block[i] >> 2 * v & 3) - middle);
    default: assert_int_equal(bits, 3);
    }
    return (float)((block[i] >> 2 * v & 3) + (block[16 + i % 8] >> (2 * v + i / 8) & 1) * 4 - middle);
}

/* Parameter number n in the goldens' order: group n % groups of output n / groups. */
static float parameter_at(const struct qtensor *w, const void *values, int n)
{
    if (!values) return 0.0f;
    if (scheme_zero_in_bits(w->scheme) && values == w->zero) return zero_in_bits(w, n);
    if (w->scheme.gran != QG_GROUP) return ((const float *)values)[n];
    int groups = w->cols / w->scheme.group, o = n / groups;
    return float_from_f16(((const uint16_t *)values)[(o / PANEL * groups + n % groups) * PANEL + o % PANEL]);
}

static double relative_error(const struct qtensor *w, const struct qsource *src)
{
    float *a = mem_array((size_t)w->cols, sizeof *a), *b = mem_array((size_t)w->cols, sizeof *b);
    double difference = 0.0, norm = 0.0;
    for (int o = 0; o < w->rows; o++) {
        scalar_ops(w)->dequantize_row(w, o, a);
        qsource_read(src, o, 0, w->cols, b);
        for (int i = 0; i < w->cols; i++) {
            difference += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
            norm += (double)b[i] * (double)b[i];
        }
    }
    mem_free(a);
    mem_free(b);
    return sqrt(difference / norm);
}

/* A checkpoint's matrix as W (out, in): all but the embeddings are stored (in, out). */
static struct qsource source_of(const struct safetensors *st, const char *name)
{
    const struct st_tensor *t = safetensors_find(st, name);
    assert_non_null(t);
    enum dtype dtype = t->dtype == ST_F32 ? DT_F32 : t->dtype == ST_F16 ? DT_F16 : DT_BF16;
    int a = (int)t->shape[0], b = t->n_dims > 1 ? (int)t->shape[1] : 1;
    if (strncmp(name, "w", 1) == 0 || t->n_dims == 1)
        return (struct qsource){name, dtype, t->data, a, b, (size_t)b, 1};
    return (struct qsource){name, dtype, t->data, b, a, 1, (size_t)b};
}

/* ---- the goldens ---- */

static double number(const cJSON *golden, const char *key)
{
    return cJSON_GetObjectItem(golden, key)->valuedouble;
}
static double number_at(const cJSON *golden, const char *key, int i)
{
    return cJSON_GetArrayItem(cJSON_GetObjectItem(golden, key), i)->valuedouble;
}

static void compare_zero(const struct qtensor *w, const cJSON *golden, int n)
{
    double zero = number_at(golden, "zero_first", n), s = (double)parameter_at(w, w->scale, n);
    float stored = parameter_at(w, w->zero, n);
    double qmin = -(double)scheme_middle(w->scheme);
    if (scheme_zero(w->scheme) != QZERO_MINIMUM)
        assert_true((double)stored == zero);
    else
        assert_true(fabs(qmin - (double)stored / s - zero) <= 1e-5 * (1.0 + fabs(zero)));
}

static void compare_golden(const struct qsource *src, const char *spec, const cJSON *golden)
{
    struct qtensor w;
    gpt2q_error err = {0};
    if (qtensor_quantize(src, scheme_of(spec), &(struct quantize_run){.n_threads = 2}, &w, &err))
        fail_msg("%s", err.message);
    int64_t sum = 0, abs_sum = 0;
    for (int o = 0; o < w.rows; o++)
        for (int i = 0; i < w.cols; i++) {
            int code = code_at(&w, o, i);
            sum += code;
            abs_sum += abs(code);
        }
    if ((double)sum != number(golden, "codes_sum") || (double)abs_sum != number(golden, "codes_abs_sum"))
        fail_msg("%s %s: sums %lld, %lld", src->name, spec, (long long)sum, (long long)abs_sum);
    for (int i = 0; i < 16; i++) assert_true(code_at(&w, 0, i) == number_at(golden, "codes_first", i));
    for (int n = 0; n < cJSON_GetArraySize(cJSON_GetObjectItem(golden, "scale_first")); n++) {
        assert_true((double)parameter_at(&w, w.scale, n) == number_at(golden, "scale_first", n));
        compare_zero(&w, golden, n);
    }
    /* the goldens' norms are float32 sums */
    assert_true(fabs(relative_error(&w, src) / number(golden, "relative_error") - 1.0) < 1e-3);
    qtensor_free(&w);
}

static void compare_notes(const struct qsource *src, const cJSON *golden)
{
    float scale, min, w;
    double sum = 0.0;
    notes_parameters(src, &scale, &min);
    assert_true((double)scale == number(golden, "scale") && (double)min == number(golden, "min"));
    for (int o = 0; o < src->rows; o++)
        for (int i = 0; i < src->cols; i++) {
            qsource_read(src, o, i, 1, &w);
            sum += notes_code(w, scale, min);
        }
    assert_true(sum == number(golden, "codes_sum"));
}

static void test_goldens(void **state)
{
    (void)state;
    struct safetensors st;
    gpt2q_error err;
    char *text;
    size_t n;
    assert_int_equal(safetensors_open(repo_path("models/tales-7m/model.safetensors"), &st, &err), GPT2Q_OK);
    assert_int_equal(
        file_read(repo_path("tests/golden/data/tales-7m/tensors.json"), 1 << 20, &text, &n, &err), GPT2Q_OK);
    cJSON *all = cJSON_ParseWithLength(text, n);
    const cJSON *tensor, *golden;
    int compared = 0;
    cJSON_ArrayForEach(tensor, all)
    {
        struct qsource src = source_of(&st, tensor->string);
        cJSON_ArrayForEach(golden, tensor)
        {
            if (strcmp(golden->string, "shape_out_in") == 0) continue;
            if (strcmp(golden->string, "notes") == 0)
                compare_notes(&src, golden);
            else
                compare_golden(&src, golden->string, golden);
            compared++;
        }
    }
    assert_true(compared > 60);
    cJSON_Delete(all);
    mem_free(text);
    safetensors_close(&st);
}

/* The notes' scheme: a tensor has the codes that its parameters give. */
static void test_notes_tensor(void **state)
{
    (void)state;
    struct safetensors st;
    struct qtensor w;
    float scale, min, v;
    assert_int_equal(safetensors_open(repo_path("models/tales-7m/model.safetensors"), &st, NULL), GPT2Q_OK);
    struct qsource src = source_of(&st, "h.0.attn.c_attn.weight");
    assert_int_equal(
        qtensor_quantize(&src, scheme_of("notes"), &(struct quantize_run){.n_threads = 2}, &w, NULL),
        GPT2Q_OK);
    notes_parameters(&src, &scale, &min);
    assert_true(*(const float *)w.scale == scale && *(const float *)w.zero == min);
    for (int o = 0; o < w.rows; o += 7)
        for (int i = 0; i < w.cols; i++) {
            qsource_read(&src, o, i, 1, &v);
            assert_int_equal(code_at(&w, o, i) + 128, notes_code(v, scale, min));
        }
    qtensor_free(&w);
    safetensors_close(&st);
}

/* Genuine GPT-2 weights: relative errors in percent, and the codes that the notes print. */
static void test_genuine_weights(void **state)
{
    (void)state;
    static const struct {
        const char *spec;
        double percent;
    } expected[] = {{"notes", 6.400},    {"i8:tensor:minmax", 3.201}, {"i8:tensor:absmax", 3.238},
                    {"i8:input", 1.286}, {"i8:channel", 0.956},       {"i8:g32", 0.584},
                    {"i8:g64", 0.667},   {"i8:g128", 0.748},          {"i4:g32", 10.59},
                    {"i4:g128", 13.55}};
    static const uint8_t row0[] = {107, 116, 124}, row1[] = {132, 135, 139};
    need_shared(path, "gpt2-small-partial/model.safetensors");
    struct safetensors st;
    struct qtensor w;
    assert_int_equal(safetensors_open(path, &st, NULL), GPT2Q_OK);
    struct qsource src = source_of(&st, "h.0.attn.c_attn.weight");
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        assert_int_equal(qtensor_quantize(&src, scheme_of(expected[i].spec),
                                          &(struct quantize_run){.n_threads = 2}, &w, NULL),
                         GPT2Q_OK);
        double percent = 100.0 * relative_error(&w, &src);
        if (fabs(percent / expected[i].percent - 1.0) > 1e-3)
            fail_msg("%s: %g %%, expected %g", expected[i].spec, percent, expected[i].percent);
        qtensor_free(&w);
    }
    assert_int_equal(
        qtensor_quantize(&src, scheme_of("notes"), &(struct quantize_run){.n_threads = 2}, &w, NULL),
        GPT2Q_OK);
    for (int o = 0; o < 3; o++) { /* the notes print (in, out) */
        assert_int_equal(code_at(&w, o, 0) + 128, row0[o]);
        assert_int_equal(code_at(&w, o, 1) + 128, row1[o]);
    }
    assert_true(fabs((double)*(const float *)w.scale - 0.022114761) < 1e-9);
    qtensor_free(&w);
    safetensors_close(&st);
}

/* ---- the same codes however they are made ---- */

static const char *const *schemes; /* every_scheme's */
static size_t n_schemes;

static void quantized_equal(const struct qtensor *a, const struct qtensor *b)
{
    struct qtensor_layout l;
    assert_true(qtensor_layout(a->scheme, a->rows, a->cols, &l));
    assert_memory_equal(a->codes, b->codes, l.codes_bytes);
    if (l.scale_bytes) assert_memory_equal(a->scale, b->scale, l.scale_bytes);
    if (l.zero_bytes) assert_memory_equal(a->zero, b->zero, l.zero_bytes);
    if (l.factor_bytes) assert_memory_equal(a->factor, b->factor, l.factor_bytes);
}

static void quantize_with(const struct qsource *src, const char *spec, const struct isa *isa, int threads,
                          struct qtensor *out)
{
    const struct quantize_run run = {.n_threads = threads, .isa = isa};
    gpt2q_error err = {0};
    if (qtensor_quantize(src, scheme_of(spec), &run, out, &err)) fail_msg("%s: %s", spec, err.message);
}

static void quantize_ok(const struct qsource *src, const char *spec, int threads, struct qtensor *out)
{
    quantize_with(src, spec, NULL, threads, out);
}

static void test_isas_threads_and_orientations_agree(void **state)
{
    (void)state;
    enum { ROWS = 200, COLS = 72 };
    static uint8_t turned_bytes[ROWS * COLS * 4 + 1];
    float *m = mem_array(ROWS * COLS, sizeof *m), *turned = mem_array(ROWS * COLS, sizeof *turned);
    struct rng rng = {3};
    for (int o = 0; o < ROWS; o++)
        for (int i = 0; i < COLS; i++) {
            m[o * COLS + i] = rng_normal(&rng);
            turned[i * ROWS + o] = m[o * COLS + i];
        }
    memcpy(turned_bytes + 1, turned, ROWS * COLS * sizeof *turned); /* misaligned */
    struct qsource by_row = {"m", DT_F32, m, ROWS, COLS, COLS, 1},
                   by_column = {"m", DT_F32, turned, ROWS, COLS, 1, ROWS};
    struct qsource misaligned = {"m", DT_F32, turned_bytes + 1, ROWS, COLS, 1, ROWS};
    for (size_t s = 0; s < n_schemes; s++) {
        struct qtensor expected, w;
        if (!scheme_fits(scheme_of(schemes[s]), COLS)) continue;
        quantize_with(&by_row, schemes[s], isa_at(0), 1, &expected);
        for (size_t i = 0; i < isa_count(); i++) {
            if (!isa_at(i)->supported()) continue;
            const struct qsource *sources[] = {&by_row, &by_column, &misaligned};
            for (int k = 0; k < 3; k++) {
                quantize_with(sources[k], schemes[s], isa_at(i), 1 + k, &w);
                quantized_equal(&expected, &w);
                qtensor_free(&w);
            }
        }
        qtensor_free(&expected);
    }
    mem_free(m);
    mem_free(turned);
}

static void test_half_sources(void **state)
{
    (void)state;
    enum { ROWS = 67, COLS = 24 };
    uint16_t half[ROWS * COLS];
    float m[ROWS * COLS];
    struct rng rng = {4};
    for (int bf16 = 0; bf16 < 2; bf16++) {
        for (int i = 0; i < ROWS * COLS; i++) {
            float f = rng_normal(&rng);
            half[i] = bf16 ? bf16_from_float(f) : f16_from_float(f);
            m[i] = bf16 ? float_from_bf16(half[i]) : float_from_f16(half[i]);
        }
        struct qsource wide = {"m", DT_F32, m, ROWS, COLS, COLS, 1};
        struct qsource narrow = {"m", bf16 ? DT_BF16 : DT_F16, half, ROWS, COLS, COLS, 1};
        for (size_t s = 0; s < n_schemes; s++) {
            struct qtensor a, b;
            if (!scheme_fits(scheme_of(schemes[s]), COLS)) continue;
            quantize_ok(&wide, schemes[s], 1, &a);
            quantize_ok(&narrow, schemes[s], 1, &b);
            quantized_equal(&a, &b);
            qtensor_free(&a);
            qtensor_free(&b);
        }
    }
}

/* ---- layouts ---- */

/* The stored code of input k of the output at `lane`, as the head of qtensor.h states the layouts. */
static int stated_code(const uint8_t *lane, enum qformat format, int k)
{
    lane += k % 4;
    switch (format) {
    case QF_I8: return lane[k / 4 * 256];
    case QF_I2: return lane[k / 16 * 256] >> k % 16 / 4 * 2 & 3;
    case QF_I3:
        return (lane[(k / 32 * 3 + k % 32 / 16) * 256] >> k % 16 / 4 * 2 & 3) +
               (lane[(k / 32 * 3 + 2) * 256] >> k % 32 / 4 & 1) * 4;
    default: return k % 8 < 4 ? lane[k / 8 * 256] & 15 : lane[k / 8 * 256] >> 4;
    }
}

static void test_layouts_as_stated(void **state)
{
    (void)state;
    enum { ROWS = 70, COLS = 192 };
    static const char *const specs[] = {"i8", "i4", "i3", "i2", "nf4", "mxfp4", "nvfp4"};
    for (size_t s = 0; s < sizeof specs / sizeof *specs; s++) {
        struct weight w = weight_create(specs[s], ROWS, COLS, 13);
        for (int o = 0; o < ROWS; o++)
            for (int k = 0; k < COLS; k++)
                assert_int_equal(
                    stated_code(w.w.codes + (size_t)(o / PANEL) * w.w.panel_bytes + o % PANEL * 4,
                                w.w.scheme.format, k),
                    qtensor_stored_code(&w.w, o, k));
        weight_free(&w);
    }
}

/* ---- matrices at the edges ---- */

/* Quantizes and dequantizes a (3, 16) matrix; the largest error. */
static double largest_error(const float *m, const char *spec)
{
    struct qsource src = {"m", DT_F32, m, 3, 16, 16, 1};
    struct qtensor w;
    float row[16];
    double most = 0.0;
    quantize_ok(&src, spec, 1, &w);
    for (int o = 0; o < 3; o++) {
        scalar_ops(&w)->dequantize_row(&w, o, row);
        for (int i = 0; i < 16; i++) {
            double e = fabs((double)row[i] - (double)m[o * 16 + i]);
            most = e > most ? e : most;
        }
    }
    qtensor_free(&w);
    return most;
}

/* signed: the scale's sign gives the weight of largest magnitude the code -2^(bits-1). Of two equal ones
 * it is the negative weight. The other end is clamped. */
static void test_signed_grid(void **state)
{
    (void)state;
    static const struct {
        float lo, hi;
        double scale; /* of int4 */
        int lo_code, hi_code;
    } cases[] = {{-4, 2, 0.5, -8, 4}, {-2, 4, -0.5, 4, -8}, {-4, 4, 0.5, -8, 7},
                 {0, 4, -0.5, 0, -8}, {-4, 0, 0.5, -8, 0},  {0, 0, 0, 0, 0}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        float m[8] = {cases[c].lo, cases[c].hi};
        const struct qsource src = {"m", DT_F32, m, 1, 8, 8, 1};
        struct qtensor w;
        quantize_ok(&src, "i4:g8:signed", 1, &w);
        assert_true((double)parameter_at(&w, w.scale, 0) == cases[c].scale && !w.zero);
        assert_int_equal(code_at(&w, 0, 0), cases[c].lo_code);
        assert_int_equal(code_at(&w, 0, 1), cases[c].hi_code);
        assert_int_equal(code_at(&w, 0, 2), 0);
        qtensor_free(&w);
    }
    /* the scale is rounded to float16 before codes are computed: 1 / -8 of 0.3 is -0.0375, as float16
     * -0.037506 */
    float m[8] = {0.3f, 0.01875f};
    const struct qsource src = {"m", DT_F32, m, 1, 8, 8, 1};
    struct qtensor w;
    quantize_ok(&src, "i4:g8:signed", 1, &w);
    assert_true(parameter_at(&w, w.scale, 0) == float_from_f16(f16_from_float(-0.0375f)));
    assert_int_equal(code_at(&w, 0, 0), -8);
    assert_int_equal(code_at(&w, 0, 1), 0); /* 0.49993 of a step */
    qtensor_free(&w);
}

static void test_special_matrices(void **state)
{
    (void)state;
    float zero[48] = {0}, constant[48], positive[48], lattice[48];
    for (int i = 0; i < 48; i++) {
        constant[i] = 0.75f;
        positive[i] = 5.0f + (float)(i % 16) / 15.0f;
        lattice[i] = (float)(i % 15 - 7);
    }
    lattice[15] = lattice[31] = 7.0f;
    for (size_t s = 0; s < n_schemes; s++) {
        const struct scheme scheme = scheme_of(schemes[s]);
        if (!scheme_fits(scheme_of(schemes[s]), 16)) continue;
        assert_true(largest_error(zero, schemes[s]) == 0.0);
        const int bits = scheme_bits(scheme) < 8 ? scheme_bits(scheme) : 8;
        double step = 6.0 / (scheme_zero(scheme) == QZERO_NONE ? (1 << (bits - 1)) - 1 : (1 << bits) - 1);
        if (scheme.grid == QGRID_LEVELS) /* a sixteenth more: scales of nvfp4 are rounded */
            step = 6.4 * (double)(format_gap(scheme.format) / format_largest_level(scheme.format));
        assert_true(largest_error(positive, schemes[s]) <= step * 0.501 + 0.003);
    }
    /* one value: exact up to a rounding of scale times code; as a minimum exact */
    assert_true(largest_error(constant, "i8") < 1e-6);
    assert_true(largest_error(constant, "i8:minmax") == 0.0 &&
                largest_error(constant, "i4:g8:minmax") == 0.0);
    assert_true(largest_error(constant, "notes") == 0.0);
    /* every weight a multiple of the scale, 1 */
    assert_true(largest_error(lattice, "i4:channel") == 0.0 && largest_error(lattice, "i4:g16") == 0.0);
}

/* Half-way weights go to the even code. absmax never uses the most negative one. */
static void test_ties_and_extremes(void **state)
{
    (void)state;
    float m[16] = {127.0f, 0.5f, 1.5f, 2.5f, -0.5f, -1.5f, -2.5f, -127.0f, 126.5f};
    static const int expected[16] = {127, 0, 2, 2, 0, -2, -2, -127, 126};
    struct qsource src = {"m", DT_F32, m, 1, 16, 16, 1};
    struct qtensor w;
    quantize_ok(&src, "i8", 1, &w);
    for (int i = 0; i < 16; i++) assert_int_equal(code_at(&w, 0, i), expected[i]);
    qtensor_free(&w);
}

/* A group whose scale rounds to 0 in float16 has codes of 0. */
static void test_group_scale_underflow(void **state)
{
    (void)state;
    float m[8];
    for (int i = 0; i < 8; i++) m[i] = 1e-7f;
    struct qsource src = {"m", DT_F32, m, 1, 8, 8, 1};
    struct qtensor w;
    quantize_ok(&src, "i8:g8", 1, &w);
    assert_true(parameter_at(&w, w.scale, 0) == 0.0f && code_at(&w, 0, 0) == 0);
    qtensor_free(&w);
}

/* The step of a subnormal range is inexact, too small here: the zero point stays within the codes. */
static void test_affine_zero_of_subnormals(void **state)
{
    (void)state;
    for (int sign = -1; sign <= 1; sign += 2) {
        float m[8] = {(float)(sign * 21) * 0x1p-149f};
        struct qsource src = {"m", DT_F32, m, 1, 8, 8, 1};
        struct qtensor w;
        quantize_ok(&src, "i4:channel:affine", 1, &w);
        assert_true(parameter_at(&w, w.scale, 0) == 0x1p-149f);
        assert_true(parameter_at(&w, w.zero, 0) == (sign < 0 ? 7.0f : -8.0f));
        qtensor_free(&w);
    }
}

/* ---- errors ---- */

static void expect_refused(const float *m, const char *spec, gpt2q_status status, const char *part)
{
    struct qsource src = {"h.0.w", DT_F32, m, 70, 16, 16, 1};
    struct qtensor w;
    gpt2q_error err = {0};
    assert_int_equal(
        qtensor_quantize(&src, scheme_of(spec), &(struct quantize_run){.n_threads = 2}, &w, &err), status);
    if (!strstr(err.message, "h.0.w") || !strstr(err.message, part))
        fail_msg("%s says: %s", spec, err.message);
    assert_null(w.owned);
}

static void test_errors_name_tensor_and_weight(void **state)
{
    (void)state;
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    static const char *const integer[] = {"i8", "i8:tensor:minmax", "i8:input", "i4:g8:affine", "notes"};
    float m[70 * 16] = {0};
    m[0] = 1.0f;
    for (size_t b = 0; b < 3; b++)
        for (size_t s = 0; s < 5; s++) {
            m[66 * 16 + 5] = bad[b];
            expect_refused(m, integer[s], GPT2Q_UNSUPPORTED, "output 66 and input 5");
        }
    m[66 * 16 + 5] = 65505.0f;
    expect_refused(m, "f16", GPT2Q_UNSUPPORTED, "output 66 and input 5 is 65505");
    m[66 * 16 + 5] = -3.4e38f;
    expect_refused(m, "bf16", GPT2Q_UNSUPPORTED, "output 66 and input 5");
    m[66 * 16 + 4] = 3.4e38f;
    expect_refused(m, "i8:minmax", GPT2Q_UNSUPPORTED, "overflows float32");
    expect_refused(m, "i8:g16", GPT2Q_UNSUPPORTED, "overflows float16");
    expect_refused(m, "i8:g32", GPT2Q_INVALID_ARGUMENT, "group");
}

static void test_no_memory(void **state)
{
    (void)state;
    float m[16] = {1.0f};
    struct qsource src = {"m", DT_F32, m, 1, 16, 16, 1};
    struct qtensor w;
    gpt2q_error err;
    for (int64_t allowed = 0; allowed < 2; allowed++) {
        mem_fail_after(allowed);
        gpt2q_status status =
            qtensor_quantize(&src, scheme_of("i8"), &(struct quantize_run){.n_threads = 1}, &w, &err);
        mem_fail_after(-1);
        assert_int_equal(status, GPT2Q_OUT_OF_MEMORY);
        assert_null(w.owned);
    }
}

int main(void)
{
    schemes = every_scheme(&n_schemes);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_goldens),
        cmocka_unit_test(test_notes_tensor),
        cmocka_unit_test(test_genuine_weights),
        cmocka_unit_test(test_isas_threads_and_orientations_agree),
        cmocka_unit_test(test_half_sources),
        cmocka_unit_test(test_layouts_as_stated),
        cmocka_unit_test(test_signed_grid),
        cmocka_unit_test(test_special_matrices),
        cmocka_unit_test(test_ties_and_extremes),
        cmocka_unit_test(test_group_scale_underflow),
        cmocka_unit_test(test_affine_zero_of_subnormals),
        cmocka_unit_test(test_errors_name_tensor_and_weight),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
