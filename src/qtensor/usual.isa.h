/* The usual scheme of a format: an absolute maximum for each channel of 8-bit codes, for each group of others. A kernel that takes it
 * as a constant spares the end of each sum some decisions. */
#ifndef QTENSOR_USUAL_H
#define QTENSOR_USUAL_H
#include "qtensor/tile.isa.h"

/* Instances of their own only for the sets that gain by them: a tenth with AVX-512, a twentieth with AVX2's VNNI, nothing with AVX2. */
#if defined(GPT2Q_ISA_avx512) || defined(GPT2Q_ISA_avxvnni)
#define IS_USUAL(t, bits) is_usual(t, bits)
#else
#define IS_USUAL(t, bits) false
#endif

#define USUAL_GRAN(bits) ((bits) == 8 ? QG_CHANNEL : QG_GROUP)

ALWAYS_INLINE bool is_usual(const struct tile *t, const int bits)
{
    const struct scheme s = t->w->scheme;
    return s.gran == USUAL_GRAN(bits) && scheme_zero(s) == QZERO_NONE && !s.full;
}

/* tile_copied, for a kernel of the usual scheme or of any. */
ALWAYS_INLINE const struct tile *usual_copied(struct tile_copy *to, const struct tile *given, bool usual,
                                              const int bits)
{
    tile_copied(to, given);
    if (usual) {
        to->w.scheme = (struct scheme){.format = given->w->scheme.format,
                                       .gran = USUAL_GRAN(bits),
                                       .grid = QGRID_ABSMAX,
                                       .group = given->w->scheme.group};
        if (USUAL_GRAN(bits) != QG_GROUP) to->t.groups = 1;
    }
    return &to->t;
}

/* NAME_WAY(tile, rows): panel(tile, rows, usual, bits), in a function for each of both. */
#define USUAL_WAY(name, way, panel, bits)                                                                    \
    static __attribute__((noinline)) void name##_##way##_any(const struct tile *t, int rows)                 \
    {                                                                                                        \
        panel(t, rows, false, bits);                                                                         \
    }                                                                                                        \
    static __attribute__((noinline)) void name##_##way##_usual(const struct tile *t, int rows)               \
    {                                                                                                        \
        panel(t, rows, true, bits);                                                                          \
    }                                                                                                        \
    static void name##_##way(const struct tile *t, int rows)                                                 \
    {                                                                                                        \
        (IS_USUAL(t, bits) ? name##_##way##_usual : name##_##way##_any)(t, rows);                            \
    }
#endif
