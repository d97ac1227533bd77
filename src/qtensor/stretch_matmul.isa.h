/* The products of codes without groups with two or three tiles of rows, by the formulas of code_matmul.isa.h, instantiated by the
 * *.dot.isa.c of formats with codes through the constant `bits`.
 *
 * The tiles take turns: all go over a stretch of inputs, which stays in the first-level cache, then all over the next, which they
 * fetch meanwhile. So a panel comes from memory as one stream. If the first tile went over the whole panel, as it does where many
 * tiles hide what memory takes, the others would read it from the second-level cache, and of what they fetch in so short a time the
 * processor drops much. Sums rest in memory between stretches. That rounds nothing, for they are integers. */
#ifndef QTENSOR_STRETCH_MATMUL_H
#define QTENSOR_STRETCH_MATMUL_H
#include "qtensor/code_matmul.isa.h"

#define STRETCH_SUMS (3 * CODE_ROWS) /* byte rows, at most */
#define STRETCH_BYTES                                                                                        \
    ((size_t)16 << 10) /* of a panel's codes: it and the next stretch share the first-level cache */

ALWAYS_INLINE int stretch_planes(enum activations kind) { return kind == ACTIVATIONS_I16 ? 2 : 1; }

/* More byte rows than a tile's, and few. */
ALWAYS_INLINE bool stretches_take(const struct qtensor *w, const struct qinput *x)
{
    const int sums = (x->end - x->begin) * stretch_planes(x->kind);
    return qtensor_groups(w) == 1 && sums > CODE_ROWS && sums <= STRETCH_SUMS;
}

/* Some byte rows x over the inputs [k, k1), whose codes begin at `codes`; sums [rows][64]. */
struct stretch {
    const uint8_t *codes;
    int k, k1;
    const int8_t *const *x;
    int32_t (*sums)[PANEL];
    struct ahead ahead;
};

#define SUM_RESUME(r, n, v) vi s##r##v = r < rows ? vi_load(s->sums[r] + 16 * v) : vi_zero();
#define SUM_REST(r, n, v)                                                                                    \
    if (r < rows) vi_store(s->sums[r] + 16 * v, s##r##v);

ALWAYS_INLINE void stretch_tile(const struct stretch *s, const int bits, const int rows)
{
    enum { vectors = VECTORS };
    const int8_t *const *x = s->x;
    const uint8_t *codes = s->codes;
    const int k1 = s->k1;
    struct ahead held = s->ahead, *ahead = &held;
    EACH_SUM(SUM_RESUME)
#define SUM(r, v) s##r##v
#define DOT       vi_dot
    for (int k = s->k; k < k1; codes += LAYOUT_STEP(bits)) STEP_INPUTS
#undef DOT
#undef SUM
    EACH_SUM(SUM_REST)
}

/* The rows of `planes` bytes each of block b among `blocks` of n. */
ALWAYS_INLINE int stretch_begin(int n, int b, int blocks, int planes)
{
    return block_begin(n, b, blocks, 1) * planes;
}

/* One panel times n rows. */
ALWAYS_INLINE void stretch_rows(const struct tile *given, int n, bool usual, const int bits,
                                void tile(const struct stretch *, int))
{
    struct tile_copy copy;
    const struct tile *t = usual_copied(&copy, given, usual, bits);
    const int planes = stretch_planes(t->x->kind), most = CODE_ROWS / planes, cols = t->w->cols,
              blocks = (n + most - 1) / most;
    const int inputs = (int)(STRETCH_BYTES / LAYOUT_BYTES(32, bits)) * 32;
    const size_t bytes = LAYOUT_BYTES(inputs, bits);
    const uint8_t *codes = t->w->codes + (size_t)t->panel * t->w->panel_bytes;
    _Alignas(64) int32_t sums[STRETCH_SUMS][PANEL];
    const int8_t *x[STRETCH_SUMS];
    for (int r = 0; r < n * planes; r++) {
        x[r] = plane(t->x, r % planes ? t->x->lo : t->x->hi, t->row + r / planes);
        for (int v = 0; v < VECTORS; v++)
            vi_store(sums[r] + 16 * v, first_sum(t, 0, r, v, planes == 2, bits));
    }
    for (int k = 0; k < cols; k += inputs, codes += bytes) {
        struct ahead ahead = {.at = codes + bytes, .step = 128, .is_share = true};
        for (int b = 0; b < blocks; b++, ahead.at += bytes / 2) {
            const int r = stretch_begin(n, b, blocks, planes);
            tile(&(struct stretch){codes, k, k + inputs < cols ? k + inputs : cols, x + r, sums + r, ahead},
                 stretch_begin(n, b + 1, blocks, planes) - r);
        }
    }
    struct params p[VECTORS];
    for (int v = 0; v < VECTORS; v++) p[v] = product_params_at(t, 0, v, bits);
    for (int r = 0; r < n; r++)
        for (int v = 0; v < VECTORS; v++) {
            const int32_t *hi = sums[r * planes] + 16 * v, *lo = sums[r * planes + planes - 1] + 16 * v;
            vf total = vf_zero();
            finish_sum(t, 0, r, vi_load(hi), vi_load(lo), planes == 2, p[v], &total);
            store_total(t, r, v, total);
        }
}
/* NAME_stretch */
#define STRETCH_TILE(name, bits)                                                                             \
    static __attribute__((noinline)) void name##_turn(const struct stretch *s, int rows){                    \
        TILE_DISPATCH(rows, stretch_tile(s, bits, R))} USUAL_WAY(name, stretch, bits, name##_turn)
#endif
