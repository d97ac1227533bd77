#include "train/product.h"
#include <assert.h>
#include <string.h>

/* Operands are packed into strips as wide as a side of the register tile: [strip][k][width], padded with
 * zeros. Then blocks of C take 256 steps of k at a time. So a strip of B stays in the first-level cache,
 * and a block of A in the second. */
#define K_STEPS 256

struct packed {
    const float *a, *b;
};

size_t product_packed_floats(size_t outer, size_t k) { return (outer + TILE_COLS_MAX) * k; }

/* A whole strip. With a width that the compiler knows a step of k is a few moves of registers. */
static inline __attribute__((always_inline)) void pack_whole(const struct operand *x, const float *from,
                                                             int width, int k, float *out)
{
    if (x->outer == 1)
        for (int i = 0; i < k; i++, from += x->inner, out += width)
            memcpy(out, from, (size_t)width * sizeof *out);
    else
        for (int i = 0; i < k; i++, from++, out += width)
#pragma GCC unroll 32
            for (int r = 0; r < width; r++) out[r] = from[(size_t)r * x->outer];
}

/* The last strip: what it lacks is zeros. */
static void pack_rest(const struct operand *x, const float *from, int count, int width, int k, float *out)
{
    memset(out, 0, (size_t)k * (size_t)width * sizeof *out);
    for (int i = 0; i < k; i++, out += width)
        for (int r = 0; r < count; r++) out[r] = from[(size_t)r * x->outer + (size_t)i * x->inner];
}

static void pack_strip(const struct operand *x, int first, int count, int width, int k, float *out)
{
    const float *from = x->at + (size_t)first * x->outer;
    if (count < width)
        pack_rest(x, from, count, width, k, out);
    else if (width == 32)
        pack_whole(x, from, 32, k, out);
    else if (width == 16)
        pack_whole(x, from, 16, k, out);
    else if (width == 12)
        pack_whole(x, from, 12, k, out);
    else
        pack_whole(x, from, width, k, out);
}

static int strips(int n, int width) { return (n + width - 1) / width; }

/* Packs strip number i. A's strips come first, then B's. */
static void pack(const struct crew *c, const struct product *p, float *a, float *b, int i)
{
    const int rows = c->ops->tile_rows, cols = c->ops->tile_cols, of_a = strips(p->m, rows);
    const bool is_a = i < of_a;
    const int width = is_a ? rows : cols, all = is_a ? p->m : p->n, first = (is_a ? i : i - of_a) * width;
    const int count = all - first < width ? all - first : width;
    pack_strip(is_a ? &p->a : &p->b, first, count, width, p->k,
               (is_a ? a : b) + (size_t)first * (size_t)p->k);
}

/* A tile at the edge of C is computed in a tile of its own. */
static void edge_tile(const struct train_ops *ops, const float *a, const float *b, int k, float *c,
                      size_t ldc, bool fresh, int rows, int cols)
{
    float own[TILE_ROWS_MAX * TILE_COLS_MAX] = {0};
    const size_t stride = (size_t)ops->tile_cols;
    for (int r = 0; r < rows && !fresh; r++)
        memcpy(own + (size_t)r * stride, c + (size_t)r * ldc, (size_t)cols * sizeof *c);
    ops->tile(a, b, k, own, stride, fresh);
    for (int r = 0; r < rows; r++)
        memcpy(c + (size_t)r * ldc, own + (size_t)r * stride, (size_t)cols * sizeof *c);
}

/* Rows [m0, m1) and columns [n0, n1) of C. m0 and n0 are multiples of the tile. */
static void run_block(const struct crew *crew, const struct product *p, struct packed packed, int m0, int m1,
                      int n0, int n1)
{
    const struct train_ops *ops = crew->ops;
    const int rows = ops->tile_rows, cols = ops->tile_cols;
    for (int k0 = 0; k0 < p->k; k0 += K_STEPS) {
        const int k = p->k - k0 < K_STEPS ? p->k - k0 : K_STEPS;
        const bool fresh = k0 == 0 && !p->add;
        for (int n = n0; n < n1; n += cols)
            for (int m = m0; m < m1; m += rows) {
                const float *a = packed.a + (size_t)m * (size_t)p->k + (size_t)k0 * (size_t)rows;
                const float *b = packed.b + (size_t)n * (size_t)p->k + (size_t)k0 * (size_t)cols;
                float *c = p->c + (size_t)m * p->ldc + n;
                const int left_m = m1 - m, left_n = n1 - n;
                if (left_m >= rows && left_n >= cols)
                    ops->tile(a, b, k, c, p->ldc, fresh);
                else
                    edge_tile(ops, a, b, k, c, p->ldc, fresh, left_m < rows ? left_m : rows,
                              left_n < cols ? left_n : cols);
            }
    }
    if (!p->bias) return;
    for (int m = m0; m < m1; m++)
        crew->kernels->add(p->c + (size_t)m * p->ldc + n0, p->bias + n0, (size_t)(n1 - n0));
}

#define BLOCK_ROWS 96 /* multiples of every tile's sides */
#define BLOCK_COLS 128

struct shared_product {
    const struct crew *crew;
    const struct product *p;
};

static void pack_item(void *arg, int64_t item, int thread)
{
    const struct shared_product *s = arg;
    (void)thread;
    pack(s->crew, s->p, s->crew->packed_a, s->crew->packed_b, (int)item);
}

static void block_item(void *arg, int64_t item, int thread)
{
    const struct shared_product *s = arg;
    const struct product *p = s->p;
    const int across = strips(p->n, BLOCK_COLS), m = (int)(item / across) * BLOCK_ROWS,
              n = (int)(item % across) * BLOCK_COLS;
    const struct packed packed = {s->crew->packed_a, s->crew->packed_b};
    (void)thread;
    run_block(s->crew, p, packed, m, m + BLOCK_ROWS < p->m ? m + BLOCK_ROWS : p->m, n,
              n + BLOCK_COLS < p->n ? n + BLOCK_COLS : p->n);
}

void product_run(const struct crew *c, const struct product *p)
{
    struct shared_product s = {c, p};
    assert(product_packed_floats((size_t)p->m, (size_t)p->k) <= c->a_floats &&
           product_packed_floats((size_t)p->n, (size_t)p->k) <= c->b_floats);
    crew_each(c, strips(p->m, c->ops->tile_rows) + strips(p->n, c->ops->tile_cols), pack_item, &s);
    crew_each(c, (int64_t)strips(p->m, BLOCK_ROWS) * strips(p->n, BLOCK_COLS), block_item, &s);
}

void product_run_alone(const struct crew *c, const struct product *p, float *scratch)
{
    float *b = scratch + product_packed_floats((size_t)p->m, (size_t)p->k);
    const int count = strips(p->m, c->ops->tile_rows) + strips(p->n, c->ops->tile_cols);
    for (int i = 0; i < count; i++) pack(c, p, scratch, b, i);
    for (int m = 0; m < p->m; m += BLOCK_ROWS)
        run_block(c, p, (struct packed){scratch, b}, m, m + BLOCK_ROWS < p->m ? m + BLOCK_ROWS : p->m, 0,
                  p->n);
}
