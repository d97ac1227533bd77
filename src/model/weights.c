/* A Hugging Face directory to weights: once everything is bound (bindings.c) the numbers are touched, one
 * tensor at a time in the order of the files, whose pages are let go behind, so that the model is never in
 * memory twice.
 *
 * Nothing is used where it lies in the file, not even f32: in a checkpoint's [in][out] matrix the 64 outputs
 * of a panel lie thousands of bytes apart from one input to the next, and decoding from it ran at half the
 * speed of packed panels (GPT-2 124M on one thread: 24 and 50 tokens/s), for 0.8 s less of loading. */
#include "model/bindings.h"
#include "model/weights_build.h"

static gpt2q_status hold(struct weights_builder *b, const struct bindings *l, size_t i, gpt2q_error *err)
{
    const struct binding *binding = &l->items[i];
    const struct st_tensor *t = binding->tensor;
    if (i + 1 < l->n) file_map_prefetch(l->items[i + 1].tensor->data, l->items[i + 1].tensor->size);
    char name[WEIGHT_NAME_MAX];
    struct qsource src = binding_source(l, binding, weight_print(binding->id, name));
    gpt2q_status s = weights_hold(b, binding->id, i, &src, st_dtype_name(t->dtype), err);
    file_map_drop(t->data, t->size);
    return s;
}

static gpt2q_status hold_all(struct bindings *l, const struct weights_params *params,
                             struct gpt2_weights *out, gpt2q_error *err)
{
    struct weights_builder b;
    gpt2q_status s = weights_begin(&b, out, &l->config, l->tied, params, err);
    if (s) return s;
    if (l->tied && weights_head_apart(&b)) bindings_add_head(l);
    out->n_tensors = l->n;
    for (size_t i = 0; i < l->n && !s; i++) s = hold(&b, l, i, err);
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
