/* The products of groups of codes with 8-bit activations for several rows, by the formulas of code_matmul.isa.h, instantiated by the
 * *.dot.isa.c of formats with codes through the constant `bits`.
 *
 * With groups of 32 inputs, what ends a group costs as much as its products, and unpacking half as much. So the codes of a panel are
 * unpacked once for many rows, with the parameters of their groups, and group_sums.dot.isa.c, the same for all formats, does the
 * rest. */
#ifndef QTENSOR_GROUP_MATMUL_H
#define QTENSOR_GROUP_MATMUL_H
#include "qtensor/group_sums.h"
#include "qtensor/layout.isa.h"
#include "qtensor/params.isa.h"
#include "qtensor/usual.isa.h"

#define GROUP_INPUTS 1024 /* unpacked together, at most: 64 KB, of the second-level cache */
#define GROUP_ROWS   192  /* rows that share them, at most */
#define GROUP_LEAST  48   /* rows: for fewer, unpacking costs as much as it saves */

ALWAYS_INLINE bool group_takes(const struct qtensor *w, const struct qinput *x)
{
    return x->kind == ACTIVATIONS_I8 && w->scheme.gran == QG_GROUP && w->scheme.group <= GROUP_INPUTS &&
           x->end - x->begin >= GROUP_LEAST && qtensor_piece(w, x->kind) == w->scheme.group;
}

struct group_panel {
    _Alignas(64) uint8_t codes[2][GROUP_INPUTS * PANEL / 2];
    struct group_params params[GROUP_COUNT];
    float totals[GROUP_ROWS][PANEL];
    int32_t starts[GROUP_ROWS][GROUP_COUNT];
};

/* Unpacks `count` groups from group g on. */
ALWAYS_INLINE void group_unpack(const struct tile *t, struct group_panel *to, int g, int count,
                                const int bits)
{
    const uint8_t *p = t->w->codes + (size_t)t->panel * t->w->panel_bytes + LAYOUT_BYTES(g * t->group, bits);
    const uint8_t *end = p + LAYOUT_BYTES(count * t->group, bits);
    const enum qzero zero = scheme_zero(t->w->scheme);
    for (uint8_t *out = to->codes[0]; p < end; p += LAYOUT_STEP(bits)) {
#define UNPACK_QUAD(q)                                                                                       \
    for (int v = 0; v < VECTORS; v++)                                                                        \
        vc_store(out + v / 2 * (int)sizeof to->codes[0] + v % 2 * 64, quad_stored(p + 64 * v, q, bits));     \
    out += 128;
        EACH_QUAD(bits, UNPACK_QUAD)
    }
    for (int i = 0; i < count; i++) {
        fetch_params(t, g + i, t->groups, bits);
        for (int v = 0; v < VECTORS; v++) {
            const struct params q = product_params_at(t, g + i, v, bits);
            vf_store(to->params[i].s + 16 * v, q.s);
            vf_store(to->params[i].m + 16 * v, q.z);
            if (zero == QZERO_POINT) vi_store(to->params[i].z + 16 * v, vf_to_int(q.z));
        }
    }
}

/* What the sums of n rows begin with, from group g on. */
ALWAYS_INLINE void group_starts(int32_t (*to)[GROUP_COUNT], const struct group_block *b, int n,
                                const int bits)
{
    const int32_t h = b->zero == QZERO_MINIMUM ? 0 : PRODUCT_HALF(bits);
    for (int r = 0; r < n; r++)
        for (int i = 0; i < b->count; i++) to[r][i] = -h * b->sums[(size_t)r * b->sums_stride + (size_t)i];
}

/* One panel times n rows. */
ALWAYS_INLINE void group_rows(const struct tile *given, int n, bool usual, const int bits)
{
    struct tile_copy copy;
    const struct tile *t = usual_copied(&copy, given, usual, bits);
    const struct qinput *x = t->x;
    const size_t stride = ((size_t)x->cols + 63) / 64 * 64;
    const int most = GROUP_INPUTS / t->group < GROUP_COUNT ? GROUP_INPUTS / t->group : GROUP_COUNT;
    const int tiles = 2 * t->groups * ((n + GROUP_TILE - 1) / GROUP_TILE);
    struct group_panel panel;
    struct group_block b = {.codes = panel.codes[0],
                            .half = sizeof panel.codes[0],
                            .params = panel.params,
                            .zero = scheme_zero(t->w->scheme),
                            .group = t->group,
                            .x = x->hi + (size_t)t->row * stride,
                            .x_stride = stride,
                            .sums = x->code_sums + (size_t)t->row * 2 * (size_t)t->groups,
                            .sums_stride = 2 * (size_t)t->groups,
                            .starts = panel.starts,
                            .totals = panel.totals,
                            .ahead = t->ahead.at};
    /* One block of rows, too, fetches the next panel: its own is unpacked long before it is done. */
    if (!t->ahead.is_share) b.ahead = t->w->codes + ((size_t)t->panel + 1) * t->w->panel_bytes;
    b.ahead_step = (t->ahead.step * t->w->panel_bytes / 256 / (size_t)tiles + 63) / 64 * 64;
    memset(panel.totals, 0, (size_t)n * sizeof panel.totals[0]);
    for (int g = 0; g < t->groups; g += b.count) {
        b.count = t->groups - g < most ? t->groups - g : most;
        group_unpack(t, &panel, g, b.count, bits);
        group_starts(panel.starts, &b, n, bits);
        ISA(group_sums)(&b, n);
        b.x += b.count * t->group;
        b.sums += b.count;
        b.ahead += b.ahead_step * (size_t)(tiles / t->groups * b.count);
    }
    for (int r = 0; r < n; r++) {
        const vf scale = vf_set1(x->code_scale[t->row + r]);
        for (int v = 0; v < VECTORS; v++)
            store_outputs(t, r, v, vf_mul(vf_load(panel.totals[r] + 16 * v), scale));
    }
}
#endif
