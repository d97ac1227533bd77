/* The grids of golden/make_goldens.py and golden/calibrated, one function and one row each, in float32.
 * With levels = 2^bits - 1, qmin = -2^(bits-1) and qmax = -qmin - 1; the stored code is q - qmin.
 *
 *     absmax   s = max|w| / qmax          q = rint(w/s), the most negative code unused; 0 where s = 0
 *     signed   s = m / qmin               m: the weight of largest magnitude, the negative one where both are equal;
 *                                         q = clamp(rint(w/s), qmin, qmax); 0 where s = 0
 *     minmax   s = (max - min)/levels     m = min; q = rint((w - m)/s) + qmin; a constant has s = 0 and is m
 *     affine   s = (max - min)/levels     of the range widened to contain 0; z = rint(qmin - min/s),
 *                                         q = rint(w/s) + z
 *     notes    minmax with the code truncated, not rounded */
#include "qtensor/grid.h"
#include "kernels/half.h"
#include <math.h>

static float stored(float f, bool half) { return half ? float_from_f16(f16_from_float(f)) : f; }
static float levels(int bits) { return (float)((1 << bits) - 1); }
static float middle(int bits) { return (float)(1 << (bits - 1)); }

static struct choice choose_absmax(float lo, float hi, int bits, bool half)
{
    float largest = -lo > hi ? -lo : hi;
    float s = stored(largest / (middle(bits) - 1.0f), half);
    return (struct choice){.scale = s, .divisor = s > 0.0f ? s : INFINITY, .offset = middle(bits)};
}

static struct choice choose_signed(float lo, float hi, int bits, bool half)
{
    float s = stored((-lo >= hi ? lo : hi) / -middle(bits), half);
    if (s == 0.0f) s = 0.0f; /* not -0 */
    return (struct choice){.scale = s, .divisor = s != 0.0f ? s : INFINITY, .offset = middle(bits)};
}

static struct choice choose_minmax(float lo, float hi, int bits, bool half)
{
    float s = stored((hi - lo) / levels(bits), half), m = stored(lo, half);
    return (struct choice){.scale = s, .zero = m, .divisor = s > 0.0f ? s : INFINITY, .shift = m};
}

static struct choice choose_affine(float lo, float hi, int bits, bool half)
{
    if (lo > 0.0f) lo = 0.0f;
    if (hi < 0.0f) hi = 0.0f;
    float s = stored((hi - lo) / levels(bits), half), d = s > 0.0f ? s : 1.0f;
    float z = rintf(-middle(bits) - lo / d), most = middle(bits) - 1.0f;
    z = z < -middle(bits) ? -middle(bits) : z > most ? most : z;
    return (struct choice){.scale = s, .zero = z, .divisor = d, .offset = z + middle(bits)};
}

static struct choice choose_notes(float lo, float hi, int bits, bool half)
{
    struct choice c = choose_minmax(lo, hi, bits, half);
    c.divisor = c.scale > 0.0f ? c.scale : 1.0f;
    return c;
}

const struct grid *grid_of(enum qgrid grid)
{
    static const struct grid rows[QGRID_COUNT] = {
        [QGRID_ABSMAX] = {choose_absmax, 1.0f, false}, [QGRID_SIGNED] = {choose_signed, 0.0f, false},
        [QGRID_MINMAX] = {choose_minmax, 0.0f, false}, [QGRID_AFFINE] = {choose_affine, 0.0f, false},
        [QGRID_NOTES] = {choose_notes, 0.0f, true},    [QGRID_LEVELS] = {0}, /* levels.h has these */
    };
    return &rows[grid];
}

bool choice_is_finite(struct choice c) { return isfinite(c.scale) && isfinite(c.zero); }
