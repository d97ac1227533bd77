/* The scale, and the zero point or minimum, of 16 outputs. */
#ifndef QTENSOR_PARAMS_H
#define QTENSOR_PARAMS_H
#include "qtensor/layout.isa.h"
#include "qtensor/tile.isa.h"
#include "qtensor/zero_points.h"

struct params {
    vf s, z;
};

/* The scales of the 16 outputs from number `at` on. */
ALWAYS_INLINE vf group_scales(const struct qtensor *w, size_t at, const int bits)
{
    if (!HAS_BOOK(bits) && w->scheme.full) return vf_load((const float *)w->scale + at);
    if (bits != BOOK_E2M1) return vf_load_f16((const uint16_t *)w->scale + at);
    const uint8_t *p = (const uint8_t *)w->scale + at;
    return w->factor ? vf_mul(vf_mul(vf_load_e4m3(p), vf_set1(256.0f)), vf_set1(*w->factor))
                     : vf_load_e8m0(p);
}

/* Reads those of vector v of the tile's panel, and of a group if the scheme has groups. QG_INPUT has none;
 * they are 0. */
ALWAYS_INLINE struct params params_at(const struct tile *t, int group, int v, const int bits)
{
    const struct qtensor *w = t->w;
    struct params p = {vf_zero(), vf_zero()};
    if (w->scheme.gran == QG_GROUP) {
        size_t at = ((size_t)t->panel * (size_t)t->groups + (size_t)group) * PANEL + 16 * (size_t)v;
        p.s = group_scales(w, at, bits);
        if (scheme_zero(w->scheme) == QZERO_POINT) {
            int8_t z[16];
            const int b = LAYOUT_BITS(bits);
            zero_points_16((const uint8_t *)w->zero + at / PANEL * ZERO_BLOCK(b), v, b, z);
            p.z = vf_load_i8(z);
        } else if (w->zero) {
            p.z = w->scheme.full ? vf_load((const float *)w->zero + at)
                                 : vf_load_f16((const uint16_t *)w->zero + at);
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

/* Fetches into the second-level cache what params_at will read of the group that is `later` groups on; after the last come the next
 * panel's. They lie apart from the codes, and a sum cannot end without them. */
ALWAYS_INLINE void fetch_params(const struct tile *t, int group, int later, const int bits)
{
    const struct qtensor *w = t->w;
    if (w->scheme.gran != QG_GROUP) return;
    const size_t bytes = !HAS_BOOK(bits) && w->scheme.full ? 4 : bits != BOOK_E2M1 ? 2 : 1;
    const size_t at = ((size_t)t->panel * (size_t)t->groups + (size_t)(group + later)) * PANEL * bytes;
    for (size_t i = 0; i < PANEL * bytes; i += 64) {
        prefetch_far((const uint8_t *)w->scale + at + i);
        if (scheme_zero(w->scheme) == QZERO_MINIMUM) prefetch_far((const uint8_t *)w->zero + at + i);
    }
}

/* The same for sums of integers, of which the levels of a book are made. */
ALWAYS_INLINE struct params product_params_at(const struct tile *t, int group, int v, const int bits)
{
    struct params p = params_at(t, group, v, bits);
    if (HAS_BOOK(bits)) p.s = vf_mul(p.s, vf_set1(book_at(bits)->unit));
    return p;
}

static inline bool has_minimum(struct scheme s) { return scheme_zero(s) == QZERO_MINIMUM; }
#endif
