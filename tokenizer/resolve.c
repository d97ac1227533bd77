/* Three steps, as in transformers (tokenization_utils_base.py, tokenization_utils_tokenizers.py). First:
 * which tokens the files list, and with which flags. Second: which of the named tokens (bos_token ...) are
 * not listed. Third: adding them all one after another, with the ids that the tokenizers library gives
 * (added_vocabulary.rs): the id of the name in the vocabulary, else the next free one. A file that states
 * another id is refused, because the two libraries, and their versions, differ there.
 *
 * Two kinds of tokenizers are known. A GPT2Tokenizer takes only the vocabulary, the merges and the
 * post-processor of tokenizer.json. PreTrainedTokenizerFast (TokenizersBackend) takes all of it. */
#include "tokenizer/resolve.h"
#include "base/memory.h"
#include "tokenizer/resolve_parts.h"
#include "tokenizer/vocabulary.h"
#include <stdlib.h>
#include <string.h>

const cJSON *resolve_get(const cJSON *object, const char *key)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    return cJSON_IsNull(item) ? NULL : item;
}

gpt2q_status resolve_push(struct token_list *list, struct listed_token token, gpt2q_error *err)
{
    if (list->n == list->capacity) {
        size_t capacity = list->capacity ? 2 * list->capacity : 16;
        struct listed_token *items = mem_grow(list->items, list->n * sizeof *items, capacity * sizeof *items);
        if (!items) return error_memory(err, "added tokens", capacity * sizeof *items);
        list->items = items;
        list->capacity = capacity;
    }
    if (list->n == ADDED_MAX)
        return error_set(err, GPT2Q_UNSUPPORTED, "%s: has more than %d added tokens", token.path, ADDED_MAX);
    list->items[list->n++] = token;
    return GPT2Q_OK;
}

struct listed_token *resolve_find(const struct token_list *list, const char *content)
{
    for (size_t i = 0; i < list->n; i++)
        if (!strcmp(list->items[i].content, content)) return &list->items[i];
    return NULL;
}

/* ---- which class ---- */

static gpt2q_status read_class(struct resolver *r, gpt2q_error *err)
{
    const cJSON *item = resolve_get(r->src->config, "tokenizer_class");
    const char *class = cJSON_IsString(item) ? item->valuestring : r->src->model_class;
    static const char *const gpt2[] = {"GPT2Tokenizer", "GPT2TokenizerFast"};
    static const char *const backends[] = {"PreTrainedTokenizerFast", "TokenizersBackend"};
    if (!class) return GPT2Q_OK;
    for (size_t i = 0; i < 2; i++) {
        if (!strcmp(class, gpt2[i])) return GPT2Q_OK;
        /* without tokenizer.json it has nothing to take */
        if (!strcmp(class, backends[i])) return r->backend = r->src->tokenizer, GPT2Q_OK;
    }
    return error_set(err, GPT2Q_UNSUPPORTED,
                     "%s: tokenizer_class is \"%s\", supported are GPT2Tokenizer and PreTrainedTokenizerFast",
                     r->src->config_path, error_quote(class, strlen(class)).text);
}

/* ---- adding ---- */

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const struct vocabulary_name *)a)->text, ((const struct vocabulary_name *)b)->text);
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
        /* a value that is not an id is refused where the vocabulary is read */
        r->names[r->n_names++] =
            (struct vocabulary_name){item->string, v >= 0 && v <= MAX_ID ? (int32_t)v : 0};
    }
    if (n) qsort(r->names, n, sizeof *r->names, compare_names);
    return GPT2Q_OK;
}

/* The id that the vocabulary gives a name. */
static int32_t find_name(const struct resolver *r, const char *content)
{
    struct vocabulary_name key = {.text = content};
    const struct vocabulary_name *found =
        r->n_names ? bsearch(&key, r->names, r->n_names, sizeof key, compare_names) : NULL;
    return found ? found->id : NO_TOKEN;
}

int32_t resolve_id(const struct resolver *r, const char *content)
{
    const struct listed_token *added = resolve_find(&r->added, content);
    return added ? added->id : find_name(r, content);
}

/* Tokens are added in lots. The first id of a lot is decided once. */
static void begin_lot(struct resolver *r)
{
    r->next = (int32_t)r->n_names;
    for (size_t i = 0; i < r->added.n; i++)
        if (r->added.items[i].id >= r->next) r->next = r->added.items[i].id + 1;
}

static gpt2q_status add(struct resolver *r, struct listed_token t, gpt2q_error *err)
{
    if (!*t.content) return GPT2Q_OK;
    int32_t known = resolve_id(r, t.content);
    t.id = known == NO_TOKEN ? r->next : known;
    if (t.stated >= 0 && t.stated != t.id)
        return error_set(err, GPT2Q_UNSUPPORTED,
                         "%s: token \"%s\" has the id %d, but the tokenizers library numbers it %d", t.path,
                         error_quote(t.content, strlen(t.content)).text, (int)t.stated, (int)t.id);
    if (known == NO_TOKEN) r->next++;
    for (size_t i = 0; i < r->added.n; i++)
        if (r->added.items[i].id == t.id) r->added.items[i].hidden = true;
    struct listed_token *same = resolve_find(&r->added, t.content);
    if (!same) return resolve_push(&r->added, t, err);
    t.flags.special |= same->flags.special;
    *same = t;
    return GPT2Q_OK;
}

static bool same_token(const struct listed_token *a, const struct listed_token *b)
{
    return !strcmp(a->content, b->content) && a->flags.special == b->flags.special &&
           a->flags.lstrip == b->flags.lstrip && a->flags.rstrip == b->flags.rstrip &&
           a->flags.single_word == b->flags.single_word && a->flags.normalized == b->flags.normalized &&
           a->string == b->string;
}

/* Whether one of the first `listed` tokens has this token's name, or one of the others is the same. To
 * transformers, a name alone and a token with flags are two tokens. */
static bool find_same(const struct token_list *list, size_t listed, const struct listed_token *t)
{
    for (size_t i = 0; i < list->n; i++)
        if (i < listed ? !strcmp(list->items[i].content, t->content) : same_token(&list->items[i], t))
            return true;
    return false;
}

static gpt2q_status add_all(struct resolver *r, gpt2q_error *err)
{
    struct token_list more = {0};
    begin_lot(r);
    gpt2q_status s = r->backend ? resolve_added_list(r, add, err) : GPT2Q_OK;
    for (size_t i = 0; i < r->decoder.n && !s; i++) s = resolve_push(&more, r->decoder.items[i], err);
    const size_t n_listed = more.n;
    for (size_t i = 0; i < r->named.n && !s; i++) {
        const struct listed_token *t = &r->named.items[i];
        if (!resolve_find(&r->added, t->content) && !find_same(&more, n_listed, t))
            s = resolve_push(&more, *t, err);
    }
    const struct token_list map = {.items = r->named.items, .n = r->n_map};
    begin_lot(r);
    for (size_t i = 0; i < more.n && !s; i++) {
        if (resolve_find(&map, more.items[i].content)) more.items[i].flags.special = true;
        s = add(r, more.items[i], err);
    }
    mem_free(more.items);
    return s;
}

/* ---- the text ---- */

/* Whether it is a default that no file asks for and that the vocabulary lacks. It has no effect on a text
 * without special tokens. */
static bool is_idle_default(const struct resolver *r, const struct listed_token *t)
{
    return t->implied && !r->src->special_tokens && t->id == (int32_t)r->n_names;
}

/* Whether <|endoftext|> is the only token, and special. */
static bool is_plain(const struct resolver *r)
{
    if (r->prefix || r->n_before || r->n_after || r->added.n > 1) return false;
    const struct listed_token *t = &r->added.items[0];
    if (r->added.n == 0 || is_idle_default(r, t)) return find_name(r, END_OF_TEXT) == NO_TOKEN;
    return !strcmp(t->content, END_OF_TEXT) && t->flags.special && !t->flags.lstrip && !t->flags.rstrip &&
           !t->flags.single_word;
}

static cJSON *json_ids(const int32_t *ids, int n) { return cJSON_CreateIntArray(ids, n); }

static bool print_tokens(const struct resolver *r, cJSON *list)
{
    bool ok = list;
    for (size_t i = 0; ok && i < r->added.n; i++) {
        const struct listed_token *t = &r->added.items[i];
        if (t->hidden) continue;
        cJSON *item = cJSON_CreateObject();
        ok = cJSON_AddItemToArray(list, item) && cJSON_AddNumberToObject(item, "id", t->id) &&
             cJSON_AddStringToObject(item, "content", t->content) &&
             cJSON_AddBoolToObject(item, "special", t->flags.special) &&
             cJSON_AddBoolToObject(item, "lstrip", t->flags.lstrip) &&
             cJSON_AddBoolToObject(item, "rstrip", t->flags.rstrip) &&
             cJSON_AddBoolToObject(item, "single_word", t->flags.single_word) &&
             cJSON_AddBoolToObject(item, "normalized", t->flags.normalized);
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
    if (!s) s = resolve_read_lists(&r, err);
    if (!s) s = add_all(&r, err);
    if (!s) s = resolve_read_around(&r, err);
    if (!s && !is_plain(&r)) s = print_extras(&r, extras, err);
    mem_free(r.names);
    mem_free(r.decoder.items);
    mem_free(r.named.items);
    mem_free(r.added.items);
    return s;
}
