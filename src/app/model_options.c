/* The options of every command with a model, and opening it. */
#include "app/common.h"
#include "app/tables.h"
#include "base/threads.h"
#include "engine/context.h"
#include "engine/model.h"
#include "qtensor/isa.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Static, like every help text. */
static const char *spec_help(void)
{
    static char text[2 * SCHEME_HELP_MAX];
    char specs[SCHEME_HELP_MAX];
    snprintf(text, sizeof text,
             "how weights are held: %s; GRAN is tensor, channel, input or gN, GRID absmax, signed, minmax or "
             "affine; :f32 behind them gives groups scales in float32, not float16 (default: "
             "i8, that is i8:channel:absmax)",
             scheme_help(specs));
    return text;
}

static void add_all(struct option_set *set, struct model_options *o)
{
    *o = (struct model_options){0};
    option_add(set,
               (struct option){
                   'm', "model", OPTION_STRING, &o->model, "PATH|NAME",
                   "a Hugging Face directory, a .gpt2q or GGUF file, or a name in the Hugging Face cache "
                   "on disk (default: $GPT2Q_MODEL, else the model that comes with gpt2q)",
                   0, 0});
    option_add(set, (struct option){'q', "quantize", OPTION_STRING, &o->scheme, "SPEC", spec_help(), 0, 0});
    option_add(
        set, (struct option){0, "tensor", OPTION_LIST, &o->overrides, "GLOB=SPEC",
                             "hold the tensors whose name matches otherwise; repeatable, the last match wins",
                             0, 0});
    option_add(set, (struct option){
                        0, "requantize", OPTION_FLAG, &o->requantize, NULL,
                        "let -q and --tensor change tensors that a GGUF file holds quantized already", 0, 0});
    option_add(
        set, (struct option){'a', "activations", OPTION_STRING, &o->activations, "f32|i16|i8|llm.int8|static",
                             "f32: dequantize on the fly; i16, i8: integer activations, one scale per "
                             "token; llm.int8[:T]: as i8, inputs of magnitude T (6) and more in float; "
                             "static: as i8, by the scales of a file that quantize --static wrote "
                             "(default: i16 for integer codes and for nf4, mxfp4 and nvfp4, else f32; "
                             "of nf4 the levels become int8 then, which is not exact)",
                             0, 0});
    option_add(set, (struct option){'j', "threads", OPTION_INTEGER, &o->threads, "N",
                                    "threads (default: OMP_NUM_THREADS, else the cores this process may use)",
                                    1, THREADS_MAX});
    option_add(set, (struct option){0, "isa", OPTION_STRING, &o->isa, "ISA",
                                    "force an instruction set: scalar, avx2, avxvnni, avx512, avx512vnni, "
                                    "amx; also $GPT2Q_ISA. The results are the same bits",
                                    0, 0});
    option_add(set, (struct option){
                        'c', "ctx", OPTION_INTEGER, &o->ctx, "N",
                        "positions for prompt and completion together (default: the model's n_positions)", 1,
                        1 << 20});
    option_add(set, (struct option){
                        0, "kv", OPTION_STRING, &o->kv, "f32|f16|i16|i8",
                        "how keys and values are cached: f32 (exact), f16, or codes with a scale for each "
                        "position and head: i16, i8 (default: i16 with integer activations, else f32)",
                        0, 0});
    option_add(set, (struct option){0, "quiet", OPTION_FLAG, &o->quiet, NULL,
                                    "say nothing on stderr but errors", 0, 0});
    option_add(set,
               (struct option){0, "verbose", OPTION_FLAG, &o->verbose, NULL, "say more on stderr", 0, 0});
}

static bool is_listed(const char *names, const char *name)
{
    size_t n = strlen(name);
    for (const char *p = names; (p = strstr(p, name)); p++)
        if ((p == names || p[-1] == ' ') && (p[n] == ' ' || !p[n])) return true;
    return false;
}

void model_options_pick(struct option_set *set, struct model_options *o, const char *names)
{
    struct option_set all = {.n = 0};
    add_all(&all, o);
    for (size_t i = 0; i < all.n; i++)
        if (is_listed(names, all.options[i].name)) option_add(set, all.options[i]);
}

void model_options_add(struct option_set *set, struct model_options *o)
{
    model_options_pick(set, o, "model quantize tensor requantize activations threads isa ctx kv quiet");
}

static int check_isa(const char *name)
{
    if (!name || !*name) return EXIT_DONE;
    const char *names[16];
    size_t n = isa_count() < 16 ? isa_count() : 16;
    for (size_t i = 0; i < n; i++) {
        names[i] = isa_at(i)->name;
        if (!strcmp(names[i], name)) return EXIT_DONE;
    }
    char list[160] = "";
    for (size_t i = 0; i < n; i++)
        snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s", i ? ", " : "", names[i]);
    const char *near = nearest_name(name, names, n);
    if (near) return usage_error("unknown instruction set '%s': did you mean '%s'?", name, near);
    return usage_error("unknown instruction set '%s': there are %s", name, list);
}

static int check_word(const char *option, const char *value, const char *const *names, size_t n)
{
    if (!value) return EXIT_DONE;
    for (size_t i = 0; i < n; i++)
        if (!strcmp(value, names[i])) return EXIT_DONE;
    const char *near = nearest_name(value, names, n);
    return usage_error("--%s is '%s' where f32, %s is expected%s%s%s", option, value,
                       names[1][0] == 'i' ? "i16, i8, llm.int8[:T] or static" : "f16, i16 or i8",
                       near ? ": did you mean '" : "", near ? near : "", near ? "'?" : "");
}

/* "static", and "llm.int8" with or without a threshold. */
static bool names_mode(const char *text)
{
    if (!text) return false;
    if (!strcmp(text, "static") || !strcmp(text, "llm.int8")) return true;
    if (strncmp(text, "llm.int8:", 9) != 0) return false;
    char *end;
    const double t = strtod(text + 9, &end);
    return text[9] >= '0' && text[9] <= '9' && !*end && t > 0 && t < 1e30;
}

int model_options_check(const struct model_options *o)
{
    const char *activations[ACTIVATIONS_COUNT];
    gpt2q_error err;
    struct scheme scheme = {.format = QF_I8, .gran = QG_CHANNEL};
    int code = EXIT_DONE;
    for (int i = 0; i < ACTIVATIONS_COUNT; i++) activations[i] = activations_print((enum activations)i);
    if (!names_mode(o->activations))
        code = check_word("activations", o->activations, activations, ACTIVATIONS_COUNT);
    if (!code) code = check_word("kv", o->kv, kv_format_names, KV_COUNT);
    if (!code) code = check_isa(o->isa ? o->isa : getenv("GPT2Q_ISA"));
    if (code) return code;
    if (o->scheme && scheme_parse(o->scheme, &scheme, &err)) return usage_error("%s", err.message);
    for (size_t i = 0; i < o->overrides.n; i++) {
        const char *equals = strrchr(o->overrides.items[i], '=');
        struct scheme override;
        if (!equals || equals == o->overrides.items[i])
            return usage_error("--tensor is '%s' where GLOB=SPEC is expected", o->overrides.items[i]);
        if (scheme_parse(equals + 1, &override, &err)) return usage_error("%s", err.message);
    }
    const bool integer = scheme_takes(scheme, ACTIVATIONS_I16);
    if (o->scheme && o->activations && strcmp(o->activations, "f32") && !integer)
        return usage_error("activations %s do not go with %s, which takes f32 activations only",
                           o->activations, o->scheme);
    return EXIT_DONE;
}

int model_options_check_uses(const struct model_options *o)
{
    const struct option_use use = {"requantize", o->scheme || o->overrides.n,
                                   "without --quantize or --tensor"};
    return options_check_uses(&use, 1);
}

int failed(const gpt2q_error *err) { return failure("%s", err->message); }

void say_left_out(const struct left_out *left)
{
    static bool said; /* a model that is opened again says the same */
    char more[48] = "";
    if (!left->n || said) return;
    said = true;
    if (left->more) snprintf(more, sizeof more, " and %zu more", left->more);
    fprintf(stderr, "gpt2q: left out, for they belong to no language head: %s%s\n", left->names, more);
}

static void say_remarks(const struct gpt2_weights *w)
{
    static bool said;
    char bytes[COUNT_TEXT];
    say_left_out(&w->left_out);
    if (!w->n_as_floats || said) return;
    said = true;
    fprintf(
        stderr,
        "gpt2q: %zu matrices with blocks that no scheme of codes holds exactly are held as f32: %s bytes\n",
        w->n_as_floats, print_count(w->as_floats_bytes, bytes));
}

int open_model(const struct model_options *o, bool weights_only, gpt2q_model **out)
{
    gpt2q_error err;
    *out = NULL;
    int code = model_options_check(o);
    if (code) return code;
    gpt2q_model_params p = gpt2q_model_params_default();
    p.scheme = o->scheme;
    p.overrides = o->overrides.items;
    p.n_overrides = o->overrides.n;
    p.isa = o->isa;
    p.n_threads = (int32_t)o->threads;
    p.weights_only = weights_only;
    p.requantize = o->requantize;
    if (gpt2q_model_open(o->model, &p, out, &err)) return failed(&err);
    const int32_t positions = gpt2q_model_config(*out)->n_positions;
    if (o->ctx > positions) {
        gpt2q_model_close(*out);
        *out = NULL;
        return failure("--ctx is %lld where at most %d, the model's positions, is expected",
                       (long long)o->ctx, (int)positions);
    }
    if (!o->quiet) say_remarks(model_weights(*out));
    return EXIT_DONE;
}

int create_context(const struct model_options *o, const gpt2q_model *model, int32_t n_rows, int32_t n_outputs,
                   gpt2q_context **out)
{
    gpt2q_error err;
    gpt2q_context_params p = gpt2q_context_params_default();
    p.n_ctx = (int32_t)o->ctx;
    p.n_seq_max = n_rows;
    p.n_outputs = n_outputs;
    p.n_threads = (int32_t)o->threads;
    p.activations = o->activations;
    p.kv = o->kv;
    return gpt2q_context_create(model, &p, out, &err) ? failed(&err) : EXIT_DONE;
}
