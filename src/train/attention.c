#include "train/attention.h"
#include "train/product.h"
#include <string.h>

#define BLOCK 64 /* rows */

static size_t packed(size_t window, size_t head_dim) /* floats of the largest of the products below */
{
    const size_t k = window > head_dim ? window : head_dim, side = window > BLOCK ? window : BLOCK;
    const size_t over_window = product_packed_floats(BLOCK, k) + product_packed_floats(head_dim, k);
    const size_t over_rows = product_packed_floats(side, BLOCK) + product_packed_floats(head_dim, BLOCK);
    const size_t over_head = product_packed_floats(BLOCK, head_dim) + product_packed_floats(side, head_dim);
    size_t most = over_window > over_rows ? over_window : over_rows;
    return most > over_head ? most : over_head;
}

size_t attention_own_floats(int window, int head_dim)
{
    return packed((size_t)window, (size_t)head_dim) + (size_t)BLOCK * (size_t)window;
}

static int rows_of_block(const struct attention_shape *s, int row)
{
    return s->window - row < BLOCK ? s->window - row : BLOCK;
}

/* Rows [r0, r0 + rows) and columns [0, cols) of a = x y^T, for x and y (T, head_dim). */
static void scores(const struct crew *c, const struct attention_shape *s, const float *x, size_t x_stride,
                   const float *y, size_t y_stride, int rows, int cols, float *out, float *own)
{
    const struct product p = {.m = rows,
                              .n = cols,
                              .k = s->head_dim,
                              .a = rows_of(x, x_stride),
                              .b = rows_of(y, y_stride),
                              .c = out,
                              .ldc = (size_t)s->window};
    product_run_alone(c, &p, own);
}

void attention_forward(const struct crew *c, const struct attention_shape *s, int head, const float *qkv,
                       float *p, float *y, float *own)
{
    const size_t d = (size_t)s->n_head * (size_t)s->head_dim, stride = 3 * d, t = (size_t)s->window;
    const float *q = qkv + (size_t)head * (size_t)s->head_dim, *k = q + d, *v = k + d;
    for (int r0 = 0; r0 < s->window; r0 += BLOCK) {
        const int rows = rows_of_block(s, r0), cols = r0 + rows;
        float *block = p + (size_t)r0 * t;
        scores(c, s, q + (size_t)r0 * stride, stride, k, stride, rows, cols, block, own);
        for (int r = 0; r < rows; r++) {
            float *row = block + (size_t)r * t;
            const size_t n = (size_t)(r0 + r + 1);
            const float shift = c->kernels->row_max(row, n) * s->scale;
            const double sum = c->kernels->row_exp(row, n, s->scale, shift, row);
            c->ops->scale(row, n, (float)(1.0 / sum), row);
            memset(row + n, 0, ((size_t)cols - n) * sizeof *row);
        }
        const struct product out = {.m = rows,
                                    .n = s->head_dim,
                                    .k = cols,
                                    .a = rows_of(block, t),
                                    .b = columns_of(v, stride),
                                    .c = y + (size_t)r0 * d + (size_t)head * (size_t)s->head_dim,
                                    .ldc = d};
        product_run_alone(c, &out, own);
    }
}

void attention_backward(const struct crew *c, const struct attention_shape *s, int head, const float *qkv,
                        const float *p, const float *dy, float *d_qkv, float *own)
{
    const size_t hd = (size_t)s->head_dim, d = (size_t)s->n_head * hd, stride = 3 * d, t = (size_t)s->window;
    const float *q = qkv + (size_t)head * hd, *k = q + d, *v = k + d, *dyh = dy + (size_t)head * hd;
    float *dq = d_qkv + (size_t)head * hd, *dk = dq + d, *dv = dk + d, *ds = own + packed(t, hd);
    for (size_t r = 0; r < t; r++) {
        memset(dk + r * stride, 0, hd * sizeof *dk);
        memset(dv + r * stride, 0, hd * sizeof *dv);
    }
    for (int r0 = 0; r0 < s->window; r0 += BLOCK) {
        const int rows = rows_of_block(s, r0), cols = r0 + rows;
        const float *block = p + (size_t)r0 * t, *dy_block = dyh + (size_t)r0 * d;
        const struct product to_v = {.m = cols,
                                     .n = s->head_dim,
                                     .k = rows,
                                     .a = columns_of(block, t),
                                     .b = columns_of(dy_block, d),
                                     .c = dv,
                                     .ldc = stride,
                                     .add = true};
        product_run_alone(c, &to_v, own);
        scores(c, s, dy_block, d, v, stride, rows, cols, ds, own);
        for (int r = 0; r < rows; r++)
            c->ops->softmax_backward(block + (size_t)r * t, ds + (size_t)r * t, cols, s->scale,
                                     ds + (size_t)r * t);
        const struct product to_q = {.m = rows,
                                     .n = s->head_dim,
                                     .k = cols,
                                     .a = rows_of(ds, t),
                                     .b = columns_of(k, stride),
                                     .c = dq + (size_t)r0 * stride,
                                     .ldc = stride};
        product_run_alone(c, &to_q, own);
        const struct product to_k = {.m = cols,
                                     .n = s->head_dim,
                                     .k = rows,
                                     .a = columns_of(ds, t),
                                     .b = columns_of(q + (size_t)r0 * stride, stride),
                                     .c = dk,
                                     .ldc = stride,
                                     .add = true};
        product_run_alone(c, &to_k, own);
    }
}
