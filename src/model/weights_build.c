/* Holds one tensor at a time in its scheme: matrices by qtensor_quantize; vectors and wpe as floats, which
 * `notes` sends through its codes and back. Also counts bytes and parameters for reports. */
#include "model/weights_build.h"
#include "base/checked.h"
#include "base/memory.h"
#include "model/stored.h"
#include "model/weights_schemes.h"

bool weights_head_apart(const struct weights_builder *b)
{
    const gpt2q_config *c = &b->w->config;
    return !scheme_equal(b->schemes[weight_slot(c, (struct weight_id){PART_LM_HEAD, 0})],
                         b->schemes[weight_slot(c, (struct weight_id){PART_WTE, 0})]);
}

static size_t matrix_memory(const struct weights_builder *b, struct weight_id id)
{
    struct qsource shape = weights_source(&b->w->config, id, NULL, DT_F32, NULL, false);
    return qtensor_memory(b->schemes[weight_slot(&b->w->config, id)], shape.rows, shape.cols);
}

static gpt2q_status allocate_matrices(struct weights_builder *b, gpt2q_error *err)
{
    const gpt2q_config *config = &b->w->config;
    size_t bytes = 0;
    for (size_t i = 0; i < weight_slots(config); i++) {
        struct weight_id id = weight_at(config, i);
        bool absent = id.part == PART_LM_HEAD && b->tied && !weights_head_apart(b);
        if (!weight_is_matrix(id.part) || absent) continue;
        if (!checked_add(bytes, matrix_memory(b, id), &bytes))
            return error_memory(err, "the weights", SIZE_MAX);
    }
    b->matrices = mem_alloc(bytes);
    if (!b->matrices) return error_memory(err, "the weights", bytes);
    b->w->owned[b->w->n_owned++] = b->matrices;
    return GPT2Q_OK;
}

gpt2q_status weights_begin(struct weights_builder *b, struct gpt2_weights *w, const gpt2q_config *config,
                           bool tied, const struct weights_params *params, gpt2q_error *err)
{
    size_t n = weight_slots(config);
    *w = (struct gpt2_weights){.config = *config, .scheme = params->scheme};
    w->h = mem_zarray((size_t)config->n_layer, sizeof *w->h);
    w->tensors = mem_zarray(n, sizeof *w->tensors);
    w->owned = mem_zarray(n, sizeof *w->owned);
    *b = (struct weights_builder){.w = w,
                                  .tied = tied,
                                  .run = {.n_threads = params->n_threads, .isa = params->isa},
                                  .schemes = mem_zarray(n, sizeof *b->schemes)};
    gpt2q_status s = GPT2Q_OK;
    if (!w->h || !w->tensors || !w->owned || !b->schemes)
        s = error_memory(err, "a table of tensors", n * sizeof *w->tensors);
    if (!s) s = weights_choose_schemes(config, params, tied, b->schemes, &w->mixed, err);
    if (!s) s = allocate_matrices(b, err);
    return s ? weights_end(b, s) : GPT2Q_OK;
}

void weights_strides(struct qsource *src, bool turned)
{
    src->row_stride = turned ? 1 : (size_t)src->cols;
    src->col_stride = turned ? (size_t)src->rows : 1;
}

struct qsource weights_source(const gpt2q_config *config, struct weight_id id, const char *name,
                              enum dtype dtype, const void *data, bool turned)
{
    struct qsource src = {.name = name, .dtype = dtype, .data = data};
    weight_rows_cols(config, id.part, &src.rows, &src.cols);
    weights_strides(&src, weight_is_conv1d(id.part) && !turned);
    return src;
}

static gpt2q_status hold_floats(struct weights_builder *b, const struct qsource *src, struct scheme scheme,
                                const float **out, gpt2q_error *err)
{
    size_t cols = (size_t)src->cols, n = (size_t)src->rows * cols;
    float *values = mem_array(n, sizeof *values), scale, min;
    if (!values) return error_memory(err, src->name, n * sizeof *values);
    b->w->owned[b->w->n_owned++] = values;
    for (int r = 0; r < src->rows; r++) qsource_read(src, r, 0, src->cols, values + (size_t)r * cols);
    if (scheme.format != QF_F32) notes_quantize(src, values, n, NULL, &scale, &min);
    *out = values;
    return GPT2Q_OK;
}

gpt2q_status weights_hold(struct weights_builder *b, struct weight_id id, size_t index,
                          const struct qsource *src, const struct container_tensor *blocks,
                          const char *dtype_name, gpt2q_error *err)
{
    struct gpt2_weights *w = b->w;
    struct tensor_info *info = &w->tensors[index];
    char name[WEIGHT_NAME_MAX];
    info->dtype = dtype_name;
    info->scheme = b->schemes[weight_slot(&w->config, id)];
    info->n_dims = weight_shape(&w->config, id.part, info->shape);
    info->name = mem_strdup(weight_print(id, name));
    if (!info->name) return error_memory(err, "a tensor's name", sizeof name);
    gpt2q_status s;
    size_t elements = (size_t)src->rows * (size_t)src->cols;
    if (weight_is_matrix(id.part)) {
        struct qtensor *matrix = weight_matrix(w, id);
        void *memory = b->matrices + b->used;
        s = blocks ? stored_hold(blocks, info->scheme, src, memory, &b->run, matrix, err)
                   : qtensor_quantize_into(src, info->scheme, memory, &b->run, matrix, err);
        b->used += matrix_memory(b, id);
        info->bytes = matrix->bytes;
    } else {
        s = hold_floats(b, src, info->scheme, weight_floats(w, id), err);
        info->bytes = info->scheme.format == QF_F32 ? elements * sizeof(float) : elements + 2 * sizeof(float);
    }
    if (s) return s;
    w->bytes += info->bytes;
    if (id.part != PART_LM_HEAD || !b->tied) w->parameters += elements;
    return GPT2Q_OK;
}

gpt2q_status weights_end(struct weights_builder *b, gpt2q_status s)
{
    struct gpt2_weights *w = b->w;
    mem_free(b->schemes);
    if (s) {
        weights_free(w);
        return s;
    }
    if (!w->lm_head.codes) {
        w->lm_head = w->wte;
        w->lm_head_is_wte = true;
    }
    return GPT2Q_OK;
}

void weights_free(struct gpt2_weights *w)
{
    for (size_t i = 0; i < w->n_owned; i++) mem_free(w->owned[i]);
    for (size_t i = 0; i < w->n_tensors; i++) mem_free(w->tensors[i].name);
    for (size_t i = 0; i < w->n_files; i++) safetensors_close(&w->files[i]);
    mem_free(w->h);
    mem_free(w->owned);
    mem_free(w->tensors);
    mem_free(w->files);
    *w = (struct gpt2_weights){0};
}
