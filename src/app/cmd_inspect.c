/* gpt2q inspect: what a model file holds. */
#include "app/commands.h"
#include "app/common.h"
#include "app/tables.h"
#include "base/memory.h"
#include "model/locate.h"
#include "model/shape.h"
#include "quantize/inventory.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static struct {
    const char *shape;
    bool check, json;
} opt;

static void options(struct option_set *set)
{
    option_add(set,
               (struct option){
                   0, "shape", OPTION_STRING, &opt.shape, "SHAPE",
                   "instead of a file, a shape: gpt2, gpt2-medium, gpt2-large, gpt2-xl or LAYERSxWIDTHxHEADS",
                   0, 0});
    option_add(set, (struct option){0, "check", OPTION_FLAG, &opt.check, NULL,
                                    "look for NaN and infinities; exit 1 names the first", 0, 0});
    option_add(set, (struct option){0, "json", OPTION_FLAG, &opt.json, NULL,
                                    "one JSON document on stdout and nothing else", 0, 0});
}

/* ---- what a tensor is held in, as it is stored ---- */

/* A SPEC where the dtype is one, else NULL. */
static const char *stored_scheme(const struct inventory_tensor *t)
{
    static const char *const names[][2] = {{"F32", "f32"}, {"F16", "f16"}, {"BF16", "bf16"}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(t->dtype, names[i][0])) return names[i][1];
    return NULL;
}

static const char *kind_name(enum inventory_kind kind)
{
    return kind == INVENTORY_HUGGINGFACE ? "huggingface" : "safetensors";
}

/* ---- JSON ---- */

static cJSON *json_count(uint64_t n) { return json_real((double)n); }

static cJSON *json_token(int32_t id) { return id < 0 ? cJSON_CreateNull() : cJSON_CreateNumber(id); }

static cJSON *config_json(const gpt2q_config *c)
{
    cJSON *o = cJSON_CreateObject();
    cJSON_AddNumberToObject(o, "vocab_size", c->vocab_size);
    cJSON_AddNumberToObject(o, "n_positions", c->n_positions);
    cJSON_AddNumberToObject(o, "n_embd", c->n_embd);
    cJSON_AddNumberToObject(o, "n_layer", c->n_layer);
    cJSON_AddNumberToObject(o, "n_head", c->n_head);
    cJSON_AddNumberToObject(o, "n_inner", c->n_inner);
    cJSON_AddItemToObject(o, "bos_token_id", json_token(c->bos_token_id));
    cJSON_AddItemToObject(o, "eos_token_id", json_token(c->eos_token_id));
    cJSON_AddNumberToObject(o, "layer_norm_epsilon", (double)c->layer_norm_epsilon);
    cJSON_AddStringToObject(o, "activation_function", c->activation_function);
    cJSON_AddBoolToObject(o, "scale_attn_weights", c->scale_attn_weights);
    cJSON_AddBoolToObject(o, "scale_attn_by_inverse_layer_idx", c->scale_attn_by_inverse_layer_idx);
    cJSON_AddBoolToObject(o, "tie_word_embeddings", c->tie_word_embeddings);
    return o;
}

static cJSON *footprint_json(const struct inventory *v)
{
    cJSON *o = cJSON_CreateObject();
    struct footprint f = inventory_footprint(&v->config, v->parameters);
    cJSON_AddItemToObject(o, "f32", json_count(f.f32));
    if (v->has_config) {
        cJSON_AddItemToObject(o, "f32_with_masks", json_count(f.f32_with_masks));
        cJSON_AddItemToObject(o, "notes", json_count(f.notes));
    } else { /* how many masks there would be is not known */
        cJSON_AddNullToObject(o, "f32_with_masks");
        cJSON_AddNullToObject(o, "notes");
    }
    return o;
}

static cJSON *tensor_json(const struct inventory_tensor *t)
{
    cJSON *o = cJSON_CreateObject();
    cJSON_AddItemToObject(o, "name", json_text(t->name, strlen(t->name)));
    cJSON *shape = cJSON_AddArrayToObject(o, "shape");
    for (int i = 0; i < t->n_dims; i++) cJSON_AddItemToArray(shape, json_count(t->shape[i]));
    cJSON_AddStringToObject(o, "dtype", t->dtype);
    const char *scheme = stored_scheme(t);
    cJSON_AddItemToObject(o, "scheme", scheme ? cJSON_CreateString(scheme) : cJSON_CreateNull());
    cJSON_AddItemToObject(o, "bytes", json_count(t->bytes));
    return o;
}

static void print_json(const struct inventory *v, const char *path)
{
    cJSON *doc = cJSON_CreateObject();
    cJSON_AddItemToObject(doc, "path", json_text(path, strlen(path)));
    cJSON_AddStringToObject(doc, "kind", kind_name(v->kind));
    cJSON_AddItemToObject(doc, "config", v->has_config ? config_json(&v->config) : cJSON_CreateNull());
    cJSON_AddItemToObject(doc, "parameters", json_count(v->parameters));
    cJSON_AddItemToObject(doc, "bytes", json_count(v->bytes));
    cJSON_AddItemToObject(doc, "footprint", footprint_json(v));
    cJSON *tensors = cJSON_AddArrayToObject(doc, "tensors");
    for (size_t i = 0; i < v->n_tensors; i++) cJSON_AddItemToArray(tensors, tensor_json(&v->tensors[i]));
    json_print(doc);
}

/* ---- text ---- */

static void shape_text(const struct inventory_tensor *t, char text[24 * ST_MAX_DIMS])
{
    char *end = text;
    *end = '\0';
    for (int i = 0; i < t->n_dims; i++) end += sprintf(end, "%s%" PRIu64, i ? " x " : "", t->shape[i]);
}

static void print_tensors(const struct inventory *v)
{
    char shape[24 * ST_MAX_DIMS], bytes[COUNT_TEXT];
    printf("\n%-26s %-16s %-6s %-6s %14s\n", "tensor", "shape", "dtype", "scheme", "bytes");
    for (size_t i = 0; i < v->n_tensors; i++) {
        const struct inventory_tensor *t = &v->tensors[i];
        const char *scheme = stored_scheme(t);
        shape_text(t, shape);
        print_text(t->name, strlen(t->name));
        printf("%*s %-16s %-6s %-6s %14s\n", (int)(strlen(t->name) < 26 ? 26 - strlen(t->name) : 0), "",
               shape, t->dtype, scheme ? scheme : "-", print_count(t->bytes, bytes));
    }
}

static void print_footprint(const struct inventory *v)
{
    char a[COUNT_TEXT];
    struct footprint f = inventory_footprint(&v->config, v->parameters);
    printf("\n%-26s %15s bytes\n", "as stored", print_count(v->bytes, a));
    printf("%-26s %15s bytes  4 a parameter\n", "in float32", print_count(f.f32, a));
    if (!v->has_config) return;
    int n = v->config.n_positions;
    printf("%-26s %15s bytes  and %d causal masks of %d x %d booleans, %d scalars of 4 bytes: PyTorch's "
           "buffers\n",
           "in float32 with masks", print_count(f.f32_with_masks, a), (int)v->config.n_layer, n, n,
           (int)v->config.n_layer);
    printf("%-26s %15s bytes  1 a parameter, and the same masks and scalars\n", "in the notes' uint8",
           print_count(f.notes, a));
}

static void print_table(const struct inventory *v, const char *path)
{
    char parameters[COUNT_TEXT];
    const gpt2q_config *c = &v->config;
    print_text(path, strlen(path));
    printf(": %s, %s parameters in %zu tensors\n", kind_name(v->kind), print_count(v->parameters, parameters),
           v->n_tensors);
    if (v->has_config)
        printf("n_layer %d, n_embd %d, n_head %d, n_inner %d, n_positions %d, vocab_size %d, %s\n",
               (int)c->n_layer, (int)c->n_embd, (int)c->n_head, (int)c->n_inner, (int)c->n_positions,
               (int)c->vocab_size, c->activation_function);
    print_tensors(v);
    print_footprint(v);
}

/* ---- running ---- */

static int report(const struct inventory *v, const char *path)
{
    gpt2q_error err;
    if (opt.check && inventory_check(v, &err)) return failed(&err);
    if (opt.json)
        print_json(v, path);
    else
        print_table(v, path);
    if (opt.check && !opt.json) printf("\nevery value is a finite number\n");
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

static int run(int argc, char **argv)
{
    gpt2q_error err;
    char *path;
    struct inventory v;
    if (argc > 1) return usage_error("one file or directory is expected, not %d", argc);
    if (argc == 1 && opt.shape) return usage_error("a path and --shape exclude each other");
    if (opt.shape) return inspect_shape();
    if (model_locate(argc ? argv[0] : NULL, &path, &err)) return failed(&err);
    int code;
    if (inventory_open(path, &v, &err)) {
        code = failed(&err);
    } else {
        code = report(&v, path);
        inventory_close(&v);
    }
    mem_free(path);
    return code;
}

const struct command command_inspect = {
    .name = "inspect",
    .arguments = "[PATH]",
    .summary = "say what a model file holds",
    .description = "PATH is a Hugging Face directory, any safetensors file, or the name of a model (default: "
                   "the model that comes with\n"
                   "gpt2q). Shapes are in the checkpoint's order.\n",
    .examples = "  gpt2q inspect models/tales-7m\n"
                "  gpt2q inspect --shape gpt2 --json\n"
                "  gpt2q inspect --check model.safetensors\n",
    .options = options,
    .run = run,
};
