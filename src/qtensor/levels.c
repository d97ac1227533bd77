#include "qtensor/levels.h"
#include "kernels/float8.h"

static const struct code_book *book_of(enum qformat format)
{
    return format == QF_NF4 ? &book_nf4 : &book_e2m1;
}

bool format_rounds_levels(enum qformat format)
{
    const struct code_book *book = book_of(format);
    if (!format_facts[format].has_levels || format_facts[format].bits != 4) return false; /* no book */
    for (int i = 0; i < BOOK_LEVELS; i++)
        if ((float)(book->integer[i] - 128) * book->unit != book->level[i]) return true;
    return false;
}

float format_level(enum qformat format, int code)
{
    switch (format) {
    case QF_E4M3: return float_from_e4m3((uint8_t)code);
    case QF_E5M2: return float_from_e5m2((uint8_t)code);
    default: return book_of(format)->level[code];
    }
}

float format_largest_level(enum qformat format)
{
    switch (format) {
    case QF_NF4: return 1.0f;
    case QF_E4M3: return E4M3_LARGEST;
    case QF_E5M2: return E5M2_LARGEST;
    default: return 6.0f;
    }
}

float format_gap(enum qformat format)
{
    switch (format) {
    case QF_NF4: return book_nf4.level[1] - book_nf4.level[0];
    case QF_E4M3: return E4M3_LARGEST - 416.0f;
    case QF_E5M2: return E5M2_LARGEST - 49152.0f;
    default: return 2.0f;
    }
}

static float largest_of(float lo, float hi) { return -lo > hi ? -lo : hi; }

float level_factor(float lo, float hi) { return largest_of(lo, hi) / (6.0f * E4M3_LARGEST); }

struct choice level_choose(struct scheme scheme, float factor, float lo, float hi)
{
    const float largest = largest_of(lo, hi);
    struct choice c = {0};
    switch (scheme_scale(scheme)) {
    case QSCALE_F16: c.scale = float_from_f16(f16_from_float(largest)); break;
    case QSCALE_F32: c.scale = largest / format_largest_level(scheme.format); break;
    case QSCALE_E8M0: {
        const uint32_t exponent = float_bits(largest) >> 23;
        c.byte = (uint8_t)(exponent > 2 ? exponent - 2 : 0);
        c.scale = float_from_e8m0(c.byte);
        break;
    }
    case QSCALE_E4M3:
        c.byte = factor > 0.0f ? e4m3_from_float(largest / 6.0f / factor) : 0;
        c.scale = float_from_e4m3(c.byte) * factor;
        break;
    }
    c.divisor = c.scale > 0.0f ? c.scale : INFINITY;
    return c;
}
