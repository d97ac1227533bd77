/* gpt2q quantize: a model to a .gpt2q or GGUF file, and to float32 for other tools. */
#include "app/commands.h"
#include "app/common.h"
#include "app/measured_text.h"
#include "app/method_options.h"
#include "app/outputs.h"
#include "app/tables.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/threads.h"
#include "model/config.h"
#include "model/gguf_encode.h"
#include "model/gpt2q_read.h"
#include "model/locate.h"
#include "model/weights_schemes.h"
#include "qtensor/isa.h"
#include "quantize/export.h"
#include "quantize/model_write.h"
#include <stdio.h>
#include <string.h>

static struct {
    struct model_options model;
    struct method_options method;
    const char *output, *directory, *gguf_type;
    bool json, force;
} opt;

static void options(struct option_set *set)
{
    option_add(set, (struct option){'o', "output", OPTION_STRING, &opt.output, "FILE",
                                    "the .gpt2q file to write, or a GGUF file where the name ends in .gguf",
                                    0, 0});
    option_add(
        set,
        (struct option){
            0, "export", OPTION_STRING, &opt.directory, "DIR",
            "write the dequantized weights as a Hugging Face directory, float32, for other tools to judge", 0,
            0});
    option_add(set, (struct option){0, "gguf-type", OPTION_STRING, &opt.gguf_type,
                                    "f32|f16|bf16|q8_0|q4_0|q4_1|q5_0|q5_1",
                                    "round the matrices of a GGUF file to this type as llama-quantize does, "
                                    "to the same bytes, instead of -q",
                                    0, 0});
    option_add(set, (struct option){0, "force", OPTION_FLAG, &opt.force, NULL,
                                    "write a GGUF file that other programs would read wrongly, for want of a "
                                    "key for this model's activation function or attention",
                                    0, 0});
    option_add(set, (struct option){0, "json", OPTION_FLAG, &opt.json, NULL,
                                    "one JSON document on stdout and nothing else", 0, 0});
    method_options_add(set, &opt.method);
    model_options_pick(set, &opt.model, "model quantize tensor requantize threads isa quiet");
}

/* What converting writes and reports. */
struct conversion {
    const char *path; /* of the model */
    struct quantizer quantizer;
    struct method_plan plan;
    struct method_run methods;  /* their results */
    struct model_writer writer; /* none is open where none was asked for */
    struct exporter *exporter;
    uint64_t file_bytes, bytes_before, bytes_after;
    struct tensor_errors errors; /* of all tensors */
    size_t n_done;
    cJSON *weights;
    double started_at;
    struct progress_line line; /* cleared before anything else is printed: both may be on one terminal */
    struct progress progress;
};

/* ---- reports ---- */

static cJSON *errors_json(cJSON *o, const struct tensor_errors *e)
{
    cJSON_AddItemToObject(o, "relative_error", json_real(e->relative_error));
    cJSON_AddItemToObject(o, "mean_error", json_real(e->mean_error));
    cJSON_AddItemToObject(o, "max_error", json_real(e->max_error));
    cJSON_AddItemToObject(o, "clipped", json_real(e->clipped));
    return o;
}

static cJSON *tensor_json(const struct quantized *q)
{
    char scheme[SCHEME_TEXT_MAX];
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "name", q->name);
    cJSON_AddStringToObject(o, "scheme", scheme_print(q->scheme, scheme));
    cJSON_AddNumberToObject(o, "bytes", (double)q->bytes_after);
    cJSON_AddNumberToObject(o, "bytes_before", (double)q->bytes_before);
    cJSON_AddNumberToObject(o, "bytes_after", (double)q->bytes_after);
    return errors_json(o, &q->errors);
}

static void print_row(const char *name, const char *scheme, uint64_t before, uint64_t after,
                      const struct tensor_errors *e)
{
    char a[COUNT_TEXT], b[COUNT_TEXT];
    printf("%-24s %-17s %13s %11s %10.2e\n", name, scheme, print_count(before, a), print_count(after, b),
           e->relative_error);
}

static void print_head(void)
{
    printf("%-24s %-17s %13s %11s %10s\n", "tensor", "scheme", "bytes before", "after", "rel. error");
}

static const char *scheme_of_all(const struct conversion *c, char text[SCHEME_TEXT_MAX])
{
    const struct quantizer *q = &c->quantizer;
    if (q->rounded_as) return "mixed"; /* vectors and positions stay f32 */
    for (size_t i = 0; i < q->bindings.n; i++)
        if (!scheme_equal(quantizer_scheme(q, i), weight_scheme(q->bindings.items[i].id.part, q->base)))
            return "mixed";
    return scheme_print(q->base, text);
}

static void report(struct conversion *c)
{
    char scheme[SCHEME_TEXT_MAX], a[COUNT_TEXT];
    gpt2q_config config = c->quantizer.bindings.config;
    config.tie_word_embeddings = c->quantizer.bindings.tied;
    double bits = 8 * (double)c->bytes_after / (double)config_parameters(&config),
           seconds = clock_seconds() - c->started_at;
    const char *all = scheme_of_all(c, scheme);
    if (!opt.json) {
        print_row("total", all, c->bytes_before, c->bytes_after, &c->errors);
        printf("%.3f bits per weight; mean error %.3e, %.4f %% of the weights clipped; %.2f s\n", bits,
               c->errors.mean_error, 100 * c->errors.clipped, seconds);
        char name[SAFE_NAME];
        if (opt.output)
            printf("%s: %s bytes with tokenizer and header\n", safe_name(opt.output, name),
                   print_count(c->file_bytes, a));
        return;
    }
    cJSON *doc = cJSON_CreateObject();
    cJSON_AddItemToObject(doc, "model", json_text(c->path, strlen(c->path)));
    cJSON_AddItemToObject(doc, "path",
                          opt.output ? json_text(opt.output, strlen(opt.output)) : cJSON_CreateNull());
    cJSON_AddStringToObject(doc, "scheme", all);
    cJSON_AddNumberToObject(doc, "bytes_before", (double)c->bytes_before);
    cJSON_AddNumberToObject(doc, "bytes_after", (double)c->bytes_after);
    cJSON_AddItemToObject(doc, "file_bytes",
                          opt.output ? cJSON_CreateNumber((double)c->file_bytes) : cJSON_CreateNull());
    cJSON_AddNumberToObject(doc, "bits_per_weight", bits);
    errors_json(doc, &c->errors);
    cJSON_AddNumberToObject(doc, "seconds", seconds);
    method_run_json(&c->methods, doc);
    cJSON_AddItemToObject(doc, "weights", c->weights);
    json_print(doc);
}

/* ---- the walk ---- */

static gpt2q_status take(void *user, const struct quantized *q, gpt2q_error *err)
{
    struct conversion *c = user;
    gpt2q_status s = opt.output ? model_writer_put(&c->writer, q, err) : GPT2Q_OK;
    if (!s && c->exporter) s = exporter_put(c->exporter, q, err);
    if (s) return s;
    char scheme[SCHEME_TEXT_MAX];
    progress_clear(&c->line);
    c->n_done++;
    c->bytes_before += q->bytes_before;
    c->bytes_after += q->bytes_after;
    c->errors = tensor_errors_join(c->errors, q->errors);
    if (opt.json)
        cJSON_AddItemToArray(c->weights, tensor_json(q));
    else
        print_row(q->name, scheme_print(q->scheme, scheme), q->bytes_before, q->bytes_after, &q->errors);
    if (c->progress.report(c->progress.user, c->n_done, c->quantizer.bindings.n)) return GPT2Q_OK;
    return error_set(err, GPT2Q_CANCELLED, "interrupted");
}

static gpt2q_status finish(struct conversion *c, gpt2q_status s, gpt2q_error *err)
{
    if (!s && c->exporter) {
        s = exporter_commit(c->exporter, err);
        c->exporter = NULL;
    }
    if (!s && opt.output) s = model_writer_commit(&c->writer, &c->file_bytes, err);
    exporter_abort(c->exporter);
    model_writer_abort(&c->writer);
    return s;
}

/* "tales-7m" of "models/tales-7m". */
static const char *last_part(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash && slash[1] ? slash + 1 : path;
}

static int convert(struct conversion *c)
{
    gpt2q_error err;
    gpt2q_status s = GPT2Q_OK;
    signals_watch();
    c->line = (struct progress_line){.what = "tensors", .silent = opt.model.quiet};
    c->progress = progress_on(&c->line);
    if (opt.output)
        s = model_writer_open(opt.output, &c->quantizer, last_part(c->path), opt.force, &c->writer, &err);
    if (!s && opt.directory) s = exporter_open(opt.directory, &c->quantizer, &c->exporter, &err);
    if (s) {
        model_writer_abort(&c->writer);
        return failed(&err);
    }
    if (opt.json)
        c->weights = cJSON_CreateArray();
    else
        print_head();
    s = quantizer_run(&c->quantizer, take, c, &err);
    progress_clear(&c->line);
    s = finish(c, s, &err);
    if (!s)
        report(c);
    else
        cJSON_Delete(c->weights);
    if (s == GPT2Q_CANCELLED) return signal_exit_code();
    return s ? failed(&err) : EXIT_DONE;
}

/* ---- running ---- */

static int refuse_file(const char *path)
{
    gpt2q_error err;
    struct gpt2q_file f;
    char scheme[SCHEME_TEXT_MAX];
    if (gpt2q_file_open(path, &f, &err)) return failed(&err);
    int code =
        failure("%s: is quantized already, as %s, and cannot be made %s; quantize the original model, %s",
                path, scheme_print(f.scheme, scheme), opt.model.scheme ? opt.model.scheme : "i8", f.source);
    gpt2q_file_close(&f);
    return code;
}

/* ggml's rounding starts from floats. */
static const char *scheme_asked(const struct gguf_type *type)
{
    static const char *const formats[] = {[QF_F32] = "f32", [QF_F16] = "f16", [QF_BF16] = "bf16"};
    if (type) return type->codes ? "f32" : formats[type->format];
    if (opt.model.scheme) return opt.model.scheme;
    return opt.output && model_path_is_gguf(opt.output) ? "i8:g32" : "i8";
}

/* A .gpt2q file becomes another container of the same numbers, or with --requantize other numbers. */
static bool is_converted(const struct container_reader *kind, const struct method_plan *plan)
{
    const bool to_gpt2q = opt.output && !model_path_is_gguf(opt.output);
    return kind == &safetensors_reader && method_plan_is_plain(plan) && (opt.model.requantize || !to_gpt2q);
}

static int run_path(const char *path, const struct method_plan *plan)
{
    const struct gguf_type *type = opt.gguf_type ? gguf_type_named(opt.gguf_type) : NULL;
    gpt2q_error err;
    struct conversion c = {.path = path, .started_at = clock_seconds()};
    struct weights_params p = {.overrides = opt.model.overrides.items,
                               .n_overrides = opt.model.overrides.n,
                               .n_threads = opt.model.threads ? (int)opt.model.threads : threads_default()};
    const struct container_reader *kind = NULL;
    p.as_stored = !opt.model.scheme && !type;
    p.requantize = opt.model.requantize;
    if (!file_is_directory(path)) {
        if (container_kind(path, &kind, &err)) return failed(&err);
        if (kind != &gguf_reader && !is_converted(kind, plan)) return refuse_file(path);
    }
    gpt2q_status s = isa_choose(opt.model.isa, &p.isa, &err);
    if (!s) s = scheme_parse(scheme_asked(type), &p.scheme, &err);
    c.plan = *plan;
    if (!s) s = quantizer_open(path, &p, &c.quantizer, &err);
    if (s) return failed(&err);
    if (!opt.model.quiet) say_left_out(&c.quantizer.bindings.left_out);
    c.quantizer.rounded_as = type && type->codes ? type : NULL;
    int code = method_run(&opt.method, &c.plan, path, opt.json, opt.model.quiet, &c.quantizer, &c.methods);
    if (!code) code = convert(&c);
    method_run_free(&c.methods);
    quantizer_close(&c.quantizer);
    return code;
}

static int check_gguf_type(void)
{
    const bool gguf = opt.output && model_path_is_gguf(opt.output);
    if (!opt.gguf_type) return EXIT_DONE;
    if (!gguf_type_named(opt.gguf_type))
        return usage_error("--gguf-type is '%s', expected %s", opt.gguf_type, gguf_type_names);
    if (!gguf) return usage_error("--gguf-type is for GGUF files: --output FILE.gguf is needed");
    if (opt.model.scheme || opt.model.overrides.n)
        return usage_error("--gguf-type and %s exclude each other: both say how matrices are held",
                           opt.model.scheme ? "--quantize" : "--tensor");
    return opt.method.methods.n ? usage_error("--gguf-type rounds as ggml does, --method otherwise")
                                : EXIT_DONE;
}

static int check_uses(void)
{
    const struct option_use use = {"static", opt.output,
                                   "without --output FILE: a directory has no place for it"};
    return options_check_uses(&use, 1);
}

static int check_outputs(void)
{
    struct outputs o = {0};
    outputs_read_model(&o, opt.model.model);
    for (size_t i = 0; i < opt.method.texts.n; i++)
        outputs_read(&o, "--calibrate", opt.method.texts.items[i]);
    outputs_write(&o, "--output", opt.output);
    outputs_write_folder(&o, "--export", opt.directory);
    outputs_write(&o, "--json", opt.json ? "-" : NULL);
    return outputs_check(&o);
}

static int run(int argc, char **argv)
{
    gpt2q_error err;
    char *path;
    if (argc > 1)
        return usage_error("one model is expected, not %d arguments: the file to write is named by --output",
                           argc);
    if (argc && opt.model.model)
        return usage_error("a model is named twice: '%s' and --model '%s'", argv[0], opt.model.model);
    if (argc) opt.model.model = argv[0];
    if (!opt.output && !opt.directory) return usage_error("--output FILE or --export DIR is needed");
    int code = model_options_check(&opt.model);
    struct method_plan plan;
    if (!code) code = method_options_plan(&opt.method, &plan);
    if (!code) code = check_gguf_type();
    if (!code) code = check_uses();
    if (!code) code = check_outputs();
    if (code) return code;
    if (model_locate(opt.model.model, &path, &err)) return failed(&err);
    code = run_path(path, &plan);
    mem_free(path);
    return code;
}

const struct command command_quantize = {
    .name = "quantize",
    .arguments = "[MODEL]",
    .summary = "write a quantized model file",
    .description = "Quantizes a model, one tensor at a time, and writes it with its tokenizer to\n"
                   "one file that starts at once. Reports for each tensor its bytes, its error\n"
                   "(Frobenius norm of the difference over that of the weights; mean of the\n"
                   "differences) and the share of clipped weights. An interrupted run leaves\n"
                   "nothing behind.\n"
                   "\n"
                   "--method says how codes and scales are chosen. Methods compose left to right.\n"
                   "rtn rounds to nearest (the default). mse searches each group's range. imatrix\n"
                   "does so with the inputs' squares as weights. gptq lets later weights carry the\n"
                   "errors of earlier ones. hqq moves float zeros. awq and smoothquant fold\n"
                   "factors into the model before another method rounds it. imatrix, gptq, awq and\n"
                   "smoothquant read a text, which --calibrate names. The file says how it was\n"
                   "made. The same request makes the same bytes on any machine.\n"
                   "\n"
                   "A .gpt2q or GGUF file is turned into another kind of file, or by --export into\n"
                   "a directory, with the same numbers.\n"
                   "\n"
                   "A GGUF file holds exactly f32, f16, bf16, i8:g32:absmax (Q8_0, the default\n"
                   "there), i4:g32:absmax or signed (Q4_0), i4:g32:minmax (Q4_1) and mxfp4 (MXFP4).\n"
                   "Other schemes are refused. --gguf-type rounds as llama-quantize does.\n",
    .examples = "  gpt2q quantize gpt2 -q i4:g32 -o gpt2-i4.gpt2q\n"
                "  gpt2q quantize gpt2 --gguf-type q4_0 -o gpt2-q4_0.gguf\n"
                "  gpt2q quantize -q i8 --tensor wte.weight=f32 --tensor lm_head.weight=i8 -o mixed.gpt2q\n"
                "  gpt2q quantize -q notes --export notes-f32\n"
                "  gpt2q quantize -q i4:g32:affine --method gptq --calibrate text.txt -o good-i4.gpt2q\n"
                "  gpt2q quantize -q i4:g32:affine --method awq --calibrate text.txt -o awq.gpt2q\n",
    .options = options,
    .run = run,
};
