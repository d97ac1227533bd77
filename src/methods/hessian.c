#include "methods/hessian.h"
#include "base/memory.h"
#include "kernels/half.h"
#include <math.h>

#define PIECE 256 /* tokens added together */
#define TILE  96
#define COLS  64 /* inputs whose statistics a thread takes together */

gpt2q_status layer_inputs_create(struct layer_inputs *m, int n, bool with_h, bool with_reference,
                                 gpt2q_error *err)
{
    *m = (struct layer_inputs){.n = n, .finite = true};
    const size_t piece = PIECE * square_stride(n);
    gpt2q_status s = with_h ? square_create(&m->h, n, err) : GPT2Q_OK;
    if (!s && with_reference) s = square_create(&m->d, n, err);
    m->sum_abs = mem_zarray((size_t)n, sizeof *m->sum_abs);
    m->square = mem_zarray((size_t)n, sizeof *m->square);
    m->max_abs = mem_zarray((size_t)n, sizeof *m->max_abs);
    m->x = mem_zarray(piece, sizeof *m->x);
    m->gap = mem_zarray(with_reference ? piece : 1, sizeof *m->gap);
    if (!s && (!m->sum_abs || !m->square || !m->max_abs || !m->x || !m->gap))
        s = error_memory(err, "the moments of a layer's inputs", 2 * piece * sizeof(double));
    if (s) layer_inputs_free(m);
    return s;
}

void layer_inputs_drop_squares(struct layer_inputs *m)
{
    square_free(&m->h);
    square_free(&m->d);
    mem_free(m->x);
    mem_free(m->gap);
    m->x = m->gap = NULL;
}

void layer_inputs_free(struct layer_inputs *m)
{
    layer_inputs_drop_squares(m);
    mem_free(m->sum_abs);
    mem_free(m->square);
    mem_free(m->max_abs);
    *m = (struct layer_inputs){0};
}

struct addition {
    struct layer_inputs *m;
    const struct workers *w;
    const float *x, *x_ref;
    int rows;
    size_t ld;
};

static void convert_item(void *arg, int64_t item, int thread)
{
    const struct addition *a = arg;
    const size_t n = (size_t)a->m->n, at = (size_t)item;
    double *x = a->m->x + at * a->ld, *gap = a->m->gap + at * a->ld;
    (void)thread;
    a->w->ops->to_double(a->x + at * n, n, x);
    if (!a->m->d.at) return;
    a->w->ops->to_double(a->x_ref + at * n, n, gap);
    for (size_t i = 0; i < n; i++) gap[i] -= x[i];
}

/* C += (rows i0.. of from)^T x for one tile of C. */
static void add_tile(const struct addition *a, struct square *c, const double *from, int i0, int j0)
{
    const struct dense_product p = {.m = c->n - i0 < TILE ? c->n - i0 : TILE,
                                    .n = c->n - j0 < TILE ? c->n - j0 : TILE,
                                    .k = a->rows,
                                    .a = from + i0,
                                    .a_row = 1,
                                    .a_k = a->ld,
                                    .b = a->m->x + j0,
                                    .ldb = a->ld,
                                    .c = square_row(c, i0) + j0,
                                    .ldc = c->ld};
    a->w->ops->product(&p);
}

static void tile_item(void *arg, int64_t item, int thread)
{
    const struct addition *a = arg;
    const int side = (a->m->n + TILE - 1) / TILE, i = (int)(item / side) * TILE,
              j = (int)(item % side) * TILE;
    (void)thread;
    if (i <= j && a->m->h.at) add_tile(a, &a->m->h, a->m->x, i, j);
    if (a->m->d.at) add_tile(a, &a->m->d, a->m->gap, i, j);
}

static void statistics_item(void *arg, int64_t item, int thread)
{
    const struct addition *a = arg;
    const int first = (int)item * COLS, last = first + COLS < a->m->n ? first + COLS : a->m->n;
    (void)thread;
    for (int r = 0; r < a->rows; r++)
        for (int j = first; j < last; j++) {
            const float x = fabsf(a->x[(size_t)r * (size_t)a->m->n + (size_t)j]);
            a->m->sum_abs[j] += (double)x;
            a->m->square[j] += (double)x * (double)x;
            a->m->max_abs[j] = x > a->m->max_abs[j] ? x : a->m->max_abs[j];
        }
}

void layer_inputs_add(struct layer_inputs *m, const struct workers *w, const float *x, const float *x_ref,
                      int rows)
{
    struct addition a = {.m = m, .w = w, .ld = square_stride(m->n)};
    const int64_t side = (m->n + TILE - 1) / TILE;
    for (int r0 = 0; r0 < rows; r0 += PIECE) {
        a.rows = rows - r0 < PIECE ? rows - r0 : PIECE;
        a.x = x + (size_t)r0 * (size_t)m->n;
        a.x_ref = x_ref ? x_ref + (size_t)r0 * (size_t)m->n : NULL;
        crew_each(w->crew, (m->n + COLS - 1) / COLS, statistics_item, &a);
        if (!m->h.at) continue;
        crew_each(w->crew, a.rows, convert_item, &a);
        crew_each(w->crew, side * side, tile_item, &a);
    }
    m->tokens += (uint64_t)rows;
}

struct scaling {
    struct square *s;
    double factor;
};

static void scale_rows(void *arg, int64_t item, int thread)
{
    const struct scaling *c = arg;
    double *row = square_row(c->s, (int)item);
    (void)thread;
    for (int j = 0; j < c->s->n; j++) row[j] *= c->factor;
}

void layer_inputs_finish(struct layer_inputs *m, const struct workers *w)
{
    const double factor = 2.0 / (double)m->tokens;
    for (int j = 0; j < m->n; j++) {
        if (!isfinite(m->sum_abs[j])) m->finite = false;
        m->sum_abs[j] /= (double)m->tokens;
        m->square[j] *= factor;
    }
    if (m->h.at) square_mirror(w, &m->h, factor);
    struct scaling d = {&m->d, factor};
    if (m->d.at) crew_each(w->crew, m->n, scale_rows, &d);
}

/* Counts by the high half of the bits, then by the low half: magnitudes and their bits have the same
 * order. */
gpt2q_status layer_inputs_percentile(struct layer_inputs *m, const float *x, size_t n, double percent,
                                     gpt2q_error *err)
{
    uint64_t *counts = mem_zarray(1 << 16, sizeof *counts);
    uint64_t rank = (uint64_t)ceil(percent / 100.0 * (double)n), below = 0;
    if (!counts) return error_memory(err, "a histogram", sizeof *counts << 16);
    if (rank < 1) rank = 1;
    uint32_t half[2] = {0, 0};
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < n; i++) {
            const uint32_t bits = float_bits(x[i]) & 0x7FFFFFFFu;
            if (!pass) counts[bits >> 16]++;
            if (pass && bits >> 16 == half[0]) counts[bits & 0xFFFFu]++;
        }
        for (half[pass] = 0; below + counts[half[pass]] < rank; half[pass]++) below += counts[half[pass]];
        for (uint32_t i = 0; i < 1u << 16; i++) counts[i] = 0;
    }
    m->percentile = float_from_bits(half[0] << 16 | half[1]);
    mem_free(counts);
    return GPT2Q_OK;
}
