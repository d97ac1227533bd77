/* The scale, and the zero point or minimum, of 16 outputs. */
#ifndef QTENSOR_PARAMS_H
#define QTENSOR_PARAMS_H
#include "qtensor/tile.isa.h"
#include "qtensor/zero_points.h"

struct params {
    vf s, z;
};

/* Reads those of vector v of the tile's panel, and of a group if the scheme has groups. QG_INPUT has none;
 * they are 0. */
ALWAYS_INLINE struct params params_at(const struct tile *t, int group, int v, const int bits)
{
    const struct qtensor *w = t->w;
    struct params p = {vf_zero(), vf_zero()};
    if (w->scheme.gran == QG_GROUP) {
        size_t at = ((size_t)t->panel * (size_t)t->groups + (size_t)group) * PANEL + 16 * (size_t)v;
        p.s = vf_load_f16((const uint16_t *)w->scale + at);
        if (scheme_zero(w->scheme) == QZERO_POINT) {
            int8_t z[16];
            zero_points_16((const uint8_t *)w->zero + at / PANEL * ZERO_BLOCK(bits), v, bits, z);
            p.z = vf_load_i8(z);
        } else if (w->zero) {
            p.z = vf_load_f16((const uint16_t *)w->zero + at);
        }
    } else if (w->scheme.gran == QG_CHANNEL) {
        size_t at = (size_t)t->panel * PANEL + 16 * (size_t)v;
        p.s = vf_load((const float *)w->scale + at);
        if (w->zero) p.z = vf_load((const float *)w->zero + at);
    } else if (w->scheme.gran == QG_TENSOR) {
        p.s = vf_set1(*(const float *)w->scale);
        if (w->zero) p.z = vf_set1(*(const float *)w->zero);
    }
    return p;
}

static inline bool has_minimum(struct scheme s) { return scheme_zero(s) == QZERO_MINIMUM; }
#endif
