/* gpt2q bench: speed against the machine's limits. This file has the options and makes the plan of tests. */
#include "app/bench/bench.h"
#include "app/bench/neighbours.h"
#include "app/commands.h"
#include "app/common.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/threads.h"
#include "model/locate.h"
#include "model/shape.h"
#include "qtensor/isa.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_PREFILL 512
#define DEFAULT_DECODE  32
#define NUMBERS_MAX     32

struct number_list {
    int32_t items[NUMBERS_MAX];
    int n;
};

static struct {
    const char *shape, *schemes, *prefill, *batch, *threads, *tokenizer;
    struct model_options model; /* bench takes of these -m, -q, -a, --isa, --kv and --quiet */
    int64_t decode, position, repeat, beside;
    bool all_logits, profile, json, csv, markdown;
} opt;

static void options(struct option_set *set)
{
    opt.decode = -1, opt.position = -1, opt.repeat = 5;
    option_add(set, (struct option){0, "shape", OPTION_STRING, &opt.shape,
                                    "gpt2|gpt2-medium|gpt2-large|gpt2-xl|LxDxH",
                                    "synthetic weights of a GPT-2, or of L "
                                    "layers, width D and H heads, instead of a model",
                                    0, 0});
    option_add(set, (struct option){0, "schemes", OPTION_STRING, &opt.schemes, "SPEC[@ACT],...",
                                    "the schemes to compare, each with its activations (default: f32,i8,i4; "
                                    "as stored for a quantized file)",
                                    0, 0});
    option_add(set, (struct option){
                        0, "prefill", OPTION_STRING, &opt.prefill, "N,...",
                        "time prompts of N tokens; without --prefill, --decode, --batch and --position: 512",
                        0, 0});
    option_add(set, (struct option){0, "all-logits", OPTION_FLAG, &opt.all_logits, NULL,
                                    "compute the logits of every token of a prompt, not of the last one only",
                                    0, 0});
    option_add(set,
               (struct option){0, "decode", OPTION_INTEGER, &opt.decode, "N",
                               "time making N tokens, one at a time, in each sequence (0: none; default: 32)",
                               0, 1 << 20});
    option_add(set,
               (struct option){0, "position", OPTION_INTEGER, &opt.position, "P",
                               "fill the cache with P tokens before decoding (default: 64)", 0, 1 << 20});
    option_add(set, (struct option){0, "batch", OPTION_STRING, &opt.batch, "N,...",
                                    "decode N sequences together (default: 1)", 0, 0});
    option_add(set, (struct option){'j', "threads", OPTION_STRING, &opt.threads, "N,...",
                                    "threads (default: OMP_NUM_THREADS, else the cores this process may use)",
                                    0, 0});
    option_add(set, (struct option){0, "tokenizer", OPTION_STRING, &opt.tokenizer, "FILE",
                                    "time tokenizing a text", 0, 0});
    option_add(set, (struct option){0, "repeat", OPTION_INTEGER, &opt.repeat, "R",
                                    "rounds, each of all tests in turn; medians are reported (default: 5)", 1,
                                    1000});
    option_add(set,
               (struct option){0, "beside", OPTION_INTEGER, &opt.beside, "N",
                               "keep N busy neighbours running meanwhile, as on a machine that others use "
                               "(default: 0)",
                               0, NEIGHBOURS_MAX});
    option_add(set,
               (struct option){
                   0, "profile", OPTION_FLAG, &opt.profile, NULL,
                   "also time the parts of a step: each product, attention, norms, head, sampling, scheduler",
                   0, 0});
    option_add(set, (struct option){0, "json", OPTION_FLAG, &opt.json, NULL,
                                    "one JSON document on stdout and nothing else", 0, 0});
    option_add(set, (struct option){0, "csv", OPTION_FLAG, &opt.csv, NULL, "comma-separated values", 0, 0});
    option_add(set,
               (struct option){0, "markdown", OPTION_FLAG, &opt.markdown, NULL, "a Markdown table", 0, 0});
    model_options_pick(set, &opt.model, "model quantize requantize activations isa kv quiet");
}

/* ---- lists ---- */

/* Parses "1,8,32". Returns an exit code. Text NULL gives `otherwise`, or an empty list if that is 0. */
static int parse_numbers(const char *option, const char *text, int32_t max, int32_t otherwise,
                         struct number_list *out)
{
    *out = (struct number_list){.n = 0};
    if (!text) {
        if (otherwise) out->items[out->n++] = otherwise;
        return EXIT_DONE;
    }
    for (const char *p = text;; p++) {
        char *end;
        errno = 0;
        long v = strtol(p, &end, 10);
        if (end == p || (*end && *end != ',') || errno || v < 1 || v > max || *p == ' ' || *p == '+')
            return usage_error("--%s is '%s' where integers from 1 to %d, separated by commas, are expected",
                               option, text, (int)max);
        if (out->n == NUMBERS_MAX) return usage_error("--%s has more than %d numbers", option, NUMBERS_MAX);
        out->items[out->n++] = (int32_t)v;
        p = end;
        if (!*p) return EXIT_DONE;
    }
}

/* Parses one SPEC[@ACT] of --schemes, and cuts it in place. Schemes of the same SPEC share a model. */
static int add_scheme(struct bench_plan *plan, char *spec)
{
    gpt2q_error err;
    struct scheme scheme;
    char *at = strchr(spec, '@');
    if (at) *at++ = 0;
    struct model_options check = {.scheme = spec, .activations = at ? at : opt.model.activations};
    if (scheme_parse(spec, &scheme, &err)) return usage_error("%s", err.message);
    const bool integer = scheme_takes(scheme, ACTIVATIONS_I16);
    if (!at && !integer) check.activations = NULL; /* -a is a default for the schemes that it fits */
    int code = model_options_check(&check), m = 0;
    if (code) return code;
    if (plan->n_schemes == SCHEMES_MAX) return usage_error("--schemes has more than %d schemes", SCHEMES_MAX);
    while (m < plan->n_models) {
        struct scheme other;
        if (!scheme_parse(plan->models[m].spec, &other, NULL) && scheme_equal(scheme, other)) break;
        m++;
    }
    if (m == plan->n_models) plan->models[plan->n_models++].spec = spec;
    plan->schemes[plan->n_schemes++] = (struct bench_scheme){.model = m, .activations = check.activations};
    return EXIT_DONE;
}

/* A .gpt2q file has a scheme of its own. */
static bool is_quantized_file(const char *model)
{
    char *path;
    if (model_locate(model, &path, NULL)) return false;
    bool file = file_exists(path) && !file_is_directory(path);
    mem_free(path);
    return file;
}

static int plan_schemes(struct bench_plan *plan, char *list)
{
    if (!*list && !opt.schemes) { /* as stored */
        plan->n_models = plan->n_schemes = 1;
        plan->schemes[0].activations = opt.model.activations;
        return EXIT_DONE;
    }
    int code = EXIT_DONE;
    for (char *p = list, *next; p && !code; p = next) {
        next = strchr(p, ',');
        if (next) *next++ = 0;
        code = add_scheme(plan, p);
    }
    return code;
}

/* ---- tests ---- */

static void add_tests(struct bench_plan *plan, const struct number_list *prefill,
                      const struct number_list *batch, int32_t decode, int32_t position)
{
    for (int s = 0; s < plan->n_schemes; s++)
        for (int t = 0; t < plan->n_threads; t++) {
            struct bench_test test = {.scheme = s, .limits = t, .threads = plan->threads[t], .batch = 1};
            for (int i = 0; i < prefill->n; i++) {
                test.kind = TEST_PREFILL;
                test.tokens = prefill->items[i];
                plan->tests[plan->n_tests++] = test;
            }
            for (int i = 0; decode && i < batch->n; i++) {
                test.kind = TEST_DECODE;
                test.tokens = decode;
                test.batch = batch->items[i];
                test.position = position;
                plan->tests[plan->n_tests++] = test;
            }
        }
    if (plan->tokenizer)
        plan->tests[plan->n_tests++] = (struct bench_test){.kind = TEST_TOKENIZE, .batch = 1, .threads = 1};
}

/* Whether the options leave the choice of tests to bench. */
static bool names_no_test(void)
{
    return !opt.prefill && opt.decode < 0 && !opt.batch && opt.position < 0 && !opt.tokenizer;
}

/* Tokens to make in each sequence, or 0. */
static int32_t decode_tokens(void)
{
    const bool decodes = names_no_test() || opt.decode >= 0 || opt.batch || opt.position >= 0;
    return !decodes ? 0 : opt.decode >= 0 ? (int32_t)opt.decode : DEFAULT_DECODE;
}

static int plan_tests(struct bench_plan *plan)
{
    struct number_list prefill, batch;
    const bool none = names_no_test();
    const int32_t decode = decode_tokens();
    int code = parse_numbers("prefill", opt.prefill, 1 << 20, none ? DEFAULT_PREFILL : 0, &prefill);
    if (!code) code = parse_numbers("batch", opt.batch, 1 << 14, 1, &batch);
    if (code) return code;
    size_t n = (size_t)plan->n_schemes * (size_t)plan->n_threads * (size_t)(prefill.n + batch.n) + 1;
    plan->tests = mem_zarray(n, sizeof *plan->tests);
    if (!plan->tests) return failure("out of memory: %zu tests", n);
    if (!prefill.n && !decode) plan->n_models = plan->n_schemes = 0; /* tokenizing needs no weights */
    add_tests(plan, &prefill, &batch, decode, opt.position >= 0 ? (int32_t)opt.position : 64);
    if (!plan->n_tests) return usage_error("nothing to do: --prefill, --decode or --tokenizer names a test");
    for (int i = 0; i < plan->n_tests; i++) {
        plan->tests[i].rates.values = mem_array((size_t)plan->repeat, sizeof(double));
        if (!plan->tests[i].rates.values) return failure("out of memory: %d rounds", plan->repeat);
    }
    return EXIT_DONE;
}

/* ---- running ---- */

static int open_text(struct bench_plan *plan)
{
    gpt2q_error err;
    char *path;
    if (!opt.tokenizer) return EXIT_DONE;
    if (file_read_text(opt.tokenizer, MAX_TEXT_BYTES, &plan->text, &plan->text_len, &err))
        return failed(&err);
    if (!plan->text_len)
        return failure("%s: is empty, so there is nothing to tokenize", file_spoken_name(opt.tokenizer));
    if (model_locate(opt.model.model, &path, &err)) return failed(&err);
    gpt2q_status s = tokenizer_open(path, &plan->tokenizer, &err);
    mem_free(path);
    return s ? failed(&err) : EXIT_DONE;
}

static int measure(struct bench_plan *plan)
{
    gpt2q_error err;
    const struct isa *isa;
    if (isa_choose(plan->isa, &isa, &err)) return failed(&err);
    int code = open_text(plan);
    if (!code) code = plan_tests(plan);
    if (code) return code;
    if (machine_create(&plan->machine, isa->name, plan->threads, plan->n_threads, plan->n_models,
                       plan->repeat * plan->n_models, &err))
        return failed(&err);
    code = neighbours_start(plan->beside);
    if (code) return code;
    code = bench_run(plan);
    neighbours_end();
    plan->interrupted = code != EXIT_DONE;
    if (code == EXIT_DONE || code == signal_exit_code())
        bench_report(plan, opt.json       ? BENCH_JSON
                           : opt.csv      ? BENCH_CSV
                           : opt.markdown ? BENCH_MARKDOWN
                                          : BENCH_TABLE);
    return code;
}

static void plan_free(struct bench_plan *plan)
{
    machine_free(&plan->machine);
    for (int i = 0; i < plan->n_tests; i++) mem_free(plan->tests[i].rates.values);
    mem_free(plan->tests);
    tokenizer_free(plan->tokenizer);
    mem_free(plan->text);
}

/* What a run without prompts, without decoding, or without either leaves unread. */
static int check_uses(void)
{
    const bool prefills = opt.prefill || names_no_test(), decodes = decode_tokens() > 0,
               runs = prefills || decodes || !opt.tokenizer;
    const char *no_decoding = "with --decode 0", *no_model = "with --tokenizer alone: no model runs";
    const struct option_use uses[] = {
        {"all-logits", prefills, "without --prefill"},
        {"batch", decodes, no_decoding},
        {"position", decodes, no_decoding},
        {"shape", runs, no_model},
        {"schemes", runs, no_model},
        {"quantize", runs, no_model},
        {"activations", runs, no_model},
        {"kv", runs, no_model},
        {"profile", runs, no_model},
        {"requantize", opt.schemes || opt.model.scheme, "without --schemes or --quantize"}};
    return options_check_uses(uses, sizeof uses / sizeof *uses);
}

static int run(int argc, char **argv)
{
    gpt2q_error err;
    gpt2q_config shape;
    struct number_list threads;
    struct bench_model models[SCHEMES_MAX] = {{0}};
    struct bench_scheme schemes[SCHEMES_MAX] = {{0}};
    if (argc) return usage_error("no argument is expected: '%s'", argv[0]);
    if (opt.json + opt.csv + opt.markdown > 1)
        return usage_error("--json, --csv and --markdown exclude each other");
    if (opt.shape && opt.model.model && !opt.tokenizer)
        return usage_error("--shape and --model exclude each other");
    if (opt.shape && shape_parse(opt.shape, &shape, &err)) return usage_error("%s", err.message);
    if (opt.schemes && opt.model.scheme)
        return usage_error("--quantize and --schemes were given: one of them is expected");
    int code = check_uses();
    if (!code) code = model_options_check(&opt.model);
    if (!code) code = parse_numbers("threads", opt.threads, THREADS_MAX, threads_default(), &threads);
    if (code) return code;
    struct bench_plan plan = {.model_path = opt.model.model,
                              .isa = opt.model.isa,
                              .kv = opt.model.kv,
                              .shape = opt.shape ? &shape : NULL,
                              .shape_name = opt.shape,
                              .models = models,
                              .schemes = schemes,
                              .threads = threads.items,
                              .n_threads = threads.n,
                              .repeat = (int)opt.repeat,
                              .beside = (int)opt.beside,
                              .all_logits = opt.all_logits,
                              .profile = opt.profile,
                              .quiet = opt.model.quiet};
    const char *list = opt.schemes ? opt.schemes : opt.model.scheme;
    if (!list) list = !opt.shape && is_quantized_file(opt.model.model) ? "" : "f32,i8,i4";
    char *copy = mem_strdup(list);
    if (!copy) return failure("out of memory: %zu bytes", strlen(list));
    code = plan_schemes(&plan, copy);
    if (!code) code = measure(&plan);
    plan_free(&plan);
    mem_free(copy);
    return code;
}

const struct command command_bench = {
    .name = "bench",
    .arguments = "",
    .summary = "speed against the machine's limits",
    .description = "Measures how much this machine can read from memory and compute, and how near\n"
                   "prompts and decoding come to that. \"of bound\" is the speed relative to these\n"
                   "limits for the same bytes and operations, cache and attention included. Tests\n"
                   "are interleaved, round by round. Medians are shown. ~ marks a figure whose\n"
                   "rounds differ too much to prove anything.\n",
    .examples = "  gpt2q bench                                  # the default model\n"
                "  gpt2q bench --shape gpt2 --schemes f32,i8@i8 # GPT-2 124M, synthetic weights\n"
                "  gpt2q bench --shape gpt2 --decode 32 --batch 1,8,32 --threads 1,2 --json\n"
                "  gpt2q bench --beside 8 --threads 1,2         # on a busy machine\n",
    .options = options,
    .run = run,
};
