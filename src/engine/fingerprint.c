#include "engine/fingerprint.h"
#include "base/crc32.h"
#include "base/sha256.h"
#include "engine/context.h"
#include <stdio.h>
#include <string.h>

static void add_floats(struct crc32 *c, const float *x, int32_t n)
{
    if (x) crc32_add(c, x, (size_t)n * sizeof *x);
}

static void add_tensor(struct crc32 *c, const struct qtensor *w)
{
    struct qtensor_layout l;
    qtensor_layout(w->scheme, w->rows, w->cols, &l);
    crc32_add(c, w->codes, l.codes_bytes);
    if (w->scale) crc32_add(c, w->scale, l.scale_bytes);
    if (w->zero) crc32_add(c, w->zero, l.zero_bytes);
    if (w->factor) crc32_add(c, w->factor, l.factor_bytes);
}

static void add_linear(struct crc32 *c, const struct linear_weight *l)
{
    add_tensor(c, &l->weight);
    add_floats(c, l->bias, l->weight.rows);
}

static void add_norm(struct crc32 *c, const struct norm *n, int32_t size)
{
    add_floats(c, n->weight, size);
    add_floats(c, n->bias, size);
}

static uint32_t checksum(const struct gpt2_weights *w)
{
    const gpt2q_config *config = &w->config;
    struct crc32 c;
    crc32_begin(&c);
    add_tensor(&c, &w->wte);
    if (!w->lm_head_is_wte) add_tensor(&c, &w->lm_head);
    add_floats(&c, w->wpe, config->n_positions * config->n_embd);
    add_norm(&c, &w->ln_f, config->n_embd);
    for (int32_t i = 0; i < config->n_layer; i++) {
        const struct gpt2_block *b = &w->h[i];
        add_norm(&c, &b->ln_1, config->n_embd);
        add_norm(&c, &b->ln_2, config->n_embd);
        add_linear(&c, &b->c_attn);
        add_linear(&c, &b->attn_c_proj);
        add_linear(&c, &b->c_fc);
        add_linear(&c, &b->mlp_c_proj);
    }
    return crc32_value(&c);
}

void fingerprint_make(const gpt2q_model *model, const gpt2q_context *ctx, char text[FINGERPRINT_TEXT])
{
    char line[256], digest[SHA256_TEXT];
    struct sha256 sha;
    snprintf(line, sizeof line, "%08x %s %s %s %s", (unsigned)checksum(&model->weights),
             gpt2q_model_scheme(model), gpt2q_context_activations(ctx), gpt2q_context_kv(ctx), NUMERICS);
    sha256_begin(&sha);
    sha256_add(&sha, line, strlen(line));
    snprintf(text, FINGERPRINT_TEXT, "fp_%.12s", sha256_print(&sha, digest));
}
