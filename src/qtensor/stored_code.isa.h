/* From float weights to stored codes (pack.h, struct coding): 16 outputs of an input. */
#ifndef QTENSOR_STORED_CODE_H
#define QTENSOR_STORED_CODE_H
#include "qtensor/layout.isa.h"
#include "qtensor/pack.h"

ALWAYS_INLINE vf truncated(vf t)
{
    vf r = vf_rint(t); /* t >= 0 */
    return vf_select_lt(t, r, vf_sub(r, vf_set1(1.0f)), r);
}

struct lanes {
    vf divisor, shift, offset, least, most;
};

ALWAYS_INLINE struct lanes lanes_at(const struct coding *c, int v)
{
    return (struct lanes){vf_load(c->divisor + v), vf_load(c->shift + v), vf_load(c->offset + v),
                          vf_set1(c->least), vf_set1(c->most)};
}

/* The numbers of the levels that are nearest to t. */
ALWAYS_INLINE vf level_code(vf t, const struct code_book *book)
{
    const bool signs = book->n < BOOK_LEVELS - 1;
    const vf size = signs ? vf_abs(t) : t;
    vf code = signs ? vf_select_lt(t, vf_zero(), vf_set1(8.0f), vf_zero()) : vf_zero();
    for (int i = 0; i < book->n; i++)
        code = vf_add(code, vf_select_lt(vf_set1(book->below[i]), size, vf_set1(1.0f), vf_zero()));
    return code;
}

/* Stored codes, as floats, of 16 outputs of input i; beyond the last input the code of 0. */
ALWAYS_INLINE vf stored_code(const float *block, size_t stride, int i, int k, const struct coding *c,
                             struct lanes l, float zero, const int bits, const bool by_input,
                             const bool truncate)
{
    if (HAS_BOOK(bits))
        return level_code(vf_div(vf_load(block + (size_t)i * stride), l.divisor), book_at(bits));
    if (i >= k) return vf_set1(zero);
    if (by_input) {
        l.divisor = vf_set1(c->input_divisor[i]);
        l.shift = vf_set1(c->input_shift[i]);
        l.offset = vf_set1(c->input_offset[i]);
    }
    vf t = vf_div(vf_sub(vf_load(block + (size_t)i * stride), l.shift), l.divisor);
    if (truncate) return truncated(vf_min(vf_max(t, l.least), l.most));
    return vf_min(vf_max(vf_add(vf_rint(t), l.offset), l.least), l.most);
}
#endif
