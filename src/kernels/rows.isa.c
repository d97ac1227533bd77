/* Work on a row of logits: its largest value and its id, and sums of exponentials in double (16 lanes,
 * element i in lane i mod 16, then the tree). */
#include "kernels/kernels_parts.isa.h"
#include "kernels/vmath.isa.h"

/* Four chains of vf_max over [0, n), joined in a fixed order. NaN is passed over: the second operand is
 * the running maximum. */
float ISA(row_max)(const float *x, size_t n)
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

/* x - x is +0 for a finite x and NaN otherwise. */
static bool is_finite(float x) { return x - x == 0.0f; }

static void look_at_each(const float *x, size_t n, int32_t first, struct best *best)
{
    for (size_t i = 0; i < n; i++)
        best_join(best, is_finite(x[i]) ? (struct best){x[i], first + (int32_t)i} : BEST_NOT_FINITE);
}

/* Looks at 64 at once: nearly always all are below the best so far. A logit that is not finite makes
 * `nothing` NaN, and then no comparison says "below". */
void ISA(row_best)(const float *x, size_t n, int32_t first, struct best *best)
{
    struct best so_far = *best;
    size_t i = 0;
    for (; i + 64 <= n; i += 64) {
        vf a = vf_load(x + i), b = vf_load(x + i + 16), c = vf_load(x + i + 32), d = vf_load(x + i + 48);
        vf top = vf_max(vf_max(a, b), vf_max(c, d));
        vf nothing = vf_add(vf_add(vf_sub(a, a), vf_sub(b, b)), vf_add(vf_sub(c, c), vf_sub(d, d)));
        if (!vf_all_lt(vf_add(top, nothing), vf_set1(so_far.value)))
            look_at_each(x + i, 64, first + (int32_t)i, &so_far);
    }
    look_at_each(x + i, n - i, first + (int32_t)i, &so_far);
    *best = so_far;
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
