#include "methods/run.h"
#include "base/memory.h"
#include "base/threads.h"
#include "methods/session.h"
#include "qtensor/isa.h"
#include <string.h>

void methods_result_free(struct methods_result *r)
{
    for (size_t i = 0; r->prepared && i < r->n_slots; i++) qtensor_free(&r->prepared[i].matrix);
    mem_free(r->prepared);
    model_floats_free(&r->model);
    mem_free(r->static_scales);
    mem_free(r->rounded);
    mem_free(r->factors);
    *r = (struct methods_result){0};
}

/* ---- rounding without walking ---- */

static gpt2q_status round_block(struct session *s, int layer, const struct layer_inputs *in, int n,
                                void *user, gpt2q_error *err)
{
    const bool head = layer == s->q->bindings.config.n_layer;
    gpt2q_status status = GPT2Q_OK;
    (void)user;
    for (int site = 0; site < n && !status; site++) {
        struct layer_inputs copy = in[site];
        if (!head) {
            const struct weight_id id = {(enum weight_part)site_param((enum site)site), layer};
            status = session_round(s, id, &copy, NULL, err);
            continue;
        }
        const struct weight_id wte = {PART_WTE, 0}, lm_head = {PART_LM_HEAD, 0};
        status = session_round(s, wte, &copy, NULL, err);
        bool apart = false;
        for (size_t i = 0; i < s->q->bindings.n; i++)
            apart |= s->q->bindings.items[i].id.part == PART_LM_HEAD;
        if (!status && apart) status = session_round(s, lm_head, &copy, NULL, err);
    }
    return status;
}

/* mse and hqq take each matrix by itself. */
static gpt2q_status round_each(struct session *s, gpt2q_error *err)
{
    const struct bindings *b = &s->q->bindings;
    gpt2q_status status = GPT2Q_OK;
    for (size_t i = 0; i < b->n && !status; i++)
        if (weight_is_matrix(b->items[i].id.part)) {
            const double work = (double)param_floats(
                &s->out->model.params.list[floats_index(&s->out->model, b->items[i].id)]);
            status = session_round(s, b->items[i].id, NULL, NULL, err);
            if (!status) status = session_advance(s, work, err);
        }
    return status;
}

static gpt2q_status round_all(struct session *s, gpt2q_error *err)
{
    switch (s->plan->rounding) {
    case METHOD_GPTQ: return session_gptq(s, err);
    case METHOD_IMATRIX: return session_read(s, false, false, round_block, NULL, err);
    case METHOD_MSE:
    case METHOD_HQQ: return round_each(s, err);
    default: return GPT2Q_OK; /* the quantizer rounds what was folded */
    }
}

/* ---- a session ---- */

/* The multiplications of reading the text once without quantization. */
static double reading_work(const struct session *s)
{
    double work = 0;
    for (int i = 0; i < s->out->model.params.count; i++) {
        const struct param *p = &s->out->model.params.list[i];
        if (p->conv1d) work += (double)param_floats(p);
    }
    return work * (double)(s->text->windows * s->text->window);
}

static gpt2q_status open_session(struct session *s, gpt2q_error *err)
{
    const gpt2q_config *c = &s->q->bindings.config;
    size_t a = 1, b = 1, own = 16;
    gpt2q_status status = model_floats_load(&s->q->bindings, &s->out->model, err);
    if (status) return status;
    s->out->n_slots = weight_slots(c);
    s->out->prepared = mem_zarray(s->out->n_slots, sizeof *s->out->prepared);
    if (!s->out->prepared)
        return error_memory(err, "a table of weights", s->out->n_slots * sizeof(struct prepared));
    if (s->plan->keep_rounded) {
        const size_t floats = s->out->model.params.floats;
        s->out->rounded = mem_array(floats, sizeof(float));
        if (!s->out->rounded) return error_memory(err, "the values that are rounded", floats * sizeof(float));
    }
    if (s->text) reading_scratch(c, s->text->window, &a, &b, &own);
    status = crew_create(&s->crew, s->q->run.isa, s->q->run.n_threads, a, b, own, err);
    if (status) return status;
    s->w = (struct workers){&s->crew, dense_ops_of(s->q->run.isa)};
    if (!s->text) return GPT2Q_OK;
    s->total = 1 + (s->plan->n_folds + (s->plan->static_percent > 0.0) +
                    (s->plan->rounding == METHOD_GPTQ || s->plan->rounding == METHOD_IMATRIX)) *
                       reading_work(s);
    return reading_create(&s->reading, &s->out->model, s->text, &s->w, err);
}

/* Hands over the weights that folding changed: the model's file does not have them. */
static void hand_on_floats(struct session *s)
{
    const struct bindings *b = &s->q->bindings;
    for (size_t i = 0; i < b->n; i++) {
        struct prepared *p = &s->out->prepared[weight_slot(&b->config, b->items[i].id)];
        p->floats = floats_of(&s->out->model, floats_index(&s->out->model, b->items[i].id));
    }
}

/* Methods walk over whole groups of inputs. */
static gpt2q_status check_schemes(const struct quantizer *q, gpt2q_error *err)
{
    char name[WEIGHT_NAME_MAX], text[SCHEME_TEXT_MAX];
    struct qtensor_layout layout;
    for (size_t i = 0; i < q->bindings.n; i++) {
        const struct weight_id id = q->bindings.items[i].id;
        const struct scheme scheme = quantizer_scheme(q, i);
        int rows, cols;
        if (!weight_is_matrix(id.part)) continue;
        weight_rows_cols(&q->bindings.config, id.part, &rows, &cols);
        if (!qtensor_layout(scheme, rows, cols, &layout))
            return error_set(err, GPT2Q_INVALID_ARGUMENT, "%s: %s does not fit its %d outputs by %d inputs%s",
                             weight_print(id, name), scheme_print(scheme, text), rows, cols,
                             scheme_has_codes(scheme) && scheme.gran == QG_GROUP
                                 ? "; the group must divide the inputs"
                                 : "");
    }
    return GPT2Q_OK;
}

static gpt2q_status run_session(struct session *s, gpt2q_error *err)
{
    gpt2q_status status = check_schemes(s->q, err);
    if (!status) status = open_session(s, err);
    for (int i = 0; i < s->plan->n_folds && !status; i++)
        status = (s->plan->folds[i] == METHOD_AWQ ? session_awq : session_smoothquant)(s, err);
    if (!status && s->plan->n_folds) hand_on_floats(s);
    if (!status && s->plan->static_percent > 0.0) status = session_static(s, err);
    if (!status && s->out->rounded)
        memcpy(s->out->rounded, s->out->model.at, s->out->model.params.floats * sizeof(float));
    return status ? status : round_all(s, err);
}

/* From here on nothing reads the weights as they were. */
static void take_rounded(struct methods_result *out)
{
    memcpy(out->model.at, out->rounded, out->model.params.floats * sizeof(float));
    mem_free(out->rounded);
    out->rounded = NULL;
}

gpt2q_status methods_run(const struct quantizer *q, const struct method_plan *plan,
                         const struct calibration *text, const struct methods_hooks *hooks,
                         struct methods_result *out, gpt2q_error *err)
{
    struct session s = {.q = q, .plan = plan, .text = text, .hooks = hooks, .out = out};
    *out = (struct methods_result){0};
    threads_retain();
    gpt2q_status status = run_session(&s, err);
    threads_release();
    if (!status && out->rounded) take_rounded(out);
    reading_free(&s.reading);
    crew_free(&s.crew);
    if (status) methods_result_free(out);
    return status;
}
