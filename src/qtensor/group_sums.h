/* Rows times the unpacked codes of some groups of a panel, for 8-bit activations. group_matmul.isa.h unpacks and calls. */
#ifndef QTENSOR_GROUP_SUMS_H
#define QTENSOR_GROUP_SUMS_H
#include "qtensor/qinput.h"

#define GROUP_COUNT 32 /* groups unpacked together, at most */
#define GROUP_TILE  6  /* rows in registers; a tile of a block has at least half as many */

/* The parameters of a group's 64 outputs: those of code_matmul.isa.h; z as an integer. */
struct group_params {
    _Alignas(64) float s[PANEL];
    float m[PANEL];
    int32_t z[PANEL];
};

struct group_block {
    const uint8_t *codes; /* [inputs / 4][32 outputs][4], of the other 32 outputs `half` bytes later */
    size_t half;
    const struct group_params *params; /* of each group */
    enum qzero zero;
    int count, group;    /* groups, and the inputs of one */
    const int8_t *x;     /* the first row's codes of the first input */
    size_t x_stride;     /* from row to row */
    const int32_t *sums; /* X of the first row, the first group */
    size_t sums_stride;  /* from row to row */
    int32_t (*starts)
        [GROUP_COUNT]; /* of each row: what sums of u*x begin with, without a zero point: -h*X or, with a minimum, 0 */
    float (*totals)[PANEL]; /* of each row; they go on */
    const uint8_t *ahead;   /* what is fetched into the second-level cache meanwhile */
    size_t ahead_step;      /* bytes of it with each group of each tile and half */
};

/* n rows, at least half a tile. */
typedef void group_sums_fn(const struct group_block *b, int n);
group_sums_fn group_sums_avx512vnni;
#endif
