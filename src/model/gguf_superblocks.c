/* Every 16 or 32 values have a scale (and a minimum, which is subtracted) of a few bits, times the block's float16 ones. */
#include "model/gguf_superblocks.h"

const int8_t gguf_iq4_values[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

/* 16 scales and minima of 4 bits [16], codes of 2 bits [64], d, dmin. */
void gguf_codes_q2_k(const uint8_t *b, struct gguf_codes *out)
{
    const float d = half_at(b + 80), dmin = half_at(b + 82);
    for (int g = 0; g < 16; g++) {
        out->scale[g] = d * (float)(b[g] & 15), out->min[g] = -(dmin * (float)(b[g] >> 4));
        const uint8_t *q = b + 16 + g / 8 * 32 + g % 2 * 16;
        for (int i = 0; i < 16; i++) out->code[16 * g + i] = (int8_t)(q[i] >> g % 8 / 2 * 2 & 3);
    }
}

/* Third bits [32], codes of 2 bits [64], 16 scales of 6 bits, less 32 [12], d. */
void gguf_codes_q3_k(const uint8_t *b, struct gguf_codes *out)
{
    const float d = half_at(b + 108);
    const uint8_t *s = b + 96;
    for (int g = 0; g < 16; g++) {
        const int low = g < 8 ? s[g] & 15 : s[g - 8] >> 4, high = s[8 + g % 4] >> g / 4 * 2 & 3;
        const uint8_t *third = b + g % 2 * 16, *q = b + 32 + g / 8 * 32 + g % 2 * 16;
        out->scale[g] = d * (float)((low | high << 4) - 32);
        for (int i = 0; i < 16; i++)
            out->code[16 * g + i] = (int8_t)((q[i] >> g % 8 / 2 * 2 & 3) - (third[i] >> g / 2 & 1 ? 0 : 4));
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

/* d, dmin, pairs [12]. */
static void scale_pairs(const uint8_t *b, struct gguf_codes *out)
{
    const float d = half_at(b), dmin = half_at(b + 2);
    for (int g = 0; g < 8; g++) {
        float scale, min;
        scale_pair(b + 4, g, &scale, &min);
        out->scale[g] = d * scale, out->min[g] = -(dmin * min);
    }
}

/* Scales, then 32 low nibbles and the 32 high ones, four times. */
void gguf_codes_q4_k(const uint8_t *b, struct gguf_codes *out)
{
    scale_pairs(b, out);
    for (int pair = 0; pair < 4; pair++)
        for (int i = 0; i < 32; i++) {
            const uint8_t q = b[16 + pair * 32 + i];
            out->code[64 * pair + i] = (int8_t)(q & 15), out->code[64 * pair + 32 + i] = (int8_t)(q >> 4);
        }
}

/* The same, with fifth bits [32] before the nibbles. */
void gguf_codes_q5_k(const uint8_t *b, struct gguf_codes *out)
{
    scale_pairs(b, out);
    for (int g = 0; g < 8; g++)
        for (int i = 0; i < 32; i++)
            out->code[32 * g + i] =
                (int8_t)((b[48 + g / 2 * 32 + i] >> g % 2 * 4 & 15) | (b[16 + i] >> g & 1) << 4);
}

/* Nibbles [128], upper two bits [64], 16 scales of 8 bits, d. */
void gguf_codes_q6_k(const uint8_t *b, struct gguf_codes *out)
{
    const float d = half_at(b + 208);
    int8_t scale[16];
    memcpy(scale, b + 192, sizeof scale);
    for (int g = 0; g < 16; g++) out->scale[g] = d * (float)scale[g];
    for (int half = 0; half < 2; half++)
        for (int quarter = 0; quarter < 4; quarter++)
            for (int l = 0; l < 32; l++) {
                const int low = b[half * 64 + quarter % 2 * 32 + l] >> quarter / 2 * 4 & 15;
                const int high = b[128 + half * 32 + l] >> quarter * 2 & 3;
                out->code[half * 128 + quarter * 32 + l] = (int8_t)((low | high << 4) - 32);
            }
}

/* d, upper bits of 8 scales of 6 bits, less 32, u16, lower ones [4], nibbles as IQ4_NL's. */
void gguf_codes_iq4_xs(const uint8_t *b, struct gguf_codes *out)
{
    const float d = half_at(b);
    const int high = b[2] | b[3] << 8;
    for (int g = 0; g < 8; g++) {
        out->scale[g] = d * (float)(((b[4 + g / 2] >> g % 2 * 4 & 15) | (high >> 2 * g & 3) << 4) - 32);
        for (int i = 0; i < 16; i++) {
            const uint8_t q = b[8 + 16 * g + i];
            out->code[32 * g + i] = gguf_iq4_values[q & 15];
            out->code[32 * g + 16 + i] = gguf_iq4_values[q >> 4];
        }
    }
}
