/* Attention over a cache in blocks of 16 positions.
 *
 * A pool holds blocks. A sequence is a table of block numbers: position t is lane t mod 16 of block
 * table[t / 16]. In the pool of one layer a block holds its heads one after another, and for each head
 *     KV_I16, KV_I8: scales of keys [16] and of values [16], float: one per position and head, max|.| /
 *                    32767 or 127
 *     keys   [head_dim][16]     so that q.k has its lanes over positions
 *     values [16][head_dim]     so that the weighted sum has its lanes over channels
 * in f32, f16, int16 or int8. A quantized cache is always read back, the current token included.
 *
 *     score(t) = (chain of fma over channels in increasing order, from +0) * scale
 *                (with scales: * k_scale(t) before * scale)
 *     m = max over t <= position;  p(t) = exp(score(t) - m);  s = sum of p by the 16-lane rule (lane t mod 16)
 *     y(c) = (chain of fma(p(t), v(t,c), acc) over t = 0..position) / s    (with scales: p(t)*v_scale(t) for p(t))
 *
 * Masked lanes are selected away and never multiplied by zero, because stale memory may hold NaN. */
#ifndef KERNELS_ATTENTION_H
#define KERNELS_ATTENTION_H
#include <stddef.h>
#include <stdint.h>

#define KV_BLOCK 16 /* positions of a block */

enum kv_format { KV_F32, KV_F16, KV_I16, KV_I8, KV_COUNT };

struct kv_view { /* one sequence in one layer */
    enum kv_format format;
    int n_head, head_dim;
    size_t block_bytes;   /* from one block to the next: kv_block_bytes() or more */
    uint8_t *pool;        /* the layer's blocks */
    const int32_t *table; /* block numbers of the sequence */
};

static inline size_t kv_element_bytes(enum kv_format format)
{
    return format == KV_F32 ? 4 : format == KV_I8 ? 1 : 2;
}
/* Of the scales of a head, before its keys. */
static inline size_t kv_scales_bytes(enum kv_format format)
{
    return format == KV_I16 || format == KV_I8 ? 2 * KV_BLOCK * sizeof(float) : 0;
}
static inline size_t kv_head_bytes(enum kv_format format, int head_dim)
{
    return kv_scales_bytes(format) + 2 * (size_t)KV_BLOCK * (size_t)head_dim * kv_element_bytes(format);
}
static inline size_t kv_block_bytes(enum kv_format format, int n_head, int head_dim)
{
    return (size_t)n_head * kv_head_bytes(format, head_dim);
}

/* Keys k and values v (n_rows, head_dim) of positions first_position + r. Rows are `stride` floats apart. */
struct kv_rows {
    const float *k, *v;
    size_t stride;
    int n_rows, first_position;
};

/* Query rows q (n_rows, head_dim) at q + r*q_stride, of positions first_position + r; y likewise. Their
 * keys and values are all cached. */
struct attention_rows {
    const float *q;
    float *y;
    size_t q_stride, y_stride;
    int n_rows, first_position;
    float scale;
};
/* The floats of scratch that attention needs for a cache of n_positions. */
#define ATTENTION_TILE 8 /* query rows that share a pass over the cache */
static inline size_t attention_scratch_floats(int n_positions)
{
    return (size_t)ATTENTION_TILE * (((size_t)n_positions + KV_BLOCK - 1) / KV_BLOCK * KV_BLOCK + KV_BLOCK);
}
#endif
