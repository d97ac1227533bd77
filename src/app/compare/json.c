/* The comparison for programs: JSON and CSV. */
#include "app/compare/compare.h"
#include "base/file_writer.h"
#include <math.h>
#include <string.h>

static void add_real(cJSON *object, const char *key, double x)
{
    cJSON_AddItemToObject(object, key, json_real(x));
}
static cJSON *string_json(const char *s) { return json_text(s, strlen(s)); }

static cJSON *completion_json(const struct completion *k)
{
    cJSON *o = cJSON_CreateObject();
    cJSON_AddItemToObject(o, "ids", json_ids(k->ids, k->n));
    cJSON_AddItemToObject(o, "text", json_text(k->text, k->text_len));
    add_real(o, "first_divergence", k->first_divergence < 0 ? (double)NAN : (double)k->first_divergence);
    return o;
}

static cJSON *weights_json(const struct compared *s)
{
    cJSON *array = cJSON_CreateArray();
    char text[SCHEME_TEXT_MAX];
    for (size_t i = 0; i < s->n_weights; i++) {
        const struct weight_error *w = &s->weights[i];
        cJSON *o = cJSON_CreateObject();
        cJSON_AddItemToObject(o, "name", string_json(w->name));
        cJSON_AddStringToObject(o, "scheme", scheme_print(w->scheme, text));
        add_real(o, "bytes", (double)w->bytes);
        add_real(o, "relative_error", w->relative_error);
        add_real(o, "mean_error", w->mean_error);
        add_real(o, "max_error", w->max_error);
        cJSON_AddItemToArray(array, o);
    }
    return array;
}

static cJSON *layers_json(const struct compared *s)
{
    cJSON *array = cJSON_CreateArray();
    for (int r = 0; r < LEDGER_READINGS; r++) {
        for (size_t i = 0; i < s->ledgers[r].n; i++) {
            const struct ledger_line *l = &s->ledgers[r].lines[i];
            cJSON *o = cJSON_CreateObject();
            cJSON_AddStringToObject(o, "name", l->name);
            cJSON_AddStringToObject(o, "reading", ledger_reading_name((enum ledger_reading)r));
            add_real(o, "relative_error", ledger_relative_error(l));
            add_real(o, "cosine", ledger_cosine(l));
            add_real(o, "snr_db", ledger_snr_db(l));
            cJSON_AddItemToArray(array, o);
        }
    }
    return array;
}

/* The scheme of each tensor, where it does not follow from the scheme's name. */
static void add_mixture(cJSON *o, const struct compared *s)
{
    char text[SCHEME_TEXT_MAX];
    if (strcmp(s->scheme, "mixed") != 0) return;
    cJSON *tensors = cJSON_AddObjectToObject(o, "tensors");
    for (size_t i = 0; i < s->n_weights; i++)
        cJSON_AddStringToObject(tensors, s->weights[i].name, scheme_print(s->weights[i].scheme, text));
}

struct figure {
    const char *key;
    double value;
};
#define N_FIGURES 17
/* The figures of a scheme in the order of the CSV columns. Paired differences are from the reference,
 * token by token. */
static void figures_of(const struct compared *s, struct figure f[N_FIGURES])
{
    const struct score *score = &s->score;
    const struct figure all[N_FIGURES] = {
        {"bytes", (double)s->bytes},
        {"bits_per_weight", 8 * (double)s->bytes / (double)s->parameters},
        {"nll", score->nll.mean},
        {"nll_stderr", moments_error(&score->nll)},
        {"nll_delta", score->delta.mean},
        {"nll_delta_stderr", moments_error(&score->delta)},
        {"perplexity", score_perplexity(score)},
        {"perplexity_stderr", score_perplexity(score) * moments_error(&score->nll)},
        {"kl_mean", score->kl.mean},
        {"kl_stderr", moments_error(&score->kl)},
        {"kl_max", score->kl_max},
        {"kl_p99", s->kl_p99},
        {"top1_agreement", score_agreement(score)},
        {"top1_stderr", score_agreement_error(score)},
        {"decode_tokens_per_s", s->decode_rate},
        {"prefill_tokens_per_s", s->prefill_rate},
        {"seconds", s->seconds}};
    memcpy(f, all, sizeof all);
}

static cJSON *scheme_json(const struct comparison *c, const struct compared *s)
{
    cJSON *o = cJSON_CreateObject();
    struct figure f[N_FIGURES];
    cJSON_AddStringToObject(o, "scheme", s->scheme);
    cJSON_AddStringToObject(o, "activations", s->activations);
    if (compare_rounds_levels(s)) cJSON_AddStringToObject(o, "levels", "int8");
    add_mixture(o, s);
    compare_add_bought(o, s);
    cJSON *list = cJSON_AddArrayToObject(o, "completions");
    for (size_t i = 0; s->completions && i < c->n_prompts; i++)
        cJSON_AddItemToArray(list, completion_json(&s->completions[i]));
    figures_of(s, f);
    for (size_t i = 0; i < N_FIGURES; i++) add_real(o, f[i].key, f[i].value);
    cJSON_AddItemToObject(o, "weights", weights_json(s));
    cJSON_AddItemToObject(o, "layers", layers_json(s));
    return o;
}

cJSON *compare_json(const struct comparison *c)
{
    cJSON *doc = cJSON_CreateObject();
    cJSON_AddItemToObject(doc, "model", string_json(c->name));
    cJSON *prompts = cJSON_AddArrayToObject(doc, "prompts");
    for (size_t i = 0; i < c->n_prompts; i++) cJSON_AddItemToArray(prompts, string_json(c->prompts[i]));
    cJSON_AddItemToObject(doc, "text", string_json(c->text));
    add_real(doc, "tokens", (double)(windows_count(&c->windows) * (size_t)c->windows.window));
    add_real(doc, "window", c->windows.window);
    cJSON *schemes = cJSON_AddArrayToObject(doc, "schemes");
    for (size_t i = 0; i < c->n_schemes; i++)
        if (c->schemes[i].done) cJSON_AddItemToArray(schemes, scheme_json(c, &c->schemes[i]));
    if (c->sensitivity.ranked) cJSON_AddItemToObject(doc, "sensitivity", compare_sensitivity_json(c));
    json_add_interrupted(doc, c->interrupted);
    return doc;
}

/* A field of CSV (RFC 4180): the name of a file may hold a comma. */
static void put_csv(FILE *f, const char *text)
{
    if (!strpbrk(text, ",\"")) {
        fputs(text, f);
        return;
    }
    fputc('"', f);
    for (const char *c = text; *c; c++) fputs(*c == '"' ? "\"\"" : (char[]){*c, 0}, f);
    fputc('"', f);
}

int compare_write_csv(const struct comparison *c, const char *path)
{
    gpt2q_error err;
    struct file_writer w;
    struct figure f[N_FIGURES];
    if (file_writer_open(&w, path, &err)) return failed(&err);
    figures_of(c->schemes, f);
    fputs("scheme,activations", w.stream);
    for (size_t i = 0; i < N_FIGURES; i++) fprintf(w.stream, ",%s", f[i].key);
    fputc('\n', w.stream);
    for (size_t k = 0; k < c->n_schemes; k++) {
        const struct compared *s = &c->schemes[k];
        if (!s->done) continue;
        put_csv(w.stream, s->scheme);
        fprintf(w.stream, ",%s", s->activations);
        figures_of(s, f);
        for (size_t i = 0; i < N_FIGURES; i++) {
            if (isfinite(f[i].value))
                fprintf(w.stream, ",%.10g", f[i].value);
            else
                fputc(',', w.stream); /* nothing was measured */
        }
        fputc('\n', w.stream);
    }
    return file_writer_commit(&w, &err) ? failed(&err) : EXIT_DONE;
}
