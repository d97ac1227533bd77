/* Conversions between float and the 16-bit formats, one value at a time, rounding to nearest even. They
 * are the definition with which vector versions are compared. */
#ifndef KERNELS_HALF_H
#define KERNELS_HALF_H
#include <stdint.h>
#include <string.h>

static inline float float_from_bits(uint32_t u)
{
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}
static inline uint32_t float_bits(float f)
{
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    return u;
}

static inline float float_from_bf16(uint16_t h) { return float_from_bits((uint32_t)h << 16); }

static inline uint16_t bf16_from_float(float f)
{
    uint32_t u = float_bits(f);
    if ((u & 0x7FFFFFFFu) > 0x7F800000u) return (uint16_t)(u >> 16 | 0x40u); /* NaN stays NaN, made quiet */
    return (uint16_t)((u + 0x7FFFu + (u >> 16 & 1u)) >> 16);
}

static inline float float_from_f16(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000u) << 16, exponent = h >> 10 & 31u, mantissa = h & 0x3FFu;
    if (exponent == 31u)
        return float_from_bits(sign | 0x7F800000u | mantissa << 13 | (mantissa ? 0x400000u : 0u));
    if (exponent) return float_from_bits(sign | (exponent + 112u) << 23 | mantissa << 13);
    float f = (float)mantissa * 0x1p-24f; /* zero and subnormal: exact */
    return sign ? -f : f;
}

static inline uint16_t f16_from_float(float f)
{
    uint32_t u = float_bits(f), sign = u >> 16 & 0x8000u;
    u &= 0x7FFFFFFFu;
    if (u > 0x7F800000u) return (uint16_t)(sign | 0x7E00u | (u >> 13 & 0x3FFu)); /* NaN */
    if (u >= 0x477FF000u) return (uint16_t)(sign | 0x7C00u); /* rounds to 65536 or more: infinity */
    if (u < 0x38800000u) {                                   /* below 2^-14: subnormal or zero */
        float r = float_from_bits(u) + 0.5f; /* 0.5 has the last place 2^-24, like the result */
        return (uint16_t)(sign | (float_bits(r) - 0x3F000000u));
    }
    u += 0xFFFu + (u >> 13 & 1u);
    return (uint16_t)(sign | ((u - 0x38000000u) >> 13));
}
#endif
