/* Makes a quantized tensor from codes and scales that a method has chosen. */
#ifndef QTENSOR_FROM_CODES_H
#define QTENSOR_FROM_CODES_H
#include "qtensor/qtensor.h"

/* In plain order. A channel is one group of all inputs. */
struct coded_matrix {
    const char *name; /* for messages */
    int rows, cols;
    const uint8_t *codes; /* (rows, cols), unsigned: 0 .. 2^bits - 1 */
    const float *scale;   /* (rows, groups) */
    /* (rows, groups): the unsigned code that stands for 0. affine: whole; minmax: any, held as -zero *
     * scale. */
    const float *zero;
};

/* Lays them out in memory of the tensor's own. The scheme has codes, by channel or group. Refused: a scale
 * that is not finite as it is stored. */
gpt2q_status qtensor_from_codes(const struct coded_matrix *m, struct scheme scheme, struct qtensor *out,
                                gpt2q_error *err);
#endif
