/* Runs one scheme after the other beside the reference: the score of the text, its own completions, the
 * errors of its weights and layers. Only the reference and one scheme are in memory. */
#include "app/compare/compare.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/terminal_text.h"
#include "base/sha256.h"
#include "engine/model.h"
#include "methods/plan.h"
#include "model/gpt2q_file.h"
#include "study/text_score.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

int compare_open(const struct comparison *c, const struct compared *s, gpt2q_model **out)
{
    struct model_options o = c->options;
    o.scheme = s->file ? NULL : s->spec;
    if (s->file) o.model = s->spec;
    o.activations = NULL; /* belongs to the context */
    if (s == c->schemes || s->file) o.overrides.n = 0;
    int code = open_model(&o, false, out);
    if (code || !s->file || s == c->schemes) return code;
    const gpt2q_config *a = gpt2q_model_config(*out), *b = gpt2q_model_config(c->reference);
    if (a->vocab_size == b->vocab_size && a->n_layer == b->n_layer && a->n_embd == b->n_embd &&
        a->n_positions == b->n_positions)
        return EXIT_DONE;
    gpt2q_model_close(*out);
    return failure("%s: is of another shape than %s: %d layers of %d with %d tokens, not %d of %d with %d",
                   s->spec, gpt2q_model_name(c->reference), (int)a->n_layer, (int)a->n_embd,
                   (int)a->vocab_size, (int)b->n_layer, (int)b->n_embd, (int)b->vocab_size);
}

/* ---- completions ---- */

struct collector {
    struct compared *scheme;
    size_t prompt;
    bool out_of_memory;
    double decode_s;
    size_t decoded;
};

static void collect(void *user, uint64_t request, int32_t sample, const gpt2q_result *r)
{
    struct collector *k = user;
    struct completion *c = &k->scheme->completions[k->prompt++];
    (void)request, (void)sample;
    c->ids = mem_array(r->n_ids, sizeof *c->ids);
    c->text = mem_memdup(r->text, r->text_len);
    if (!c->ids || !c->text) {
        k->out_of_memory = true;
        return;
    }
    if (r->n_ids) memcpy(c->ids, r->ids, r->n_ids * sizeof *c->ids);
    c->n = r->n_ids;
    c->text_len = r->text_len;
    if (r->n_ids > 1) {
        k->decode_s += r->decode_s;
        k->decoded += r->n_ids - 1; /* the first came with the prompt */
    }
}

/* One prompt at a time, so that the rate is a single sequence's. */
static gpt2q_status complete(const struct comparison *c, gpt2q_scheduler *scheduler, struct collector *k,
                             gpt2q_error *err)
{
    for (size_t i = 0; i < c->n_prompts; i++) {
        gpt2q_request r = gpt2q_request_default();
        uint64_t id;
        bool busy = true;
        r.prompt = c->prompts[i];
        r.prompt_len = strlen(c->prompts[i]);
        r.max_tokens = c->max_tokens;
        r.on_end = collect;
        r.user = k;
        gpt2q_status s = gpt2q_scheduler_submit(scheduler, &r, &id, err);
        while (!s && busy) {
            if (signal_seen())
                s = error_set(err, GPT2Q_CANCELLED, "interrupted");
            else
                s = gpt2q_scheduler_step(scheduler, &busy, err);
        }
        if (s) return s;
        if (k->out_of_memory) return error_memory(err, "a completion", (size_t)c->max_tokens);
    }
    return GPT2Q_OK;
}

static void find_divergence(const gpt2q_model *model, const struct completion *reference,
                            struct completion *own)
{
    size_t i = 0, length;
    own->mark = 0;
    while (i < own->n && i < reference->n && own->ids[i] == reference->ids[i])
        if (gpt2q_token_bytes(model, own->ids[i++], &length)) own->mark += length;
    own->first_divergence = i == own->n && i == reference->n ? -1 : (int64_t)i;
    if (own->mark > own->text_len) own->mark = own->text_len;
    while (own->mark && own->mark < own->text_len && (own->text[own->mark] & 0xC0) == 0x80) own->mark--;
}

static gpt2q_status completions(const struct comparison *c, struct compared *s, const gpt2q_model *model,
                                gpt2q_error *err)
{
    size_t longest = 1;
    int32_t n_positions = gpt2q_model_config(model)->n_positions;
    struct collector k = {.scheme = s};
    gpt2q_context *ctx = NULL;
    gpt2q_scheduler *scheduler = NULL;
    gpt2q_context_params p = gpt2q_context_params_default();
    gpt2q_scheduler_params sp = gpt2q_scheduler_params_default();
    for (size_t i = 0; i < c->n_prompts; i++)
        if (strlen(c->prompts[i]) > longest) longest = strlen(c->prompts[i]);
    int64_t room = (int64_t)longest + c->max_tokens; /* a token has at least a byte */
    p.n_ctx = c->options.ctx ? (int32_t)c->options.ctx : room < n_positions ? (int32_t)room : n_positions;
    p.n_threads = (int32_t)c->options.threads;
    p.activations = s->activations;
    p.kv = c->options.kv;
    sp.n_rows = 1;
    s->completions = mem_zarray(c->n_prompts, sizeof *s->completions);
    if (!s->completions) return error_memory(err, "completions", c->n_prompts * sizeof *s->completions);
    gpt2q_status status = gpt2q_context_create(model, &p, &ctx, err);
    if (!status) status = gpt2q_scheduler_create(ctx, &sp, &scheduler, err);
    if (!status) status = complete(c, scheduler, &k, err);
    if (scheduler) gpt2q_scheduler_free(scheduler);
    gpt2q_context_free(ctx);
    if (status) return status;
    s->decode_rate = k.decode_s > 0 ? (double)k.decoded / k.decode_s : (double)NAN;
    for (size_t i = 0; i < c->n_prompts; i++)
        find_divergence(model, &c->schemes->completions[i], &s->completions[i]);
    return GPT2Q_OK;
}

/* ---- text, weights, layers ---- */

static gpt2q_status score(const struct comparison *c, struct compared *s, const gpt2q_model *model,
                          const struct progress *progress, gpt2q_error *err)
{
    double seconds;
    struct text_score_params p = {.model = model, .windows = &c->windows, .progress = progress};
    p.reader.n_threads = (int32_t)c->options.threads;
    p.reader.activations = s->activations;
    p.reader.kv = c->options.kv;
    gpt2q_status status = s == c->schemes ? text_score(&p, &s->score, &seconds, err)
                                          : text_divergence(&p, c->reference, c->schemes->activations,
                                                            &s->score, &seconds, err);
    if (status) return status;
    s->prefill_rate = (double)windows_count(&c->windows) * c->windows.window / seconds;
    return score_kl_quantile(&s->score, 0.99, &s->kl_p99, err);
}

static gpt2q_status ledgers(const struct comparison *c, struct compared *s, const gpt2q_model *model,
                            const struct folding *folded, const struct progress *progress, gpt2q_error *err)
{
    struct ledger_params p = {.reference = c->reference,
                              .model = model,
                              .windows = &c->windows,
                              .folded = folded,
                              .progress = progress};
    p.reference_activations = c->schemes->activations;
    p.reader.n_threads = (int32_t)c->options.threads;
    p.reader.activations = s->activations;
    p.reader.kv = c->options.kv;
    gpt2q_status status = ledger_run(&p, LEDGER_ACCUMULATED, &s->ledgers[LEDGER_ACCUMULATED], err);
    return status ? status : ledger_run(&p, LEDGER_LOCAL, &s->ledgers[LEDGER_LOCAL], err);
}

/* The block matrix whose largest weight is farthest from the usual one. There one scale has most to span. */
static void choose_histogram(struct comparison *c)
{
    double peak = 0;
    for (size_t i = 0; i < c->schemes->n_weights; i++) {
        const struct weight_error *w = &c->schemes->weights[i];
        if (strncmp(w->name, "h.", 2) || !strstr(w->name, ".c_") || !strstr(w->name, ".weight") ||
            w->peak <= peak)
            continue;
        peak = w->peak;
        c->histogram_of = w->name;
        c->histogram_reach = w->largest;
    }
}

/* What both readings need: weights and layers, without what is folded into the model. */
static gpt2q_status tensor_by_tensor(const struct comparison *c, struct compared *s, const gpt2q_model *model,
                                     const struct progress *progress, gpt2q_error *err)
{
    struct folding folding = {0};
    const bool folds = s->method && method_text_folds(s->method);
    gpt2q_status status = folds ? folding_find(c->reference, model, &folding, err) : GPT2Q_OK;
    const struct folding *folded = folds ? &folding : NULL;
    if (!status) status = weight_errors(c->reference, model, folded, &s->weights, &s->n_weights, err);
    if (!status && (c->layers || c->page) && s != c->schemes)
        status = ledgers(c, s, model, folded, progress, err);
    folding_free(&folding);
    return status;
}

static gpt2q_status measure(struct comparison *c, struct compared *s, const gpt2q_model *model,
                            gpt2q_error *err)
{
    char what[SCHEME_TEXT_MAX + 32];
    struct progress_line line = {.what = what, .silent = c->options.quiet};
    struct progress progress = progress_on(&line);
    snprintf(what, sizeof what, "%s, tokens", s->scheme);
    s->bytes = gpt2q_model_bytes(model);
    s->parameters = gpt2q_model_parameters(model);
    s->decode_rate = (double)NAN;
    gpt2q_status status = score(c, s, model, &progress, err);
    snprintf(what, sizeof what, "%s, layers, tokens", s->scheme);
    if (!status) status = tensor_by_tensor(c, s, model, &progress, err);
    progress_clear(&line);
    return status;
}

/* What only a scheme of the list has: completions and a histogram. */
static gpt2q_status measure_listed(struct comparison *c, struct compared *s, const gpt2q_model *model,
                                   gpt2q_error *err)
{
    s->activations = activations_of(model, s->activations);
    const char *slash = strrchr(s->spec, '/'), *name = slash ? slash + 1 : s->spec;
    if (!s->file) name = gpt2q_model_scheme(model);
    terminal_text(s->scheme, sizeof s->scheme, name, strlen(name));
    gpt2q_status status = measure(c, s, model, err);
    if (!status && c->max_tokens && c->n_prompts) status = completions(c, s, model, err);
    if (!status && s == c->schemes) choose_histogram(c);
    if (!status && c->page && c->histogram_of)
        weight_histogram(c->reference, model, c->histogram_of, -c->histogram_reach, c->histogram_reach,
                         &s->histogram);
    return status;
}

/* ---- what a method bought ---- */

const char *compare_metadata(const gpt2q_model *model, const char *key)
{
    const struct gpt2_weights *w = model_weights(model);
    return w->n_files ? safetensors_metadata(&w->files[0], key) : NULL;
}

/* Notes how a file says it was made. */
static gpt2q_status read_method(struct compared *s, const gpt2q_model *model, gpt2q_error *err)
{
    const char *method = compare_metadata(model, GPT2Q_KEY_METHOD),
               *text = compare_metadata(model, GPT2Q_KEY_CALIBRATION);
    if (!s->file || !method) return GPT2Q_OK;
    s->method = mem_strdup(method);
    s->calibration = text ? mem_strdup(text) : NULL;
    return s->method && (s->calibration || !text) ? GPT2Q_OK
                                                  : error_memory(err, "a file's method", strlen(method));
}

/* Opens the original model with every matrix in the scheme that the file holds it in. *out is NULL if there is no such model: the
 * original is quantized itself. */
static gpt2q_status open_nearest(const struct comparison *c, const gpt2q_model *file, gpt2q_model **out,
                                 gpt2q_error *err)
{
    enum { TEXT = WEIGHT_NAME_MAX + SCHEME_TEXT_MAX };
    const struct gpt2_weights *w = model_weights(file);
    char base[SCHEME_TEXT_MAX] = "f32"; /* of integer codes if there are any: they take integer activations */
    gpt2q_model_params p = gpt2q_model_params_default();
    char *texts = mem_array(w->n_tensors, TEXT);
    const char **overrides = mem_array(w->n_tensors, sizeof *overrides);
    gpt2q_status s = texts && overrides ? GPT2Q_OK : error_memory(err, "schemes", w->n_tensors * TEXT);
    *out = NULL;
    for (size_t i = 0; i < w->n_tensors && !s; i++) {
        char scheme[SCHEME_TEXT_MAX];
        struct weight_id id;
        if (weight_parse(w->tensors[i].name, &id) != NAME_WEIGHT || !weight_is_matrix(id.part)) continue;
        if (scheme_takes(w->tensors[i].scheme, ACTIVATIONS_I16)) scheme_print(w->tensors[i].scheme, base);
        overrides[p.n_overrides] = texts + p.n_overrides * TEXT;
        snprintf(texts + p.n_overrides++ * TEXT, TEXT, "%s=%s", w->tensors[i].name,
                 scheme_print(w->tensors[i].scheme, scheme));
    }
    p.scheme = base;
    p.overrides = overrides;
    p.isa = c->options.isa;
    p.n_threads = (int32_t)c->options.threads;
    if (!s) s = gpt2q_model_open(c->options.model, &p, out, err);
    if (s == GPT2Q_UNSUPPORTED || s == GPT2Q_INVALID_ARGUMENT) s = GPT2Q_OK;
    mem_free(texts);
    mem_free(overrides);
    return s;
}

/* Measures what rounding to nearest makes of a file's schemes. Static activations have scales of the file: dynamic ones stand for
 * them. */
static gpt2q_status measure_nearest(struct comparison *c, struct compared *s, const gpt2q_model *model,
                                    gpt2q_error *err)
{
    const double begin = clock_seconds();
    s->nearest = mem_zalloc(sizeof *s->nearest);
    if (!s->nearest) return error_memory(err, "a scheme", sizeof *s->nearest);
    struct compared *n = s->nearest;
    n->activations = strcmp(s->activations, "static") ? s->activations : "i8";
    snprintf(n->scheme, sizeof n->scheme, "%.18s, to nearest", s->scheme);
    gpt2q_status status = measure(c, n, model, err);
    n->seconds = clock_seconds() - begin;
    n->done = !status;
    return status;
}

/* Warns if the text is one that the model was calibrated on. */
static void say_same_text(const struct comparison *c, const struct compared *s)
{
    if (s->calibration && strstr(s->calibration, c->text_sha256))
        fprintf(stderr,
                "gpt2q compare: %s was calibrated on %s itself: its figures are better than on other texts\n",
                s->spec, file_spoken_name(c->text));
}

/* Measures a scheme and, beside a method, rounding to nearest. Closes the model unless it is the reference. */
static gpt2q_status measure_all(struct comparison *c, struct compared *s, gpt2q_model *model,
                                gpt2q_error *err)
{
    gpt2q_model *nearest = NULL;
    const bool methods = s->method && strncmp(s->method, "rtn", 3) != 0 && !c->schemes->file;
    gpt2q_status status = measure_listed(c, s, model, err);
    if (!status && methods) status = open_nearest(c, model, &nearest, err);
    if (model != c->reference) gpt2q_model_close(model);
    if (!status && nearest) status = measure_nearest(c, s, nearest, err);
    gpt2q_model_close(nearest);
    return status;
}

static int run_scheme(struct comparison *c, struct compared *s)
{
    gpt2q_error err;
    gpt2q_model *model;
    double begin = clock_seconds();
    int code = EXIT_DONE;
    if (s == c->schemes)
        model = c->reference;
    else
        code = compare_open(c, s, &model);
    if (code) return code;
    gpt2q_status status = read_method(s, model, &err);
    if (!status) {
        say_same_text(c, s);
        status = measure_all(c, s, model, &err);
    } else if (model != c->reference) {
        gpt2q_model_close(model);
    }
    s->seconds = clock_seconds() - begin;
    if (status == GPT2Q_CANCELLED) return signal_exit_code();
    if (status) return failed(&err);
    s->done = true;
    return EXIT_DONE;
}

int compare_run(struct comparison *c)
{
    for (size_t i = 0; i < c->n_schemes; i++) {
        int code = run_scheme(c, &c->schemes[i]);
        if (code) return code;
    }
    return EXIT_DONE;
}

static void free_compared(const struct comparison *c, struct compared *s)
{
    for (size_t p = 0; s->completions && p < c->n_prompts; p++) {
        mem_free(s->completions[p].ids);
        mem_free(s->completions[p].text);
    }
    mem_free(s->completions);
    mem_free(s->weights);
    mem_free(s->method);
    mem_free(s->calibration);
    score_free(&s->score);
    for (int r = 0; r < LEDGER_READINGS; r++) ledger_free(&s->ledgers[r]);
    if (s->nearest) free_compared(c, s->nearest);
    mem_free(s->nearest);
}

void compare_free(struct comparison *c)
{
    for (size_t i = 0; i < c->n_schemes; i++) free_compared(c, &c->schemes[i]);
    sensitivity_free(&c->sensitivity);
    gpt2q_model_close(c->reference);
}
