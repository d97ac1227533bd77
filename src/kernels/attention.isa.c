/* Causal attention over the cache, and appending to it. attention.h has the formulas and the layout.
 *
 * A tile of rows walks the cache in chunks of CHUNK blocks: first scores for all positions, then the
 * softmax, then the values. Within a chunk, a register tile of rows x blocks (scores) or rows x channel
 * vectors (values) fetches each key or value once from memory. The shape of a register tile is free,
 * because every output is one chain of its own. The cache format is a constant of each instance, so the
 * compiler chooses the loads.
 *
 * One row is bound by memory, and its blocks lie apart, so no hardware prefetcher follows. Therefore a
 * block fetches what is used AHEAD blocks later: first keys, then values, then the next head's keys. */
#include "kernels/kernels_parts.isa.h"
#include "kernels/vmath.isa.h"

#define CHUNK                                                                                                \
    4 /* Blocks that all rows of a tile walk together: their keys, or values, fit the first-level cache. */

/* Blocks between fetching and using. Enough to hide memory latency, no more: blocks often map to the same
 * cache sets. */
#define AHEAD 8

/* A register tile: rows at most, and blocks or vectors for that many rows. */
#if VF_REGISTERS >= 32
#define WIDEST       8
#define ACROSS(rows) ((rows) == 8 ? 2 : 4)
#else
#define WIDEST       4
#define ACROSS(rows) (4 / (rows))
#endif

/* ---- the cache, by format ---- */

ALWAYS_INLINE vf load_kv(enum kv_format format, const uint8_t *p)
{
    if (format == KV_F32) return vf_load((const float *)(const void *)p);
    if (format == KV_F16) return vf_load_f16((const uint16_t *)(const void *)p);
    if (format == KV_I16) return vf_load_i16((const int16_t *)(const void *)p);
    return vf_load_i8((const int8_t *)p);
}
ALWAYS_INLINE vf load_kv_n(enum kv_format format, const uint8_t *p, int n)
{
    if (n == 16) return load_kv(format, p);
    if (format == KV_F32) return vf_load_n((const float *)(const void *)p, n);
    if (format == KV_F16) return vf_load_f16_n((const uint16_t *)(const void *)p, n);
    if (format == KV_I16) return vf_load_i16_n((const int16_t *)(const void *)p, n);
    return vf_load_i8_n((const int8_t *)p, n);
}

struct attention_tile {
    const struct kv_view *kv;
    size_t head_offset; /* of the head in a block */
    const float *q;     /* (n_rows, head_dim) */
    float *y;           /* (n_rows, head_dim) */
    size_t q_stride, y_stride, p_stride;
    int n_rows, first_position, n_blocks;
    float scale;
    float *p; /* (n_rows, n_blocks * KV_BLOCK), a row at p + r*p_stride: scores, then probabilities */
};

ALWAYS_INLINE const uint8_t *block_at(const struct attention_tile *w, int block)
{
    return w->kv->pool + (size_t)w->kv->table[block] * w->kv->block_bytes + w->head_offset;
}
ALWAYS_INLINE size_t values_offset(enum kv_format format, int head_dim)
{
    return kv_scales_bytes(format) + (size_t)KV_BLOCK * (size_t)head_dim * kv_element_bytes(format);
}
/* The first byte that block `block` of the keys, or values, fetches. */
ALWAYS_INLINE const uint8_t *block_ahead(enum kv_format format, const struct attention_tile *w, int block,
                                         bool values)
{
    const int n = w->n_blocks, d = w->kv->head_dim, to = block + (n < AHEAD ? n : AHEAD);
    const size_t v = values_offset(format, d);
    if (to < n) return block_at(w, to) + (values ? v : kv_scales_bytes(format));
    return block_at(w, to - n) + (values ? kv_head_bytes(format, d) + kv_scales_bytes(format) : v);
}
/* With scales: those of keys [16], of values [16]. */
ALWAYS_INLINE const float *scales_at(const uint8_t *block) { return (const float *)(const void *)block; }
/* Fetches the scales before the keys at `ahead`. */
ALWAYS_INLINE void fetch_scales(enum kv_format format, const uint8_t *ahead)
{
    for (size_t i = 0; i < kv_scales_bytes(format); i += 64)
        prefetch_far(ahead - kv_scales_bytes(format) + i);
}

/* ---- scores ---- */

/* p[row..row+rows) over the blocks [block, block + across). Blocks from `end` on repeat the last one and
 * are not stored. */
ALWAYS_INLINE void score_tile(enum kv_format format, int rows, int across, const struct attention_tile *w,
                              int row, int block, int end)
{
    const int head_dim = w->kv->head_dim;
    const size_t step = KV_BLOCK * kv_element_bytes(format);
    const uint8_t *key[CHUNK], *ahead[CHUNK];
    vf sum[8][CHUNK];
    for (int j = 0; j < across; j++) {
        int b = block + j < end ? block + j : end - 1;
        key[j] = block_at(w, b) + kv_scales_bytes(format);
        ahead[j] = block_ahead(format, w, b, false);
        if (rows == 1) fetch_scales(format, ahead[j]);
        for (int r = 0; r < rows; r++) sum[r][j] = vf_zero();
    }
    const float *q = w->q + (size_t)row * w->q_stride;
    for (int c = 0; c < head_dim; c++) {
        size_t at = (size_t)c * step;
        vf k[CHUNK];
        for (int j = 0; j < across; j++) k[j] = load_kv(format, key[j] + at);
        if (rows == 1)
            for (int j = 0; j < across; j++) prefetch_far(ahead[j] + at);
        for (int r = 0; r < rows; r++) {
            vf qc = vf_set1(q[(size_t)r * w->q_stride + (size_t)c]);
            for (int j = 0; j < across; j++) sum[r][j] = vf_fma(qc, k[j], sum[r][j]);
        }
    }
    for (int j = 0; j < across && block + j < end; j++)
        for (int r = 0; r < rows; r++) {
            vf s = sum[r][j];
            if (kv_scales_bytes(format)) s = vf_mul(s, vf_load(scales_at(key[j] - kv_scales_bytes(format))));
            vf_store(w->p + (size_t)(row + r) * w->p_stride + (size_t)(block + j) * KV_BLOCK,
                     vf_mul(s, vf_set1(w->scale)));
        }
}

ALWAYS_INLINE void score_rows(enum kv_format format, int rows, const struct attention_tile *w, int row,
                              int block, int end)
{
    for (; block < end; block += ACROSS(rows)) score_tile(format, rows, ACROSS(rows), w, row, block, end);
}

/* ---- softmax ---- */

/* The largest score of the positions that the row sees. */
ALWAYS_INLINE float largest_score(const struct attention_tile *w, int row)
{
    const float *p = w->p + (size_t)row * w->p_stride;
    int n = w->first_position + row + 1, last = (n - 1) / KV_BLOCK, rest = n - last * KV_BLOCK;
    vf lowest = vf_set1(-INFINITY), top = lowest;
    for (int b = 0; b < last; b++) top = vf_max(vf_load(p + b * KV_BLOCK), top);
    return vf_hmax(vf_max(vf_first(rest, vf_load(p + last * KV_BLOCK), lowest), top));
}

/* Turns a row's scores into probabilities before division; `top` is the largest score. Returns their sum.
 * Positions after the row's own are not terms. The values' scales are multiplied in after the sum. */
ALWAYS_INLINE float softmax(enum kv_format format, const struct attention_tile *w, int row, float top)
{
    float *p = w->p + (size_t)row * w->p_stride;
    int n = w->first_position + row + 1, last = (n - 1) / KV_BLOCK, rest = n - last * KV_BLOCK;
    vf largest = vf_set1(top), sum = vf_zero();
    for (int b = 0; b <= last; b++) {
        vf e = vm_exp(vf_sub(vf_load(p + b * KV_BLOCK), largest));
        sum = vf_add(sum, b < last ? e : vf_first(rest, e, vf_zero()));
        if (kv_scales_bytes(format)) e = vf_mul(e, vf_load(scales_at(block_at(w, b)) + KV_BLOCK));
        vf_store(p + b * KV_BLOCK, e);
    }
    return vf_sum(sum);
}

/* ---- values ---- */

/* y[row..row+rows) += p v over positions [t0, t1), from +0 if t0 is 0, for `lanes` channels of each of
 * `across` vectors from channel c on. */
ALWAYS_INLINE void value_tile(enum kv_format format, int rows, int across, const struct attention_tile *w,
                              int row, int t0, int t1, int c, int lanes)
{
    const size_t channel = kv_element_bytes(format), step = (size_t)w->kv->head_dim * channel;
    const size_t offset = values_offset(format, w->kv->head_dim) + (size_t)c * channel;
    const float *p = w->p + (size_t)row * w->p_stride;
    float *y = w->y + (size_t)row * w->y_stride + c;
    vf sum[8][4];
    for (int r = 0; r < rows; r++)
        for (int j = 0; j < across; j++)
            sum[r][j] = t0 ? vf_load_n(y + (size_t)r * w->y_stride + 16 * j, lanes) : vf_zero();
    for (int t = t0; t < t1;) {
        int block = t / KV_BLOCK, stop = (block + 1) * KV_BLOCK < t1 ? (block + 1) * KV_BLOCK : t1;
        const size_t at = (size_t)(t % KV_BLOCK) * step;
        const uint8_t *v = block_at(w, block) + offset + at;
        const uint8_t *ahead = block_ahead(format, w, block, true) + (size_t)c * channel + at;
        for (; t < stop; t++, v += step, ahead += step) {
            vf value[4];
            for (int j = 0; j < across; j++)
                value[j] = load_kv_n(format, v + (size_t)(16 * j) * channel, lanes);
            if (rows == 1)
                for (int j = 0; j < across; j++) prefetch_far(ahead + (size_t)(16 * j) * channel);
            for (int r = 0; r < rows; r++) {
                vf pt = vf_set1(p[(size_t)r * w->p_stride + (size_t)t]);
                for (int j = 0; j < across; j++) sum[r][j] = vf_fma(pt, value[j], sum[r][j]);
            }
        }
    }
    for (int r = 0; r < rows; r++)
        for (int j = 0; j < across; j++) vf_store_n(y + (size_t)r * w->y_stride + 16 * j, sum[r][j], lanes);
}

ALWAYS_INLINE void value_rows(enum kv_format format, int rows, const struct attention_tile *w, int row,
                              int t0, int t1)
{
    int head_dim = w->kv->head_dim, c = 0;
    for (; c + 16 * ACROSS(rows) <= head_dim; c += 16 * ACROSS(rows))
        value_tile(format, rows, ACROSS(rows), w, row, t0, t1, c, 16);
    for (; c + 16 <= head_dim; c += 16) value_tile(format, rows, 1, w, row, t0, t1, c, 16);
    if (c < head_dim) value_tile(format, rows, 1, w, row, t0, t1, c, head_dim - c);
}

/* ---- one tile, one format ---- */

/* Calls f(format, rows, w, row, from, to) for rows 0..n_rows of the tile, as many at a time as a register
 * tile has. */
#if WIDEST == 8
#define BY_EIGHT(f, format, w, row, from, to)                                                                \
    for (; row + 8 <= (w)->n_rows; row += 8) f(format, 8, w, row, from, to)
#else
#define BY_EIGHT(f, format, w, row, from, to)
#endif
#define EACH_ROW(f, format, w, from, to)                                                                     \
    do {                                                                                                     \
        int row_ = 0;                                                                                        \
        BY_EIGHT(f, format, w, row_, from, to);                                                              \
        for (; row_ + 4 <= (w)->n_rows; row_ += 4) f(format, 4, w, row_, from, to);                          \
        for (; row_ + 2 <= (w)->n_rows; row_ += 2) f(format, 2, w, row_, from, to);                          \
        for (; row_ < (w)->n_rows; row_++) f(format, 1, w, row_, from, to);                                  \
    } while (0)

ALWAYS_INLINE void attend(enum kv_format format, const struct attention_tile *w)
{
    float top[ATTENTION_TILE], sum[ATTENTION_TILE];
    for (int b = 0; b < w->n_blocks; b += CHUNK) {
        int end = b + CHUNK < w->n_blocks ? b + CHUNK : w->n_blocks;
        EACH_ROW(score_rows, format, w, b, end);
    }
    for (int r = 0; r < w->n_rows; r++) top[r] = largest_score(w, r);
    for (int r = 0; r < w->n_rows; r++) sum[r] = softmax(format, w, r, top[r]);

    int common = w->first_position + 1; /* positions that all rows of the tile see */
    for (int t = 0; t < common; t += CHUNK * KV_BLOCK) {
        int end = t + CHUNK * KV_BLOCK < common ? t + CHUNK * KV_BLOCK : common;
        EACH_ROW(value_rows, format, w, t, end);
    }
    for (int r = 1; r < w->n_rows; r++) value_rows(format, 1, w, r, common, common + r);

    for (int r = 0; r < w->n_rows; r++) {
        float *y = w->y + (size_t)r * w->y_stride;
        vf total = vf_set1(sum[r]);
        for (int c = 0; c < w->kv->head_dim; c += 16) {
            int lanes = w->kv->head_dim - c < 16 ? w->kv->head_dim - c : 16;
            vf_store_n(y + c, vf_div(vf_load_n(y + c, lanes), total), lanes);
        }
    }
}

static void attend_f32(const struct attention_tile *w) { attend(KV_F32, w); }
static void attend_f16(const struct attention_tile *w) { attend(KV_F16, w); }
static void attend_i16(const struct attention_tile *w) { attend(KV_I16, w); }
static void attend_i8(const struct attention_tile *w) { attend(KV_I8, w); }

void ISA(attention)(const struct kv_view *kv, int head, const struct attention_rows *rows, float *scratch)
{
    static void (*const by_format[KV_COUNT])(const struct attention_tile *) = {attend_f32, attend_f16,
                                                                               attend_i16, attend_i8};
    for (int r = 0; r < rows->n_rows; r += ATTENTION_TILE) {
        struct attention_tile w = {
            .kv = kv,
            .head_offset = (size_t)head * kv_head_bytes(kv->format, kv->head_dim),
            .q = rows->q + (size_t)r * rows->q_stride,
            .y = rows->y + (size_t)r * rows->y_stride,
            .q_stride = rows->q_stride,
            .y_stride = rows->y_stride,
            .n_rows = rows->n_rows - r < ATTENTION_TILE ? rows->n_rows - r : ATTENTION_TILE,
            .first_position = rows->first_position + r,
            .scale = rows->scale,
            .p = scratch,
        };
        w.n_blocks = (w.first_position + w.n_rows - 1) / KV_BLOCK + 1;
        w.p_stride =
            ((size_t)w.n_blocks | 1) * KV_BLOCK; /* an odd number of lines: rows fall into different sets */
        by_format[kv->format](&w);
    }
}
