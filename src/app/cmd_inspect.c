/* gpt2q inspect: what a model file holds. */
#include "app/commands.h"
#include "app/inspect.h"
#include "base/memory.h"
#include "base/threads.h"
#include "model/locate.h"
#include "model/shape.h"
#include <stdio.h>

static struct {
    const char *model, *shape, *tensor, *scheme;
    int64_t threads;
    bool check, json;
} opt;

static void options(struct option_set *set)
{
    option_add(
        set, (struct option){'m', "model", OPTION_STRING, &opt.model, "PATH|NAME", "the same as PATH", 0, 0});
    option_add(set,
               (struct option){
                   0, "shape", OPTION_STRING, &opt.shape, "gpt2|gpt2-medium|gpt2-large|gpt2-xl|LxDxH",
                   "instead of a file, the shape of a GPT-2, or L layers of width D with H heads", 0, 0});
    option_add(set, (struct option){0, "tensor", OPTION_STRING, &opt.tensor, "NAME",
                                    "one tensor: its numbers, their histogram, and with -q its codes", 0, 0});
    option_add(set,
               (struct option){'q', "quantize", OPTION_STRING, &opt.scheme, "SPEC",
                               "what a scheme would make of it: a SPEC as in 'gpt2q generate --help'", 0, 0});
    option_add(
        set,
        (struct option){
            0, "check", OPTION_FLAG, &opt.check, NULL,
            "look for NaN and infinities, and for damage of a .gpt2q file; name the first and exit with 1", 0,
            0});
    option_add(set, (struct option){'j', "threads", OPTION_INTEGER, &opt.threads, "N",
                                    "threads (default: OMP_NUM_THREADS, else the cores this process may use)",
                                    1, THREADS_MAX});
    option_add(set, (struct option){0, "json", OPTION_FLAG, &opt.json, NULL,
                                    "one JSON document on stdout and nothing else", 0, 0});
}

static int report(struct inventory *v, const char *path)
{
    gpt2q_error err;
    struct scheme scheme;
    const struct quantize_run run = {.n_threads = opt.threads ? (int)opt.threads : threads_default()};
    if (opt.scheme && scheme_parse(opt.scheme, &scheme, &err)) return usage_error("%s", err.message);
    if (opt.check && inventory_check(v, &err)) return failed(&err);
    if (opt.tensor) return inspect_one(v, path, opt.tensor, opt.scheme ? &scheme : NULL, &run, opt.json);
    if (opt.scheme && inventory_quantize(v, scheme, &run, &err)) return failed(&err);
    if (opt.json)
        inspect_print_json(v, path);
    else
        inspect_print_table(v, path);
    if (opt.check && !opt.json)
        printf("\nchecked: every value is a finite number%s\n",
               v->kind == INVENTORY_GPT2Q ? ", every code is one, the checksum is right" : "");
    return EXIT_DONE;
}

static int inspect_shape(void)
{
    gpt2q_error err;
    gpt2q_config config;
    struct inventory v;
    if (shape_parse(opt.shape, &config, &err)) return usage_error("%s", err.message);
    if (inventory_of_shape(&config, &v, &err)) return failed(&err);
    int code = report(&v, opt.shape);
    inventory_close(&v);
    return code;
}

static int inspect_path(const char *path)
{
    gpt2q_error err;
    struct inventory v;
    if (inventory_open(path, &v, &err)) return failed(&err);
    int code = report(&v, path);
    inventory_close(&v);
    return code;
}

static int run(int argc, char **argv)
{
    gpt2q_error err;
    char *path;
    if (argc > 1) return usage_error("one file or directory is expected, not %d", argc);
    if (argc == 1 && opt.model)
        return usage_error("a file is named twice: '%s' and --model '%s'", argv[0], opt.model);
    const char *named = argc ? argv[0] : opt.model;
    if (named && opt.shape) return usage_error("a path and --shape exclude each other");
    if (opt.check && opt.shape) return usage_error("--check looks at numbers, and a --shape has none");
    if (opt.shape) return inspect_shape();
    if (model_locate(named, &path, &err)) return failed(&err);
    int code = inspect_path(path);
    mem_free(path);
    return code;
}

const struct command command_inspect = {
    .name = "inspect",
    .arguments = "[PATH]",
    .summary = "say what a model file holds",
    .description = "PATH is a Hugging Face directory, a .gpt2q file, a GGUF file, any safetensors file or "
                   "pytorch_model.bin, or the name of a "
                   "model (default: "
                   "the model that comes with\n"
                   "gpt2q). Shapes are in the checkpoint's order.\n",
    .examples = "  gpt2q inspect models/tales-7m\n"
                "  gpt2q inspect -m gpt2\n"
                "  gpt2q inspect --shape gpt2 --json\n"
                "  gpt2q inspect -q notes\n"
                "  gpt2q inspect --tensor h.0.attn.c_attn.weight -q i4:g32\n"
                "  gpt2q inspect --check model.safetensors\n",
    .options = options,
    .run = run,
};
