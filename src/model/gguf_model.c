/* Sizes go through config_parse as the text of a config.json, so that limits and rules are in one place. */
#include "model/gguf_model.h"
#include "base/memory.h"
#include "model/config.h"
#include <inttypes.h>
#include <math.h>
#include <string.h>

/* ---- names ---- */

static const struct {
    const char *gguf, *name;
} blocks[] = {{"attn_norm", "ln_1"}, {"attn_qkv", "attn.c_attn"}, {"attn_output", "attn.c_proj"},
              {"ffn_norm", "ln_2"},  {"ffn_up", "mlp.c_fc"},      {"ffn_down", "mlp.c_proj"}},
  others[] = {
      {"token_embd", "wte"}, {"position_embd", "wpe"}, {"output_norm", "ln_f"}, {"output", "lm_head"}};

bool gguf_weight_name(const char *gguf, char name[WEIGHT_NAME_MAX])
{
    struct weight_id id;
    const char *rest = gguf, *layer = NULL;
    if (!strncmp(gguf, "blk.", 4)) {
        layer = gguf + 4;
        rest = layer + strspn(layer, "0123456789");
        if (rest == layer || rest - layer > 8 || *rest++ != '.') return false;
    }
    const size_t n = layer ? sizeof blocks / sizeof *blocks : sizeof others / sizeof *others;
    for (size_t i = 0; i < n; i++) {
        const char *from = layer ? blocks[i].gguf : others[i].gguf,
                   *to = layer ? blocks[i].name : others[i].name;
        const size_t length = strlen(from);
        if (strncmp(rest, from, length) || rest[length] != '.') continue;
        if (layer)
            snprintf(name, WEIGHT_NAME_MAX, "h.%.*s.%s%s", (int)(rest - 1 - layer), layer, to, rest + length);
        else
            snprintf(name, WEIGHT_NAME_MAX, "%s%s", to, rest + length);
        return weight_parse(name, &id) == NAME_WEIGHT;
    }
    return false;
}

const char *gguf_print_name(struct weight_id id, char name[GGUF_NAME_MAX])
{
    char checkpoint[WEIGHT_NAME_MAX];
    const char *rest = weight_print(id, checkpoint);
    const bool block = id.part < BLOCK_PARTS;
    if (block) rest = strchr(rest + 2, '.') + 1;
    const size_t n = block ? sizeof blocks / sizeof *blocks : sizeof others / sizeof *others;
    *name = '\0';
    for (size_t i = 0; i < n; i++) {
        const char *from = block ? blocks[i].name : others[i].name,
                   *to = block ? blocks[i].gguf : others[i].gguf;
        const size_t length = strlen(from);
        if (strncmp(rest, from, length) || rest[length] != '.') continue;
        if (block)
            snprintf(name, GGUF_NAME_MAX, "blk.%d.%s%s", id.layer, to, rest + length);
        else
            snprintf(name, GGUF_NAME_MAX, "%s%s", to, rest + length);
    }
    return name;
}

/* ---- config ---- */

static gpt2q_status check_kind(const struct gguf_file *f, gpt2q_error *err)
{
    struct gguf_string architecture = {0};
    int64_t parts = 1;
    bool present;
    gpt2q_status s = gguf_text(f, "general.architecture", &architecture, &present, err);
    if (!s && !present)
        s = error_set(err, GPT2Q_FORMAT, "%s: general.architecture is missing, expected \"gpt2\"",
                      f->map.path);
    if (!s && (architecture.n != 4 || memcmp(architecture.text, "gpt2", 4)))
        s = error_set(err, GPT2Q_UNSUPPORTED,
                      "%s: general.architecture is \"%.*s\", only \"gpt2\" is supported", f->map.path,
                      (int)(architecture.n < 40 ? architecture.n : 40), architecture.text);
    if (!s) s = gguf_integer(f, "split.count", 0, UINT16_MAX, &parts, &present, err);
    if (s || parts <= 1) return s;
    return error_set(err, GPT2Q_UNSUPPORTED,
                     "%s: is one of %" PRId64
                     " parts of a model (split.count); llama-gguf-split --merge joins them",
                     f->map.path, parts);
}

/* Reads a size of the model. Without the key it is `otherwise`; 0: the key must be there. */
static gpt2q_status read_size(const struct gguf_file *f, const char *key, int64_t otherwise, int64_t *out,
                              gpt2q_error *err)
{
    bool present;
    *out = otherwise;
    gpt2q_status s = gguf_integer(f, key, 1, 1 << 24, out, &present, err);
    if (s || present || otherwise) return s;
    return error_set(err, GPT2Q_FORMAT, "%s: %s is missing", f->map.path, key);
}

/* The id that ends a text. The vocabulary has `rows` entries. Without the key it is <|endoftext|>. */
static gpt2q_status read_token(const struct gguf_file *f, const char *key, int64_t rows, int64_t *out,
                               gpt2q_error *err)
{
    const struct gguf_key *tokens = gguf_find(f, "tokenizer.ggml.tokens");
    const uint8_t *at = tokens ? tokens->value : NULL;
    const bool strings = tokens && tokens->type == GGUF_ARRAY && tokens->element == GGUF_STRING;
    bool present;
    *out = -1;
    gpt2q_status s = gguf_integer(f, key, 0, rows - 1, out, &present, err);
    for (uint64_t i = 0; strings && !s && !present && i < tokens->count; i++) {
        const struct gguf_string t = gguf_next_string(&at);
        if (t.n == 13 && !memcmp(t.text, "<|endoftext|>", 13)) *out = i < (uint64_t)rows ? (int64_t)i : -1;
    }
    return s;
}

/* eos_token_id as JSON: a number, null, or with GGUF_OWN_MORE_EOS a list. */
static gpt2q_status print_ends(const struct gguf_file *f, int64_t eos, char *text, size_t room,
                               gpt2q_error *err)
{
    const struct gguf_key *more = gguf_find(f, GGUF_OWN_MORE_EOS);
    if (eos < 0)
        snprintf(text, room, "null");
    else
        snprintf(text, room, "%s%" PRId64, more ? "[" : "", eos);
    if (!more) return GPT2Q_OK;
    if (eos < 0 || more->type != GGUF_ARRAY || more->element != GGUF_I32 || more->count > GPT2Q_MORE_EOS)
        return error_set(err, GPT2Q_FORMAT,
                         "%s: " GGUF_OWN_MORE_EOS " is no array of at most %d 32-bit integers beside "
                         "tokenizer.ggml.eos_token_id",
                         f->map.path, GPT2Q_MORE_EOS);
    size_t n = strlen(text);
    for (uint64_t i = 0; i < more->count; i++) {
        const uint8_t *p = more->value + 4 * i;
        const uint32_t id =
            (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
        n += (size_t)snprintf(text + n, room - n, ", %" PRIu32, id & INT32_MAX);
    }
    snprintf(text + n, room - n, "]");
    return GPT2Q_OK;
}

static gpt2q_status read_own(const struct gguf_file *f, struct gguf_string *activation, bool *scale,
                             bool *inverse, gpt2q_error *err)
{
    bool present;
    *activation = (struct gguf_string){"gelu_new", 8}, *scale = true, *inverse = false;
    gpt2q_status s = gguf_text(f, GGUF_OWN_ACTIVATION, activation, &present, err);
    if (!s) s = gguf_bool(f, GGUF_OWN_SCALE, scale, &present, err);
    if (!s) s = gguf_bool(f, GGUF_OWN_INVERSE, inverse, &present, err);
    if (s) return s;
    for (size_t i = 0; i < activation->n; i++)
        if (activation->n > 40 || !strchr("abcdefghijklmnopqrstuvwxyz0123456789_", activation->text[i]))
            return error_set(err, GPT2Q_UNSUPPORTED, "%s: " GGUF_OWN_ACTIVATION " is no name of one",
                             f->map.path);
    return GPT2Q_OK;
}

static gpt2q_status read_epsilon(const struct gguf_file *f, double *epsilon, gpt2q_error *err)
{
    static const char key[] = "gpt2.attention.layer_norm_epsilon";
    bool present;
    gpt2q_status s = gguf_number(f, key, epsilon, &present, err);
    if (!s && !present) s = error_set(err, GPT2Q_FORMAT, "%s: %s is missing", f->map.path, key);
    if (s || (*epsilon >= 0 && *epsilon <= 1)) return s;
    return error_set(err, GPT2Q_FORMAT, "%s: %s is %g, expected 0 to 1", f->map.path, key, *epsilon);
}

gpt2q_status gguf_config(const struct gguf_file *f, gpt2q_config *out, gpt2q_error *err)
{
    static const char *const truth[] = {"false", "true"};
    static const char *const keys[] = {"gpt2.context_length", "gpt2.embedding_length", "gpt2.block_count",
                                       "gpt2.attention.head_count", "gpt2.feed_forward_length"};
    int64_t sizes[5], bos, eos;
    double epsilon = 0;
    bool scale, inverse;
    struct gguf_string activation;
    gpt2q_status s = check_kind(f, err);
    for (int i = 0; i < 5 && !s; i++) s = read_size(f, keys[i], i == 4 ? 4 * sizes[1] : 0, &sizes[i], err);
    const struct gguf_tensor *wte = gguf_find_tensor(f, "token_embd.weight");
    const uint64_t rows = wte && wte->n_dims == 2 ? wte->ne[1] : 0;
    if (!s && (!rows || rows > 1 << 24))
        s = error_set(err, GPT2Q_FORMAT, "%s: token_embd.weight is missing or no matrix of at most 2^24 rows",
                      f->map.path);
    if (!s) s = read_token(f, "tokenizer.ggml.bos_token_id", (int64_t)rows, &bos, err);
    if (!s) s = read_token(f, "tokenizer.ggml.eos_token_id", (int64_t)rows, &eos, err);
    if (!s) s = read_epsilon(f, &epsilon, err);
    if (!s) s = read_own(f, &activation, &scale, &inverse, err);
    char text[1024], bos_text[24] = "null", eos_text[16 * (GPT2Q_MORE_EOS + 2)];
    if (!s) s = print_ends(f, eos, eos_text, sizeof eos_text, err);
    if (s) return s;
    if (bos >= 0) snprintf(bos_text, sizeof bos_text, "%" PRId64, bos);
    int n = snprintf(text, sizeof text,
                     "{\"model_type\": \"gpt2\", \"vocab_size\": %" PRIu64 ", \"n_positions\": %" PRId64
                     ", \"n_embd\": %" PRId64 ", \"n_layer\": %" PRId64 ", \"n_head\": %" PRId64
                     ", \"n_inner\": %" PRId64 ", \"bos_token_id\": %s, \"eos_token_id\": %s, "
                     "\"layer_norm_epsilon\": %.17g, \"activation_function\": \"%.*s\", "
                     "\"scale_attn_weights\": %s, \"scale_attn_by_inverse_layer_idx\": %s, "
                     "\"tie_word_embeddings\": %s}",
                     rows, sizes[0], sizes[1], sizes[2], sizes[3], sizes[4], bos_text, eos_text, epsilon,
                     (int)activation.n, activation.text, truth[scale], truth[inverse],
                     truth[!gguf_find_tensor(f, "output.weight")]);
    return config_parse(text, (size_t)n, f->map.path, out, err);
}
