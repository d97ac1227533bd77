/* config.json: keys, defaults and aliases of Hugging Face's GPT2Config. Keys that change the arithmetic
 * are read, others are passed over. What this engine cannot do (another architecture, cross attention, an
 * unknown activation) is refused by name. The limits keep every product of sizes within 64 bits. */
#include "model/config.h"
#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define MAX_VOCAB     (1 << 24)
#define MAX_POSITIONS (1 << 20)
#define MAX_EMBD      65536
#define MAX_LAYER     1024
#define MAX_HEAD      4096
#define MAX_INNER     (1 << 20)
#define DEFAULT_EOS   50256
#define MAX_CONFIG    ((size_t)1 << 20) /* bytes of a file */

static const char *const function_names[ACT_COUNT] = {[ACT_GELU_NEW] = "gelu_new",
                                                      [ACT_RELU] = "relu",
                                                      [ACT_SILU] = "silu",
                                                      [ACT_GELU] = "gelu",
                                                      [ACT_TANH] = "tanh"};

/* The names that files use for them. */
static const struct {
    const char *name;
    enum activation_function function;
} activations[] = {{"gelu_new", ACT_GELU_NEW},  {"gelu_pytorch_tanh", ACT_GELU_NEW},
                   {"gelu_fast", ACT_GELU_NEW}, {"relu", ACT_RELU},
                   {"silu", ACT_SILU},          {"swish", ACT_SILU},
                   {"gelu", ACT_GELU},          {"gelu_python", ACT_GELU},
                   {"tanh", ACT_TANH}};

#define MAX_NAMES 3

/* Reads a size under its own name or others: those that transformers uses for all architectures, or a
 * legacy name. All that are there must agree. */
static gpt2q_status read_size(const cJSON *root, const char *file, const char *const names[MAX_NAMES],
                              int32_t max, int32_t *size, gpt2q_error *err)
{
    const char *said = NULL;
    for (int i = 0; i < MAX_NAMES && names[i]; i++) {
        int64_t value = 0;
        bool present;
        gpt2q_status s = json_integer(root, names[i], file, 1, max, &value, &present, err);
        if (s) return s;
        if (!present) continue;
        if (said && value != *size) {
            return error_set(err, GPT2Q_FORMAT, "%s: %s is %d but %s is %d", file, said, (int)*size, names[i],
                             (int)value);
        }
        said = names[i];
        *size = (int32_t)value;
    }
    return GPT2Q_OK;
}

static gpt2q_status read_sizes(const cJSON *root, const char *file, gpt2q_config *c, gpt2q_error *err)
{
    const struct {
        const char *names[MAX_NAMES];
        int32_t max, *size;
    } sizes[] = {{{"vocab_size"}, MAX_VOCAB, &c->vocab_size},
                 {{"n_positions", "max_position_embeddings", "n_ctx"}, MAX_POSITIONS, &c->n_positions},
                 {{"n_embd", "hidden_size"}, MAX_EMBD, &c->n_embd},
                 {{"n_layer", "num_hidden_layers"}, MAX_LAYER, &c->n_layer},
                 {{"n_head", "num_attention_heads"}, MAX_HEAD, &c->n_head},
                 {{"n_inner"}, MAX_INNER, &c->n_inner}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        gpt2q_status s = read_size(root, file, sizes[i].names, sizes[i].max, sizes[i].size, err);
        if (s) return s;
    }
    if (!c->n_inner) c->n_inner = 4 * c->n_embd;
    if (c->n_embd % c->n_head == 0) return GPT2Q_OK;
    return error_set(err, GPT2Q_FORMAT, "%s: n_embd %d is not a multiple of n_head %d", file, (int)c->n_embd,
                     (int)c->n_head);
}

static gpt2q_status wrong_token(const char *file, const char *key, gpt2q_error *err)
{
    return error_set(err, GPT2Q_FORMAT, "%s: %s must be an integer%s, or null", file, key,
                     strcmp(key, "eos_token_id") ? "" : ", a list of integers");
}

/* Adds an id to those that end a text, unless it is listed already. An id outside the vocabulary never
 * comes and is left out. */
static gpt2q_status add_end(gpt2q_config *c, int32_t id, const char *file, gpt2q_error *err)
{
    if (id < 0 || id >= c->vocab_size || config_is_end(c, id)) return GPT2Q_OK;
    if (c->eos_token_id < 0)
        c->eos_token_id = id;
    else if (c->n_more_eos == GPT2Q_MORE_EOS)
        return error_set(err, GPT2Q_UNSUPPORTED, "%s: eos_token_id lists more than %d ids", file,
                         GPT2Q_MORE_EOS + 1);
    else
        c->more_eos_token_ids[c->n_more_eos++] = id;
    return GPT2Q_OK;
}

/* An integer of 53 bits as an id, -1 if it cannot be one. */
static bool is_token(const cJSON *item, int32_t *id)
{
    double v = cJSON_IsNumber(item) ? item->valuedouble : 0.5;
    *id = v >= 0 && v <= MAX_VOCAB ? (int32_t)v : -1;
    return v == floor(v);
}

/* Reads bos_token_id and eos_token_id. The latter may be a list. null: none. */
static gpt2q_status read_tokens(const cJSON *root, const char *file, gpt2q_config *c, gpt2q_error *err)
{
    const cJSON *bos = cJSON_GetObjectItemCaseSensitive(root, "bos_token_id");
    const cJSON *eos = cJSON_GetObjectItemCaseSensitive(root, "eos_token_id"), *item;
    int32_t id = -1;
    gpt2q_status s = GPT2Q_OK;
    if (bos && !cJSON_IsNull(bos) && !is_token(bos, &id)) return wrong_token(file, "bos_token_id", err);
    if (bos) c->bos_token_id = id < c->vocab_size ? id : -1;
    if (!eos) return s;
    c->eos_token_id = -1, c->n_more_eos = 0;
    if (cJSON_IsArray(eos)) {
        cJSON_ArrayForEach(item, eos)
        {
            if (!s && !is_token(item, &id)) s = wrong_token(file, "eos_token_id", err);
            if (!s) s = add_end(c, id, file, err);
        }
        return s;
    }
    if (cJSON_IsNull(eos)) return s;
    return is_token(eos, &id) ? add_end(c, id, file, err) : wrong_token(file, "eos_token_id", err);
}

bool config_is_end(const gpt2q_config *c, int32_t id)
{
    if (id < 0) return false;
    bool end = id == c->eos_token_id;
    for (int32_t i = 0; i < c->n_more_eos; i++) end |= id == c->more_eos_token_ids[i];
    return end;
}

static gpt2q_status read_flags(const cJSON *root, const char *file, gpt2q_config *c, gpt2q_error *err)
{
    bool cross = false, upcast; /* the latter changes only the order of two exact steps */
    const struct {
        const char *key;
        bool *flag;
    } flags[] = {{"scale_attn_weights", &c->scale_attn_weights},
                 {"scale_attn_by_inverse_layer_idx", &c->scale_attn_by_inverse_layer_idx},
                 {"tie_word_embeddings", &c->tie_word_embeddings},
                 {"reorder_and_upcast_attn", &upcast},
                 {"add_cross_attention", &cross}};
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        bool present;
        gpt2q_status s = json_bool(root, flags[i].key, file, flags[i].flag, &present, err);
        if (s) return s;
    }
    if (!cross) return GPT2Q_OK;
    return error_set(err, GPT2Q_UNSUPPORTED, "%s: add_cross_attention is true, which is not supported", file);
}

static gpt2q_status read_model_type(const cJSON *root, const char *file, gpt2q_error *err)
{
    const cJSON *type = cJSON_GetObjectItemCaseSensitive(root, "model_type");
    if (!type) return error_set(err, GPT2Q_FORMAT, "%s: model_type is missing, expected \"gpt2\"", file);
    if (!cJSON_IsString(type)) return error_set(err, GPT2Q_FORMAT, "%s: model_type is not a string", file);
    if (!strcmp(type->valuestring, "gpt2")) return GPT2Q_OK;
    return error_set(err, GPT2Q_UNSUPPORTED, "%s: model_type is \"%s\", only \"gpt2\" is supported", file,
                     type->valuestring);
}

static gpt2q_status read_activation(const cJSON *root, const char *file, gpt2q_config *c, gpt2q_error *err)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(root, "activation_function");
    if (!item || cJSON_IsNull(item)) return GPT2Q_OK;
    if (!cJSON_IsString(item))
        return error_set(err, GPT2Q_FORMAT, "%s: activation_function is not a string", file);
    for (size_t i = 0; i < sizeof activations / sizeof *activations; i++) {
        if (strcmp(item->valuestring, activations[i].name) != 0) continue;
        snprintf(c->activation_function, sizeof c->activation_function, "%s",
                 function_names[activations[i].function]);
        return GPT2Q_OK;
    }
    return error_set(
        err, GPT2Q_UNSUPPORTED,
        "%s: activation_function is \"%s\", supported are gelu_new (gelu_pytorch_tanh, gelu_fast), "
        "relu, silu (swish), gelu (gelu_python) and tanh",
        file, item->valuestring);
}

static gpt2q_status read_config(const cJSON *root, const char *file, gpt2q_config *c, gpt2q_error *err)
{
    if (!cJSON_IsObject(root)) return error_set(err, GPT2Q_FORMAT, "%s: is not a JSON object", file);
    double epsilon = 1e-5;
    bool present;
    gpt2q_status s = read_model_type(root, file, err);
    if (!s) s = read_sizes(root, file, c, err);
    c->bos_token_id = c->eos_token_id = DEFAULT_EOS < c->vocab_size ? DEFAULT_EOS : -1;
    if (!s) s = read_tokens(root, file, c, err);
    if (!s) s = read_flags(root, file, c, err);
    if (!s) s = read_activation(root, file, c, err);
    /* With an epsilon of 0, a constant row is divided by its standard deviation, 0. Then the logits are
     * not finite, and the request fails with a sentence. */
    if (!s) s = json_number(root, "layer_norm_epsilon", file, 0, 1, &epsilon, &present, err);
    c->layer_norm_epsilon = (float)epsilon;
    return s;
}

gpt2q_status config_parse(const char *text, size_t size, const char *name, gpt2q_config *out,
                          gpt2q_error *err)
{
    gpt2q_config c = {.vocab_size = 50257,
                      .n_positions = 1024,
                      .n_embd = 768,
                      .n_layer = 12,
                      .n_head = 12,
                      .activation_function = "gelu_new",
                      .scale_attn_weights = true,
                      .tie_word_embeddings = true};
    cJSON *root;
    gpt2q_status s = json_parse_wild(text, size, name, &root, err);
    if (!s) s = read_config(root, name, &c, err);
    cJSON_Delete(root);
    *out = s ? (gpt2q_config){0} : c;
    return s;
}

/* Reads one of the directory's files, of at most MAX_CONFIG bytes, with `read`. *present: the file exists. */
static gpt2q_status open_in(const char *directory, const char *name, bool needed, bool *present,
                            gpt2q_status (*read)(const char *text, size_t size, const char *name,
                                                 gpt2q_config *c, gpt2q_error *err),
                            gpt2q_config *c, gpt2q_error *err)
{
    char *path = path_join(directory, name), *text = NULL;
    size_t n;
    if (!path) return error_memory(err, "a path", strlen(directory));
    gpt2q_status s = file_look_for(path, present, err);
    *present = *present || needed;
    if (!s && *present) s = file_read_regular(path, MAX_CONFIG, &text, &n, err);
    if (!s && *present) s = read(text, n, path, c, err);
    mem_free(text);
    mem_free(path);
    return s;
}

static gpt2q_status parse_generation(const char *text, size_t size, const char *name, gpt2q_config *c,
                                     gpt2q_error *err)
{
    cJSON *root;
    gpt2q_status s = json_parse_wild(text, size, name, &root, err);
    if (!s && !cJSON_IsObject(root)) s = error_set(err, GPT2Q_FORMAT, "%s: is not a JSON object", name);
    c->bos_token_id = c->eos_token_id = -1, c->n_more_eos = 0;
    if (!s) s = read_tokens(root, name, c, err);
    cJSON_Delete(root);
    return s;
}

gpt2q_status config_open(const char *directory, gpt2q_config *out, gpt2q_error *err)
{
    bool present;
    gpt2q_status s = open_in(directory, "config.json", true, &present, config_parse, out, err);
    return s ? s : open_in(directory, "generation_config.json", false, &present, parse_generation, out, err);
}

static const char *print_token(int32_t id, char text[16])
{
    snprintf(text, 16, "%d", (int)id);
    return id < 0 ? "null" : text;
}

/* Writes a number, null, or a list. */
static const char *print_ends(const gpt2q_config *c, char text[16 * (GPT2Q_MORE_EOS + 2)])
{
    if (c->n_more_eos == 0) return print_token(c->eos_token_id, text);
    int n = sprintf(text, "[%d", (int)c->eos_token_id);
    for (int32_t i = 0; i < c->n_more_eos; i++) n += sprintf(text + n, ", %d", (int)c->more_eos_token_ids[i]);
    sprintf(text + n, "]");
    return text;
}

char *config_print(const gpt2q_config *c)
{
    static const char *const truth[] = {"false", "true"};
    const size_t size = 1024; /* more than the longest values of all fields take */
    char *text = mem_alloc(size), bos[16], eos[16 * (GPT2Q_MORE_EOS + 2)];
    if (!text) return NULL;
    int n =
        snprintf(text, size,
                 "{\n  \"model_type\": \"gpt2\",\n  \"architectures\": [\"GPT2LMHeadModel\"],\n"
                 "  \"vocab_size\": %d,\n  \"n_positions\": %d,\n  \"n_embd\": %d,\n  \"n_layer\": %d,\n"
                 "  \"n_head\": %d,\n  \"n_inner\": %d,\n  \"bos_token_id\": %s,\n  \"eos_token_id\": %s,\n"
                 "  \"layer_norm_epsilon\": %.9g,\n  \"activation_function\": \"%s\",\n"
                 "  \"scale_attn_weights\": %s,\n  \"scale_attn_by_inverse_layer_idx\": %s,\n"
                 "  \"tie_word_embeddings\": %s\n}\n",
                 (int)c->vocab_size, (int)c->n_positions, (int)c->n_embd, (int)c->n_layer, (int)c->n_head,
                 (int)c->n_inner, print_token(c->bos_token_id, bos), print_ends(c, eos),
                 (double)c->layer_norm_epsilon, c->activation_function, truth[c->scale_attn_weights],
                 truth[c->scale_attn_by_inverse_layer_idx], truth[c->tie_word_embeddings]);
    assert(n > 0 && (size_t)n < size);
    (void)n;
    return text;
}

enum activation_function config_activation(const gpt2q_config *config)
{
    for (int i = 0; i < ACT_COUNT; i++) {
        if (!strcmp(config->activation_function, function_names[i])) return (enum activation_function)i;
    }
    assert(false && "a config that config_parse did not make");
    return ACT_GELU_NEW;
}

uint64_t config_parameters(const gpt2q_config *c)
{
    uint64_t d = (uint64_t)c->n_embd, inner = (uint64_t)c->n_inner, vocab = (uint64_t)c->vocab_size;
    uint64_t attention = d * 3 * d + 3 * d + d * d + d, mlp = d * inner + inner + inner * d + d,
             norms = 4 * d;
    return (c->tie_word_embeddings ? 1 : 2) * vocab * d + (uint64_t)c->n_positions * d +
           (uint64_t)c->n_layer * (attention + mlp + norms) + 2 * d;
}
