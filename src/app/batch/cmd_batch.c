/* gpt2q batch: continue a file of prompts. Options, and what a run needs; run.c serves. */
#include "app/batch/fingerprint.h"
#include "app/batch/run.h"
#include "app/batch/shard.h"
#include "app/commands.h"
#include "app/common.h"
#include "app/outputs.h"
#include "app/tables.h"
#include "base/file_writer.h"
#include "base/memory.h"
#include "engine/context.h"
#include "engine/model.h"
#include "model/kv_cache.h"
#include "model/locate.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_ROWS  8
#define DEFAULT_CHUNK 256
#define OUTPUT_ROWS   32 /* rows of logits at least: what scoring a prompt proceeds by */
#define HOLD_BACK     64 /* finished answers held back per row */

static struct {
    struct model_options model;
    struct generation_options generation;
    const char *output, *format, *shard, *cache, *trace, *stats;
    int64_t rows, chunk;
    bool resume, force, unordered, no_prefix_sharing, json;
} opt;

static void options(struct option_set *set)
{
    memset(&opt, 0, sizeof opt);
    opt.rows = DEFAULT_ROWS;
    opt.chunk = DEFAULT_CHUNK;
    opt.format = "auto";
    opt.cache = "ragged";
    option_add(set, (struct option){'o', "output", OPTION_STRING, &opt.output, "FILE",
                                    "where answers go (default: standard output)", 0, 0});
    option_add(set, (struct option){'b', "batch-size", OPTION_INTEGER, &opt.rows, "N",
                                    "requests decoded together (default: 8)", 1, 4096});
    option_add(set,
               (struct option){0, "chunk", OPTION_INTEGER, &opt.chunk, "N",
                               "prompt tokens of a step, all requests together (default: 256)", 1, 1 << 15});
    option_add(set, (struct option){0, "format", OPTION_STRING, &opt.format, "auto|text|jsonl|openai",
                                    "of the input (default: by its first line)", 0, 0});
    option_add(set, (struct option){0, "resume", OPTION_FLAG, &opt.resume, NULL,
                                    "go on where an interrupted run into the same --output ended", 0, 0});
    option_add(set, (struct option){0, "force", OPTION_FLAG, &opt.force, NULL,
                                    "replace the answers that --output holds already", 0, 0});
    option_add(set,
               (struct option){0, "shard", OPTION_STRING, &opt.shard, "I/N|auto",
                               "answer lines I, I+N, I+2N ... only, counted from 1; auto: the place that "
                               "Slurm, Open MPI, PMI or Kubernetes (with $JOB_COMPLETIONS) gives the process",
                               0, 0});
    option_add(set,
               (struct option){0, "unordered", OPTION_FLAG, &opt.unordered, NULL,
                               "write answers as they are finished, not in the order of the input", 0, 0});
    option_add(
        set,
        (struct option){
            0, "cache", OPTION_STRING, &opt.cache, "ragged|padded",
            "padded: the rectangular cache of the course notes, to see what padding costs (default: ragged)",
            0, 0});
    option_add(set, (struct option){0, "no-prefix-sharing", OPTION_FLAG, &opt.no_prefix_sharing, NULL,
                                    "compute the common beginning of prompts again for each prompt", 0, 0});
    option_add(set, (struct option){0, "trace", OPTION_STRING, &opt.trace, "FILE",
                                    "a JSON line per step: requests that were prefilled, decoded and "
                                    "finished; rows, columns, padding",
                                    0, 0});
    option_add(set, (struct option){0, "stats", OPTION_STRING, &opt.stats, "FILE", "counts and times as JSON",
                                    0, 0});
    generation_options_add(set, &opt.generation);
    option_add(set, (struct option){0, "json", OPTION_FLAG, &opt.json, NULL,
                                    "JSON lines on stdout, as always", 0, 0});
    model_options_add(set, &opt.model);
}

/* ---- options ---- */

static int one_of(const char *option, const char *value, const char *const *words, size_t n, int *out)
{
    for (size_t i = 0; i < n; i++)
        if (!strcmp(value, words[i])) return *out = (int)i, EXIT_DONE;
    const char *near = nearest_name(value, words, n);
    return usage_error("unknown --%s '%s': did you mean '%s'?", option, value, near ? near : words[0]);
}

static bool writes_file(void) { return opt.output && strcmp(opt.output, "-"); }

static int check_uses(bool padded)
{
    const struct option_use uses[] = {
        {"force", writes_file(), "without --output FILE"},
        {"no-prefix-sharing", !padded, "with --cache padded, which shares none"},
    };
    const int code = options_check_uses(uses, sizeof uses / sizeof *uses);
    return code ? code : model_options_check_uses(&opt.model);
}

static int check_options(int argc, char **argv, struct batch_shard *shard, enum batch_format *format,
                         bool *padded)
{
    static const char *const formats[] = {"auto", "text", "jsonl", "openai"}, *const caches[] = {"ragged",
                                                                                                 "padded"};
    int f = 0, cache = 0;
    if (argc > 1)
        return usage_error("one file is expected, not %d arguments: %s and %s", argc, argv[0], argv[1]);
    if (argc == 0) return usage_error("a file of prompts is expected, or - for standard input");
    int code = generation_options_check(&opt.generation);
    if (!code) code = model_options_check(&opt.model);
    if (!code) code = one_of("format", opt.format, formats, 4, &f);
    if (!code) code = one_of("cache", opt.cache, caches, 2, &cache);
    if (!code) code = shard_parse(opt.shard, shard);
    if (!code && opt.resume && !writes_file())
        code = usage_error("--resume needs --output FILE, the output to go on with");
    if (!code) code = check_uses(cache == 1);
    if (!code && opt.resume && opt.force) code = usage_error("--resume and --force exclude each other");
    if (!code && cache == 1 && opt.generation.speculate)
        code = usage_error("--speculate needs --cache ragged: a rectangle has no room for proposals");
    *format = (enum batch_format)f;
    *padded = cache == 1;
    return code;
}

/* ---- the engine ---- */

static size_t position_bytes(const gpt2q_config *c, enum kv_format format)
{
    return (size_t)c->n_layer * kv_block_bytes(format, c->n_head, c->n_embd / c->n_head) / KV_BLOCK + 1;
}

/* Room for every row at its longest, unless that is more than half of the memory of this machine: then
 * requests wait for room. */
static int64_t cache_positions(const gpt2q_config *c, enum kv_format format, int32_t n_ctx, bool padded)
{
    int64_t row = (n_ctx + KV_BLOCK - 1) / KV_BLOCK * KV_BLOCK + (padded ? KV_BLOCK : 0),
            all = opt.rows * row;
    int64_t memory = (int64_t)sysconf(_SC_PHYS_PAGES) / 2 * (int64_t)sysconf(_SC_PAGESIZE),
            most = memory / (int64_t)position_bytes(c, format);
    if (most > INT32_MAX) most = INT32_MAX;
    if (all > most) all = most / KV_BLOCK * KV_BLOCK;
    return all < row ? row : all;
}

static int context_length(const gpt2q_model *model)
{
    return opt.model.ctx ? (int)opt.model.ctx : gpt2q_model_config(model)->n_positions;
}

static int make_scheduler(const gpt2q_model *model, bool padded, gpt2q_context **ctx,
                          gpt2q_scheduler **scheduler)
{
    gpt2q_error err;
    const gpt2q_config *c = gpt2q_model_config(model);
    gpt2q_context_params p = gpt2q_context_params_default();
    gpt2q_scheduler_params sp = gpt2q_scheduler_params_default();
    int32_t rows = (int32_t)opt.rows;
    enum kv_format format;
    if (context_kv_format(model_weights(model), opt.model.activations, opt.model.kv, &format, &err))
        return failed(&err);
    p.n_ctx = context_length(model);
    p.n_seq_max = padded ? 2 * rows : rows;
    p.n_batch = rows + (int32_t)opt.chunk;
    p.n_outputs = output_rows(&opt.generation, rows);
    if (p.n_outputs < OUTPUT_ROWS) p.n_outputs = OUTPUT_ROWS;
    p.n_cache = cache_positions(c, format, p.n_ctx, padded);
    p.n_threads = (int32_t)opt.model.threads;
    p.activations = opt.model.activations;
    p.kv = opt.model.kv;
    sp.n_rows = sp.n_queue = rows;
    sp.n_chunk = (int32_t)opt.chunk;
    sp.no_prefix_sharing = opt.no_prefix_sharing;
    sp.padded = padded;
    if (gpt2q_context_create(model, &p, ctx, &err)) return failed(&err);
    return gpt2q_scheduler_create(*ctx, &sp, scheduler, &err) ? failed(&err) : EXIT_DONE;
}

/* ---- the output, new or resumed ---- */

static uint64_t hash_of_stops(void)
{
    uint64_t hash = 0;
    for (size_t i = 0; i < opt.generation.stop.n; i++)
        hash = batch_hash(hash, opt.generation.stop.items[i], strlen(opt.generation.stop.items[i]));
    return hash;
}

/* Everything that enters into the bytes of the output, in one line. */
static void describe_options(const gpt2q_model *model, const gpt2q_context *ctx,
                             const struct batch_shard *shard, char *text, size_t n)
{
    const struct generation_options *g = &opt.generation;
    uint64_t overrides = 0;
    for (size_t i = 0; i < opt.model.overrides.n; i++)
        overrides = batch_hash(overrides, opt.model.overrides.items[i], strlen(opt.model.overrides.items[i]));
    snprintf(text, n,
             "%s %016" PRIx64 " activations=%s kv=%s ctx=%d format=%s shard=%" PRIu64 "/%" PRIu64
             " ordered=%d ids=%d max_tokens=%" PRId64 " temperature=%.17g top_k=%" PRId64
             " top_p=%.17g min_p=%.17g repetition_penalty=%.17g seed=%" PRIu64 " samples=%" PRId64
             " stop=%016" PRIx64 " ignore_eos=%d logprobs=%" PRId64 " echo=%d truncate=%s",
             gpt2q_model_scheme(model), overrides, gpt2q_context_activations(ctx), gpt2q_context_kv(ctx),
             context_length(model), opt.format, shard->first + 1, shard->step, !opt.unordered, g->ids,
             g->max_tokens, g->temperature, g->top_k, g->top_p, g->min_p, g->repetition_penalty, g->seed,
             g->samples, hash_of_stops(), g->ignore_eos, g->logprobs, g->echo, g->truncate);
}

static gpt2q_status make_fingerprint(const struct batch_run *run, const gpt2q_context *ctx,
                                     const struct batch_survey *survey, char *text, gpt2q_error *err)
{
    char options_line[1024], *path;
    describe_options(run->model, ctx, &run->shard, options_line, sizeof options_line);
    gpt2q_status s = model_locate(opt.model.model, &path, err);
    if (s) return s;
    s = batch_fingerprint_make(survey, path, options_line, text, err);
    mem_free(path);
    return s;
}

/* A file that holds answers is replaced only by --force. While they are replaced the fingerprint says so: whatever moment ends the
 * program, it and the answers never contradict. */
static gpt2q_status begin_anew(struct batch_output *o, const char *fingerprint, gpt2q_error *err)
{
    gpt2q_status s = GPT2Q_OK;
    if (o->size && !opt.force)
        return error_set(err, GPT2Q_INVALID_ARGUMENT,
                         "%s: holds %" PRId64
                         " bytes already: --resume goes on with them, --force replaces them",
                         o->path, o->size);
    if (o->size && *fingerprint) s = batch_fingerprint_write(o->target, batch_fingerprint_replacing, err);
    if (!s && !*fingerprint) s = batch_fingerprint_remove(o->target, err); /* of an earlier run */
    if (!s && !o->size && *fingerprint) s = batch_fingerprint_write(o->target, fingerprint, err);
    if (!s) s = batch_output_begin(o, 0, 0, err);
    return !s && o->size && *fingerprint ? batch_fingerprint_write(o->target, fingerprint, err) : s;
}

static gpt2q_status go_on(const struct batch_run *run, const char *fingerprint,
                          const struct batch_lines *lines, struct batch_done *done, gpt2q_error *err)
{
    struct batch_output *o = run->output;
    char name[SAFE_NAME];
    gpt2q_status s = batch_fingerprint_check(o->target, fingerprint, err);
    if (!s) s = batch_done_scan(o->target, lines, !opt.unordered, done, err);
    if (!s && done->again && !opt.model.quiet)
        fprintf(stderr,
                "%s: memory was out for the answer after %" PRIu64 ": it and all after it are made again\n",
                safe_name(o->path, name), done->n_lines);
    return s ? s : batch_output_begin(o, done->keep, done->n_lines, err);
}

/* An output that is a regular file leaves a fingerprint, so that it can be resumed; an input that cannot be read twice has none. */
static gpt2q_status begin_output(const struct batch_run *run, const gpt2q_context *ctx,
                                 const struct batch_survey *survey, struct batch_done *done, gpt2q_error *err)
{
    char fingerprint[FINGERPRINT_MAX] = "";
    const struct batch_lines lines = {survey->n_lines, run->shard};
    struct batch_output *o = run->output;
    if (!o->is_regular) return batch_output_begin(o, 0, 0, err);
    gpt2q_status s = GPT2Q_OK;
    if (line_reader_is_regular(run->reader)) s = make_fingerprint(run, ctx, survey, fingerprint, err);
    if (s) return s;
    return opt.resume && o->size ? go_on(run, fingerprint, &lines, done, err)
                                 : begin_anew(o, fingerprint, err);
}

static gpt2q_status open_output(const struct batch_run *run, const gpt2q_context *ctx,
                                const struct batch_survey *survey, struct batch_done *done, gpt2q_error *err)
{
    if (opt.resume && !line_reader_is_regular(run->reader))
        return error_set(
            err, GPT2Q_INVALID_ARGUMENT,
            "%s cannot be read twice, so --resume cannot tell whether it is the input of the first run",
            run->reader->path);
    gpt2q_status s =
        batch_output_open(run->output, opt.output, !opt.unordered, HOLD_BACK * (size_t)opt.rows, err);
    if (s) return s;
    if (opt.resume && !run->output->is_regular)
        s = error_set(err, GPT2Q_INVALID_ARGUMENT, "%s: is no file that --resume could go on with",
                      run->output->path);
    if (!s) s = begin_output(run, ctx, survey, done, err);
    if (s) batch_output_discard(run->output);
    return s;
}

/* ---- running ---- */

static gpt2q_status serve(struct batch_run *run, struct file_writer *trace, gpt2q_error *err)
{
    run->trace = opt.trace ? trace->stream : NULL;
    signals_watch();
    signals_ignore_pipe();
    gpt2q_status s = batch_run(run, err);
    if (opt.trace && !s) return file_writer_commit(trace, err);
    if (opt.trace) file_writer_abort(trace);
    return s;
}

/* "771 of 20000 answered; --resume goes on" */
static const char *how_far(const struct batch_stats *stats, uint64_t answered, bool can_resume, char text[96])
{
    char total[32] = "";
    if (stats->total) snprintf(total, sizeof total, " of %" PRIu64, stats->total);
    snprintf(text, 96, "%" PRIu64 "%s answered%s", answered, total, can_resume ? "; --resume goes on" : "");
    return text;
}

static int end(const struct batch_run *run, gpt2q_status s, const gpt2q_error *reason)
{
    gpt2q_error err;
    char text[96];
    struct batch_output *o = run->output;
    const bool can_resume = o->is_regular && line_reader_is_regular(run->reader);
    const gpt2q_status closed = batch_output_flush(o, &err);
    const uint64_t answered = run->done->n_lines + o->n_flushed;
    const gpt2q_status synced = batch_output_close(o, closed ? NULL : &err);
    how_far(run->stats, answered, can_resume, text);
    if (s || closed || synced) return failure("%s; %s", s ? reason->message : err.message, text);
    batch_stats_summary(run->stats);
    if (opt.stats && batch_stats_write(run->stats, opt.stats, &err)) return failed(&err);
    if (signal_seen() && !opt.model.quiet) fprintf(stderr, "interrupted, %s\n", text);
    return signal_seen()                              ? signal_exit_code()
           : run->stats->errors + run->done->n_errors ? EXIT_FAILED
                                                      : EXIT_DONE;
}

static int with_engine(struct batch_run *run, const gpt2q_context *ctx)
{
    gpt2q_error err;
    struct batch_survey survey = {0};
    struct batch_done done = {0};
    struct batch_output output = {0};
    struct batch_stats stats;
    run->output = &output;
    run->stats = &stats;
    run->done = &done;
    struct file_writer trace;
    gpt2q_status s = opt.trace ? file_writer_open(&trace, opt.trace, &err) : GPT2Q_OK;
    if (s) return failed(&err);
    if (line_reader_is_regular(run->reader))
        s = batch_survey_make(run->reader->fd, run->reader->path, &survey, &err);
    if (!s) s = open_output(run, ctx, &survey, &done, &err);
    const struct batch_lines lines = {survey.n_lines, run->shard};
    batch_stats_begin(&stats, batch_lines_of_shard(&lines), done.n_lines, opt.model.quiet);
    int code = s ? failed(&err) : EXIT_DONE;
    if (s && opt.trace) file_writer_abort(&trace);
    if (!s) {
        s = serve(run, &trace, &err);
        code = end(run, s, &err);
    }
    batch_done_free(&done);
    return code;
}

static int with_model(struct batch_run *run, bool padded)
{
    gpt2q_model *model;
    gpt2q_context *ctx = NULL;
    int code = open_model(&opt.model, opt.generation.ids, &model);
    if (code) return code;
    run->model = model;
    code = make_scheduler(model, padded, &ctx, &run->scheduler);
    if (!code) code = with_engine(run, ctx);
    gpt2q_scheduler_free(run->scheduler);
    gpt2q_context_free(ctx);
    gpt2q_model_close(model);
    return code;
}

static int check_outputs(const char *input)
{
    gpt2q_error err;
    struct outputs o = {0};
    struct file_target t;
    char *fingerprint = NULL;
    const bool standard = !opt.output || !strcmp(opt.output, "-");
    int code = EXIT_DONE;
    outputs_read_model(&o, opt.model.model);
    outputs_read(&o, "the input", input);
    outputs_write(&o, standard ? "the answers" : "--output", standard ? "-" : opt.output);
    outputs_write(&o, "--trace", opt.trace);
    outputs_write(&o, "--stats", opt.stats);
    if (!standard) {
        if (!file_target_find(opt.output, &t, &err) && /* else the check says what is wrong */
            (t.kind == TARGET_NEW || t.kind == TARGET_FILE) &&
            batch_fingerprint_path(t.path, &fingerprint, &err))
            code = failed(&err);
        file_target_free(&t);
    }
    outputs_write(&o, "the fingerprint of --output", fingerprint);
    const int checked = outputs_check(&o);
    mem_free(fingerprint);
    return code ? code : checked;
}

static int run_command(int argc, char **argv)
{
    gpt2q_error err;
    struct line_reader reader;
    bool padded = false;
    struct batch_run run = {
        .reader = &reader,
        .defaults = {.request = request_from_options(&opt.generation), .ids = opt.generation.ids}};
    run.n_slots = 2 * (size_t)opt.rows;
    int code = check_options(argc, argv, &run.shard, &run.format, &padded);
    if (!code) code = check_outputs(argv[0]);
    if (code) return code;
    if (line_reader_open(&reader, argv[0], &err)) return failed(&err);
    code = with_model(&run, padded);
    line_reader_close(&reader);
    return code;
}

const struct command command_batch = {
    .name = "batch",
    .arguments = "FILE",
    .summary = "continue a file of prompts",
    .description = "FILE (- is standard input) holds a prompt per line, JSON lines {\"prompt\": ..,\n"
                   "\"max_tokens\": .., \"id\": ..}, or OpenAI batch lines. Each line is answered by a\n"
                   "line of JSON, in the order of the input. The options hold for all that a line\n"
                   "leaves out. An answer depends on its request alone. A wrong line is answered\n"
                   "by an error. The other lines are still answered, and the exit code is 1. Blank\n"
                   "lines are skipped and not counted. Lines from a pipe are answered as they\n"
                   "arrive. The first Ctrl-C (or SIGTERM) finishes the lines under way, a second\n"
                   "one stops at once. --resume continues after either.\n",
    .examples = "  gpt2q batch prompts.txt -o answers.jsonl -n 40 -b 32\n"
                "  gpt2q batch prompts.txt -o answers.jsonl -n 40 -b 32 --resume\n"
                "  gpt2q batch requests.jsonl --shard 2/4 -o part2.jsonl\n"
                "  cat prompts.txt | gpt2q batch - --quiet | jq -r .text\n"
                "  gpt2q batch prompts.txt --cache padded --trace steps.jsonl > answers.jsonl\n",
    .options = options,
    .run = run_command,
};
