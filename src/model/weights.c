/* A Hugging Face directory to weights: once everything is bound (bindings.c) the numbers are touched, one
 * tensor at a time in the order of the files, whose pages are let go behind, so that the model is never in
 * memory twice. */
#include "base/memory.h"
#include "model/bindings.h"
#include "model/weights_build.h"

static bool points_into(const struct qtensor *q, const struct st_tensor *t)
{
    return (uintptr_t)q->codes - (uintptr_t)t->data < t->size;
}

static gpt2q_status hold(struct weights_builder *b, const struct bindings *l, size_t i, bool in_place,
                         gpt2q_error *err)
{
    const struct binding *binding = &l->items[i];
    char name[WEIGHT_NAME_MAX];
    struct qsource src = binding_source(l, binding, weight_print(binding->id, name));
    return weights_hold(b, binding->id, i, &src, st_dtype_name(binding->tensor->dtype), in_place, err);
}

static gpt2q_status hold_matrices(struct weights_builder *b, const struct bindings *l, bool *kept,
                                  gpt2q_error *err)
{
    for (size_t i = 0; i < l->n; i++) {
        const struct binding *binding = &l->items[i];
        if (!weight_is_matrix(binding->id.part)) continue;
        if (i + 1 < l->n) {
            const struct st_tensor *next = l->items[i + 1].tensor;
            file_map_prefetch(next->data, next->size);
        }
        gpt2q_status s = hold(b, l, i, true, err);
        if (s) return s;
        if (points_into(weight_matrix(b->w, binding->id), binding->tensor))
            kept[binding->file] = true;
        else
            file_map_drop(binding->tensor->data, binding->tensor->size);
    }
    return GPT2Q_OK;
}

/* Vectors lie in the file only where a matrix keeps it mapped anyway. */
static gpt2q_status hold_floats(struct weights_builder *b, const struct bindings *l, const bool *kept,
                                gpt2q_error *err)
{
    for (size_t i = 0; i < l->n; i++) {
        const struct binding *binding = &l->items[i];
        if (weight_is_matrix(binding->id.part)) continue;
        gpt2q_status s = hold(b, l, i, kept[binding->file], err);
        if (s) return s;
    }
    return GPT2Q_OK;
}

/* Hands the files that something points into over to the weights, in place; the others are closed with the
 * checkpoint. */
static void keep_files(struct gpt2_weights *w, struct checkpoint *c, const bool *kept)
{
    w->files = c->files;
    for (size_t i = 0; i < c->n_files; i++) {
        if (kept[i])
            w->files[w->n_files++] = c->files[i];
        else
            safetensors_close(&c->files[i]);
    }
    *c = (struct checkpoint){0};
}

static gpt2q_status hold_all(struct bindings *l, const struct weights_params *params,
                             struct gpt2_weights *out, gpt2q_error *err)
{
    struct weights_builder b;
    gpt2q_status s = weights_begin(&b, out, &l->config, l->tied, params, err);
    if (s) return s;
    if (l->tied && weights_head_apart(&b)) bindings_add_head(l);
    out->n_tensors = l->n;
    bool *kept = mem_zarray(l->checkpoint.n_files, sizeof *kept);
    s = kept ? hold_matrices(&b, l, kept, err) : error_memory(err, "a table of files", l->checkpoint.n_files);
    if (!s) s = hold_floats(&b, l, kept, err);
    if (!s) keep_files(out, &l->checkpoint, kept);
    mem_free(kept);
    return weights_end(&b, s);
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
