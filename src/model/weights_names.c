/* One table has the names and shapes of GPT-2's tensors. The rest of the loader uses numbers. */
#include "model/weights_names.h"
#include "base/text.h"
#include <assert.h>
#include <string.h>

enum size { NONE, EMBD, EMBD_3, INNER, VOCAB, POSITIONS };

static const struct {
    const char *name; /* in a block: what follows "h.N." */
    enum size shape[2];
    bool matrix;
} parts[PART_COUNT] = {
    [PART_LN_1_WEIGHT] = {"ln_1.weight", {EMBD, NONE}, false},
    [PART_LN_1_BIAS] = {"ln_1.bias", {EMBD, NONE}, false},
    [PART_C_ATTN_WEIGHT] = {"attn.c_attn.weight", {EMBD, EMBD_3}, true},
    [PART_C_ATTN_BIAS] = {"attn.c_attn.bias", {EMBD_3, NONE}, false},
    [PART_ATTN_C_PROJ_WEIGHT] = {"attn.c_proj.weight", {EMBD, EMBD}, true},
    [PART_ATTN_C_PROJ_BIAS] = {"attn.c_proj.bias", {EMBD, NONE}, false},
    [PART_LN_2_WEIGHT] = {"ln_2.weight", {EMBD, NONE}, false},
    [PART_LN_2_BIAS] = {"ln_2.bias", {EMBD, NONE}, false},
    [PART_C_FC_WEIGHT] = {"mlp.c_fc.weight", {EMBD, INNER}, true},
    [PART_C_FC_BIAS] = {"mlp.c_fc.bias", {INNER, NONE}, false},
    [PART_MLP_C_PROJ_WEIGHT] = {"mlp.c_proj.weight", {INNER, EMBD}, true},
    [PART_MLP_C_PROJ_BIAS] = {"mlp.c_proj.bias", {EMBD, NONE}, false},
    [PART_WTE] = {"wte.weight", {VOCAB, EMBD}, true},
    [PART_WPE] = {"wpe.weight", {POSITIONS, EMBD}, false},
    [PART_LN_F_WEIGHT] = {"ln_f.weight", {EMBD, NONE}, false},
    [PART_LN_F_BIAS] = {"ln_f.bias", {EMBD, NONE}, false},
    [PART_LM_HEAD] = {"lm_head.weight", {VOCAB, EMBD}, true},
};

/* Slots before the blocks: wte and wpe. */
#define SLOTS_BEFORE 2

size_t weight_slots(const gpt2q_config *config)
{
    return (size_t)config->n_layer * BLOCK_PARTS + (PART_COUNT - BLOCK_PARTS);
}

size_t weight_slot(const gpt2q_config *config, struct weight_id id)
{
    if (id.part < BLOCK_PARTS) return SLOTS_BEFORE + (size_t)id.layer * BLOCK_PARTS + id.part;
    size_t i = id.part - BLOCK_PARTS;
    return i < SLOTS_BEFORE ? i : i + (size_t)config->n_layer * BLOCK_PARTS;
}

struct weight_id weight_at(const gpt2q_config *config, size_t slot)
{
    size_t in_blocks = (size_t)config->n_layer * BLOCK_PARTS;
    if (slot < SLOTS_BEFORE) return (struct weight_id){(enum weight_part)(BLOCK_PARTS + slot), 0};
    slot -= SLOTS_BEFORE;
    if (slot < in_blocks)
        return (struct weight_id){(enum weight_part)(slot % BLOCK_PARTS), (int)(slot / BLOCK_PARTS)};
    return (struct weight_id){(enum weight_part)(BLOCK_PARTS + SLOTS_BEFORE + slot - in_blocks), 0};
}

const char *weight_print(struct weight_id id, char name[WEIGHT_NAME_MAX])
{
    if (id.part < BLOCK_PARTS)
        snprintf(name, WEIGHT_NAME_MAX, "h.%d.%s", id.layer, parts[id.part].name);
    else
        snprintf(name, WEIGHT_NAME_MAX, "%s", parts[id.part].name);
    return name;
}

const char *weight_strip(const char *name)
{
    static const char prefix[] = "transformer.";
    return strncmp(name, prefix, sizeof prefix - 1) == 0 ? name + sizeof prefix - 1 : name;
}

static bool find_part(const char *name, enum weight_part begin, enum weight_part end, enum weight_part *part)
{
    for (*part = begin; *part < end; ++*part) {
        if (strcmp(name, parts[*part].name) == 0) return true;
    }
    return false;
}

enum weight_name weight_parse(const char *stripped, struct weight_id *id)
{
    /* Causal masks, which old versions saved. "attn.c_attn.bias" ends otherwise. */
    if (text_ends_with(stripped, ".attn.bias") || text_ends_with(stripped, ".attn.masked_bias"))
        return NAME_MASK;
    id->layer = 0;
    if (strncmp(stripped, "h.", 2) != 0) {
        return find_part(stripped, BLOCK_PARTS, PART_COUNT, &id->part) ? NAME_WEIGHT : NAME_OTHER;
    }
    const char *p = stripped + 2, *first = p;
    while (*p >= '0' && *p <= '9' && p - first < 8) id->layer = id->layer * 10 + (*p++ - '0');
    bool number = p > first && (*first != '0' || p == first + 1) && *p == '.';
    return number && find_part(p + 1, 0, BLOCK_PARTS, &id->part) ? NAME_WEIGHT : NAME_UNKNOWN;
}

int weight_shape(const gpt2q_config *config, enum weight_part part, uint64_t shape[2])
{
    uint64_t d = (uint64_t)config->n_embd;
    const uint64_t sizes[] = {[NONE] = 1,
                              [EMBD] = d,
                              [EMBD_3] = 3 * d,
                              [INNER] = (uint64_t)config->n_inner,
                              [VOCAB] = (uint64_t)config->vocab_size,
                              [POSITIONS] = (uint64_t)config->n_positions};
    shape[0] = sizes[parts[part].shape[0]];
    shape[1] = sizes[parts[part].shape[1]];
    return parts[part].shape[1] == NONE ? 1 : 2;
}

bool weight_is_matrix(enum weight_part part) { return parts[part].matrix; }
bool weight_is_conv1d(enum weight_part part) { return parts[part].matrix && part < BLOCK_PARTS; }

struct qtensor *weight_matrix(struct gpt2_weights *w, struct weight_id id)
{
    switch (id.part) {
    case PART_C_ATTN_WEIGHT: return &w->h[id.layer].c_attn.weight;
    case PART_ATTN_C_PROJ_WEIGHT: return &w->h[id.layer].attn_c_proj.weight;
    case PART_C_FC_WEIGHT: return &w->h[id.layer].c_fc.weight;
    case PART_MLP_C_PROJ_WEIGHT: return &w->h[id.layer].mlp_c_proj.weight;
    case PART_WTE: return &w->wte;
    case PART_LM_HEAD: return &w->lm_head;
    default: assert(false && "a matrix"); return NULL;
    }
}

const float **weight_floats(struct gpt2_weights *w, struct weight_id id)
{
    switch (id.part) {
    case PART_LN_1_WEIGHT: return &w->h[id.layer].ln_1.weight;
    case PART_LN_1_BIAS: return &w->h[id.layer].ln_1.bias;
    case PART_C_ATTN_BIAS: return &w->h[id.layer].c_attn.bias;
    case PART_ATTN_C_PROJ_BIAS: return &w->h[id.layer].attn_c_proj.bias;
    case PART_LN_2_WEIGHT: return &w->h[id.layer].ln_2.weight;
    case PART_LN_2_BIAS: return &w->h[id.layer].ln_2.bias;
    case PART_C_FC_BIAS: return &w->h[id.layer].c_fc.bias;
    case PART_MLP_C_PROJ_BIAS: return &w->h[id.layer].mlp_c_proj.bias;
    case PART_WPE: return &w->wpe;
    case PART_LN_F_WEIGHT: return &w->ln_f.weight;
    case PART_LN_F_BIAS: return &w->ln_f.bias;
    default: assert(false && "floats"); return NULL;
    }
}

void weight_shape_rows_cols(enum weight_part part, int n_dims, const uint64_t shape[2], int *rows, int *cols)
{
    bool turned = weight_is_conv1d(part);
    *rows = n_dims == 1 ? 1 : (int)shape[turned ? 1 : 0];
    *cols = (int)shape[n_dims == 1 || turned ? 0 : 1];
}

void weight_rows_cols(const gpt2q_config *config, enum weight_part part, int *rows, int *cols)
{
    uint64_t shape[2];
    int n_dims = weight_shape(config, part, shape);
    weight_shape_rows_cols(part, n_dims, shape, rows, cols);
}

void weights_borrow_matrix(struct gpt2_weights *w, const struct gpt2_weights *from, const char *name)
{
    struct gpt2_weights theirs = *from; /* a copy: only building may change the places of weights */
    struct weight_id id;
    if (weight_parse(name, &id) != NAME_WEIGHT || !weight_is_matrix(id.part)) return;
    *weight_matrix(w, id) = *weight_matrix(&theirs, id);
    if (id.part == PART_WTE && w->lm_head_is_wte) w->lm_head = w->wte;
}
