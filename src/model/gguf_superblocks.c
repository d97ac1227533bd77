/* Every 16 or 32 values have a scale (and a minimum) of a few bits, times the block's float16 ones. */
#include "model/gguf_superblocks.h"
#include "kernels/half.h"

const int8_t gguf_iq4_values[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

static float half_at(const uint8_t *p) { return float_from_f16((uint16_t)(p[0] | p[1] << 8)); }

/* 16 scales and minima of 4 bits [16], codes of 2 bits [64], d, dmin. */
void gguf_decode_q2_k(const uint8_t *b, float *y)
{
    const float d = half_at(b + 80), dmin = half_at(b + 82);
    for (int g = 0; g < 16; g++) {
        const float scale = d * (float)(b[g] & 15), min = dmin * (float)(b[g] >> 4);
        const uint8_t *q = b + 16 + g / 8 * 32 + g % 2 * 16;
        for (int i = 0; i < 16; i++) *y++ = scale * (float)(q[i] >> g % 8 / 2 * 2 & 3) - min;
    }
}

/* Third bits [32], codes of 2 bits [64], 16 scales of 6 bits, less 32 [12], d. */
void gguf_decode_q3_k(const uint8_t *b, float *y)
{
    const float d = half_at(b + 108);
    const uint8_t *s = b + 96;
    for (int g = 0; g < 16; g++) {
        const int low = g < 8 ? s[g] & 15 : s[g - 8] >> 4, high = s[8 + g % 4] >> g / 4 * 2 & 3;
        const float scale = d * (float)((low | high << 4) - 32);
        const uint8_t *third = b + g % 2 * 16, *q = b + 32 + g / 8 * 32 + g % 2 * 16;
        for (int i = 0; i < 16; i++)
            *y++ = scale * (float)((q[i] >> g % 8 / 2 * 2 & 3) - (third[i] >> g / 2 & 1 ? 0 : 4));
    }
}

/* Pair j of 8 scales and minima of 6 bits. */
static void scale_pair(const uint8_t *s, int j, float *scale, float *min)
{
    if (j < 4)
        *scale = (float)(s[j] & 63), *min = (float)(s[j + 4] & 63);
    else
        *scale = (float)((s[j + 4] & 15) | s[j - 4] >> 6 << 4),
        *min = (float)(s[j + 4] >> 4 | s[j] >> 6 << 4);
}

/* d, dmin, pairs [12], then 32 low nibbles and the 32 high ones, four times. */
void gguf_decode_q4_k(const uint8_t *b, float *y)
{
    const float d = half_at(b), dmin = half_at(b + 2);
    for (int g = 0; g < 8; g++) {
        float scale, min;
        scale_pair(b + 4, g, &scale, &min);
        scale = d * scale, min = dmin * min;
        for (int i = 0; i < 32; i++) *y++ = scale * (float)(b[16 + g / 2 * 32 + i] >> g % 2 * 4 & 15) - min;
    }
}

/* The same, with fifth bits [32] before the nibbles. */
void gguf_decode_q5_k(const uint8_t *b, float *y)
{
    const float d = half_at(b), dmin = half_at(b + 2);
    for (int g = 0; g < 8; g++) {
        float scale, min;
        scale_pair(b + 4, g, &scale, &min);
        scale = d * scale, min = dmin * min;
        for (int i = 0; i < 32; i++) {
            const int q = (b[48 + g / 2 * 32 + i] >> g % 2 * 4 & 15) | (b[16 + i] >> g & 1) << 4;
            *y++ = scale * (float)q - min;
        }
    }
}

/* Nibbles [128], upper two bits [64], 16 scales of 8 bits, d. */
void gguf_decode_q6_k(const uint8_t *b, float *y)
{
    const float d = half_at(b + 208);
    for (int i = 0; i < 256; i++) {
        const int half = i / 128, quarter = i % 128 / 32, l = i % 32;
        const int low = b[half * 64 + quarter % 2 * 32 + l] >> quarter / 2 * 4 & 15;
        const int high = b[128 + half * 32 + l] >> quarter * 2 & 3;
        int8_t scale;
        memcpy(&scale, b + 192 + i / 16, 1);
        y[i] = d * (float)scale * (float)((low | high << 4) - 32);
    }
}

/* d, upper bits of 8 scales of 6 bits, less 32, u16, lower ones [4], nibbles as IQ4_NL's. */
void gguf_decode_iq4_xs(const uint8_t *b, float *y)
{
    const float d = half_at(b);
    const int high = b[2] | b[3] << 8;
    for (int g = 0; g < 8; g++, y += 32) {
        const float scale = d * (float)(((b[4 + g / 2] >> g % 2 * 4 & 15) | (high >> 2 * g & 3) << 4) - 32);
        for (int i = 0; i < 16; i++) {
            const uint8_t q = b[8 + 16 * g + i];
            y[i] = scale * (float)gguf_iq4_values[q & 15];
            y[i + 16] = scale * (float)gguf_iq4_values[q >> 4];
        }
    }
}
