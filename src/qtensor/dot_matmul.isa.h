/* The products with integer codes and integer activations: the instruction set's own way among code_matmul.isa.h, wide_matmul.isa.h
 * and amx_matmul.isa.h, all by the formulas of the first. DOT_MATMUL(name, bits) makes matmul_q_NAME. */
#ifndef QTENSOR_DOT_MATMUL_H
#define QTENSOR_DOT_MATMUL_H
#include "qtensor/code_matmul.isa.h"
#include "qtensor/formats_table.h"
#include "qtensor/wide.isa.h"

#if defined(GPT2Q_ISA_amx)
/* What the register tiles do not take goes the way of AVX-512 VNNI. */
#include "qtensor/amx_matmul.isa.h"

#define DOT_MATMUL(name, bits)                                                                               \
    AMX_TILE(bits)                                                                                           \
    matmul_fn matmul_q_##name##_avx512vnni;                                                                  \
    void ISA(matmul_q_##name)(const struct qtensor *w, const struct qinput *x, float *y, size_t y_stride,    \
                              int p0, int p1)                                                                \
    {                                                                                                        \
        if (amx_takes(w, x))                                                                                 \
            AMX_MATMUL(w, x, y, y_stride, p0, p1);                                                           \
        else                                                                                                 \
            matmul_q_##name##_avx512vnni(w, x, y, y_stride, p0, p1);                                         \
    }
#else
#if WIDE_CODES
#include "qtensor/wide_matmul.isa.h"

#define DOT_OTHER(name, bits)                                                                                \
    static void name##_wide(const struct tile *t, int rows) { wide_panel(t, rows, bits); }
/* int8 activations of int4 and less stay bytes. */
#define DOT_OTHER_TAKES(name, bits)                                                                          \
    if (x->kind == ACTIVATIONS_I16 || PRODUCT_BITS(bits) == 8) {                                             \
        for_tiles(w, x, y, y_stride, p0, p1, WIDE_BLOCK, WIDE_LANES, name##_wide);                           \
        return;                                                                                              \
    }
#elif defined(GPT2Q_ISA_avx512vnni)
#include "qtensor/group_matmul.isa.h"
#include "qtensor/pair_matmul.isa.h"
#include "qtensor/stretch_matmul.isa.h"

#define DOT_OTHER(name, bits)                                                                                \
    USUAL_WAY(name, group, group_rows, bits)                                                                 \
    USUAL_WAY(name, pair, pair_rows, bits)                                                                   \
    STRETCH_TILE(name, bits)
#define DOT_OTHER_TAKES(name, bits)                                                                          \
    if (pairs_take(w, x)) {                                                                                  \
        for_tiles(w, x, y, y_stride, p0, p1, PAIR_ROWS, PAIR_TILE, name##_pair);                             \
        return;                                                                                              \
    }                                                                                                        \
    if (group_takes(w, x)) {                                                                                 \
        for_tiles(w, x, y, y_stride, p0, p1, GROUP_ROWS, GROUP_TILE, name##_group);                          \
        return;                                                                                              \
    }                                                                                                        \
    if (stretches_take(w, x)) {                                                                              \
        for_tiles(w, x, y, y_stride, p0, p1, STRETCH_SUMS, 1, name##_stretch);                               \
        return;                                                                                              \
    }
#else
#define DOT_OTHER(name, bits)
#define DOT_OTHER_TAKES(name, bits)
#endif

#define DOT_MATMUL(name, bits)                                                                               \
    DOT_OTHER(name, bits)                                                                                    \
    CODE_TILE(name, bits)                                                                                    \
    void ISA(matmul_q_##name)(const struct qtensor *w, const struct qinput *x, float *y, size_t y_stride,    \
                              int p0, int p1)                                                                \
    {                                                                                                        \
        DOT_OTHER_TAKES(name, bits)                                                                          \
        for_tiles(w, x, y, y_stride, p0, p1, x->kind == ACTIVATIONS_I16 ? CODE_ROWS / 2 : CODE_ROWS, 1,      \
                  name##_tile);                                                                              \
    }
#endif
#endif
