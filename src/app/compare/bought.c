/* What a file's method bought: its figures beside those of the same schemes rounded to nearest, matrix by matrix. A weight's own
 * error tells little of a method that lets weights carry each other's errors: its weights are farther from the original's, its outputs
 * nearer. So the outputs are measured, too. */
#include "app/compare/compare.h"
#include "app/tables.h"
#include "model/weights_names.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

/* The relative error of a line of the ledger. NaN if it has none. */
static double error_of(const struct ledger *l, const char *name)
{
    for (size_t i = 0; i < l->n; i++)
        if (!strcmp(l->lines[i].name, name)) return ledger_relative_error(&l->lines[i]);
    return (double)NAN;
}

/* A head of its own makes the logits, and wte the embedding. */
static const char *output_of(const struct compared *s, struct weight_id id, const char *name)
{
    if (id.part == PART_LM_HEAD) return "logits";
    if (id.part != PART_WTE) return name;
    for (size_t i = 0; i < s->n_weights; i++)
        if (!strcmp(s->weights[i].name, "lm_head.weight")) return "embed";
    return "logits";
}

bool compare_bought(const struct compared *s, size_t i, struct bought *out)
{
    static char name[WEIGHT_NAME_MAX];
    struct weight_id id;
    *out = (struct bought){.now = &s->weights[i]};
    if (weight_parse(out->now->name, &id) != NAME_WEIGHT || !weight_is_matrix(id.part)) return false;
    for (size_t k = 0; k < s->nearest->n_weights; k++)
        if (!strcmp(s->nearest->weights[k].name, out->now->name)) out->nearest = &s->nearest->weights[k];
    if (!out->nearest) return false;
    snprintf(name, sizeof name, "%.*s", (int)(strlen(out->now->name) - strlen(".weight")), out->now->name);
    const char *output = output_of(s, id, name);
    out->name = name;
    out->local = error_of(&s->ledgers[LEDGER_LOCAL], output);
    out->all = error_of(&s->ledgers[LEDGER_ACCUMULATED], output);
    out->local_nearest = error_of(&s->nearest->ledgers[LEDGER_LOCAL], output);
    out->all_nearest = error_of(&s->nearest->ledgers[LEDGER_ACCUMULATED], output);
    return true;
}

/* ---- for people ---- */

/* Two errors and the second's share of the first. */
static void print_pair(double nearest, double now, bool share)
{
    if (isfinite(nearest) && isfinite(now))
        printf(" %9.5f %8.5f", nearest, now);
    else
        printf(" %9s %8s", "-", "-");
    if (!share) return;
    if (nearest > 0 && isfinite(now))
        printf(" %5.0f %%", 100 * now / nearest);
    else
        printf(" %7s", "-");
}

static void print_matrices(const struct compared *s)
{
    struct bought b;
    printf("  %-18s %5s %18s %26s %26s\n", "", "", "weights' error", "outputs' error, local",
           "outputs' error, accum.");
    printf("  %-18s %5s %9s %8s %9s %8s %7s %9s %8s %7s\n", "matrix", "bits", "nearest", "now", "nearest",
           "now", "of it", "nearest", "now", "of it");
    for (size_t i = 0; i < s->n_weights; i++) {
        if (!compare_bought(s, i, &b)) continue;
        printf("  %-18s %5.2f", b.name, b.now->bits);
        print_pair(b.nearest->relative_error, b.now->relative_error, false);
        print_pair(b.local_nearest, b.local, true);
        print_pair(b.all_nearest, b.all, true);
        putchar('\n');
    }
}

static void print_one(const struct comparison *c, const struct compared *s)
{
    const double before = s->nearest->score.kl.mean, now = s->score.kl.mean;
    char text[ERROR_TEXT], error[ERROR_TEXT];
    printf("\n%s, what its method bought beside the same schemes rounded to nearest\n  %s\n", s->scheme,
           s->method);
    if (s->calibration) {
        fputs("  ", stdout);
        print_escaped(s->calibration, strlen(s->calibration));
        putchar('\n');
    }
    printf("  KL %s -> %s nats a token",
           print_with_error(before, moments_error(&s->nearest->score.kl), "+-", error),
           print_with_error(now, moments_error(&s->score.kl), "+-", text));
    if (before > 0) printf(": %.0f %% of it", 100 * now / before);
    printf(", perplexity %.3f -> %.3f, at %.2f bits a weight\n", score_perplexity(&s->nearest->score),
           score_perplexity(&s->score), 8 * (double)s->bytes / (double)s->parameters);
    if (strcmp(s->activations, s->nearest->activations))
        printf("  (rounded to nearest with activations %s)\n", s->nearest->activations);
    if (c->layers)
        print_matrices(s);
    else
        puts("  (--layers shows it matrix by matrix)");
}

void compare_print_bought(const struct comparison *c)
{
    for (size_t i = 1; i < c->n_schemes; i++)
        if (c->schemes[i].done && c->schemes[i].nearest) print_one(c, &c->schemes[i]);
}

/* ---- for programs ---- */

static void add_real(cJSON *object, const char *key, double x)
{
    cJSON_AddItemToObject(object, key, json_real(x));
}

static cJSON *errors_json(double weight, double local, double all)
{
    cJSON *o = cJSON_CreateObject();
    add_real(o, "weight", weight);
    add_real(o, "local", local);
    add_real(o, "accumulated", all);
    return o;
}

static cJSON *nearest_json(const struct compared *s)
{
    const struct compared *n = s->nearest;
    cJSON *o = cJSON_CreateObject(), *matrices = cJSON_CreateArray();
    struct bought b;
    char scheme[SCHEME_TEXT_MAX];
    cJSON_AddStringToObject(o, "activations", n->activations);
    add_real(o, "bits_per_weight", 8 * (double)n->bytes / (double)n->parameters);
    add_real(o, "nll", n->score.nll.mean);
    add_real(o, "perplexity", score_perplexity(&n->score));
    add_real(o, "kl_mean", n->score.kl.mean);
    add_real(o, "kl_stderr", moments_error(&n->score.kl));
    add_real(o, "top1_agreement", score_agreement(&n->score));
    for (size_t i = 0; i < s->n_weights; i++) {
        if (!compare_bought(s, i, &b)) continue;
        cJSON *m = cJSON_CreateObject();
        cJSON_AddItemToObject(m, "name", json_text(b.name, strlen(b.name)));
        cJSON_AddStringToObject(m, "scheme", scheme_print(b.now->scheme, scheme));
        add_real(m, "bits", b.now->bits);
        cJSON_AddItemToObject(m, "nearest",
                              errors_json(b.nearest->relative_error, b.local_nearest, b.all_nearest));
        cJSON_AddItemToObject(m, "now", errors_json(b.now->relative_error, b.local, b.all));
        cJSON_AddItemToArray(matrices, m);
    }
    cJSON_AddItemToObject(o, "matrices", matrices);
    return o;
}

void compare_add_bought(cJSON *scheme, const struct compared *s)
{
    if (!s->method) return;
    cJSON_AddItemToObject(scheme, "method", json_text(s->method, strlen(s->method)));
    cJSON_AddItemToObject(scheme, "calibration",
                          s->calibration ? json_text(s->calibration, strlen(s->calibration))
                                         : cJSON_CreateNull());
    if (s->nearest) cJSON_AddItemToObject(scheme, "nearest", nearest_json(s));
}
