#include "study/sensitivity.h"
#include "base/memory.h"
#include "engine/model.h"
#include "model/weights_names.h"
#include "study/text_score.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The uniform models with which the mixed one is compared. */
static const char *const uniform_schemes[] = {"f16",
                                              "bf16",
                                              "notes",
                                              "i8:channel:absmax",
                                              "i8:channel:minmax",
                                              "i8:channel:affine",
                                              "i8:input",
                                              "i8:tensor",
                                              "i8:tensor:minmax",
                                              "i8:tensor:affine",
                                              "i8:g64:absmax",
                                              "i8:g32:absmax",
                                              "i4:g32:absmax",
                                              "i4:g32:minmax",
                                              "i4:g32:affine",
                                              "i4:g64:absmax",
                                              "i4:g64:minmax",
                                              "i4:g64:affine",
                                              "i4:g16:absmax",
                                              "i4:g16:minmax",
                                              "i4:g16:affine",
                                              "i4:channel:absmax",
                                              "i4:channel:minmax",
                                              "i4:channel:affine"};
#define N_UNIFORM (sizeof uniform_schemes / sizeof *uniform_schemes)

/* ---- the choice ---- */

/* The best move of one tensor to another level: down, the one that costs least per byte; up, the one that
 * gains most and fits. */
struct move {
    size_t tensor, level;
    double merit;
};

static bool best_move(const struct sensitive_tensor *tensors, size_t n, size_t n_levels, bool down,
                      uint64_t room, struct move *best)
{
    bool found = false;
    for (size_t t = 0; t < n; t++) {
        const struct sensitive_tensor *s = &tensors[t];
        uint64_t now = s->bytes[s->level];
        for (size_t l = 0; l < n_levels; l++) {
            double gain = s->kl[s->level] - s->kl[l]; /* negative: it costs */
            if (down ? s->bytes[l] >= now : !(gain > 0) || (s->bytes[l] > now && s->bytes[l] - now > room))
                continue;
            double merit = down ? gain / (double)(now - s->bytes[l]) : gain;
            if (found && merit <= best->merit) continue;
            *best = (struct move){.tensor = t, .level = l, .merit = merit};
            found = true;
        }
    }
    return found;
}

bool sensitivity_choose(struct sensitive_tensor *tensors, size_t n, size_t n_levels, uint64_t bytes,
                        uint64_t budget, uint64_t *total)
{
    struct move m;
    for (size_t t = 0; t < n; t++) tensors[t].level = 0;
    *total = bytes;
    while (*total > budget) {
        if (!best_move(tensors, n, n_levels, true, 0, &m)) return false;
        *total -= tensors[m.tensor].bytes[tensors[m.tensor].level] - tensors[m.tensor].bytes[m.level];
        tensors[m.tensor].level = m.level;
    }
    while (best_move(tensors, n, n_levels, false, budget - *total,
                     &m)) { /* KL falls at every step, so it ends */
        *total = *total - tensors[m.tensor].bytes[tensors[m.tensor].level] + tensors[m.tensor].bytes[m.level];
        tensors[m.tensor].level = m.level;
    }
    return true;
}

/* ---- measuring ---- */

struct study {
    const struct sensitivity_params *p;
    struct sensitivity *out;
    uint64_t done, total; /* models */
};

static gpt2q_status open_mixed(const struct study *s, const char *spec, const char *const *overrides,
                               size_t n, gpt2q_model **model, gpt2q_error *err)
{
    gpt2q_model_params p = gpt2q_model_params_default();
    p.scheme = spec;
    p.overrides = overrides;
    p.n_overrides = n;
    p.isa = s->p->isa;
    p.n_threads = s->p->n_threads;
    return gpt2q_model_open(s->p->path, &p, model, err);
}

/* Between the tiles of one model only the count of models is shown. */
static bool keep_going(void *user, uint64_t done, uint64_t total)
{
    const struct study *s = user;
    (void)done, (void)total;
    return !s->p->progress || s->p->progress->report(s->p->progress->user, s->done, s->total);
}

static gpt2q_status divergence_of(struct study *s, const gpt2q_model *model, const struct windows *windows,
                                  struct uniform_result *out, gpt2q_error *err)
{
    struct score score;
    double seconds;
    struct progress progress = {.report = keep_going, .user = s};
    struct text_score_params p = {.model = model, .windows = windows, .progress = &progress};
    p.reader.n_threads = s->p->n_threads;
    p.reader.kv = s->p->kv;
    gpt2q_status status = text_divergence(&p, s->p->reference, NULL, &score, &seconds, err);
    snprintf(out->scheme, sizeof out->scheme, "%s", gpt2q_model_scheme(model));
    out->bytes = gpt2q_model_bytes(model);
    out->kl = score.kl.mean;
    out->kl_error = moments_error(&score.kl);
    score_free(&score);
    s->done++;
    return status;
}

static gpt2q_status measure_tensor(struct study *s, struct sensitive_tensor *t, size_t level,
                                   gpt2q_error *err)
{
    char override[WEIGHT_NAME_MAX + SCHEME_TEXT_MAX];
    const char *const overrides[] = {override};
    struct uniform_result result;
    gpt2q_model *model;
    snprintf(override, sizeof override, "%s=%s", t->name, s->out->levels[level]);
    gpt2q_status status = open_mixed(s, s->out->levels[0], overrides, 1, &model, err);
    if (status) return status;
    status = divergence_of(s, model, s->p->ranking, &result, err);
    t->kl[level] = result.kl;
    t->bytes[level] = t->bytes[0] + result.bytes - s->out->reference_bytes;
    gpt2q_model_close(model);
    return status;
}

static uint64_t bytes_in(const gpt2q_model *model, const char *name)
{
    const struct gpt2_weights *w = model_weights(model);
    for (size_t i = 0; i < w->n_tensors; i++)
        if (!strcmp(w->tensors[i].name, name)) return w->tensors[i].bytes;
    return 0;
}

/* Lays one matrix of the file after another into a copy of the reference. */
static gpt2q_status measure_file(struct study *s, gpt2q_error *err)
{
    struct sensitivity *out = s->out;
    struct uniform_result result;
    gpt2q_model *model;
    gpt2q_status status = open_mixed(s, out->levels[0], NULL, 0, &model, err);
    for (size_t t = 0; t < out->n_tensors && !status; t++) {
        struct sensitive_tensor *tensor = &out->tensors[t];
        model_borrow_matrix(model, s->p->file, tensor->name);
        status = divergence_of(s, model, s->p->ranking, &result, err);
        model_borrow_matrix(model, s->p->reference, tensor->name);
        tensor->kl[1] = result.kl;
        tensor->bytes[1] = bytes_in(s->p->file, tensor->name);
    }
    gpt2q_model_close(model);
    return status;
}

static gpt2q_status list_tensors(struct study *s, gpt2q_error *err)
{
    const struct gpt2_weights *w = model_weights(s->p->reference);
    struct sensitivity *out = s->out;
    out->tensors = mem_zarray(w->n_tensors, sizeof *out->tensors);
    if (!out->tensors) return error_memory(err, "the list of tensors", w->n_tensors * sizeof *out->tensors);
    for (size_t i = 0; i < w->n_tensors; i++) {
        struct weight_id id;
        if (weight_parse(w->tensors[i].name, &id) != NAME_WEIGHT || !weight_is_matrix(id.part)) continue;
        struct sensitive_tensor *t = &out->tensors[out->n_tensors];
        t->name = mem_strdup(w->tensors[i].name);
        if (!t->name) return error_memory(err, "the name of a tensor", strlen(w->tensors[i].name));
        t->bytes[0] = w->tensors[i].bytes;
        out->n_tensors++;
    }
    return GPT2Q_OK;
}

static gpt2q_status list_levels(struct study *s, gpt2q_error *err)
{
    struct scheme scheme;
    for (size_t i = 0; i < s->p->n_levels && i < LEVELS_MAX; i++) {
        if (i && s->p->file) {
            snprintf(s->out->levels[s->out->n_levels++], SCHEME_TEXT_MAX, "%s", s->p->levels[i]);
            continue;
        }
        gpt2q_status status = scheme_parse(s->p->levels[i], &scheme, err);
        if (status) return status;
        scheme_print(scheme, s->out->levels[s->out->n_levels++]);
    }
    return GPT2Q_OK;
}

/* ---- the proposal ---- */

static int by_kl(const void *a, const void *b)
{
    double x = ((const struct uniform_result *)a)->kl, y = ((const struct uniform_result *)b)->kl;
    return (x > y) - (x < y);
}

/* A scheme that does not fit the shapes (a group that does not divide) is not a candidate. */
static gpt2q_status try_uniform(struct study *s, const char *spec, gpt2q_error *err)
{
    gpt2q_model *model;
    gpt2q_status status = open_mixed(s, spec, NULL, 0, &model, err);
    if (status == GPT2Q_INVALID_ARGUMENT || status == GPT2Q_UNSUPPORTED) return GPT2Q_OK;
    if (status) return status;
    if (gpt2q_model_bytes(model) <= s->p->budget)
        status = divergence_of(s, model, s->p->check, &s->out->uniform[s->out->n_uniform++], err);
    gpt2q_model_close(model);
    return status;
}

static gpt2q_status run_uniform(struct study *s, gpt2q_error *err)
{
    struct sensitivity *out = s->out;
    gpt2q_status status = GPT2Q_OK;
    out->uniform = mem_zarray(N_UNIFORM + out->n_levels, sizeof *out->uniform);
    if (!out->uniform) return error_memory(err, "the list of schemes", N_UNIFORM * sizeof *out->uniform);
    for (size_t i = 0; i < N_UNIFORM && !status; i++) status = try_uniform(s, uniform_schemes[i], err);
    for (size_t i = 0; i < out->n_levels && !status; i++) {
        bool known = false;
        for (size_t k = 0; k < out->n_uniform; k++)
            known = known || !strcmp(out->uniform[k].scheme, out->levels[i]);
        if (!known) status = try_uniform(s, out->levels[i], err);
    }
    qsort(out->uniform, out->n_uniform, sizeof *out->uniform, by_kl);
    return status;
}

static void choose_base(struct sensitivity *out)
{
    size_t most = 0;
    for (size_t l = 0; l < out->n_levels; l++) {
        size_t count = 0;
        for (size_t t = 0; t < out->n_tensors; t++) count += out->tensors[t].level == l;
        if (count > most) most = count, out->base = l;
    }
}

static gpt2q_status run_mixed(struct study *s, gpt2q_error *err)
{
    struct sensitivity *out = s->out;
    enum { TEXT = WEIGHT_NAME_MAX + SCHEME_TEXT_MAX };
    char *texts = mem_array(out->n_tensors, TEXT);
    const char **overrides = mem_array(out->n_tensors, sizeof *overrides);
    size_t n = 0;
    gpt2q_model *model = NULL;
    gpt2q_status status =
        texts && overrides ? GPT2Q_OK : error_memory(err, "overrides", out->n_tensors * TEXT);
    for (size_t t = 0; t < out->n_tensors && !status; t++) {
        if (out->tensors[t].level == out->base) continue;
        overrides[n] = texts + n * TEXT;
        snprintf(texts + n++ * TEXT, TEXT, "%s=%s", out->tensors[t].name, out->levels[out->tensors[t].level]);
    }
    if (!status) status = open_mixed(s, out->levels[out->base], overrides, n, &model, err);
    if (!status) status = divergence_of(s, model, s->p->check, &out->mixed, err);
    gpt2q_model_close(model);
    mem_free(texts);
    mem_free(overrides);
    return status;
}

static gpt2q_status propose(struct study *s, gpt2q_error *err)
{
    struct sensitivity *out = s->out;
    uint64_t total;
    if (!sensitivity_choose(out->tensors, out->n_tensors, out->n_levels, out->reference_bytes, s->p->budget,
                            &total))
        return error_set(
            err, GPT2Q_INVALID_ARGUMENT,
            "a budget of %llu bytes is less than the %llu that the smallest of these schemes need",
            (unsigned long long)s->p->budget, (unsigned long long)total);
    choose_base(out);
    gpt2q_status status = run_mixed(s, err);
    if (!status) status = run_uniform(s, err);
    out->mixed_wins = !out->n_uniform || out->mixed.kl <= out->uniform[0].kl;
    return status;
}

gpt2q_status sensitivity_run(const struct sensitivity_params *p, struct sensitivity *out, gpt2q_error *err)
{
    struct study s = {.p = p, .out = out};
    *out = (struct sensitivity){.reference_bytes = gpt2q_model_bytes(p->reference)};
    gpt2q_status status = list_levels(&s, err);
    if (!status) status = list_tensors(&s, err);
    s.total = out->n_tensors * (out->n_levels - 1) + (p->budget ? 1 + N_UNIFORM : 0);
    if (!status && p->file) status = measure_file(&s, err);
    for (size_t t = 0; t < out->n_tensors && !status && !p->file; t++)
        for (size_t l = 1; l < out->n_levels && !status; l++)
            status = measure_tensor(&s, &out->tensors[t], l, err);
    if (!status && p->budget) status = propose(&s, err);
    out->ranked = !status;
    return status;
}

void sensitivity_free(struct sensitivity *s)
{
    for (size_t i = 0; i < s->n_tensors; i++) mem_free(s->tensors[i].name);
    mem_free(s->tensors);
    mem_free(s->uniform);
    *s = (struct sensitivity){0};
}
