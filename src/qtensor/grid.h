/* Grids: scale, zero and codes from the range of the weights that share them, by rounding to nearest.
 * Calibrated methods choose other ranges or codes for the same grids. */
#ifndef QTENSOR_GRID_H
#define QTENSOR_GRID_H
#include "qtensor/qtensor.h"

struct choice {
    float scale, zero;            /* as stored; zero is the zero point or the minimum */
    uint8_t byte;                 /* a scale of one byte, as stored */
    float divisor, shift, offset; /* stored code = clamp(rint((w - shift) / divisor) + offset), see pack.h */
};

struct grid {
    /* Chooses from the least and the largest weight. half: scale and minimum are stored as float16, and
     * codes are computed with the stored values. NULL: of levels. */
    struct choice (*choose)(float lo, float hi, int bits, bool half);
    float least;   /* the least stored code */
    bool truncate; /* the notes' cast */
};

const struct grid *grid_of(enum qgrid grid);
/* Whether the stored numbers are finite. */
bool choice_is_finite(struct choice c);
#endif
