#include "train/grids.h"
#include "base/memory.h"
#include "kernels/half.h"
#include "qtensor/dequantize.h"
#include "qtensor/from_codes.h"
#include "qtensor/isa.h"
#include <math.h>
#include <string.h>

bool scheme_can_learn(struct scheme s)
{
    return scheme_has_grid(s) && !scheme_is_notes(s) && (s.gran == QG_CHANNEL || s.gran == QG_GROUP);
}

static gpt2q_status check(const struct param *p, struct scheme s, int every, gpt2q_error *err)
{
    char text[SCHEME_TEXT_MAX];
    if (scheme_is_notes(s))
        return error_set(err, GPT2Q_INVALID_ARGUMENT,
                         "%s: the scheme notes rounds vectors, too, and is not trained", p->name);
    if (every != 1 && scheme_has_codes(s) && !scheme_can_learn(s))
        return error_set(err, GPT2Q_INVALID_ARGUMENT,
                         "%s: scales are %s for integer codes by group or channel, not for %s", p->name,
                         every ? "kept between steps" : "learned", scheme_print(s, text));
    if (s.gran == QG_GROUP && scheme_has_codes(s) && p->cols % s.group)
        return error_set(err, GPT2Q_INVALID_ARGUMENT,
                         "%s: %s does not fit its %d inputs; the group must divide them", p->name,
                         scheme_print(s, text), p->cols);
    return GPT2Q_OK;
}

static gpt2q_status allocate(struct grids *g, gpt2q_error *err)
{
    float **blocks[] = {&g->scale, &g->zero, &g->stored, &g->minimum, &g->gradient};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) {
        *blocks[i] = mem_zarray(g->n_scales ? g->n_scales : 1, sizeof(float));
        if (!*blocks[i]) return error_memory(err, "scales", g->n_scales * sizeof(float));
    }
    return GPT2Q_OK;
}

gpt2q_status grids_create(struct grids *g, const struct param_list *p, const struct scheme *schemes,
                          int every, const struct quantize_run *run, gpt2q_error *err)
{
    *g = (struct grids){.params = p, .every = every, .run = *run};
    g->list = mem_zarray((size_t)p->count, sizeof *g->list);
    gpt2q_status s = g->list ? GPT2Q_OK : error_memory(err, "a table of matrices", sizeof *g->list);
    for (int i = 0; i < p->count && !s; i++) {
        if (!p->list[i].matrix || schemes[i].format == QF_F32) continue;
        s = check(&p->list[i], schemes[i], every, err);
        struct grid_matrix *m = &g->list[g->count++];
        *m = (struct grid_matrix){.which = i, .scheme = schemes[i], .at = g->n_scales};
        if (every == 1 || !scheme_has_codes(schemes[i])) continue;
        m->groups = schemes[i].gran == QG_GROUP ? p->list[i].cols / schemes[i].group : 1;
        g->n_scales += (size_t)p->list[i].rows * (size_t)m->groups;
    }
    if (!s) s = allocate(g, err);
    if (s) grids_free(g);
    return s;
}

void grids_free(struct grids *g)
{
    float *blocks[] = {g->scale, g->zero, g->stored, g->minimum, g->gradient};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) mem_free(blocks[i]);
    mem_free(g->list);
    *g = (struct grids){0};
}

/* ---- learned, or kept for a while ---- */

static float as_stored(struct scheme s, float x)
{
    return scheme_scale(s) == QSCALE_F16 ? float_from_f16(f16_from_float(x)) : x;
}

static struct landing landing_of(const struct grids *g, const struct grid_matrix *m, int row)
{
    const size_t at = m->at + (size_t)row * (size_t)m->groups;
    const enum qzero zero = scheme_zero(m->scheme);
    const bool minimum = zero == QZERO_MINIMUM;
    return (struct landing){.scale = g->stored + at,
                            .offset = zero == QZERO_POINT ? g->zero + at : NULL,
                            .shift = minimum ? g->minimum + at : NULL,
                            .zero = minimum ? g->zero + at : NULL,
                            .middle = minimum ? 0.0f : (float)scheme_middle(m->scheme),
                            .least = m->scheme.grid == QGRID_ABSMAX ? 1.0f : 0.0f,
                            .most = (float)((1 << scheme_bits(m->scheme)) - 1),
                            .group = g->params->list[m->which].cols / m->groups};
}

static void store(struct grids *g, const struct grid_matrix *m, int row)
{
    const size_t at = m->at + (size_t)row * (size_t)m->groups;
    for (size_t i = at; i < at + (size_t)m->groups; i++) {
        g->stored[i] = as_stored(m->scheme, g->scale[i]);
        g->minimum[i] = as_stored(m->scheme, -g->zero[i] * g->stored[i]);
    }
}

static void take_scales(struct grids *g, const struct grid_matrix *m, const struct qtensor *w)
{
    const struct param *p = &g->params->list[m->which];
    const int group = m->groups ? p->cols / m->groups : 0;
    for (int row = 0; row < p->rows && m->groups; row++)
        for (int j = 0; j < m->groups; j++) {
            const size_t at = m->at + (size_t)row * (size_t)m->groups + (size_t)j,
                         from = qtensor_parameter_of(w, row, j * group);
            const float s = qtensor_parameter(w, w->scale, from);
            const float zero = w->zero ? qtensor_parameter(w, w->zero, from) : 0.0f;
            g->scale[at] = s;
            g->zero[at] = scheme_zero(m->scheme) == QZERO_POINT     ? zero + (float)scheme_middle(m->scheme)
                          : scheme_zero(m->scheme) == QZERO_MINIMUM ? (s != 0.0f ? -zero / s : 0.0f)
                                                                    : 0.0f;
        }
}

void grids_begin(struct grids *g, int i, const struct qtensor *w, float *latent)
{
    const struct grid_matrix *m = &g->list[i];
    const struct param *p = &g->params->list[m->which];
    const int group = m->groups ? p->cols / m->groups : 0;
    take_scales(g, m, w);
    for (int row = 0; row < p->rows && m->groups; row++) {
        store(g, m, row);
        const struct landing l = landing_of(g, m, row);
        float *x = latent + p->at + (size_t)row * (size_t)p->cols;
        for (int k = 0; k < p->cols; k++) {
            const int j = k / group;
            const float s = l.scale[j], offset = l.offset ? l.offset[j] : l.middle,
                        shift = l.shift ? l.shift[j] : 0.0f;
            const float centre = (float)qtensor_stored_code(w, row, k) - offset;
            const float a = (centre - 0.49f) * s + shift, b = (centre + 0.49f) * s + shift;
            const float lo = a < b ? a : b, hi = a < b ? b : a;
            x[k] = x[k] < lo ? lo : x[k] > hi ? hi : x[k];
        }
    }
}

/* ---- all threads ---- */

#define ROWS_OF_ITEM 32

struct grid_job {
    struct grids *g;
    const struct crew *c;
    const struct grid_matrix *m;
    const struct qtensor *w; /* recalibrated: what the quantizer made */
    const float *latent;
    float *out; /* effective, or the gradient */
};

static void rows_of(const struct grid_job *k, int64_t item, int *r0, int *r1)
{
    const int rows = k->g->params->list[k->m->which].rows;
    *r0 = (int)item * ROWS_OF_ITEM;
    *r1 = *r0 + ROWS_OF_ITEM < rows ? *r0 + ROWS_OF_ITEM : rows;
}

static void land_item(void *arg, int64_t item, int thread)
{
    const struct grid_job *k = arg;
    const struct param *p = &k->g->params->list[k->m->which];
    int r0, r1;
    (void)thread;
    rows_of(k, item, &r0, &r1);
    for (int row = r0; row < r1; row++) {
        const size_t at = p->at + (size_t)row * (size_t)p->cols;
        if (k->w) {
            k->g->run.isa->formats[k->w->scheme.format].dequantize_row(k->w, row, k->out + at);
            continue;
        }
        store(k->g, k->m, row);
        const struct landing l = landing_of(k->g, k->m, row);
        k->c->ops->land(&l, k->latent + at, p->cols, k->out + at);
    }
}

static void backward_item(void *arg, int64_t item, int thread)
{
    const struct grid_job *k = arg;
    const struct param *p = &k->g->params->list[k->m->which];
    int r0, r1;
    (void)thread;
    rows_of(k, item, &r0, &r1);
    for (int row = r0; row < r1; row++) {
        const size_t at = p->at + (size_t)row * (size_t)p->cols;
        const struct landing l = landing_of(k->g, k->m, row);
        k->c->ops->land_backward(
            &l, k->latent + at, p->cols, k->out + at,
            k->g->every ? NULL : k->g->gradient + k->m->at + (size_t)row * (size_t)k->m->groups);
    }
}

static void each_row(struct grid_job *k, crew_fn *fn)
{
    crew_each(k->c, (k->g->params->list[k->m->which].rows + ROWS_OF_ITEM - 1) / ROWS_OF_ITEM, fn, k);
}

static gpt2q_status quantize(const struct grids *g, const struct grid_matrix *m, const float *latent,
                             struct qtensor *out, gpt2q_error *err)
{
    const struct param *p = &g->params->list[m->which];
    const struct qsource src = param_source(p, latent);
    return qtensor_quantize(&src, m->scheme, &g->run, out, err);
}

static bool is_due(const struct grids *g, int step) { return g->every && step % g->every == 0; }

gpt2q_status grids_recalibrate(struct grids *g, int step, const float *latent, gpt2q_error *err)
{
    for (int i = 0; i < g->count && is_due(g, step); i++) {
        const struct grid_matrix *m = &g->list[i];
        struct qtensor w = {0};
        if (!m->groups) continue;
        gpt2q_status s = quantize(g, m, latent, &w, err);
        if (s) return s;
        take_scales(g, m, &w);
        qtensor_free(&w);
    }
    return GPT2Q_OK;
}

gpt2q_status grids_land(struct grids *g, const struct crew *c, const float *latent, float *effective,
                        gpt2q_error *err)
{
    memcpy(effective, latent, g->params->floats * sizeof *effective);
    for (int i = 0; i < g->count; i++) {
        struct grid_job k = {.g = g, .c = c, .m = &g->list[i], .latent = latent, .out = effective};
        struct qtensor w = {0};
        if (!k.m->groups) {
            gpt2q_status s = quantize(g, k.m, latent, &w, err);
            if (s) return s;
            k.w = &w;
        }
        each_row(&k, land_item);
        qtensor_free(&w);
    }
    return GPT2Q_OK;
}

void grids_backward(struct grids *g, const struct crew *c, int step, const float *latent, float *gradient)
{
    for (int i = 0; i < g->count && !is_due(g, step); i++) {
        struct grid_job k = {.g = g, .c = c, .m = &g->list[i], .latent = latent, .out = gradient};
        if (k.m->groups) each_row(&k, backward_item);
    }
}

/* ---- what is left ---- */

static void codes_of_row(const struct landing *l, const float *w, int n, uint8_t *codes)
{
    for (int k = 0; k < n; k++) {
        const int j = k / l->group;
        const float s = l->scale[j] != 0.0f ? l->scale[j] : 1.0f;
        float u =
            rintf((w[k] - (l->shift ? l->shift[j] : 0.0f)) / s) + (l->offset ? l->offset[j] : l->middle);
        u = !(u > l->least) ? l->least : u > l->most ? l->most : u;
        codes[k] = (uint8_t)u;
    }
}

gpt2q_status grids_pack(struct grids *g, int i, const float *latent, struct qtensor *out, gpt2q_error *err)
{
    const struct grid_matrix *m = &g->list[i];
    const struct param *p = &g->params->list[m->which];
    if (!m->groups) return quantize(g, m, latent, out, err);
    const size_t n = (size_t)p->rows * (size_t)m->groups;
    uint8_t *codes = mem_array((size_t)p->rows, (size_t)p->cols);
    float *zero = mem_array(n, sizeof *zero);
    gpt2q_status s = codes && zero ? GPT2Q_OK : error_memory(err, p->name, param_floats(p));
    for (size_t j = 0; j < n && !s; j++)
        zero[j] = scheme_zero(m->scheme) == QZERO_NONE ? (float)scheme_middle(m->scheme) : g->zero[m->at + j];
    for (int row = 0; row < p->rows && !s; row++) {
        store(g, m, row);
        const struct landing l = landing_of(g, m, row);
        codes_of_row(&l, latent + p->at + (size_t)row * (size_t)p->cols, p->cols,
                     codes + (size_t)row * (size_t)p->cols);
    }
    const struct coded_matrix c = {.name = p->name,
                                   .rows = p->rows,
                                   .cols = p->cols,
                                   .codes = codes,
                                   .scale = g->stored + m->at,
                                   .zero = zero};
    if (!s) s = qtensor_from_codes(&c, m->scheme, out, err);
    mem_free(codes);
    mem_free(zero);
    return s;
}
