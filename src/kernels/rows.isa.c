/* What is asked of a row of logits: its largest value, where that is, and sums of exponentials in double (16
 * lanes, element i in lane i mod 16, then the tree). */
#include "kernels/kernels_parts.h"
#include "kernels/vmath.h"

/* Four chains of vf_max over [0, n), joined in a fixed order; NaN is passed over (the second operand is the
 * running one). */
ALWAYS_INLINE float max_of(const float *x, size_t n)
{
    vf lowest = vf_set1(-INFINITY), m[4] = {lowest, lowest, lowest, lowest};
    size_t i = 0;
    for (; i + 64 <= n; i += 64)
        for (size_t j = 0; j < 4; j++) m[j] = vf_max(vf_load(x + i + 16 * j), m[j]);
    for (; i + 16 <= n; i += 16) m[0] = vf_max(vf_load(x + i), m[0]);
    int rest = (int)(n - i);
    if (rest) m[0] = vf_max(vf_first(rest, vf_load_n(x + i, rest), lowest), m[0]);
    return vf_hmax(vf_max(vf_max(m[0], m[1]), vf_max(m[2], m[3])));
}

float ISA(row_max)(const float *x, size_t n) { return max_of(x, n); }

/* x - x is +0 for a finite x and NaN otherwise; so is the sum. */
ALWAYS_INLINE bool all_finite(const float *x, size_t n)
{
    vf sum = vf_zero();
    size_t i = 0;
    for (; i + 16 <= n; i += 16) sum = vf_add(sum, vf_sub(vf_load(x + i), vf_load(x + i)));
    int rest = (int)(n - i);
    if (rest) sum = vf_add(sum, vf_sub(vf_load_n(x + i, rest), vf_load_n(x + i, rest)));
    return vf_sum(sum) == 0.0f;
}

/* Chunk by chunk, so that the second look at a chunk finds it in the cache and only the best one is searched.
 */
int32_t ISA(row_argmax)(const float *x, size_t n)
{
    enum { CHUNK = 1024 };
    float best = -INFINITY;
    size_t where = 0;
    for (size_t i = 0; i < n; i += CHUNK) {
        size_t len = n - i < CHUNK ? n - i : CHUNK;
        if (!all_finite(x + i, len)) return -1;
        float m = max_of(x + i, len);
        if (m > best) {
            best = m;
            where = i;
        }
    }
    while (where < n && x[where] != best) where++;
    return where < n ? (int32_t)where : -1;
}

double ISA(row_exp)(const float *x, size_t n, float scale, float shift, float *y)
{
    vf factor = vf_set1(scale), offset = vf_set1(shift);
    vd sum = vd_zero();
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        vf e = vm_exp(vf_sub(vf_mul(vf_load(x + i), factor), offset));
        vf_store(y + i, e);
        sum = vd_add_vf(sum, e);
    }
    int rest = (int)(n - i);
    if (rest) {
        vf e = vm_exp(vf_sub(vf_mul(vf_load_n(x + i, rest), factor), offset));
        vf_store_n(y + i, e, rest);
        sum = vd_add_vf(sum, vf_first(rest, e, vf_zero()));
    }
    return vd_sum(sum);
}

double ISA(row_sum_exp)(const float *x, size_t n, float shift)
{
    vf offset = vf_set1(shift);
    vd sum = vd_zero();
    size_t i = 0;
    for (; i + 16 <= n; i += 16) sum = vd_add_vf(sum, vm_exp(vf_sub(vf_load(x + i), offset)));
    int rest = (int)(n - i);
    if (rest) sum = vd_add_vf(sum, vf_first(rest, vm_exp(vf_sub(vf_load_n(x + i, rest), offset)), vf_zero()));
    return vd_sum(sum);
}
