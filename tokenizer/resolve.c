/* Three steps, as transformers takes them (tokenization_utils_base.py, tokenization_utils_tokenizers.py): which tokens the
 * files list, and with which flags; which of the named ones (bos_token ...) these leave out; adding them all, one after
 * another, with the numbers that tokenizers gives (added_vocabulary.rs): the id of the name in the vocabulary, else the next
 * free one. A file that states another id than that is refused: the two libraries, and versions of them, differ there.
 *
 * Two kinds of tokenizers are known. A GPT2Tokenizer takes the vocabulary, the merges and the post-processor of tokenizer.json
 * and nothing else of it; PreTrainedTokenizerFast (TokenizersBackend) all. */
#include "tokenizer/resolve.h"
#include "base/memory.h"
#include "tokenizer/added.h"
#include "tokenizer/vocabulary.h"
#include <stdlib.h>
#include <string.h>

struct token {
    const char *content;
    int64_t stated; /* id that a file gives it; -1: none */
    const char *path;
    bool special, lstrip, rstrip, single_word, normalized;
    bool string;  /* a file gives its name alone */
    bool hidden;  /* a later token took its id: it is not found any more */
    bool implied; /* named by a default or by a key of its own */
    int32_t id;   /* as added */
};

struct list {
    struct token *items;
    size_t n, capacity;
};

struct name {
    const char *text;
    int32_t id;
};

struct resolver {
    const struct resolve_source *src;
    bool backend;       /* PreTrainedTokenizerFast, not GPT2Tokenizer */
    struct name *names; /* of the vocabulary, sorted */
    size_t n_names;
    struct list decoder; /* added_tokens_decoder: by stated id */
    struct list named;   /* bos_token and so on, in the order of transformers */
    struct list added;   /* the result, in the order they were added */
    int32_t next;        /* id of the next new one */
    size_t n_map;        /* of the named: without the extra ones */
    const char *bos, *eos;
    int32_t before[AROUND_MAX], after[AROUND_MAX];
    int n_before, n_after;
    bool prefix;
};

static const cJSON *get(const cJSON *object, const char *key)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    return cJSON_IsNull(item) ? NULL : item;
}

static gpt2q_status push(struct list *list, struct token token, gpt2q_error *err)
{
    if (list->n == list->capacity) {
        size_t capacity = list->capacity ? 2 * list->capacity : 16;
        struct token *items = mem_grow(list->items, list->n * sizeof *items, capacity * sizeof *items);
        if (!items) return error_memory(err, "added tokens", capacity * sizeof *items);
        list->items = items;
        list->capacity = capacity;
    }
    if (list->n == ADDED_MAX)
        return error_set(err, GPT2Q_UNSUPPORTED, "%s: has more than %d added tokens", token.path, ADDED_MAX);
    list->items[list->n++] = token;
    return GPT2Q_OK;
}

static struct token *find(const struct list *list, const char *content)
{
    for (size_t i = 0; i < list->n; i++)
        if (!strcmp(list->items[i].content, content)) return &list->items[i];
    return NULL;
}

/* ---- which class ---- */

static gpt2q_status read_class(struct resolver *r, gpt2q_error *err)
{
    const cJSON *item = get(r->src->config, "tokenizer_class");
    const char *class = cJSON_IsString(item) ? item->valuestring : r->src->model_class;
    static const char *const gpt2[] = {"GPT2Tokenizer", "GPT2TokenizerFast"};
    static const char *const backends[] = {"PreTrainedTokenizerFast", "TokenizersBackend"};
    if (!class) return GPT2Q_OK;
    for (size_t i = 0; i < 2; i++) {
        if (!strcmp(class, gpt2[i])) return GPT2Q_OK;
        /* without tokenizer.json there is nothing that it could take */
        if (!strcmp(class, backends[i])) return r->backend = r->src->tokenizer, GPT2Q_OK;
    }
    return error_set(err, GPT2Q_UNSUPPORTED,
                     "%s: tokenizer_class is \"%s\", supported are GPT2Tokenizer and PreTrainedTokenizerFast",
                     r->src->config_path, class);
}

/* ---- the tokens that files list ---- */

/* A token from an object; `special` and `normalized` are the defaults, normalized being !special where it is absent. */
static gpt2q_status read_token(const cJSON *item, const char *path, struct token *t, gpt2q_error *err)
{
    const cJSON *content = get(item, "content");
    const struct {
        const char *key;
        bool *flag;
    } flags[] = {{"special", &t->special},
                 {"lstrip", &t->lstrip},
                 {"rstrip", &t->rstrip},
                 {"single_word", &t->single_word},
                 {"normalized", &t->normalized}};
    if (!cJSON_IsObject(item) || !cJSON_IsString(content))
        return error_set(err, GPT2Q_FORMAT, "%s: an added token must be an object with a string as content",
                         path);
    *t = (struct token){.content = content->valuestring, .stated = -1, .path = path};
    gpt2q_status s = GPT2Q_OK;
    bool present = false;
    for (size_t i = 0; i < sizeof flags / sizeof *flags && !s; i++)
        s = json_bool(item, flags[i].key, path, flags[i].flag, &present, err);
    if (!present) t->normalized = !t->special;
    return s;
}

static gpt2q_status read_stated(const cJSON *id, struct token *t, gpt2q_error *err)
{
    double v = cJSON_IsNumber(id) ? id->valuedouble : -1;
    if (v >= 0 && v <= MAX_ID && v == (double)(int32_t)v) {
        t->stated = (int64_t)v;
        return GPT2Q_OK;
    }
    return error_set(err, GPT2Q_FORMAT, "%s: token \"%s\": the id must be an integer from 0 to %d", t->path,
                     t->content, MAX_ID);
}

/* By id, like a dictionary: a later one takes the place. */
static gpt2q_status put_decoder(struct resolver *r, struct token t, gpt2q_error *err)
{
    for (size_t i = 0; i < r->decoder.n; i++)
        if (r->decoder.items[i].stated == t.stated) return r->decoder.items[i] = t, GPT2Q_OK;
    return push(&r->decoder, t, err);
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
        struct token t;
        char *end;
        long id = strtol(item->string, &end, 10);
        s = read_token(item, path, &t, err);
        if (s) return s;
        if (item->string[0] < '0' || item->string[0] > '9' || *end || id > MAX_ID)
            return error_set(err, GPT2Q_FORMAT, "%s: added_tokens_decoder: \"%s\" is no id from 0 to %d",
                             path, item->string, MAX_ID);
        t.stated = id;
        s = put_decoder(r, t, err);
        if (s) return s;
    }
    return s;
}

/* added_tokens.json: special are those that another file names so. */
static gpt2q_status read_added_file(struct resolver *r, gpt2q_error *err)
{
    const cJSON *item;
    gpt2q_status s = GPT2Q_OK;
    cJSON_ArrayForEach(item, r->src->added_tokens)
    {
        struct token t = {.content = item->string, .path = r->src->added_tokens_path};
        for (size_t i = 0; i < r->named.n; i++)
            t.special |= !r->named.items[i].implied && !strcmp(r->named.items[i].content, t.content);
        t.normalized = !t.special;
        s = read_stated(item, &t, err);
        if (!s) s = put_decoder(r, t, err);
        if (s) return s;
    }
    return s;
}

/* Calls `take` with the tokens that tokenizer.json lists. */
static gpt2q_status
read_added_list(struct resolver *r,
                gpt2q_status (*take)(struct resolver *r, struct token t, gpt2q_error *err), gpt2q_error *err)
{
    const cJSON *item, *list = get(r->src->tokenizer, "added_tokens");
    gpt2q_status s = GPT2Q_OK;
    if (list && !cJSON_IsArray(list))
        return error_set(err, GPT2Q_FORMAT, "%s: added_tokens must be an array", r->src->tokenizer_path);
    cJSON_ArrayForEach(item, list)
    {
        struct token t;
        s = read_token(item, r->src->tokenizer_path, &t, err);
        if (!s) s = read_stated(get(item, "id"), &t, err);
        if (!s) s = take(r, t, err);
        if (s) return s;
    }
    return s;
}

/* ---- the named ones ---- */

/* A name's value: a string, or an object that stands for a token. `map`: of special_tokens_map.json, all special. */
static gpt2q_status read_named(const cJSON *item, const char *key, const char *path, bool map,
                               struct token *t, gpt2q_error *err)
{
    if (cJSON_IsString(item)) {
        *t = (struct token){
            .content = item->valuestring, .stated = -1, .path = path, .special = true, .string = true};
        return GPT2Q_OK;
    }
    const cJSON *type = get(item, "__type");
    bool token =
        cJSON_IsObject(item) && (map || (cJSON_IsString(type) && !strcmp(type->valuestring, "AddedToken")));
    if (!token) return error_set(err, GPT2Q_FORMAT, "%s: %s must be a string or a token", path, key);
    gpt2q_status s = read_token(item, path, t, err);
    if (s || !map) return s;
    t->special = true;
    t->normalized = cJSON_IsTrue(get(item, "normalized"));
    return s;
}

static const char *const named_keys[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                         "pad_token", "cls_token", "mask_token"};
#define N_NAMED (sizeof named_keys / sizeof *named_keys)

static gpt2q_status push_named(struct resolver *r, struct token t, gpt2q_error *err)
{
    const struct token *listed = find(&r->decoder, t.content);
    if (listed) t = *listed;
    return push(&r->named, t, err);
}

/* The value of a key: of the map, if it has the key, else of the config. *path is where it was. */
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
    struct token t = {.content = END_OF_TEXT,
                      .stated = -1,
                      .path = path,
                      .special = true,
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

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && !strcmp(text + n - m, end);
}

/* Keys like image_token, which are no names of transformers' own. */
static gpt2q_status add_other_keys(struct resolver *r, const cJSON *object, const char *path, bool map,
                                   gpt2q_error *err)
{
    const cJSON *item;
    gpt2q_status s = GPT2Q_OK;
    cJSON_ArrayForEach(item, object)
    {
        bool known = !ends_with(item->string, "_token");
        for (size_t i = 0; i < N_NAMED; i++) known |= !strcmp(item->string, named_keys[i]);
        if (known || (!cJSON_IsString(item) && !cJSON_IsObject(item))) continue;
        struct token t;
        s = read_named(item, item->string, path, map, &t, err);
        t.implied = true;
        if (!s && *t.content) s = push_named(r, t, err);
        if (s) return s;
    }
    return s;
}

/* extra_special_tokens, or additional_special_tokens by its older name: a list, or an object of names. The config's come
 * before the map's. */
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
        struct token t;
        s = read_named(item, "an entry of the extra special tokens",
                       from_map ? r->src->special_tokens_path : r->src->config_path, from_map, &t, err);
        if (s) return s;
        /* by its older name in the map, added_tokens.json does not know it for special */
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
    int64_t x = ((const struct token *)a)->stated, y = ((const struct token *)b)->stated;
    return (x > y) - (x < y);
}

static gpt2q_status read_lists(struct resolver *r, gpt2q_error *err)
{
    const cJSON *decoder = get(r->src->config, "added_tokens_decoder");
    const cJSON *map = decoder ? NULL : r->src->special_tokens;
    gpt2q_status s = read_all_named(r, map, err);
    if (!s && decoder) s = read_decoder(r, decoder, err);
    if (!s && !decoder) s = read_added_file(r, err);
    if (!s && !decoder) s = read_added_list(r, put_decoder, err);
    if (!s) s = read_all_named(r, map, err); /* again: now with the flags of those that are listed */
    if (!s && r->decoder.n) qsort(r->decoder.items, r->decoder.n, sizeof *r->decoder.items, compare_stated);
    return s;
}

/* ---- adding ---- */

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const struct name *)a)->text, ((const struct name *)b)->text);
}

static gpt2q_status read_names(struct resolver *r, gpt2q_error *err)
{
    size_t n = (size_t)cJSON_GetArraySize(r->src->vocab);
    const cJSON *item;
    r->names = mem_array(n, sizeof *r->names);
    if (!r->names) return error_memory(err, "a list of tokens", n * sizeof *r->names);
    cJSON_ArrayForEach(item, r->src->vocab)
    {
        double v = cJSON_IsNumber(item) ? item->valuedouble : -1;
        /* what is no id is refused where the vocabulary is read */
        r->names[r->n_names++] = (struct name){item->string, v >= 0 && v <= MAX_ID ? (int32_t)v : 0};
    }
    if (n) qsort(r->names, n, sizeof *r->names, compare_names);
    return GPT2Q_OK;
}

/* The id that the vocabulary gives a name. */
static int32_t find_name(const struct resolver *r, const char *content)
{
    struct name key = {.text = content};
    const struct name *found =
        r->n_names ? bsearch(&key, r->names, r->n_names, sizeof key, compare_names) : NULL;
    return found ? found->id : NO_TOKEN;
}

static int32_t id_of(const struct resolver *r, const char *content)
{
    const struct token *added = find(&r->added, content);
    return added ? added->id : find_name(r, content);
}

/* Tokens are added in lots; where the numbers of a lot begin is decided once. */
static void begin_lot(struct resolver *r)
{
    r->next = (int32_t)r->n_names;
    for (size_t i = 0; i < r->added.n; i++)
        if (r->added.items[i].id >= r->next) r->next = r->added.items[i].id + 1;
}

static gpt2q_status add(struct resolver *r, struct token t, gpt2q_error *err)
{
    if (!*t.content) return GPT2Q_OK;
    int32_t known = id_of(r, t.content);
    t.id = known == NO_TOKEN ? r->next : known;
    if (t.stated >= 0 && t.stated != t.id)
        return error_set(err, GPT2Q_UNSUPPORTED,
                         "%s: token \"%s\" has the id %d, but the tokenizers library numbers it %d", t.path,
                         t.content, (int)t.stated, (int)t.id);
    if (known == NO_TOKEN) r->next++;
    for (size_t i = 0; i < r->added.n; i++)
        if (r->added.items[i].id == t.id) r->added.items[i].hidden = true;
    struct token *same = find(&r->added, t.content);
    if (!same) return push(&r->added, t, err);
    t.special |= same->special;
    *same = t;
    return GPT2Q_OK;
}

static bool same_token(const struct token *a, const struct token *b)
{
    return !strcmp(a->content, b->content) && a->special == b->special && a->lstrip == b->lstrip &&
           a->rstrip == b->rstrip && a->single_word == b->single_word && a->normalized == b->normalized &&
           a->string == b->string;
}

/* Whether one of the first `listed` of the list has the token's name, or one of the others is the same: to transformers a
 * name alone and a token with flags are two. */
static bool find_same(const struct list *list, size_t listed, const struct token *t)
{
    for (size_t i = 0; i < list->n; i++)
        if (i < listed ? !strcmp(list->items[i].content, t->content) : same_token(&list->items[i], t))
            return true;
    return false;
}

static gpt2q_status add_all(struct resolver *r, gpt2q_error *err)
{
    struct list more = {0};
    begin_lot(r);
    gpt2q_status s = r->backend ? read_added_list(r, add, err) : GPT2Q_OK;
    for (size_t i = 0; i < r->decoder.n && !s; i++) s = push(&more, r->decoder.items[i], err);
    const size_t n_listed = more.n;
    for (size_t i = 0; i < r->named.n && !s; i++) {
        const struct token *t = &r->named.items[i];
        if (!find(&r->added, t->content) && !find_same(&more, n_listed, t)) s = push(&more, *t, err);
    }
    const struct list map = {.items = r->named.items, .n = r->n_map};
    begin_lot(r);
    for (size_t i = 0; i < more.n && !s; i++) {
        if (find(&map, more.items[i].content)) more.items[i].special = true;
        s = add(r, more.items[i], err);
    }
    mem_free(more.items);
    return s;
}

/* ---- around a text ---- */

static gpt2q_status put_around(struct resolver *r, bool before, const cJSON *id, gpt2q_error *err)
{
    double v = cJSON_IsNumber(id) ? id->valuedouble : -1;
    int32_t *ids = before ? r->before : r->after;
    int *n = before ? &r->n_before : &r->n_after;
    if (!(v >= 0 && v <= MAX_ID && v == (double)(int32_t)v))
        return error_set(err, GPT2Q_FORMAT, "%s: post_processor: a token without an id",
                         r->src->tokenizer_path);
    if (*n == AROUND_MAX)
        return error_set(err, GPT2Q_UNSUPPORTED, "%s: post_processor: more than %d tokens before or after",
                         r->src->tokenizer_path, AROUND_MAX);
    ids[(*n)++] = (int32_t)v;
    return GPT2Q_OK;
}

static gpt2q_status read_template(struct resolver *r, const cJSON *processor, gpt2q_error *err)
{
    const cJSON *piece, *single = get(processor, "single"), *tokens = get(processor, "special_tokens");
    int texts = 0;
    cJSON_ArrayForEach(piece, single)
    {
        const cJSON *sequence = get(get(piece, "Sequence"), "id"),
                    *name = get(get(piece, "SpecialToken"), "id"), *id;
        if (cJSON_IsString(sequence) && !strcmp(sequence->valuestring, "A")) {
            texts++;
            continue;
        }
        const cJSON *token = cJSON_IsString(name) ? get(tokens, name->valuestring) : NULL;
        if (!token)
            return error_set(err, GPT2Q_FORMAT,
                             "%s: post_processor: a piece of single is neither the text nor a known token",
                             r->src->tokenizer_path);
        cJSON_ArrayForEach(id, get(token, "ids"))
        {
            gpt2q_status s = put_around(r, texts == 0, id, err);
            if (s) return s;
        }
    }
    if (texts == 1) return GPT2Q_OK;
    return error_set(err, GPT2Q_UNSUPPORTED, "%s: post_processor: single must hold the text once",
                     r->src->tokenizer_path);
}

static gpt2q_status read_processor(struct resolver *r, const cJSON *processor, gpt2q_error *err)
{
    const cJSON *type = get(processor, "type");
    const char *name = cJSON_IsString(type) ? type->valuestring : "";
    if (!strcmp(name, "ByteLevel")) return GPT2Q_OK; /* concerns offsets */
    if (!strcmp(name, "TemplateProcessing")) return read_template(r, processor, err);
    if (!strcmp(name, "RobertaProcessing") || !strcmp(name, "BertProcessing")) {
        gpt2q_status s = put_around(r, true, cJSON_GetArrayItem(get(processor, "cls"), 1), err);
        return s ? s : put_around(r, false, cJSON_GetArrayItem(get(processor, "sep"), 1), err);
    }
    return error_set(err, GPT2Q_UNSUPPORTED, "%s: post_processor.type is \"%s\", which is not supported",
                     r->src->tokenizer_path, name);
}

static gpt2q_status read_processors(struct resolver *r, gpt2q_error *err)
{
    const cJSON *processor = get(r->src->tokenizer, "post_processor"), *type = get(processor, "type"), *item;
    if (!processor) return GPT2Q_OK;
    if (!cJSON_IsString(type) || strcmp(type->valuestring, "Sequence"))
        return read_processor(r, processor, err);
    cJSON_ArrayForEach(item, get(processor, "processors"))
    {
        if (r->n_before + r->n_after) /* each goes around what those before made, in an order of its own */
            return error_set(err, GPT2Q_UNSUPPORTED, "%s: post_processor: several processors that add tokens",
                             r->src->tokenizer_path);
        gpt2q_status s = read_processor(r, item, err);
        if (s) return s;
    }
    return GPT2Q_OK;
}

/* add_bos_token and add_eos_token count only where there is no tokenizer.json. */
static gpt2q_status read_around(struct resolver *r, gpt2q_error *err)
{
    bool bos = false, eos = false, present, json_prefix = false;
    const char *path = r->src->config_path;
    const cJSON *split = get(r->src->tokenizer, "pre_tokenizer");
    gpt2q_status s = json_bool(r->src->config, "add_bos_token", path, &bos, &present, err);
    if (!s) s = json_bool(r->src->config, "add_eos_token", path, &eos, &present, err);
    if (!s) s = json_bool(r->src->config, "add_prefix_space", path, &r->prefix, &present, err);
    if (!s) s = json_bool(split, "add_prefix_space", r->src->tokenizer_path, &json_prefix, &present, err);
    if (s) return s;
    if (split && r->backend) r->prefix = present ? json_prefix : true; /* the default of tokenizers */
    if (json_prefix && !r->prefix)
        return error_set(err, GPT2Q_UNSUPPORTED,
                         "%s: pre_tokenizer.add_prefix_space is true, but add_prefix_space of "
                         "tokenizer_config.json is not",
                         r->src->tokenizer_path);
    if (r->src->tokenizer) return read_processors(r, err);
    if (bos && r->bos) r->before[r->n_before++] = id_of(r, r->bos);
    if (eos && r->eos) r->after[r->n_after++] = id_of(r, r->eos);
    return GPT2Q_OK;
}

/* ---- the text ---- */

/* A default that no file asks for and the vocabulary has not: without an effect on a text without special tokens. */
static bool is_idle_default(const struct resolver *r, const struct token *t)
{
    return t->implied && !r->src->special_tokens && t->id == (int32_t)r->n_names;
}

/* True: <|endoftext|> is all there is, and special. */
static bool is_plain(const struct resolver *r)
{
    if (r->prefix || r->n_before || r->n_after || r->added.n > 1) return false;
    const struct token *t = &r->added.items[0];
    if (r->added.n == 0 || is_idle_default(r, t)) return find_name(r, END_OF_TEXT) == NO_TOKEN;
    return !strcmp(t->content, END_OF_TEXT) && t->special && !t->lstrip && !t->rstrip && !t->single_word;
}

static cJSON *json_ids(const int32_t *ids, int n) { return cJSON_CreateIntArray(ids, n); }

static bool print_tokens(const struct resolver *r, cJSON *list)
{
    bool ok = list;
    for (size_t i = 0; ok && i < r->added.n; i++) {
        const struct token *t = &r->added.items[i];
        if (t->hidden) continue;
        cJSON *item = cJSON_CreateObject();
        ok = cJSON_AddItemToArray(list, item) && cJSON_AddNumberToObject(item, "id", t->id) &&
             cJSON_AddStringToObject(item, "content", t->content) &&
             cJSON_AddBoolToObject(item, "special", t->special) &&
             cJSON_AddBoolToObject(item, "lstrip", t->lstrip) &&
             cJSON_AddBoolToObject(item, "rstrip", t->rstrip) &&
             cJSON_AddBoolToObject(item, "single_word", t->single_word) &&
             cJSON_AddBoolToObject(item, "normalized", t->normalized);
    }
    return ok;
}

static gpt2q_status print_extras(const struct resolver *r, char **extras, gpt2q_error *err)
{
    cJSON *root = cJSON_CreateObject();
    bool ok = root && print_tokens(r, cJSON_AddArrayToObject(root, "added_tokens")) &&
              cJSON_AddBoolToObject(root, "add_prefix_space", r->prefix) &&
              cJSON_AddItemToObject(root, "before", json_ids(r->before, r->n_before)) &&
              cJSON_AddItemToObject(root, "after", json_ids(r->after, r->n_after));
    char *text = ok ? cJSON_PrintUnformatted(root) : NULL;
    if (text) *extras = mem_strdup(text);
    cJSON_free(text);
    cJSON_Delete(root);
    return *extras ? GPT2Q_OK : error_memory(err, "added tokens", r->added.n * 128);
}

gpt2q_status resolve_extras(const struct resolve_source *source, char **extras, gpt2q_error *err)
{
    struct resolver r = {.src = source};
    *extras = NULL;
    gpt2q_status s = read_class(&r, err);
    if (!s) s = read_names(&r, err);
    if (!s) s = read_lists(&r, err);
    if (!s) s = add_all(&r, err);
    if (!s) s = read_around(&r, err);
    if (!s && !is_plain(&r)) s = print_extras(&r, extras, err);
    mem_free(r.names);
    mem_free(r.decoder.items);
    mem_free(r.named.items);
    mem_free(r.added.items);
    return s;
}
