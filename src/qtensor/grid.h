/* Grids: how scale, zero and codes follow from the range of the weights that share them. This is rounding to nearest; calibrated
 * methods choose other ranges or codes for the same grids. */
#ifndef QTENSOR_GRID_H
#define QTENSOR_GRID_H
#include "qtensor/qtensor.h"

struct choice {
    float scale, zero;            /* as stored; zero is the zero point or the minimum */
    float divisor, shift, offset; /* stored code = clamp(rint((w - shift) / divisor) + offset), see pack.h */
};

struct grid {
    /* From the least and the largest weight; half: scale and minimum are stored as float16, and codes are
     * computed with what is stored. */
    struct choice (*choose)(float lo, float hi, int bits, bool half);
    float least;   /* of the stored codes */
    bool truncate; /* the notes' cast */
};

const struct grid *grid_of(enum qgrid grid);
/* Whether what is stored is finite. */
bool choice_is_finite(struct choice c);
#endif
