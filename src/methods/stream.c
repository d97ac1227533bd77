#include "methods/stream.h"
#include "base/memory.h"
#include "model/config.h"
#include "train/attention.h"
#include "train/product.h"
#include <math.h>
#include <string.h>

#define PIECE_ROWS   1024
#define ROWS_OF_ITEM 32

enum block_param site_param(enum site s)
{
    static const enum block_param params[SITES] = {P_C_ATTN_WEIGHT, P_ATTN_C_PROJ_WEIGHT, P_C_FC_WEIGHT,
                                                   P_MLP_C_PROJ_WEIGHT};
    return params[s];
}

int site_inputs(const struct reading *r, enum site site)
{
    const gpt2q_config *c = &r->model->params.config;
    return site == SITE_MLP_C_PROJ ? c->n_inner : c->n_embd;
}

static size_t widest(const gpt2q_config *c)
{
    return 3 * (size_t)c->n_embd > (size_t)c->n_inner ? 3 * (size_t)c->n_embd : (size_t)c->n_inner;
}

static int piece_windows(int window) { return window < PIECE_ROWS ? PIECE_ROWS / window : 1; }

void reading_scratch(const gpt2q_config *c, int window, size_t *a, size_t *b, size_t *own)
{
    const size_t rows = (size_t)piece_windows(window) * (size_t)window, wide = widest(c),
                 d = (size_t)c->n_embd;
    *a = product_packed_floats(rows, wide);
    *b = product_packed_floats(wide, d) > product_packed_floats(d, wide) ? product_packed_floats(wide, d)
                                                                         : product_packed_floats(d, wide);
    *own = attention_own_floats(window, c->n_embd / c->n_head);
}

gpt2q_status reading_create(struct reading *r, const struct model_floats *model,
                            const struct calibration *text, const struct workers *w, gpt2q_error *err)
{
    const size_t window = (size_t)text->window, threads = (size_t)w->crew->n_threads;
    *r = (struct reading){.model = model, .text = text, .w = w, .piece = piece_windows(text->window)};
    const size_t floats = (size_t)r->piece * window * widest(&model->params.config);
    r->scratch = mem_array(floats, sizeof(float));
    r->p = mem_array(threads * window, window * sizeof(float));
    if (r->scratch && r->p) return GPT2Q_OK;
    reading_free(r);
    return error_memory(err, "reading the calibration text",
                        (floats + threads * window * window) * sizeof(float));
}

void reading_free(struct reading *r)
{
    mem_free(r->scratch);
    mem_free(r->p);
    *r = (struct reading){0};
}

gpt2q_status stream_create(struct stream *s, const struct reading *r, gpt2q_error *err)
{
    const size_t n = (size_t)reading_tokens(r), d = (size_t)r->model->params.config.n_embd,
                 inner = (size_t)r->model->params.config.n_inner;
    *s = (struct stream){.x = mem_array(n * d, sizeof(float)),
                         .in = mem_array(n * d, sizeof(float)),
                         .wide = mem_array(n * inner, sizeof(float))};
    if (s->x && s->in && s->wide) return GPT2Q_OK;
    stream_free(s);
    return error_memory(err, "the residual stream of the calibration tokens",
                        n * (2 * d + inner) * sizeof(float));
}

void stream_free(struct stream *s)
{
    mem_free(s->x);
    mem_free(s->in);
    mem_free(s->wide);
    *s = (struct stream){0};
}

/* ---- rows ---- */

struct rows { /* an item's view */
    const struct reading *r;
    const float *x, *weight, *bias;
    float *y;
    const int32_t *ids;
    int n, cols, layer;
};

static void range_of(const struct rows *s, int64_t item, int *r0, int *r1)
{
    *r0 = (int)item * ROWS_OF_ITEM;
    *r1 = *r0 + ROWS_OF_ITEM < s->n ? *r0 + ROWS_OF_ITEM : s->n;
}

static void each_rows(const struct rows *s, crew_fn *fn)
{
    crew_each(s->r->w->crew, (s->n + ROWS_OF_ITEM - 1) / ROWS_OF_ITEM, fn, (void *)(uintptr_t)s);
}

static void embed_rows(void *arg, int64_t item, int thread)
{
    const struct rows *s = arg;
    const size_t d = (size_t)s->cols;
    const float *wpe = floats_of(s->r->model, params_wpe());
    int r0, r1;
    (void)thread;
    range_of(s, item, &r0, &r1);
    for (int r = r0; r < r1; r++) {
        memcpy(s->y + (size_t)r * d, s->weight + (size_t)s->ids[r] * d, d * sizeof(float));
        s->r->w->crew->kernels->add(s->y + (size_t)r * d, wpe + (size_t)(r % s->r->text->window) * d, d);
    }
}

void stream_embed(struct stream *s, const struct reading *r, const float *wte)
{
    const struct rows rows = {.r = r,
                              .y = s->x,
                              .weight = wte,
                              .ids = r->text->ids,
                              .n = reading_tokens(r),
                              .cols = r->model->params.config.n_embd};
    each_rows(&rows, embed_rows);
}

static void norm_rows(void *arg, int64_t item, int thread)
{
    const struct rows *s = arg;
    const gpt2q_config *c = &s->r->model->params.config;
    const size_t d = (size_t)c->n_embd;
    int r0, r1;
    (void)thread;
    range_of(s, item, &r0, &r1);
    for (int r = r0; r < r1; r++)
        s->r->w->crew->kernels->layer_norm(s->x + (size_t)r * d, s->weight, s->bias, c->layer_norm_epsilon,
                                           c->n_embd, s->y + (size_t)r * d);
}

static void norm(const struct stream *s, const struct reading *r, int which)
{
    const struct rows rows = {.r = r,
                              .x = s->x,
                              .y = s->in,
                              .weight = floats_of(r->model, which),
                              .bias = floats_of(r->model, which + 1),
                              .n = reading_tokens(r)};
    each_rows(&rows, norm_rows);
}

static void activate_rows(void *arg, int64_t item, int thread)
{
    const struct rows *s = arg;
    const size_t cols = (size_t)s->cols;
    int r0, r1;
    (void)thread;
    range_of(s, item, &r0, &r1);
    s->r->w->crew->kernels->activation[config_activation(&s->r->model->params.config)](
        s->y + (size_t)r0 * cols, (size_t)(r1 - r0) * cols, s->y + (size_t)r0 * cols);
    for (int r = r0; r < r1 && s->r->factors; r++)
        for (size_t j = 0; j < cols; j++)
            s->y[(size_t)r * cols + j] *= s->r->factors[(size_t)s->layer * cols + j];
}

static void add_rows(void *arg, int64_t item, int thread)
{
    const struct rows *s = arg;
    const size_t cols = (size_t)s->cols;
    int r0, r1;
    (void)thread;
    range_of(s, item, &r0, &r1);
    s->r->w->crew->kernels->add(s->y + (size_t)r0 * cols, s->x + (size_t)r0 * cols, (size_t)(r1 - r0) * cols);
}

/* ---- products and attention ---- */

/* y (n, outputs) = x (n, inputs) W^T + bias */
static void linear(const struct reading *r, int layer, enum site site, const float *w, const float *x, int n,
                   float *y)
{
    const int which = params_block(layer, site_param(site));
    const struct param *t = &r->model->params.list[which];
    const struct product p = {.m = n,
                              .n = t->rows,
                              .k = t->cols,
                              .a = rows_of(x, (size_t)t->cols),
                              .b = rows_of(w, (size_t)t->cols),
                              .c = y,
                              .ldc = (size_t)t->rows,
                              .bias = floats_of(r->model, which + 1)};
    product_run(r->w->crew, &p);
}

static void attention_item(void *arg, int64_t item, int thread)
{
    const struct rows *s = arg;
    const gpt2q_config *c = &s->r->model->params.config;
    const int head_dim = c->n_embd / c->n_head;
    const size_t d = (size_t)c->n_embd, window = (size_t)s->r->text->window;
    float scale = c->scale_attn_weights ? 1.0f / sqrtf((float)head_dim) : 1.0f;
    if (c->scale_attn_by_inverse_layer_idx) scale /= (float)(s->layer + 1);
    const struct attention_shape shape = {
        .window = (int)window, .head_dim = head_dim, .n_head = c->n_head, .scale = scale};
    const size_t first = (size_t)(item / c->n_head) * window;
    attention_forward(s->r->w->crew, &shape, (int)(item % c->n_head), s->x + first * 3 * d,
                      s->r->p + (size_t)thread * window * window, s->y + first * d,
                      crew_own(s->r->w->crew, thread));
}

/* Windows [*first, *first + result) of a piece. */
static int piece_rows(const struct reading *r, int window)
{
    const int left = r->text->windows - window;
    return (left < r->piece ? left : r->piece) * r->text->window;
}

static void attend(struct stream *s, const struct reading *r, int layer, const float *c_attn)
{
    const gpt2q_config *c = &r->model->params.config;
    for (int w = 0; w < r->text->windows; w += r->piece) {
        const int n = piece_rows(r, w);
        float *in = s->in + (size_t)w * (size_t)r->text->window * (size_t)c->n_embd;
        linear(r, layer, SITE_C_ATTN, c_attn, in, n, r->scratch);
        struct rows rows = {.r = r, .x = r->scratch, .y = in, .layer = layer};
        crew_each(r->w->crew, (int64_t)(n / r->text->window) * c->n_head, attention_item, &rows);
    }
}

/* x += the output of a layer whose inputs are `from`. */
static void project(struct stream *s, const struct reading *r, int layer, enum site site, const float *w,
                    const float *from)
{
    const size_t d = (size_t)r->model->params.config.n_embd, cols = (size_t)site_inputs(r, site);
    for (int i = 0; i < r->text->windows; i += r->piece) {
        const int n = piece_rows(r, i);
        const size_t first = (size_t)i * (size_t)r->text->window;
        linear(r, layer, site, w, from + first * cols, n, r->scratch);
        const struct rows rows = {.r = r, .x = r->scratch, .y = s->x + first * d, .n = n, .cols = (int)d};
        each_rows(&rows, add_rows);
    }
}

static void hidden(struct stream *s, const struct reading *r, int layer, const float *c_fc)
{
    const size_t d = (size_t)r->model->params.config.n_embd, inner = (size_t)r->model->params.config.n_inner;
    for (int i = 0; i < r->text->windows; i += r->piece) {
        const int n = piece_rows(r, i);
        const size_t first = (size_t)i * (size_t)r->text->window;
        linear(r, layer, SITE_C_FC, c_fc, s->in + first * d, n, s->wide + first * inner);
        const struct rows rows = {
            .r = r, .y = s->wide + first * inner, .n = n, .cols = (int)inner, .layer = layer};
        each_rows(&rows, activate_rows);
    }
}

const float *stream_input(struct stream *s, const struct reading *r, int layer, enum site site,
                          const float *before)
{
    switch (site) {
    case SITE_C_ATTN: norm(s, r, params_block(layer, P_LN_1_WEIGHT)); return s->in;
    case SITE_ATTN_C_PROJ: attend(s, r, layer, before); return s->in;
    case SITE_C_FC:
        project(s, r, layer, SITE_ATTN_C_PROJ, before, s->in);
        norm(s, r, params_block(layer, P_LN_2_WEIGHT));
        return s->in;
    default: hidden(s, r, layer, before); return s->wide;
    }
}

void stream_leave(struct stream *s, const struct reading *r, int layer, const float *mlp_c_proj)
{
    project(s, r, layer, SITE_MLP_C_PROJ, mlp_c_proj, s->wide);
}

const float *stream_final(struct stream *s, const struct reading *r)
{
    norm(s, r, params_ln_f_weight(&r->model->params));
    return s->in;
}
