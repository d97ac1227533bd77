/* The phases of a pass, in order. The thread that does the last item of a phase makes the next one: it
 * shows the observer what was written, counts the time, and points the pass at the next phase. */
#include "model/config.h"
#include "model/forward_parts.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- rows ---- */

static int least(int a, int b) { return a < b ? a : b; }

/* The least numbers of an item of rows: fewer are done sooner than shared. */
#define ITEM_NUMBERS 2048

/* Makes items of some rows, of `cols` numbers each: a few for every thread. */
static int items_of_rows(struct pass *p, int rows, int cols)
{
    const int few = (rows + 4 * p->n_threads - 1) / (4 * p->n_threads),
              grain = (ITEM_NUMBERS + cols - 1) / cols;
    p->rows_of_item = few > grain ? few : grain;
    return (rows + p->rows_of_item - 1) / p->rows_of_item;
}

static void rows_of_item(const struct pass *p, int rows, int item, int *r0, int *r1)
{
    *r0 = item * p->rows_of_item;
    *r1 = least(rows, *r0 + p->rows_of_item);
}

/* x = wte[token] + wpe[position] */
static void embed(void *arg, int item, int thread)
{
    const struct pass *p = arg;
    const struct gpt2_weights *w = p->f->weights;
    int d = w->config.n_embd, r, r1;
    (void)thread;
    for (rows_of_item(p, p->n, item, &r, &r1); r < r1; r++) {
        float *x = p->f->x + (size_t)r * row_stride(p->f, (size_t)d);
        p->f->isa->formats[w->wte.scheme.format].dequantize_row(&w->wte, p->tokens[r].token, x);
        p->f->isa->kernels->add(x, w->wpe + (size_t)p->tokens[r].position * (size_t)d, (size_t)d);
    }
}

static void norm_row(const struct pass *p, int row, float *to)
{
    const gpt2q_config *c = &p->f->weights->config;
    const float *x = p->f->x + (size_t)row * row_stride(p->f, (size_t)c->n_embd);
    p->f->isa->kernels->layer_norm(x, p->norm->weight, p->norm->bias, c->layer_norm_epsilon, c->n_embd, to);
}

static void prepare(const struct pass *p, int r0, int r1)
{
    const struct qtensor *w = &p->product->w.weight;
    struct qinput in = p->product->in;
    if (p->product->codes) p->f->isa->formats[w->scheme.format].prepare(w, &in, r0, r1);
}

/* Multiplies the inputs by their factors, in place. The hidden layer is not read again. */
static void multiply_rows(const struct pass *p, int r0, int r1)
{
    const struct qinput *in = &p->product->in;
    const float *factors = p->product->w.factors;
    for (int r = r0; r < r1; r++) {
        float *x = p->f->wide + (size_t)r * in->stride;
        for (int k = 0; k < in->cols; k++) x[k] *= factors[k];
    }
}

static void prepare_rows(void *arg, int item, int thread)
{
    const struct pass *p = arg;
    int r0, r1;
    (void)thread;
    rows_of_item(p, p->product->in.n, item, &r0, &r1);
    if (p->product->w.factors) multiply_rows(p, r0, r1);
    prepare(p, r0, r1);
}

/* An observer may change a norm's output before it is quantized. */
static bool prepares_at_once(const struct pass *p) { return !p->f->observer && !p->product->prepared; }

/* a = norm(x), prepared for the product after it. */
static void norm_rows(void *arg, int item, int thread)
{
    const struct pass *p = arg;
    const size_t stride = row_stride(p->f, (size_t)p->f->weights->config.n_embd);
    int r0, r1;
    (void)thread;
    rows_of_item(p, p->n, item, &r0, &r1);
    for (int r = r0; r < r1; r++) norm_row(p, r, p->f->a + (size_t)r * stride);
    if (prepares_at_once(p)) prepare(p, r0, r1);
}

/* y = ln_f(x) of the rows that want logits. An observer has seen a of all rows and may have changed it. */
static void norm_outputs(void *arg, int item, int thread)
{
    const struct pass *p = arg;
    const struct forward *f = p->f;
    const size_t d = (size_t)f->weights->config.n_embd, stride = row_stride(f, d);
    int r0, r1;
    (void)thread;
    rows_of_item(p, p->n_outputs, item, &r0, &r1);
    for (int o = r0; o < r1; o++) {
        const int row = f->output_row[o];
        float *y = f->y + (size_t)o * stride;
        if (f->observer)
            memcpy(y, f->a + (size_t)row * stride, d * sizeof *y);
        else
            norm_row(p, row, y);
    }
    if (prepares_at_once(p)) prepare(p, r0, r1);
}

/* ---- products ---- */

/* An item is one panel for one block of rows. All panels of a block come before the next block. Products
 * of floats take longer than fetching their inputs, so one block has all rows. */
#define BLOCK_BYTES (512 << 10)

static int rows_of_block(const struct qinput *in)
{
    if (in->kind == ACTIVATIONS_F32) return in->n;
    int rows = BLOCK_BYTES / (in->kind == ACTIVATIONS_I16 ? 2 : 1) / in->cols / QINPUT_BLOCK * QINPUT_BLOCK;
    return rows < 2 * QINPUT_BLOCK ? 2 * QINPUT_BLOCK : rows;
}

/* The rest of a product, with n rows of x as input. */
static struct linear_product with_input(const struct forward *f, struct linear_product product,
                                        const float *x, int n)
{
    const struct qtensor *w = &product.w.weight;
    struct qinput *in = &product.in;
    *in = (struct qinput){.n = n,
                          .cols = w->cols,
                          .end = n,
                          .f32 = x,
                          .stride = row_stride(f, (size_t)w->cols),
                          .kind = f->activations.kind,
                          .threshold = f->activations.threshold,
                          .fixed_scale = f->activations.fixed ? product.w.input_scale : 0.0f};
    if (!f->isa->formats[w->scheme.format].matmul_q) in->kind = ACTIVATIONS_F32;
    product.block = rows_of_block(in);
    product.codes = qinput_needs_prepare(w, in->kind);
    product.prepared = !product.codes && !product.w.factors;
    if (product.codes) qinput_layout(in, w, in->kind, n, f->prepared);
    return product;
}

static void product_then(const struct pass *p, struct forward_outputs o, int panel, int thread)
{
    linear_outputs(&p->product->w.weight, panel, &o.begin, &o.end);
    p->product->then(p, &o, thread);
}

static void product_item(void *arg, int item, int thread)
{
    const struct pass *p = arg;
    const struct forward *f = p->f;
    const struct linear_product *product = p->product;
    const int panels = qtensor_panels(&product->w.weight), panel = item % panels;
    const bool tiled = product->then && !f->observer;
    struct qinput in = product->in;
    in.begin = item / panels * product->block;
    in.end = least(in.n, in.begin + product->block);
    float *y = tiled ? f->tiles + (size_t)thread * (size_t)f->n_batch * PANEL
                     : product->y + (size_t)in.begin * product->y_stride + (size_t)panel * PANEL;
    const size_t stride = tiled ? PANEL : product->y_stride;
    linear_panel(f->isa, &product->w, &in, y, stride, panel);
    if (tiled)
        product_then(p, (struct forward_outputs){.x = y, .stride = stride, .r0 = in.begin, .r1 = in.end},
                     panel, thread);
}

/* Adds or activates a panel's outputs, after an observer has seen them all. */
static void product_then_item(void *arg, int panel, int thread)
{
    const struct pass *p = arg;
    const struct forward_outputs all = {
        .x = p->product->y + (size_t)panel * PANEL, .stride = p->product->y_stride, .r1 = p->product->in.n};
    product_then(p, all, panel, thread);
}

/* Adds outputs to the residual stream. */
static void add_residual(const struct pass *p, const struct forward_outputs *o, int thread)
{
    const struct forward *f = p->f;
    const size_t stride = row_stride(f, (size_t)f->weights->config.n_embd), n = (size_t)(o->end - o->begin);
    const float *x = o->x;
    (void)thread;
    for (int r = o->r0; r < o->r1; r++, x += o->stride)
        f->isa->kernels->add(f->x + (size_t)r * stride + o->begin, x, n);
}

/* Activates outputs into the hidden layer. */
static void activate(const struct pass *p, const struct forward_outputs *o, int thread)
{
    const struct forward *f = p->f;
    const size_t stride = row_stride(f, (size_t)f->weights->config.n_inner), n = (size_t)(o->end - o->begin);
    const enum activation_function activation = config_activation(&f->weights->config);
    const float *x = o->x;
    (void)thread;
    for (int r = o->r0; r < o->r1; r++, x += o->stride)
        f->isa->kernels->activation[activation](x, n, f->wide + (size_t)r * stride + o->begin);
}

static void keep_best(const struct pass *p, const struct forward_outputs *o, int thread)
{
    const struct forward *f = p->f;
    const float *x = o->x;
    for (int r = o->r0; r < o->r1; r++, x += o->stride)
        f->isa->kernels->row_best(x, (size_t)(o->end - o->begin), o->begin, &best_of(f, thread)[r]);
}

enum product_of_layer { C_ATTN, ATTN_C_PROJ, C_FC, MLP_C_PROJ };
_Static_assert(MLP_C_PROJ + 1 == PRODUCTS_OF_LAYER, "products of a layer");

void pass_set_products(const struct pass *p)
{
    struct forward *f = p->f;
    const gpt2q_config *c = &f->weights->config;
    const size_t d = row_stride(f, (size_t)c->n_embd), qkv = row_stride(f, 3 * (size_t)c->n_embd),
                 inner = row_stride(f, (size_t)c->n_inner);
    if (f->products_rows == p->n) return;
    f->products_rows = p->n;
    for (int l = 0; l < c->n_layer; l++) {
        const struct gpt2_block *b = &f->weights->h[l];
        struct linear_product *of = f->products + (size_t)l * PRODUCTS_OF_LAYER;
        of[C_ATTN] = (struct linear_product){.w = b->c_attn, .y = f->wide, .y_stride = qkv};
        of[ATTN_C_PROJ] =
            (struct linear_product){.w = b->attn_c_proj, .y = f->y, .y_stride = d, .then = add_residual};
        of[C_FC] = (struct linear_product){.w = b->c_fc, .y = f->wide, .y_stride = inner, .then = activate};
        of[MLP_C_PROJ] =
            (struct linear_product){.w = b->mlp_c_proj, .y = f->y, .y_stride = d, .then = add_residual};
        for (int i = 0; i < PRODUCTS_OF_LAYER; i++)
            of[i] = with_input(f, of[i], i == MLP_C_PROJ ? f->wide : f->a, p->n);
    }
}

static void set_product(struct pass *p, enum product_of_layer which)
{
    p->product = p->f->products + (size_t)p->layer * PRODUCTS_OF_LAYER + which;
}

/* ---- attention ---- */

static void append_unit(const struct pass *p, const struct attention_unit *u)
{
    const int d = p->f->weights->config.n_embd, hd = p->f->cache->head_dim;
    const struct kv_view kv = kv_cache_view(p->f->cache, p->layer, p->tokens[u->row].sequence);
    const size_t stride = row_stride(p->f, 3 * (size_t)d);
    const float *k = p->f->wide + (size_t)u->row * stride + d + u->head * hd;
    const struct kv_rows rows = {.k = k,
                                 .v = k + d,
                                 .stride = stride,
                                 .n_rows = u->n_rows,
                                 .first_position = p->tokens[u->row].position};
    p->f->isa->kernels->kv_append(&kv, u->head, &rows);
}

static void append_item(void *arg, int item, int thread)
{
    const struct pass *p = arg;
    (void)thread;
    append_unit(p, &p->f->units[item]);
}

static float scale_of_scores(const struct pass *p)
{
    const gpt2q_config *c = &p->f->weights->config;
    float scale = c->scale_attn_weights ? 1.0f / sqrtf((float)p->f->cache->head_dim) : 1.0f;
    return c->scale_attn_by_inverse_layer_idx ? scale / (float)(p->layer + 1) : scale;
}

/* a = merged heads of attention over the cache, which already has this chunk's keys and values */
static void attention_item(void *arg, int item, int thread)
{
    const struct pass *p = arg;
    const struct forward *f = p->f;
    const struct attention_unit *u = &f->units[item];
    const int d = f->weights->config.n_embd, hd = f->cache->head_dim;
    const size_t q_stride = row_stride(f, 3 * (size_t)d), y_stride = row_stride(f, (size_t)d);
    if (!p->append_apart) append_unit(p, u);
    struct kv_view kv = kv_cache_view(f->cache, p->layer, p->tokens[u->row].sequence);
    struct attention_rows rows = {.q = f->wide + (size_t)u->row * q_stride + u->head * hd,
                                  .y = f->a + (size_t)u->row * y_stride + u->head * hd,
                                  .q_stride = q_stride,
                                  .y_stride = y_stride,
                                  .n_rows = u->n_rows,
                                  .first_position = p->tokens[u->row].position,
                                  .scale = scale_of_scores(p)};
    f->isa->kernels->attention(&kv, u->head, &rows, f->scores + (size_t)thread * f->scores_floats);
}

/* ---- the order of the phases ---- */

enum step { /* STEP_LN_1 to STEP_MLP_THEN repeat for each layer */
            STEP_EMBED,
            STEP_LN_1,
            STEP_C_ATTN_INPUT,
            STEP_C_ATTN,
            STEP_APPEND,
            STEP_ATTENTION,
            STEP_C_PROJ_INPUT,
            STEP_C_PROJ,
            STEP_C_PROJ_THEN,
            STEP_LN_2,
            STEP_C_FC_INPUT,
            STEP_C_FC,
            STEP_C_FC_THEN,
            STEP_MLP_INPUT,
            STEP_MLP,
            STEP_MLP_THEN,
            STEP_LN_F,
            STEP_LM_HEAD_NORM,
            STEP_LM_HEAD_INPUT,
            STEP_LM_HEAD,
            STEP_LM_HEAD_THEN,
            STEP_END
};

static struct phase norm_phase(struct pass *p, const struct norm *norm)
{
    p->norm = norm;
    return (struct phase){norm_rows, items_of_rows(p, p->n, p->f->weights->config.n_embd)};
}

static struct phase input_phase(struct pass *p)
{
    if (p->product->prepared || !p->f->observer) return (struct phase){0};
    return (struct phase){prepare_rows, items_of_rows(p, p->product->in.n, p->product->in.cols)};
}

/* Prepares the input of a product after a phase that did not write it row by row. */
static struct phase own_input_phase(struct pass *p)
{
    if (p->product->prepared) return (struct phase){0};
    return (struct phase){prepare_rows, items_of_rows(p, p->product->in.n, p->product->in.cols)};
}

static struct phase product_phase(const struct pass *p)
{
    const struct linear_product *product = p->product;
    const int blocks = (product->in.n + product->block - 1) / product->block;
    return (struct phase){product_item, qtensor_panels(&product->w.weight) * blocks};
}

static struct phase then_phase(const struct pass *p)
{
    if (!p->f->observer || !p->product->then) return (struct phase){0};
    return (struct phase){product_then_item, qtensor_panels(&p->product->w.weight)};
}

static struct phase begin_head(struct pass *p)
{
    const struct forward *f = p->f;
    const struct gpt2_weights *w = f->weights;
    if (!p->n_outputs) return (struct phase){0};
    p->head =
        with_input(f,
                   (struct linear_product){.w = {.weight = w->lm_head, .input_scale = w->lm_head_input_scale},
                                           .y = p->logits,
                                           .y_stride = (size_t)w->lm_head.rows,
                                           .then = p->argmax ? keep_best : NULL},
                   f->y, p->n_outputs);
    p->product = &p->head;
    p->norm = &w->ln_f;
    return (struct phase){norm_outputs, items_of_rows(p, p->n_outputs, w->config.n_embd)};
}

static struct phase begin_step(struct pass *p)
{
    const struct forward *f = p->f;
    const struct gpt2_block *b = &f->weights->h[p->layer];
    switch ((enum step)p->step) {
    case STEP_EMBED: return (struct phase){embed, items_of_rows(p, p->n, f->weights->config.n_embd)};
    case STEP_LN_1: set_product(p, C_ATTN); return norm_phase(p, &b->ln_1);
    case STEP_APPEND: return (struct phase){append_item, p->append_apart ? p->n_units : 0};
    case STEP_ATTENTION: return (struct phase){attention_item, p->n_units};
    case STEP_C_PROJ_INPUT: set_product(p, ATTN_C_PROJ); return own_input_phase(p);
    case STEP_LN_2: set_product(p, C_FC); return norm_phase(p, &b->ln_2);
    case STEP_MLP_INPUT: set_product(p, MLP_C_PROJ); return own_input_phase(p);
    case STEP_C_ATTN_INPUT:
    case STEP_C_FC_INPUT: return input_phase(p);
    case STEP_C_ATTN:
    case STEP_C_PROJ:
    case STEP_C_FC:
    case STEP_MLP: return product_phase(p);
    case STEP_C_PROJ_THEN:
    case STEP_C_FC_THEN:
    case STEP_MLP_THEN: return then_phase(p);
    case STEP_LN_F: /* only an observer sees rows that want no logits */
        return f->observer ? norm_phase(p, &f->weights->ln_f) : (struct phase){0};
    case STEP_LM_HEAD_NORM: return begin_head(p);
    case STEP_LM_HEAD_INPUT: return p->n_outputs ? input_phase(p) : (struct phase){0};
    case STEP_LM_HEAD: return p->n_outputs ? product_phase(p) : (struct phase){0};
    case STEP_LM_HEAD_THEN: return p->n_outputs ? then_phase(p) : (struct phase){0};
    case STEP_END: break;
    }
    return (struct phase){0};
}

static void observe(const struct pass *p, const char *name, float *data, int rows, int cols)
{
    const struct forward *f = p->f;
    const bool in_layer = p->step > STEP_EMBED && p->step < STEP_LN_F;
    char full[64];
    if (!f->observer) return;
    snprintf(full, sizeof full, "h.%d.%s", p->layer, name);
    f->observer(f->observer_user, in_layer ? full : name, data, p->first_row, rows, cols);
}

static void observe_product(const struct pass *p, const char *name)
{
    observe(p, name, p->product->y, p->product->in.n, p->product->w.weight.rows);
}

/* Shows the observer what the phase made. */
static void observe_step(const struct pass *p)
{
    const struct forward *f = p->f;
    const int d = f->weights->config.n_embd;
    switch ((enum step)p->step) {
    case STEP_EMBED: observe(p, "embed", f->x, p->n, d); break;
    case STEP_LN_1: observe(p, "ln_1", f->a, p->n, d); break;
    case STEP_C_ATTN: observe_product(p, "attn.c_attn"); break;
    case STEP_ATTENTION: observe(p, "attn.heads", f->a, p->n, d); break;
    case STEP_C_PROJ: observe_product(p, "attn.c_proj"); break;
    case STEP_LN_2: observe(p, "ln_2", f->a, p->n, d); break;
    case STEP_C_FC: observe_product(p, "mlp.c_fc"); break;
    case STEP_C_FC_THEN: observe(p, "mlp.act", f->wide, p->n, f->weights->config.n_inner); break;
    case STEP_MLP: observe_product(p, "mlp.c_proj"); break;
    case STEP_MLP_THEN: observe(p, "out", f->x, p->n, d); break;
    case STEP_LN_F: observe(p, "ln_f", f->a, p->n, d); break;
    case STEP_LM_HEAD:
        if (p->n_outputs) observe_product(p, "logits");
        break;
    default: break;
    }
}

/* The time of quantizing a product's input counts to the part that made the input. The head's part ends
 * with the pass. */
static void count_step(const struct pass *p)
{
    static const enum forward_part part[STEP_END] = {
        [STEP_EMBED] = PART_EMBED,
        [STEP_C_ATTN_INPUT] = PART_NORM,
        [STEP_C_ATTN] = PART_C_ATTN,
        [STEP_C_PROJ_INPUT] = PART_ATTENTION,
        [STEP_C_PROJ_THEN] = PART_ATTN_C_PROJ,
        [STEP_C_FC_INPUT] = PART_NORM,
        [STEP_MLP_INPUT] = PART_C_FC,
        [STEP_MLP_THEN] = PART_MLP_C_PROJ,
        [STEP_LM_HEAD_INPUT] = PART_NORM,
    };
    if (p->step == STEP_EMBED || part[p->step]) profile_end(p->f->profile, part[p->step]);
}

static void end_step(struct pass *p)
{
    observe_step(p);
    count_step(p);
}

static void to_next_step(struct pass *p)
{
    if (p->step == STEP_MLP_THEN && p->layer + 1 < p->f->weights->config.n_layer) {
        p->layer++;
        p->step = STEP_LN_1;
    } else {
        p->step++;
    }
}

bool pass_next_phase(void *pass, struct phase *next)
{
    struct pass *p = pass;
    if (p->begun) {
        end_step(p);
        to_next_step(p);
    }
    for (p->begun = true; p->step < STEP_END; to_next_step(p)) {
        *next = begin_step(p);
        if (next->n_items) return true;
        end_step(p);
    }
    return false;
}
