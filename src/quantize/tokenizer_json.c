#include "quantize/tokenizer_json.h"
#include "base/json_writer.h"
#include "base/memory.h"
#include "tokenizer/merges.h"
#include <stdio.h>
#include <string.h>

static void put_flag(struct json_writer *w, const char *key, bool value)
{
    json_key(w, key);
    json_put_bool(w, value);
}

static void put_field(struct json_writer *w, const char *key, const char *value)
{
    json_key(w, key);
    json_put_string(w, value);
}

static void put_added(struct json_writer *w, const struct extras *extras)
{
    json_key(w, "added_tokens");
    json_open(w, '[');
    for (size_t i = 0; i < extras->n; i++) {
        const struct added_token *a = &extras->tokens[i];
        json_open(w, '{');
        json_key(w, "id"), json_put_integer(w, a->id);
        json_key(w, "content"), json_put_bytes(w, a->content, a->n);
        put_flag(w, "single_word", a->flags.single_word);
        put_flag(w, "lstrip", a->flags.lstrip);
        put_flag(w, "rstrip", a->flags.rstrip);
        put_flag(w, "normalized", a->flags.normalized);
        put_flag(w, "special", a->flags.special);
        json_close(w, '}');
    }
    json_close(w, ']');
}

/* ---- ids around a text ---- */

/* A name of its own for an id of the template. */
static const char *id_name(int32_t id, char text[16])
{
    snprintf(text, 16, "%d", (int)id);
    return text;
}

static void put_piece(struct json_writer *w, const char *kind, const char *id)
{
    json_open(w, '{');
    json_key(w, kind), json_open(w, '{');
    put_field(w, "id", id);
    json_key(w, "type_id"), json_put_integer(w, 0);
    json_close(w, '}');
    json_close(w, '}');
}

static void put_single(struct json_writer *w, const struct extras *e)
{
    char text[16];
    json_open(w, '[');
    for (int i = 0; i < e->n_before; i++) put_piece(w, "SpecialToken", id_name(e->before[i], text));
    put_piece(w, "Sequence", "A");
    for (int i = 0; i < e->n_after; i++) put_piece(w, "SpecialToken", id_name(e->after[i], text));
    json_close(w, ']');
}

static void put_special(struct json_writer *w, int32_t id)
{
    char text[16];
    json_key(w, id_name(id, text));
    json_open(w, '{');
    put_field(w, "id", text);
    json_key(w, "ids"), json_open(w, '['), json_put_integer(w, id), json_close(w, ']');
    json_key(w, "tokens"), json_open(w, '['), json_put_string(w, text), json_close(w, ']');
    json_close(w, '}');
}

static bool among(const int32_t *ids, int n, int32_t id)
{
    for (int i = 0; i < n; i++)
        if (ids[i] == id) return true;
    return false;
}

static void put_around(struct json_writer *w, const struct extras *e)
{
    json_key(w, "post_processor");
    if (!e->n_before && !e->n_after) {
        json_put_null(w);
        return;
    }
    json_open(w, '{');
    put_field(w, "type", "TemplateProcessing");
    json_key(w, "single"), put_single(w, e);
    json_key(w, "pair"), json_open(w, '['), put_piece(w, "Sequence", "A"), put_piece(w, "Sequence", "B");
    json_close(w, ']');
    json_key(w, "special_tokens"), json_open(w, '{');
    for (int i = 0; i < e->n_before; i++)
        if (!among(e->before, i, e->before[i])) put_special(w, e->before[i]);
    for (int i = 0; i < e->n_after; i++)
        if (!among(e->after, i, e->after[i]) && !among(e->before, e->n_before, e->after[i]))
            put_special(w, e->after[i]);
    json_close(w, '}');
    json_close(w, '}');
}

/* ---- the model ---- */

/* The name of a token with bytes. It is spelled in the byte alphabet if the token is found by its bytes, else it stands as it is. `text` has room. */
static size_t name_token(const struct tokenizer *t, int32_t id, char *text)
{
    size_t n;
    const char *bytes = tokenizer_bytes(t, id, &n);
    if (!bytes) return 0;
    if (byte_table_find(&t->tokens, &t->bytes, (const uint8_t *)bytes, n) == id)
        return alphabet_spell(bytes, n, text);
    memcpy(text, bytes, n);
    return n;
}

/* Whether only an added token has this id. */
static bool is_only_added(const struct tokenizer *t, int32_t id)
{
    size_t n;
    const char *bytes = tokenizer_bytes(t, id, &n);
    if (bytes && byte_table_find(&t->tokens, &t->bytes, (const uint8_t *)bytes, n) == id) return false;
    for (size_t i = 0; i < t->extras.n; i++)
        if (t->extras.tokens[i].id == id) return true;
    return false;
}

static void put_vocabulary(struct json_writer *w, const struct tokenizer *t, char *name)
{
    json_key(w, "vocab");
    json_open(w, '{');
    for (int32_t id = 0; id < tokenizer_size(t); id++) {
        const size_t n = is_only_added(t, id) ? 0 : name_token(t, id, name);
        if (!n) continue;
        name[n] = '\0';
        json_key(w, name), json_put_integer(w, id);
    }
    json_close(w, '}');
}

static bool put_merges(struct json_writer *w, const struct tokenizer *t, char *name)
{
    uint32_t count;
    uint64_t *by_rank = pair_table_by_rank(&t->pairs, &count);
    json_key(w, "merges");
    json_open(w, '[');
    for (uint32_t r = 0; by_rank && r < t->pairs.n_ranks; r++) {
        if (by_rank[r] == EMPTY_PAIR) continue;
        size_t left, right, n;
        const char *a = tokenizer_bytes(t, (int32_t)(by_rank[r] >> 2 * ID_BITS), &left),
                   *b = tokenizer_bytes(t, (int32_t)(by_rank[r] >> ID_BITS & ID_MASK), &right);
        n = alphabet_spell(a, left, name);
        name[n++] = ' ';
        n += alphabet_spell(b, right, name + n);
        json_put_bytes(w, name, n);
    }
    json_close(w, ']');
    mem_free(by_rank);
    return by_rank;
}

static bool put_model(struct json_writer *w, const struct tokenizer *t)
{
    char *name = mem_alloc(4 * tokenizer_longest(t) + 2);
    if (!name) return false;
    json_key(w, "model");
    json_open(w, '{');
    put_field(w, "type", "BPE");
    json_key(w, "dropout"), json_put_null(w);
    json_key(w, "unk_token"), json_put_null(w);
    put_field(w, "continuing_subword_prefix", "");
    put_field(w, "end_of_word_suffix", "");
    put_flag(w, "fuse_unk", false);
    put_flag(w, "byte_fallback", false);
    put_vocabulary(w, t, name);
    bool ok = put_merges(w, t, name);
    json_close(w, '}');
    mem_free(name);
    return ok;
}

static void put_byte_level(struct json_writer *w, const char *key, bool prefix)
{
    json_key(w, key);
    json_open(w, '{');
    put_field(w, "type", "ByteLevel");
    put_flag(w, "add_prefix_space", prefix);
    put_flag(w, "trim_offsets", true);
    put_flag(w, "use_regex", true);
    json_close(w, '}');
}

char *tokenizer_json_print(const struct tokenizer *t)
{
    struct json_writer w = {0};
    json_open(&w, '{');
    put_field(&w, "version", "1.0");
    json_key(&w, "truncation"), json_put_null(&w);
    json_key(&w, "padding"), json_put_null(&w);
    put_added(&w, &t->extras);
    json_key(&w, "normalizer"), json_put_null(&w);
    put_byte_level(&w, "pre_tokenizer", t->extras.add_prefix_space);
    put_around(&w, &t->extras);
    put_byte_level(&w, "decoder", true);
    const bool ok = put_model(&w, t);
    json_close(&w, '}');
    if (ok) return json_finish(&w);
    json_discard(&w);
    return NULL;
}

char *tokenizer_config_print(const struct tokenizer *t)
{
    struct json_writer w = {0};
    json_open(&w, '{');
    put_flag(&w, "add_prefix_space", t->extras.add_prefix_space);
    put_field(&w, "tokenizer_class", "GPT2Tokenizer");
    json_close(&w, '}');
    return json_finish(&w);
}
