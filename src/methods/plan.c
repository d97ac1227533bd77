#include "methods/plan.h"
#include <stdio.h>
#include <stdlib.h>
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

/* As 15 digits if they are read as x, else as 17. */
static const char *print_number(double x, char text[32])
{
    snprintf(text, 32, "%.15g", x);
    if (strtod(text, NULL) != x) snprintf(text, 32, "%.17g", x);
    return text;
}

/* "ln,v,mlp", as --awq-sites takes them. */
static const char *print_sites(int sites, char text[32])
{
    static const char *const names[] = {"ln", "v", "mlp"};
    text[0] = '\0';
    for (int i = 0; i < 3; i++)
        if (sites & 1 << i) {
            if (text[0]) strcat(text, ",");
            strcat(text, names[i]);
        }
    return text;
}

const char *method_plan_print(const struct method_plan *p, char text[METHOD_TEXT_MAX])
{
    size_t n = 0;
    char a[32], b[32], c[32];
    text[0] = '\0';
#define ADD(...) (n < METHOD_TEXT_MAX ? n += (size_t)snprintf(text + n, METHOD_TEXT_MAX - n, __VA_ARGS__) : n)
    for (int i = 0; i < p->n_folds; i++) {
        ADD("%s ", method_names[p->folds[i]]);
        if (p->folds[i] == METHOD_AWQ)
            ADD("sites=%s ", print_sites(p->awq_sites, a));
        else
            ADD("alpha=%s ", print_number(p->smooth_alpha, a));
    }
    ADD("%s", method_names[p->rounding]);
    if (p->rounding == METHOD_HQQ) ADD(" iters=%d", p->hqq_iterations);
    if (p->rounding == METHOD_GPTQ)
        ADD(" damp=%s act-order=%s true-sequential=%s qep=%s refine=%d search=%s head-damp=%s",
            print_number(p->damp, a), p->act_order ? "on" : "off", p->true_sequential ? "on" : "off",
            print_number(p->qep, b), p->refine,
            p->search > 0 || (p->search < 0 && p->qep > 0.0) ? "on" : "off", print_number(p->head_damp, c));
    if (p->static_percent > 0.0) ADD(" static=%s", print_number(p->static_percent, a));
#undef ADD
    return text;
}

bool method_text_folds(const char *text) { return strstr(text, "awq") || strstr(text, "smoothquant"); }
