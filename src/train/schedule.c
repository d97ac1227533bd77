#include "train/schedule.h"
#include <math.h>

/* Taylor's series of sin and cos of y, |y| <= pi/4: the terms left out are below 1e-16. */
static double sine(double y)
{
    const double z = y * y;
    double sum = 0.0;
    for (int k = 17; k > 1; k -= 2) sum = fma(sum, z, 1.0) * (-1.0 / ((double)k * (double)(k - 1)));
    return y * fma(sum, z, 1.0);
}

static double cosine(double y)
{
    const double z = y * y;
    double sum = 0.0;
    for (int k = 18; k > 0; k -= 2) sum = fma(sum, z, 1.0) * (-1.0 / ((double)k * (double)(k - 1)));
    return fma(sum, z, 1.0);
}

double cos_pi(double x)
{
    const double pi = 0x1.921fb54442d18p+1;
    if (x > 0.5) return -cos_pi(1.0 - x);
    return x > 0.25 ? sine(pi * (0.5 - x)) : cosine(pi * x);
}

double schedule_rate(double rate, int t, int steps, int warmup)
{
    const double up = t + 1 < warmup ? (double)(t + 1) / (double)warmup : 1.0;
    return rate * up * fma(0.475, cos_pi((double)t / (double)steps), 0.5);
}
