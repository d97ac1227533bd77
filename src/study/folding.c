#include "study/folding.h"
#include "base/memory.h"
#include "qtensor/dequantize.h"
#include <stdio.h>
#include <string.h>

static size_t per_layer(const struct folding *f) { return 5 * (size_t)f->n_embd + 2 * (size_t)f->n_inner; }

/* ---- finding ---- */

/* An output of c_attn without a bias: the factor by which its row is nearest the original's. */
static float factor_of_row(const struct qtensor *original, const struct qtensor *folded, const float *inputs,
                           int row)
{
    enum { STEP = 32 };
    float before[STEP * PANEL], after[STEP * PANEL];
    const int panel = row / PANEL, o = row % PANEL;
    double product = 0, square = 0;
    for (int k0 = 0; k0 < original->cols; k0 += STEP) {
        const int n = original->cols - k0 < STEP ? original->cols - k0 : STEP;
        dequantize_panel(original, panel, k0, k0 + n, before);
        dequantize_panel(folded, panel, k0, k0 + n, after);
        for (int k = 0; k < n; k++) {
            const double w = (double)before[k * PANEL + o];
            product += w * (double)after[k * PANEL + o] * (double)inputs[k0 + k];
            square += w * w;
        }
    }
    return product > 0 ? (float)(product / square) : 1.0f;
}

/* A norm's channel: its weight has the factor, and so has its bias. */
static void find_norm(const struct norm *original, const struct norm *folded, int n, float *out)
{
    for (int j = 0; j < n; j++) {
        const bool weight = original->weight[j] != 0.0f;
        const float before = weight ? original->weight[j] : original->bias[j],
                    after = weight ? folded->weight[j] : folded->bias[j];
        out[j] = before != 0.0f ? after / before : 1.0f;
    }
}

static void find_values(const struct linear_weight *original, const struct linear_weight *folded,
                        const float *inputs, int n, float *out)
{
    for (int r = 0; r < 3 * n; r++) out[r] = 1.0f;
    for (int r = 2 * n; r < 3 * n; r++)
        out[r] = original->bias[r] != 0.0f ? folded->bias[r] / original->bias[r]
                                           : factor_of_row(&original->weight, &folded->weight, inputs, r);
}

/* A hidden layer is folded where the activation is relu; else its consumer has factors. meets (n): by what its consumer's columns
 * are multiplied. */
static void find_hidden(const struct gpt2_block *original, const struct gpt2_block *folded, int n, float *out,
                        float *meets)
{
    const float *factors = folded->mlp_c_proj.factors;
    for (int r = 0; r < n; r++) {
        const float before = original->c_fc.bias[r], after = folded->c_fc.bias[r];
        out[r] = before != 0.0f ? after / before : 1.0f;
        meets[r] = factors ? out[r] * factors[r] : out[r];
    }
}

gpt2q_status folding_find(const gpt2q_model *original, const gpt2q_model *folded, struct folding *out,
                          gpt2q_error *err)
{
    const struct gpt2_weights *a = model_weights(original), *b = model_weights(folded);
    const int d = a->config.n_embd;
    *out = (struct folding){.n_layer = a->config.n_layer, .n_embd = d, .n_inner = a->config.n_inner};
    out->at = mem_array((size_t)out->n_layer * per_layer(out), sizeof *out->at);
    if (!out->at)
        return error_memory(err, "folded factors", (size_t)out->n_layer * per_layer(out) * sizeof *out->at);
    for (int l = 0; l < out->n_layer; l++) {
        float *at = out->at + (size_t)l * per_layer(out);
        find_norm(&a->h[l].ln_1, &b->h[l].ln_1, d, at);
        find_values(&a->h[l].c_attn, &b->h[l].c_attn, at, d, at + d);
        find_norm(&a->h[l].ln_2, &b->h[l].ln_2, d, at + 4 * d);
        find_hidden(&a->h[l], &b->h[l], out->n_inner, at + 5 * d, at + 5 * d + out->n_inner);
    }
    return GPT2Q_OK;
}

void folding_free(struct folding *f)
{
    mem_free(f->at);
    *f = (struct folding){0};
}

/* ---- asking ---- */

const float *folding_of_intermediate(const struct folding *f, const char *name)
{
    static const struct {
        const char *name;
        int first; /* in n_embd */
    } all[] = {{"ln_1", 0}, {"attn.c_attn", 1}, {"attn.heads", 3},
               {"ln_2", 4}, {"mlp.c_fc", 5},    {"mlp.act", 5}};
    int layer, at;
    if (!f || !f->at || sscanf(name, "h.%d.%n", &layer, &at) != 1) return NULL;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (!strcmp(name + at, all[i].name))
            return f->at + (size_t)layer * per_layer(f) + (size_t)all[i].first * (size_t)f->n_embd;
    return NULL;
}

struct unfolding folding_of_weight(const struct folding *f, struct weight_id id)
{
    if (!f || !f->at) return (struct unfolding){0};
    const float *at = f->at + (size_t)id.layer * per_layer(f);
    const size_t d = (size_t)f->n_embd;
    switch (id.part) {
    case PART_LN_1_WEIGHT:
    case PART_LN_1_BIAS: return (struct unfolding){.outputs = at};
    case PART_C_ATTN_BIAS: return (struct unfolding){.outputs = at + d};
    case PART_C_ATTN_WEIGHT: return (struct unfolding){.outputs = at + d, .inputs = at};
    case PART_ATTN_C_PROJ_WEIGHT: return (struct unfolding){.inputs = at + 3 * d};
    case PART_LN_2_WEIGHT:
    case PART_LN_2_BIAS: return (struct unfolding){.outputs = at + 4 * d};
    case PART_C_FC_BIAS: return (struct unfolding){.outputs = at + 5 * d};
    case PART_C_FC_WEIGHT: return (struct unfolding){.outputs = at + 5 * d, .inputs = at + 4 * d};
    case PART_MLP_C_PROJ_WEIGHT: return (struct unfolding){.inputs = at + 5 * d + f->n_inner};
    default: return (struct unfolding){0};
    }
}
