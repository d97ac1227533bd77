/* What the products need of their input beyond the floats, once per token (format.h, struct qinput):
 *
 *     scaled      QG_INPUT: x(k)*s(k); below, x means this and x0 the floats, h = 2^(bits-1)
 *     sums        X of each group (or all), for zero points and minima, by the 16-lane rule: element i of the
 *                 group to lane i mod 16, then the tree. For QG_INPUT the sum of
 *                     affine, float activations      -(z(k)*x(k))
 *                     minmax, float activations      fma(m(k), x0(k), h*x(k))
 *                     minmax, integer activations    m(k)*x0(k)
 *     hi, lo      codes: a = max|x| / qmax, qmax 127 or 32,639; code = clamp(rint(x/a)) = 256*hi + lo with
 *                 -128 <= lo <= 127; all 0 where a = 0. Where an x is not finite all are 0 and a is NaN, so
 *                 that the outputs are not finite either
 *     code_sums   sums of hi, and of lo, over each group; for QG_INPUT, of h*code (absmax) or
 *                 (h + z(k))*code (affine)
 *     wide        in place of hi and lo the codes in 16 bits, with enum wide_sum of each piece or, where pairs_take, enum pair_sum */
#if defined(GPT2Q_ISA_amx)
#include "qtensor/amx_input.isa.h"
#define PREPARE_AMX amx_takes(w, x)
#else
#define PREPARE_AMX false
#endif
#include "qtensor/pair_sums.h"
#include "qtensor/codes.isa.h"
#include "qtensor/formats_table.h"
#include "qtensor/wide.isa.h"

/* A sum by the 16-lane rule. Lanes beyond the end keep what they have. */
static float lane_sum(const float *x, int n)
{
    vf acc = vf_zero();
    int i = 0;
    for (; i + 16 <= n; i += 16) acc = vf_add(acc, vf_load(x + i));
    if (i < n) acc = vf_first(n - i, vf_add(acc, vf_load_n(x + i, n - i)), acc);
    return vf_sum(acc);
}

/* The correction for inputs' zero points or minima, over a whole row (QG_INPUT). */
ALWAYS_INLINE vf input_term(const struct qtensor *w, enum activations kind, vf z, vf x, vf x0)
{
    if (scheme_zero(w->scheme) == QZERO_POINT) return vf_neg(vf_mul(z, x));
    if (kind != ACTIVATIONS_F32) return vf_mul(z, x0);
    return vf_fma(z, x0, vf_mul(vf_set1((float)scheme_middle(w->scheme)), x));
}

static float input_sum(const struct qtensor *w, enum activations kind, const float *x, const float *x0)
{
    const float *z = w->zero;
    vf acc = vf_zero();
    for (int i = 0; i < w->cols; i += 16) {
        int n = w->cols - i < 16 ? w->cols - i : 16;
        vf term = input_term(w, kind, vf_load_n(z + i, n), vf_load_n(x + i, n), vf_load_n(x0 + i, n));
        acc = vf_first(n, vf_add(acc, term), acc);
    }
    return vf_sum(acc);
}

static void prepare_floats(const struct qtensor *w, struct qinput *x, int row, const float **from)
{
    const float *x0 = *from;
    size_t cols = (size_t)w->cols, groups = w->scheme.gran == QG_GROUP ? cols / (size_t)w->scheme.group : 1;
    if (x->scaled) {
        float *scaled = x->scaled + (size_t)row * cols;
        for (size_t k = 0; k < cols; k++) scaled[k] = x0[k] * ((const float *)w->scale)[k];
        *from = scaled;
    }
    if (!x->sums) return;
    float *sums = x->sums + (size_t)row * groups;
    if (w->scheme.gran == QG_INPUT)
        *sums = input_sum(w, x->kind, *from, x0);
    else
        for (size_t g = 0; g < groups; g++)
            sums[g] = lane_sum(x0 + g * (cols / groups), (int)(cols / groups));
}

/* ---- codes ---- */

/* Records the inputs of magnitude x->threshold and more. Returns the row with 0 in their places. NaN
 * stays. */
static const float *take_outliers(struct qinput *x, int row, const float *from)
{
    float *rest = x->rest + (size_t)row * (size_t)x->cols;
    int32_t *list = x->outliers + (size_t)row * ((size_t)x->cols + 1), n = 0;
    for (int k = 0; k < x->cols; k++) {
        const bool out = fabsf(from[k]) >= x->threshold && fabsf(from[k]) < INFINITY;
        rest[k] = out ? 0.0f : from[k];
        if (out) list[++n] = k;
    }
    list[0] = n;
    return rest;
}

/* max|x| / qmax; NaN if an x is not finite: x*0 is 0 for finite x, else NaN, and a sum keeps a NaN. */
static float code_scale(const float *x, int n, float qmax)
{
    vf most = vf_zero(), strange = vf_zero();
    for (int i = 0; i < n; i += 16) {
        vf v = vf_load_n(x + i, n - i < 16 ? n - i : 16);
        most = vf_max(vf_abs(v), most);
        strange = vf_fma(v, vf_zero(), strange);
    }
    return vf_sum(strange) == 0.0f ? vf_hmax(most) / qmax : NAN;
}

static float row_scale(const struct qinput *x, const float *from, float qmax)
{
    const float own = code_scale(from, x->cols, qmax);
    return x->fixed_scale > 0.0f && own == own ? x->fixed_scale : own;
}

/* The codes of x[i..i+16), 0 beyond n. */
ALWAYS_INLINE vf encode(const float *x, int i, int n, float scale, float qmax)
{
    vf q = vf_rint(vf_div(vf_load_n(x + i, n - i < 16 ? n - i : 16), vf_set1(scale)));
    return vf_min(vf_max(q, vf_set1(-qmax)), vf_set1(qmax));
}

#if WIDE_CODES
static void encode_wide(struct qinput *x, int row, const float *from, float scale, float qmax)
{
    const int step = 4 * qinput_lanes(x);
    for (int first = 0; first < x->cols; first += x->slab) {
        int16_t *codes = qinput_wide(x, row, first);
        int i = first, end = x->cols - first < x->slab ? x->cols : first + x->slab;
        if (scale > 0.0f)
            for (; i < end; i += 16, codes += 4 * step)
                vi_store_quads(codes, step, vf_to_int(encode(from, i, x->cols, scale, qmax)));
        if (end == x->cols) { /* padding up to the end of this slab; the next slab is another row's */
            const int padded = (end + 63) / 64 * 64;
            end = padded < first + x->slab ? padded : first + x->slab;
        }
        for (; i < end; i += 4, codes += step) memset(codes, 0, 4 * sizeof *codes);
    }
}

/* The codes times their inputs' zero points. Input i of each four lies at place 0 2 1 3. */
static uint32_t sum_with_zeros(const int16_t *codes, int step, const float *z, int n)
{
    uint32_t sum = 0;
    for (int k = 0; k < n; k++)
        sum += (uint32_t)(codes[k / 4 * step + (k % 2) * 2 + k % 4 / 2] * (int32_t)z[k]);
    return sum;
}

/* Adds the inputs [k, k + n) to the sums of their piece. Few rows multiply the stored codes c + h. Many
 * rows multiply the stored codes of int4 and the signed codes of int8; levels are such. A minimum is added to the sum of
 * stored codes. */
static void sum_inputs(const struct qtensor *w, const int16_t *codes, int step, int k, int n, int32_t *sums,
                       int pieces)
{
    const bool eight = scheme_product_bits(w->scheme) == 8, minimum = scheme_zero(w->scheme) == QZERO_MINIMUM;
    uint32_t products, x = quad_sums(codes, step, (n + 7) / 8 * 8, &products),
                       h = 1u << (scheme_product_bits(w->scheme) - 1);
    uint32_t start = minimum ? h * x : 0, few = start - h * x, many = start - (eight ? 0 : h * x) - products;
    if (w->scheme.gran == QG_INPUT && scheme_zero(w->scheme) == QZERO_POINT) {
        uint32_t zeros = sum_with_zeros(codes, step, (const float *)w->zero + k, n);
        few -= zeros;
        many -= zeros;
    }
    const uint32_t add[WIDE_SUMS] = {[WIDE_X] = x, [WIDE_START] = few, [WIDE_START_MANY] = many};
    for (int i = 0; i < WIDE_SUMS; i++) sums[i * pieces] = (int32_t)((uint32_t)sums[i * pieces] + add[i]);
}

static void prepare_wide(const struct qtensor *w, struct qinput *x, int row, const float *from)
{
    const int cols = w->cols, pieces = qtensor_pieces(w, x->kind), groups = qtensor_groups(w);
    const int group = cols / groups, piece = qtensor_piece(w, x->kind);
    float qmax = x->kind == ACTIVATIONS_I16 ? 32639.0f : 127.0f, scale = row_scale(x, from, qmax);
    int32_t *sums = x->code_sums + (size_t)row * WIDE_SUMS * (size_t)pieces;
    x->code_scale[row] = scale;
    encode_wide(x, row, from, scale, qmax);
    memset(sums, 0, WIDE_SUMS * (size_t)pieces * sizeof *sums);
    for (int g = 0; g < groups; g++)
        for (int from_k = 0; from_k < group; from_k += piece, sums++) {
            int k = g * group + from_k, end = g * group + (group - from_k < piece ? group : from_k + piece);
            for (int n; k < end; k += n) {
                n = x->slab - k % x->slab < end - k ? x->slab - k % x->slab : end - k;
                sum_inputs(w, qinput_wide(x, row, k), 4 * qinput_lanes(x), k, n, sums, pieces);
            }
        }
}
#endif

#if defined(GPT2Q_ISA_avx512vnni)
static uint32_t
sum_of_lanes(vi a) /* modulo 2^32, which _mm512_reduce_add_epi32 leaves undefined with gcc 12 */
{
    uint32_t lanes[16], sum = 0;
    memcpy(lanes, &a, sizeof lanes);
    for (int i = 0; i < 16; i++) sum += lanes[i];
    return sum;
}

/* Of n inputs, 8 or more: their sum, and the x0 x1 + x2 x3 of even quads; modulo 2^32. */
static uint32_t pair_sum(const int16_t *codes, int n, uint32_t *pairs)
{
    vi sum = vi_zero(), products = vi_zero();
    for (; n > 0; n -= 32, codes += 32) {
        const vi x = _mm512_maskz_loadu_epi16(n < 32 ? (1u << n) - 1 : UINT32_MAX, codes);
        sum = vi_dot_two(sum, x, _mm512_set1_epi16(1));
        /* the first lane of an even quad gets its products */
        products = vi_dot_two(products, x, _mm512_maskz_shuffle_epi32(0x1111, x, _MM_PERM_CDAB));
    }
    *pairs = sum_of_lanes(products);
    return sum_of_lanes(sum);
}

static void prepare_pairs(const struct qtensor *w, struct qinput *x, int row, const float *from)
{
    const int cols = w->cols, piece = pair_piece(w), pieces = pair_pieces(w), padded = (cols + 63) / 64 * 64;
    const float qmax = 32639.0f, scale = row_scale(x, from, qmax);
    const bool eight = scheme_product_bits(w->scheme) == 8;
    const uint32_t h = 1u << (scheme_product_bits(w->scheme) - 1);
    const uint32_t of_x = (scheme_zero(w->scheme) == QZERO_MINIMUM ? h : 0) - (eight ? 0 : h);
    int16_t *codes = pair_codes(x, row);
    int32_t *sums = pair_sums_of(x, row, PAIR_X, pieces), *starts = pair_sums_of(x, row, PAIR_START, pieces);
    x->code_scale[row] = scale;
    if (scale > 0.0f) {
        const uintptr_t next =
            (uintptr_t)from + x->stride * sizeof *from; /* the next row is fetched meanwhile */
        for (int i = 0; i < cols; i += 16) {
            prefetch((const void *)(next + (size_t)i * sizeof *from));
            vi_store_quads(codes + i, 4, vf_to_int(encode(from, i, cols, scale, qmax)));
        }
        memset(codes + (cols + 15) / 16 * 16, 0, (size_t)(padded - (cols + 15) / 16 * 16) * sizeof *codes);
    } else {
        memset(codes, 0, (size_t)padded * sizeof *codes);
    }
    for (int i = 0, k = 0; i < pieces; i++, k += piece) {
        uint32_t products, sum = pair_sum(codes + k, padded - k < piece ? padded - k : piece, &products);
        sums[i] = (int32_t)sum;
        starts[i] = (int32_t)(of_x * sum - (x->free_sums ? products : 0));
    }
}
#endif

/* A row's codes as bytes: 64 inputs together; the next 64 are `next` bytes later. */
struct byte_row {
    int8_t *hi, *lo; /* lo: NULL for i8 */
    size_t next;
};

static struct byte_row byte_row_at(const struct qtensor *w, const struct qinput *x, int row)
{
    const size_t padded = ((size_t)x->cols + 63) / 64 * 64;
#if defined(GPT2Q_ISA_amx)
    if (amx_takes(w, x))
        return (struct byte_row){amx_codes(x, row, false), x->lo ? amx_codes(x, row, true) : NULL,
                                 AMX_TILE_BYTES};
#else
    (void)w;
#endif
    return (struct byte_row){x->hi + (size_t)row * padded, x->lo ? x->lo + (size_t)row * padded : NULL, 64};
}

/* The codes of inputs [k, k + 64). */
ALWAYS_INLINE void encode_64(const float *x, int k, int n, float scale, float qmax, int8_t *hi, int8_t *lo)
{
    for (int i = 0; i < 64 && k + i < n; i += 16) {
        vf q = encode(x, k + i, n, scale, qmax);
        if (lo) {
            /* floor((q + 128) / 256): the half unit in the last place keeps every quotient off a tie */
            vf h = vf_rint(vf_fma(q, vf_set1(0x1p-8f), vf_set1(0x1p-9f)));
            vi_store_i8(lo + i, vf_to_int(vf_fma(h, vf_set1(-256.0f), q)));
            q = h;
        }
        vi_store_i8(hi + i, vf_to_int(q));
    }
}

/* Meanwhile the row at `next` is fetched; after the last one that address may be none. */
static void encode_row(const float *x, int n, float scale, float qmax, struct byte_row to, uintptr_t next)
{
    for (int k = 0; k < n; k += 64) {
        for (int i = 0; i < 64; i += 16) prefetch((const void *)(next + (size_t)(k + i) * sizeof *x));
        if (n - k < 64 || !(scale > 0.0f)) {
            memset(to.hi, 0, 64);
            if (to.lo) memset(to.lo, 0, 64);
        }
        if (scale > 0.0f) encode_64(x, k, n, scale, qmax, to.hi, to.lo);
        to.hi += to.next;
        if (to.lo) to.lo += to.next;
    }
}

/* The sum of an input's codes times what QG_INPUT adds to its weights' codes. It is exact in int32
 * (qtensor.c bounds the number of inputs). */
static int32_t weighted_code_sum(const struct qtensor *w, const int8_t *codes, size_t next)
{
    int32_t sum = 0;
    const int32_t h = scheme_middle(w->scheme);
    const float *z = scheme_zero(w->scheme) == QZERO_POINT ? w->zero : NULL;
    for (int k = 0; k < w->cols; k++)
        sum += codes[(size_t)(k / 64) * next + (size_t)(k % 64)] * (h + (z ? (int32_t)z[k] : 0));
    return sum;
}

/* Sums each group's codes. A group is a multiple of 8 inputs, or all. The codes beyond the last are 0. */
static void group_code_sums(const struct qtensor *w, const int8_t *codes, size_t next, int32_t *sums)
{
    const int groups = qtensor_groups(w), group = w->cols / groups;
    int32_t lanes[16];
    uint8_t ones[64];
    memset(ones, 1, sizeof ones);
    memset(sums, 0, (size_t)groups * sizeof *sums);
    vi sum = vi_zero();
    for (int k = 0, left = group, g = 0; k < w->cols; k += 64, codes += next) {
        sum = vi_dot(sum, vc_load(ones), vc_load((const uint8_t *)codes));
        if (groups == 1) continue;
        vi_store(lanes, sum);
        sum = vi_zero();
        for (int j = 0; j < 16 && g < groups; j++) {
            sums[g] += lanes[j];
            left -= 4;
            if (left) continue;
            left = group;
            g++;
        }
    }
    if (groups > 1) return;
    vi_store(lanes, sum);
    for (int j = 0; j < 16; j++) *sums += lanes[j];
}

static void prepare_bytes(const struct qtensor *w, struct qinput *x, int row, const float *from)
{
    const int cols = w->cols, groups = qtensor_groups(w);
    const float qmax = x->kind == ACTIVATIONS_I16 ? 32639.0f : 127.0f, scale = row_scale(x, from, qmax);
    const struct byte_row to = byte_row_at(w, x, row);
    int32_t *sums = x->code_sums + (size_t)row * 2 * (size_t)groups;
    x->code_scale[row] = scale;
    encode_row(from, cols, scale, qmax, to, (uintptr_t)x->f32 + (size_t)(row + 1) * x->stride * sizeof *from);
    for (int plane = 0; plane < 2; plane++, sums += groups) {
        const int8_t *codes = plane ? to.lo : to.hi;
        if (!codes)
            memset(sums, 0, (size_t)groups * sizeof *sums);
        else if (w->scheme.gran == QG_INPUT)
            *sums = weighted_code_sum(w, codes, to.next);
        else
            group_code_sums(w, codes, to.next, sums);
    }
}

static void prepare_codes(const struct qtensor *w, struct qinput *x, int row, const float *from)
{
#if WIDE_CODES
    if (ISA(formats_table)[w->scheme.format].wide_codes[x->kind]) {
        prepare_wide(w, x, row, from);
        return;
    }
#endif
#if defined(GPT2Q_ISA_avx512vnni)
    if (!PREPARE_AMX && pairs_take(w, x)) {
        prepare_pairs(w, x, row, from);
        return;
    }
#endif
    prepare_bytes(w, x, row, from);
}

void ISA(prepare)(const struct qtensor *w, struct qinput *x, int r0, int r1)
{
    for (int r = r0; r < r1; r++) {
        const float *from = x->f32 + (size_t)r * x->stride;
        if (x->rest) from = take_outliers(x, r, from);
        prepare_floats(w, x, r, &from);
        if (x->kind != ACTIVATIONS_F32) prepare_codes(w, x, r, from);
    }
}
