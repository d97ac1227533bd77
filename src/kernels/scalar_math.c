/* See scalar_math.h. Both series run over short intervals, so Taylor coefficients are enough. Only fma and
 * rint of the C library are used; both are exact. */
#include "kernels/scalar_math.h"
#include <math.h>
#include <stdint.h>
#include <string.h>

#define LN2_HIGH 0x1.62e42feep-1 /* 32 bits: its product with an exponent is exact */
#define LN2_LOW  0x1.a39ef35793c76p-33

static double power_of_two(int n) /* -1022 <= n <= 1023 */
{
    uint64_t bits = (uint64_t)(n + 1023) << 52;
    double y;
    memcpy(&y, &bits, sizeof y);
    return y;
}

/* x = 2^n m with sqrt(1/2) <= m < sqrt(2). */
static double split(double x, int *n)
{
    *n = 0;
    if (x < 0x1p-1022) {
        x *= 0x1p54;
        *n = -54;
    }
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    const uint64_t root = 0x3FE6A09E667F3BCDu; /* sqrt(1/2) */
    int exponent = (int)((bits - root) >> 52) - (bits < root ? 4096 : 0);
    bits -= (uint64_t)(int64_t)exponent << 52;
    *n += exponent;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* With f = m - 1 and s = f / (2 + f): log(1 + f) = 2 artanh(s) = 2s + s R(s^2), and 2s = f - s f = f -
 * f^2/2 + s f^2/2. f is exact and carries most of the result; the rest is small. */
double math_log(double x)
{
    if (!(x > 0.0)) return x == 0.0 ? -INFINITY : NAN;
    if (x == INFINITY) return x;
    int n;
    double f = split(x, &n) - 1.0;
    double s = f / (2.0 + f), z = s * s, r = 0.0;
    for (int k = 12; k >= 1; k--) r = fma(r, z, 2.0 / (2 * k + 1));
    r *= z;
    double half = 0.5 * f * f;
    return fma(n, LN2_HIGH, f - (half - fma(s, half + r, n * LN2_LOW)));
}

double math_exp(double x)
{
    if (x != x) return x;
    if (x > 709.79) return INFINITY;
    if (x < -745.2) return 0.0;
    double n = rint(x * 0x1.71547652b82fep+0);
    double r = fma(n, -LN2_LOW, fma(n, -LN2_HIGH, x));
    static const double inverse_factorial[] = {0x1p-1,
                                               0x1.5555555555555p-3,
                                               0x1.5555555555555p-5,
                                               0x1.1111111111111p-7,
                                               0x1.6c16c16c16c17p-10,
                                               0x1.a01a01a01a01ap-13,
                                               0x1.a01a01a01a01ap-16,
                                               0x1.71de3a556c734p-19,
                                               0x1.27e4fb7789f5cp-22,
                                               0x1.ae64567f544e4p-26,
                                               0x1.1eed8eff8d898p-29,
                                               0x1.6124613a86d09p-33};
    double p = 0.0;
    for (int k = (int)(sizeof inverse_factorial / sizeof *inverse_factorial) - 1; k >= 0; k--)
        p = fma(p, r, inverse_factorial[k]);
    double y = 1.0 + fma(r * r, p, r);
    int low = (int)n / 2; /* two factors: 2^1024 is not a double, and 2^-1074 is subnormal */
    return y * power_of_two(low) * power_of_two((int)n - low);
}
