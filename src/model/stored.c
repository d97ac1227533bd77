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

static struct scheme scheme_of(const struct bindings *b, const struct binding *item)
{
    const struct container_tensor *t = item->tensor;
    int rows, cols;
    weight_rows_cols(&b->config, item->id.part, &rows, &cols);
    if (t->blocks) return gguf_exact_scheme(t->blocks, t->data, (size_t)rows * (size_t)cols, cols);
    const enum qformat format = t->dtype == ST_F16 ? QF_F16 : t->dtype == ST_BF16 ? QF_BF16 : QF_F32;
    return (struct scheme){.format = format};
}

gpt2q_status stored_schemes_find(const struct bindings *b, struct weights_params *params,
                                 struct stored_schemes *out, gpt2q_error *err)
{
    bool quantized = false;
    *out = (struct stored_schemes){0};
    for (size_t i = 0; i < b->n; i++)
        quantized |= b->items[i].tensor->blocks && weight_is_matrix(b->items[i].id.part);
    if (!quantized) return GPT2Q_OK;
    const size_t n = weight_slots(&b->config);
    out->by_slot = mem_zarray(n, sizeof *out->by_slot);
    if (!out->by_slot) return error_memory(err, "a table of schemes", n * sizeof *out->by_slot);
    for (size_t i = 0; i < b->n; i++)
        if (weight_is_matrix(b->items[i].id.part))
            out->by_slot[weight_slot(&b->config, b->items[i].id)] = scheme_of(b, &b->items[i]);
    const size_t wte = weight_slot(&b->config, (struct weight_id){PART_WTE, 0});
    if (b->tied)
        out->by_slot[weight_slot(&b->config, (struct weight_id){PART_LM_HEAD, 0})] = out->by_slot[wte];
    if (params->as_stored) params->stored = out->by_slot, params->scheme = out->by_slot[wte];
    return GPT2Q_OK;
}

gpt2q_status stored_schemes_keep(const struct stored_schemes *stored, struct bindings *b,
                                 const struct scheme *schemes, const struct weights_params *params,
                                 gpt2q_error *err)
{
    for (size_t i = 0; stored->by_slot && i < b->n; i++) {
        struct binding *item = &b->items[i];
        const size_t slot = weight_slot(&b->config, item->id);
        if (!item->tensor->blocks || !weight_is_matrix(item->id.part)) continue;
        const bool same = scheme_equal(schemes[slot], stored->by_slot[slot]);
        item->as_blocks = same && scheme_has_codes(schemes[slot]);
        char name[WEIGHT_NAME_MAX], has[SCHEME_TEXT_MAX], asked[SCHEME_TEXT_MAX];
        if (!same && !params->requantize)
            return error_set(
                err, GPT2Q_INVALID_ARGUMENT,
                "%s: %s is quantized already, as %s (%s), and is held as %s only with --requantize",
                item->file, weight_print(item->id, name), item->tensor->blocks->name,
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

/* Outputs beyond the last repeat the panel's first one. */
static void hold_panels(void *arg, int share, int n)
{
    const struct block_holding *h = arg;
    const struct qtensor *w = h->w;
    const int groups = w->cols / GGUF_GROUP;
    int64_t p0, p1;
    threads_split(qtensor_panels(w), share, n, &p0, &p1);
    for (int64_t p = p0; p < p1; p++)
        for (int o = 0; o < PANEL; o++) {
            const int64_t row = p * PANEL + o < w->rows ? p * PANEL + o : p * PANEL;
            const uint8_t *block = h->t->data + (size_t)row * (size_t)groups * (size_t)h->t->blocks->bytes;
            for (int g = 0; g < groups; g++, block += h->t->blocks->bytes) {
                struct gguf_stored s;
                const size_t at = ((size_t)p * (size_t)groups + (size_t)g) * PANEL + (size_t)o;
                gguf_store_block(h->t->blocks, w->scheme, block, &s);
                ((uint16_t *)h->to.scale)[at] = f16_from_float(s.scale);
                if (h->to.zero) ((uint16_t *)h->to.zero)[at] = f16_from_float(s.zero);
                qtensor_put_codes(w, h->to.codes, (int)p, o, g * GGUF_GROUP, GGUF_GROUP, s.code);
            }
        }
}

gpt2q_status stored_hold(const struct container_tensor *t, struct scheme scheme, const struct qsource *shape,
                         void *memory, const struct quantize_run *run, struct qtensor *out, gpt2q_error *err)
{
    struct block_holding h = {.t = t, .w = out};
    if (!qtensor_lay_out(scheme, shape->rows, shape->cols, memory, out, &h.to))
        return error_set(err, GPT2Q_INVALID_ARGUMENT, "%s: does not fit its scheme", shape->name);
    const int panels = qtensor_panels(out);
    const int n = run->n_threads < panels ? run->n_threads : panels;
    threads_run(n < 1 ? 1 : n, hold_panels, &h);
    return GPT2Q_OK;
}
