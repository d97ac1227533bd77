/* gpt2q compare: what did quantization do to my model? */
#include "app/commands.h"
#include "app/compare/compare.h"
#include "app/outputs.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/text.h"
#include <stdio.h>
#include <string.h>

#define DEFAULT_SCHEMES "f32,i8,i4,notes"

static struct {
    struct model_options model;
    const char *schemes, *text, *csv, *html, *sensitivity;
    double budget;
    int64_t max_tokens, window, limit;
    bool layers, json;
} opt;

static void options(struct option_set *set)
{
    struct option rows[] = {
        {0, "schemes", OPTION_STRING, &opt.schemes, "SPEC|FILE[@ACT],..",
         "how weights are held, or a .gpt2q file, and with which activations; the first is the reference "
         "(default: " DEFAULT_SCHEMES ")",
         0, 0},
        {'n', "max-tokens", OPTION_INTEGER, &opt.max_tokens, "N",
         "tokens of each completion, greedy (default: 32)", 0, 1 << 20},
        {0, "text", OPTION_STRING, &opt.text, "FILE",
         "text for perplexity and divergence (default: the one that comes with the default model)", 0, 0},
        {0, "window", OPTION_INTEGER, &opt.window, "N", "tokens of a window of the text (default: 256)", 2,
         1 << 20},
        {0, "limit", OPTION_INTEGER, &opt.limit, "TOKENS", "read only so many tokens (default: 2048)", 1,
         1e15},
        {0, "layers", OPTION_FLAG, &opt.layers, NULL,
         "the error of every intermediate of the forward pass: local and accumulated", 0, 0},
        {0, "html", OPTION_STRING, &opt.html, "FILE",
         "write a page with texts and plots; it has the layers too", 0, 0},
        {0, "sensitivity", OPTION_STRING, &opt.sensitivity, "SPEC|FILE",
         "hold one tensor at a time in SPEC, or as a .gpt2q file has it, and rank them by what it costs", 0,
         0},
        {0, "budget", OPTION_NUMBER, &opt.budget, "BYTES|BITS",
         "with --sensitivity: the best mixed model of at most so many bytes (up to 32: bits a weight)", 0.5,
         1e15},
        {0, "csv", OPTION_STRING, &opt.csv, "FILE", "write the figures, a line per scheme", 0, 0},
        {0, "json", OPTION_FLAG, &opt.json, NULL, "one JSON document on stdout and nothing else", 0, 0}};
    memset(&opt, 0, sizeof opt);
    opt.schemes = DEFAULT_SCHEMES;
    opt.max_tokens = 32;
    opt.limit = 2048;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) option_add(set, rows[i]);
    model_options_pick(set, &opt.model, "model tensor requantize activations threads isa ctx kv quiet");
}

/* Whether it names a quantized model. A SPEC is never one: a file called "i8" is "./i8". */
static bool names_file(const char *word)
{
    struct scheme scheme;
    if (!scheme_parse(word, &scheme, NULL)) return false;
    return strchr(word, '/') || file_exists(word) || text_ends_with(word, ".gpt2q");
}

/* Splits "i8@f32" in place. -a holds for schemes that can have integer activations. */
static int parse_scheme(char *word, struct compared *out)
{
    gpt2q_error err;
    struct scheme scheme;
    char *at = strrchr(word, '@');
    if (at && strchr(at, '/')) at = NULL; /* part of a path */
    if (at) *at = '\0';
    out->spec = word;
    out->file = names_file(word);
    if (out->file) {
        out->activations = at ? at + 1 : opt.model.activations;
        return model_options_check(&(struct model_options){.activations = out->activations});
    }
    if (scheme_parse(word, &scheme, &err)) return usage_error("%s", err.message);
    const bool integer = scheme_takes(scheme, ACTIVATIONS_I16);
    struct model_options check = {.scheme = word,
                                  .activations = at        ? at + 1
                                                 : integer ? opt.model.activations
                                                           : NULL};
    out->activations = check.activations;
    return model_options_check(&check);
}

static int parse_schemes(char *list, struct compared *schemes, size_t *n)
{
    int code = EXIT_DONE;
    *n = 0;
    for (char *word = list, *comma; word && !code; word = comma ? comma + 1 : NULL) {
        comma = strchr(word, ',');
        if (comma) *comma = '\0';
        if (*n == SCHEMES_MAX) return usage_error("--schemes names more than %d schemes", SCHEMES_MAX);
        code = parse_scheme(word, &schemes[(*n)++]);
    }
    return code;
}

static int choose_window(const gpt2q_config *config, int32_t *window)
{
    int64_t n = opt.window ? opt.window : config->n_positions < 256 ? config->n_positions : 256;
    if (n > config->n_positions)
        return failure("a window of %lld tokens is more than the model's context of %d", (long long)n,
                       (int)config->n_positions);
    *window = (int32_t)n;
    return EXIT_DONE;
}

/* Reads the ids of the text with the first scheme's model: all schemes have its vocabulary. */
static int read_text(struct comparison *c, int32_t **ids)
{
    gpt2q_model *model;
    int code = compare_open(c, c->schemes, &model);
    if (code) return code;
    code = choose_window(gpt2q_model_config(model), &c->windows.window);
    c->windows.stride = c->windows.window;
    if (!code) code = read_text_ids(model, c->text, (size_t)opt.limit, ids, &c->windows.n, c->text_sha256);
    c->windows.ids = *ids;
    if (!code) code = check_windows(&c->windows, c->text, opt.limit);
    if (!code && !opt.model.quiet) say_rounded_limit(&c->windows, opt.limit);
    c->reference = model;
    return code;
}

/* On stderr, beside figures of what was measured until a signal came. */
static void say_interrupted(const struct comparison *c)
{
    size_t done = 0;
    for (size_t i = 0; i < c->n_schemes; i++) done += c->schemes[i].done;
    fflush(stdout);
    if (c->interrupted && !opt.model.quiet)
        fprintf(stderr, "interrupted: %zu of %zu schemes are measured\n", done, c->n_schemes);
}

static int report(const struct comparison *c)
{
    const bool all = c->schemes[c->n_schemes - 1].done; /* an interrupted run writes no file */
    int code = opt.csv && all ? compare_write_csv(c, opt.csv) : EXIT_DONE;
    if (!code && opt.html && all) code = compare_write_html(c, opt.html);
    if (opt.json) {
        json_print(compare_json(c));
    } else {
        compare_print(c);
        if (c->sensitivity.ranked) compare_print_sensitivity(c);
    }
    say_interrupted(c);
    return code;
}

static int check_outputs(const struct comparison *c)
{
    struct outputs o = {0};
    outputs_read_model(&o, opt.model.model);
    for (size_t i = 0; i < c->n_schemes; i++)
        if (c->schemes[i].file) outputs_read(&o, "a model of --schemes", c->schemes[i].spec);
    if (c->sensitivity_file) outputs_read(&o, "the model of --sensitivity", c->sensitivity_to);
    outputs_read(&o, "the text", c->text);
    outputs_write(&o, "--csv", opt.csv);
    outputs_write(&o, "--html", opt.html);
    outputs_write(&o, "--json", opt.json ? "-" : NULL);
    return outputs_check(&o);
}

/* What only schemes beside the reference have, and what only completions need. */
static int check_uses(const struct comparison *c, bool prompts)
{
    const bool several = c->n_schemes > 1;
    const struct option_use uses[] = {
        {"layers", several, "with one scheme: there is nothing to compare it with"},
        {"tensor", several, "with one scheme: the reference is not mixed"},
        {"ctx", opt.max_tokens, "with --max-tokens 0: nothing is completed"}};
    if (prompts && !opt.max_tokens)
        return usage_error("'%s': a prompt is completed by at least one token, and --max-tokens is 0",
                           c->prompts[0]);
    return options_check_uses(uses, sizeof uses / sizeof *uses);
}

static int compare(struct comparison *c)
{
    char *path = NULL;
    int32_t *ids = NULL;
    int code = opt.text ? EXIT_DONE : default_text(opt.model.model, &path);
    c->text = opt.text ? opt.text : path;
    if (!code) code = check_outputs(c);
    if (!code) code = read_text(c, &ids);
    if (!code) {
        c->name = gpt2q_model_name(c->reference);
        signals_watch();
        code = compare_run(c);
        if (!code && c->sensitivity_to) {
            double bits = (double)gpt2q_model_parameters(c->reference) / 8;
            c->budget = (uint64_t)(opt.budget > 32 ? opt.budget : opt.budget * bits);
            code = compare_sensitivity(c);
        }
        if (code == EXIT_DONE || code > EXIT_USAGE) { /* what is done is shown, also after an interruption */
            c->interrupted = code != EXIT_DONE;
            int reported = report(c);
            if (!code) code = reported;
        }
    }
    compare_free(c);
    mem_free(ids);
    mem_free(path);
    return code;
}

static int run(int argc, char **argv)
{
    static const char *const prompts[] = {"The quick brown fox jumped over the", "Once upon a time"};
    static struct compared schemes[SCHEMES_MAX];
    struct comparison c = {.prompts = argc ? (const char *const *)argv : prompts,
                           .n_prompts = argc ? (size_t)argc : sizeof prompts / sizeof *prompts,
                           .max_tokens = (int32_t)opt.max_tokens,
                           .layers = opt.layers,
                           .sensitivity_to = opt.sensitivity,
                           .page = opt.html != NULL,
                           .schemes = schemes};
    c.sensitivity_file = opt.sensitivity && names_file(opt.sensitivity);
    if (opt.budget > 0 && c.sensitivity_file)
        return usage_error("--budget mixes schemes: with it --sensitivity takes a SPEC, not a file");
    if (opt.budget > 0 && !opt.sensitivity) return usage_error("--budget goes with --sensitivity SPEC");
    if (opt.sensitivity && opt.model.overrides.n)
        return usage_error("--sensitivity chooses the scheme of every tensor: --tensor does not go with it");
    gpt2q_error err;
    struct scheme sensitivity;
    if (opt.sensitivity && !c.sensitivity_file && scheme_parse(opt.sensitivity, &sensitivity, &err))
        return usage_error("%s", err.message);
    struct model_options without = opt.model;
    without.activations = NULL; /* checked with each scheme */
    int code = model_options_check(&without);
    if (code) return code;
    char *list = mem_strdup(opt.schemes);
    if (!list) return failure("out of memory: the list of schemes");
    code = parse_schemes(list, schemes, &c.n_schemes);
    c.options = opt.model;
    if (!code) code = check_uses(&c, argc > 0);
    if (!code) code = compare(&c);
    mem_free(list);
    return code;
}

const struct command command_compare = {
    .name = "compare",
    .arguments = "[PROMPT]...",
    .summary = "full precision against quantized",
    .description = "Every scheme completes the same prompts with a text of its own. It also reads\n"
                   "the same text as the first scheme, the reference. ppl is the perplexity of the\n"
                   "text. nll - reference's is paired, token by token, so its standard error is\n"
                   "small if both err on the same tokens. KL is KL(reference || scheme) over all\n"
                   "positions. same token says how often both find the same token likeliest.\n"
                   "prefill/s is the speed of reading the text with all logits, decode/s that of\n"
                   "writing one sequence. bytes counts all tensors, scales and padding included.\n"
                   "\n"
                   "Beside a file that a method made, its schemes rounded to nearest are measured,\n"
                   "too. So one sees what the method bought, with --layers and --html matrix by\n"
                   "matrix. Factors that awq and smoothquant folded in are taken out of its errors.\n",
    .examples =
        "  gpt2q compare                                           the default model, the default schemes\n"
        "  gpt2q compare --schemes f32,i8,i8@i8,i4:g32:affine -n 48 \"Once upon a time\"\n"
        "  gpt2q compare --layers --schemes f32,i4                 where does the error come from?\n"
        "  gpt2q compare --tensor 'wte.weight=i8' --schemes f32,i4 a mixed model\n"
        "  gpt2q compare --schemes f32,i4,gptq.gpt2q,awq.gpt2q     what did a method buy?\n"
        "  gpt2q compare --html page.html                          a page with plots\n"
        "  gpt2q compare --schemes f32,i8 --sensitivity i4 --budget 6  the best model of 6 bits a weight\n"
        "  gpt2q compare -m gpt2 --text wiki.test.raw --window 1024 --csv gpt2.csv\n",
    .options = options,
    .run = run,
};
