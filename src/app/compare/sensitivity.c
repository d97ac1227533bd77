/* compare --sensitivity: ranks the tensors and finds a mixed model within a budget, for people and
 * programs. */
#include "app/compare/compare.h"
#include "app/tables.h"
#include "base/memory.h"
#include "base/terminal_text.h"
#include "engine/model.h"
#include "methods/plan.h"
#include "model/gpt2q_file.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The levels: the reference, SPEC, and every other scheme of the list that fits a single tensor. */
static size_t list_levels(const struct comparison *c, const char *levels[LEVELS_MAX], size_t *asked)
{
    size_t n = 0;
    levels[n++] = c->schemes->scheme;
    *asked = LEVELS_MAX;
    for (size_t i = 1; i <= c->n_schemes; i++) {
        struct scheme scheme, other;
        const char *spec = i < c->n_schemes ? c->schemes[i].spec : c->sensitivity_to;
        bool known = scheme_parse(spec, &scheme, NULL) || scheme_is_notes(scheme);
        for (size_t k = 0; k < n && !known; k++)
            if (!scheme_parse(levels[k], &other, NULL) && scheme_equal(scheme, other)) {
                known = true;
                if (i == c->n_schemes) *asked = k;
            }
        if (known || n == LEVELS_MAX) continue;
        if (i == c->n_schemes) *asked = n;
        levels[n++] = spec;
    }
    return n;
}

/* Matrices of a file can be taken one by one only if nothing is folded into others. */
static int check_file(const struct comparison *c, const gpt2q_model *model)
{
    const char *method = compare_metadata(model, GPT2Q_KEY_METHOD);
    if (!method || !method_text_folds(method)) return EXIT_DONE;
    return failure(
        "%s: was made by %s, which folds factors into several tensors: no matrix of it can stand alone, as "
        "--sensitivity lets it",
        c->sensitivity_to, method);
}

/* Opens the file that --sensitivity names. *name is what it is called in the ranking. */
static int open_file(const struct comparison *c, gpt2q_model **file, char name[SCHEME_TEXT_MAX])
{
    const struct compared s = {.spec = c->sensitivity_to, .file = true};
    const char *slash = strrchr(s.spec, '/'), *last = slash ? slash + 1 : s.spec;
    terminal_text(name, SCHEME_TEXT_MAX, last, strlen(last));
    int code = compare_open(c, &s, file);
    if (!code) code = check_file(c, *file);
    return code;
}

static int run_sensitivity(struct comparison *c, const gpt2q_model *file, const char *name)
{
    gpt2q_error err;
    const char *levels[LEVELS_MAX];
    size_t count = windows_count(&c->windows), half = (count + 1) / 2 * (size_t)c->windows.window;
    struct windows ranking = c->windows, check = c->windows;
    struct progress_line line = {.what = "sensitivity, models", .silent = c->options.quiet};
    struct progress progress = progress_on(&line);
    struct sensitivity_params p = {.path = c->options.model,
                                   .isa = c->options.isa,
                                   .kv = c->options.kv,
                                   .reference = c->reference,
                                   .levels = levels,
                                   .file = file,
                                   .budget = c->budget,
                                   .ranking = &ranking,
                                   .check = &check,
                                   .progress = &progress};
    if (count < 2)
        return failure("%s: one window is not enough for --sensitivity, which ranks on one half of the text "
                       "and checks on the other",
                       c->text);
    ranking.n = half;
    check.ids += half;
    check.n -= half;
    p.n_threads = (int32_t)c->options.threads;
    levels[0] = c->schemes->scheme;
    levels[1] = name;
    c->sensitivity_level = 1;
    p.n_levels = file ? 2 : list_levels(c, levels, &c->sensitivity_level);
    if (c->sensitivity_level == LEVELS_MAX)
        return usage_error("--sensitivity is '%s' where a scheme for single tensors is expected",
                           c->sensitivity_to);
    gpt2q_status s = sensitivity_run(&p, &c->sensitivity, &err);
    progress_clear(&line);
    if (s == GPT2Q_CANCELLED) return signal_exit_code();
    return s ? failed(&err) : EXIT_DONE;
}

int compare_sensitivity(struct comparison *c)
{
    gpt2q_model *file = NULL;
    char name[SCHEME_TEXT_MAX] = "";
    int code = c->sensitivity_file ? open_file(c, &file, name) : EXIT_DONE;
    if (!code) code = run_sensitivity(c, file, name);
    gpt2q_model_close(file);
    return code;
}

/* ---- ranking ---- */

static size_t ranked_level; /* qsort takes no argument for its comparison */

static double cost_per_byte(const struct sensitive_tensor *t, size_t level)
{
    return t->kl[level] / ((double)t->bytes[0] - (double)t->bytes[level]);
}

static int by_cost(const void *a, const void *b)
{
    double x = cost_per_byte(*(const struct sensitive_tensor *const *)a, ranked_level);
    double y = cost_per_byte(*(const struct sensitive_tensor *const *)b, ranked_level);
    return (x > y) - (x < y);
}

/* Sorts the cheapest first. NULL when memory is out. */
static const struct sensitive_tensor **rank(const struct comparison *c)
{
    const struct sensitivity *s = &c->sensitivity;
    const struct sensitive_tensor **order = mem_array(s->n_tensors, sizeof *order);
    if (!order) return NULL;
    for (size_t i = 0; i < s->n_tensors; i++) order[i] = &s->tensors[i];
    ranked_level = c->sensitivity_level;
    qsort(order, s->n_tensors, sizeof *order, by_cost);
    return order;
}

static void print_result(const char *name, const struct uniform_result *r)
{
    char text[ERROR_TEXT];
    printf("  %-20s %12llu bytes   KL %s\n", name, (unsigned long long)r->bytes,
           print_with_error(r->kl, r->kl_error, " +- ", text));
}

static void print_proposal(const struct comparison *c)
{
    const struct sensitivity *s = &c->sensitivity;
    double parameters = (double)c->schemes->parameters;
    printf(
        "\nwithin %llu bytes (%.2f bits a weight), on the half of the text that was not used for ranking:\n",
        (unsigned long long)c->budget, 8 * (double)c->budget / parameters);
    print_result("mixed", &s->mixed);
    for (size_t i = 0; i < s->n_uniform && i < 3; i++) print_result(s->uniform[i].scheme, &s->uniform[i]);
    if (!s->mixed_wins) {
        printf("best: a uniform scheme\n  -q %s\n", s->uniform[0].scheme);
        return;
    }
    printf("best: the mixed model\n  -q %s", s->levels[s->base]);
    for (size_t t = 0; t < s->n_tensors; t++)
        if (s->tensors[t].level != s->base)
            printf(" --tensor %s=%s", s->tensors[t].name, s->levels[s->tensors[t].level]);
    putchar('\n');
}

void compare_print_sensitivity(const struct comparison *c)
{
    const struct sensitivity *s = &c->sensitivity;
    size_t level = c->sensitivity_level;
    const struct sensitive_tensor **order = rank(c);
    if (!order) return;
    printf("\none tensor at a time in %s, the rest in %s; cheapest first\n", s->levels[level], s->levels[0]);
    printf("  %-28s %12s %12s %16s\n", "tensor", "bytes saved", "KL", "KL per MB saved");
    for (size_t i = 0; i < s->n_tensors; i++)
        printf("  %-28s %12lld %12.3e %16.3e\n", order[i]->name,
               (long long)(order[i]->bytes[0] - order[i]->bytes[level]), order[i]->kl[level],
               1e6 * cost_per_byte(order[i], level));
    mem_free(order);
    if (c->budget) print_proposal(c);
}

/* ---- JSON ---- */

static void add_real(cJSON *object, const char *key, double x)
{
    cJSON_AddItemToObject(object, key, json_real(x));
}

static cJSON *result_json(const struct uniform_result *r)
{
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "scheme", r->scheme);
    add_real(o, "bytes", (double)r->bytes);
    add_real(o, "kl_mean", r->kl);
    add_real(o, "kl_stderr", r->kl_error);
    return o;
}

static cJSON *proposal_json(const struct comparison *c)
{
    const struct sensitivity *s = &c->sensitivity;
    cJSON *o = result_json(s->mixed_wins ? &s->mixed : &s->uniform[0]);
    add_real(o, "budget", (double)c->budget);
    cJSON_AddStringToObject(o, "quantize", s->mixed_wins ? s->levels[s->base] : s->uniform[0].scheme);
    cJSON *overrides = cJSON_AddArrayToObject(o, "overrides");
    for (size_t t = 0; t < s->n_tensors && s->mixed_wins; t++) {
        char text[160];
        if (s->tensors[t].level == s->base) continue;
        snprintf(text, sizeof text, "%s=%s", s->tensors[t].name, s->levels[s->tensors[t].level]);
        cJSON_AddItemToArray(overrides, cJSON_CreateString(text));
    }
    cJSON_AddItemToObject(o, "mixed", result_json(&s->mixed));
    cJSON *uniform = cJSON_AddArrayToObject(o, "uniform");
    for (size_t i = 0; i < s->n_uniform; i++) cJSON_AddItemToArray(uniform, result_json(&s->uniform[i]));
    return o;
}

cJSON *compare_sensitivity_json(const struct comparison *c)
{
    const struct sensitivity *s = &c->sensitivity;
    size_t level = c->sensitivity_level;
    cJSON *o = cJSON_CreateObject();
    const struct sensitive_tensor **order = rank(c);
    cJSON_AddStringToObject(o, "scheme", s->levels[level]);
    cJSON *tensors = cJSON_AddArrayToObject(o, "tensors");
    for (size_t i = 0; order && i < s->n_tensors; i++) {
        cJSON *t = cJSON_CreateObject();
        cJSON_AddStringToObject(t, "name", order[i]->name);
        add_real(t, "bytes_saved", (double)order[i]->bytes[0] - (double)order[i]->bytes[level]);
        add_real(t, "kl_mean", order[i]->kl[level]);
        add_real(t, "kl_per_byte", cost_per_byte(order[i], level));
        cJSON_AddItemToArray(tensors, t);
    }
    if (c->budget) cJSON_AddItemToObject(o, "proposal", proposal_json(c));
    mem_free(order);
    return o;
}
