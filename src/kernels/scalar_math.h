/* The project's own log and exp in double precision. They do not depend on the C library, so their bits
 * are the same everywhere. At most 1 ulp. */
#ifndef KERNELS_SCALAR_MATH_H
#define KERNELS_SCALAR_MATH_H

/* -infinity for 0, NaN for negative x and NaN. */
double math_log(double x);
/* Infinity above 709.79, gradual underflow to 0 below -708.4. */
double math_exp(double x);
#endif
