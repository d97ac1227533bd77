/* GPTQ over a model. wte comes first, because every other input depends on it. As a tied head, its inputs
 * are ln_f's outputs in the unquantized model; head_damp times the mean diagonal is added for its use as
 * an embedding. Then block follows block. With true_sequential, a layer's inputs have passed through all
 * layers rounded before it; otherwise through all blocks before its own. */
#include "base/memory.h"
#include "methods/session.h"
#include <string.h>

struct walk {
    struct session *s;
    struct stream model, reference; /* reference: unquantized, with QEP */
    bool with_reference;
    float *values[SITES]; /* of the block: the values that its codes stand for */
};

static struct weight_id site_weight(int layer, enum site site)
{
    return (struct weight_id){(enum weight_part)site_param(site), layer};
}

static const float *original(const struct walk *w, int layer, enum site site)
{
    return floats_of(&w->s->out->model, params_block(layer, site_param(site)));
}

/* ---- the head ---- */

static gpt2q_status round_head(struct session *s, int layer, const struct layer_inputs *in, int n, void *user,
                               gpt2q_error *err)
{
    struct layer_inputs head = *in; /* its squares are changed, and they are the caller's */
    float *values = user;
    const gpt2q_config *c = &s->q->bindings.config;
    const struct weight_id wte = {PART_WTE, 0}, lm_head = {PART_LM_HEAD, 0};
    if (layer < c->n_layer) return GPT2Q_OK;
    (void)n;
    bool apart = !s->q->bindings.tied;
    for (size_t i = 0; i < s->q->bindings.n; i++) apart |= s->q->bindings.items[i].id.part == PART_LM_HEAD;
    double mean = 0;
    for (int i = 0; i < head.n && head.h.at; i++) mean += square_row(&head.h, i)[i] / head.n;
    for (int i = 0; i < head.n && head.h.at && !apart; i++)
        square_row(&head.h, i)[i] += s->plan->head_damp * mean;
    gpt2q_status status = session_round(s, wte, apart ? NULL : &head, values, err);
    return status || !apart ? status : session_round(s, lm_head, &head, NULL, err);
}

/* Rounds wte and the head. values (vocab, n_embd) becomes what wte's codes stand for. */
static gpt2q_status quantize_head(struct session *s, float *values, gpt2q_error *err)
{
    const struct weight_id wte = {PART_WTE, 0}, lm_head = {PART_LM_HEAD, 0};
    if (scheme_has_codes(session_scheme(s, wte)) || scheme_has_codes(session_scheme(s, lm_head)))
        return session_read(s, false, true, round_head, values, err);
    return round_head(s, s->q->bindings.config.n_layer, &(struct layer_inputs){0}, 1, values, err);
}

/* ---- blocks ---- */

/* Gathers the moments of a site's inputs. For each stream, `before` has the weights, as floats, of the
 * layers before it. */
static gpt2q_status collect(struct walk *w, int layer, enum site site, const float *before,
                            const float *before_reference, bool with_h, struct layer_inputs *in,
                            gpt2q_error *err)
{
    const struct reading *r = &w->s->reading;
    const float *x = stream_input(&w->model, r, layer, site, before);
    const float *x_ref =
        w->with_reference ? stream_input(&w->reference, r, layer, site, before_reference) : NULL;
    *in = (struct layer_inputs){0};
    if (!with_h) return GPT2Q_OK;
    gpt2q_status s = layer_inputs_create(in, site_inputs(r, site), true, x_ref != NULL, err);
    if (s) return s;
    layer_inputs_add(in, &w->s->w, x, x_ref, reading_tokens(r));
    layer_inputs_finish(in, &w->s->w);
    return GPT2Q_OK;
}

/* The multiplications of a site: reading, H, D, rounding. */
static double site_work(const struct walk *w, int layer, enum site site)
{
    const struct param *p = &w->s->out->model.params.list[params_block(layer, site_param(site))];
    const double n = p->cols, rows = p->rows, tokens = reading_tokens(&w->s->reading);
    const double passes = 1.5 + w->s->plan->refine * 3.5 + (w->with_reference ? 2 : 0);
    return tokens * (n * rows * (w->with_reference ? 2 : 1) + n * n * (w->with_reference ? 1.5 : 0.5)) +
           n * n * n / 3 + rows * n * n * passes;
}

static gpt2q_status quantize_site(struct walk *w, int layer, enum site site, struct layer_inputs *in,
                                  gpt2q_error *err)
{
    gpt2q_status s =
        session_round(w->s, site_weight(layer, site), in->h.at ? in : NULL, w->values[site], err);
    return s ? s : session_advance(w->s, site_work(w, layer, site), err);
}

static bool wants_codes(const struct walk *w, int layer, enum site site)
{
    return scheme_has_codes(session_scheme(w->s, site_weight(layer, site)));
}

/* Rounds every site after the ones before it. */
static gpt2q_status block_sequential(struct walk *w, int layer, gpt2q_error *err)
{
    gpt2q_status s = GPT2Q_OK;
    for (int site = 0; site < SITES && !s; site++) {
        struct layer_inputs in;
        const float *before = site ? w->values[site - 1] : NULL;
        const float *reference = site ? original(w, layer, (enum site)(site - 1)) : NULL;
        s = collect(w, layer, (enum site)site, before, reference, wants_codes(w, layer, (enum site)site), &in,
                    err);
        if (!s) s = quantize_site(w, layer, (enum site)site, &in, err);
        layer_inputs_free(&in);
    }
    return s;
}

/* Rounds all sites by the inputs in the unquantized block. Then both streams read the block once more. */
static gpt2q_status block_together(struct walk *w, int layer, gpt2q_error *err)
{
    const struct reading *r = &w->s->reading;
    const size_t bytes = (size_t)reading_tokens(r) * (size_t)r->model->params.config.n_embd * sizeof(float);
    struct layer_inputs in[SITES] = {{0}};
    float *x = mem_alloc(bytes), *x_ref = mem_alloc(bytes);
    gpt2q_status s = x && x_ref ? GPT2Q_OK : error_memory(err, "the residual stream of a block", 2 * bytes);
    if (!s) memcpy(x, w->model.x, bytes);
    if (!s && w->with_reference) memcpy(x_ref, w->reference.x, bytes);
    for (int site = 0; site < SITES && !s; site++) {
        const float *before = site ? original(w, layer, (enum site)(site - 1)) : NULL;
        s = collect(w, layer, (enum site)site, before, before, wants_codes(w, layer, (enum site)site),
                    &in[site], err);
    }
    for (int site = 0; site < SITES && !s; site++) {
        s = quantize_site(w, layer, (enum site)site, &in[site], err);
        layer_inputs_free(&in[site]);
    }
    if (!s) memcpy(w->model.x, x, bytes);
    if (!s && w->with_reference) memcpy(w->reference.x, x_ref, bytes);
    for (int site = 0; site < SITES && !s; site++) {
        stream_input(&w->model, r, layer, (enum site)site, site ? w->values[site - 1] : NULL);
        if (w->with_reference)
            stream_input(&w->reference, r, layer, (enum site)site,
                         site ? original(w, layer, (enum site)(site - 1)) : NULL);
    }
    for (int site = 0; site < SITES; site++) layer_inputs_free(&in[site]);
    mem_free(x);
    mem_free(x_ref);
    return s;
}

static gpt2q_status walk_blocks(struct walk *w, gpt2q_error *err)
{
    const struct reading *r = &w->s->reading;
    gpt2q_status s = GPT2Q_OK;
    for (int l = 0; l < r->model->params.config.n_layer && !s; l++) {
        s = (w->s->plan->true_sequential ? block_sequential : block_together)(w, l, err);
        if (s) break;
        stream_leave(&w->model, r, l, w->values[SITE_MLP_C_PROJ]);
        if (w->with_reference) stream_leave(&w->reference, r, l, original(w, l, SITE_MLP_C_PROJ));
    }
    return s;
}

static gpt2q_status create(struct walk *w, gpt2q_error *err)
{
    const struct reading *r = &w->s->reading;
    gpt2q_status s = stream_create(&w->model, r, err);
    if (!s && w->with_reference) s = stream_create(&w->reference, r, err);
    for (int site = 0; site < SITES && !s; site++) {
        const struct param *p = &r->model->params.list[params_block(0, site_param((enum site)site))];
        w->values[site] = mem_array(param_floats(p), sizeof(float));
        if (!w->values[site]) s = error_memory(err, "a block's weights", param_floats(p) * sizeof(float));
    }
    return s;
}

gpt2q_status session_gptq(struct session *s, gpt2q_error *err)
{
    struct walk w = {.s = s, .with_reference = s->plan->qep > 0.0};
    const size_t n = param_floats(&s->out->model.params.list[params_wte()]);
    float *wte = mem_array(n, sizeof *wte);
    if (!wte) return error_memory(err, "wte", n * sizeof *wte);
    for (int l = 0; l < s->q->bindings.config.n_layer; l++)
        for (int site = 0; site < SITES; site++) s->total += site_work(&w, l, (enum site)site);
    gpt2q_status status = quantize_head(s, wte, err);
    if (!status) status = create(&w, err);
    if (!status) stream_embed(&w.model, &s->reading, wte);
    mem_free(wte);
    if (!status && w.with_reference)
        stream_embed(&w.reference, &s->reading, floats_of(&s->out->model, params_wte()));
    if (!status) status = walk_blocks(&w, err);
    stream_free(&w.model);
    stream_free(&w.reference);
    for (int site = 0; site < SITES; site++) mem_free(w.values[site]);
    return status;
}
