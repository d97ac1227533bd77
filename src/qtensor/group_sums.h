/* Rows times the unpacked codes of some groups of a panel, for integer activations. group_matmul.isa.h unpacks and calls. */
#ifndef QTENSOR_GROUP_SUMS_H
#define QTENSOR_GROUP_SUMS_H
#include "qtensor/qinput.h"

#define GROUP_TILE 6 /* rows in registers; a tile of a block has at least half as many */

/* The parameters of a group's 64 outputs. A sum of u*x begins with start * X; s and m are those of code_matmul.isa.h. */
struct group_params {
    _Alignas(64) float s[PANEL];
    float m[PANEL];
    int32_t start[PANEL]; /* all the same unless there are zero points */
};

struct group_block {
    const uint8_t *codes; /* [inputs / 4][32 outputs][4], of the other 32 outputs `half` bytes later */
    size_t half;
    const struct group_params *params; /* of each group */
    enum qzero zero;
    int count, group;       /* groups, and the inputs of one */
    const int8_t *hi;       /* the first row's codes of the first input */
    size_t x_stride;        /* from row to row */
    ptrdiff_t lo;           /* from hi to lo; 0: i8, which has no lo */
    const int32_t *sums;    /* X of the first row, its hi, the first group; that of lo is `groups` later */
    int groups;             /* of a whole row: the next row's X are 2 * groups later */
    float (*totals)[PANEL]; /* of each row; they go on */
    const uint8_t *ahead;   /* what is fetched into the second-level cache meanwhile */
    size_t ahead_step;      /* bytes of it with each group of each tile and half */
};

/* n rows, at least half a tile. */
typedef void group_sums_fn(const struct group_block *b, int n);
group_sums_fn group_sums_avx512vnni, group_sums_amx;
#endif
