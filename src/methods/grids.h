/* The grids of calibrated rounding, in double. Weights that share a scale and a zero point get both from
 * their range. Codes are unsigned, 0 .. 2^bits - 1, and w' = (code - zero) * scale.
 *
 *     absmax  s = max|w| / (2^(bits-1) - 1), zero = 2^(bits-1), code 0 unused
 *     signed  s = e / -2^(bits-1), zero = 2^(bits-1); e: the end of larger magnitude, the lower one at a tie
 *     affine  s = (max - min)/(2^bits - 1), range widened to contain 0; zero = rint(-min/s) within the codes
 *
 * Scales are rounded to their stored type, float16 for groups and float32 for channels, before codes are
 * computed. */
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

/* Returns false for a scheme without such codes, with one scale for a tensor or an input, or with float
 * minima. */
bool code_scheme_of(struct scheme scheme, int cols, struct code_scheme *out);

struct code_range {
    double scale, divisor, zero;
};
struct code_range code_range_choose(const struct code_scheme *s, double least, double greatest);
static inline double code_least(const struct code_scheme *s) { return s->grid == GRID_ABSMAX ? 1.0 : 0.0; }
static inline double code_most(const struct code_scheme *s) { return (double)((1 << s->bits) - 1); }
/* The scale as it is stored. */
double stored_scale(const struct code_scheme *s, double scale);
/* The nearest float16, ties to even; infinity beyond its range. */
double round_to_f16(double x);

/* The scales of LANES outputs for one group. */
struct lane_scales {
    double scale[LANES], divisor[LANES], zero[LANES];
};
/* Chooses scales from the weights w [n][LANES] of a group. If cost (n) is not NULL, it searches the ranges
 * f*[least, greatest] for f = 1 .. 0.4 in 24 equal steps. The one with the least sum of cost * (w - w')^2
 * wins, the first of equals. */
void lane_scales_choose(const struct dense_ops *ops, const struct code_scheme *s, const double *w, int n,
                        const double *cost, struct lane_scales *out);

/* A matrix of codes in plain order: outputs by inputs. */
struct coded {
    struct scheme scheme;
    int rows, cols, groups;
    uint8_t *codes;      /* (rows, cols), unsigned */
    float *scale, *zero; /* (rows, groups); zero: 0 .. 2^bits - 1 */
    float *rounded;      /* (rows, cols) the values that were rounded, or NULL */
};
gpt2q_status coded_create(struct coded *c, struct scheme scheme, int rows, int cols, int group,
                          gpt2q_error *err);
void coded_free(struct coded *c);
/* Moves the codes into the engine's layout. */
gpt2q_status coded_pack(const struct coded *c, const char *name, struct qtensor *out, gpt2q_error *err);
#endif
