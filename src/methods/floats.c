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

static gpt2q_status load_one(const struct bindings *b, const struct binding *item,
                             const struct model_floats *m, gpt2q_error *err)
{
    char name[WEIGHT_NAME_MAX];
    const struct qsource src = binding_source(b, item, weight_print(item->id, name));
    float *to = floats_of(m, floats_index(m, item->id));
    for (int r = 0; r < src.rows; r++) {
        float *row = to + (size_t)r * (size_t)src.cols;
        qsource_read(&src, r, 0, src.cols, row);
        for (int i = 0; i < src.cols; i++)
            if (!isfinite(row[i]))
                return error_set(err, GPT2Q_UNSUPPORTED, "%s: %s holds %s at output %d, input %d",
                                 b->checkpoint.files[item->file].map.path, name,
                                 isnan(row[i]) ? "NaN" : "an infinity", r, i);
    }
    file_map_drop(item->tensor->data, item->tensor->size);
    return GPT2Q_OK;
}

gpt2q_status model_floats_load(const struct bindings *b, struct model_floats *out, gpt2q_error *err)
{
    *out = (struct model_floats){0};
    gpt2q_status s = params_create(&out->params, &b->config, !b->tied, err);
    if (s) return s;
    out->at = mem_zarray(out->params.floats, sizeof(float));
    if (!out->at) s = error_memory(err, "the model in floats", out->params.floats * sizeof(float));
    for (size_t i = 0; i < b->n && !s; i++)
        if (b->items[i].id.part != PART_LM_HEAD || !b->tied) s = load_one(b, &b->items[i], out, err);
    if (s) model_floats_free(out);
    return s;
}

void model_floats_free(struct model_floats *m)
{
    params_free(&m->params);
    mem_free(m->at);
    *m = (struct model_floats){0};
}
