/* Conversions between float and the small float formats of OCP's OFP8 and MX specifications, one value at a time. They are the
 * definition with which vector versions are compared.
 *
 *     e4m3   bias 7, no infinity, NaN where all bits but the sign are set; largest 448, least 2^-9
 *     e5m2   bias 15, infinity and NaN as IEEE 754 has them: the upper half of a float16; largest 57344, least 2^-16
 *     e8m0   2^(byte - 127), no sign, no zero; 255 is NaN
 *
 * To e4m3 and e5m2: to nearest, ties to the even code, saturating: magnitudes beyond the largest number become it. The sign of zero
 * stays. A NaN is not converted. */
#ifndef KERNELS_FLOAT8_H
#define KERNELS_FLOAT8_H
#include "kernels/half.h"
#include <math.h>

#define E4M3_LARGEST 448.0f
#define E5M2_LARGEST 57344.0f

static inline float float_from_e5m2(uint8_t code) { return float_from_f16((uint16_t)(code << 8)); }

/* Its bits, as those of a float16, are 2^-8 times the number. */
static inline float float_from_e4m3(uint8_t code)
{
    if ((code & 0x7Fu) == 0x7Fu) return NAN;
    return 256.0f * float_from_f16((uint16_t)((code & 0x80u) << 8 | (code & 0x7Fu) << 7));
}

static inline float float_from_e8m0(uint8_t code)
{
    if (code == 255) return NAN;
    return float_from_bits(code ? (uint32_t)code << 23 : 0x00400000u);
}

/* A float format of one byte: `mantissa` bits, the least normal exponent, the code of the largest number. */
static inline uint8_t float8_from_float(float f, int mantissa, int least, unsigned largest)
{
    const uint32_t sign = float_bits(f) >> 24 & 0x80u, u = float_bits(f) & 0x7FFFFFFFu;
    const int shift = 23 - mantissa;
    uint32_t code;
    if (u < (uint32_t)(least + 127) << 23) /* subnormal, or rounded up to the least normal number */
        code =
            (uint32_t)rintf(float_from_bits(u) * float_from_bits((uint32_t)(127 + mantissa - least) << 23));
    else
        code = ((u + ((1u << (shift - 1)) - 1) + (u >> shift & 1u)) >> shift) -
               ((uint32_t)(least + 126) << mantissa);
    return (uint8_t)(sign | (code < largest ? code : largest));
}
static inline uint8_t e4m3_from_float(float f) { return float8_from_float(f, 3, -6, 0x7E); }
static inline uint8_t e5m2_from_float(float f) { return float8_from_float(f, 2, -14, 0x7B); }
#endif
