#include "model/cost.h"

const char *forward_part_name(enum forward_part part)
{
    static const char *const names[] = {
#define FORWARD_PART_NAME(name, text) text,
        FORWARD_PART_MAP(FORWARD_PART_NAME)
#undef FORWARD_PART_NAME
    };
    return names[part];
}

/* Adds a product with w for n rows. The weight is read once for all of them. */
static void add_product(struct cost *to, const struct qtensor *w, const float *bias,
                        enum activations activations, int n)
{
    double ops = 2.0 * w->rows * w->cols * n;
    to->bytes += (double)w->bytes + (bias ? 4.0 * w->rows : 0);
    if (activations == ACTIVATIONS_F32 || !scheme_takes(w->scheme, activations))
        to->f32_flops += ops;
    else
        to->i8_ops += activations == ACTIVATIONS_I16 ? 2 * ops : ops;
}

/* Adds attention. The keys and values of a sequence are read once for all its rows in the pass. Those of
 * new rows are also written. */
static void add_attention(struct cost *to, const gpt2q_config *c, enum kv_format kv,
                          const struct batch_token *tokens, int n)
{
    double position_bytes = (double)kv_block_bytes(kv, c->n_head, c->n_embd / c->n_head) / KV_BLOCK;
    for (int i = 0; i < n; i++) {
        double length = tokens[i].position + 1.0;
        bool last = i + 1 == n || tokens[i + 1].sequence != tokens[i].sequence;
        to->bytes += c->n_layer * position_bytes * (last ? length + 1 : 1);
        to->f32_flops += 4.0 * c->n_layer * length * c->n_embd;
    }
}

void cost_of_pass(const struct gpt2_weights *weights, enum activations activations, enum kv_format kv,
                  const struct batch_token *tokens, int n, struct cost parts[PART_COUNT])
{
    const gpt2q_config *c = &weights->config;
    int n_outputs = 0;
    for (int i = 0; i < PART_COUNT; i++) parts[i] = (struct cost){0};
    for (int i = 0; i < n; i++) n_outputs += tokens[i].wants_logits;
    for (int layer = 0; layer < c->n_layer; layer++) {
        const struct gpt2_block *b = &weights->h[layer];
        add_product(&parts[PART_C_ATTN], &b->c_attn.weight, b->c_attn.bias, activations, n);
        add_product(&parts[PART_ATTN_C_PROJ], &b->attn_c_proj.weight, b->attn_c_proj.bias, activations, n);
        add_product(&parts[PART_C_FC], &b->c_fc.weight, b->c_fc.bias, activations, n);
        add_product(&parts[PART_MLP_C_PROJ], &b->mlp_c_proj.weight, b->mlp_c_proj.bias, activations, n);
    }
    if (n_outputs) add_product(&parts[PART_LM_HEAD], &weights->lm_head, NULL, activations, n_outputs);
    add_attention(&parts[PART_ATTENTION], c, kv, tokens, n);
    parts[PART_NORM].bytes = (2.0 * c->n_layer + 1) * 2 * c->n_embd * sizeof(float);
    parts[PART_EMBED].bytes =
        (double)n * c->n_embd * (sizeof(float) + (double)weights->wte.bytes / weights->wte.rows / c->n_embd);
}

struct cost cost_total(const struct cost parts[PART_COUNT])
{
    struct cost total = {0};
    for (int i = 0; i < PART_COUNT; i++) {
        total.bytes += parts[i].bytes;
        total.f32_flops += parts[i].f32_flops;
        total.i8_ops += parts[i].i8_ops;
    }
    return total;
}
