/* gpt2q train: quantization-aware training, and fine-tuning. */
#include "app/commands.h"
#include "app/outputs.h"
#include "app/train/train.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/text.h"
#include "model/locate.h"
#include "quantize/model_write.h"
#include <stdio.h>
#include <string.h>

static struct train_options opt;

static void options(struct option_set *set)
{
    opt = (struct train_options){.steps = 200,
                                 .batch_tokens = 2048,
                                 .warmup = 20,
                                 .eval_every = 50,
                                 .eval_tokens = 4096,
                                 .checkpoint_every = 50,
                                 .beta1 = 0.9,
                                 .beta2 = 0.99};
    const struct option all[] = {
        {0, "text", OPTION_LIST, &opt.texts, "FILE",
         "text to train on; repeatable, each file an equal share of every step", 0, 0},
        {'o', "output", OPTION_STRING, &opt.output, "FILE", "the .gpt2q file to write", 0, 0},
        {0, "export", OPTION_STRING, &opt.directory, "DIR",
         "write the float32 weights behind the codes as a Hugging Face directory", 0, 0},
        {0, "loss", OPTION_STRING, &opt.loss, "kl|ce",
         "kl: be like the float32 model (the default); ce: predict the text", 0, 0},
        {0, "steps", OPTION_INTEGER, &opt.steps, "N", "updates (200)", 1, 1e7},
        {0, "batch-tokens", OPTION_INTEGER, &opt.batch_tokens, "N", "tokens of a step (2048)", 2, 1e6},
        {0, "window", OPTION_INTEGER, &opt.window, "N",
         "tokens of a window (256, at most n_positions and the tokens of a step)", 2, 1e5},
        {0, "lr", OPTION_NUMBER, &opt.rate, "F", "learning rate (1e-3 for 2 bits, 4e-4 for 3, else 2e-4)",
         1e-12, 10},
        {0, "warmup", OPTION_INTEGER, &opt.warmup, "N", "steps until the learning rate is reached (20)", 0,
         1e7},
        {0, "weight-decay", OPTION_NUMBER, &opt.decay, "F", "Adam's, of matrices (0)", 0, 1},
        {0, "beta1", OPTION_NUMBER, &opt.beta1, "F", "Adam's (0.9)", 0, 0.999999},
        {0, "beta2", OPTION_NUMBER, &opt.beta2, "F", "Adam's (0.99)", 0, 0.999999},
        {0, "learn-scales", OPTION_FLAG, &opt.learn_scales, NULL,
         "learn the scales, too (the default with --from, where the scheme has scales to learn)", 0, 0},
        {0, "recalibrate", OPTION_EVERY, &opt.recalibrate, "[N]",
         "choose the scales from the weights every N steps (1; the default without --from)", 1, 1e7},
        {0, "scale-lr", OPTION_NUMBER, &opt.scale_rate, "F", "learning rate of scales (a tenth of --lr)",
         1e-12, 10},
        {0, "eval-text", OPTION_LIST, &opt.eval_texts, "FILE", "held-out text to measure on; repeatable", 0,
         0},
        {0, "eval-every", OPTION_INTEGER, &opt.eval_every, "N", "steps between measurements (50)", 1, 1e7},
        {0, "eval-tokens", OPTION_INTEGER, &opt.eval_tokens, "N", "tokens measured (4096)", 2, 1e8},
        {0, "csv", OPTION_STRING, &opt.csv, "FILE", "losses and measurements as CSV", 0, 0},
        {0, "html", OPTION_STRING, &opt.html, "FILE", "a page with the curves", 0, 0},
        {0, "checkpoint", OPTION_STRING, &opt.checkpoint, "FILE",
         "keep the state of training there, to go on with --resume", 0, 0},
        {0, "checkpoint-every", OPTION_INTEGER, &opt.checkpoint_every, "N", "steps between checkpoints (50)",
         1, 1e7},
        {0, "resume", OPTION_FLAG, &opt.resume, NULL,
         "go on from the checkpoint, to the same bytes; begin where there is none", 0, 0},
        {0, "json", OPTION_FLAG, &opt.json, NULL, "one JSON document on stdout and nothing else", 0, 0},
    };
    for (size_t i = 0; i < 3; i++) option_add(set, all[i]);
    method_options_add_from(set, &opt.method);
    for (size_t i = 3; i < sizeof all / sizeof *all; i++) option_add(set, all[i]);
    model_options_pick(set, &opt.model, "model quantize tensor threads isa quiet");
}

/* ---- checks ---- */

static bool is_method(const char *name)
{
    for (int i = 0; i < METHOD_COUNT; i++)
        if (!strcmp(name, method_names[i])) return true;
    return false;
}

/* --from: a file, or methods. */
static int check_from(struct training *t)
{
    const struct string_list *from = &opt.method.methods;
    for (size_t i = 0; i < from->n; i++) {
        const bool file =
            !is_method(from->items[i]) && (strchr(from->items[i], '/') || file_exists(from->items[i]) ||
                                           text_ends_with(from->items[i], ".gpt2q"));
        if (!file) continue;
        if (from->n > 1)
            return usage_error("--from %s: a file is a start by itself, without methods", from->items[i]);
        if (opt.method.texts.n)
            return usage_error("--from %s looks at no text: --calibrate is of no use", from->items[i]);
        t->from_file = from->items[i];
        t->plan = method_plan_default();
        return method_options_check_uses(&opt.method, &t->plan);
    }
    return method_options_plan(&opt.method, &t->plan);
}

static int check_sizes(void)
{
    const int64_t texts = (int64_t)opt.texts.n;
    if (!opt.window) opt.window = opt.batch_tokens < 256 ? opt.batch_tokens : 256;
    if (opt.batch_tokens % (opt.window * texts))
        return usage_error(
            "--batch-tokens %lld is not a multiple of %lld: %lld text%s in windows of %lld tokens",
            (long long)opt.batch_tokens, (long long)(opt.window * texts), (long long)texts,
            texts == 1 ? "" : "s", (long long)opt.window);
    if (opt.steps * opt.batch_tokens > INT32_MAX)
        return usage_error("--steps %lld of %lld tokens are more tokens than the %d that a run may read",
                           (long long)opt.steps, (long long)opt.batch_tokens, INT32_MAX);
    if (opt.eval_texts.n && opt.eval_tokens < opt.window * (int64_t)opt.eval_texts.n)
        return usage_error("--eval-tokens %lld is less than a window of %lld from every text",
                           (long long)opt.eval_tokens, (long long)opt.window);
    return EXIT_DONE;
}

static int check_uses(void)
{
    const struct option_use uses[] = {
        {"eval-every", opt.eval_texts.n, "without --eval-text FILE"},
        {"eval-tokens", opt.eval_texts.n, "without --eval-text FILE"},
        {"checkpoint-every", opt.checkpoint, "without --checkpoint FILE"},
        {"scale-lr", !opt.recalibrate, "with --recalibrate: no scale is learned"},
    };
    return options_check_uses(uses, sizeof uses / sizeof *uses);
}

static int check(struct training *t)
{
    if (!opt.texts.n) return usage_error("--text FILE is needed: what to train on");
    if (!opt.output && !opt.directory) return usage_error("--output FILE or --export DIR is needed");
    if (opt.output && model_path_is_gguf(opt.output))
        return usage_error(
            "--output is '%s' where a .gpt2q file is expected: 'gpt2q quantize -m FILE.gpt2q -o "
            "FILE.gguf' makes a GGUF file of it",
            opt.output);
    if (opt.loss && strcmp(opt.loss, "kl") && strcmp(opt.loss, "ce"))
        return usage_error("--loss is '%s' where kl or ce is expected", opt.loss);
    t->kl = !opt.loss || !strcmp(opt.loss, "kl");
    if (opt.learn_scales && opt.recalibrate)
        return usage_error("--learn-scales and --recalibrate exclude each other");
    if (opt.resume && !opt.checkpoint) return usage_error("--resume needs --checkpoint FILE");
    int code = check_uses();
    if (!code) code = check_from(t);
    if (!code && !opt.model.scheme && !t->from_file)
        code = usage_error(
            "--quantize SPEC is needed: how the trained weights are held (f32 fine-tunes plainly)");
    if (!code) code = check_sizes();
    if (!code) code = model_options_check(&opt.model);
    return code;
}

/* ---- running ---- */

static int end(const struct training *t)
{
    if (t->interrupted) return signal_exit_code();
    if (t->diverged_at < 0) return EXIT_DONE;
    return failure(
        "step %d: the loss is %g, and was %.4g at best: training diverged; what is written are the "
        "weights of step %d; a lower --lr may help",
        t->diverged_at, t->diverged, t->best, t->trainer.step);
}

static void read_all(struct outputs *o, const char *role, const struct string_list *paths)
{
    for (size_t i = 0; i < paths->n; i++) outputs_read(o, role, paths->items[i]);
}

/* A checkpoint is both: --resume reads what the run writes. */
static int check_outputs(const struct training *t)
{
    struct outputs o = {0};
    outputs_read_model(&o, opt.model.model);
    outputs_read(&o, "--from", t->from_file);
    read_all(&o, "--text", &opt.texts);
    read_all(&o, "--eval-text", &opt.eval_texts);
    read_all(&o, "--calibrate", &opt.method.texts);
    outputs_write(&o, "--output", opt.output);
    outputs_write_folder(&o, "--export", opt.directory);
    outputs_write(&o, "--csv", opt.csv);
    outputs_write(&o, "--html", opt.html);
    outputs_write(&o, "--checkpoint", opt.checkpoint);
    outputs_write(&o, "--json", opt.json ? "-" : NULL);
    return outputs_check(&o);
}

static int run(int argc, char **argv)
{
    gpt2q_error err;
    char *path;
    struct training t = {.o = &opt, .diverged_at = -1};
    if (argc)
        return usage_error("'%s' is one argument too many: texts are named by --text, the model by -m",
                           argv[0]);
    int code = check(&t);
    if (!code) code = check_outputs(&t);
    if (code) return code;
    if (model_locate(opt.model.model, &path, &err)) return failed(&err);
    t.path = path;
    code = training_open(&t);
    signals_watch(); /* not before: while a text is waited for, a signal ends the program */
    if (!code) code = training_run(&t);
    if (!code) code = training_save(&t);
    if (!code) code = end(&t);
    training_close(&t);
    mem_free(path);
    return code;
}

const struct command command_train = {
    .name = "train",
    .arguments = "",
    .summary = "quantization-aware training",
    .description =
        "Trains the weights of a model while they are rounded to the codes of SPEC: the forward and the "
        "backward "
        "pass see the rounded weights, and the float32 weights behind them move (straight-through "
        "estimator). "
        "With the loss kl, the default, the model learns to answer like its float32 self; with ce it learns "
        "the "
        "text. -q f32 fine-tunes plainly.\n"
        "\n"
        "--from gptq is by far the best start. The learning rate rises for --warmup steps and falls along a "
        "cosine. The same request makes the same bytes on any machine, with any number of threads, and also "
        "where "
        "it was killed and went on from its checkpoint. Ctrl-C writes what there is.\n",
    .examples = "  gpt2q train -q i4:g32:signed --from gptq --calibrate a.txt --text a.txt -o good.gpt2q\n"
                "  gpt2q train -q i4 --text a.txt --steps 100 -o i4.gpt2q    from the float32 weights, "
                "rounded to nearest\n"
                "  gpt2q train --from good.gpt2q --text a.txt -o better.gpt2q   from a quantized file\n"
                "  gpt2q train -q f32 --loss ce --text a.txt --export tuned   fine-tune\n"
                "  gpt2q train -q i4 --text a.txt -o i4.gpt2q --checkpoint run.state --resume   go on where "
                "it stopped\n",
    .options = options,
    .run = run,
};
