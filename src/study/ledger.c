#include "study/ledger.h"
#include "base/memory.h"
#include "base/status.h"
#include "kernels/scalar_math.h"
#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define LEDGER_BYTES ((size_t)16 << 20) /* bytes of the reference's intermediates in a tile */

const char *ledger_reading_name(enum ledger_reading reading)
{
    return reading == LEDGER_LOCAL ? "local" : "accumulated";
}

double ledger_relative_error(const struct ledger_line *l)
{
    return l->difference == 0 ? 0 : sqrt(l->difference / l->reference);
}

double ledger_cosine(const struct ledger_line *l)
{
    double norms = sqrt(l->reference) * sqrt(l->model);
    return norms == 0 ? (double)NAN : l->product / norms;
}

double ledger_snr_db(const struct ledger_line *l)
{
    const double decibels = 4.342944819032518; /* 10 / log(10) */
    return l->difference == 0 ? (double)INFINITY : decibels * math_log(l->reference / l->difference);
}

/* ---- the two observers ---- */

struct book {
    struct ledger *ledger;
    enum ledger_reading reading;
    const struct folding *folded; /* or NULL */
    float *unfolded;              /* an intermediate of the model without what is folded into it */
    float *tile;                  /* the reference's intermediates of a tile, one after another */
    size_t lines, floats;         /* room */
    size_t line, at;              /* the place of this pass */
};

static void keep(void *user, const char *name, float *data, int32_t rows_first, int32_t rows, int32_t cols)
{
    struct book *b = user;
    size_t n = (size_t)rows * (size_t)cols;
    (void)rows_first; /* a tile is one pass */
    assert(b->line < b->lines && b->at + n <= b->floats);
    memcpy(b->tile + b->at, data, n * sizeof *data);
    if (b->line == b->ledger->n)
        snprintf(b->ledger->lines[b->ledger->n++].name, sizeof b->ledger->lines->name, "%s", name);
    b->line++;
    b->at += n;
}

/* Adds to the sums of a line, in eight lanes, so that the compiler can use vectors. */
static void add_sums(struct ledger_line *l, const float *r, const float *x, size_t n)
{
    enum { LANES = 8 };
    double rr[LANES] = {0}, xx[LANES] = {0}, rx[LANES] = {0}, dd[LANES] = {0};
    for (size_t i = 0; i < n; i += LANES) {
        size_t lanes = n - i < LANES ? n - i : LANES;
        for (size_t j = 0; j < lanes; j++) {
            double a = (double)r[i + j], b = (double)x[i + j], d = b - a;
            rr[j] += a * a;
            xx[j] += b * b;
            rx[j] += a * b;
            dd[j] += d * d;
        }
    }
    for (size_t j = 0; j < LANES; j++) {
        l->reference += rr[j];
        l->model += xx[j];
        l->product += rx[j];
        l->difference += dd[j];
    }
}

/* to (rows, cols) = from / factors or, back, from * factors. */
static void scale(float *to, const float *from, size_t rows, size_t cols, const float *factors, bool back)
{
    for (size_t r = 0; r < rows; r++)
        for (size_t k = 0; k < cols; k++) {
            const float x = from[r * cols + k];
            to[r * cols + k] = back ? x * factors[k] : x / factors[k];
        }
}

static void settle(void *user, const char *name, float *data, int32_t rows_first, int32_t rows, int32_t cols)
{
    struct book *b = user;
    size_t n = (size_t)rows * (size_t)cols;
    struct ledger_line *l = &b->ledger->lines[b->line++];
    const float *factors = folding_of_intermediate(b->folded, name), *reference = b->tile + b->at;
    (void)rows_first;
    assert(!strcmp(l->name, name));
    if (factors) scale(b->unfolded, data, (size_t)rows, (size_t)cols, factors, false);
    add_sums(l, reference, factors ? b->unfolded : data, n);
    b->at += n;
    if (b->reading != LEDGER_LOCAL) return;
    if (factors)
        scale(data, reference, (size_t)rows, (size_t)cols, factors, true);
    else
        memcpy(data, reference, n * sizeof *data);
}

/* ---- a text ---- */

static gpt2q_status book_tile(struct book *b, struct reader *reference, struct reader *model,
                              const int32_t *ids, int32_t first, int32_t n, gpt2q_error *err)
{
    b->line = b->at = 0;
    gpt2q_status s = reader_read(reference, ids, first, n, err);
    b->line = b->at = 0;
    return s ? s : reader_read(model, ids, first, n, err);
}

static gpt2q_status book_windows(struct book *b, struct reader *reference, struct reader *model,
                                 const struct ledger_params *p, gpt2q_error *err)
{
    const struct windows *w = p->windows;
    size_t count = windows_count(w);
    uint64_t done = 0;
    gpt2q_context_observe(reference->ctx, keep, b);
    gpt2q_context_observe(model->ctx, settle, b);
    for (size_t j = 0; j < count; j++) {
        for (int32_t first = 0, n; first < w->window; first += n) {
            n = w->window - first < model->tile ? w->window - first : model->tile;
            gpt2q_status s = book_tile(b, reference, model, w->ids + windows_begin(w, j), first, n, err);
            if (!s) s = progress_report(p->progress, done += (uint64_t)n, count * (size_t)w->window, err);
            if (s) return s;
        }
    }
    return GPT2Q_OK;
}

/* Taking factors out rounds floats: an error below that is none. */
static void forget_rounding(struct ledger *l, const struct folding *folded)
{
    for (size_t i = 0; i < l->n; i++)
        if (folding_of_intermediate(folded, l->lines[i].name) && ledger_relative_error(&l->lines[i]) < 1e-6)
            l->lines[i].difference = 0;
}

gpt2q_status ledger_run(const struct ledger_params *p, enum ledger_reading reading, struct ledger *out,
                        gpt2q_error *err)
{
    const gpt2q_config *c = gpt2q_model_config(p->model);
    size_t d = (size_t)c->n_embd, layers = (size_t)c->n_layer;
    size_t row = layers * (9 * d + 2 * (size_t)c->n_inner) + 2 * d + (size_t)c->vocab_size;
    struct reader reference = {0}, model = {0};
    struct reader_params own = p->reader;
    own.window = p->windows->window;
    own.tile = reader_tile(row, LEDGER_BYTES, own.window);
    struct reader_params theirs = own;
    theirs.activations = p->reference_activations;
    struct book b = {.ledger = out,
                     .reading = reading,
                     .folded = p->folded,
                     .lines = layers * 9 + 3,
                     .floats = row * (size_t)own.tile};
    *out = (struct ledger){.lines = mem_zarray(b.lines, sizeof *out->lines)};
    b.tile = mem_array(b.floats, sizeof *b.tile);
    b.unfolded = mem_array(p->folded ? b.floats : 0, sizeof *b.unfolded);
    gpt2q_status s = out->lines && b.tile && b.unfolded
                         ? GPT2Q_OK
                         : error_memory(err, "a tile of intermediates", b.floats * sizeof *b.tile);
    if (!s) s = reader_open(&reference, p->reference, &theirs, err);
    if (!s) s = reader_open(&model, p->model, &own, err);
    if (!s) s = book_windows(&b, &reference, &model, p, err);
    forget_rounding(out, p->folded);
    reader_close(&model);
    reader_close(&reference);
    mem_free(b.unfolded);
    mem_free(b.tile);
    return s;
}

void ledger_free(struct ledger *l)
{
    mem_free(l->lines);
    *l = (struct ledger){0};
}
