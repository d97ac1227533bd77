#include "methods/grids.h"
#include "base/memory.h"
#include "qtensor/from_codes.h"
#include <math.h>
#include <string.h>

#define SEARCH_STEPS 24
#define SEARCH_LEAST 0.4

bool code_scheme_of(struct scheme scheme, int cols, struct code_scheme *out)
{
    if (!scheme_has_grid(scheme)) return false;
    if (scheme.gran != QG_CHANNEL && scheme.gran != QG_GROUP) return false;
    switch (scheme.grid) {
    case QGRID_ABSMAX: out->grid = GRID_ABSMAX; break;
    case QGRID_AFFINE: out->grid = GRID_AFFINE; break;
    case QGRID_SIGNED: out->grid = GRID_SIGNED; break;
    default: return false;
    }
    out->bits = scheme_bits(scheme);
    out->half = scheme_scale(scheme) == QSCALE_F16;
    out->group = scheme.gran == QG_GROUP ? scheme.group : cols;
    return true;
}

double round_to_f16(double x)
{
    const double y = fabs(x);
    int e = -14;
    if (!(y < 65520.0)) return x > 0 ? INFINITY : x < 0 ? -INFINITY : x;
    if (y >= 0x1p-14) e = ilogb(y);
    const double step = scalbn(1.0, e - 10);
    return copysign(rint(y / step) * step, x);
}

double stored_scale(const struct code_scheme *s, double scale)
{
    return s->half ? round_to_f16(scale) : (double)(float)scale;
}

struct code_range code_range_choose(const struct code_scheme *s, double least, double greatest)
{
    const double half = (double)(1 << (s->bits - 1)), top = (double)((1 << s->bits) - 1);
    struct code_range r = {.zero = half};
    if (s->grid == GRID_AFFINE) {
        least = least < 0.0 ? least : 0.0;
        greatest = greatest > 0.0 ? greatest : 0.0;
        r.scale = stored_scale(s, (greatest - least) / top);
    } else if (s->grid == GRID_SIGNED) {
        r.scale = stored_scale(s, (fabs(greatest) > fabs(least) ? greatest : least) / -half);
    } else {
        r.scale = stored_scale(s, fmax(fabs(least), fabs(greatest)) / (half - 1.0));
    }
    if (r.scale == 0.0) r.scale = 0.0; /* not -0 */
    r.divisor = r.scale != 0.0 ? r.scale : 1.0;
    if (s->grid == GRID_AFFINE) r.zero = fmin(fmax(rint(-least / r.divisor), 0.0), top);
    return r;
}

static void choose_at(const struct code_scheme *s, const double *least, const double *greatest, double f,
                      struct lane_scales *out)
{
    for (int o = 0; o < LANES; o++) {
        const struct code_range r = code_range_choose(s, f * least[o], f * greatest[o]);
        out->scale[o] = r.scale;
        out->divisor[o] = r.divisor;
        out->zero[o] = r.zero;
    }
}

static void search(const struct dense_ops *ops, const struct code_scheme *s, const double *w, int n,
                   const double *cost, const double *least, const double *greatest, struct lane_scales *out)
{
    double best[LANES], error[LANES];
    struct lane_scales tried;
    for (int step = 0; step <= SEARCH_STEPS; step++) {
        choose_at(s, least, greatest, 1.0 - (1.0 - SEARCH_LEAST) * step / SEARCH_STEPS, &tried);
        const struct rounding r = {tried.scale, tried.divisor, tried.zero, code_least(s), code_most(s)};
        memset(error, 0, sizeof error);
        for (int i = 0; i < n; i++) ops->rounding_error(w + (size_t)i * LANES, &r, cost[i], error);
        for (int o = 0; o < LANES; o++) {
            if (step && !(error[o] < best[o])) continue;
            best[o] = error[o];
            out->scale[o] = tried.scale[o];
            out->divisor[o] = tried.divisor[o];
            out->zero[o] = tried.zero[o];
        }
    }
}

void lane_scales_choose(const struct dense_ops *ops, const struct code_scheme *s, const double *w, int n,
                        const double *cost, struct lane_scales *out)
{
    double least[LANES], greatest[LANES];
    memcpy(least, w, sizeof least);
    memcpy(greatest, w, sizeof greatest);
    for (int i = 1; i < n; i++)
        for (int o = 0; o < LANES; o++) {
            const double x = w[(size_t)i * LANES + (size_t)o];
            least[o] = x < least[o] ? x : least[o];
            greatest[o] = x > greatest[o] ? x : greatest[o];
        }
    if (cost)
        search(ops, s, w, n, cost, least, greatest, out);
    else
        choose_at(s, least, greatest, 1.0, out);
}

/* ---- a coded matrix ---- */

gpt2q_status coded_create(struct coded *c, struct scheme scheme, int rows, int cols, int group,
                          gpt2q_error *err)
{
    *c = (struct coded){.scheme = scheme, .rows = rows, .cols = cols, .groups = cols / group};
    const size_t n = (size_t)rows * (size_t)c->groups;
    c->codes = mem_array((size_t)rows, (size_t)cols);
    c->scale = mem_array(n, sizeof *c->scale);
    c->zero = mem_array(n, sizeof *c->zero);
    if (c->codes && c->scale && c->zero) return GPT2Q_OK;
    coded_free(c);
    return error_memory(err, "the codes of a matrix", (size_t)rows * (size_t)cols);
}

void coded_free(struct coded *c)
{
    mem_free(c->codes);
    mem_free(c->scale);
    mem_free(c->zero);
    mem_free(c->rounded);
    *c = (struct coded){0};
}

gpt2q_status coded_pack(const struct coded *c, const char *name, struct qtensor *out, gpt2q_error *err)
{
    const struct coded_matrix m = {.name = name,
                                   .rows = c->rows,
                                   .cols = c->cols,
                                   .codes = c->codes,
                                   .scale = c->scale,
                                   .zero = c->zero};
    return qtensor_from_codes(&m, c->scheme, out, err);
}
