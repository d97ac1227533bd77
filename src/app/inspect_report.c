/* An inventory as JSON and as a table. */
#include "app/inspect.h"
#include "app/tables.h"
#include "model/gpt2q_file.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* A file without a directory is named by its container. */
static const char *kind_name(const struct inventory *v)
{
    if (v->kind == INVENTORY_HUGGINGFACE) return "huggingface";
    return v->kind == INVENTORY_GPT2Q ? "gpt2q" : v->container.files[0].reader->name;
}

/* What a .gpt2q file says of itself; NULL where it is silent. */
static const char *metadata_of(const struct inventory *v, const char *key)
{
    return v->kind == INVENTORY_GPT2Q && v->weights.n_files ? safetensors_metadata(&v->weights.files[0], key)
                                                            : NULL;
}

/* ---- JSON ---- */

static cJSON *json_count(uint64_t n) { return json_real((double)n); }

static cJSON *json_token(int32_t id) { return id < 0 ? cJSON_CreateNull() : cJSON_CreateNumber(id); }

static cJSON *json_ends(const gpt2q_config *c)
{
    if (c->n_more_eos == 0) return json_token(c->eos_token_id);
    cJSON *list = cJSON_CreateArray();
    cJSON_AddItemToArray(list, json_token(c->eos_token_id));
    for (int32_t i = 0; i < c->n_more_eos; i++)
        cJSON_AddItemToArray(list, json_token(c->more_eos_token_ids[i]));
    return list;
}

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
    cJSON_AddItemToObject(o, "eos_token_id", json_ends(c));
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
    } else { /* the number of masks is not known */
        cJSON_AddNullToObject(o, "f32_with_masks");
        cJSON_AddNullToObject(o, "notes");
    }
    return o;
}

cJSON *inspect_tensor_json(const struct inventory_tensor *t)
{
    cJSON *o = cJSON_CreateObject();
    cJSON_AddItemToObject(o, "name", json_text(t->name, strlen(t->name)));
    cJSON *shape = cJSON_AddArrayToObject(o, "shape");
    for (int i = 0; i < t->n_dims; i++) cJSON_AddItemToArray(shape, json_count(t->shape[i]));
    cJSON_AddStringToObject(o, "dtype", t->dtype);
    char scheme[SCHEME_TEXT_MAX];
    cJSON_AddItemToObject(o, "scheme",
                          t->has_scheme ? cJSON_CreateString(scheme_print(t->scheme, scheme))
                                        : cJSON_CreateNull());
    cJSON_AddItemToObject(o, "bytes", json_count(t->bytes));
    if (!t->measured) return o;
    cJSON_AddItemToObject(o, "relative_error", json_real(t->errors.relative_error));
    cJSON_AddItemToObject(o, "mean_error", json_real(t->errors.mean_error));
    if (!t->one_scale) return o;
    cJSON_AddItemToObject(o, "scale", json_real((double)t->scale));
    cJSON_AddItemToObject(o, "zero", json_real((double)t->zero));
    return o;
}

void inspect_print_json(const struct inventory *v, const char *path)
{
    cJSON *doc = cJSON_CreateObject();
    cJSON_AddItemToObject(doc, "path", json_text(path, strlen(path)));
    cJSON_AddStringToObject(doc, "kind", kind_name(v));
    cJSON_AddItemToObject(doc, "config", v->has_config ? config_json(&v->config) : cJSON_CreateNull());
    if (v->kind == INVENTORY_GPT2Q) {
        const char *calibration = metadata_of(v, GPT2Q_KEY_CALIBRATION);
        const char *method = metadata_of(v, GPT2Q_KEY_METHOD);
        if (!method) method = "rtn";
        cJSON_AddItemToObject(doc, "method", json_text(method, strlen(method)));
        cJSON_AddItemToObject(doc, "calibration",
                              calibration ? json_text(calibration, strlen(calibration)) : cJSON_CreateNull());
    }
    cJSON_AddItemToObject(doc, "parameters", json_count(v->parameters));
    cJSON_AddItemToObject(doc, "bytes", json_count(v->bytes));
    cJSON_AddItemToObject(doc, "footprint", footprint_json(v));
    cJSON *left = NULL; /* a field where there is something to say */
    for (size_t i = 0; i < v->n_tensors; i++) {
        if (!v->tensors[i].is_left_out) continue;
        if (!left) left = cJSON_AddArrayToObject(doc, "left_out");
        cJSON_AddItemToArray(left, json_text(v->tensors[i].name, strlen(v->tensors[i].name)));
    }
    cJSON *tensors = cJSON_AddArrayToObject(doc, "tensors");
    for (size_t i = 0; i < v->n_tensors; i++)
        cJSON_AddItemToArray(tensors, inspect_tensor_json(&v->tensors[i]));
    json_print(doc);
}

/* ---- text ---- */

void inspect_print_shape(const struct inventory_tensor *t, char text[SHAPE_TEXT])
{
    char *end = text;
    *end = '\0';
    for (int i = 0; i < t->n_dims; i++) end += sprintf(end, "%s%" PRIu64, i ? " x " : "", t->shape[i]);
}

/* What a scheme would do: the errors, then scale and zero point if the tensor has one of each, else the
 * scheme. */
static void print_measured(const struct inventory_tensor *t)
{
    char bytes[COUNT_TEXT], scheme[SCHEME_TEXT_MAX];
    printf(" %11s %9.2e %9.2e", print_count(t->bytes, bytes), t->errors.relative_error, t->errors.mean_error);
    if (t->one_scale)
        printf(" %11.5g %9.4g", (double)t->scale, (double)t->zero);
    else
        printf("  %s", t->has_scheme ? scheme_print(t->scheme, scheme) : "");
}

static void print_stored(const struct inventory_tensor *t)
{
    char shape[SHAPE_TEXT], bytes[COUNT_TEXT], scheme[SCHEME_TEXT_MAX];
    inspect_print_shape(t, shape);
    printf(" %-14s %-6s %-17s %13s", shape, t->dtype, t->has_scheme ? scheme_print(t->scheme, scheme) : "-",
           print_count(t->bytes, bytes));
}

static void print_tensors(const struct inventory *v)
{
    bool measured = v->n_tensors && v->tensors[0].measured;
    int column = measured ? 24 : 26;
    if (measured)
        printf("\n%-24s %11s %9s %9s %11s %9s\n", "tensor", "bytes", "rel. err.", "mean err.", "scale",
               "zero");
    else
        printf("\n%-26s %-14s %-6s %-17s %13s\n", "tensor", "shape", "dtype", "scheme", "bytes");
    for (size_t i = 0; i < v->n_tensors; i++) {
        char name[SAFE_NAME];
        const struct inventory_tensor *t = &v->tensors[i];
        int width = (int)strlen(safe_name(t->name, name));
        fputs(name, stdout);
        printf("%*s", width < column ? column - width : 0, "");
        (t->measured ? print_measured : print_stored)(t);
        putchar('\n');
    }
}

static void print_footprint(const struct inventory *v)
{
    char a[COUNT_TEXT];
    struct footprint f = inventory_footprint(&v->config, v->parameters);
    printf("\n%-21s %15s bytes\n", v->quantized ? "as quantized" : "as stored", print_count(v->bytes, a));
    printf("%-21s %15s bytes, 4 a parameter\n", "in float32", print_count(f.f32, a));
    if (!v->has_config) return;
    int n = v->config.n_positions;
    printf("%-21s %15s bytes, PyTorch's %d masks of %dx%d too\n", "in float32, and masks",
           print_count(f.f32_with_masks, a), (int)v->config.n_layer, n, n);
    printf("%-21s %15s bytes, 1 a parameter, and the masks\n", "in the notes' uint8",
           print_count(f.notes, a));
}

static void print_made(const char *label, const char *text)
{
    if (!text) return;
    printf("%s: ", label);
    print_escaped(text, strlen(text));
    putchar('\n');
}

/* Heads of other models than a language model. */
static void print_left_out(const struct inventory *v)
{
    size_t n = 0;
    for (size_t i = 0; i < v->n_tensors; i++) {
        if (!v->tensors[i].is_left_out) continue;
        printf("%s", n++ ? ", " : "left out, for they belong to no language head: ");
        print_text(v->tensors[i].name, strlen(v->tensors[i].name));
    }
    if (n) putchar('\n');
}

void inspect_print_table(const struct inventory *v, const char *path)
{
    char parameters[COUNT_TEXT];
    const gpt2q_config *c = &v->config;
    print_escaped(path, strlen(path));
    printf(": %s, %s parameters in %zu tensors\n", kind_name(v), print_count(v->parameters, parameters),
           v->n_tensors);
    print_made("method", metadata_of(v, GPT2Q_KEY_METHOD));
    print_made("calibration", metadata_of(v, GPT2Q_KEY_CALIBRATION));
    if (v->has_config)
        printf("n_layer %d, n_embd %d, n_head %d, n_inner %d\n"
               "n_positions %d, vocab_size %d, %s\n",
               (int)c->n_layer, (int)c->n_embd, (int)c->n_head, (int)c->n_inner, (int)c->n_positions,
               (int)c->vocab_size, c->activation_function);
    print_left_out(v);
    print_tensors(v);
    print_footprint(v);
}
