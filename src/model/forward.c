#include "model/forward_parts.h"
#include "base/checked.h"
#include "base/clock.h"
#include "base/memory.h"
#include <assert.h>

static int least(int a, int b) { return a < b ? a : b; }

/* Floats from a row of a matrix to the next. It is an odd number of cache lines, so that the same outputs
 * of all rows lie in different sets of the caches. An observer sees rows without a gap. */
static size_t odd_lines(size_t cols) { return ((cols + 15) / 16 | 1) * 16; }
size_t row_stride(const struct forward *f, size_t cols) { return f->observer ? cols : odd_lines(cols); }

/* The rows of a thread end with a cache line. */
static size_t best_stride(const struct forward *f)
{
    return round_up((size_t)f->n_outputs, 64 / sizeof(struct best));
}

gpt2q_status forward_create(struct forward *f, const struct gpt2_weights *weights, const struct isa *isa,
                            struct kv_cache *cache, struct activation_mode activations, int n_batch,
                            int n_outputs, int n_threads, gpt2q_error *err)
{
    const gpt2q_config *c = &weights->config;
    *f = (struct forward){.weights = weights,
                          .isa = isa,
                          .cache = cache,
                          .activations = activations,
                          .n_batch = n_batch,
                          .n_outputs = n_outputs,
                          .n_threads = n_threads,
                          .n_useful = least(n_threads, threads_available())};
    const size_t n = (size_t)n_batch, d = odd_lines((size_t)c->n_embd), qkv = 3 * (size_t)c->n_embd,
                 inner = (size_t)c->n_inner;
    const size_t wide = odd_lines(qkv > inner ? qkv : inner);
    size_t prepared = 0;
    const struct gpt2_block *h = weights->h;
    for (int l = 0; l < c->n_layer; l++) {
        const struct linear_weight *all[] = {&h[l].c_attn, &h[l].attn_c_proj, &h[l].c_fc, &h[l].mlp_c_proj};
        for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
            struct qinput in = {.threshold = activations.threshold};
            size_t bytes = qinput_layout(&in, &all[i]->weight, activations.kind, n_batch, NULL);
            if (bytes > prepared) prepared = bytes;
        }
    }
    struct qinput in = {.threshold = activations.threshold};
    size_t head = qinput_layout(&in, &weights->lm_head, activations.kind, n_outputs, NULL);
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
    f->output_row = mem_array((size_t)n_outputs, sizeof *f->output_row);
    f->runs = mem_array(n, sizeof *f->runs);
    f->products = mem_array((size_t)weights->config.n_layer * PRODUCTS_OF_LAYER, sizeof *f->products);
    if (f->x && f->a && f->y && f->wide && f->prepared && f->tiles && f->best && f->scores && f->units &&
        f->output_row && f->runs && f->products)
        return GPT2Q_OK;
    forward_free(f);
    return error_memory(err, "the scratch of a forward pass",
                        n * (wide + 3 * d + (size_t)n_threads * PANEL) * sizeof(float));
}

void forward_free(struct forward *f)
{
    void *all[] = {f->x,    f->a,      f->y,     f->wide,       f->prepared, f->tiles,
                   f->best, f->scores, f->units, f->output_row, f->runs,     f->products};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) mem_free(all[i]);
    *f = (struct forward){0};
}

/* ---- the plan of a pass: runs, attention units, rows that want logits ---- */

static void find_runs(struct pass *p)
{
    const struct batch_token *t = p->tokens;
    struct token_run *runs = p->f->runs;
    for (int i = 0; i < p->n; i++) {
        if (t[i].wants_logits) {
            assert(p->n_outputs < p->f->n_outputs);
            p->f->output_row[p->n_outputs++] = i;
        }
        if (i && t[i].sequence == t[i - 1].sequence && t[i].position == t[i - 1].position + 1) {
            runs[p->n_runs - 1].n_rows++;
        } else {
            runs[p->n_runs++] = (struct token_run){.row = i, .n_rows = 1};
        }
    }
}

static void list_units(struct pass *p)
{
    struct attention_unit *units = p->f->units;
    for (int i = 0; i < p->n_runs; i++) {
        struct token_run r = p->f->runs[i];
        if (r.n_rows > ATTENTION_TILE) p->append_apart = true;
        for (int head = 0; head < p->f->cache->n_head; head++)
            for (int k = 0; k < r.n_rows; k += ATTENTION_TILE) {
                int rows = r.n_rows - k < ATTENTION_TILE ? r.n_rows - k : ATTENTION_TILE;
                units[p->n_units++] =
                    (struct attention_unit){.run = i, .head = head, .row = r.row + k, .n_rows = rows};
            }
    }
}

/* The least work of a thread, in bytes of weights read and in multiply-adds. Sharing less costs more than
 * it saves. */
#define WORK_OF_THREAD  ((int64_t)2 << 20)
#define PRODUCTS_A_BYTE 8

static int64_t work_of(const struct linear_weight *w, int n)
{
    int64_t products = (int64_t)w->weight.rows * w->weight.cols * n;
    return (int64_t)w->weight.bytes + products / PRODUCTS_A_BYTE;
}

static int64_t work_of_pass(const struct pass *p)
{
    const struct gpt2_weights *w = p->f->weights;
    const struct linear_weight head = {.weight = w->lm_head};
    int64_t work = p->n_outputs ? work_of(&head, p->n_outputs) : 0;
    for (int l = 0; l < w->config.n_layer; l++) {
        const struct gpt2_block *h = &w->h[l];
        work += work_of(&h->c_attn, p->n) + work_of(&h->attn_c_proj, p->n) + work_of(&h->c_fc, p->n) +
                work_of(&h->mlp_c_proj, p->n);
    }
    return work;
}

/* A shorter pass takes less than a time slice: what other programs do with the cores decides how long it
 * takes (pace.h). */
#define SHORT_PASS ((int64_t)32 << 20)

static bool every_thread;
void forward_use_every_thread(bool every) { every_thread = every; }

/* Passes of about the same work, by powers of two. */
static struct pace *pace_of(struct forward *f, int64_t work)
{
    int i = 0;
    for (int64_t w = SHORT_PASS / 2; w > work && i < FORWARD_PACES - 1; w /= 2) i++;
    return &f->paces[i];
}

static void run_timed(struct pass *p, struct pace *pace, int64_t work)
{
    const double begin = clock_seconds();
    if (!pace_is_together(pace)) p->n_threads = 1;
    const bool slept = threads_run_phases(p->n_threads, pass_next_phase, p);
    pace_count(pace, (double)work, clock_seconds() - begin, slept, clock_thread_seconds);
}

static void run_pass(struct pass *p)
{
    struct forward *f = p->f;
    const int64_t work = f->n_useful > 1 ? work_of_pass(p) : 0, worth = work / WORK_OF_THREAD;
    p->n_threads = worth < 1 ? 1 : worth < f->n_useful ? (int)worth : f->n_useful;
    if (every_thread) p->n_threads = f->n_threads;
    if (p->n_threads > 1 && work < SHORT_PASS && !every_thread)
        run_timed(p, pace_of(f, work), work);
    else
        threads_run_phases(p->n_threads, pass_next_phase, p);
}

/* ---- the largest logits: each thread's own, then those of all ---- */

struct best *best_of(const struct forward *f, int thread)
{
    return f->best + (size_t)thread * best_stride(f);
}

static void forget_best(const struct forward *f, int rows)
{
    for (int thread = 0; thread < f->n_threads; thread++)
        for (int r = 0; r < rows; r++) best_of(f, thread)[r] = BEST_OF_NONE;
}

static void join_best(const struct forward *f, int rows, int32_t *argmax)
{
    for (int r = 0; r < rows; r++) {
        struct best best = BEST_OF_NONE;
        for (int thread = 0; thread < f->n_threads; thread++) best_join(&best, best_of(f, thread)[r]);
        argmax[r] = best.id;
    }
}

/* The observer is called between phases, in the caller's thread. */
static void run_observed(struct pass *p)
{
    struct phase phase;
    p->n_threads = p->f->n_useful;
    while (pass_next_phase(p, &phase)) threads_run_items(p->n_threads, phase.fn, phase.n_items, p);
}

void forward_pass(struct forward *f, const struct batch_token *tokens, int n, int first_row, float *logits,
                  int32_t *argmax)
{
    assert(n > 0 && n <= f->n_batch);
    struct pass p = {
        .f = f, .tokens = tokens, .n = n, .first_row = first_row, .logits = logits, .argmax = argmax};
    profile_begin(f->profile);
    find_runs(&p);
    list_units(&p);
    pass_set_products(&p);
    if (argmax) forget_best(f, p.n_outputs);
    if (f->observer)
        run_observed(&p);
    else
        run_pass(&p);
    if (argmax) join_best(f, p.n_outputs, argmax);
    profile_end(f->profile, p.n_outputs ? PART_LM_HEAD : PART_NORM);
}
