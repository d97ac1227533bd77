#include "train/trainer.h"
#include "base/memory.h"
#include "qtensor/isa.h"
#include "train/schedule.h"
#include <math.h>
#include <string.h>

static gpt2q_status create_blocks(struct trainer *t, gpt2q_error *err)
{
    const size_t n = t->params->floats, scales = t->grids->n_scales;
    t->gradient = mem_zarray(n, sizeof(float));
    t->effective = t->grids->count ? mem_zarray(n, sizeof(float)) : t->latent;
    t->good.latent = mem_array(n, sizeof(float));
    t->good.scale = mem_array(scales ? scales : 1, sizeof(float));
    t->good.zero = mem_array(scales ? scales : 1, sizeof(float));
    if (t->gradient && t->effective && t->good.latent && t->good.scale && t->good.zero) return GPT2Q_OK;
    return error_memory(err, "the weights in training", 3 * n * sizeof(float));
}

gpt2q_status trainer_create(struct trainer *t, const struct param_list *p, struct grids *g, float *latent,
                            const float *teacher, const struct trainer_options *o, gpt2q_error *err)
{
    size_t a, b, own;
    const size_t scales = g->n_scales ? g->n_scales : 1;
    *t = (struct trainer){
        .options = *o, .params = p, .grids = g, .latent = latent, .teacher = teacher, .good = {.step = -1}};
    pass_scratch(p, o->windows * o->window, o->window, LOSS_ROWS, &a, &b, &own);
    gpt2q_status s = crew_create(&t->crew, g->run.isa, g->run.n_threads, a, b, own, err);
    if (!s) s = pass_create(&t->student, p, o->windows, o->window, true, err);
    if (!s) s = pass_create(&t->reader, p, o->windows, o->window, false, err);
    if (!s) s = loss_create(&t->loss, p, teacher != NULL, err);
    if (!s) s = adam_create(&t->adam, p->floats, o->beta1, o->beta2, o->epsilon, err);
    if (!s) s = adam_create(&t->scale_adam, scales, o->beta1, o->beta2, o->epsilon, err);
    if (!s) s = create_blocks(t, err);
    if (!s) s = grids_recalibrate(g, 0, latent, err);
    if (s) trainer_free(t);
    return s;
}

void trainer_free(struct trainer *t)
{
    adam_free(&t->adam);
    adam_free(&t->scale_adam);
    loss_free(&t->loss);
    pass_free(&t->student);
    pass_free(&t->reader);
    crew_free(&t->crew);
    mem_free(t->gradient);
    if (t->effective != t->latent) mem_free(t->effective);
    mem_free(t->good.latent);
    mem_free(t->good.scale);
    mem_free(t->good.zero);
    *t = (struct trainer){0};
}

static gpt2q_status land(struct trainer *t, gpt2q_error *err)
{
    if (t->effective == t->latent) return GPT2Q_OK;
    return grids_land(t->grids, &t->crew, t->latent, t->effective, err);
}

static struct loss_model teacher_of(const struct trainer *t)
{
    return (struct loss_model){t->reader.hidden,
                               t->teacher ? t->teacher + t->params->list[params_head(t->params)].at : NULL};
}

static void update(struct trainer *t)
{
    const struct trainer_options *o = &t->options;
    const double share = schedule_rate(1.0, t->step, o->steps, o->warmup);
    adam_begin(&t->adam);
    if (o->decay == 0.0)
        adam_update(&t->adam, &t->crew, 0, t->params->floats, t->latent, t->gradient, o->rate * share, 0.0);
    for (int i = 0; i < t->params->count && o->decay != 0.0; i++) {
        const struct param *p = &t->params->list[i];
        adam_update(&t->adam, &t->crew, p->at, param_floats(p), t->latent + p->at, t->gradient + p->at,
                    o->rate * share, p->matrix ? o->decay : 0.0);
    }
    if (t->grids->n_scales && !t->grids->every) {
        adam_begin(&t->scale_adam);
        adam_update(&t->scale_adam, &t->crew, 0, t->grids->n_scales, t->grids->scale, t->grids->gradient,
                    o->scale_rate * share, 0.0);
    }
    t->step++;
}

gpt2q_status trainer_step(struct trainer *t, const int32_t *tokens, double *loss, gpt2q_error *err)
{
    const struct loss_model teacher = teacher_of(t);
    gpt2q_status s = land(t, err);
    if (s) return s;
    pass_forward(&t->student, &t->crew, t->effective, tokens);
    if (t->options.kl) pass_forward(&t->reader, &t->crew, t->teacher, tokens);
    *loss = loss_run(&t->loss, &t->student, &t->crew, t->effective, t->options.kl ? &teacher : NULL, tokens,
                     t->gradient);
    if (!isfinite(*loss)) return GPT2Q_OK;
    pass_backward(&t->student, &t->crew, t->effective, tokens, t->gradient);
    grids_backward(t->grids, &t->crew, t->step, t->latent, t->gradient);
    update(t);
    return grids_recalibrate(t->grids, t->step, t->latent, err);
}

/* From now on the pass reads so many windows. There is room for options.windows. */
static void set_windows(struct train_pass *t, int windows)
{
    t->windows = windows;
    t->n = windows * t->window;
}

gpt2q_status trainer_evaluate(struct trainer *t, const int32_t *tokens, int windows, double *nll, double *kl,
                              gpt2q_error *err)
{
    const struct loss_model teacher = teacher_of(t);
    gpt2q_status s = land(t, err);
    double nll_sum = 0.0, kl_sum = 0.0;
    if (s) return s;
    for (int first = 0; first < windows; first += t->options.windows) {
        const int n = windows - first < t->options.windows ? windows - first : t->options.windows;
        const int32_t *ids = tokens + (size_t)first * (size_t)t->options.window;
        set_windows(&t->student, n);
        set_windows(&t->reader, n);
        pass_forward(&t->student, &t->crew, t->effective, ids);
        nll_sum += n * loss_run(&t->loss, &t->student, &t->crew, t->effective, NULL, ids, NULL);
        if (!t->teacher) continue;
        pass_forward(&t->reader, &t->crew, t->teacher, ids);
        kl_sum += n * loss_run(&t->loss, &t->student, &t->crew, t->effective, &teacher, ids, NULL);
    }
    set_windows(&t->student, t->options.windows);
    set_windows(&t->reader, t->options.windows);
    *nll = nll_sum / windows;
    *kl = t->teacher ? kl_sum / windows : NAN;
    return GPT2Q_OK;
}

void trainer_keep(struct trainer *t)
{
    memcpy(t->good.latent, t->latent, t->params->floats * sizeof(float));
    memcpy(t->good.scale, t->grids->scale, t->grids->n_scales * sizeof(float));
    memcpy(t->good.zero, t->grids->zero, t->grids->n_scales * sizeof(float));
    t->good.step = t->step;
}

bool trainer_return(struct trainer *t)
{
    if (t->good.step < 0) return false;
    memcpy(t->latent, t->good.latent, t->params->floats * sizeof(float));
    memcpy(t->grids->scale, t->good.scale, t->grids->n_scales * sizeof(float));
    memcpy(t->grids->zero, t->good.zero, t->grids->n_scales * sizeof(float));
    t->step = t->good.step;
    return true;
}
