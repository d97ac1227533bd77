/* Work on a model that all methods share: reading the text without quantization, and rounding one matrix. */
#include "methods/session.h"
#include "base/memory.h"
#include "methods/rounding.h"
#include "model/weights_schemes.h"
#include "qtensor/isa.h"
#include <string.h>

gpt2q_status session_advance(struct session *s, double work, gpt2q_error *err)
{
    s->done += work;
    if (!s->hooks || !s->hooks->progress || s->hooks->progress(s->hooks->user, s->done, s->total))
        return GPT2Q_OK;
    return error_set(err, GPT2Q_CANCELLED, "interrupted");
}

struct scheme session_scheme(const struct session *s, struct weight_id id)
{
    return s->q->schemes[weight_slot(&s->q->bindings.config, id)];
}

/* ---- reading ---- */

static const char *const site_names[SITES] = {"attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"};

static gpt2q_status check_inputs(const struct layer_inputs *in, int layer, const char *site, gpt2q_error *err)
{
    if (in->finite) return GPT2Q_OK;
    if (layer < 0)
        return error_set(err, GPT2Q_UNSUPPORTED,
                         "the inputs of the head are not finite numbers on the calibration text");
    return error_set(err, GPT2Q_UNSUPPORTED,
                     "the inputs of h.%d.%s are not finite numbers on the calibration text", layer, site);
}

static gpt2q_status percentile_of(const struct session *s, struct layer_inputs *in, const float *x,
                                  gpt2q_error *err)
{
    if (s->percent == 0.0 || s->percent >= 100.0) return GPT2Q_OK;
    return layer_inputs_percentile(in, x, (size_t)in->tokens * (size_t)in->n, s->percent, err);
}

gpt2q_status session_observe(struct session *s, struct stream *stream, int layer, bool with_h,
                             struct layer_inputs in[SITES], gpt2q_error *err)
{
    const struct reading *r = &s->reading;
    const float *before = NULL;
    gpt2q_status status = GPT2Q_OK;
    for (int site = 0; site < SITES; site++) in[site] = (struct layer_inputs){0};
    for (int site = 0; site < SITES && !status; site++) {
        status = layer_inputs_create(&in[site], site_inputs(r, (enum site)site), with_h, false, err);
        if (status) break;
        const float *x = stream_input(stream, r, layer, (enum site)site, before);
        layer_inputs_add(&in[site], &s->w, x, NULL, reading_tokens(r));
        layer_inputs_finish(&in[site], &s->w);
        status = percentile_of(s, &in[site], x, err);
        if (!status) status = check_inputs(&in[site], layer, site_names[site], err);
        const struct param *p = &r->model->params.list[params_block(layer, site_param((enum site)site))];
        before = r->model->at + p->at;
        const double n = p->cols, rows = p->rows;
        if (!status)
            status = session_advance(s, reading_tokens(r) * (n * rows + (with_h ? n * n / 2 : 0)), err);
    }
    if (!status) stream_leave(stream, r, layer, before);
    for (int site = 0; status && site < SITES; site++) layer_inputs_free(&in[site]);
    return status;
}

gpt2q_status session_read(struct session *s, bool with_h, bool head_h, observed_fn *fn, void *user,
                          gpt2q_error *err)
{
    const struct reading *r = &s->reading;
    struct stream stream;
    const int layers = r->model->params.config.n_layer;
    gpt2q_status status = stream_create(&stream, r, err);
    if (status) return status;
    stream_embed(&stream, r, floats_of(r->model, params_wte()));
    for (int l = 0; l < layers && !status; l++) {
        struct layer_inputs in[SITES];
        status = session_observe(s, &stream, l, with_h, in, err);
        if (status) break;
        status = fn(s, l, in, SITES, user, err);
        for (int i = 0; i < SITES; i++) layer_inputs_free(&in[i]);
    }
    struct layer_inputs head = {0};
    if (!status) status = layer_inputs_create(&head, r->model->params.config.n_embd, head_h, false, err);
    if (!status) {
        const float *x = stream_final(&stream, r);
        layer_inputs_add(&head, &s->w, x, NULL, reading_tokens(r));
        layer_inputs_finish(&head, &s->w);
        status = percentile_of(s, &head, x, err);
        if (!status) status = check_inputs(&head, -1, "", err);
    }
    if (!status) status = fn(s, layers, &head, 1, user, err);
    layer_inputs_free(&head);
    stream_free(&stream);
    return status;
}

/* ---- rounding a matrix ---- */

struct target { /* a matrix under way */
    struct weight_id id;
    char name[WEIGHT_NAME_MAX];
    struct scheme scheme;
    int rows, cols;
    const float *weights;
    struct coded coded;
    struct matrix_report report;
};

static struct qsource source_of(const struct target *t)
{
    return (struct qsource){.name = t->name,
                            .dtype = DT_F32,
                            .data = t->weights,
                            .rows = t->rows,
                            .cols = t->cols,
                            .row_stride = (size_t)t->cols,
                            .col_stride = 1};
}

/* Rounds without a method: to nearest, or to a format of floats. */
static gpt2q_status round_plainly(const struct session *s, const struct target *t, struct qtensor *out,
                                  gpt2q_error *err)
{
    const struct qsource src = source_of(t);
    return qtensor_quantize(&src, t->scheme, &s->q->run, out, err);
}

static gpt2q_status refuse(const struct session *s, const struct target *t, gpt2q_error *err)
{
    char text[SCHEME_TEXT_MAX];
    const bool hqq = s->plan->rounding == METHOD_HQQ;
    return error_set(err, GPT2Q_INVALID_ARGUMENT, "%s: %s rounds to integer codes by %s, not to %s", t->name,
                     method_names[s->plan->rounding],
                     hqq ? "group or channel with a float zero (grid minmax, such as i4:g64:minmax)"
                         : "group or channel on the grid absmax, signed or affine",
                     scheme_print(t->scheme, text));
}

static gpt2q_status run_gptq(struct session *s, struct target *t, const struct code_scheme *codes,
                             struct layer_inputs *in, gpt2q_error *err)
{
    const struct method_plan *p = s->plan;
    const struct gptq_options o = {.damp = p->damp,
                                   .act_order = p->act_order,
                                   .qep = in->d.at ? p->qep : 0.0,
                                   .keep_rounded = p->keep_rounded,
                                   .refine = p->refine,
                                   .search = p->search > 0 || (p->search < 0 && p->qep > 0.0)};
    const struct gptq_matrix m = {.name = t->name,
                                  .rows = t->rows,
                                  .cols = t->cols,
                                  .w = t->weights,
                                  .h = &in->h,
                                  .d = &in->d,
                                  .scheme = t->scheme,
                                  .codes = *codes};
    struct gptq_report g;
    gpt2q_status status = gptq_run(&s->w, &m, &o, &t->coded, &g, err);
    if (status) return status;
    t->report.has_loss = true;
    t->report.loss_rtn = g.loss_rtn;
    t->report.loss = g.loss;
    t->report.damping = g.damping;
    t->report.damping_raised = g.damping > p->damp;
    t->report.dead = g.dead;
    t->report.few_tokens = in->tokens < (uint64_t)t->cols;
    return GPT2Q_OK;
}

static gpt2q_status run_hqq(struct session *s, struct target *t, gpt2q_error *err)
{
    if (!scheme_has_codes(t->scheme) || (t->scheme.gran != QG_GROUP && t->scheme.gran != QG_CHANNEL) ||
        t->scheme.grid != QGRID_MINMAX)
        return refuse(s, t, err);
    struct hqq_report *report = mem_zalloc(sizeof *report);
    if (!report) return error_memory(err, "a report", sizeof *report);
    gpt2q_status status = hqq_run(&s->w, t->weights, t->rows, t->cols, t->scheme, scheme_bits(t->scheme),
                                  t->scheme.gran == QG_GROUP ? t->scheme.group : t->cols,
                                  s->plan->hqq_iterations, &t->coded, report, err);
    mem_free(report);
    return status;
}

/* Makes codes by the plan's method, in t->coded. */
static gpt2q_status choose_codes(struct session *s, struct target *t, struct layer_inputs *in,
                                 gpt2q_error *err)
{
    struct code_scheme codes;
    if (s->plan->rounding == METHOD_HQQ) return run_hqq(s, t, err);
    if (!code_scheme_of(t->scheme, t->cols, &codes)) return refuse(s, t, err);
    if (s->plan->rounding == METHOD_GPTQ) return run_gptq(s, t, &codes, in, err);
    return clip_run(&s->w, t->weights, t->rows, t->cols,
                    s->plan->rounding == METHOD_IMATRIX ? in->square : NULL, t->scheme, &codes, &t->coded,
                    err);
}

static struct target target_of(const struct session *s, struct weight_id id)
{
    const struct param_list *p = &s->out->model.params;
    const int which = floats_index(&s->out->model, id);
    struct target t = {.id = id,
                       .scheme = session_scheme(s, id),
                       .rows = p->list[which].rows,
                       .cols = p->list[which].cols,
                       .weights = floats_of(&s->out->model, which)};
    weight_print(id, t.name);
    return t;
}

static void values_of(const struct target *t, const struct qtensor *w, const struct session *s, float *values)
{
    for (int o = 0; o < t->rows; o++)
        s->q->run.isa->formats[w->scheme.format].dequantize_row(w, o, values + (size_t)o * (size_t)t->cols);
}

gpt2q_status session_round(struct session *s, struct weight_id id, struct layer_inputs *in, float *values,
                           gpt2q_error *err)
{
    struct target t = target_of(s, id);
    struct qtensor w;
    const bool plain = s->plan->rounding == METHOD_RTN || !scheme_has_codes(t.scheme) || !in;
    const bool coded = !plain || (s->plan->rounding != METHOD_RTN && scheme_has_codes(t.scheme) &&
                                  (s->plan->rounding == METHOD_MSE || s->plan->rounding == METHOD_HQQ));
    gpt2q_status status = coded ? choose_codes(s, &t, in, err) : GPT2Q_OK;
    if (!status) status = coded ? coded_pack(&t.coded, t.name, &w, err) : round_plainly(s, &t, &w, err);
    if (!status && t.coded.rounded)
        memcpy(s->out->rounded + s->out->model.params.list[floats_index(&s->out->model, id)].at,
               t.coded.rounded, (size_t)t.rows * (size_t)t.cols * sizeof(float));
    coded_free(&t.coded);
    if (status) return status;
    if (values) values_of(&t, &w, s, values);
    s->out->prepared[weight_slot(&s->q->bindings.config, id)].matrix = w;
    t.report.name = t.name;
    t.report.scheme = t.scheme;
    if (coded && s->hooks && s->hooks->matrix) s->hooks->matrix(s->hooks->user, &t.report);
    return GPT2Q_OK;
}
