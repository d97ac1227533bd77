#include "methods/plan.h"
#include <stdio.h>
#include <string.h>

const char *const method_names[METHOD_COUNT] = {"rtn", "mse", "imatrix", "gptq", "hqq", "awq", "smoothquant"};

struct method_plan method_plan_default(void)
{
    return (struct method_plan){.rounding = METHOD_RTN,
                                .damp = 0.01,
                                .qep = 1.0,
                                .head_damp = 0.1,
                                .act_order = true,
                                .true_sequential = true,
                                .refine = 2,
                                .search = -1,
                                .awq_sites = AWQ_LN | AWQ_V | AWQ_MLP,
                                .smooth_alpha = 0.5,
                                .hqq_iterations = 20};
}

static gpt2q_status find(const char *name, enum method *out, gpt2q_error *err)
{
    for (int i = 0; i < METHOD_COUNT; i++)
        if (!strcmp(name, method_names[i])) {
            *out = (enum method)i;
            return GPT2Q_OK;
        }
    return error_set(err, GPT2Q_INVALID_ARGUMENT,
                     "unknown method \"%s\"; there are rtn, mse, gptq, awq, smoothquant, hqq, imatrix", name);
}

static gpt2q_status take(struct method_plan *p, enum method m, bool *rounds, bool seen[METHOD_COUNT],
                         gpt2q_error *err)
{
    if (seen[m]) return error_set(err, GPT2Q_INVALID_ARGUMENT, "method %s is named twice", method_names[m]);
    seen[m] = true;
    if (m >= METHOD_AWQ) {
        if (*rounds)
            return error_set(err, GPT2Q_INVALID_ARGUMENT,
                             "%s changes weights that %s has rounded already; name it before %s",
                             method_names[m], method_names[p->rounding], method_names[p->rounding]);
        p->folds[p->n_folds++] = m;
        return GPT2Q_OK;
    }
    if (*rounds)
        return error_set(err, GPT2Q_INVALID_ARGUMENT, "%s and %s both round the weights; name one%s",
                         method_names[p->rounding], method_names[m],
                         m == METHOD_MSE || p->rounding == METHOD_MSE
                             ? " (gptq has the clip search of its own, --search)"
                             : "");
    p->rounding = m;
    *rounds = true;
    return GPT2Q_OK;
}

gpt2q_status method_plan_parse(struct method_plan *p, const char *const *names, size_t n, gpt2q_error *err)
{
    bool rounds = false, seen[METHOD_COUNT] = {false};
    p->rounding = METHOD_RTN;
    p->n_folds = 0;
    for (size_t i = 0; i < n; i++) {
        enum method m = METHOD_RTN;
        gpt2q_status s = find(names[i], &m, err);
        if (!s) s = take(p, m, &rounds, seen, err);
        if (s) return s;
    }
    return GPT2Q_OK;
}

bool method_plan_needs_text(const struct method_plan *p)
{
    return p->n_folds || p->rounding == METHOD_GPTQ || p->rounding == METHOD_IMATRIX ||
           p->static_percent > 0.0;
}

const char *method_plan_print(const struct method_plan *p, char *text, size_t size)
{
    size_t n = 0;
    text[0] = '\0';
#define ADD(...) (n < size ? n += (size_t)snprintf(text + n, size - n, __VA_ARGS__) : n)
    for (int i = 0; i < p->n_folds; i++) {
        ADD("%s ", method_names[p->folds[i]]);
        if (p->folds[i] == METHOD_AWQ)
            ADD("sites=%s%s%s ", p->awq_sites & AWQ_LN ? "ln," : "", p->awq_sites & AWQ_V ? "v," : "",
                p->awq_sites & AWQ_MLP ? "mlp" : "");
        else
            ADD("alpha=%g ", p->smooth_alpha);
    }
    ADD("%s", method_names[p->rounding]);
    if (p->rounding == METHOD_HQQ) ADD(" iters=%d", p->hqq_iterations);
    if (p->rounding == METHOD_GPTQ)
        ADD(" damp=%g act-order=%s true-sequential=%s qep=%g refine=%d search=%s head-damp=%g", p->damp,
            p->act_order ? "on" : "off", p->true_sequential ? "on" : "off", p->qep, p->refine,
            p->search > 0 || (p->search < 0 && p->qep > 0.0) ? "on" : "off", p->head_damp);
    if (p->static_percent > 0.0) ADD(" static=%g", p->static_percent);
#undef ADD
    return text;
}

bool method_text_folds(const char *text) { return strstr(text, "awq") || strstr(text, "smoothquant"); }
