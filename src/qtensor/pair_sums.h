/* Rows times the widened codes of some inputs of a panel, for 16-bit activations. pair_matmul.isa.h widens and calls. */
#ifndef QTENSOR_PAIR_SUMS_H
#define QTENSOR_PAIR_SUMS_H
#include "qtensor/qinput.h"

#define PAIR_TILE   6   /* rows in registers */
#define PAIR_INPUTS 256 /* widened together, at most: 16 KB for 32 outputs, of the first-level cache */
#define PAIR_GROUPS (PAIR_INPUTS / 8) /* the pieces of them, at most */
/* Rows: for fewer, widening costs as much as it saves. Groups gain more, since both planes end as one sum. Without groups there is nothing
 * to gain where additions cost as much as products. */
#define PAIR_LEAST_GROUPS 12
#define PAIR_LEAST        48

/* Pieces of a row: groups, or stretches of PAIR_INPUTS. Their sums fit int32. */
static inline int pair_piece(const struct qtensor *w)
{
    return w->scheme.gran == QG_GROUP ? w->scheme.group : PAIR_INPUTS;
}
static inline int pair_pieces(const struct qtensor *w)
{
    return (w->cols + pair_piece(w) - 1) / pair_piece(w);
}

/* Whether a product goes this way; then `prepare` makes 16-bit codes for it. */
static inline bool pairs_take(const struct qtensor *w, const struct qinput *x)
{
    const struct scheme s = w->scheme;
    if (x->kind != ACTIVATIONS_I16) return false;
    if (s.gran == QG_GROUP)
        return x->n >= PAIR_LEAST_GROUPS && s.group <= PAIR_INPUTS && qtensor_piece(w, x->kind) == s.group;
    return x->free_sums && x->n >= PAIR_LEAST && s.gran != QG_INPUT && scheme_zero(s) == QZERO_NONE;
}

/* The 16-bit codes of a row, each four inputs in the order 0 2 1 3. */
static inline int16_t *pair_codes(const struct qinput *x, int row)
{
    return x->wide + (size_t)row * (((size_t)x->cols + 63) / 64 * 64);
}

/* What prepare makes of the codes of every piece, modulo 2^32: their sum X, and what a sum begins with beside the outputs' part:
 * - the x0 x1 + x2 x3 of its even quads if those are sums of pairs, less what turns stored codes into signed ones, or more what does the contrary. */
enum pair_sum { PAIR_X, PAIR_START, PAIR_SUMS };
static inline int32_t *pair_sums_of(const struct qinput *x, int row, enum pair_sum which, int pieces)
{
    return x->code_sums + (size_t)(row * PAIR_SUMS + (int)which) * (size_t)pieces;
}

/* Of a piece's 32 outputs. */
struct pair_params {
    _Alignas(64) float s[32];
    float m[32];
    int32_t z[32];
    int32_t start[32]; /* - the w0 w1 + w2 w3 of its even quads, or 0 */
};

/* How a piece ends: as code_matmul.isa.h has it for a group of each case of zero, or a stretch of a row. */
enum pair_end { PAIR_NONE, PAIR_POINT, PAIR_MINIMUM, PAIR_STRETCH, PAIR_ENDS };

struct pair_block {
    const int16_t
        *codes; /* [quads, even and odd in turn][2 vectors][2: inputs 0 and 2, 1 and 3][16 outputs][2] */
    const struct pair_params *params; /* of each piece */
    enum pair_end end;
    bool free_sums;         /* even quads are sums of pairs */
    int count, quads;       /* pieces; pairs of quads in each */
    const int16_t *x;       /* the first row's codes of the first input */
    size_t x_stride;        /* from row to row */
    const int32_t *sums;    /* X of the first row, the first piece; the starts are `pieces` later */
    int pieces;             /* of a whole row: the next row's sums are PAIR_SUMS * pieces later */
    float (*totals)[PANEL]; /* of each row, from the first of the 32 outputs on; they go on */
    int32_t (*high)[PANEL]; /* PAIR_STRETCH: totals are 256 * high + low instead */
    int32_t (*low)[PANEL];
    const uint8_t *ahead; /* what is fetched into the second-level cache meanwhile */
    size_t ahead_step;    /* bytes of it with each piece of each tile */
};

typedef void pair_sums_fn(const struct pair_block *b, int n);
pair_sums_fn pair_sums_avx512vnni;
#endif
