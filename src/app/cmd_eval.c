/* gpt2q eval: how well a model predicts a text, the last words of passages, or another program's logits. */
#include "app/commands.h"
#include "app/measured_text.h"
#include "app/outputs.h"
#include "app/tables.h"
#include "base/json.h"
#include "base/file.h"
#include "base/file_writer.h"
#include "base/memory.h"
#include "kernels/scalar_math.h"
#include "model/locate.h"
#include "study/last_word.h"
#include "study/logits_file.h"
#include "study/text_score.h"
#include <stdio.h>
#include <string.h>

static struct {
    struct model_options model;
    const char *text, *lambada, *logits, *reference;
    int64_t window, stride, limit;
    bool json;
} opt;

static void options(struct option_set *set)
{
    struct option rows[] = {
        {0, "text", OPTION_STRING, &opt.text, "FILE",
         "the text (default: the one that comes with the default model)", 0, 0},
        {0, "window", OPTION_INTEGER, &opt.window, "N", "tokens of a window (default: the model's context)",
         2, 1 << 20},
        {0, "stride", OPTION_INTEGER, &opt.stride, "N",
         "from one window to the next (default: the window); tokens that were predicted before count once", 1,
         1 << 20},
        {0, "limit", OPTION_INTEGER, &opt.limit, "TOKENS", "read only so many tokens (default: all)", 1,
         1e15},
        {0, "lambada", OPTION_STRING, &opt.lambada, "FILE",
         "instead: predict the last word of each text in a file of JSON lines {\"text\": ..}", 0, 0},
        {0, "logits", OPTION_STRING, &opt.logits, "FILE",
         "write the logits of every window (safetensors: input_ids, logits)", 0, 0},
        {0, "reference", OPTION_STRING, &opt.reference, "FILE",
         "compare with the logits in such a file, on its own input_ids", 0, 0},
        {0, "json", OPTION_FLAG, &opt.json, NULL, "one JSON document on stdout and nothing else", 0, 0}};
    memset(&opt, 0, sizeof opt);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) option_add(set, rows[i]);
    model_options_pick(set, &opt.model,
                       "model quantize tensor requantize activations threads isa ctx kv quiet verbose");
}

/* ---- results ---- */

static cJSON *document(const gpt2q_model *model, const char *activations)
{
    cJSON *doc = cJSON_CreateObject();
    const char *name = gpt2q_model_name(model);
    cJSON_AddItemToObject(doc, "model", json_text(name, strlen(name)));
    cJSON_AddStringToObject(doc, "scheme", gpt2q_model_scheme(model));
    cJSON_AddStringToObject(doc, "activations", activations);
    return doc;
}

static void add_real(cJSON *doc, const char *key, double x) { cJSON_AddItemToObject(doc, key, json_real(x)); }

/* On stderr, beside figures of what was read until a signal came. */
static void say_interrupted(bool interrupted, uint64_t n, const char *what)
{
    fflush(stdout);
    if (interrupted && !opt.model.quiet)
        fprintf(stderr, "interrupted: the figures are those of the first %llu %s\n", (unsigned long long)n,
                what);
}

static void print_score_json(cJSON *doc, const char *path, int32_t window, int32_t stride,
                             const struct score *score, double kl_p99, bool interrupted)
{
    cJSON_AddItemToObject(doc, "text", json_text(path, strlen(path)));
    add_real(doc, "tokens", (double)score->nll.n);
    add_real(doc, "window", window);
    add_real(doc, "stride", stride);
    add_real(doc, "nll", score->nll.mean);
    add_real(doc, "nll_stderr", moments_error(&score->nll));
    add_real(doc, "perplexity", score_perplexity(score));
    if (score->kl_rows) {
        add_real(doc, "reference_nll", score->reference_nll.mean);
        add_real(doc, "nll_delta", score->delta.mean);
        add_real(doc, "nll_delta_stderr", moments_error(&score->delta));
        add_real(doc, "kl_mean", score->kl.mean);
        add_real(doc, "kl_stderr", moments_error(&score->kl));
        add_real(doc, "kl_max", score->kl_max);
        add_real(doc, "kl_p99", kl_p99);
        add_real(doc, "top1_agreement", score_agreement(score));
        add_real(doc, "top1_stderr", score_agreement_error(score));
        add_real(doc, "max_difference", score->max_difference);
    }
    json_add_interrupted(doc, interrupted);
    json_print(doc);
}

static void print_score(const char *path, int32_t window, const struct score *score, double kl_p99)
{
    char text[ERROR_TEXT], name[SAFE_NAME];
    double error = moments_error(&score->nll);
    printf("text        %s: %llu tokens predicted in windows of %d\n",
           safe_name(file_spoken_name(path), name), (unsigned long long)score->nll.n, (int)window);
    printf("nll         %.4f +- %.4f\n", score->nll.mean, error);
    printf("perplexity  %.3f +- %.3f\n", score_perplexity(score), score_perplexity(score) * error);
    if (!score->kl_rows) return;
    printf("reference   nll %.4f, perplexity %.3f; nll is %+.6f +- %.6f from it\n", score->reference_nll.mean,
           math_exp(score->reference_nll.mean), score->delta.mean, moments_error(&score->delta));
    printf("KL          mean %s, 99 %% below %.3g, max %.3g\n",
           print_with_error(score->kl.mean, moments_error(&score->kl), " +- ", text), kl_p99, score->kl_max);
    printf("same token  %.2f %% +- %.2f\n", 100 * score_agreement(score), 100 * score_agreement_error(score));
    printf("logits      differ by %.3g at most\n", score->max_difference);
}

/* ---- a text ---- */

struct evaluation {
    const gpt2q_model *model;
    struct windows windows;
    const char *path;
    struct logits_file reference;
    float *rows; /* a tile of the reference */
    struct file_writer writer;
};

static const float *reference_rows(void *user, const struct tile_place *at, gpt2q_error *err)
{
    struct evaluation *e = user;
    size_t size = (size_t)e->windows.window * (size_t)e->reference.vocab * sizeof(float);
    (void)err;
    if (!e->rows) e->rows = mem_alloc(size);
    if (e->rows)
        logits_file_read(&e->reference, at->window, at->first, at->n, e->rows);
    else
        error_memory(err, "a window of the reference", size);
    return e->rows;
}

static gpt2q_status write_rows(void *user, const struct tile_place *at, const float *logits, gpt2q_error *err)
{
    struct evaluation *e = user;
    size_t vocab = (size_t)gpt2q_model_config(e->model)->vocab_size;
    return file_writer_write(&e->writer, logits, (size_t)at->n * vocab * sizeof(float), err);
}

static int report_score(struct evaluation *e, struct score *score, bool interrupted)
{
    gpt2q_error err;
    double kl_p99;
    if (!score->nll.n) return EXIT_DONE; /* interrupted before anything was predicted */
    if (score_kl_quantile(score, 0.99, &kl_p99, &err)) return failed(&err);
    if (opt.json)
        print_score_json(document(e->model, activations_of(e->model, opt.model.activations)), e->path,
                         e->windows.window, e->windows.stride, score, kl_p99, interrupted);
    else
        print_score(e->path, e->windows.window, score, kl_p99);
    say_interrupted(interrupted, score->nll.n, "tokens that were predicted");
    return EXIT_DONE;
}

static int score_text(struct evaluation *e)
{
    gpt2q_error err;
    struct score score;
    double seconds;
    struct tile_hooks hooks = {.user = e};
    struct progress_line line = {.what = "tokens", .silent = opt.model.quiet};
    struct progress progress = progress_on(&line);
    struct text_score_params p = {
        .model = e->model, .windows = &e->windows, .hooks = &hooks, .progress = &progress};
    p.reader.activations = opt.model.activations;
    p.reader.kv = opt.model.kv;
    p.reader.n_threads = (int32_t)opt.model.threads;
    if (opt.reference) hooks.reference = reference_rows;
    if (opt.logits) hooks.written = write_rows;
    signals_watch();
    gpt2q_status s = text_score(&p, &score, &seconds, &err);
    progress_clear(&line);
    int code = s == GPT2Q_CANCELLED ? signal_exit_code() : s ? failed(&err) : EXIT_DONE;
    if (!s || s == GPT2Q_CANCELLED) {
        int reported = report_score(e, &score, s == GPT2Q_CANCELLED);
        if (!code) code = reported;
    }
    if (!s && opt.model.verbose)
        fprintf(stderr, "%.0f tokens/s in passes\n",
                (double)windows_count(&e->windows) * e->windows.window / seconds);
    score_free(&score);
    return code;
}

static int score_and_write(struct evaluation *e)
{
    gpt2q_error err;
    if (!opt.logits) return score_text(e);
    if (file_writer_open(&e->writer, opt.logits, &err)) return failed(&err);
    int code = logits_file_begin(&e->writer, &e->windows, gpt2q_model_config(e->model)->vocab_size, &err)
                   ? failed(&err)
                   : score_text(e);
    if (code)
        file_writer_abort(&e->writer);
    else if (file_writer_commit(&e->writer, &err))
        code = failed(&err);
    return code;
}

static int check_against_model(int32_t n_positions)
{
    int64_t window = opt.window ? opt.window : opt.model.ctx ? opt.model.ctx : n_positions;
    if (window > n_positions)
        return failure("a window of %lld tokens is more than the model's context of %d", (long long)window,
                       (int)n_positions);
    if (opt.model.ctx && window > opt.model.ctx)
        return usage_error("--window is %lld where at most --ctx, %lld, is expected", (long long)window,
                           (long long)opt.model.ctx);
    if (opt.stride > window)
        return usage_error("--stride is %lld where at most the window, %lld, is expected",
                           (long long)opt.stride, (long long)window);
    opt.window = window;
    if (!opt.stride) opt.stride = window;
    return EXIT_DONE;
}

static int eval_text(const gpt2q_model *model)
{
    struct evaluation e = {.model = model, .path = opt.text};
    char *path = NULL;
    int32_t *ids = NULL;
    int code = check_against_model(gpt2q_model_config(model)->n_positions);
    if (!code && !opt.text) code = default_text(opt.model.model, &path);
    if (path) e.path = path;
    if (!code) code = read_text_ids(model, e.path, (size_t)opt.limit, &ids, &e.windows.n, NULL);
    e.windows.ids = ids;
    e.windows.window = (int32_t)opt.window;
    e.windows.stride = (int32_t)opt.stride;
    if (!code) code = check_windows(&e.windows, e.path, opt.limit);
    if (!code && !opt.model.quiet) say_rounded_limit(&e.windows, opt.limit);
    if (!code) code = score_and_write(&e);
    mem_free(ids);
    mem_free(path);
    return code;
}

static int eval_reference(const gpt2q_model *model)
{
    gpt2q_error err;
    struct evaluation e = {.model = model, .path = opt.reference};
    if (logits_file_open(opt.reference, gpt2q_model_config(model), &e.reference, &err)) return failed(&err);
    e.windows = (struct windows){.ids = e.reference.ids,
                                 .n = e.reference.count * (size_t)e.reference.window,
                                 .window = e.reference.window,
                                 .stride = e.reference.window};
    if (opt.limit && (size_t)opt.limit < e.windows.n) e.windows.n = (size_t)opt.limit;
    int code = EXIT_DONE;
    if (e.windows.window < 2)
        code = failure("%s: windows of 1 token predict nothing: at least 2 are expected", opt.reference);
    else if (opt.model.ctx && e.windows.window > opt.model.ctx)
        code = failure("%s: its windows have %d tokens, --ctx allows %lld", opt.reference,
                       (int)e.windows.window, (long long)opt.model.ctx);
    if (!code) code = check_windows(&e.windows, e.path, opt.limit);
    if (!code && !opt.model.quiet) say_rounded_limit(&e.windows, opt.limit);
    if (!code) code = score_and_write(&e);
    mem_free(e.rows);
    logits_file_close(&e.reference);
    return code;
}

/* ---- last words ---- */

static int add_line(struct last_word *w, const char *line, size_t n, const char *where,
                    struct last_word_score *score)
{
    gpt2q_error err;
    cJSON *object;
    if (json_parse(line, n, where, &object, &err)) return failed(&err);
    const cJSON *text = cJSON_GetObjectItemCaseSensitive(object, "text");
    int code = EXIT_DONE;
    if (!cJSON_IsString(text))
        code = failure("%s: a string \"text\" is expected", where);
    else if (last_word_add(w, text->valuestring, strlen(text->valuestring), where, score, &err))
        code = failed(&err);
    cJSON_Delete(object);
    return code;
}

static int add_lines(struct last_word *w, const char *lines, size_t n, struct last_word_score *score)
{
    struct progress_line line = {.what = "bytes of passages", .silent = opt.model.quiet};
    struct progress progress = progress_on(&line);
    size_t number = 0;
    int code = EXIT_DONE;
    signals_watch();
    for (size_t begin = 0, end; begin < n && !code; begin = end + 1) {
        const char *newline = memchr(lines + begin, '\n', n - begin);
        char where[300];
        end = newline ? (size_t)(newline - lines) : n;
        snprintf(where, sizeof where, "%.200s, line %zu", file_spoken_name(opt.lambada), ++number);
        size_t length = end - begin;
        if (length && lines[end - 1] == '\r') length--; /* CRLF ends a line, too */
        if (length) code = add_line(w, lines + begin, length, where, score);
        if (!code && !progress.report(progress.user, end, n)) code = signal_exit_code();
    }
    progress_clear(&line);
    if (!code && !score->examples) code = failure("%s: holds no passage", file_spoken_name(opt.lambada));
    return code;
}

static void report_last_words(const gpt2q_model *model, const struct last_word_score *score, bool interrupted)
{
    double p = (double)score->right / (double)score->examples;
    if (opt.json) {
        cJSON *doc = document(model, activations_of(model, opt.model.activations));
        cJSON_AddItemToObject(doc, "lambada", json_text(opt.lambada, strlen(opt.lambada)));
        add_real(doc, "examples", (double)score->examples);
        add_real(doc, "accuracy", p);
        add_real(doc, "nll", score->nll.mean);
        add_real(doc, "nll_stderr", moments_error(&score->nll));
        json_add_interrupted(doc, interrupted);
        json_print(doc);
        return;
    }
    char name[SAFE_NAME];
    printf("last words  %s: %llu passages\n", safe_name(file_spoken_name(opt.lambada), name),
           (unsigned long long)score->examples);
    printf("accuracy    %.2f %%\n", 100 * p);
    printf("nll         %.4f +- %.4f a word\n", score->nll.mean, moments_error(&score->nll));
}

static int eval_lambada(const gpt2q_model *model)
{
    gpt2q_error err;
    char *lines;
    size_t n;
    struct last_word w;
    struct last_word_score score = {0};
    gpt2q_context_params p = gpt2q_context_params_default();
    p.n_ctx = (int32_t)opt.model.ctx;
    p.n_threads = (int32_t)opt.model.threads;
    p.activations = opt.model.activations;
    p.kv = opt.model.kv;
    if (file_read_text(opt.lambada, (size_t)1 << 30, &lines, &n, &err)) return failed(&err);
    int code = last_word_open(&w, model, &p, &err) ? failed(&err) : EXIT_DONE;
    if (!code) {
        code = add_lines(&w, lines, n, &score);
        if (score.examples && code != EXIT_FAILED) {
            report_last_words(model, &score, code != EXIT_DONE);
            say_interrupted(code != EXIT_DONE, score.examples, "passages");
        }
        last_word_close(&w);
    }
    mem_free(lines);
    return code;
}

/* ---- the command ---- */

static int check_usage(int argc, char **argv)
{
    if (argc) return usage_error("'%s': a text is given by --text FILE", argv[0]);
    if (opt.lambada && (opt.text || opt.reference || opt.logits || opt.window || opt.stride || opt.limit))
        return usage_error("--lambada goes with no other text, window, limit or logits");
    if (opt.reference && (opt.text || opt.window || opt.stride))
        return usage_error(
            "--reference brings its own text and windows: --text, --window and --stride do not go with it");
    return model_options_check_uses(&opt.model);
}

static int check_outputs(void)
{
    struct outputs o = {0};
    char *path = NULL;
    if (!opt.text && !opt.lambada && !opt.reference && default_text(opt.model.model, &path))
        return EXIT_FAILED;
    outputs_read_model(&o, opt.model.model);
    outputs_read(&o, "--text", opt.text);
    outputs_read(&o, "--lambada", opt.lambada);
    outputs_read(&o, "--reference", opt.reference);
    outputs_read(&o, "the text", path);
    outputs_write(&o, "--logits", opt.logits);
    outputs_write(&o, "--json", opt.json ? "-" : NULL);
    const int code = outputs_check(&o);
    mem_free(path);
    return code;
}

static int run(int argc, char **argv)
{
    gpt2q_model *model;
    int code = check_usage(argc, argv);
    if (!code) code = check_outputs();
    if (!code) code = open_model(&opt.model, opt.reference != NULL, &model);
    if (code) return code;
    code = opt.lambada ? eval_lambada(model) : opt.reference ? eval_reference(model) : eval_text(model);
    gpt2q_model_close(model);
    return code;
}

const struct command command_eval = {
    .name = "eval",
    .arguments = "",
    .summary = "perplexity of a text",
    .description = "The text is cut into windows. Each window predicts its tokens from the second\n"
                   "on; with --stride, only tokens that no earlier window has predicted. nll is\n"
                   "the mean negative log-likelihood of a token in nats, perplexity is exp(nll).\n"
                   "--logits writes input_ids, I64 (windows, window), and logits, F32 (windows,\n"
                   "window, vocab_size). --reference takes such a file from any program; (tokens)\n"
                   "and (tokens, vocab_size) are one window. It says how far this model's\n"
                   "distributions are from it: KL(reference || model) in nats over all positions.\n",
    .examples = "  gpt2q eval --window 256 --limit 20000          the held-out text of the default model\n"
                "  gpt2q eval -m gpt2 -q i4 --text wiki.test.raw  another model and text\n"
                "  gpt2q eval --stride 128                        every token with at least 384 before it\n"
                "  gpt2q eval --lambada lambada_test.jsonl        last words of passages\n"
                "  gpt2q eval -q f32 --limit 512 --logits ref.safetensors && gpt2q eval -q i4 --reference "
                "ref.safetensors\n",
    .options = options,
    .run = run,
};
