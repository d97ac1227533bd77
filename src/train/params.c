#include "train/params.h"
#include "base/memory.h"
#include <stdio.h>
#include <string.h>

static void add(struct param_list *p, const char *name, int rows, int cols, bool conv1d, bool matrix)
{
    struct param *t = &p->list[p->count++];
    *t = (struct param){.rows = rows, .cols = cols, .conv1d = conv1d, .matrix = matrix, .at = p->floats};
    snprintf(t->name, sizeof t->name, "%s", name);
    p->floats += (param_floats(t) + 15) / 16 * 16;
}

static void add_block(struct param_list *p, int layer)
{
    const int d = p->config.n_embd, inner = p->config.n_inner;
    const struct {
        const char *name;
        int rows, cols; /* 0 rows: a vector */
    } parts[P_BLOCK_COUNT] = {
        [P_LN_1_WEIGHT] = {"ln_1.weight", 0, d},
        [P_LN_1_BIAS] = {"ln_1.bias", 0, d},
        [P_C_ATTN_WEIGHT] = {"attn.c_attn.weight", 3 * d, d},
        [P_C_ATTN_BIAS] = {"attn.c_attn.bias", 0, 3 * d},
        [P_ATTN_C_PROJ_WEIGHT] = {"attn.c_proj.weight", d, d},
        [P_ATTN_C_PROJ_BIAS] = {"attn.c_proj.bias", 0, d},
        [P_LN_2_WEIGHT] = {"ln_2.weight", 0, d},
        [P_LN_2_BIAS] = {"ln_2.bias", 0, d},
        [P_C_FC_WEIGHT] = {"mlp.c_fc.weight", inner, d},
        [P_C_FC_BIAS] = {"mlp.c_fc.bias", 0, inner},
        [P_MLP_C_PROJ_WEIGHT] = {"mlp.c_proj.weight", d, inner},
        [P_MLP_C_PROJ_BIAS] = {"mlp.c_proj.bias", 0, d},
    };
    for (int i = 0; i < P_BLOCK_COUNT; i++) {
        char name[PARAM_NAME_MAX];
        const bool matrix = parts[i].rows > 0;
        snprintf(name, sizeof name, "h.%d.%s", layer, parts[i].name);
        add(p, name, matrix ? parts[i].rows : 1, parts[i].cols, matrix, matrix);
    }
}

gpt2q_status params_create(struct param_list *p, const gpt2q_config *config, bool untied, gpt2q_error *err)
{
    const int d = config->n_embd;
    const size_t count = (size_t)config->n_layer * P_BLOCK_COUNT + 5;
    *p = (struct param_list){.config = *config, .list = mem_array(count, sizeof *p->list)};
    if (!p->list) return error_memory(err, "the list of parameters", count * sizeof *p->list);
    add(p, "wte.weight", config->vocab_size, d, false, true);
    add(p, "wpe.weight", config->n_positions, d, false, false);
    for (int l = 0; l < config->n_layer; l++) add_block(p, l);
    add(p, "ln_f.weight", 1, d, false, false);
    add(p, "ln_f.bias", 1, d, false, false);
    if (untied) add(p, "lm_head.weight", config->vocab_size, d, false, true);
    return GPT2Q_OK;
}

void params_free(struct param_list *p)
{
    mem_free(p->list);
    *p = (struct param_list){0};
}

struct qsource param_source(const struct param *p, const float *block)
{
    return (struct qsource){.name = p->name,
                            .dtype = DT_F32,
                            .data = block + p->at,
                            .rows = p->rows,
                            .cols = p->cols,
                            .row_stride = (size_t)p->cols,
                            .col_stride = 1};
}
