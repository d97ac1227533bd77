/* Codes go from blocks to panels as they are. Nothing is computed, except that codes change sign where a
 * scale is negative. */
#include "model/stored.h"
#include "base/memory.h"
#include "base/threads.h"
#include "kernels/half.h"
#include "model/gguf_types.h"
#include "qtensor/lay_out.h"
#include <string.h>

/* ---- schemes ---- */

static bool is_quantized(const struct container_tensor *t) { return t->blocks || t->panels; }

struct looking {
    const struct container_tensor *t;
    size_t n;                    /* blocks */
    struct gguf_findings *found; /* (shares) */
};

static void look(void *arg, int share, int n)
{
    const struct looking *l = arg;
    int64_t b0, b1;
    threads_split((int64_t)l->n, share, n, &b0, &b1);
    l->found[share] =
        gguf_look_at(l->t->blocks, l->t->data + (size_t)b0 * (size_t)l->t->blocks->bytes, (size_t)(b1 - b0));
}

#define SHARES_MAX 64

/* As gguf_exact_scheme, by several threads. */
static struct scheme scheme_of_blocks(const struct container_tensor *t, int cols, int n_threads)
{
    struct gguf_findings found[SHARES_MAX], all = {0};
    struct looking l = {.t = t, .n = t->size / (size_t)t->blocks->bytes, .found = found};
    const size_t worth = l.n / 4096 + 1; /* a share of less is over before a thread has woken */
    int n = n_threads < SHARES_MAX ? n_threads : SHARES_MAX;
    if ((size_t)n > worth) n = (int)worth;
    if (n < 1) n = 1;
    threads_run(n, look, &l);
    for (int i = 0; i < n; i++) all.floats |= found[i].floats, all.least_code |= found[i].least_code;
    return gguf_scheme_of(t->blocks, all, cols);
}

static struct scheme scheme_of(const struct bindings *b, const struct binding *item, int n_threads)
{
    const struct container_tensor *t = item->tensor;
    int rows, cols;
    weight_rows_cols(&b->config, item->id.part, &rows, &cols);
    if (t->panels) return t->panels->scheme;
    if (t->blocks) return scheme_of_blocks(t, cols, n_threads);
    const enum qformat format = t->dtype == ST_F16 ? QF_F16 : t->dtype == ST_BF16 ? QF_BF16 : QF_F32;
    return (struct scheme){.format = format};
}

gpt2q_status stored_schemes_find(const struct bindings *b, struct weights_params *params,
                                 struct stored_schemes *out, gpt2q_error *err)
{
    bool quantized = false;
    *out = (struct stored_schemes){0};
    for (size_t i = 0; i < b->n; i++)
        quantized |= is_quantized(b->items[i].tensor) && weight_is_matrix(b->items[i].id.part);
    if (!quantized) return GPT2Q_OK;
    const size_t n = weight_slots(&b->config);
    out->by_slot = mem_zarray(n, sizeof *out->by_slot);
    if (!out->by_slot) return error_memory(err, "a table of schemes", n * sizeof *out->by_slot);
    for (size_t i = 0; i < b->n; i++)
        if (weight_is_matrix(b->items[i].id.part))
            out->by_slot[weight_slot(&b->config, b->items[i].id)] =
                scheme_of(b, &b->items[i], params->n_threads);
    const size_t wte = weight_slot(&b->config, (struct weight_id){PART_WTE, 0});
    if (b->tied)
        out->by_slot[weight_slot(&b->config, (struct weight_id){PART_LM_HEAD, 0})] = out->by_slot[wte];
    if (!params->as_stored) return GPT2Q_OK;
    params->stored = out->by_slot, params->scheme = out->by_slot[wte];
    if (scheme_is_notes(params->scheme)) params->scheme = (struct scheme){.format = QF_F32}; /* of vectors */
    return GPT2Q_OK;
}

gpt2q_status stored_schemes_keep(const struct stored_schemes *stored, struct bindings *b,
                                 const struct scheme *schemes, const struct weights_params *params,
                                 gpt2q_error *err)
{
    for (size_t i = 0; stored->by_slot && i < b->n; i++) {
        struct binding *item = &b->items[i];
        const size_t slot = weight_slot(&b->config, item->id);
        if (!is_quantized(item->tensor) || !weight_is_matrix(item->id.part)) continue;
        const bool same = scheme_equal(schemes[slot], stored->by_slot[slot]);
        item->as_blocks = same && (item->tensor->panels || scheme_has_codes(schemes[slot]));
        char name[WEIGHT_NAME_MAX], has[SCHEME_TEXT_MAX], asked[SCHEME_TEXT_MAX];
        if (!same && !params->requantize)
            return error_set(
                err, GPT2Q_INVALID_ARGUMENT,
                "%s: %s is quantized already, as %s (%s), and is held as %s only with --requantize",
                item->file, weight_print(item->id, name), container_type_name(item->tensor),
                scheme_print(stored->by_slot[slot], has), scheme_print(schemes[slot], asked));
    }
    return GPT2Q_OK;
}

void stored_schemes_free(struct stored_schemes *stored)
{
    mem_free(stored->by_slot);
    *stored = (struct stored_schemes){0};
}

/* ---- panels ---- */

struct block_holding {
    const struct container_tensor *t;
    struct qtensor_parts to;
    const struct qtensor *w;
};

/* Where a small block's codes and scale go: output o of panel p, group g. */
struct block_place {
    int64_t p;
    int o, g;
    size_t parameter; /* index of its scale */
    uint8_t *word;    /* of its first step in the panel; the next is PANEL words on */
};

static uint32_t load_word(const uint8_t *p)
{
    uint32_t w;
    memcpy(&w, p, sizeof w);
    return w;
}

static void store_word(const struct block_place *at, int step, uint32_t word)
{
    memcpy(at->word + (size_t)step * PANEL * sizeof word, &word, sizeof word);
}

static void hold_any(const struct block_holding *h, const struct block_place *at, const uint8_t *block)
{
    struct gguf_stored s;
    gguf_store_block(h->t->blocks, h->w->scheme, block, &s);
    ((uint16_t *)h->to.scale)[at->parameter] = f16_from_float(s.scale[0]);
    if (h->to.zero) ((uint16_t *)h->to.zero)[at->parameter] = f16_from_float(s.zero[0]);
    qtensor_put_codes(h->w, h->to.codes, (int)at->p, at->o, at->g * GGUF_GROUP, GGUF_GROUP, s.code);
}

/* ---- Q8_0, whose files are the largest: by the lines of a panel ---- */

#define LINE 16 /* outputs of a line */

typedef uint32_t words4 __attribute__((vector_size(16)));

static words4 load_words(const uint8_t *p)
{
    words4 w;
    memcpy(&w, p, sizeof w);
    return w ^ 0x80808080u; /* code + 128 */
}

/* Four words of four outputs each become four outputs of a word each; from one word to the next it is PANEL words. */
static void turn_words(const uint8_t *const block[4], int at, uint8_t *to)
{
    const words4 a = load_words(block[0] + at), b = load_words(block[1] + at), c = load_words(block[2] + at),
                 d = load_words(block[3] + at);
    const words4 ab0 = __builtin_shufflevector(a, b, 0, 4, 1, 5),
                 ab2 = __builtin_shufflevector(a, b, 2, 6, 3, 7);
    const words4 cd0 = __builtin_shufflevector(c, d, 0, 4, 1, 5),
                 cd2 = __builtin_shufflevector(c, d, 2, 6, 3, 7);
    const words4 turned[4] = {
        __builtin_shufflevector(ab0, cd0, 0, 1, 4, 5), __builtin_shufflevector(ab0, cd0, 2, 3, 6, 7),
        __builtin_shufflevector(ab2, cd2, 0, 1, 4, 5), __builtin_shufflevector(ab2, cd2, 2, 3, 6, 7)};
    for (int i = 0; i < 4; i++) memcpy(to + (size_t)i * PANEL * 4, &turned[i], sizeof turned[i]);
}

/* Scales that are not above 0 go the general way, and so do blocks of nothing but 0. */
static bool is_ordinary(const uint8_t *block, uint16_t *scale)
{
    uint64_t codes[4];
    memcpy(codes, block + 2, sizeof codes);
    *scale = (uint16_t)(block[0] | block[1] << 8);
    return (codes[0] | codes[1] | codes[2] | codes[3]) && *scale && *scale < 0x8000u;
}

/* Group g of the outputs of a line. */
static void hold_line_q8_0(const struct block_holding *h, const struct block_place *at,
                           const uint8_t *const block[LINE])
{
    uint16_t scale[LINE];
    bool ordinary = true;
    for (int o = 0; o < LINE; o++) ordinary &= is_ordinary(block[o], &scale[o]);
    for (int o = 0; o < LINE && !ordinary; o++) {
        const struct block_place one = {at->p, at->o + o, at->g, at->parameter + (size_t)o, NULL};
        hold_any(h, &one, block[o]);
    }
    if (!ordinary) return;
    memcpy((uint16_t *)h->to.scale + at->parameter, scale, sizeof scale);
    for (int o = 0; o < LINE; o += 4)
        for (int i = 0; i < GGUF_GROUP; i += 16)
            turn_words(block + o, 2 + i, at->word + (size_t)(i / 4) * PANEL * 4 + 4 * (size_t)o);
}

/* Nibbles that are the codes as they are stored; values 0..15 are low ones, 16..31 high ones. */
static void store_nibbles(const struct block_place *at, const uint8_t *nibbles)
{
    for (int i = 0; i < 2; i++) {
        const uint32_t a = load_word(nibbles + 8 * i), b = load_word(nibbles + 4 + 8 * i);
        store_word(at, i, (a & 0x0F0F0F0Fu) | (b & 0x0F0F0F0Fu) << 4);
        store_word(at, i + 2, (a >> 4 & 0x0F0F0F0Fu) | (b & 0xF0F0F0F0u));
    }
}

static void hold_q4_0(const struct block_holding *h, const struct block_place *at, const uint8_t *block)
{
    const uint16_t scale = (uint16_t)(block[0] | block[1] << 8);
    uint32_t any = 0;
    for (int i = 0; i < 4; i++) any |= load_word(block + 2 + 4 * i) ^ 0x88888888u;
    if (!any || !(scale & 0x7FFFu)) {
        hold_any(h, at, block);
        return;
    }
    ((uint16_t *)h->to.scale)[at->parameter] = scale;
    store_nibbles(at, block + 2);
}

/* MXFP4, the format mxfp4 as it lies. */
static void hold_mxfp4(const struct block_holding *h, const struct block_place *at, const uint8_t *block)
{
    ((uint8_t *)h->to.scale)[at->parameter] = block[0];
    store_nibbles(at, block + 1);
}

typedef void hold_fn(const struct block_holding *h, const struct block_place *at, const uint8_t *block);

static hold_fn *holder_of(const struct gguf_type *type)
{
    if (type->format == QF_MXFP4) return hold_mxfp4;
    return !strcmp(type->name, "Q4_0") ? hold_q4_0 : hold_any;
}

/* Block b of an output of a panel. Outputs beyond the last repeat the panel's first one. */
static const uint8_t *block_at(const struct block_holding *h, int64_t p, int o, int b)
{
    const size_t bytes = (size_t)h->t->blocks->bytes;
    const size_t row_bytes = (size_t)(h->w->cols / h->t->blocks->values) * bytes;
    const int64_t row = p * PANEL + o < h->w->rows ? p * PANEL + o : p * PANEL;
    return h->t->data + (size_t)row * row_bytes + (size_t)b * bytes;
}

/* Where group g of output o goes. */
static struct block_place place_at(const struct block_holding *h, int64_t p, int o, int g)
{
    const int groups = h->w->cols / GGUF_GROUP, step = format_facts[h->w->scheme.format].inputs;
    const size_t parameter = ((size_t)p * (size_t)groups + (size_t)g) * PANEL + (size_t)o;
    uint8_t *panel = h->to.codes + (size_t)p * h->w->panel_bytes;
    return (struct block_place){p, o, g, parameter,
                                panel + ((size_t)(g * GGUF_GROUP / step) * PANEL + (size_t)o) * 4};
}

/* Line by line: what is read are 16 rows from end to end, and lines are written whole. */
static void hold_panel_q8_0(const struct block_holding *h, int64_t p)
{
    const uint8_t *block[LINE];
    for (int o = 0; o < PANEL; o += LINE) {
        for (int i = 0; i < LINE; i++) block[i] = block_at(h, p, o + i, 0);
        for (int g = 0; g < h->w->cols / GGUF_GROUP; g++) {
            const struct block_place at = place_at(h, p, o, g);
            hold_line_q8_0(h, &at, block);
            for (int i = 0; i < LINE; i++) block[i] += h->t->blocks->bytes;
        }
    }
}

/* Block by block of 256, whose groups have scales in float32. */
static void hold_panel_super(const struct block_holding *h, int64_t p)
{
    const struct gguf_type *type = h->t->blocks;
    const int groups = h->w->cols / type->group, blocks = h->w->cols / type->values,
              each = type->values / type->group;
    float *scale = (float *)h->to.scale + (size_t)p * (size_t)groups * PANEL;
    float *zero = h->to.zero ? (float *)h->to.zero + (size_t)p * (size_t)groups * PANEL : NULL;
    struct gguf_stored s;
    for (int b = 0; b < blocks; b++)
        for (int o = 0; o < PANEL; o++) {
            const size_t at = (size_t)(b * each) * PANEL + (size_t)o;
            gguf_store_block(type, h->w->scheme, block_at(h, p, o, b), &s);
            for (int g = 0; g < each; g++) scale[at + (size_t)g * PANEL] = s.scale[g];
            for (int g = 0; g < each && zero; g++) zero[at + (size_t)g * PANEL] = s.zero[g];
            qtensor_put_codes(h->w, h->to.codes, (int)p, o, b * type->values, type->values, s.code);
        }
}

/* Group by group, so that what is written stays in the first cache. */
static void hold_panels(void *arg, int share, int n)
{
    const struct block_holding *h = arg;
    hold_fn *hold = holder_of(h->t->blocks);
    int64_t p0, p1;
    threads_split(qtensor_panels(h->w), share, n, &p0, &p1);
    for (int64_t p = p0; p < p1; p++) {
        if (!strcmp(h->t->blocks->name, "Q8_0")) {
            hold_panel_q8_0(h, p);
            continue;
        }
        if (h->t->blocks->values > GGUF_GROUP) {
            hold_panel_super(h, p);
            continue;
        }
        for (int g = 0; g < h->w->cols / GGUF_GROUP; g++)
            for (int o = 0; o < PANEL; o++) {
                const struct block_place at = place_at(h, p, o, g);
                hold(h, &at, block_at(h, p, o, g));
            }
    }
}

static void copy_panels(const struct qtensor *from, const struct qtensor_parts *to)
{
    struct qtensor_layout l;
    qtensor_layout(from->scheme, from->rows, from->cols, &l);
    memcpy(to->codes, from->codes, l.codes_bytes);
    if (l.scale_bytes) memcpy(to->scale, from->scale, l.scale_bytes);
    if (l.zero_bytes) memcpy(to->zero, from->zero, l.zero_bytes);
    if (l.factor_bytes) *to->factor = *from->factor;
}

gpt2q_status stored_hold(const struct container_tensor *t, struct scheme scheme, const struct qsource *shape,
                         void *memory, const struct quantize_run *run, struct qtensor *out, gpt2q_error *err)
{
    struct block_holding h = {.t = t, .w = out};
    if (!qtensor_lay_out(scheme, shape->rows, shape->cols, memory, out, &h.to))
        return error_set(err, GPT2Q_INVALID_ARGUMENT, "%s: does not fit its scheme", shape->name);
    const int panels = qtensor_panels(out);
    const int n = run->n_threads < panels ? run->n_threads : panels;
    if (t->panels)
        copy_panels(t->panels, &h.to);
    else
        threads_run(n < 1 ? 1 : n, hold_panels, &h);
    return GPT2Q_OK;
}
