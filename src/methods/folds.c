/* Factors that leave the model's function as it is: if a producer's outputs are divided by a factor, its
 * consumer's columns are multiplied by it.
 *
 *     ln_1 -> c_attn, ln_2 -> c_fc    the norm's weight and bias
 *     c_attn -> attn.c_proj           c_attn's v rows and their bias: attention mixes tokens, not channels
 *     c_fc -> mlp.c_proj              relu, which is homogeneous: c_fc's rows and bias. Other activations:
 *                                     a vector of factors multiplies the inputs at run time */
#include "base/memory.h"
#include "methods/awq.h"
#include "methods/session.h"
#include "model/config.h"

static float *param(const struct session *s, int layer, enum block_param which)
{
    return floats_of(&s->out->model, params_block(layer, which));
}

/* Multiplies W's columns by scale. */
static void scale_columns(const struct session *s, int layer, enum block_param which, const double *scale)
{
    const struct param *p = &s->out->model.params.list[params_block(layer, which)];
    float *w = param(s, layer, which);
    for (size_t o = 0; o < (size_t)p->rows; o++)
        for (size_t j = 0; j < (size_t)p->cols; j++)
            w[o * (size_t)p->cols + j] = (float)((double)w[o * (size_t)p->cols + j] * scale[j]);
}

static void divide_vector(float *x, const double *scale, int n)
{
    for (int j = 0; j < n; j++) x[j] = (float)((double)x[j] / scale[j]);
}

/* Divides rows [first, first + n) of W, and their biases, which follow W. */
static void divide_rows(const struct session *s, int layer, enum block_param which, int first,
                        const double *scale, int n)
{
    const struct param *p = &s->out->model.params.list[params_block(layer, which)];
    float *w = param(s, layer, which), *bias = param(s, layer, which + 1);
    for (int r = 0; r < n; r++)
        for (size_t j = 0; j < (size_t)p->cols; j++) {
            float *x = &w[(size_t)(first + r) * (size_t)p->cols + j];
            *x = (float)((double)*x / scale[r]);
        }
    divide_vector(bias + first, scale, n);
}

static void fold_norm(const struct session *s, int layer, enum block_param norm, enum block_param consumer,
                      const double *scale)
{
    const int d = s->q->bindings.config.n_embd;
    divide_vector(param(s, layer, norm), scale, d);
    divide_vector(param(s, layer, norm + 1), scale, d);
    scale_columns(s, layer, consumer, scale);
}

static gpt2q_status fold_hidden(struct session *s, int layer, double *scale, gpt2q_error *err)
{
    const gpt2q_config *c = &s->q->bindings.config;
    const size_t inner = (size_t)c->n_inner, all = (size_t)c->n_layer * inner;
    if (config_activation(c) == ACT_RELU) {
        divide_rows(s, layer, P_C_FC_WEIGHT, 0, scale, c->n_inner);
    } else {
        if (!s->out->factors) {
            s->out->factors = mem_array(all, sizeof(float));
            if (!s->out->factors) return error_memory(err, "the factors of inputs", all * sizeof(float));
            for (size_t i = 0; i < all; i++) s->out->factors[i] = 1.0f;
        }
        float *factors = s->out->factors + (size_t)layer * inner;
        for (size_t j = 0; j < inner; j++) {
            factors[j] = (float)((double)factors[j] / scale[j]);
            scale[j] = 1.0 / (double)factors[j]; /* exactly the inverse of the factor */
        }
        s->reading.factors = s->out->factors;
    }
    scale_columns(s, layer, P_MLP_C_PROJ_WEIGHT, scale);
    return GPT2Q_OK;
}

/* ---- awq ---- */

static void fold(struct session *s, int layer, enum site site, double *scale, gpt2q_status *status,
                 gpt2q_error *err)
{
    const int d = s->q->bindings.config.n_embd;
    switch (site) {
    case SITE_C_ATTN: fold_norm(s, layer, P_LN_1_WEIGHT, P_C_ATTN_WEIGHT, scale); break;
    case SITE_C_FC: fold_norm(s, layer, P_LN_2_WEIGHT, P_C_FC_WEIGHT, scale); break;
    case SITE_ATTN_C_PROJ:
        divide_rows(s, layer, P_C_ATTN_WEIGHT, 2 * d, scale, d);
        scale_columns(s, layer, P_ATTN_C_PROJ_WEIGHT, scale);
        break;
    default: *status = fold_hidden(s, layer, scale, err);
    }
}

static gpt2q_status awq_at(struct session *s, int layer, enum site site, const struct layer_inputs *in,
                           gpt2q_error *err)
{
    const struct weight_id id = {(enum weight_part)site_param(site), layer};
    const struct scheme scheme = session_scheme(s, id);
    const struct param *p = &s->out->model.params.list[params_block(layer, site_param(site))];
    struct code_scheme codes;
    struct awq_report report;
    char text[SCHEME_TEXT_MAX];
    if (!scheme_has_codes(scheme)) return GPT2Q_OK; /* nothing is rounded */
    if (!code_scheme_of(scheme, p->cols, &codes))
        return error_set(
            err, GPT2Q_INVALID_ARGUMENT,
            "%s: awq looks at integer codes by group or channel on the grid absmax, signed or affine, not %s",
            p->name, scheme_print(scheme, text));
    double *scale = mem_array((size_t)p->cols, sizeof *scale);
    if (!scale) return error_memory(err, "factors", (size_t)p->cols * sizeof *scale);
    gpt2q_status status = awq_scale(&s->w, param(s, layer, site_param(site)), p->rows, p->cols, &in->h,
                                    in->sum_abs, &codes, scale, &report, err);
    if (!status && report.step) fold(s, layer, site, scale, &status, err);
    mem_free(scale);
    return status;
}

/* attn.c_proj comes before c_attn, whose rows it changes. mlp.c_proj comes before c_fc, which it may
 * change. */
static gpt2q_status awq_block(struct session *s, int layer, const struct layer_inputs *in, int n, void *user,
                              gpt2q_error *err)
{
    static const struct {
        enum site site;
        int asked;
    } order[] = {
        {SITE_MLP_C_PROJ, AWQ_MLP}, {SITE_C_FC, AWQ_LN}, {SITE_ATTN_C_PROJ, AWQ_V}, {SITE_C_ATTN, AWQ_LN}};
    gpt2q_status status = GPT2Q_OK;
    (void)user;
    for (int i = 0; i < SITES && n == SITES && !status; i++)
        if (s->plan->awq_sites & order[i].asked)
            status = awq_at(s, layer, order[i].site, &in[order[i].site], err);
    return status;
}

gpt2q_status session_awq(struct session *s, gpt2q_error *err)
{
    return session_read(s, true, false, awq_block, NULL, err);
}

/* ---- smoothquant ---- */

static gpt2q_status smooth_block(struct session *s, int layer, const struct layer_inputs *in, int n,
                                 void *user, gpt2q_error *err)
{
    const int d = s->q->bindings.config.n_embd;
    double *scale = mem_array((size_t)d, sizeof *scale);
    (void)user;
    if (!scale) return error_memory(err, "factors", (size_t)d * sizeof *scale);
    for (int site = 0; site < n && n == SITES; site += SITE_C_FC) { /* c_attn and c_fc */
        const enum block_param which = site_param((enum site)site);
        const struct param *p = &s->out->model.params.list[params_block(layer, which)];
        smoothquant_scale(param(s, layer, which), p->rows, p->cols, in[site].max_abs, s->plan->smooth_alpha,
                          scale);
        fold_norm(s, layer, site == SITE_C_ATTN ? P_LN_1_WEIGHT : P_LN_2_WEIGHT, which, scale);
    }
    mem_free(scale);
    return GPT2Q_OK;
}

gpt2q_status session_smoothquant(struct session *s, gpt2q_error *err)
{
    return session_read(s, false, false, smooth_block, NULL, err);
}

/* ---- static scales ---- */

static gpt2q_status static_block(struct session *s, int layer, const struct layer_inputs *in, int n,
                                 void *user, gpt2q_error *err)
{
    float *scales = s->out->static_scales + (size_t)layer * SITES;
    (void)user;
    (void)err;
    for (int site = 0; site < n; site++) {
        float most = 0.0f;
        for (int j = 0; j < in[site].n; j++) most = in[site].max_abs[j] > most ? in[site].max_abs[j] : most;
        if (s->plan->static_percent < 100.0) most = in[site].percentile;
        scales[site] = most > 0.0f ? most / 127.0f : 1.0f;
    }
    return GPT2Q_OK;
}

gpt2q_status session_static(struct session *s, gpt2q_error *err)
{
    const size_t n = (size_t)s->q->bindings.config.n_layer * SITES + 1;
    s->out->static_scales = mem_zarray(n, sizeof(float));
    if (!s->out->static_scales) return error_memory(err, "static scales", n * sizeof(float));
    s->percent = s->plan->static_percent;
    gpt2q_status status = session_read(s, false, false, static_block, NULL, err);
    s->percent = 0.0;
    return status;
}
