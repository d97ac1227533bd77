#include "tokenizer/added.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/utf8.h"
#include "tokenizer/pretokenizer.h"
#include "tokenizer/vocabulary.h"
#include <stdlib.h>
#include <string.h>

/* ---- reading ---- */

static int compare_tokens(const void *left, const void *right)
{
    const struct added_token *a = left, *b = right;
    if (a->flags.normalized != b->flags.normalized) return a->flags.normalized - b->flags.normalized;
    int order = memcmp(a->content, b->content, a->n < b->n ? a->n : b->n);
    return order ? order : (a->n > b->n) - (a->n < b->n);
}

/* Sorts the tokens, and records where those of each first byte begin. */
static void index_tokens(struct extras *e)
{
    if (e->n) qsort(e->tokens, e->n, sizeof *e->tokens, compare_tokens);
    e->n_first = 0;
    while (e->n_first < e->n && !e->tokens[e->n_first].flags.normalized) e->n_first++;
    for (int group = 0; group < 2; group++) {
        size_t at = group ? e->n_first : 0, end = group ? e->n : e->n_first;
        for (int byte = 0; byte < 257; byte++) {
            while (at < end && (unsigned char)e->tokens[at].content[0] < byte) at++;
            e->begins[group][byte] = (uint32_t)at;
        }
    }
}

gpt2q_status added_flags_read(const struct cJSON *item, const char *name, struct added_flags *flags,
                              bool *normalized, gpt2q_error *err)
{
    const struct {
        const char *key;
        bool *flag;
    } keys[] = {{"special", &flags->special},
                {"lstrip", &flags->lstrip},
                {"rstrip", &flags->rstrip},
                {"single_word", &flags->single_word},
                {"normalized", &flags->normalized}};
    gpt2q_status s = GPT2Q_OK;
    for (size_t i = 0; i < sizeof keys / sizeof *keys && !s; i++)
        s = json_bool(item, keys[i].key, name, keys[i].flag, normalized, err);
    return s;
}

static gpt2q_status read_token(const cJSON *item, const char *name, struct extras *e, size_t *used,
                               gpt2q_error *err)
{
    const cJSON *content = cJSON_GetObjectItemCaseSensitive(item, "content");
    struct added_token *t = &e->tokens[e->n];
    int64_t id = -1;
    bool present;
    *t = (struct added_token){.id = NO_TOKEN};
    if (!cJSON_IsString(content) || !*content->valuestring)
        return error_set(err, GPT2Q_FORMAT, "%s: added_tokens: every entry must have a string as content",
                         name);
    t->n = strlen(content->valuestring);
    if (t->n > ADDED_MAX_BYTES)
        return error_set(err, GPT2Q_UNSUPPORTED,
                         "%s: added_tokens: \"%s\" has %zu bytes where %d are possible", name,
                         error_quote(content->valuestring, t->n).text, t->n, ADDED_MAX_BYTES);
    gpt2q_status s = json_integer(item, "id", name, 0, MAX_ID, &id, &present, err);
    if (!s && !present)
        s = error_set(err, GPT2Q_FORMAT, "%s: added_tokens: \"%s\" has no id", name,
                      error_quote(content->valuestring, strlen(content->valuestring)).text);
    if (!s) s = added_flags_read(item, name, &t->flags, &present, err);
    if (s) return s;
    t->id = (int32_t)id;
    memcpy(e->text + *used, content->valuestring, t->n + 1);
    t->content = e->text + *used;
    *used += t->n + 1;
    e->n++;
    return GPT2Q_OK;
}

static gpt2q_status read_tokens(const cJSON *list, const char *name, struct extras *e, gpt2q_error *err)
{
    size_t count = 0, bytes = 0, used = 0;
    const cJSON *item;
    cJSON_ArrayForEach(item, list)
    {
        const cJSON *content = cJSON_GetObjectItemCaseSensitive(item, "content");
        count++;
        if (cJSON_IsString(content)) bytes += strlen(content->valuestring) + 1;
    }
    if (count > ADDED_MAX)
        return error_set(err, GPT2Q_UNSUPPORTED, "%s: has more than %d added tokens", name, ADDED_MAX);
    e->tokens = mem_zarray(count, sizeof *e->tokens);
    e->text = mem_alloc(bytes);
    if (!e->tokens || !e->text) return error_memory(err, "added tokens", count * sizeof *e->tokens + bytes);
    gpt2q_status s = GPT2Q_OK;
    cJSON_ArrayForEach(item, list) if (!s) s = read_token(item, name, e, &used, err);
    return s;
}

static gpt2q_status read_ids(const cJSON *root, const char *key, const char *name, int32_t *ids, int *n,
                             gpt2q_error *err)
{
    const cJSON *item, *list = cJSON_GetObjectItemCaseSensitive(root, key);
    cJSON_ArrayForEach(item, list)
    {
        double v = cJSON_IsNumber(item) ? item->valuedouble : -1;
        if (*n == AROUND_MAX || !(v >= 0 && v <= MAX_ID && v == (double)(int32_t)v))
            return error_set(err, GPT2Q_FORMAT, "%s: %s must be a list of at most %d ids", name, key,
                             AROUND_MAX);
        ids[(*n)++] = (int32_t)v;
    }
    return GPT2Q_OK;
}

gpt2q_status extras_parse(const char *json, size_t size, const char *name, struct extras *out,
                          gpt2q_error *err)
{
    cJSON *root;
    bool present;
    *out = (struct extras){0};
    gpt2q_status s = json_parse(json, size, name, &root, err);
    if (s) return s;
    s = read_tokens(cJSON_GetObjectItemCaseSensitive(root, "added_tokens"), name, out, err);
    if (!s) s = json_bool(root, "add_prefix_space", name, &out->add_prefix_space, &present, err);
    if (!s) s = read_ids(root, "before", name, out->before, &out->n_before, err);
    if (!s) s = read_ids(root, "after", name, out->after, &out->n_after, err);
    cJSON_Delete(root);
    if (s)
        extras_free(out);
    else
        index_tokens(out);
    return s;
}

gpt2q_status extras_plain(int32_t end_of_text, struct extras *out, gpt2q_error *err)
{
    *out = (struct extras){0};
    if (end_of_text != NO_TOKEN) {
        out->tokens = mem_alloc(sizeof *out->tokens);
        if (!out->tokens) return error_memory(err, "added tokens", sizeof *out->tokens);
        out->tokens[out->n++] = (struct added_token){
            .content = END_OF_TEXT, .n = strlen(END_OF_TEXT), .id = end_of_text, .flags.special = true};
    }
    index_tokens(out);
    return GPT2Q_OK;
}

void extras_free(struct extras *e)
{
    mem_free(e->tokens);
    mem_free(e->text);
    *e = (struct extras){0};
}

/* ---- finding ---- */

/* Among the tokens from lo to hi, which share their first `depth` bytes: the first whose next byte is at
 * least `byte`. */
static size_t first_from(const struct added_token *tokens, size_t lo, size_t hi, size_t depth, int byte)
{
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        int at = tokens[mid].n > depth ? (unsigned char)tokens[mid].content[depth] : -1;
        if (at < byte)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

/* The longest token of the group at the beginning of the text; NULL if there is none. */
static const struct added_token *longest_match(const struct extras *e, int group, const char *text, size_t n)
{
    const struct added_token *found = NULL;
    int first = (unsigned char)*text;
    size_t lo = e->begins[group][first], hi = e->begins[group][first + 1];
    for (size_t depth = 1; lo < hi; depth++) {
        if (e->tokens[lo].n == depth) found = &e->tokens[lo]; /* the shortest is the first */
        if (depth == n) break;
        int byte = (unsigned char)text[depth];
        lo = first_from(e->tokens, lo, hi, depth, byte);
        hi = first_from(e->tokens, lo, hi, depth, byte + 1);
    }
    return found;
}

/* The code point that ends before `at`, and its bytes; U+FFFD if the bytes are not one. */
static uint32_t code_point_before(const char *text, size_t at, size_t *length)
{
    for (size_t back = 1; back <= 4 && back <= at; back++) {
        struct utf8_step step = utf8_next(text + at - back, back);
        if (step.kind == UTF8_WHOLE && step.length == back) return *length = back, step.code_point;
    }
    *length = 1;
    return 0xFFFD;
}

static bool ends_with_word(const char *text, size_t n)
{
    size_t length;
    return n > 0 && pretokenizer_is_word(code_point_before(text, n, &length));
}

static bool begins_with_word(const char *text, size_t n)
{
    if (n == 0) return false;
    struct utf8_step step = utf8_next(text, n);
    return step.kind == UTF8_WHOLE && pretokenizer_is_word(step.code_point);
}

static bool is_space_at(const char *text, size_t n, size_t *length)
{
    struct utf8_step step = utf8_next(text, n);
    *length = step.length;
    return step.kind == UTF8_WHOLE && pretokenizer_class(step.code_point) == CLASS_SPACE;
}

static size_t strip_left(const char *text, size_t at)
{
    size_t length;
    while (at > 0 && pretokenizer_class(code_point_before(text, at, &length)) == CLASS_SPACE) at -= length;
    return at;
}

static size_t strip_right(const char *text, size_t at, size_t n)
{
    size_t length;
    while (at < n && is_space_at(text + at, n - at, &length)) at += length;
    return at;
}

struct splitter {
    const struct extras *extras;
    bool special;
    gpt2q_status (*take)(void *user, struct text_part part, gpt2q_error *err);
    void *user;
};

static gpt2q_status take_text(const struct splitter *sp, int group, const char *text, size_t n,
                              gpt2q_error *err);

/* Splits a text by the tokens of a group. Text that a match strips on its right is not given again after
 * the last match, but the next search sees it, as in the library. So `done` may lie beyond a match. */
static gpt2q_status split_by(const struct splitter *sp, int group, const char *text, size_t n,
                             gpt2q_error *err)
{
    size_t done = 0;
    gpt2q_status s = GPT2Q_OK;
    for (size_t at = 0; at < n && !s;) {
        const struct added_token *t = longest_match(sp->extras, group, text + at, n - at);
        if (!t) {
            at++;
            continue;
        }
        size_t begin = at, end = at + t->n;
        at = end;
        if (t->flags.special && !sp->special) continue;
        if (t->flags.single_word && (ends_with_word(text, begin) || begins_with_word(text + end, n - end)))
            continue;
        if (t->flags.lstrip) {
            begin = strip_left(text, begin);
            if (begin < done) begin = done;
        }
        if (t->flags.rstrip) end = strip_right(text, end, n);
        if (done < begin) s = take_text(sp, group, text + done, begin - done, err);
        if (!s && begin < end)
            s = sp->take(sp->user, (struct text_part){.id = t->id},
                         err); /* otherwise it is stripped already */
        done = end;
    }
    return s || done >= n ? s : take_text(sp, group, text + done, n - done, err);
}

/* A stretch without a token of the group: the next group splits it, or it is text. */
static gpt2q_status take_text(const struct splitter *sp, int group, const char *text, size_t n,
                              gpt2q_error *err)
{
    if (group == 0 && sp->extras->n > sp->extras->n_first) return split_by(sp, 1, text, n, err);
    return sp->take(sp->user, (struct text_part){.text = text, .n = n, .id = NO_TOKEN}, err);
}

gpt2q_status extras_split(const struct extras *e, const char *text, size_t n, bool special,
                          gpt2q_status (*take)(void *user, struct text_part part, gpt2q_error *err),
                          void *user, gpt2q_error *err)
{
    struct splitter sp = {.extras = e, .special = special, .take = take, .user = user};
    if (n == 0) return GPT2Q_OK;
    bool plain =
        e->n == 1 && e->tokens[0].flags.special && !special; /* in most vocabularies: nothing to look for */
    return e->n_first && !plain ? split_by(&sp, 0, text, n, err) : take_text(&sp, 0, text, n, err);
}
