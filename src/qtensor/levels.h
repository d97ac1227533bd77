/* Formats whose codes stand for levels (QGRID_LEVELS): a weight is the level of its code times a scale. A book is the
 * table of a format with 16 levels. Formats share books, and so the kernels of the products.
 *
 *     nf4    the 16 float32 numbers that bitsandbytes publishes: quantiles of the normal distribution, -1 to 1
 *     e2m1   floats of four bits, of the MX specification: 0 0.5 1 1.5 2 3 4 6 and their negatives. mxfp4 and nvfp4
 *
 * With integer activations the levels are int8, too: rint(level / unit). nf4's unit is 1/127, and the error at most half of
 * it. e2m1's unit is 1/2, and there is no error.
 *
 * Scales, from the weights' largest magnitude m:
 *     nf4     float16(m)
 *     fp8     float32(m / largest)          by channel; the levels are all floats of a byte (kernels/float8.h)
 *     mxfp4   2^(floor(log2 m) - 2)         so that a weight beyond 6 scales is clipped, as the format wants it
 *     nvfp4   e4m3(m / 6 / f) * f           f = float32(m of the tensor / (6 * 448)), the tensor's factor */
#ifndef QTENSOR_LEVELS_H
#define QTENSOR_LEVELS_H
#include "qtensor/grid.h"

#define BOOK_LEVELS 16

struct code_book {
    float level[BOOK_LEVELS];     /* by code */
    uint8_t integer[BOOK_LEVELS]; /* the level as int8, + 128 */
    float unit;                   /* of the int8 levels */
    /* The code of w/s is how many of these n are less than it; each is the last float that rounds down. nf4's ties go to the
     * lower level. e2m1's go to the even code, and |w/s| is looked at: 8 more where w/s < 0. */
    float below[BOOK_LEVELS - 1];
    int n;
};

static const struct code_book book_nf4 = {
    .level = {-0x1p+0f, -0x1.647362p-1f, -0x1.0cd66p-1f, -0x1.94654p-2f, -0x1.23449ap-2f, -0x1.7a6a7ep-3f,
              -0x1.74f0e2p-4f, 0.0f, 0x1.45f5fep-4f, 0x1.4995c6p-3f, 0x1.f809bap-3f, 0x1.5a0674p-2f,
              0x1.c3497p-2f, 0x1.200f56p-1f, 0x1.722766p-1f, 0x1p+0f},
    .integer = {128 - 127, 128 - 88, 128 - 67, 128 - 50, 128 - 36, 128 - 23, 128 - 12, 128, 128 + 10,
                128 + 20, 128 + 31, 128 + 43, 128 + 56, 128 + 71, 128 + 92, 128 + 127},
    .unit = 1.0f / 127.0f,
    .below = {-0x1.b239b2p-1f, -0x1.38a4e2p-1f, -0x1.d709p-2f, -0x1.5bd4eep-2f, -0x1.e079dap-3f,
              -0x1.1a7178p-3f, -0x1.74f0e2p-5f, 0x1.45f5fep-5f, 0x1.ec90c4p-4f, 0x1.a0cfcp-3f, 0x1.2b05a8p-2f,
              0x1.8ea7f2p-2f, 0x1.00da06p-1f, 0x1.491b5ep-1f, 0x1.b913b2p-1f},
    .n = 15,
};

static const struct code_book book_e2m1 = {
    .level = {0.0f, 0.5f, 1.0f, 1.5f, 2.0f, 3.0f, 4.0f, 6.0f, -0.0f, -0.5f, -1.0f, -1.5f, -2.0f, -3.0f, -4.0f,
              -6.0f},
    .integer = {128, 129, 130, 131, 132, 134, 136, 140, 128, 127, 126, 125, 124, 122, 120, 116},
    .unit = 0.5f,
    .below = {0.25f, 0x1.7ffffep-1f, 1.25f, 0x1.bffffep+0f, 2.5f, 0x1.bffffep+1f, 5.0f},
    .n = 7,
};

/* Whether integer activations round the levels: some levels are no multiple of the unit. */
bool format_rounds_levels(enum qformat format);
/* The level of a code. */
float format_level(enum qformat format, int code);
float format_largest_level(enum qformat format);
/* The largest distance of two neighbouring levels: rounding errs by at most half of it, times the scale. */
float format_gap(enum qformat format);
/* The factor of a tensor whose weights go from lo to hi. */
float level_factor(float lo, float hi);
/* The scale of weights from lo to hi, as it is stored; a weight's code is that of w / divisor. */
struct choice level_choose(struct scheme scheme, float factor, float lo, float hi);
#endif
