#include "train/pass.h"
#include "base/checked.h"
#include "base/memory.h"
#include "model/config.h"
#include "train/product.h"
#include <math.h>
#include <string.h>

static size_t wide_of(const gpt2q_config *c)
{
    return 3 * (size_t)c->n_embd > (size_t)c->n_inner ? 3 * (size_t)c->n_embd : (size_t)c->n_inner;
}

/* ---- memory ---- */

static float *take(float **from, size_t floats)
{
    float *at = *from;
    *from += (floats + 15) / 16 * 16;
    return at;
}

/* Points the parts into memory. From a NULL base it counts the floats. */
static size_t lay_out(struct train_pass *t, float *base)
{
    const gpt2q_config *c = &t->params->config;
    const size_t n = (size_t)t->n, d = (size_t)c->n_embd, inner = (size_t)c->n_inner,
                 window = (size_t)t->window;
    float *at = base;
    for (int l = 0; l < (t->keeps ? c->n_layer : 1); l++) {
        t->layers[l] = (struct pass_layer){
            .x_in = take(&at, n * d), .a_1 = take(&at, n * d), .qkv = take(&at, n * 3 * d)};
        t->layers[l].p = take(&at, n * (size_t)c->n_head * window);
        t->layers[l].heads = take(&at, n * d);
        t->layers[l].x_mid = take(&at, n * d);
        t->layers[l].a_2 = take(&at, n * d);
        t->layers[l].fc = take(&at, n * inner);
        t->layers[l].act = take(&at, n * inner);
    }
    t->x = take(&at, n * d);
    t->hidden = take(&at, n * d);
    if (t->keeps) {
        t->dx = take(&at, n * d);
        t->da = take(&at, n * d);
        t->hat = take(&at, n * d);
        t->wide = take(&at, n * wide_of(c));
    }
    return (size_t)((uintptr_t)at - (uintptr_t)base) / sizeof(float);
}

gpt2q_status pass_create(struct train_pass *t, const struct param_list *p, int windows, int window,
                         bool keeps, gpt2q_error *err)
{
    *t = (struct train_pass){
        .params = p, .windows = windows, .window = window, .n = windows * window, .keeps = keeps};
    t->layers = mem_zarray((size_t)p->config.n_layer, sizeof *t->layers);
    if (!t->layers)
        return error_memory(err, "the layers of a training pass",
                            (size_t)p->config.n_layer * sizeof *t->layers);
    const size_t floats = lay_out(t, NULL);
    t->memory = mem_array(floats, sizeof(float));
    if (!t->memory) {
        pass_free(t);
        return error_memory(err, "what a training pass keeps", floats * sizeof(float));
    }
    lay_out(t, t->memory);
    return GPT2Q_OK;
}

void pass_free(struct train_pass *t)
{
    mem_free(t->layers);
    mem_free(t->memory);
    *t = (struct train_pass){0};
}

static void at_least(size_t *most, size_t n)
{
    if (n > *most) *most = n;
}

void pass_scratch(const struct param_list *p, int n, int window, int head_rows, size_t *a, size_t *b,
                  size_t *own)
{
    const gpt2q_config *c = &p->config;
    const size_t rows = (size_t)n, d = (size_t)c->n_embd, wide = wide_of(c), vocab = (size_t)c->vocab_size,
                 head = (size_t)head_rows;
    *a = *b = 0;
    at_least(a, product_packed_floats(rows, wide));  /* x W^T, dy W */
    at_least(a, product_packed_floats(wide, rows));  /* dy^T x */
    at_least(a, product_packed_floats(head, vocab)); /* dlogits W */
    at_least(a, product_packed_floats(vocab, head)); /* dlogits^T x */
    at_least(b, product_packed_floats(wide, d));
    at_least(b, product_packed_floats(d, wide));
    at_least(b, product_packed_floats(wide, rows));
    at_least(b, product_packed_floats(vocab, d));
    at_least(b, product_packed_floats(d, vocab));
    *own = attention_own_floats(window, c->n_embd / c->n_head);
}

/* ---- parts of both passes ---- */

struct item_view { /* an item's view of the current work */
    struct train_pass *t;
    const struct crew *c;
    struct pass_layer *layer;
    const float *weights;
    float *gradients;
    const int32_t *tokens;
    const float *x, *dy, *weight, *bias;
    float *y;
    int number; /* of the block */
    int rows, cols;
};

#define ROWS_OF_ITEM 32

static int64_t row_items(const struct train_pass *t) { return (t->n + ROWS_OF_ITEM - 1) / ROWS_OF_ITEM; }

static void rows_of_item(const struct train_pass *t, int64_t item, int *r0, int *r1)
{
    *r0 = (int)item * ROWS_OF_ITEM;
    *r1 = *r0 + ROWS_OF_ITEM < t->n ? *r0 + ROWS_OF_ITEM : t->n;
}

static const float *tensor(const struct item_view *s, int which)
{
    return s->weights + s->t->params->list[which].at;
}
static float *gradient(const struct item_view *s, int which)
{
    return s->gradients + s->t->params->list[which].at;
}
static const float *of_block(const struct item_view *s, enum block_param which)
{
    return tensor(s, params_block(s->number, which));
}

static struct attention_shape shape_of(const struct item_view *s)
{
    const gpt2q_config *c = &s->t->params->config;
    const int head_dim = c->n_embd / c->n_head;
    float scale = c->scale_attn_weights ? 1.0f / sqrtf((float)head_dim) : 1.0f;
    if (c->scale_attn_by_inverse_layer_idx) scale /= (float)(s->number + 1);
    return (struct attention_shape){
        .window = s->t->window, .head_dim = head_dim, .n_head = c->n_head, .scale = scale};
}

/* ---- forward ---- */

static void embed_item(void *arg, int64_t item, int thread)
{
    const struct item_view *s = arg;
    const size_t d = (size_t)s->t->params->config.n_embd;
    int r0, r1;
    (void)thread;
    rows_of_item(s->t, item, &r0, &r1);
    for (int r = r0; r < r1; r++) {
        memcpy(s->y + (size_t)r * d, tensor(s, params_wte()) + (size_t)s->tokens[r] * d, d * sizeof(float));
        s->c->kernels->add(s->y + (size_t)r * d, tensor(s, params_wpe()) + (size_t)(r % s->t->window) * d, d);
    }
}

static void norm_item(void *arg, int64_t item, int thread)
{
    const struct item_view *s = arg;
    const gpt2q_config *c = &s->t->params->config;
    const size_t d = (size_t)c->n_embd;
    int r0, r1;
    (void)thread;
    rows_of_item(s->t, item, &r0, &r1);
    for (int r = r0; r < r1; r++)
        s->c->kernels->layer_norm(s->x + (size_t)r * d, s->weight, s->bias, c->layer_norm_epsilon, c->n_embd,
                                  s->y + (size_t)r * d);
}

static void attention_item(void *arg, int64_t item, int thread)
{
    const struct item_view *s = arg;
    const struct attention_shape shape = shape_of(s);
    const size_t d = (size_t)s->t->params->config.n_embd, window = (size_t)shape.window;
    const size_t first = (size_t)(item / shape.n_head) * window;
    attention_forward(s->c, &shape, (int)(item % shape.n_head), s->layer->qkv + first * 3 * d,
                      s->layer->p + (size_t)item * window * window, s->layer->heads + first * d,
                      crew_own(s->c, thread));
}

static void activate_item(void *arg, int64_t item, int thread)
{
    const struct item_view *s = arg;
    const size_t inner = (size_t)s->t->params->config.n_inner;
    int r0, r1;
    (void)thread;
    rows_of_item(s->t, item, &r0, &r1);
    s->c->kernels->activation[config_activation(&s->t->params->config)](
        s->layer->fc + (size_t)r0 * inner, (size_t)(r1 - r0) * inner, s->layer->act + (size_t)r0 * inner);
}

/* y (n, rows) = x (n, cols) W^T + bias, or y += that, for the weight `which` and its bias, which follows
 * it. */
static void linear(const struct item_view *s, const float *x, enum block_param which, float *y)
{
    const struct param *w = &s->t->params->list[params_block(s->number, which)];
    const struct product p = {.m = s->t->n,
                              .n = w->rows,
                              .k = w->cols,
                              .a = rows_of(x, (size_t)w->cols),
                              .b = rows_of(of_block(s, which), (size_t)w->cols),
                              .c = y,
                              .ldc = (size_t)w->rows,
                              .bias = of_block(s, which + 1)};
    product_run(s->c, &p);
}

static void norm(struct item_view *s, const float *x, const float *weight, const float *bias, float *y)
{
    s->x = x;
    s->weight = weight;
    s->bias = bias;
    s->y = y;
    crew_each(s->c, row_items(s->t), norm_item, s);
}

static void forward_block(struct item_view *s, float *x)
{
    struct train_pass *t = s->t;
    struct pass_layer *l = s->layer;
    const size_t stream = (size_t)t->n * (size_t)t->params->config.n_embd;
    memcpy(l->x_in, x, stream * sizeof *x);
    norm(s, x, of_block(s, P_LN_1_WEIGHT), of_block(s, P_LN_1_BIAS), l->a_1);
    linear(s, l->a_1, P_C_ATTN_WEIGHT, l->qkv);
    crew_each(s->c, (int64_t)t->windows * t->params->config.n_head, attention_item, s);
    linear(s, l->heads, P_ATTN_C_PROJ_WEIGHT, l->x_mid);
    s->c->kernels->add(l->x_mid, x, stream);
    norm(s, l->x_mid, of_block(s, P_LN_2_WEIGHT), of_block(s, P_LN_2_BIAS), l->a_2);
    linear(s, l->a_2, P_C_FC_WEIGHT, l->fc);
    crew_each(s->c, row_items(t), activate_item, s);
    linear(s, l->act, P_MLP_C_PROJ_WEIGHT, x);
    s->c->kernels->add(x, l->x_mid, stream);
}

void pass_forward(struct train_pass *t, const struct crew *c, const float *weights, const int32_t *tokens)
{
    struct item_view s = {.t = t, .c = c, .weights = weights, .tokens = tokens, .y = t->x};
    crew_each(c, row_items(t), embed_item, &s);
    for (int l = 0; l < t->params->config.n_layer; l++) {
        s.number = l;
        s.layer = &t->layers[t->keeps ? l : 0];
        forward_block(&s, t->x);
    }
    norm(&s, t->x, tensor(&s, params_ln_f_weight(t->params)), tensor(&s, params_ln_f_bias(t->params)),
         t->hidden);
}

/* ---- backward ---- */

static void norm_backward_item(void *arg, int64_t item, int thread)
{
    const struct item_view *s = arg;
    const gpt2q_config *c = &s->t->params->config;
    const size_t d = (size_t)c->n_embd;
    int r0, r1;
    (void)thread;
    rows_of_item(s->t, item, &r0, &r1);
    for (size_t r = (size_t)r0; r < (size_t)r1; r++)
        s->c->ops->norm_backward(s->x + r * d, s->weight, c->layer_norm_epsilon, c->n_embd, s->dy + r * d,
                                 s->t->dx + r * d, s->t->hat + r * d);
}

#define COLS_OF_ITEM 64

/* Sums dy (n, cols) over tokens, times x if it is not NULL. */
static void column_item(void *arg, int64_t item, int thread)
{
    const struct item_view *s = arg;
    const int first = (int)item * COLS_OF_ITEM,
              n = s->cols - first < COLS_OF_ITEM ? s->cols - first : COLS_OF_ITEM;
    (void)thread;
    s->c->ops->column_sum(s->dy + first, s->x ? s->x + first : NULL, (size_t)s->cols, s->t->n, n,
                          s->y + first);
}

static void column_sums(struct item_view *s, const float *dy, const float *x, int cols, float *out)
{
    s->dy = dy;
    s->x = x;
    s->cols = cols;
    s->y = out;
    crew_each(s->c, (cols + COLS_OF_ITEM - 1) / COLS_OF_ITEM, column_item, s);
}

/* t->dx += the gradient of the norm's input x. Also writes the gradients of its weight (`which`) and of
 * its bias (the next parameter). */
static void norm_backward(struct item_view *s, const float *x, int which, const float *dy)
{
    s->x = x;
    s->dy = dy;
    s->weight = tensor(s, which);
    crew_each(s->c, row_items(s->t), norm_backward_item, s);
    const int d = s->t->params->config.n_embd;
    column_sums(s, dy, s->t->hat, d, gradient(s, which));
    column_sums(s, dy, NULL, d, gradient(s, which + 1));
}

/* Backward of y = x W^T + bias from dy (n, rows): the gradients of W and bias, and dx (n, cols) = dy W. */
static void linear_backward(struct item_view *s, const float *x, enum block_param which, const float *dy,
                            float *dx)
{
    const int at = params_block(s->number, which);
    const struct param *w = &s->t->params->list[at];
    const struct product to_w = {.m = w->rows,
                                 .n = w->cols,
                                 .k = s->t->n,
                                 .a = columns_of(dy, (size_t)w->rows),
                                 .b = columns_of(x, (size_t)w->cols),
                                 .c = gradient(s, at),
                                 .ldc = (size_t)w->cols};
    product_run(s->c, &to_w);
    column_sums(s, dy, NULL, w->rows, gradient(s, at + 1));
    const struct product to_x = {.m = s->t->n,
                                 .n = w->cols,
                                 .k = w->rows,
                                 .a = rows_of(dy, (size_t)w->rows),
                                 .b = columns_of(tensor(s, at), (size_t)w->cols),
                                 .c = dx,
                                 .ldc = (size_t)w->cols};
    product_run(s->c, &to_x);
}

static void activation_backward_item(void *arg, int64_t item, int thread)
{
    const struct item_view *s = arg;
    const size_t inner = (size_t)s->t->params->config.n_inner;
    int r0, r1;
    (void)thread;
    rows_of_item(s->t, item, &r0, &r1);
    float *dy = s->t->wide + (size_t)r0 * inner;
    s->c->ops->activation_backward[config_activation(&s->t->params->config)](
        s->layer->fc + (size_t)r0 * inner, (size_t)(r1 - r0) * inner, dy, dy);
}

static void attention_backward_item(void *arg, int64_t item, int thread)
{
    const struct item_view *s = arg;
    const struct attention_shape shape = shape_of(s);
    const size_t d = (size_t)s->t->params->config.n_embd, window = (size_t)shape.window;
    const size_t first = (size_t)(item / shape.n_head) * window;
    attention_backward(s->c, &shape, (int)(item % shape.n_head), s->layer->qkv + first * 3 * d,
                       s->layer->p + (size_t)item * window * window, s->t->da + first * d,
                       s->t->wide + first * 3 * d, crew_own(s->c, thread));
}

static void backward_block(struct item_view *s)
{
    struct train_pass *t = s->t;
    const struct pass_layer *l = s->layer;
    linear_backward(s, l->act, P_MLP_C_PROJ_WEIGHT, t->dx, t->wide);
    crew_each(s->c, row_items(t), activation_backward_item, s);
    linear_backward(s, l->a_2, P_C_FC_WEIGHT, t->wide, t->da);
    norm_backward(s, l->x_mid, params_block(s->number, P_LN_2_WEIGHT), t->da);
    linear_backward(s, l->heads, P_ATTN_C_PROJ_WEIGHT, t->dx, t->da);
    crew_each(s->c, (int64_t)t->windows * t->params->config.n_head, attention_backward_item, s);
    linear_backward(s, l->a_1, P_C_ATTN_WEIGHT, t->wide, t->da);
    norm_backward(s, l->x_in, params_block(s->number, P_LN_1_WEIGHT), t->da);
}

/* Columns of the embeddings' gradients. Each element is one chain over tokens. */
static void embed_backward_item(void *arg, int64_t item, int thread)
{
    const struct item_view *s = arg;
    const struct train_pass *t = s->t;
    const size_t d = (size_t)t->params->config.n_embd, first = (size_t)item * COLS_OF_ITEM;
    const size_t n = d - first < COLS_OF_ITEM ? d - first : COLS_OF_ITEM;
    (void)thread;
    for (int r = 0; r < t->n; r++) {
        const float *dx = t->dx + (size_t)r * d + first;
        s->c->kernels->add(gradient(s, params_wte()) + (size_t)s->tokens[r] * d + first, dx, n);
        s->c->kernels->add(gradient(s, params_wpe()) + (size_t)(r % t->window) * d + first, dx, n);
    }
}

void pass_backward(struct train_pass *t, const struct crew *c, const float *weights, const int32_t *tokens,
                   float *g)
{
    const struct param_list *p = t->params;
    struct item_view s = {.t = t, .c = c, .weights = weights, .gradients = g, .tokens = tokens};
    memset(t->dx, 0, (size_t)t->n * (size_t)p->config.n_embd * sizeof *t->dx);
    norm_backward(&s, t->x, params_ln_f_weight(p), t->da);
    for (int l = p->config.n_layer; l-- > 0;) {
        s.number = l;
        s.layer = &t->layers[l];
        backward_block(&s);
    }
    if (params_head(p) != params_wte())
        memset(gradient(&s, params_wte()), 0, param_floats(&p->list[params_wte()]) * sizeof *g);
    memset(gradient(&s, params_wpe()), 0, param_floats(&p->list[params_wpe()]) * sizeof *g);
    crew_each(c, (p->config.n_embd + COLS_OF_ITEM - 1) / COLS_OF_ITEM, embed_backward_item, &s);
}
