#include "tokenizer/resolve_parts.h"
#include "base/text.h"
#include "tokenizer/vocabulary.h"
#include <stdlib.h>
#include <string.h>

/* ---- the tokens that files list ---- */

/* Reads a token from an object. `special` and `normalized` have defaults; without a flag `normalized` is
 * !special. */
static gpt2q_status read_token(const cJSON *item, const char *path, struct listed_token *t, gpt2q_error *err)
{
    const cJSON *content = resolve_get(item, "content");
    if (!cJSON_IsObject(item) || !cJSON_IsString(content))
        return error_set(err, GPT2Q_FORMAT, "%s: an added token must be an object with a string as content",
                         path);
    *t = (struct listed_token){.content = content->valuestring, .stated = -1, .path = path};
    bool present = false;
    gpt2q_status s = added_flags_read(item, path, &t->flags, &present, err);
    if (!present) t->flags.normalized = !t->flags.special;
    return s;
}

static gpt2q_status read_stated(const cJSON *id, struct listed_token *t, gpt2q_error *err)
{
    double v = cJSON_IsNumber(id) ? id->valuedouble : -1;
    if (v >= 0 && v <= MAX_ID && v == (double)(int32_t)v) {
        t->stated = (int64_t)v;
        return GPT2Q_OK;
    }
    return error_set(err, GPT2Q_FORMAT, "%s: token \"%s\": the id must be an integer from 0 to %d", t->path,
                     error_quote(t->content, strlen(t->content)).text, MAX_ID);
}

/* Enters it by id, as in a dictionary: a later one replaces an earlier one. */
static gpt2q_status put_decoder(struct resolver *r, struct listed_token t, gpt2q_error *err)
{
    for (size_t i = 0; i < r->decoder.n; i++)
        if (r->decoder.items[i].stated == t.stated) return r->decoder.items[i] = t, GPT2Q_OK;
    return resolve_push(&r->decoder, t, err);
}

static gpt2q_status read_decoder(struct resolver *r, const cJSON *decoder, gpt2q_error *err)
{
    const cJSON *item;
    gpt2q_status s = GPT2Q_OK;
    const char *path = r->src->config_path;
    if (!cJSON_IsObject(decoder))
        return error_set(err, GPT2Q_FORMAT, "%s: added_tokens_decoder must be an object of ids and tokens",
                         path);
    cJSON_ArrayForEach(item, decoder)
    {
        struct listed_token t;
        char *end;
        long id = strtol(item->string, &end, 10);
        s = read_token(item, path, &t, err);
        if (s) return s;
        if (item->string[0] < '0' || item->string[0] > '9' || *end || id > MAX_ID)
            return error_set(err, GPT2Q_FORMAT, "%s: added_tokens_decoder: \"%s\" is no id from 0 to %d",
                             path, error_quote(item->string, strlen(item->string)).text, MAX_ID);
        t.stated = id;
        s = put_decoder(r, t, err);
        if (s) return s;
    }
    return s;
}

/* Reads added_tokens.json. Its special tokens are those that another file names so. */
static gpt2q_status read_added_file(struct resolver *r, gpt2q_error *err)
{
    const cJSON *item;
    gpt2q_status s = GPT2Q_OK;
    cJSON_ArrayForEach(item, r->src->added_tokens)
    {
        struct listed_token t = {.content = item->string, .path = r->src->added_tokens_path};
        for (size_t i = 0; i < r->named.n; i++)
            t.flags.special |= !r->named.items[i].implied && !strcmp(r->named.items[i].content, t.content);
        t.flags.normalized = !t.flags.special;
        s = read_stated(item, &t, err);
        if (!s) s = put_decoder(r, t, err);
        if (s) return s;
    }
    return s;
}

gpt2q_status resolve_added_list(struct resolver *r, take_token_fn *take, gpt2q_error *err)
{
    const cJSON *item, *list = resolve_get(r->src->tokenizer, "added_tokens");
    gpt2q_status s = GPT2Q_OK;
    if (list && !cJSON_IsArray(list))
        return error_set(err, GPT2Q_FORMAT, "%s: added_tokens must be an array", r->src->tokenizer_path);
    cJSON_ArrayForEach(item, list)
    {
        struct listed_token t;
        s = read_token(item, r->src->tokenizer_path, &t, err);
        if (!s) s = read_stated(resolve_get(item, "id"), &t, err);
        if (!s) s = take(r, t, err);
        if (s) return s;
    }
    return s;
}

/* ---- the named ones ---- */

/* Reads a name's value: a string, or an object for a token. `map`: it is from special_tokens_map.json,
 * where all are special. */
static gpt2q_status read_named(const cJSON *item, const char *key, const char *path, bool map,
                               struct listed_token *t, gpt2q_error *err)
{
    if (cJSON_IsString(item)) {
        *t = (struct listed_token){
            .content = item->valuestring, .stated = -1, .path = path, .flags.special = true, .string = true};
        return GPT2Q_OK;
    }
    const cJSON *type = resolve_get(item, "__type");
    bool token =
        cJSON_IsObject(item) && (map || (cJSON_IsString(type) && !strcmp(type->valuestring, "AddedToken")));
    if (!token) return error_set(err, GPT2Q_FORMAT, "%s: %s must be a string or a token", path, key);
    gpt2q_status s = read_token(item, path, t, err);
    if (s || !map) return s;
    t->flags.special = true;
    t->flags.normalized = cJSON_IsTrue(resolve_get(item, "normalized"));
    return s;
}

static const char *const named_keys[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                         "pad_token", "cls_token", "mask_token"};
#define N_NAMED (sizeof named_keys / sizeof *named_keys)

static gpt2q_status push_named(struct resolver *r, struct listed_token t, gpt2q_error *err)
{
    const struct listed_token *listed = resolve_find(&r->decoder, t.content);
    if (listed) t = *listed;
    return resolve_push(&r->named, t, err);
}

/* The value of a key: the map's if it has the key, else the config's. *path is its file. */
static const cJSON *lookup(const struct resolver *r, const cJSON *map, const char *key, const char **path)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(map, key);
    *path = item ? r->src->special_tokens_path : r->src->config_path;
    return item ? item : cJSON_GetObjectItemCaseSensitive(r->src->config, key);
}

static gpt2q_status add_named_key(struct resolver *r, const cJSON *map, const char *key, bool fallback,
                                  gpt2q_error *err)
{
    const char *path;
    const cJSON *item = lookup(r, map, key, &path);
    struct listed_token t = {.content = END_OF_TEXT,
                             .stated = -1,
                             .path = path,
                             .flags.special = true,
                             .string = true,
                             .implied = !item};
    if (item ? cJSON_IsNull(item) : !fallback) return GPT2Q_OK;
    gpt2q_status s =
        item ? read_named(item, key, path, path == r->src->special_tokens_path, &t, err) : GPT2Q_OK;
    if (s || !*t.content) return s;
    if (!strcmp(key, "bos_token")) r->bos = t.content;
    if (!strcmp(key, "eos_token")) r->eos = t.content;
    return push_named(r, t, err);
}

/* Adds keys like image_token, which transformers does not define itself. */
static gpt2q_status add_other_keys(struct resolver *r, const cJSON *object, const char *path, bool map,
                                   gpt2q_error *err)
{
    const cJSON *item;
    gpt2q_status s = GPT2Q_OK;
    cJSON_ArrayForEach(item, object)
    {
        bool known = !text_ends_with(item->string, "_token");
        for (size_t i = 0; i < N_NAMED; i++) known |= !strcmp(item->string, named_keys[i]);
        if (known || (!cJSON_IsString(item) && !cJSON_IsObject(item))) continue;
        struct listed_token t;
        s = read_named(item, item->string, path, map, &t, err);
        t.implied = true;
        if (!s && *t.content) s = push_named(r, t, err);
        if (s) return s;
    }
    return s;
}

/* Adds extra_special_tokens, or additional_special_tokens, its older name: a list, or an object of names.
 * The config's come before the map's. */
static gpt2q_status add_extra(struct resolver *r, const cJSON *map, gpt2q_error *err)
{
    static const char *const keys[] = {"extra_special_tokens", "additional_special_tokens"};
    const cJSON *list = NULL, *item;
    bool from_map = false, older = false;
    for (int i = 0; i < 4 && cJSON_GetArraySize(list) == 0; i++) {
        from_map = i >= 2, older = i % 2;
        list = cJSON_GetObjectItemCaseSensitive(from_map ? map : r->src->config, keys[older]);
    }
    gpt2q_status s = GPT2Q_OK;
    cJSON_ArrayForEach(item, list)
    {
        struct listed_token t;
        s = read_named(item, "an entry of the extra special tokens",
                       from_map ? r->src->special_tokens_path : r->src->config_path, from_map, &t, err);
        if (s) return s;
        /* under its older name in the map, added_tokens.json does not treat it as special */
        t.implied = older && from_map;
        if (*t.content) s = push_named(r, t, err);
        if (s) return s;
    }
    return s;
}

static gpt2q_status read_all_named(struct resolver *r, const cJSON *map, gpt2q_error *err)
{
    gpt2q_status s = GPT2Q_OK;
    r->named.n = 0;
    r->bos = r->eos = NULL;
    for (size_t i = 0; i < N_NAMED && !s; i++)
        s = add_named_key(r, map, named_keys[i], i < 3 && !r->backend, err);
    if (!s) s = add_other_keys(r, map, r->src->special_tokens_path, true, err);
    if (!s) s = add_other_keys(r, r->src->config, r->src->config_path, false, err);
    r->n_map = r->named.n;
    return s ? s : add_extra(r, map, err);
}

static int compare_stated(const void *a, const void *b)
{
    int64_t x = ((const struct listed_token *)a)->stated, y = ((const struct listed_token *)b)->stated;
    return (x > y) - (x < y);
}

gpt2q_status resolve_read_lists(struct resolver *r, gpt2q_error *err)
{
    const cJSON *decoder = resolve_get(r->src->config, "added_tokens_decoder");
    const cJSON *map = decoder ? NULL : r->src->special_tokens;
    gpt2q_status s = read_all_named(r, map, err);
    if (!s && decoder) s = read_decoder(r, decoder, err);
    if (!s && !decoder) s = read_added_file(r, err);
    if (!s && !decoder) s = resolve_added_list(r, put_decoder, err);
    if (!s) s = read_all_named(r, map, err); /* again: now with the flags of those that are listed */
    if (!s && r->decoder.n) qsort(r->decoder.items, r->decoder.n, sizeof *r->decoder.items, compare_stated);
    return s;
}
