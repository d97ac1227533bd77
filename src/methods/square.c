#include "methods/square.h"
#include "base/memory.h"
#include <math.h>
#include <string.h>

#define BLOCK 64 /* inputs eliminated together */
#define TILE  96 /* side of the tile that a thread updates */

gpt2q_status square_create(struct square *s, int n, gpt2q_error *err)
{
    *s = (struct square){.n = n, .ld = square_stride(n)};
    s->at = mem_zarray((size_t)n * s->ld, sizeof(double));
    if (s->at) return GPT2Q_OK;
    const size_t bytes = (size_t)n * s->ld * sizeof(double);
    *s = (struct square){0};
    return error_memory(err, "a matrix of inputs by inputs", bytes);
}

void square_free(struct square *s)
{
    mem_free(s->at);
    *s = (struct square){0};
}

static int blocks_of(int n, int side) { return (n + side - 1) / side; }

/* ---- mirror ---- */

struct mirror {
    struct square *s;
    double factor;
};

static void mirror_item(void *arg, int64_t item, int thread)
{
    const struct mirror *m = arg;
    const int i0 = (int)item * BLOCK, n = m->s->n, i1 = i0 + BLOCK < n ? i0 + BLOCK : n;
    (void)thread;
    for (int i = i0; i < i1;
         i++) /* a row below the diagonal is a column above it; no other thread writes it */
        for (int j = 0; j < i; j++) square_row(m->s, i)[j] = square_row(m->s, j)[i];
}

static void scale_item(void *arg, int64_t item, int thread)
{
    const struct mirror *m = arg;
    const int i0 = (int)item * BLOCK, n = m->s->n, i1 = i0 + BLOCK < n ? i0 + BLOCK : n;
    (void)thread;
    for (int i = i0; i < i1; i++)
        for (int j = 0; j < n; j++) square_row(m->s, i)[j] *= m->factor;
}

void square_mirror(const struct workers *w, struct square *s, double factor)
{
    struct mirror m = {s, factor};
    crew_each(w->crew, blocks_of(s->n, BLOCK), mirror_item, &m);
    crew_each(w->crew, blocks_of(s->n, BLOCK), scale_item, &m);
}

/* ---- the factor ---- */

struct elimination {
    const struct workers *w;
    struct square *r; /* R so far, above the diagonal; below is what remains */
    struct square *y; /* R^-T so far; NULL while R is made */
    int k0, k;        /* the block under way */
};

/* Columns of R right of the diagonal block. */
static void panel_item(void *arg, int64_t item, int thread)
{
    const struct elimination *e = arg;
    const int first = e->k0 + e->k + (int)item * TILE, left = e->r->n - first;
    double *row = square_row(e->r, e->k0);
    (void)thread;
    e->w->ops->solve(e->k, row + e->k0, e->r->ld, left < TILE ? left : TILE, row + first, e->r->ld);
}

/* Subtracts the block's part of R^T R: C(i, j) -= sum of R(k, i) R(k, j) over its rows k. */
static void trailing_item(void *arg, int64_t item, int thread)
{
    const struct elimination *e = arg;
    const int first = e->k0 + e->k, side = blocks_of(e->r->n - first, TILE);
    int i = 0;
    (void)thread;
    for (; item >= side - i; i++) item -= side - i; /* the tiles of row i begin at its diagonal */
    const int i0 = first + i * TILE, j0 = first + (i + (int)item) * TILE;
    const int m = e->r->n - i0 < TILE ? e->r->n - i0 : TILE, n = e->r->n - j0 < TILE ? e->r->n - j0 : TILE;
    const double *rows = square_row(e->r, e->k0);
    const struct dense_product p = {.m = m,
                                    .n = n,
                                    .k = e->k,
                                    .a = rows + i0,
                                    .a_row = 1,
                                    .a_k = e->r->ld,
                                    .b = rows + j0,
                                    .ldb = e->r->ld,
                                    .c = square_row(e->r, i0) + j0,
                                    .ldc = e->r->ld,
                                    .subtract = true};
    e->w->ops->product(&p);
}

static bool diagonal_block(const struct elimination *e)
{
    for (int i = e->k0; i < e->k0 + e->k; i++) {
        double *row = square_row(e->r, i);
        for (int j = e->k0; j < i; j++) {
            const double *above = square_row(e->r, j);
            for (int x = i; x < e->k0 + e->k; x++) row[x] = fma(-above[i], above[x], row[x]);
        }
        if (!(row[i] > 0.0) || row[i] == INFINITY) return false;
        const double pivot = sqrt(row[i]);
        for (int x = i; x < e->k0 + e->k; x++) row[x] /= pivot;
        row[i] = pivot;
    }
    return true;
}

static bool factor(const struct workers *w, struct square *r)
{
    for (int k0 = 0; k0 < r->n; k0 += BLOCK) {
        struct elimination e = {.w = w, .r = r, .k0 = k0, .k = r->n - k0 < BLOCK ? r->n - k0 : BLOCK};
        const int64_t side = blocks_of(r->n - k0 - e.k, TILE);
        if (!diagonal_block(&e)) return false;
        crew_each(w->crew, side, panel_item, &e);
        crew_each(w->crew, side * (side + 1) / 2, trailing_item, &e);
    }
    return true;
}

/* Columns of the block's rows of R^-T. */
static void inverse_panel_item(void *arg, int64_t item, int thread)
{
    const struct elimination *e = arg;
    const int first = (int)item * TILE, left = e->k0 + e->k - first;
    (void)thread;
    e->w->ops->solve(e->k, square_row(e->r, e->k0) + e->k0, e->r->ld, left < TILE ? left : TILE,
                     square_row(e->y, e->k0) + first, e->y->ld);
}

static void inverse_trailing_item(void *arg, int64_t item, int thread)
{
    const struct elimination *e = arg;
    const int across = blocks_of(e->k0 + e->k, TILE);
    const int i0 = e->k0 + e->k + (int)(item / across) * TILE, j0 = (int)(item % across) * TILE;
    const int m = e->r->n - i0 < TILE ? e->r->n - i0 : TILE,
              n = e->k0 + e->k - j0 < TILE ? e->k0 + e->k - j0 : TILE;
    (void)thread;
    const struct dense_product p = {.m = m,
                                    .n = n,
                                    .k = e->k,
                                    .a = square_row(e->r, e->k0) + i0,
                                    .a_row = 1,
                                    .a_k = e->r->ld,
                                    .b = square_row(e->y, e->k0) + j0,
                                    .ldb = e->y->ld,
                                    .c = square_row(e->y, i0) + j0,
                                    .ldc = e->y->ld,
                                    .subtract = true};
    e->w->ops->product(&p);
}

/* y = R^-T, lower triangular: solves R^T Y = I from the first row down. */
static void invert(const struct workers *w, struct square *r, struct square *y)
{
    for (int i = 0; i < y->n; i++) square_row(y, i)[i] = 1.0;
    for (int k0 = 0; k0 < r->n; k0 += BLOCK) {
        struct elimination e = {.w = w, .r = r, .y = y, .k0 = k0, .k = r->n - k0 < BLOCK ? r->n - k0 : BLOCK};
        const int64_t across = blocks_of(k0 + e.k, TILE), down = blocks_of(r->n - k0 - e.k, TILE);
        crew_each(w->crew, across, inverse_panel_item, &e);
        crew_each(w->crew, across * down, inverse_trailing_item, &e);
    }
}

static void reverse(struct square *s)
{
    for (int i = 0; i < (s->n + 1) / 2; i++) {
        double *a = square_row(s, i), *b = square_row(s, s->n - 1 - i);
        for (int j = 0; j < (a == b ? s->n / 2 : s->n); j++) {
            const double t = a[j];
            a[j] = b[s->n - 1 - j];
            b[s->n - 1 - j] = t;
        }
    }
}

gpt2q_status inverse_factor(const struct workers *w, const struct square *h, double damping,
                            const int32_t *perm, struct square *u, bool *positive, gpt2q_error *err)
{
    struct square r;
    const int n = h->n;
    *u = (struct square){0};
    *positive = false;
    gpt2q_status s = square_create(&r, n, err);
    if (s) return s;
    for (int i = 0; i < n; i++) {
        const double *from = square_row(h, perm[n - 1 - i]);
        for (int j = i; j < n; j++) square_row(&r, i)[j] = from[perm[n - 1 - j]];
        square_row(&r, i)[i] += damping;
    }
    *positive = factor(w, &r);
    if (*positive) s = square_create(u, n, err);
    if (!s && *positive) {
        invert(w, &r, u);
        reverse(u);
    }
    square_free(&r);
    return s;
}
