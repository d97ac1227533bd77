/* The products of code_matmul.h, by its formulas, with the register tiles of AMX, which sum 16 rows times 16
 * outputs over 64 inputs in one instruction. Instantiated by i8.dot.isa.c and i4.dot.isa.c through the constant
 * `bits`.
 *
 * The four tiles of sums are
 *     few byte rows, at most 16       the rows, those of low bytes after those of high ones, times all four
 *                                     vectors of a panel's outputs
 *     more                            16 tokens' planes, or 32 tokens of i8, times two vectors
 *
 * A stretch of inputs of these vectors is multiplied by all tokens before the next: it is copied, or made of
 * nibbles, into memory of the first level; only few rows take int8 codes where they lie. A stretch is some
 * whole groups, or a part of one, whose sums go on in memory. */
#ifndef QUANT_AMX_MATMUL_H
#define QUANT_AMX_MATMUL_H
#include "kernels/amx.h"
#include "quant/amx_input.h"
#include "quant/code_matmul.h"

#define AMX_TOKENS        256   /* at most; as many sums are held */
#define AMX_STRETCH_BYTES 32768 /* of codes */

/* The sums of a block of tokens: [tile][row][16]. */
struct amx_sums {
    int32_t tile[4][AMX_ROWS * 16];
};

/* What is fetched meanwhile, some lines with every step: the next panel. */
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
    vf totals[AMX_TOKENS][VECTORS];
};

/* Inputs [k0, k0 + count * inputs), `count` whole groups from `group` on or a part of one, times vectors from
 * v0 on. */
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

/* Adds the products to the sums, or begins with them. */
ALWAYS_INLINE void amx_products(struct amx_sums *sums, bool begins, const struct amx_factors *f,
                                struct amx_ahead *given, const bool few)
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
        for (int line = 0; line < ahead.lines; line++, ahead.at += 64) prefetch_far(ahead.at);
        AMX_LOAD(4, x0 + at, 64);
        if (few) {
            AMX_LOAD(5, codes, codes_stride);
            AMX_DOT(0, 4, 5);
            AMX_LOAD(6, codes + 64, codes_stride);
            AMX_DOT(1, 4, 6);
            AMX_LOAD(7, codes + 128, codes_stride);
            AMX_DOT(2, 4, 7);
            AMX_LOAD(5, codes + 192, codes_stride);
            AMX_DOT(3, 4, 5);
        } else {
            AMX_LOAD(6, codes, codes_stride);
            AMX_LOAD(7, codes + 64, codes_stride);
            AMX_DOT(0, 4, 6);
            AMX_DOT(1, 4, 7);
            AMX_LOAD(5, x1 + at, 64);
            AMX_DOT(2, 5, 6);
            AMX_DOT(3, 5, 7);
        }
    }
    AMX_STORE(0, sums->tile[0], 64);
    AMX_STORE(1, sums->tile[1], 64);
    AMX_STORE(2, sums->tile[2], 64);
    AMX_STORE(3, sums->tile[3], 64);
    *given = ahead;
}

static __attribute__((noinline)) void amx_products_few(struct amx_sums *sums, bool begins,
                                                       const struct amx_factors *f, struct amx_ahead *ahead)
{
    amx_products(sums, begins, f, ahead, true);
}

static __attribute__((noinline)) void amx_products_many(struct amx_sums *sums, bool begins,
                                                        const struct amx_factors *f, struct amx_ahead *ahead)
{
    amx_products(sums, begins, f, ahead, false);
}

/* Sums of group g that are complete, of a block's tokens and the vectors from v0 on. */
struct amx_done {
    const struct amx_sums *sums;
    struct amx_block block;
    int group, v0;
};

/* They become the tokens' totals, after the last group outputs. */
ALWAYS_INLINE void amx_finish(struct amx_panel *p, const struct amx_done *d, enum qgran gran,
                              enum qmethod method, const int bits, const bool two_planes, const bool few)
{
    const int vectors = few ? VECTORS : 2, g = d->group, v0 = d->v0, tokens = d->block.tokens;
    const int first_rows = d->block.rows[0];
    struct tile_copy copy;
    struct params q[VECTORS];
    tile_copied(&copy, p->t);
    struct tile *t = &copy.t;
    copy.w.scheme.gran = gran;
    copy.w.scheme.method = method;
    t->row += d->block.token;
    t->y += (size_t)d->block.token * t->y_stride;
    const bool last = g + 1 == t->groups;
    vf(*totals)[VECTORS] = p->totals + d->block.token;
    for (int v = 0; v < vectors; v++) q[v] = params_at(t, g, v0 + v);
    for (int r = 0; r < tokens; r++) {
        const bool second = !few && !two_planes && r >= first_rows;
        const int32_t *hi = d->sums->tile[second ? 2 : 0] + 16 * (second ? r - first_rows : r);
        const int32_t *lo = few ? d->sums->tile[0] + 16 * (tokens + r) : d->sums->tile[2] + 16 * r;
        const int row = two_planes ? 2 * r : r;
        for (int v = 0; v < vectors; v++, hi += AMX_ROWS * 16, lo += AMX_ROWS * 16) {
            vi s_hi = vi_add(vi_load(hi), first_sum(t, g, row, v0 + v, two_planes, bits)), s_lo = s_hi;
            if (two_planes) s_lo = vi_add(vi_load(lo), first_sum(t, g, row + 1, v0 + v, true, bits));
            vf total = gran == QG_GROUP && g ? totals[r][v] : vf_zero();
            finish_sum(t, g, r, s_hi, s_lo, two_planes, q[v], &total);
            if (gran == QG_GROUP && !last)
                totals[r][v] = total;
            else
                store_total(t, r, v0 + v, total);
        }
    }
}

typedef void amx_finish_fn(struct amx_panel *p, const struct amx_done *d);

/* ---- the codes of a stretch ---- */

ALWAYS_INLINE void amx_fill(uint8_t *to, const struct amx_stretch *s, const int bits, const int vectors)
{
    const uint8_t *codes = s->codes;
    for (int k = 0; k < s->count * s->inputs; k += bits == 8 ? 4 : 8, codes += PANEL * 4) {
        for (int v = 0; v < vectors; v++) {
            vc u = vc_load(codes + 64 * v);
            vc_store(to + 64 * v, bits == 8 ? u : vc_low(u));
            if (bits == 4) vc_store(to + 64 * (vectors + v), vc_high(u));
        }
        to += 64 * vectors * (bits == 8 ? 1 : 2);
    }
}

/* The stretch from k0 on. */
ALWAYS_INLINE struct amx_stretch amx_stretch_at(const struct amx_panel *p, int v0, int k0, const int bits,
                                                const bool few)
{
    const struct tile *t = p->t;
    const int group = t->group, cols = t->w->cols, at = k0 % group;
    const int room = AMX_STRETCH_BYTES / 16 / (few ? VECTORS : 2) / p->step * p->step;
    const int most = few && bits == 8 ? cols : room, left = group - at;
    struct amx_stretch s = {.v0 = v0, .k0 = k0, .group = k0 / group, .count = 1, .begins = !at};
    s.inputs = left < most ? left : most;
    s.ends = at + s.inputs == group;
    if (s.begins && s.ends) s.count = most / group < t->groups - s.group ? most / group : t->groups - s.group;
    s.codes = t->w->codes + (size_t)t->panel * t->w->panel_bytes + (size_t)k0 * (bits == 8 ? PANEL : PANEL / 2) +
              64 * (size_t)v0;
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

/* What is complete is finished after the next products have begun, which do not need the vector registers. */
ALWAYS_INLINE void amx_stretch_run(struct amx_panel *p, const struct amx_stretch *s, int configured[2],
                                   amx_finish_fn *finish, const bool two_planes, const bool few)
{
    struct amx_factors f = {.codes_stride = s->codes_stride, .codes_step = (size_t)(p->step / 4) * s->codes_stride,
                            .inputs = s->inputs, .step = p->step};
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
            (few ? amx_products_few : amx_products_many)(sums, s->begins, &f, &p->ahead);
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

ALWAYS_INLINE void amx_panel_run(const struct tile *given, int n, amx_finish_fn *finish, const int bits,
                                 const bool two_planes, const bool few)
{
    struct tile_copy copy;
    struct amx_panel p;
    const int vectors = few ? VECTORS : 2, cols = given->w->cols;
    const int most = few || two_planes ? AMX_ROWS : 2 * AMX_ROWS;
    int configured[2] = {0, 0};
    p.t = tile_copied(&copy, given);
    p.n = n;
    p.step = amx_inputs(given->group);
    const int steps = VECTORS / vectors * ((n + most - 1) / most) * (cols / p.step);
    p.ahead.at = given->w->codes + (size_t)(given->panel + 1) * given->w->panel_bytes;
    p.ahead.lines = ((int)(given->w->panel_bytes / 64) + steps - 1) / steps;
    for (int v0 = 0; v0 < VECTORS; v0 += vectors)
        for (int k0 = 0; k0 < cols;) {
            struct amx_stretch s = amx_stretch_at(&p, v0, k0, bits, few);
            k0 += s.count * s.inputs;
            if (!few || bits == 4) {
                amx_fill(p.codes, &s, bits, vectors);
                s.codes = p.codes;
                s.codes_stride = 64 * (size_t)vectors;
            }
            amx_stretch_run(&p, &s, configured, finish, two_planes, few);
        }
}

/* All tokens of a tile: one instance for each kind of activations, for few and for many. The end of a sum is
 * a function of its own for the schemes that are used most. */
#define AMX_FINISH(name, bits, two_planes, few)                                                              \
    static __attribute__((noinline)) void name##_channel(struct amx_panel *p, const struct amx_done *d)      \
    {                                                                                                        \
        amx_finish(p, d, QG_CHANNEL, QM_ABSMAX, bits, two_planes, few);                                      \
    }                                                                                                        \
    static __attribute__((noinline)) void name##_group(struct amx_panel *p, const struct amx_done *d)        \
    {                                                                                                        \
        amx_finish(p, d, QG_GROUP, QM_ABSMAX, bits, two_planes, few);                                        \
    }                                                                                                        \
    static __attribute__((noinline)) void name##_other(struct amx_panel *p, const struct amx_done *d)        \
    {                                                                                                        \
        amx_finish(p, d, p->t->w->scheme.gran, p->t->w->scheme.method, bits, two_planes, few);               \
    }                                                                                                        \
    static void name(const struct tile *t, int n)                                                            \
    {                                                                                                        \
        const struct scheme s = t->w->scheme;                                                                \
        amx_finish_fn *finish = s.method != QM_ABSMAX ? name##_other                                         \
                                : s.gran == QG_GROUP  ? name##_group                                         \
                                : s.gran == QG_CHANNEL ? name##_channel                                      \
                                                       : name##_other;                                       \
        amx_panel_run(t, n, finish, bits, two_planes, few);                                                  \
    }
#define AMX_TILE(bits)                                                                                       \
    AMX_FINISH(amx_i16_few, bits, true, true)                                                                \
    AMX_FINISH(amx_i16_many, bits, true, false)                                                              \
    AMX_FINISH(amx_i8_few, bits, false, true)                                                                \
    AMX_FINISH(amx_i8_many, bits, false, false)

#define AMX_MATMUL(w, x, y, y_stride, p0, p1)                                                                \
    do {                                                                                                     \
        const bool i16 = (x)->kind == ACTIVATIONS_I16, few = amx_few(x);      \
        for_tiles(w, x, y, y_stride, p0, p1, AMX_TOKENS, 2 * AMX_ROWS,                                       \
                  i16 ? few ? amx_i16_few : amx_i16_many : few ? amx_i8_few : amx_i8_many);                  \
        amx_release();                                                                                       \
    } while (0)
#endif
