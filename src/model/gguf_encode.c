/* Scales are rounded to float16 after the codes were chosen with the unrounded ones, as in ggml. Products and sums are float32, each
 * rounded. Threads share panels. A row's bytes depend on the row alone. */
#include "model/gguf_encode.h"
#include "base/checked.h"
#include "base/memory.h"
#include "base/threads.h"
#include "kernels/half.h"
#include "qtensor/dequantize.h"
#include "qtensor/isa.h"
#include "qtensor/lay_out.h"
#include <math.h>
#include <string.h>
#include <strings.h>

enum {
    ID_F32 = 0,
    ID_F16 = 1,
    ID_Q4_0 = 2,
    ID_Q4_1 = 3,
    ID_Q5_0 = 6,
    ID_Q5_1 = 7,
    ID_Q8_0 = 8,
    ID_BF16 = 30,
    ID_MXFP4 = 39
};

const char gguf_type_names[] = "f32, f16, bf16, q8_0, q4_0, q4_1, q5_0 or q5_1";

const struct gguf_type *gguf_type_named(const char *name)
{
    static const uint32_t ids[] = {ID_F32, ID_F16, ID_BF16, ID_Q8_0, ID_Q4_0, ID_Q4_1, ID_Q5_0, ID_Q5_1};
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++)
        if (!strcasecmp(name, gguf_type_find(ids[i])->name)) return gguf_type_find(ids[i]);
    return NULL;
}

const struct gguf_type *gguf_type_of_scheme(struct scheme s)
{
    if (s.full) return gguf_type_find(ID_F32); /* GGUF has such scales only in types that are not written */
    switch (s.format) {
    case QF_F32: return gguf_type_find(ID_F32);
    case QF_F16: return gguf_type_find(ID_F16);
    case QF_BF16: return gguf_type_find(ID_BF16);
    case QF_MXFP4: return gguf_type_find(ID_MXFP4);
    case QF_I8:
    case QF_I4: break;
    default: return NULL;
    }
    if (s.gran != QG_GROUP || s.group != GGUF_GROUP) return NULL;
    if (scheme_zero(s) == QZERO_NONE) return gguf_type_find(s.format == QF_I8 ? ID_Q8_0 : ID_Q4_0);
    if (s.grid != QGRID_MINMAX) return NULL;
    return gguf_type_find(s.format == QF_I8 ? ID_Q5_1 : ID_Q4_1);
}

const char *gguf_nearest_spec(struct scheme s)
{
    const bool minimum = scheme_has_codes(s) && scheme_zero(s) != QZERO_NONE;
    if (s.grid == QGRID_LEVELS && scheme_bits(s) <= 4) return "mxfp4, that is MXFP4";
    if (scheme_bits(s) > 4 || !scheme_has_codes(s)) return "i8:g32:absmax, that is Q8_0";
    return minimum ? "i4:g32:minmax, that is Q4_1" : "i4:g32:signed, that is Q4_0";
}

size_t gguf_matrix_bytes(const struct gguf_type *type, int rows, int cols)
{
    size_t bytes;
    if (cols % type->values) return 0;
    return checked_mul((size_t)rows, (size_t)(cols / type->values) * (size_t)type->bytes, &bytes) ? bytes : 0;
}

static void put_half(uint8_t *to, uint16_t half) { to[0] = (uint8_t)half, to[1] = (uint8_t)(half >> 8); }

/* ---- the layouts: low nibbles are values 0..15, high ones 16..31, fifth bits apart ---- */

static void put_nibbles(uint8_t *to, const uint8_t *code)
{
    for (int i = 0; i < 16; i++) to[i] = (uint8_t)((code[i] & 15) | code[i + 16] << 4);
}

static void put_fifth_bits(uint8_t *to, const uint8_t *code)
{
    memset(to, 0, 4);
    for (int i = 0; i < GGUF_GROUP; i++) to[i / 8] |= (uint8_t)((code[i] >> 4 & 1) << i % 8);
}

/* A block of unsigned codes (Q8_0: two's complement), with its scale and, where the type has one, its minimum. */
static void put_block(const struct gguf_type *type, uint16_t scale, uint16_t min, const uint8_t *code,
                      uint8_t *to)
{
    put_half(to, scale), to += 2;
    if (type->has_min) put_half(to, min), to += 2;
    if (type->id == ID_Q8_0) {
        memcpy(to, code, GGUF_GROUP);
        return;
    }
    if (type->id == ID_Q5_0 || type->id == ID_Q5_1) put_fifth_bits(to, code), to += 4;
    put_nibbles(to, code);
}

/* ---- sharing out ---- */

struct gguf_encoding {
    const struct qtensor *w;
    const struct gguf_type *type;
    uint8_t *blocks;
    float *rows;      /* (shares, cols) */
    uint8_t *refused; /* (shares): whether a row could not be encoded */
    bool (*encode)(const struct gguf_encoding *e, int row, float *values, uint8_t *to);
};

static void encode_rows(void *arg, int share, int n)
{
    const struct gguf_encoding *e = arg;
    const int cols = e->w->cols;
    const size_t row_bytes = gguf_matrix_bytes(e->type, 1, cols);
    int64_t p0, p1;
    threads_split(qtensor_panels(e->w), share, n, &p0, &p1);
    for (int64_t r = p0 * PANEL; r < p1 * PANEL && r < e->w->rows; r++)
        if (!e->encode(e, (int)r, e->rows + (size_t)share * (size_t)cols, e->blocks + (size_t)r * row_bytes))
            e->refused[share] = 1;
}

/* *refused: some row could not be encoded. */
static gpt2q_status encode_all(struct gguf_encoding *e, const char *name, const struct quantize_run *run,
                               bool *refused, gpt2q_error *err)
{
    const int panels = qtensor_panels(e->w), most = run->n_threads < panels ? run->n_threads : panels;
    const size_t n = most < 1 ? 1 : (size_t)most;
    e->rows = mem_array(n * (size_t)e->w->cols, sizeof *e->rows);
    e->refused = mem_zalloc(n);
    gpt2q_status s = e->rows && e->refused ? GPT2Q_OK : error_memory(err, name, n * (size_t)e->w->cols * 4);
    if (!s) threads_run((int)n, encode_rows, e);
    *refused = false;
    for (size_t i = 0; i < n && !s; i++) *refused |= e->refused[i];
    mem_free(e->rows);
    mem_free(e->refused);
    return s;
}

/* ---- exactly ---- */

static void gather_halves(const struct qtensor *w, int row, uint8_t *to)
{
    const uint16_t *from =
        (const uint16_t *)(w->codes + (size_t)(row / PANEL) * w->panel_bytes) + row % PANEL;
    for (int k = 0; k < w->cols; k++) put_half(to + 2 * (size_t)k, from[(size_t)k * PANEL]);
}

static bool encode_codes(const struct gguf_encoding *e, int row, uint8_t *to)
{
    const struct qtensor *w = e->w;
    const int groups = w->cols / GGUF_GROUP;
    const uint16_t *scale = w->scale, *zero = w->zero;
    bool fits = true;
    for (int g = 0; g < groups; g++, to += e->type->bytes) {
        uint8_t code[GGUF_GROUP];
        const size_t at =
            ((size_t)(row / PANEL) * (size_t)groups + (size_t)g) * PANEL + (size_t)(row % PANEL);
        qtensor_get_codes(w, row, g * GGUF_GROUP, GGUF_GROUP, code);
        for (int i = 0; i < GGUF_GROUP; i++) {
            if (e->type->id == ID_Q8_0) code[i] = (uint8_t)(code[i] - 128);
            fits &= e->type->id != ID_Q5_1 || code[i] < 32;
        }
        if (e->type->id == ID_MXFP4) {
            to[0] = ((const uint8_t *)w->scale)[at];
            put_nibbles(to + 1, code);
            continue;
        }
        put_block(e->type, scale[at], zero ? zero[at] : 0, code, to);
    }
    return fits;
}

static bool encode_exact_row(const struct gguf_encoding *e, int row, float *values, uint8_t *to)
{
    if (e->type->codes) return encode_codes(e, row, to);
    if (e->type->id != ID_F32) return gather_halves(e->w, row, to), true;
    isa_at(0)->formats[e->w->scheme.format].dequantize_row(e->w, row, values);
    memcpy(to, values, (size_t)e->w->cols * sizeof *values);
    return true;
}

gpt2q_status gguf_encode_exactly(const struct qtensor *w, const char *name, const struct quantize_run *run,
                                 uint8_t *blocks, gpt2q_error *err)
{
    char text[SCHEME_TEXT_MAX];
    bool refused;
    struct gguf_encoding e = {
        .w = w, .type = gguf_type_of_scheme(w->scheme), .blocks = blocks, .encode = encode_exact_row};
    gpt2q_status s = encode_all(&e, name, run, &refused, err);
    if (s || !refused) return s;
    return error_set(err, GPT2Q_UNSUPPORTED,
                     "%s: is %s with codes beyond 31, which no GGUF type holds exactly; the nearest is %s, "
                     "or --gguf-type rounds",
                     name, scheme_print(w->scheme, text), gguf_nearest_spec(w->scheme));
}

/* ---- ggml's rounding ---- */

/* Rounds toward zero. Where 1/d overflowed, x may be no number: then the scale is stored as 0 and any code will do. */
static int truncate(float x, int most)
{
    if (!(x > 0.0f)) return 0;
    return x < (float)most ? (int)x : most;
}

/* d = m / -half of the weight m of largest magnitude, the first of equals; code = trunc(x/d + half + 0.5). */
static float round_signed(const float *x, int half, uint8_t *code)
{
    float largest = 0.0f, m = 0.0f;
    for (int i = 0; i < GGUF_GROUP; i++)
        if (largest < fabsf(x[i])) largest = fabsf(x[i]), m = x[i];
    const float d = m / (float)-half, inverse = d != 0.0f ? 1.0f / d : 0.0f;
    for (int i = 0; i < GGUF_GROUP; i++) {
        const float scaled = x[i] * inverse, shifted = scaled + ((float)half + 0.5f);
        code[i] = (uint8_t)truncate(shifted, 2 * half - 1);
    }
    return d;
}

/* d = (max - min)/most; code = trunc((x - min)/d + 0.5). */
static float round_range(const float *x, int most, uint8_t *code, float *min)
{
    float lo = x[0], hi = x[0];
    for (int i = 1; i < GGUF_GROUP; i++) lo = x[i] < lo ? x[i] : lo, hi = x[i] > hi ? x[i] : hi;
    const float d = (hi - lo) / (float)most, inverse = d != 0.0f ? 1.0f / d : 0.0f;
    for (int i = 0; i < GGUF_GROUP; i++) {
        const float scaled = (x[i] - lo) * inverse;
        code[i] = (uint8_t)truncate(scaled + 0.5f, most);
    }
    *min = lo;
    return d;
}

/* d = max |x| / 127; code = x/d, halves away from zero. */
static float round_q8_0(const float *x, uint8_t *code)
{
    float largest = 0.0f;
    for (int i = 0; i < GGUF_GROUP; i++) largest = fabsf(x[i]) > largest ? fabsf(x[i]) : largest;
    const float d = largest / 127.0f, inverse = d != 0.0f ? 1.0f / d : 0.0f;
    for (int i = 0; i < GGUF_GROUP; i++) {
        const float scaled = x[i] * inverse, size = fabsf(scaled) < 128.0f ? fabsf(scaled) : 0.0f;
        const float whole = (float)(int)size; /* 128 and more: 1/d overflowed, and ggml's code is 0 */
        const int q = size - whole >= 0.5f ? (int)whole + 1 : (int)whole;
        code[i] = (uint8_t)(scaled < 0.0f ? -q : q);
    }
    return d;
}

static bool encode_block(const struct gguf_type *type, const float *x, uint8_t *to)
{
    uint8_t code[GGUF_GROUP];
    float d, min = 0.0f, sum = 0.0f;
    for (int i = 0; i < GGUF_GROUP; i++) sum += 0.0f * x[i]; /* NaN if one is not finite */
    if (sum != 0.0f) return false;
    switch (type->id) {
    case ID_Q8_0: d = round_q8_0(x, code); break;
    case ID_Q4_0: d = round_signed(x, 8, code); break;
    case ID_Q5_0: d = round_signed(x, 16, code); break;
    case ID_Q4_1: d = round_range(x, 15, code, &min); break;
    default: d = round_range(x, 31, code, &min); break;
    }
    const uint16_t scale = f16_from_float(d), least = f16_from_float(min);
    put_block(type, scale, least, code, to);
    return isfinite(float_from_f16(scale)) && isfinite(float_from_f16(least));
}

static bool encode_rounded_row(const struct gguf_encoding *e, int row, float *values, uint8_t *to)
{
    bool fits = true;
    dequantize_row_f32(e->w, row, values);
    for (int k = 0; k < e->w->cols; k += GGUF_GROUP, to += e->type->bytes)
        fits &= encode_block(e->type, values + k, to);
    return fits;
}

gpt2q_status gguf_encode_rounded(const struct qtensor *w, const struct gguf_type *type, const char *name,
                                 const struct quantize_run *run, uint8_t *blocks, gpt2q_error *err)
{
    bool refused;
    struct gguf_encoding e = {.w = w, .type = type, .blocks = blocks, .encode = encode_rounded_row};
    gpt2q_status s = encode_all(&e, name, run, &refused, err);
    if (s || !refused) return s;
    return error_set(err, GPT2Q_UNSUPPORTED,
                     "%s: holds weights that are not finite or too large for the float16 scales of %s", name,
                     type->name);
}
