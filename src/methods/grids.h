/* The grids of CALIBRATED rounding in double: scale and zero point of weights that share them, from their range. Codes are unsigned,
 * 0 .. 2^bits - 1, and w' = (code - zero) * scale.
 *
 *     absmax   s = max|w| / (2^(bits-1) - 1), zero = 2^(bits-1), code 0 unused
 *     signed   s = (the end of larger magnitude, the least at a tie) / -2^(bits-1), zero = 2^(bits-1)
 *     affine   s = (max - min)/(2^bits - 1) of the range widened to contain 0, zero = rint(-min/s) within the codes
 *
 * Scales are rounded as they are stored, to float16 for groups and float32 for channels, before codes are computed. */
#ifndef METHODS_GRIDS_H
#define METHODS_GRIDS_H
#include "methods/dense.h"
#include "qtensor/qtensor.h"

enum code_grid { GRID_ABSMAX, GRID_SIGNED, GRID_AFFINE };

struct code_scheme {
    enum code_grid grid;
    int bits;
    int group; /* inputs that share a scale */
    bool half; /* scales are stored as float16 */
};

/* False where the scheme has no codes of this kind, one scale for a whole tensor or an input, or float minima. */
bool code_scheme_of(struct scheme scheme, int cols, struct code_scheme *out);

struct code_range {
    double scale, divisor, zero;
};
struct code_range code_range_choose(const struct code_scheme *s, double least, double greatest);
static inline double code_least(const struct code_scheme *s) { return s->grid == GRID_ABSMAX ? 1.0 : 0.0; }
static inline double code_most(const struct code_scheme *s) { return (double)((1 << s->bits) - 1); }
/* As it is stored. */
double stored_scale(const struct code_scheme *s, double scale);
/* The nearest float16, ties to even; infinity beyond. */
double round_to_f16(double x);

/* The scales of LANES outputs, of one group. */
struct lane_scales {
    double scale[LANES], divisor[LANES], zero[LANES];
};
/* From the weights w [n][LANES] of a group. With cost (n) not NULL, the clip search: of the ranges f*[least, greatest], f = 1 ..
 * 0.4 in 24 equal steps, the one with the least sum of cost * (w - w')^2, the first of equals. */
void lane_scales_choose(const struct dense_ops *ops, const struct code_scheme *s, const double *w, int n,
                        const double *cost, struct lane_scales *out);

/* A matrix in codes, as people count: outputs by inputs. */
struct coded {
    struct scheme scheme;
    int rows, cols, groups;
    uint8_t *codes;      /* (rows, cols), unsigned */
    float *scale, *zero; /* (rows, groups); zero: 0 .. 2^bits - 1 */
};
gpt2q_status coded_create(struct coded *c, struct scheme scheme, int rows, int cols, int group,
                          gpt2q_error *err);
void coded_free(struct coded *c);
/* In the engine's layout. */
gpt2q_status coded_pack(const struct coded *c, const char *name, struct qtensor *out, gpt2q_error *err);
#endif
