#include "tests/products.h"
#include "base/memory.h"
#include "tests/support.h"
#include <math.h>

bool scheme_fits(struct scheme s, int cols)
{
    return !scheme_has_codes(s) || s.gran != QG_GROUP || cols % s.group == 0;
}

struct scheme scheme_of(const char *spec)
{
    struct scheme s;
    assert_int_equal(scheme_parse(spec, &s, NULL), GPT2Q_OK);
    return s;
}

struct weight weight_from(const float *m, struct scheme s, int rows, int cols)
{
    struct weight out = {0};
    gpt2q_error err = {0};
    struct qsource src = {"test", DT_F32, m, rows, cols, (size_t)cols, 1};
    assert_int_equal(qtensor_quantize(&src, s, &(struct quantize_run){.n_threads = 1}, &out.w, &err),
                     GPT2Q_OK);
    out.guarded_bytes = out.w.panel_bytes * (size_t)qtensor_panels(&out.w);
    out.guarded = guard_alloc(out.guarded_bytes);
    memcpy(out.guarded, out.w.codes, out.guarded_bytes);
    out.w.codes = out.guarded;
    return out;
}

struct weight weight_create(const char *spec, int rows, int cols, uint64_t seed)
{
    struct rng rng = {seed};
    float *m = mem_array((size_t)rows * (size_t)cols, sizeof *m);
    for (int i = 0; i < rows * cols; i++) m[i] = 0.1f * rng_normal(&rng) + 0.02f;
    struct weight out = weight_from(m, scheme_of(spec), rows, cols);
    mem_free(m);
    return out;
}

void weight_free(struct weight *w)
{
    guard_free(w->guarded, w->guarded_bytes);
    qtensor_free(&w->w);
}

float *input_create(int n, size_t stride, uint64_t seed)
{
    struct rng rng = {seed};
    float *x = guard_alloc((size_t)n * stride * sizeof *x);
    for (size_t i = 0; i < (size_t)n * stride; i++) x[i] = rng_normal(&rng) * (i % 7 ? 1.0f : 4.0f);
    return x;
}

/* The rows [begin, end) of n. */
void product_of_rows(const struct isa *isa, const struct qtensor *w, enum activations kind, const float *x,
                     size_t stride, int n, int begin, int end, float *y, size_t y_stride, int p0, int p1)
{
    const struct format_ops *ops = &isa->formats[w->scheme.format];
    struct qinput in = {.f32 = x, .stride = stride};
    size_t bytes = qinput_layout(NULL, w, kind, n, NULL);
    void *memory = mem_alloc(bytes);
    memset(memory, 0xFF, bytes);
    assert_int_equal(qinput_layout(&in, w, kind, n, memory), bytes);
    if (qinput_needs_prepare(w, kind)) ops->prepare(w, &in, 0, n);
    in.begin = begin;
    in.end = end;
    y += (size_t)begin * y_stride + (size_t)p0 * PANEL;
    (kind == ACTIVATIONS_F32 ? ops->matmul : ops->matmul_q)(w, &in, y, y_stride, p0, p1);
    mem_free(memory);
}

void product(const struct isa *isa, const struct qtensor *w, enum activations kind, const float *x,
             size_t stride, int n, float *y, size_t y_stride, int p0, int p1)
{
    product_of_rows(isa, w, kind, x, stride, n, 0, n, y, y_stride, p0, p1);
}

enum activations last_kind(const struct qtensor *w)
{
    return scheme_takes(w->scheme, ACTIVATIONS_I8) ? ACTIVATIONS_I8 : ACTIVATIONS_F32;
}

int code_at(const struct qtensor *w, int o, int k)
{
    return qtensor_stored_code(w, o, k) - scheme_middle(w->scheme);
}

float token_codes(const float *x, int n, int qmax, int *codes)
{
    float most = 0.0f;
    for (int k = 0; k < n; k++) most = fmaxf(most, fabsf(x[k]));
    float scale = most / (float)qmax;
    for (int k = 0; k < n; k++) {
        float q = scale > 0.0f ? rintf(x[k] / scale) : 0.0f;
        codes[k] = (int)fminf(fmaxf(q, (float)-qmax), (float)qmax);
    }
    return scale;
}
