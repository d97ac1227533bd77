#include "quantize/quantizer.h"
#include "base/memory.h"
#include "model/container_gpt2q.h"
#include "model/gguf_encode.h"
#include "model/gpt2q_file.h"
#include "model/stored.h"
#include "model/weights_build.h"
#include "model/weights_schemes.h"
#include <math.h>
#include <string.h>

/* ---- one tensor ---- */

static gpt2q_status create_values(const struct qsource *src, struct quantized *q, gpt2q_error *err)
{
    size_t cols = (size_t)src->cols;
    bool coded = q->scheme.format != QF_F32;
    q->n = (size_t)src->rows * cols;
    q->bytes_after = coded ? q->n + 2 * sizeof(float) : q->n * sizeof(float);
    q->values = mem_array(q->n, sizeof *q->values);
    float *before = coded ? mem_array(q->n, sizeof *before) : NULL;
    q->codes = coded ? mem_alloc(q->n) : NULL;
    if (!q->values || (coded && (!before || !q->codes))) {
        mem_free(before);
        return error_memory(err, src->name, q->n * sizeof(float));
    }
    for (int r = 0; r < src->rows; r++) qsource_read(src, r, 0, src->cols, q->values + (size_t)r * cols);
    if (!coded) {
        q->errors = values_errors(q->values, q->values, q->n);
        return GPT2Q_OK;
    }
    memcpy(before, q->values, q->n * sizeof *before);
    notes_quantize(src, q->values, q->n, q->codes, &q->scale, &q->min);
    q->errors = values_errors(before, q->values, q->n);
    mem_free(before);
    return GPT2Q_OK;
}

gpt2q_status quantized_create(const struct qsource *src, struct scheme scheme, bool is_matrix,
                              const struct quantize_run *run, struct quantized *out, gpt2q_error *err)
{
    *out = (struct quantized){.name = src->name, .scheme = scheme, .is_matrix = is_matrix};
    gpt2q_status s;
    if (is_matrix) {
        s = tensor_quantize_measured(src, scheme, run, &out->matrix, &out->errors, err);
        out->bytes_after = out->matrix.bytes;
    } else {
        s = create_values(src, out, err);
    }
    if (s) quantized_free(out);
    return s;
}

void quantized_free(struct quantized *q)
{
    qtensor_free(&q->matrix);
    mem_free(q->values);
    mem_free(q->blocks);
    mem_free(q->codes);
    *q = (struct quantized){0};
}

/* ---- a model ---- */

static gpt2q_status choose_schemes(struct quantizer *q, const struct weights_params *asked, gpt2q_error *err)
{
    bool mixed;
    struct bindings *b = &q->bindings;
    struct weights_params params = *asked;
    struct stored_schemes stored;
    size_t n = weight_slots(&b->config);
    q->schemes = mem_array(n, sizeof *q->schemes);
    if (!q->schemes) return error_memory(err, "a table of schemes", n * sizeof *q->schemes);
    gpt2q_status s = stored_schemes_find(b, &params, &stored, err);
    if (s) return s;
    q->base = params.scheme;
    s = weights_choose_schemes(&b->config, &params, b->tied, q->schemes, &mixed, err);
    struct scheme head = q->schemes[weight_slot(&b->config, (struct weight_id){PART_LM_HEAD, 0})];
    struct scheme wte = q->schemes[weight_slot(&b->config, (struct weight_id){PART_WTE, 0})];
    if (!s && b->tied && !scheme_equal(head, wte)) bindings_add_head(b);
    if (!s) s = stored_schemes_keep(&stored, b, q->schemes, &params, err);
    stored_schemes_free(&stored);
    return s;
}

/* What methods wrote into a .gpt2q file, so that it is written again. */
static gpt2q_status take_inputs(struct quantizer *q, gpt2q_error *err)
{
    const struct gpt2_weights *w = container_gpt2q(&q->bindings.container.files[0]);
    if (!w) return GPT2Q_OK;
    q->method = safetensors_metadata(&w->files[0], GPT2Q_KEY_METHOD);
    q->calibration = safetensors_metadata(&w->files[0], GPT2Q_KEY_CALIBRATION);
    const size_t layers = (size_t)w->config.n_layer, inner = (size_t)w->config.n_inner;
    const bool scales = w->lm_head_input_scale > 0.0f;
    bool factors = false;
    for (size_t l = 0; l < layers; l++) factors |= w->h[l].mlp_c_proj.factors != NULL;
    if (!scales && !factors) return GPT2Q_OK;
    float *at = q->inputs = mem_array(4 * layers + 1 + (factors ? layers * inner : 0), sizeof *at);
    if (!at) return error_memory(err, "scales of inputs", layers * inner * sizeof *at);
    for (size_t l = 0; l < layers; l++) {
        const struct gpt2_block *b = &w->h[l];
        const struct linear_weight *all[] = {&b->c_attn, &b->attn_c_proj, &b->c_fc, &b->mlp_c_proj};
        float *to = at + 4 * layers + 1 + l * inner;
        for (size_t i = 0; i < 4; i++) at[4 * l + i] = all[i]->input_scale;
        for (size_t i = 0; factors && i < inner; i++)
            to[i] = b->mlp_c_proj.factors ? b->mlp_c_proj.factors[i] : 1.0f;
    }
    at[4 * layers] = w->lm_head_input_scale;
    if (scales) q->static_scales = at;
    if (factors) q->factors = at + 4 * layers + 1;
    return GPT2Q_OK;
}

gpt2q_status quantizer_open(const char *directory, const struct weights_params *params, struct quantizer *out,
                            gpt2q_error *err)
{
    *out = (struct quantizer){.base = params->scheme,
                              .run = {.n_threads = params->n_threads, .isa = params->isa}};
    gpt2q_status s = bindings_open(directory, &out->bindings, err);
    if (!s) s = choose_schemes(out, params, err);
    if (!s) s = take_inputs(out, err);
    if (s) quantizer_close(out);
    return s;
}

void quantizer_close(struct quantizer *q)
{
    bindings_close(&q->bindings);
    mem_free(q->schemes);
    mem_free(q->inputs);
    *q = (struct quantizer){0};
}

struct scheme quantizer_scheme(const struct quantizer *q, size_t i)
{
    return q->schemes[weight_slot(&q->bindings.config, q->bindings.items[i].id)];
}

bool quantizer_any_matrix(const struct quantizer *q, bool (*is_such)(struct scheme s))
{
    for (size_t i = 0; i < q->bindings.n; i++)
        if (weight_is_matrix(q->bindings.items[i].id.part) && is_such(quantizer_scheme(q, i))) return true;
    return false;
}

/* Takes the result of a method and measures it against the floats it was made from. */
static gpt2q_status take_prepared(const struct quantizer *q, const struct qsource *src, struct scheme scheme,
                                  struct prepared *prepared, struct quantized *out, gpt2q_error *err)
{
    struct qtensor before;
    *out = (struct quantized){.name = src->name, .scheme = scheme, .is_matrix = true};
    gpt2q_status s = qtensor_quantize(src, (struct scheme){.format = QF_F32}, &q->run, &before, err);
    if (s) return s;
    out->matrix = prepared->matrix;
    prepared->matrix = (struct qtensor){0};
    out->bytes_after = out->matrix.bytes;
    out->errors = tensor_errors_between(&before, &out->matrix, (struct unfolding){0});
    qtensor_free(&before);
    return GPT2Q_OK;
}

/* Takes a matrix as its blocks say. Nothing is lost. */
static gpt2q_status take_blocks(const struct quantizer *q, const struct binding *item,
                                const struct qsource *src, struct scheme scheme, struct quantized *out,
                                gpt2q_error *err)
{
    const size_t bytes = qtensor_memory(scheme, src->rows, src->cols);
    void *memory = mem_alloc(bytes);
    *out = (struct quantized){.name = src->name, .scheme = scheme, .is_matrix = true};
    if (!memory) return error_memory(err, src->name, bytes);
    gpt2q_status s = stored_hold(item->tensor, scheme, src, memory, &q->run, &out->matrix, err);
    if (s) {
        mem_free(memory);
        return s;
    }
    out->matrix.owned = memory;
    out->bytes_after = out->matrix.bytes;
    return GPT2Q_OK;
}

/* Blocks as the scheme that holds exactly them, or f32. */
static gpt2q_status hold_blocks(const struct container_tensor *t, const struct qsource *src,
                                const struct quantize_run *run, struct qtensor *out, gpt2q_error *err)
{
    const struct scheme scheme =
        gguf_exact_scheme(t->blocks, t->data, (size_t)src->rows * (size_t)src->cols, src->cols);
    struct qsource floats = {.name = src->name, .rows = src->rows, .cols = src->cols};
    float *values = NULL;
    gpt2q_status s;
    if (!scheme_has_codes(scheme)) {
        s = container_floats(t, src->name, &values, err);
        floats.data = values;
        weights_strides(&floats, false);
        if (!s) s = qtensor_quantize(&floats, scheme, run, out, err);
        mem_free(values);
        return s;
    }
    void *memory = mem_alloc(qtensor_memory(scheme, src->rows, src->cols));
    if (!memory) return error_memory(err, src->name, t->size);
    s = stored_hold(t, scheme, &floats, memory, run, out, err);
    out->owned = memory;
    return s;
}

/* A matrix as ggml rounds it. */
static gpt2q_status take_rounded(const struct quantizer *q, const struct qsource *src, struct quantized *out,
                                 gpt2q_error *err)
{
    struct qtensor before;
    const size_t bytes = gguf_matrix_bytes(q->rounded_as, src->rows, src->cols);
    *out = (struct quantized){
        .name = src->name, .is_matrix = true, .blocks = mem_alloc(bytes), .bytes_after = bytes};
    gpt2q_status s = qtensor_quantize(src, (struct scheme){.format = QF_F32}, &q->run, &before, err);
    if (!s && !out->blocks) s = error_memory(err, src->name, bytes);
    if (!s) s = gguf_encode_rounded(&before, q->rounded_as, src->name, &q->run, out->blocks, err);
    const struct container_tensor t = {
        .name = src->name, .blocks = q->rounded_as, .data = out->blocks, .size = bytes};
    if (!s) s = hold_blocks(&t, src, &q->run, &out->matrix, err);
    out->scheme = out->matrix.scheme;
    if (!s) out->errors = tensor_errors_between(&before, &out->matrix, (struct unfolding){0});
    qtensor_free(&before);
    if (s) quantized_free(out);
    return s;
}

struct quantizing {
    const struct quantizer *q;
    quantized_fn *fn;
    void *user;
};

/* Layer norms, positions and biases stay floats. In a model with codes they must be finite, as matrices
 * must. */
static gpt2q_status check_values(const struct quantizer *q, const struct quantized *t, gpt2q_error *err)
{
    if (t->is_matrix || !scheme_has_codes(q->base)) return GPT2Q_OK;
    for (size_t i = 0; i < t->n; i++)
        if (!isfinite(t->values[i]))
            return error_set(err, GPT2Q_UNSUPPORTED, "%s: value %zu is %g where a finite number is expected",
                             t->name, i, (double)t->values[i]);
    return GPT2Q_OK;
}

static gpt2q_status quantize_one(void *user, size_t i, const struct qsource *stored, gpt2q_error *err)
{
    const struct quantizing *r = user;
    const struct quantizer *q = r->q;
    const struct binding *item = &q->bindings.items[i];
    const struct weight_id id = item->id;
    struct quantized result;
    struct qsource src = *stored;
    struct prepared *prepared = q->prepared ? &q->prepared[weight_slot(&q->bindings.config, id)] : NULL;
    if (prepared && prepared->floats) {
        src.dtype = DT_F32;
        src.data = prepared->floats;
        weights_strides(&src, false);
    }
    gpt2q_status s = q->rounded_as && weight_is_matrix(id.part) ? take_rounded(q, &src, &result, err)
                     : prepared && prepared->matrix.codes
                         ? take_prepared(q, &src, quantizer_scheme(q, i), prepared, &result, err)
                     : !src.data ? take_blocks(q, item, &src, quantizer_scheme(q, i), &result, err)
                                 : quantized_create(&src, quantizer_scheme(q, i), weight_is_matrix(id.part),
                                                    &q->run, &result, err);
    if (s) return s;
    result.id = id;
    result.bytes_before = item->tensor->size;
    s = check_values(q, &result, err);
    if (!s) s = r->fn(r->user, &result, err);
    quantized_free(&result);
    return s;
}

gpt2q_status quantizer_run(const struct quantizer *q, quantized_fn *fn, void *user, gpt2q_error *err)
{
    struct quantizing r = {q, fn, user};
    return q->prepared ? bindings_walk(&q->bindings, quantize_one, &r, err)
                       : bindings_walk_stored(&q->bindings, quantize_one, &r, err);
}
