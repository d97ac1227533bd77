/* Loads a Hugging Face directory. Once everything is bound (bindings.c), the numbers are read one tensor
 * at a time, in the order of the files. Pages that were read are released, so that the model is never in
 * memory twice.
 *
 * Nothing is used where it lies in the file, not even f32. In a checkpoint's [in][out] matrix the 64
 * outputs of a panel lie thousands of bytes apart from one input to the next. Decoding from it ran at half
 * the speed of packed panels (GPT-2 124M on one thread: 24 and 50 tokens/s), for 0.8 s less of loading. */
#include "model/stored.h"
#include "model/weights_build.h"

struct holding {
    struct weights_builder builder;
    const struct bindings *bindings;
};

static gpt2q_status hold(void *user, size_t i, const struct qsource *src, gpt2q_error *err)
{
    struct holding *h = user;
    const struct binding *b = &h->bindings->items[i];
    return weights_hold(&h->builder, b->id, i, src, b->as_blocks ? b->tensor : NULL,
                        container_type_name(b->tensor), err);
}

/* Counts the matrices that lie in blocks and are held as f32 because no scheme of codes holds them. */
static void count_floats(const struct bindings *l, const struct weights_builder *b,
                         const struct stored_schemes *stored, struct gpt2_weights *w)
{
    for (size_t i = 0; i < l->n; i++) {
        const struct binding *item = &l->items[i];
        int rows, cols;
        const size_t slot = weight_slot(&w->config, item->id);
        if (!weight_is_matrix(item->id.part) || !item->tensor->blocks) continue;
        if (b->schemes[slot].format != QF_F32 || stored->by_slot[slot].format != QF_F32) continue;
        weight_rows_cols(&w->config, item->id.part, &rows, &cols);
        w->n_as_floats++;
        w->as_floats_bytes += (uint64_t)rows * (uint64_t)cols * sizeof(float);
    }
}

static gpt2q_status hold_all(struct bindings *l, const struct weights_params *asked, struct gpt2_weights *out,
                             gpt2q_error *err)
{
    struct holding h = {.bindings = l};
    struct stored_schemes stored;
    struct weights_params params = *asked;
    gpt2q_status s = stored_schemes_find(l, &params, &stored, err);
    if (!s) s = weights_begin(&h.builder, out, &l->config, l->tied, &params, err);
    if (!s) {
        if (l->tied && weights_head_apart(&h.builder)) bindings_add_head(l);
        out->n_tensors = l->n;
        out->left_out = l->left_out;
        count_floats(l, &h.builder, &stored, out);
        s = stored_schemes_keep(&stored, l, h.builder.schemes, &params, err);
        if (!s) s = bindings_walk_stored(l, hold, &h, err);
        s = weights_end(&h.builder, s);
    }
    stored_schemes_free(&stored);
    return s;
}

gpt2q_status weights_load(const char *directory, const struct weights_params *params,
                          struct gpt2_weights *out, gpt2q_error *err)
{
    *out = (struct gpt2_weights){0};
    struct bindings b;
    gpt2q_status s = bindings_open(directory, &b, err);
    if (s) return s;
    s = hold_all(&b, params, out, err);
    bindings_close(&b);
    return s;
}
