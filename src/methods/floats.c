#include "methods/floats.h"
#include "base/memory.h"
#include <math.h>

int floats_index(const struct model_floats *m, struct weight_id id)
{
    switch (id.part) {
    case PART_WTE: return params_wte();
    case PART_WPE: return params_wpe();
    case PART_LN_F_WEIGHT: return params_ln_f_weight(&m->params);
    case PART_LN_F_BIAS: return params_ln_f_bias(&m->params);
    case PART_LM_HEAD: return params_head(&m->params);
    default: return params_block(id.layer, (enum block_param)id.part); /* both in the checkpoint's order */
    }
}

struct loading {
    const struct bindings *b;
    const struct model_floats *to;
};

static gpt2q_status load_one(void *user, size_t item, const struct qsource *src, gpt2q_error *err)
{
    const struct loading *l = user;
    const struct binding *binding = &l->b->items[item];
    if (binding->id.part == PART_LM_HEAD && l->b->tied) return GPT2Q_OK;
    float *to = floats_of(l->to, floats_index(l->to, binding->id));
    for (int r = 0; r < src->rows; r++) {
        float *row = to + (size_t)r * (size_t)src->cols;
        qsource_read(src, r, 0, src->cols, row);
        for (int i = 0; i < src->cols; i++)
            if (!isfinite(row[i]))
                return error_set(err, GPT2Q_UNSUPPORTED, "%s: %s holds %s at output %d, input %d",
                                 binding->file, src->name, isnan(row[i]) ? "NaN" : "an infinity", r, i);
    }
    return GPT2Q_OK;
}

gpt2q_status model_floats_load(const struct bindings *b, struct model_floats *out, gpt2q_error *err)
{
    *out = (struct model_floats){0};
    gpt2q_status s = params_create(&out->params, &b->config, !b->tied, err);
    if (s) return s;
    out->at = mem_zarray(out->params.floats, sizeof(float));
    if (!out->at) s = error_memory(err, "the model in floats", out->params.floats * sizeof(float));
    struct loading loading = {b, out};
    if (!s) s = bindings_walk(b, load_one, &loading, err);
    if (s) model_floats_free(out);
    return s;
}

void model_floats_free(struct model_floats *m)
{
    params_free(&m->params);
    mem_free(m->at);
    *m = (struct model_floats){0};
}
