/* Appends a key and a value to the cache. The key goes down a column of its block ([head_dim][16]), the
 * value along a row.
 *
 * KV_F16 rounds to nearest even. KV_I16 and KV_I8: with most = 32767 or 127, scale = max|x| / most and
 * code = rint(x / scale), clamped to -most..most, since a subnormal scale is inexact. With scale 0 the codes are 0. If a value is not finite,
 * neither is the scale, so that later steps notice it. */
#include "kernels/kernels_parts.isa.h"

static void append_f32(float *keys, float *value_row, int head_dim, const float *k, const float *v)
{
    for (int c = 0; c < head_dim; c++) keys[c * KV_BLOCK] = k[c];
    memcpy(value_row, v, (size_t)head_dim * sizeof *v);
}

static void append_f16(uint16_t *x, int step, int head_dim, const float *from)
{
    uint16_t part[16];
    for (int c = 0; c < head_dim; c += 16) {
        int n = head_dim - c < 16 ? head_dim - c : 16;
        vf_store_f16(part, vf_load_n(from + c, n));
        for (int i = 0; i < n; i++) x[(c + i) * step] = part[i];
    }
}

/* Returns the scale. */
ALWAYS_INLINE float append_codes(enum kv_format format, void *x, int step, int head_dim, const float *from)
{
    const float most = format == KV_I16 ? 32767.0f : 127.0f;
    vf top = vf_zero(), bad = vf_zero();
    for (int c = 0; c < head_dim; c += 16) {
        vf a = vf_load_n(from + c, head_dim - c < 16 ? head_dim - c : 16);
        top = vf_max(vf_abs(a), top);
        bad = vf_add(bad, vf_sub(a, a)); /* +0, or NaN */
    }
    float scale = vf_hmax(top) / most + vf_sum(bad);
    vf divisor = vf_set1(scale), limit = vf_set1(most);
    int32_t part[16];
    for (int c = 0; c < head_dim; c += 16) {
        int n = head_dim - c < 16 ? head_dim - c : 16;
        vf code = vf_zero();
        if (scale > 0.0f) code = vf_rint(vf_div(vf_load_n(from + c, n), divisor));
        vi_store(part, vf_to_int(vf_min(vf_max(code, vf_neg(limit)), limit)));
        for (int i = 0; i < n; i++)
            if (format == KV_I16)
                ((int16_t *)x)[(c + i) * step] = (int16_t)part[i];
            else
                ((int8_t *)x)[(c + i) * step] = (int8_t)part[i];
    }
    return scale;
}

/* With several rows: rows between fetching and appending. */
#define ROWS_AHEAD 8

/* Fetches what another thread may have written. The rows after the last one probably follow, as those of the next call; where they
 * do not, the address may be none. */
ALWAYS_INLINE void fetch_row(const float *x, size_t rows_ahead_floats, int n)
{
    const uintptr_t at = (uintptr_t)x + rows_ahead_floats * sizeof *x;
    for (int c = 0; c < n; c += 16) prefetch((const void *)(at + (size_t)c * sizeof *x));
}

ALWAYS_INLINE void append_row(const struct kv_view *kv, uint8_t *block, int lane, const float *k,
                              const float *v)
{
    const int d = kv->head_dim;
    if (kv->format == KV_F32) {
        float *x = (float *)(void *)block;
        append_f32(x + lane, x + (KV_BLOCK + lane) * d, d, k, v);
    } else if (kv->format == KV_F16) {
        uint16_t *x = (uint16_t *)(void *)block;
        append_f16(x + lane, KV_BLOCK, d, k);
        append_f16(x + (KV_BLOCK + lane) * d, 1, d, v);
    } else if (kv->format == KV_I16) {
        float *scales = (float *)(void *)block;
        int16_t *x = (int16_t *)(void *)(block + kv_scales_bytes(KV_I16));
        scales[lane] = append_codes(KV_I16, x + lane, KV_BLOCK, d, k);
        scales[KV_BLOCK + lane] = append_codes(KV_I16, x + (KV_BLOCK + lane) * d, 1, d, v);
    } else {
        float *scales = (float *)(void *)block;
        int8_t *x = (int8_t *)(block + kv_scales_bytes(KV_I8));
        scales[lane] = append_codes(KV_I8, x + lane, KV_BLOCK, d, k);
        scales[KV_BLOCK + lane] = append_codes(KV_I8, x + (KV_BLOCK + lane) * d, 1, d, v);
    }
}

void ISA(kv_append)(const struct kv_view *kv, int head, const struct kv_rows *rows)
{
    const size_t head_bytes = kv_head_bytes(kv->format, kv->head_dim);
    for (int r = 0; r < rows->n_rows; r++) {
        const int position = rows->first_position + r;
        const float *k = rows->k + (size_t)r * rows->stride, *v = rows->v + (size_t)r * rows->stride;
        uint8_t *block =
            kv->pool + (size_t)kv->table[position / KV_BLOCK] * kv->block_bytes + (size_t)head * head_bytes;
        /* A key touches one line per channel. One row: the lines of the next head, which probably follows,
         * are fetched early. Several rows: those of the next rows are fetched. */
        if (rows->n_rows == 1)
            for (size_t i = 0; i < head_bytes / 2; i += 64) prefetch_far(block + head_bytes + i);
        else {
            fetch_row(k, ROWS_AHEAD * rows->stride, kv->head_dim);
            fetch_row(v, ROWS_AHEAD * rows->stride, kv->head_dim);
        }
        append_row(kv, block, position % KV_BLOCK, k, v);
    }
}
