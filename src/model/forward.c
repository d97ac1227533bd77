#include "model/forward.h"
#include "model/config.h"
#include "base/checked.h"
#include "base/memory.h"
#include "base/threads.h"
#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* Tokens of one sequence in consecutive positions, side by side in the batch. */
struct batch_run {
    int row, n_rows;
};
/* What one thread does at a time: some rows of a run, in one head. */
struct attention_unit {
    int run, head, row, n_rows;
};

/* Floats from a row of a matrix to the next. An odd number of cache lines, so that the same outputs of all rows lie in different
 * sets of the caches; where somebody looks on, none but the row's own. */
static size_t odd_lines(size_t cols) { return ((cols + 15) / 16 | 1) * 16; }
static size_t row_stride(const struct forward *f, size_t cols)
{
    return f->observer ? cols : odd_lines(cols);
}

struct pass {
    struct forward *f;
    const struct batch_token *tokens;
    int n, n_runs, n_outputs, first_row;
    bool
        append_apart; /* some run has several units a head: all keys must be cached before any of them attends */
    float *logits;
    int32_t *argmax; /* NULL: the logits themselves are wanted */
};

/* The rows of a thread end where a cache line does. */
static size_t best_stride(const struct forward *f)
{
    return round_up((size_t)f->n_outputs, 64 / sizeof(struct best));
}

gpt2q_status forward_create(struct forward *f, const struct gpt2_weights *weights, const struct isa *isa,
                            struct kv_cache *cache, enum activations activations, int n_batch, int n_outputs,
                            int n_threads, gpt2q_error *err)
{
    const gpt2q_config *c = &weights->config;
    *f = (struct forward){.weights = weights,
                          .isa = isa,
                          .cache = cache,
                          .activations = activations,
                          .n_batch = n_batch,
                          .n_outputs = n_outputs,
                          .n_threads = n_threads};
    const size_t n = (size_t)n_batch, d = odd_lines((size_t)c->n_embd), qkv = 3 * (size_t)c->n_embd,
                 inner = (size_t)c->n_inner;
    const size_t wide = odd_lines(qkv > inner ? qkv : inner);
    size_t prepared = 0;
    const struct gpt2_block *h = weights->h;
    for (int l = 0; l < c->n_layer; l++) {
        const struct linear_weight *all[] = {&h[l].c_attn, &h[l].attn_c_proj, &h[l].c_fc, &h[l].mlp_c_proj};
        for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
            size_t bytes = qinput_layout(&(struct qinput){0}, &all[i]->weight, activations, n_batch, NULL);
            if (bytes > prepared) prepared = bytes;
        }
    }
    size_t head = qinput_layout(&(struct qinput){0}, &weights->lm_head, activations, n_outputs, NULL);
    if (head > prepared) prepared = head;
    f->scores_floats =
        round_up(attention_scratch_floats(cache->max_blocks * KV_BLOCK), 1024); /* pages of their own */
    f->x = mem_array(n * d, sizeof(float));
    f->a = mem_array(n * d, sizeof(float));
    f->y = mem_array(n * d, sizeof(float));
    f->wide = mem_array(n, wide * sizeof(float));
    f->prepared = mem_alloc(prepared);
    f->tiles = mem_array((size_t)n_threads, n * PANEL * sizeof(float));
    f->best = mem_array((size_t)n_threads, best_stride(f) * sizeof *f->best);
    f->scores = mem_array((size_t)n_threads, f->scores_floats * sizeof(float));
    f->units = mem_array(n * (size_t)c->n_head, sizeof *f->units);
    f->unit_begin = mem_array((size_t)n_threads + 1, sizeof *f->unit_begin);
    f->shares = mem_zarray((size_t)n_threads * PART_COUNT, sizeof *f->shares);
    f->runs = mem_array(n, sizeof *f->runs);
    if (f->x && f->a && f->y && f->wide && f->prepared && f->tiles && f->best && f->scores && f->units &&
        f->unit_begin && f->shares && f->runs)
        return GPT2Q_OK;
    forward_free(f);
    return error_memory(err, "the scratch of a forward pass",
                        n * (wide + 3 * d + (size_t)n_threads * PANEL) * sizeof(float));
}

void forward_free(struct forward *f)
{
    void *all[] = {f->x,    f->a,      f->y,     f->wide,       f->prepared, f->tiles,
                   f->best, f->scores, f->units, f->unit_begin, f->shares,   f->runs};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) mem_free(all[i]);
    *f = (struct forward){0};
}

/* ---- the plan of a pass: runs, attention units, and which thread does which ---- */

static void find_runs(struct pass *p)
{
    const struct batch_token *t = p->tokens;
    struct batch_run *runs = p->f->runs;
    for (int i = 0; i < p->n; i++) {
        p->n_outputs += t[i].wants_logits;
        if (i && t[i].sequence == t[i - 1].sequence && t[i].position == t[i - 1].position + 1) {
            runs[p->n_runs - 1].n_rows++;
        } else {
            runs[p->n_runs++] = (struct batch_run){.row = i, .n_rows = 1};
        }
    }
}

static int64_t unit_cost(const struct pass *p, const struct attention_unit *u)
{
    return (int64_t)u->n_rows *
           (p->tokens[u->row + u->n_rows - 1].position + 64); /* 64: the fixed part, in positions */
}

static int list_units(struct pass *p, int64_t *total)
{
    struct attention_unit *units = p->f->units;
    int count = 0;
    *total = 0;
    for (int i = 0; i < p->n_runs; i++) {
        struct batch_run r = p->f->runs[i];
        if (r.n_rows > ATTENTION_TILE) p->append_apart = true;
        for (int head = 0; head < p->f->cache->n_head; head++)
            for (int k = 0; k < r.n_rows; k += ATTENTION_TILE) {
                int rows = r.n_rows - k < ATTENTION_TILE ? r.n_rows - k : ATTENTION_TILE;
                units[count] =
                    (struct attention_unit){.run = i, .head = head, .row = r.row + k, .n_rows = rows};
                *total += unit_cost(p, &units[count++]);
            }
    }
    return count;
}

/* Contiguous shares of about equal cost. */
static void share_units(struct pass *p, int n_threads)
{
    int64_t total, done = 0;
    int count = list_units(p, &total), thread = 0;
    int32_t *begin = p->f->unit_begin;
    begin[0] = 0;
    for (int i = 0; i < count; i++) {
        while (thread + 1 < n_threads && done >= total * (thread + 1) / n_threads) begin[++thread] = i;
        done += unit_cost(p, &p->f->units[i]);
    }
    while (thread < n_threads) begin[++thread] = count;
}

/* ---- the parts of a pass; every thread runs them ---- */

static void observe(struct pass *p, int thread, int layer, const char *name, float *data, int rows, int cols)
{
    struct forward *f = p->f;
    if (!f->observer) return;
    threads_barrier();
    if (thread == 0) {
        char full[64];
        if (layer >= 0) snprintf(full, sizeof full, "h.%d.%s", layer, name);
        f->observer(f->observer_user, layer >= 0 ? full : name, data, p->first_row, rows, cols);
    }
    threads_barrier();
}

/* Ends a part where all threads have met; quantizing the input of a product counts to the part that made it. */
static void mark(struct pass *p, int thread, enum forward_part part)
{
    if (thread == 0) profile_end(p->f->profile, part);
}

/* Where the threads share what a part does. */
static struct share *shares_of(const struct pass *p, enum forward_part part)
{
    return p->f->shares + (size_t)part * (size_t)p->f->n_threads;
}

/* Outputs [begin, end) of rows [r0, r1), those of row r0 at x and of each further one `stride` floats on. */
struct outputs {
    const float *x;
    size_t stride;
    int r0, r1, begin, end;
};

/* A product: all panels of w times the rows of `in`, to y (n, rows). */
struct product {
    enum forward_part part;
    const char *name;
    const struct linear_weight *w;
    struct qinput in;
    float *y; /* with `then`, only where an observer wants all outputs */
    size_t y_stride;
    /* What becomes of some outputs; NULL: they stay in y. A tile of the thread's own stays in a cache; of y, a few lines of every
     * row would be fetched to be written. */
    void (*then)(const struct pass *p, const struct outputs *o, int thread);
    int block; /* rows of an item: of their inputs, the second-level cache has room for as many */
};

/* What a thread does at a time: a block of rows times a panel, all panels before the next block. Products of floats take longer
 * than their inputs take to arrive. */
#define BLOCK_BYTES (512 << 10)

static int rows_of_block(const struct qinput *in)
{
    if (in->kind == ACTIVATIONS_F32) return in->n;
    int rows = BLOCK_BYTES / (in->kind == ACTIVATIONS_I16 ? 2 : 1) / in->cols / QINPUT_BLOCK * QINPUT_BLOCK;
    return rows < 2 * QINPUT_BLOCK ? 2 * QINPUT_BLOCK : rows;
}

/* Points the product at n rows of x, quantizes the rows that are thread's for weights that want it, and offers thread's panels.
 * With `apart`, x was not written row by row by the same threads: all of it is awaited first. Returns when all rows are ready. */
static void product_begin(struct pass *p, struct product *product, const float *x, int n, bool apart,
                          int thread, int n_threads)
{
    struct forward *f = p->f;
    const struct qtensor *w = &product->w->weight;
    struct qinput *in = &product->in;
    int64_t begin, end;
    *in = (struct qinput){.n = n,
                          .cols = w->cols,
                          .end = n,
                          .f32 = x,
                          .stride = row_stride(f, (size_t)w->cols),
                          .kind = f->activations};
    if (!f->isa->formats[w->scheme.format].matmul_q) in->kind = ACTIVATIONS_F32;
    product->block = rows_of_block(in);
    threads_split((int64_t)qtensor_panels(w) * ((n + product->block - 1) / product->block), thread, n_threads,
                  &begin, &end);
    share_offer(shares_of(p, product->part), thread, begin, end);
    if (apart) threads_barrier();
    if (qinput_needs_prepare(w, in->kind)) {
        threads_split(n, thread, n_threads, &begin, &end);
        qinput_layout(in, w, in->kind, n, f->prepared);
        f->isa->formats[w->scheme.format].prepare(w, in, (int)begin, (int)end);
        threads_barrier();
    } else if (!apart) {
        threads_barrier();
    }
}

static void product_then(const struct pass *p, const struct product *product, struct outputs o, int panel,
                         int thread)
{
    linear_outputs(&product->w->weight, panel, &o.begin, &o.end);
    if (product->then) product->then(p, &o, thread);
}

/* Does items until none is left. An observer sees the outputs of all before anything follows. */
static void product_run(struct pass *p, const struct product *product, int layer, int thread, int n_threads)
{
    const struct forward *f = p->f;
    const struct qtensor *w = &product->w->weight;
    const int panels = qtensor_panels(w), n = product->in.n;
    const bool tiled = product->then && !f->observer;
    struct qinput in = product->in;
    int item;
    while (share_take(shares_of(p, product->part), thread, n_threads, &item)) {
        in.begin = item / panels * product->block;
        in.end = n - in.begin < product->block ? n : in.begin + product->block;
        float *y = tiled
                       ? f->tiles + (size_t)thread * (size_t)f->n_batch * PANEL
                       : product->y + (size_t)in.begin * product->y_stride + (size_t)(item % panels) * PANEL;
        const size_t stride = tiled ? PANEL : product->y_stride;
        linear_panel(f->isa, product->w, &in, y, stride, item % panels);
        if (tiled)
            product_then(p, product, (struct outputs){.x = y, .stride = stride, .r0 = in.begin, .r1 = in.end},
                         item % panels, thread);
    }
    if (!f->observer) return;
    int64_t begin, end;
    observe(p, thread, layer, product->name, product->y, n, w->rows);
    threads_split(panels, thread, n_threads, &begin, &end);
    for (; begin < end; begin++) {
        const struct outputs all = {.x = product->y + begin * PANEL, .stride = product->y_stride, .r1 = n};
        product_then(p, product, all, (int)begin, thread);
    }
}

/* x = wte[token] + wpe[position] */
static void embed(struct pass *p, int thread, int n_threads)
{
    const struct gpt2_weights *w = p->f->weights;
    int d = w->config.n_embd;
    int64_t r0, r1;
    threads_split(p->n, thread, n_threads, &r0, &r1);
    for (int64_t r = r0; r < r1; r++) {
        float *x = p->f->x + (size_t)r * row_stride(p->f, (size_t)d);
        p->f->isa->formats[w->wte.scheme.format].dequantize_row(&w->wte, p->tokens[r].token, x);
        p->f->isa->kernels->add(x, w->wpe + (size_t)p->tokens[r].position * (size_t)d, (size_t)d);
    }
    observe(p, thread, -1, "embed", p->f->x, p->n, d);
}

static void norm_rows(struct pass *p, const struct norm *norm, const char *name, int layer, int thread,
                      int n_threads)
{
    const gpt2q_config *c = &p->f->weights->config;
    const int64_t stride = (int64_t)row_stride(p->f, (size_t)c->n_embd);
    int64_t r0, r1;
    threads_split(p->n, thread, n_threads, &r0, &r1);
    for (int64_t r = r0; r < r1; r++)
        p->f->isa->kernels->layer_norm(p->f->x + r * stride, norm->weight, norm->bias, c->layer_norm_epsilon,
                                       c->n_embd, p->f->a + r * stride);
    observe(p, thread, layer, name, p->f->a, p->n, c->n_embd);
}

static void append_unit(struct pass *p, int layer, const struct attention_unit *u)
{
    const int d = p->f->weights->config.n_embd, hd = p->f->cache->head_dim;
    const struct kv_view kv = kv_cache_view(p->f->cache, layer, p->tokens[u->row].sequence);
    const size_t stride = row_stride(p->f, 3 * (size_t)d);
    const float *k = p->f->wide + (size_t)u->row * stride + d + u->head * hd;
    const struct kv_rows rows = {.k = k,
                                 .v = k + d,
                                 .stride = stride,
                                 .n_rows = u->n_rows,
                                 .first_position = p->tokens[u->row].position};
    p->f->isa->kernels->kv_append(&kv, u->head, &rows);
}

/* a = merged heads of attention over the cache, this chunk's keys and values included */
static void attention(struct pass *p, int layer, int thread, int n_threads)
{
    struct forward *f = p->f;
    const gpt2q_config *c = &f->weights->config;
    int d = c->n_embd, hd = f->cache->head_dim, unit;
    const size_t q_stride = row_stride(f, 3 * (size_t)d), y_stride = row_stride(f, (size_t)d);
    float scale = c->scale_attn_weights ? 1.0f / sqrtf((float)hd) : 1.0f;
    if (c->scale_attn_by_inverse_layer_idx) scale /= (float)(layer + 1);
    if (p->append_apart) {
        for (int i = f->unit_begin[thread]; i < f->unit_begin[thread + 1]; i++)
            append_unit(p, layer, &f->units[i]);
        threads_barrier();
    }
    while (share_take(shares_of(p, PART_ATTENTION), thread, n_threads, &unit)) {
        const struct attention_unit *u = &f->units[unit];
        if (!p->append_apart) append_unit(p, layer, u);
        struct kv_view kv = kv_cache_view(f->cache, layer, p->tokens[u->row].sequence);
        struct attention_rows rows = {.q = f->wide + (size_t)u->row * q_stride + u->head * hd,
                                      .y = f->a + (size_t)u->row * y_stride + u->head * hd,
                                      .q_stride = q_stride,
                                      .y_stride = y_stride,
                                      .n_rows = u->n_rows,
                                      .first_position = p->tokens[u->row].position,
                                      .scale = scale};
        f->isa->kernels->attention(&kv, u->head, &rows, f->scores + (size_t)thread * f->scores_floats);
    }
    observe(p, thread, layer, "attn.heads", f->a, p->n, d);
}

/* Onto the residual stream. */
static void add_residual(const struct pass *p, const struct outputs *o, int thread)
{
    const struct forward *f = p->f;
    const size_t stride = row_stride(f, (size_t)f->weights->config.n_embd), n = (size_t)(o->end - o->begin);
    const float *x = o->x;
    (void)thread;
    for (int r = o->r0; r < o->r1; r++, x += o->stride)
        f->isa->kernels->add(f->x + (size_t)r * stride + o->begin, x, n);
}

/* Into the hidden layer. */
static void activate(const struct pass *p, const struct outputs *o, int thread)
{
    const struct forward *f = p->f;
    const size_t stride = row_stride(f, (size_t)f->weights->config.n_inner), n = (size_t)(o->end - o->begin);
    const enum activation_function activation = config_activation(&f->weights->config);
    const float *x = o->x;
    (void)thread;
    for (int r = o->r0; r < o->r1; r++, x += o->stride)
        f->isa->kernels->activation[activation](x, n, f->wide + (size_t)r * stride + o->begin);
}

static void block(struct pass *p, int layer, int thread, int n_threads)
{
    struct forward *f = p->f;
    const struct gpt2_block *b = &f->weights->h[layer];
    const gpt2q_config *c = &f->weights->config;
    const size_t d = row_stride(f, (size_t)c->n_embd), qkv = row_stride(f, 3 * (size_t)c->n_embd),
                 inner = row_stride(f, (size_t)c->n_inner);
    struct product c_attn = {PART_C_ATTN, "attn.c_attn", &b->c_attn, .y = f->wide, .y_stride = qkv},
                   attn_c_proj = {PART_ATTN_C_PROJ, "attn.c_proj", &b->attn_c_proj,
                                  .y = f->y,        .y_stride = d, .then = add_residual},
                   c_fc = {PART_C_FC,    "mlp.c_fc",        &b->c_fc,
                           .y = f->wide, .y_stride = inner, .then = activate},
                   mlp_c_proj = {PART_MLP_C_PROJ, "mlp.c_proj",  &b->mlp_c_proj,
                                 .y = f->y,       .y_stride = d, .then = add_residual};

    norm_rows(p, &b->ln_1, "ln_1", layer, thread, n_threads);
    product_begin(p, &c_attn, f->a, p->n, false, thread, n_threads);
    mark(p, thread, PART_NORM);
    product_run(p, &c_attn, layer, thread, n_threads);
    share_offer(shares_of(p, PART_ATTENTION), thread, f->unit_begin[thread], f->unit_begin[thread + 1]);
    threads_barrier();
    mark(p, thread, PART_C_ATTN);
    attention(p, layer, thread, n_threads);
    product_begin(p, &attn_c_proj, f->a, p->n, true, thread, n_threads);
    mark(p, thread, PART_ATTENTION);
    product_run(p, &attn_c_proj, layer, thread, n_threads);
    threads_barrier();
    mark(p, thread, PART_ATTN_C_PROJ);
    norm_rows(p, &b->ln_2, "ln_2", layer, thread, n_threads);
    product_begin(p, &c_fc, f->a, p->n, false, thread, n_threads);
    mark(p, thread, PART_NORM);
    product_run(p, &c_fc, layer, thread, n_threads);
    observe(p, thread, layer, "mlp.act", f->wide, p->n, f->weights->config.n_inner);
    product_begin(p, &mlp_c_proj, f->wide, p->n, true, thread, n_threads);
    mark(p, thread, PART_C_FC);
    product_run(p, &mlp_c_proj, layer, thread, n_threads);
    observe(p, thread, layer, "out", f->x, p->n, f->weights->config.n_embd);
    threads_barrier();
    mark(p, thread, PART_MLP_C_PROJ);
}

/* ---- the largest logits: each thread's own, then those of all ---- */

static struct best *best_of(const struct forward *f, int thread)
{
    return f->best + (size_t)thread * best_stride(f);
}

static void forget_best(const struct forward *f, int rows)
{
    for (int thread = 0; thread < f->n_threads; thread++)
        for (int r = 0; r < rows; r++) best_of(f, thread)[r] = BEST_OF_NONE;
}

static void keep_best(const struct pass *p, const struct outputs *o, int thread)
{
    const struct forward *f = p->f;
    const float *x = o->x;
    for (int r = o->r0; r < o->r1; r++, x += o->stride)
        f->isa->kernels->row_best(x, (size_t)(o->end - o->begin), o->begin, &best_of(f, thread)[r]);
}

static void join_best(const struct forward *f, int rows, int32_t *argmax)
{
    for (int r = 0; r < rows; r++) {
        struct best best = BEST_OF_NONE;
        for (int thread = 0; thread < f->n_threads; thread++) best_join(&best, best_of(f, thread)[r]);
        argmax[r] = best.id;
    }
}

/* ln_f and the output head, for the rows that want logits only; an observer sees ln_f of all rows. */
static void head(struct pass *p, int thread, int n_threads)
{
    struct forward *f = p->f;
    const struct gpt2_weights *w = f->weights;
    const gpt2q_config *c = &w->config;
    size_t d = (size_t)c->n_embd, stride = row_stride(f, d);
    norm_rows(p, &w->ln_f, "ln_f", -1, thread, n_threads);
    if (!p->n_outputs) return;
    threads_barrier();
    int64_t o0, o1, o = 0;
    threads_split(p->n_outputs, thread, n_threads, &o0, &o1);
    for (int r = 0; r < p->n; r++) {
        if (!p->tokens[r].wants_logits) continue;
        if (o >= o0 && o < o1)
            memcpy(f->y + (size_t)o * stride, f->a + (size_t)r * stride, d * sizeof(float));
        o++;
    }
    const struct linear_weight weight = {.weight = w->lm_head};
    struct product lm_head = {PART_LM_HEAD,
                              "logits",
                              &weight,
                              .y = p->logits,
                              .y_stride = (size_t)w->lm_head.rows,
                              .then = p->argmax ? keep_best : NULL};
    product_begin(p, &lm_head, f->y, p->n_outputs, false, thread, n_threads);
    mark(p, thread, PART_NORM);
    product_run(p, &lm_head, -1, thread, n_threads);
}

static void pass_thread(void *arg, int thread, int n_threads)
{
    struct pass *p = arg;
    if (thread == 0) share_units(p, n_threads); /* read after several barriers */
    embed(p, thread, n_threads);
    mark(p, thread, PART_EMBED);
    for (int layer = 0; layer < p->f->weights->config.n_layer; layer++) block(p, layer, thread, n_threads);
    head(p, thread, n_threads);
}

void forward_pass(struct forward *f, const struct batch_token *tokens, int n, int first_row, float *logits,
                  int32_t *argmax)
{
    assert(n > 0 && n <= f->n_batch);
    struct pass p = {
        .f = f, .tokens = tokens, .n = n, .first_row = first_row, .logits = logits, .argmax = argmax};
    profile_begin(f->profile);
    find_runs(&p);
    assert(p.n_outputs <= f->n_outputs);
    if (argmax) forget_best(f, p.n_outputs);
    threads_run(f->n_threads, pass_thread, &p);
    if (argmax) join_best(f, p.n_outputs, argmax);
    profile_end(f->profile, p.n_outputs ? PART_LM_HEAD : PART_NORM);
}
