/* The products of code_matmul.isa.h, by its formulas, with the register tiles of AMX, which sum 16 rows times 16
 * outputs over 64 inputs in one instruction. Instantiated by the *.dot.isa.c of formats with codes
 * through the constant `bits`.
 *
 * The four tiles of sums are
 *     few byte rows, at most 16       the rows, those of low bytes after those of high ones, times all four
 *                                     vectors of a panel's outputs
 *     more                            16 tokens' planes, or 32 tokens of i8, times two vectors
 *
 * Codes of 8 bits are read where they lie; a copy side by side would load no faster. Smaller codes become bytes first,
 * one stretch of inputs at a time. All tokens take a stretch before the next one. A stretch is some whole groups, or a
 * part of one; then its sums go on in memory. For the most used schemes the bytes are signed, so that sums begin with
 * zero. */
#ifndef QTENSOR_AMX_MATMUL_H
#define QTENSOR_AMX_MATMUL_H
#include "kernels/amx.h"
#include "qtensor/amx_input.isa.h"
#include "qtensor/code_matmul.isa.h"

#define AMX_TOKENS        256  /* at most; as many sums are held */
#define AMX_STRETCH_BYTES 8192 /* of codes */

/* The sums of a block of tokens: [tile][row][16]. */
struct amx_sums {
    int32_t tile[4][AMX_ROWS * 16];
};

/* Every step fetches some lines ahead. They are those of the next panel. Few rows wait for memory; for them the lines
 * are those that are needed soon. */
struct amx_ahead {
    const uint8_t *at;
    int lines;
};

/* A panel's product, for `n` tokens; and what its stretches share. */
struct amx_panel {
    const struct tile *t;
    int n, step; /* inputs that a tile takes */
    struct amx_ahead ahead;
    _Alignas(64) uint8_t codes[AMX_STRETCH_BYTES]; /* of a stretch: [inputs/4][vectors][16][4] */
    struct amx_sums sums[AMX_TOKENS / AMX_ROWS];
    vf totals[AMX_TOKENS * VECTORS]; /* [tokens][vectors], of groups */
};

/* A stretch: inputs [k0, k0 + count * inputs) times the vectors from v0 on. It is `count` whole groups from `group` on,
 * or a part of one. */
struct amx_stretch {
    int v0, k0, group, count, inputs;
    bool begins, ends; /* the group, or groups */
    const uint8_t *codes;
    size_t codes_stride; /* from four inputs to the next */
};

/* Tokens whose sums are four tiles. */
struct amx_block {
    int token, tokens;
    int rows[2];        /* of both tiles of activations; few: of the one */
    const int8_t *x[2]; /* their first inputs */
};

/* ---- the sums of a block ---- */

/* What a call of amx_products multiplies: inputs [k, k + inputs) of a block's tokens by a stretch's codes. */
struct amx_factors {
    const int8_t *x0, *x1; /* input 0 */
    const uint8_t *codes;
    size_t codes_stride, codes_step;
    int k, inputs, step;
};

#define AMX_PRODUCT(c, a, b)                                                                                 \
    if (is_signed)                                                                                           \
        AMX_DOT_SIGNED(c, a, b);                                                                             \
    else                                                                                                     \
        AMX_DOT(c, a, b);

/* Adds the products to the sums, or begins with them. */
ALWAYS_INLINE void amx_products(struct amx_sums *sums, bool begins, const struct amx_factors *f,
                                struct amx_ahead *given, const bool few, const bool is_signed, const int bits)
{
    const int8_t *x0 = f->x0, *x1 = f->x1;
    const uint8_t *codes = f->codes;
    const size_t codes_stride = f->codes_stride, codes_step = f->codes_step;
    const int step = f->step, end = f->k + f->inputs;
    struct amx_ahead ahead = *given;
    if (begins) {
        AMX_ZERO(0);
        AMX_ZERO(1);
        AMX_ZERO(2);
        AMX_ZERO(3);
    } else {
        AMX_LOAD(0, sums->tile[0], 64);
        AMX_LOAD(1, sums->tile[1], 64);
        AMX_LOAD(2, sums->tile[2], 64);
        AMX_LOAD(3, sums->tile[3], 64);
    }
    for (int k = f->k; k < end; k += step, codes += codes_step) {
        const size_t at = (size_t)(k / 64) * AMX_TILE_BYTES + (size_t)(k % 64);
        for (int line = 0; line < ahead.lines; line++, ahead.at += 64)
            if (few && LAYOUT_BITS(bits) == 8)
                prefetch(ahead.at);
            else
                prefetch_far(ahead.at);
        AMX_LOAD(4, x0 + at, 64);
        if (few) {
            AMX_LOAD(5, codes, codes_stride);
            AMX_PRODUCT(0, 4, 5)
            AMX_LOAD(6, codes + 64, codes_stride);
            AMX_PRODUCT(1, 4, 6)
            AMX_LOAD(7, codes + 128, codes_stride);
            AMX_PRODUCT(2, 4, 7)
            AMX_LOAD(5, codes + 192, codes_stride);
            AMX_PRODUCT(3, 4, 5)
        } else {
            AMX_LOAD(6, codes, codes_stride);
            AMX_LOAD(7, codes + 64, codes_stride);
            AMX_PRODUCT(0, 4, 6)
            AMX_PRODUCT(1, 4, 7)
            AMX_LOAD(5, x1 + at, 64);
            AMX_PRODUCT(2, 5, 6)
            AMX_PRODUCT(3, 5, 7)
        }
    }
    AMX_STORE(0, sums->tile[0], 64);
    AMX_STORE(1, sums->tile[1], 64);
    AMX_STORE(2, sums->tile[2], 64);
    AMX_STORE(3, sums->tile[3], 64);
    *given = ahead;
}

typedef void amx_products_fn(struct amx_sums *sums, bool begins, const struct amx_factors *f,
                             struct amx_ahead *ahead);
#define AMX_PRODUCTS(name, few, is_signed, bits)                                                             \
    static __attribute__((noinline)) void name(struct amx_sums *sums, bool begins,                           \
                                               const struct amx_factors *f, struct amx_ahead *ahead)         \
    {                                                                                                        \
        amx_products(sums, begins, f, ahead, few, is_signed, bits);                                          \
    }

/* Sums of group g that are complete, of a block's tokens and the vectors from v0 on. */
struct amx_done {
    const struct amx_sums *sums;
    struct amx_block block;
    int group, v0;
};

/* Complete sums become outputs. Sums of a group go into the tokens' totals. */
ALWAYS_INLINE void amx_finish(struct amx_panel *p, const struct amx_done *d, enum qgran gran, enum qgrid grid,
                              int group, const int bits, const bool two_planes, const bool few,
                              const bool is_signed)
{
    const int vectors = few ? VECTORS : 2, g = d->group, v0 = d->v0, tokens = d->block.tokens;
    const int first_rows = d->block.rows[0];
    struct tile_copy copy;
    struct params q[VECTORS];
    tile_copied(&copy, p->t);
    struct tile *t = &copy.t;
    copy.w.scheme.gran = gran;
    copy.w.scheme.grid = grid;
    t->group = group;
    t->row += d->block.token;
    t->y += (size_t)d->block.token * t->y_stride;
    vf *total = p->totals + d->block.token * vectors;
    const int32_t *hi = d->sums->tile[0], *lo = few ? hi + 16 * tokens : d->sums->tile[2];
    for (int v = 0; v < vectors; v++) q[v] = product_params_at(t, g, v0 + v, bits);
    for (int r = 0; r < tokens; r++, hi += 16, lo += 16, total += vectors) {
        const int row = two_planes ? 2 * r : r;
        if (!few && !two_planes && r == first_rows) hi = d->sums->tile[2];
        for (int v = 0; v < vectors; v++) {
            vi s_hi = vi_load(hi + v * AMX_ROWS * 16),
               s_lo = two_planes ? vi_load(lo + v * AMX_ROWS * 16) : s_hi;
            if (!is_signed) {
                s_hi = vi_add(s_hi, first_sum(t, g, row, v0 + v, two_planes, bits));
                if (two_planes) s_lo = vi_add(s_lo, first_sum(t, g, row + 1, v0 + v, true, bits));
            }
            vf a = gran == QG_GROUP ? total[v] : vf_zero();
            finish_sum(t, g, r, s_hi, s_lo, two_planes, q[v], &a);
            if (gran == QG_GROUP)
                total[v] = a;
            else
                store_total(t, r, v0 + v, a);
        }
    }
}

typedef void amx_finish_fn(struct amx_panel *p, const struct amx_done *d);

/* ---- the codes of a stretch ---- */

/* Bytes of smaller codes. */
ALWAYS_INLINE void amx_fill(uint8_t *to, const struct amx_stretch *s, int vectors, bool is_signed,
                            const int bits)
{
    const uint8_t *codes = s->codes;
    const vc half = vc_fill(is_signed ? PRODUCT_HALF(bits) : 0);
    const int inputs = s->count * s->inputs;
#define FILL_QUAD(q)                                                                                         \
    for (int v = 0; v < vectors; v++, to += 64)                                                              \
        vc_store(to, vc_sub(quad_stored(codes + 64 * v, q, bits), half));
    for (int k = 0; k < inputs; k += LAYOUT_INPUTS(bits), codes += LAYOUT_STEP(bits)) {
        EACH_QUAD(bits, FILL_QUAD)
    }
}

/* The stretch from k0 on. */
ALWAYS_INLINE struct amx_stretch amx_stretch_at(const struct amx_panel *p, int v0, int k0, const int bits,
                                                const bool few)
{
    const struct tile *t = p->t;
    const int group = t->group, cols = t->w->cols, at = k0 % group;
    const int room = AMX_STRETCH_BYTES / 16 / (few ? VECTORS : 2) / p->step * p->step;
    const int most = LAYOUT_BITS(bits) == 8 ? cols : room, left = group - at;
    struct amx_stretch s = {.v0 = v0, .k0 = k0, .group = k0 / group, .count = 1, .begins = !at};
    s.inputs = left < most ? left : most;
    s.ends = at + s.inputs == group;
    if (s.begins && s.ends) s.count = most / group < t->groups - s.group ? most / group : t->groups - s.group;
    s.codes = t->w->codes + (size_t)t->panel * t->w->panel_bytes + LAYOUT_BYTES(k0, bits) + 64 * (size_t)v0;
    s.codes_stride = 4 * PANEL;
    return s;
}

/* ---- a panel ---- */

/* The tokens from `token` on; configures the tiles for them where they were not. */
ALWAYS_INLINE struct amx_block amx_block_at(const struct amx_panel *p, int token, int configured[2],
                                            const bool two_planes, const bool few)
{
    const int most = few || two_planes ? AMX_ROWS : 2 * AMX_ROWS, left = p->n - token;
    const int row = p->t->row + token;
    struct amx_block b = {.token = token, .tokens = left < most ? left : most};
    b.rows[0] = b.rows[1] = few && two_planes ? 2 * b.tokens : b.tokens < AMX_ROWS ? b.tokens : AMX_ROWS;
    b.x[0] = b.x[1] = amx_codes(p->t->x, row, false);
    if (two_planes) {
        b.x[1] = amx_codes(p->t->x, row, true);
    } else if (b.tokens > AMX_ROWS) { /* else the first rows are computed twice */
        b.rows[1] = b.tokens - AMX_ROWS;
        b.x[1] = amx_codes(p->t->x, row + AMX_ROWS, false);
    }
    if (configured[0] != b.rows[0] || configured[1] != b.rows[1]) {
        configured[0] = b.rows[0], configured[1] = b.rows[1];
        amx_configure(b.rows[0], b.rows[1], p->step, !few);
    }
    return b;
}

/* Complete sums are finished after the next products have begun, because those need no vector registers. */
ALWAYS_INLINE void amx_stretch_run(struct amx_panel *p, const struct amx_stretch *s, int configured[2],
                                   amx_products_fn *products, amx_finish_fn *finish, const bool two_planes,
                                   const bool few)
{
    struct amx_factors f = {.codes_stride = s->codes_stride,
                            .codes_step = (size_t)(p->step / 4) * s->codes_stride,
                            .inputs = s->inputs,
                            .step = p->step};
    const bool whole = s->begins && s->ends;
    struct amx_done done[2];
    int n_done = 0;
    for (int token = 0, block = 0; token < p->n; block++) {
        const struct amx_block b = amx_block_at(p, token, configured, two_planes, few);
        f.codes = s->codes;
        f.x0 = b.x[0];
        f.x1 = b.x[1];
        f.k = s->k0;
        for (int i = 0; i < s->count; i++) {
            struct amx_sums *sums = &p->sums[whole ? n_done % 2 : block];
            products(sums, s->begins, &f, &p->ahead);
            f.k += s->inputs;
            f.codes += (size_t)(s->inputs / 4) * s->codes_stride;
            if (!s->ends) continue;
            done[n_done % 2] = (struct amx_done){sums, b, s->group + i, s->v0};
            if (n_done++) finish(p, &done[n_done % 2]);
        }
        token += b.tokens;
    }
    if (n_done) finish(p, &done[(n_done - 1) % 2]);
}

ALWAYS_INLINE void amx_panel_run(const struct tile *given, int n, amx_products_fn *products,
                                 amx_finish_fn *finish, bool is_signed, const int bits, const bool two_planes,
                                 const bool few)
{
    struct tile_copy copy;
    struct amx_panel p;
    const int vectors = few ? VECTORS : 2, cols = given->w->cols;
    const int most = few || two_planes ? AMX_ROWS : 2 * AMX_ROWS;
    const bool grouped = given->w->scheme.gran == QG_GROUP;
    int configured[2] = {0, 0};
    p.t = tile_copied(&copy, given);
    p.n = n;
    p.step = amx_inputs(given->group);
    const int steps = VECTORS / vectors * ((n + most - 1) / most) * (cols / p.step);
    p.ahead.at = given->w->codes + (size_t)given->panel * given->w->panel_bytes;
    p.ahead.at += few && LAYOUT_BITS(bits) == 8 ? AHEAD_BYTES : given->w->panel_bytes;
    p.ahead.lines = ((int)(given->w->panel_bytes / 64) + steps - 1) / steps;
    for (int v0 = 0; v0 < VECTORS; v0 += vectors) {
        if (grouped)
            for (int i = 0; i < n * vectors; i++) p.totals[i] = vf_zero();
        for (int k0 = 0; k0 < cols;) {
            struct amx_stretch s = amx_stretch_at(&p, v0, k0, bits, few);
            k0 += s.count * s.inputs;
            if (LAYOUT_BITS(bits) < 8) {
                amx_fill(p.codes, &s, vectors, is_signed, bits);
                s.codes = p.codes;
                s.codes_stride = 64 * (size_t)vectors;
            }
            amx_stretch_run(&p, &s, configured, products, finish, two_planes, few);
        }
        for (int i = 0; grouped && i < n * vectors; i++)
            store_total(p.t, i / vectors, v0 + i % vectors, p.totals[i]);
    }
}

/* All tokens of a tile: one instance for each kind of activations, for few and for many. The end of a sum is
 * a function of its own for the schemes that are used most. */
#define AMX_FINISH(name, gran, grid, bits, two_planes, few, is_signed)                                       \
    static __attribute__((noinline)) void name(struct amx_panel *p, const struct amx_done *d)                \
    {                                                                                                        \
        /* what is constant for the compiler: that sums are small */                                         \
        if (p->t->group <= 512)                                                                              \
            amx_finish(p, d, gran, grid, 512, bits, two_planes, few, is_signed);                             \
        else                                                                                                 \
            amx_finish(p, d, gran, grid, p->t->group, bits, two_planes, few, is_signed);                     \
    }
#define AMX_INSTANCE(name, bits, two_planes, few)                                                            \
    AMX_FINISH(name##_channel, QG_CHANNEL, QGRID_ABSMAX, bits, two_planes, few, LAYOUT_BITS(bits) < 8)       \
    AMX_FINISH(name##_group, QG_GROUP, QGRID_ABSMAX, bits, two_planes, few, LAYOUT_BITS(bits) < 8)           \
    AMX_FINISH(name##_other, p->t->w->scheme.gran, p->t->w->scheme.grid, bits, two_planes, few, false)       \
    AMX_PRODUCTS(name##_products, few, false, bits)                                                          \
    AMX_PRODUCTS(name##_products_signed, few, LAYOUT_BITS(bits) < 8, bits)                                   \
    static void name(const struct tile *t, int n)                                                            \
    {                                                                                                        \
        const struct scheme s = t->w->scheme;                                                                \
        const bool channel = scheme_zero(s) == QZERO_NONE && s.gran == QG_CHANNEL;                           \
        const bool group = scheme_zero(s) == QZERO_NONE && s.gran == QG_GROUP, often = channel || group;     \
        amx_panel_run(t, n, often ? name##_products_signed : name##_products,                                \
                      channel ? name##_channel                                                               \
                      : group ? name##_group                                                                 \
                              : name##_other,                                                                \
                      often, bits, two_planes, few);                                                         \
    }
#define AMX_TILE(bits)                                                                                       \
    AMX_INSTANCE(amx_i16_few, bits, true, true)                                                              \
    AMX_INSTANCE(amx_i16_many, bits, true, false)                                                            \
    AMX_INSTANCE(amx_i8_few, bits, false, true)                                                              \
    AMX_INSTANCE(amx_i8_many, bits, false, false)

#define AMX_MATMUL(w, x, y, y_stride, p0, p1)                                                                \
    do {                                                                                                     \
        const bool i16 = (x)->kind == ACTIVATIONS_I16, few = amx_few(x);                                     \
        for_tiles(w, x, y, y_stride, p0, p1, AMX_TOKENS, 2 * AMX_ROWS,                                       \
                  i16   ? few ? amx_i16_few : amx_i16_many                                                   \
                  : few ? amx_i8_few                                                                         \
                        : amx_i8_many);                                                                      \
        amx_release();                                                                                       \
    } while (0)
#endif
