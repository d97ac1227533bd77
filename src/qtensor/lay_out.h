/* Writes a quantized tensor part by part, from codes and scales that exist already. */
#ifndef QTENSOR_LAY_OUT_H
#define QTENSOR_LAY_OUT_H
#include "qtensor/qtensor.h"
#include <string.h>

struct qtensor_parts {
    uint8_t *codes;
    void *scale, *zero; /* NULL: the scheme has none */
    float *factor;
};
/* Points *out and *parts into memory: qtensor_memory bytes, the caller's. False: the scheme does not fit the shape. */
bool qtensor_lay_out(struct scheme scheme, int rows, int cols, void *memory, struct qtensor *out,
                     struct qtensor_parts *parts);

/* Writes n stored codes (0 and more) of output o of a panel, from input k on. The format is i8, i4 or i2. k and n are multiples of 8 and of a
 * step. */
static inline void qtensor_put_codes(const struct qtensor *w, uint8_t *codes, int panel, int o, int k, int n,
                                     const uint8_t *from)
{
    const int step = format_facts[w->scheme.format].inputs;
    uint8_t *to = codes + (size_t)panel * w->panel_bytes + ((size_t)(k / step) * PANEL + (size_t)o) * 4;
    for (int i = 0; i < n; i += step, to += (size_t)PANEL * 4) {
        uint8_t word[4];
        if (step == 4)
            memcpy(word, from + i, 4);
        else if (step == 8)
            for (int b = 0; b < 4; b++) word[b] = (uint8_t)(from[i + b] | from[i + 4 + b] << 4);
        else
            for (int b = 0; b < 4; b++)
                word[b] = (uint8_t)(from[i + b] | from[i + 4 + b] << 2 | from[i + 8 + b] << 4 |
                                    from[i + 12 + b] << 6);
        memcpy(to, word, 4);
    }
}

/* Reads n stored codes of an output from input k on. The format is i8 or i4. */
static inline void qtensor_get_codes(const struct qtensor *w, int row, int k, int n, uint8_t *to)
{
    const int step = format_facts[w->scheme.format].inputs;
    const uint8_t *from = w->codes + (size_t)(row / PANEL) * w->panel_bytes +
                          ((size_t)(k / step) * PANEL + (size_t)(row % PANEL)) * 4;
    for (int i = 0; i < n; i += step, from += (size_t)PANEL * 4) {
        if (step == 4) {
            memcpy(to + i, from, 4);
            continue;
        }
        for (int b = 0; b < 4; b++) to[i + b] = from[b] & 15, to[i + 4 + b] = from[b] >> 4;
    }
}
#endif
