/* The products of codes without groups with two or three tiles of rows, which take turns (turns.isa.h), by the formulas of
 * code_matmul.isa.h, instantiated by the *.dot.isa.c of formats with codes through the constant `bits`. */
#ifndef QTENSOR_STRETCH_MATMUL_H
#define QTENSOR_STRETCH_MATMUL_H
#include "qtensor/code_matmul.isa.h"
#include "qtensor/turns.isa.h"

#define STRETCH_SUMS  (3 * CODE_ROWS) /* byte rows, at most */
#define STRETCH_BYTES (16 << 10)      /* of codes: a stretch and the next one share the first-level cache */

struct stretch_rows {
    int planes; /* byte rows of a row of x */
    const int8_t *x[STRETCH_SUMS];
    _Alignas(64) int32_t sums[STRETCH_SUMS][PANEL];
};

ALWAYS_INLINE int stretch_planes(enum activations kind) { return kind == ACTIVATIONS_I16 ? 2 : 1; }

/* More byte rows than a tile's, and few. */
ALWAYS_INLINE bool stretches_take(const struct qtensor *w, const struct qinput *x)
{
    const int sums = (x->end - x->begin) * stretch_planes(x->kind);
    return qtensor_groups(w) == 1 && sums > CODE_ROWS && sums <= STRETCH_SUMS;
}

#define SUM_RESUME(r, n, v) vi s##r##v = r < rows ? vi_load(sums[r] + 16 * v) : vi_zero();
#define SUM_REST(r, n, v)                                                                                    \
    if (r < rows) vi_store(sums[r] + 16 * v, s##r##v);

/* `rows` byte rows. */
ALWAYS_INLINE void stretch_turn(const struct turn *turn, const int bits, const int rows)
{
    enum { vectors = VECTORS };
    struct stretch_rows *of = turn->rows;
    const int first = turn->row * of->planes, k1 = turn->k1;
    const int8_t *const *x = of->x + first;
    int32_t(*sums)[PANEL] = of->sums + first;
    const uint8_t *codes = turn->codes;
    struct ahead held = turn->ahead, *ahead = &held;
    EACH_SUM(SUM_RESUME)
#define SUM(r, v) s##r##v
#define DOT       vi_dot
    for (int k = turn->k; k < k1; codes += LAYOUT_STEP(bits)) STEP_INPUTS
#undef DOT
#undef SUM
    EACH_SUM(SUM_REST)
}

/* One panel times n rows. */
ALWAYS_INLINE void stretch_panel(const struct tile *given, int n, bool usual, const int bits, turn_fn *turn)
{
    struct tile_copy copy;
    const struct tile *t = usual_copied(&copy, given, usual, bits);
    const int planes = stretch_planes(t->x->kind), inputs = STRETCH_BYTES / (int)LAYOUT_BYTES(32, bits) * 32;
    struct stretch_rows rows;
    rows.planes = planes;
    for (int r = 0; r < n * planes; r++) {
        rows.x[r] = plane(t->x, r % planes ? t->x->lo : t->x->hi, t->row + r / planes);
        for (int v = 0; v < VECTORS; v++)
            vi_store(rows.sums[r] + 16 * v, first_sum(t, 0, r, v, planes == 2, bits));
    }
    for_turns(t, n, CODE_ROWS / planes, inputs, LAYOUT_BYTES(inputs, bits), &rows, turn);
    struct params p[VECTORS];
    for (int v = 0; v < VECTORS; v++) p[v] = product_params_at(t, 0, v, bits);
    for (int r = 0; r < n; r++)
        for (int v = 0; v < VECTORS; v++) {
            const int32_t *hi = rows.sums[r * planes] + 16 * v,
                          *lo = rows.sums[(r + 1) * planes - 1] + 16 * v;
            vf total = vf_zero();
            finish_sum(t, 0, r, vi_load(hi), vi_load(lo), planes == 2, p[v], &total);
            store_total(t, r, v, total);
        }
}

/* NAME_stretch */
#define STRETCH_TILE(name, bits)                                                                             \
    static __attribute__((noinline)) void name##_turn(const struct turn *turn, int rows)                     \
    {                                                                                                        \
        rows *= ((const struct stretch_rows *)turn->rows)->planes;                                           \
        TILE_DISPATCH(rows, stretch_turn(turn, bits, R));                                                    \
    }                                                                                                        \
    ALWAYS_INLINE void name##_stretch_panel(const struct tile *t, int n, bool usual, const int code_bits)    \
    {                                                                                                        \
        stretch_panel(t, n, usual, code_bits, name##_turn);                                                  \
    }                                                                                                        \
    USUAL_WAY(name, stretch, name##_stretch_panel, bits)
#endif
