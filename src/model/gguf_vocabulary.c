/* tokenizer.ggml.* as lists of names, and as the texts of a directory. All spell tokens alike, in the byte alphabet.
 * Control and user-defined tokens other than <|endoftext|> are plain text and become added tokens. Unused
 * ones are rows without a token. */
#include "base/checked.h"
#include "base/memory.h"
#include "model/gguf_model.h"
#include <inttypes.h>
#include <string.h>

enum token_type { TOKEN_CONTROL = 3, TOKEN_USER = 4, TOKEN_UNUSED = 5 };

static bool is_end_of_text(struct gguf_string s)
{
    return s.n == strlen("<|endoftext|>") && !memcmp(s.text, "<|endoftext|>", s.n);
}

/* ---- the keys ---- */

static gpt2q_status find_array(const struct gguf_file *f, const char *name, bool strings,
                               const struct gguf_key **out, gpt2q_error *err)
{
    *out = gguf_find(f, name);
    if (!*out) return GPT2Q_OK;
    const bool integers = (*out)->element == GGUF_I32 || (*out)->element == GGUF_U32;
    if ((*out)->type == GGUF_ARRAY && (strings ? (*out)->element == GGUF_STRING : integers)) return GPT2Q_OK;
    return error_set(err, GPT2Q_FORMAT, "%s: %s is no array of %s", f->map.path, name,
                     strings ? "strings" : "32-bit integers");
}

static gpt2q_status check_name(const struct gguf_file *f, const char *key, const char *const *names,
                               gpt2q_error *err)
{
    struct gguf_string found;
    bool present;
    gpt2q_status s = gguf_text(f, key, &found, &present, err);
    if (s || !present) return s;
    for (const char *const *name = names; *name; name++)
        if (found.n == strlen(*name) && !memcmp(found.text, *name, found.n)) return GPT2Q_OK;
    return error_set(err, GPT2Q_UNSUPPORTED, "%s: %s is \"%.*s\", only \"%s\" is supported", f->map.path, key,
                     (int)(found.n < 40 ? found.n : 40), found.text, *names);
}

struct vocabulary {
    const struct gguf_file *f;
    const struct gguf_key *tokens, *merges, *types;
    struct gguf_string extras; /* of GGUF_OWN_EXTRAS; text NULL: none */
};

static gpt2q_status find_vocabulary(const struct gguf_file *f, struct vocabulary *v, gpt2q_error *err)
{
    static const char *const models[] = {"gpt2", NULL}, *const splits[] = {"gpt-2", "gpt2", NULL};
    bool present;
    *v = (struct vocabulary){.f = f};
    const struct gguf_tensor *wte = gguf_find_tensor(f, "token_embd.weight");
    gpt2q_status s = check_name(f, "tokenizer.ggml.model", models, err);
    if (!s) s = check_name(f, "tokenizer.ggml.pre", splits, err);
    if (!s) s = find_array(f, "tokenizer.ggml.tokens", true, &v->tokens, err);
    if (!s) s = find_array(f, "tokenizer.ggml.merges", true, &v->merges, err);
    if (!s) s = find_array(f, "tokenizer.ggml.token_type", false, &v->types, err);
    if (!s) s = gguf_text(f, GGUF_OWN_EXTRAS, &v->extras, &present, err);
    if (s || !v->tokens) return s;
    if (!v->merges) return error_set(err, GPT2Q_FORMAT, "%s: tokenizer.ggml.merges is missing", f->map.path);
    if (v->types && v->types->count != v->tokens->count)
        return error_set(err, GPT2Q_FORMAT,
                         "%s: tokenizer.ggml.token_type has %" PRIu64 " elements, there are %" PRIu64
                         " tokens",
                         f->map.path, v->types->count, v->tokens->count);
    if (v->merges->count > TOKENIZER_MAX_NAMES)
        return error_set(err, GPT2Q_FORMAT,
                         "%s: tokenizer.ggml.merges has %" PRIu64 " elements, at most %zu are possible",
                         f->map.path, v->merges->count, TOKENIZER_MAX_NAMES);
    const uint64_t rows = wte && wte->n_dims == 2 ? wte->ne[1] : 0;
    if (v->tokens->count <= rows) return GPT2Q_OK;
    return error_set(err, GPT2Q_FORMAT,
                     "%s: tokenizer.ggml.tokens has %" PRIu64 " tokens, token_embd.weight has %" PRIu64
                     " rows",
                     f->map.path, v->tokens->count, rows);
}

static int type_of(const struct vocabulary *v, uint64_t id)
{
    return v->types ? v->types->value[4 * id] : 1; /* types are small numbers */
}

/* Printable ASCII: the byte alphabet spells it as it stands. */
static bool is_plain(struct gguf_string s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.text[i] <= ' ' || s.text[i] > '~') return false;
    return true;
}

static bool is_added(const struct vocabulary *v, uint64_t id, struct gguf_string token)
{
    const int type = type_of(v, id);
    return (type == TOKEN_CONTROL || type == TOKEN_USER) && !is_end_of_text(token);
}

/* Whether the vocabulary proper has it: neither unused nor an added token. */
static bool is_entry(const struct vocabulary *v, uint64_t id, struct gguf_string token)
{
    return type_of(v, id) != TOKEN_UNUSED && (!is_added(v, id, token) || (v->extras.text && is_plain(token)));
}

/* ---- texts ---- */

struct text_builder {
    char *at;
    size_t n;
};

static void put(struct text_builder *t, const char *bytes, size_t n)
{
    memcpy(t->at + t->n, bytes, n);
    t->n += n;
}

static void put_json(struct text_builder *t, struct gguf_string s)
{
    char escape[8];
    put(t, "\"", 1);
    for (size_t i = 0; i < s.n; i++) {
        const unsigned char c = (unsigned char)s.text[i];
        if (c < 0x20)
            put(t, escape, (size_t)sprintf(escape, "\\u%04x", c));
        else {
            if (c == '"' || c == '\\') put(t, "\\", 1);
            t->at[t->n++] = (char)c;
        }
    }
    put(t, "\"", 1);
}

/* Allocates room for all strings of an array as JSON, and `each` bytes more for every one. */
static gpt2q_status make_room(const struct gguf_key *k, size_t each, struct text_builder *out,
                              gpt2q_error *err)
{
    const uint8_t *at = k->value;
    size_t n = 64;
    for (uint64_t i = 0; i < k->count; i++) n += 6 * gguf_next_string(&at).n + each;
    *out = (struct text_builder){mem_alloc(n), 0};
    return out->at ? GPT2Q_OK : error_memory(err, "the vocabulary", n);
}

static gpt2q_status make_vocab(const struct vocabulary *v, struct text_builder *t, gpt2q_error *err)
{
    char id[32];
    const uint8_t *at = v->tokens->value;
    gpt2q_status s = make_room(v->tokens, 32, t, err);
    if (s) return s;
    put(t, "{", 1);
    for (uint64_t i = 0; i < v->tokens->count; i++) {
        const struct gguf_string token = gguf_next_string(&at);
        if (!is_entry(v, i, token)) continue;
        if (t->n > 1) put(t, ",\n", 2);
        put_json(t, token);
        put(t, id, (size_t)sprintf(id, ": %" PRIu64, i));
    }
    put(t, "}\n", 2);
    return GPT2Q_OK;
}

static gpt2q_status make_merges(const struct vocabulary *v, struct text_builder *t, gpt2q_error *err)
{
    const uint8_t *at = v->merges->value;
    gpt2q_status s = make_room(v->merges, 1, t, err);
    if (s) return s;
    put(t, "#version: 0.2\n", 14);
    for (uint64_t i = 0; i < v->merges->count; i++) {
        const struct gguf_string merge = gguf_next_string(&at);
        if (!merge.n || memchr(merge.text, '\n', merge.n) || memchr(merge.text, '\r', merge.n))
            return error_set(err, GPT2Q_FORMAT,
                             "%s: merge %" PRIu64 " of tokenizer.ggml.merges is no pair of tokens",
                             v->f->map.path, i);
        put(t, merge.text, merge.n);
        put(t, "\n", 1);
    }
    return GPT2Q_OK;
}

/* Writes added tokens in the form of tokenizer/added.h. If the file has GGUF_OWN_EXTRAS, that text is used. If <|endoftext|>
 * is the only added token, it writes nothing. */
static gpt2q_status make_extras(const struct vocabulary *v, struct text_builder *t, gpt2q_error *err)
{
    static const char *const truth[] = {"false", "true"};
    char item[160];
    uint64_t n_added = 0, n = 0;
    const uint8_t *at = v->tokens->value;
    for (uint64_t i = 0; i < v->tokens->count; i++) n_added += is_added(v, i, gguf_next_string(&at));
    *t = (struct text_builder){0};
    if (v->extras.text) {
        t->at = mem_memdup(v->extras.text, v->extras.n), t->n = v->extras.n;
        return t->at ? GPT2Q_OK : error_memory(err, "the added tokens", t->n);
    }
    if (!n_added) return GPT2Q_OK;
    gpt2q_status s = make_room(v->tokens, 160, t, err);
    if (s) return s;
    put(t, "{\"added_tokens\": [", 18);
    at = v->tokens->value;
    for (uint64_t i = 0; i < v->tokens->count; i++) {
        const struct gguf_string token = gguf_next_string(&at);
        if (!is_added(v, i, token) && !is_end_of_text(token)) continue;
        const char *special = truth[type_of(v, i) != TOKEN_USER];
        put(t, item, (size_t)sprintf(item, "%s{\"id\": %" PRIu64 ", \"content\": ", n++ ? ", " : "", i));
        put_json(t, token);
        put(t, item,
            (size_t)sprintf(item,
                            ", \"special\": %s, \"lstrip\": false, \"rstrip\": false, "
                            "\"single_word\": false, \"normalized\": false}",
                            special));
    }
    put(t, "]}", 2);
    return GPT2Q_OK;
}

/* "PATH: key", for messages. */
static char *name_of(const struct gguf_file *f, const char *key)
{
    const size_t n = strlen(f->map.path) + strlen(key) + 3;
    char *name = mem_alloc(n);
    if (name) snprintf(name, n, "%s: %s", f->map.path, key);
    return name;
}

gpt2q_status gguf_texts(const struct gguf_file *f, struct directory_texts *out, gpt2q_error *err)
{
    struct vocabulary v;
    struct text_builder vocab = {0}, merges = {0}, extras = {0};
    *out = (struct directory_texts){0};
    gpt2q_status s = find_vocabulary(f, &v, err);
    if (s || !v.tokens) return s;
    s = make_vocab(&v, &vocab, err);
    if (!s) s = make_merges(&v, &merges, err);
    if (!s) s = make_extras(&v, &extras, err);
    out->files[FILE_VOCAB].text = vocab.at, out->files[FILE_MERGES].text = merges.at, out->extras = extras.at;
    out->files[FILE_VOCAB].path = name_of(f, "tokenizer.ggml.tokens");
    out->files[FILE_MERGES].path = name_of(f, "tokenizer.ggml.merges");
    if (!s && (!out->files[FILE_VOCAB].path || !out->files[FILE_MERGES].path))
        s = error_memory(err, "a path", strlen(f->map.path));
    if (s) return s;
    out->files[FILE_VOCAB].size = vocab.n, out->files[FILE_MERGES].size = merges.n;
    out->texts.vocab = (struct tokenizer_text){vocab.at, vocab.n, out->files[FILE_VOCAB].path};
    out->texts.merges = (struct tokenizer_text){merges.at, merges.n, out->files[FILE_MERGES].path};
    if (extras.at)
        out->texts.extras = (struct tokenizer_text){extras.at, extras.n, out->files[FILE_VOCAB].path};
    return GPT2Q_OK;
}

/* ---- names ---- */

/* The strings of an array, or of the tokens those that are entries, for mem_free. */
static gpt2q_status list(const struct vocabulary *v, const struct gguf_key *k, struct tokenizer_name **out,
                         size_t *n, gpt2q_error *err)
{
    const uint8_t *at = k->value;
    struct tokenizer_name *names = *out = mem_array((size_t)k->count, sizeof *names);
    *n = 0;
    if (!names) return error_memory(err, "the vocabulary", (size_t)k->count * sizeof *names);
    for (uint64_t i = 0; i < k->count; i++) {
        const struct gguf_string s = gguf_next_string(&at);
        if (k == v->tokens && !is_entry(v, i, s)) continue;
        names[(*n)++] = (struct tokenizer_name){s.text, s.n, (int32_t)i};
    }
    return GPT2Q_OK;
}

static gpt2q_status make_tokenizer(const struct vocabulary *v, struct tokenizer **out, gpt2q_error *err)
{
    struct tokenizer_name *tokens = NULL, *merges = NULL;
    struct text_builder extras = {0};
    char *tokens_name = name_of(v->f, "tokenizer.ggml.tokens"),
         *merges_name = name_of(v->f, "tokenizer.ggml.merges");
    struct tokenizer_names names = {.tokens_name = tokens_name, .merges_name = merges_name};
    gpt2q_status s = GPT2Q_OK;
    if (!tokens_name || !merges_name) s = error_memory(err, "a path", strlen(v->f->map.path));
    if (!s) s = list(v, v->tokens, &tokens, &names.n_tokens, err);
    if (!s) s = list(v, v->merges, &merges, &names.n_merges, err);
    if (!s) s = make_extras(v, &extras, err);
    names.tokens = tokens, names.merges = merges;
    if (extras.at) names.extras = (struct tokenizer_text){extras.at, extras.n, tokens_name};
    if (!s) s = tokenizer_from_names(&names, out, err);
    mem_free(tokens);
    mem_free(merges);
    mem_free(extras.at);
    mem_free(tokens_name);
    mem_free(merges_name);
    return s;
}

gpt2q_status gguf_tokenizer_open(const struct gguf_file *f, struct tokenizer **out, gpt2q_error *err)
{
    struct vocabulary v;
    *out = NULL;
    gpt2q_status s = find_vocabulary(f, &v, err);
    return s || !v.tokens ? s : make_tokenizer(&v, out, err);
}
