#include "app/method_options.h"
#include "app/tables.h"
#include "app/measured_text.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "qtensor/format.h"
#include "tokenizer/tokenizer.h"
#include <string.h>
#include <unistd.h>

#define TOKENS_DEFAULT 32768
#define WINDOW_DEFAULT 256

static void set_defaults(struct method_options *o, const char *list)
{
    const struct method_plan d = method_plan_default();
    *o = (struct method_options){.tokens = TOKENS_DEFAULT,
                                 .refine = d.refine,
                                 .hqq_iterations = d.hqq_iterations,
                                 .damp = d.damp,
                                 .qep = d.qep,
                                 .head_damp = d.head_damp,
                                 .smooth_alpha = d.smooth_alpha,
                                 .static_percent = 0,
                                 .list = list};
}

/* All but the list of methods and --static. */
static void add_others(struct option_set *set, struct method_options *o)
{
    const struct option all[] = {
        {0, "calibrate", OPTION_LIST, &o->texts, "FILE",
         "text that the model reads for gptq, awq, smoothquant, imatrix (and --static); repeatable, each "
         "file "
         "an equal "
         "share of the windows",
         0, 0},
        {0, "calibrate-tokens", OPTION_INTEGER, &o->tokens, "N", "tokens of calibration (32768)", 1, 1e9},
        {0, "calibrate-window", OPTION_INTEGER, &o->window, "N",
         "tokens of a window of calibration (256, at most n_positions)", 1, 1e6},
        {0, "damp", OPTION_NUMBER, &o->damp, "F",
         "gptq: damping of H's diagonal, relative to its mean (0.01)", 0, 1e6},
        {0, "act-order", OPTION_STRING, &o->act_order, "on|off",
         "gptq: inputs in the order of their importance, scales beforehand (on)", 0, 0},
        {0, "true-sequential", OPTION_STRING, &o->true_sequential, "on|off",
         "gptq: each layer sees the layers before it quantized, not only the blocks (on)", 0, 0},
        {0, "qep", OPTION_NUMBER, &o->qep, "F",
         "gptq: aim at the full-precision outputs from quantized inputs, 0 to 1 (1; 0: off)", 0, 1},
        {0, "refine", OPTION_INTEGER, &o->refine, "N",
         "gptq: passes of scale refit and coordinate descent afterwards (2)", 0, REFINE_MAX},
        {0, "search", OPTION_STRING, &o->search, "on|off", "gptq: clip search (on where --qep is not 0)", 0,
         0},
        {0, "head-damp", OPTION_NUMBER, &o->head_damp, "F",
         "gptq: more damping of the tied head, for its use as embedding (0.1)", 0, 1e6},
        {0, "awq-sites", OPTION_STRING, &o->awq_sites, "LIST", "awq: which of ln, v and mlp (ln,v,mlp)", 0,
         0},
        {0, "smooth-alpha", OPTION_NUMBER, &o->smooth_alpha, "F",
         "smoothquant: how much of the inputs' range goes to the weights, 0 to 1 (0.5)", 0, 1},
        {0, "hqq-iters", OPTION_INTEGER, &o->hqq_iterations, "N", "hqq: repetitions at most (20)", 1, 1000},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) option_add(set, all[i]);
}

void method_options_add(struct option_set *set, struct method_options *o)
{
    set_defaults(o, "method");
    option_add(set, (struct option){
                        0, "method", OPTION_LIST, &o->methods, "NAME",
                        "how codes are chosen: rtn (the default), mse, imatrix, gptq, hqq; before one of "
                        "these awq or smoothquant; repeatable, left to right",
                        0, 0});
    add_others(set, o);
    option_add(set,
               (struct option){0, "static", OPTION_PERCENT, &o->static_percent, "[PERCENT]",
                               "write one scale per layer input for -a static: the largest magnitude, or "
                               "that percentile (100)",
                               1e-3, 100});
}

void method_options_add_from(struct option_set *set, struct method_options *o)
{
    set_defaults(o, "from");
    option_add(set, (struct option){
                        0, "from", OPTION_LIST, &o->methods, "rtn|mse|imatrix|gptq|hqq|awq|smoothquant|FILE",
                        "where training begins: what a method of quantize leaves (gptq is the best; "
                        "repeatable, left to right; --calibrate names its text), or a .gpt2q file "
                        "(default: the weights as they are)",
                        0, 0});
    add_others(set, o);
}

static int on_or_off(const char *name, const char *text, int *out)
{
    if (!text) return EXIT_DONE;
    if (strcmp(text, "on") && strcmp(text, "off"))
        return usage_error("--%s is '%s' where on or off is expected", name, text);
    *out = !strcmp(text, "on");
    return EXIT_DONE;
}

static int parse_sites(const char *text, int *out)
{
    static const char *const names[] = {"ln", "v", "mlp"};
    if (!text) return EXIT_DONE;
    *out = 0;
    for (const char *at = text; *at;) {
        const size_t n = strcspn(at, ",");
        int found = -1;
        for (int i = 0; i < 3; i++)
            if (strlen(names[i]) == n && !strncmp(at, names[i], n)) found = i;
        if (found < 0)
            return usage_error("--awq-sites is '%s' where a list of ln, v and mlp is expected", text);
        *out |= 1 << found;
        at += n + (at[n] == ',');
    }
    return *out ? EXIT_DONE : usage_error("--awq-sites is empty; a list of ln, v and mlp is expected");
}

static bool plan_has(const struct method_plan *plan, enum method method)
{
    for (int i = 0; i < plan->n_folds; i++)
        if (plan->folds[i] == method) return true;
    return plan->rounding == method;
}

int method_options_check_uses(const struct method_options *o, const struct method_plan *plan)
{
    static const struct {
        const char *name;
        enum method method;
    } readers[] = {{"damp", METHOD_GPTQ},      {"act-order", METHOD_GPTQ},
                   {"qep", METHOD_GPTQ},       {"true-sequential", METHOD_GPTQ},
                   {"refine", METHOD_GPTQ},    {"search", METHOD_GPTQ},
                   {"head-damp", METHOD_GPTQ}, {"awq-sites", METHOD_AWQ},
                   {"hqq-iters", METHOD_HQQ},  {"smooth-alpha", METHOD_SMOOTHQUANT}};
    for (size_t i = 0; i < sizeof readers / sizeof *readers; i++)
        if (option_given(readers[i].name) && !plan_has(plan, readers[i].method))
            return usage_error("--%s changes nothing without --%s %s", readers[i].name, o->list,
                               method_names[readers[i].method]);
    const struct option_use of_text[] = {
        {"calibrate-tokens", o->texts.n, "without --calibrate FILE"},
        {"calibrate-window", o->texts.n, "without --calibrate FILE"},
    };
    return options_check_uses(of_text, sizeof of_text / sizeof *of_text);
}

int method_options_plan(const struct method_options *o, struct method_plan *plan)
{
    gpt2q_error err;
    int act_order = 1, sequential = 1;
    *plan = method_plan_default();
    if (method_plan_parse(plan, o->methods.items, o->methods.n, &err)) return usage_error("%s", err.message);
    int code = on_or_off("act-order", o->act_order, &act_order);
    if (!code) code = on_or_off("true-sequential", o->true_sequential, &sequential);
    if (!code) code = on_or_off("search", o->search, &plan->search);
    if (!code) code = parse_sites(o->awq_sites, &plan->awq_sites);
    if (code) return code;
    plan->act_order = act_order;
    plan->true_sequential = sequential;
    plan->damp = o->damp;
    plan->qep = o->qep;
    plan->head_damp = o->head_damp;
    plan->refine = (int)o->refine;
    plan->smooth_alpha = o->smooth_alpha;
    plan->static_percent = o->static_percent;
    plan->hqq_iterations = (int)o->hqq_iterations;
    if (method_plan_needs_text(plan) && !o->texts.n)
        return usage_error("%s lets the model read a text: --calibrate FILE is needed",
                           plan->n_folds ? method_names[plan->folds[0]]
                           : plan->static_percent > 0 && plan->rounding != METHOD_GPTQ &&
                                   plan->rounding != METHOD_IMATRIX
                               ? "--static"
                               : method_names[plan->rounding]);
    if (!method_plan_needs_text(plan) && o->texts.n)
        return usage_error("%s reads no text: --calibrate changes nothing with it",
                           method_names[plan->rounding]);
    return method_options_check_uses(o, plan);
}

/* ---- running ---- */

struct method_progress {
    struct method_run *run;
    bool json, quiet, terminal, head_shown;
    double started_at, shown_at;
};

static void clear_line(const struct method_progress *s)
{
    if (s->terminal && !s->quiet) fprintf(stderr, "\r\033[K");
}

static bool show_progress(void *user, double done, double total)
{
    struct method_progress *s = user;
    const double now = clock_seconds();
    if (signal_seen()) return false;
    if (s->quiet || !s->terminal || now - s->shown_at < 0.1 || done <= 0) return true;
    s->shown_at = now;
    const double share = done < total ? done / total : 1, left = (now - s->started_at) * (1 - share) / share;
    fprintf(stderr, "\rcalibrating: %.0f %%, %.0f s left\033[K", 100 * share, left);
    return true;
}

static void show_matrix(void *user, const struct matrix_report *r)
{
    struct method_progress *s = user;
    char scheme[SCHEME_TEXT_MAX];
    if (s->json) {
        cJSON *o = cJSON_CreateObject();
        cJSON_AddStringToObject(o, "name", r->name);
        cJSON_AddStringToObject(o, "scheme", scheme_print(r->scheme, scheme));
        cJSON_AddItemToObject(o, "loss_rtn", r->has_loss ? json_real(r->loss_rtn) : cJSON_CreateNull());
        cJSON_AddItemToObject(o, "loss", r->has_loss ? json_real(r->loss) : cJSON_CreateNull());
        if (r->has_loss) cJSON_AddNumberToObject(o, "damping", r->damping);
        cJSON_AddNumberToObject(o, "dead_inputs", r->dead);
        cJSON_AddItemToArray(s->run->reports, o);
    }
    if (s->quiet || (s->json && !r->damping_raised && !r->few_tokens)) return;
    clear_line(s);
    if (r->has_loss) {
        if (!s->head_shown)
            fprintf(stderr, "%-24s %-18s %12s %12s %8s\n", "matrix", "scheme", "loss by rtn", "now", "of it");
        s->head_shown = true;
        fprintf(stderr, "%-24s %-18s %12.5g %12.5g %6.1f %%", r->name, scheme_print(r->scheme, scheme),
                r->loss_rtn, r->loss, r->loss_rtn > 0 ? 100 * r->loss / r->loss_rtn : 0);
    } else {
        fprintf(stderr, "%-24s %-18s", r->name, scheme_print(r->scheme, scheme));
    }
    if (r->dead) fprintf(stderr, "  %d input%s always 0", r->dead, r->dead == 1 ? " is" : "s are");
    if (r->few_tokens) fprintf(stderr, "  fewer tokens than inputs: damping decides");
    if (r->damping_raised) fprintf(stderr, "  H is not positive definite: damping raised to %g", r->damping);
    fputc('\n', stderr);
}

static int open_texts(const struct method_options *o, const char *model, const struct quantizer *q,
                      bool quiet, struct calibration *out)
{
    gpt2q_error err;
    struct tokenizer *tokenizer;
    const int32_t positions = q->bindings.config.n_positions;
    const int window = o->window ? (int)o->window : positions < WINDOW_DEFAULT ? positions : WINDOW_DEFAULT;
    if (window > positions)
        return usage_error("--calibrate-window is %d, but the model has %d positions", window,
                           (int)positions);
    char name[SAFE_NAME];
    if (tokenizer_open(model, &tokenizer, &err)) return failed(&err);
    const struct calibration_params p = {
        .paths = o->texts.items, .n_paths = o->texts.n, .tokens = o->tokens, .window = window};
    gpt2q_status s = calibration_open(&p, tokenizer, q->bindings.config.vocab_size, out, &err);
    tokenizer_free(tokenizer);
    if (s) return failed(&err);
    for (size_t i = 0; i < out->n_texts && !quiet; i++)
        if (out->texts[i].windows < out->texts[i].asked)
            fprintf(stderr, "%s fills %d windows of %d tokens, fewer than the %d asked for\n",
                    safe_name(file_spoken_name(out->texts[i].path), name), out->texts[i].windows, window,
                    out->texts[i].asked);
    return EXIT_DONE;
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* "16384 tokens in windows of 256: NAME sha256 SUM 32 windows, ..." */
static char *print_calibration(const struct calibration *c)
{
    size_t size = 128, n;
    for (size_t i = 0; i < c->n_texts; i++) size += strlen(base_name(c->texts[i].path)) + SHA256_TEXT + 48;
    char *text = mem_alloc(size);
    if (!text) return NULL;
    n = (size_t)snprintf(text, size, "%d tokens in windows of %d:", c->windows * c->window, c->window);
    for (size_t i = 0; i < c->n_texts; i++)
        n += (size_t)snprintf(text + n, size - n, "%s %s sha256 %s %d windows", i ? "," : "",
                              base_name(c->texts[i].path), c->texts[i].sha256, c->texts[i].windows);
    return text;
}

int method_text(const struct method_options *o, const struct method_plan *plan, const char *model, bool quiet,
                const struct quantizer *q, struct method_run *out)
{
    *out = (struct method_run){0};
    if (!method_plan_needs_text(plan)) return EXIT_DONE;
    const int code = open_texts(o, model, q, quiet, &out->text);
    if (code) return code;
    out->calibration = print_calibration(&out->text);
    return out->calibration ? EXIT_DONE : failure("out of memory: metadata");
}

static bool takes_integers(struct scheme s) { return scheme_takes(s, ACTIVATIONS_I8); }

/* Methods choose codes, so some matrix must have them. smoothquant folds its factors into floats, too. */
static int check_codes(const struct method_options *o, const struct method_plan *plan,
                       const struct quantizer *q)
{
    const enum method needs = plan->rounding != METHOD_RTN ? plan->rounding
                              : plan_has(plan, METHOD_AWQ) ? METHOD_AWQ
                                                           : METHOD_RTN;
    char base[SCHEME_TEXT_MAX];
    scheme_print(q->base, base);
    if (needs != METHOD_RTN && !quantizer_any_matrix(q, scheme_has_codes))
        return usage_error("--%s %s changes nothing: with --quantize %s no matrix is held in codes", o->list,
                           method_names[needs], base);
    if (plan->static_percent > 0.0 && !quantizer_any_matrix(q, takes_integers))
        return usage_error("--static changes nothing: with --quantize %s no matrix takes integer activations",
                           base);
    return EXIT_DONE;
}

int method_run(const struct method_options *o, const struct method_plan *plan, const char *model, bool json,
               bool quiet, struct quantizer *q, struct method_run *out)
{
    gpt2q_error err;
    struct method_progress shown = {.run = out,
                                    .json = json,
                                    .quiet = quiet,
                                    .terminal = isatty(STDERR_FILENO),
                                    .started_at = clock_seconds()};
    const struct methods_hooks hooks = {show_matrix, show_progress, &shown};
    const bool reads = method_plan_needs_text(plan);
    int code = check_codes(o, plan, q);
    if (code) return *out = (struct method_run){0}, code;
    code = method_text(o, plan, model, quiet, q, out);
    if (code || method_plan_is_plain(plan)) return code;
    signals_watch(); /* not before: while a text is waited for, a signal ends the program */
    if (json) out->reports = cJSON_CreateArray();
    gpt2q_status s = methods_run(q, plan, reads ? &out->text : NULL, &hooks, &out->result, &err);
    clear_line(&shown);
    if (s == GPT2Q_CANCELLED) return signal_exit_code();
    if (s) return failed(&err);
    out->seconds = clock_seconds() - shown.started_at;
    q->method = method_plan_print(plan, out->method);
    q->calibration = out->calibration;
    q->prepared = out->result.prepared;
    q->static_scales = out->result.static_scales;
    q->factors = out->result.factors;
    return EXIT_DONE;
}

void method_run_json(struct method_run *r, cJSON *doc)
{
    cJSON_AddItemToObject(doc, "method",
                          r->method[0] ? cJSON_CreateString(r->method) : cJSON_CreateString("rtn"));
    cJSON_AddItemToObject(doc, "calibration",
                          r->calibration ? json_text(r->calibration, strlen(r->calibration))
                                         : cJSON_CreateNull());
    if (!r->reports) return;
    cJSON_AddNumberToObject(doc, "method_seconds", r->seconds);
    cJSON_AddItemToObject(doc, "matrices", r->reports);
    r->reports = NULL;
}

void method_run_free(struct method_run *r)
{
    methods_result_free(&r->result);
    calibration_close(&r->text);
    mem_free(r->calibration);
    cJSON_Delete(r->reports);
    *r = (struct method_run){0};
}
