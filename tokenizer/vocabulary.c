/* Reads vocab.json + merges.txt, or tokenizer.json, or lists of names. Refused, because ids would be wrong or missing: ids
 * that are not integers or are too large; a byte, or a merge, whose token's id another name has; a
 * tokenizer.json that asks for more than GPT-2's byte-level BPE. Allowed: gaps between ids, which
 * fine-tuned models leave; bytes without a token; names outside the byte alphabet, which are texts as they
 * stand (no merge makes them, only an added token is found in a text); two names of one id (its text is
 * the added token's, or else the first). */
#include "tokenizer/vocabulary.h"
#include "base/json.h"
#include "base/memory.h"
#include "tokenizer/merges.h"

struct entry {
    const char *name; /* in the JSON tree or the caller's list */
    size_t n_name;
    size_t length; /* of the token, in bytes */
    int32_t id;
    bool literal; /* the name is the token's text, not spelled in the byte alphabet */
};

struct vocabulary_reader {
    struct tokenizer *t;
    const char *file;
    const cJSON *vocab, *added, *merges; /* added and merges: only of tokenizer.json */
    const struct tokenizer_names *names; /* instead of a tree, or NULL */
    bool extras;                         /* the added tokens are those of the extras */
    struct entry *entries;
    size_t n_entries, n_vocab; /* n_vocab: those of the vocabulary, which come first */
    int32_t *entry_of;         /* by id: index of its entry, NO_ENTRY for a gap */
};
#define NO_ENTRY (-1)

/* ---- what tokenizer.json asks for beside the tables ---- */

static const cJSON *field(const cJSON *object, const char *key)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    return cJSON_IsNull(item) ? NULL : item;
}

static bool is_string(const cJSON *item, const char *text)
{
    return cJSON_IsString(item) && !strcmp(item->valuestring, text);
}

static bool is_empty_or_absent(const cJSON *item) { return !item || is_string(item, ""); }

/* The name of a field that would change the ids, or NULL. */
static const char *foreign_field(const cJSON *root, const cJSON *model)
{
    const cJSON *type = field(model, "type"), *split = field(root, "pre_tokenizer");
    const cJSON *decoder = field(root, "decoder");
    if (type && !is_string(type, "BPE")) return "model.type";
    if (field(root, "normalizer")) return "normalizer";
    if (field(model, "dropout")) return "model.dropout";
    if (!is_empty_or_absent(field(model, "continuing_subword_prefix")))
        return "model.continuing_subword_prefix";
    if (!is_empty_or_absent(field(model, "end_of_word_suffix"))) return "model.end_of_word_suffix";
    if (cJSON_IsTrue(field(model, "ignore_merges"))) return "model.ignore_merges";
    if (!is_string(field(split, "type"), "ByteLevel")) return "pre_tokenizer.type";
    if (cJSON_IsFalse(field(split, "use_regex"))) return "pre_tokenizer.use_regex";
    if (decoder && !is_string(field(decoder, "type"), "ByteLevel")) return "decoder.type";
    return NULL;
}

static gpt2q_status find_parts(struct vocabulary_reader *r, const cJSON *root, bool whole, gpt2q_error *err)
{
    const cJSON *model = whole ? field(root, "model") : NULL;
    r->vocab = whole ? field(model, "vocab") : root;
    if (!cJSON_IsObject(r->vocab))
        return error_set(err, GPT2Q_FORMAT, "%s: %s must be an object of names and ids", r->file,
                         whole ? "model.vocab" : "the document");
    if (!whole) return GPT2Q_OK;
    r->added = r->extras ? NULL : field(root, "added_tokens");
    r->merges = field(model, "merges");
    if (!cJSON_IsArray(r->merges))
        return error_set(err, GPT2Q_FORMAT, "%s: model.merges must be an array", r->file);
    if (r->added && !cJSON_IsArray(r->added))
        return error_set(err, GPT2Q_FORMAT, "%s: added_tokens must be an array", r->file);
    const char *foreign = foreign_field(root, model);
    if (!foreign) return GPT2Q_OK;
    return error_set(err, GPT2Q_UNSUPPORTED, "%s: %s is not that of GPT-2's byte-level BPE", r->file,
                     foreign);
}

/* ---- names and ids ---- */

static gpt2q_status read_id(const struct vocabulary_reader *r, const char *name, const cJSON *number,
                            int32_t *id, gpt2q_error *err)
{
    double value = cJSON_IsNumber(number) ? number->valuedouble : -1;
    if (value >= 0 && value <= MAX_ID && value == (double)(int32_t)value) {
        *id = (int32_t)value;
        return GPT2Q_OK;
    }
    return error_set(err, GPT2Q_FORMAT, "%s: token \"%s\": the id must be an integer from 0 to %d", r->file,
                     error_quote(name, strlen(name)).text, MAX_ID);
}

/* Adds a token to the entries. */
static gpt2q_status add_entry(struct vocabulary_reader *r, const char *name, size_t n, gpt2q_error *err)
{
    struct entry *entry = &r->entries[r->n_entries++];
    size_t length;
    uint32_t foreign = 0;
    if (!n) return error_set(err, GPT2Q_FORMAT, "%s: a token has an empty name", r->file);
    bool literal = !alphabet_decode(name, n, NULL, 0, &length, &foreign);
    *entry = (struct entry){name, n, literal ? n : length, NO_TOKEN, literal};
    return GPT2Q_OK;
}

static gpt2q_status number_entry(struct vocabulary_reader *r, int32_t id)
{
    r->entries[r->n_entries - 1].id = id;
    if (id >= r->t->bytes.n) r->t->bytes.n = id + 1;
    return GPT2Q_OK;
}

static gpt2q_status add_numbered(struct vocabulary_reader *r, const char *name, const cJSON *number,
                                 gpt2q_error *err)
{
    int32_t id = NO_TOKEN;
    gpt2q_status s = add_entry(r, name, strlen(name), err);
    if (!s) s = read_id(r, name, number, &id, err);
    return s ? s : number_entry(r, id);
}

/* The tokens of a list. Offsets of their bytes have 32 bits. */
static gpt2q_status add_names(struct vocabulary_reader *r, gpt2q_error *err)
{
    size_t bytes = 0;
    gpt2q_status s = GPT2Q_OK;
    for (size_t i = 0; r->names && i < r->names->n_tokens && !s; i++) {
        const struct tokenizer_name *token = &r->names->tokens[i];
        bytes += token->n;
        if (token->id < 0 || token->id > MAX_ID || bytes > VOCABULARY_MAX_BYTES)
            return error_set(err, GPT2Q_FORMAT,
                             "%s: token %d is beyond the %d ids or %zu bytes that a vocabulary may have",
                             r->file, (int)token->id, MAX_ID + 1, VOCABULARY_MAX_BYTES);
        s = add_entry(r, token->text, token->n, err);
        if (!s) s = number_entry(r, token->id);
    }
    return s;
}

static gpt2q_status collect_entries(struct vocabulary_reader *r, gpt2q_error *err)
{
    const struct extras *extras = &r->t->extras;
    const cJSON *item;
    size_t count = (r->extras ? extras->n : 0) + (r->names ? r->names->n_tokens : 0);
    cJSON_ArrayForEach(item, r->vocab) count++;
    cJSON_ArrayForEach(item, r->added) count++;
    r->entries = mem_array(count, sizeof *r->entries);
    if (!r->entries) return error_memory(err, "the vocabulary", count * sizeof *r->entries);
    gpt2q_status s = add_names(r, err);
    cJSON_ArrayForEach(item, r->vocab) if (!s) s = add_numbered(r, item->string, item, err);
    r->n_vocab = r->n_entries;
    cJSON_ArrayForEach(item, r->added)
    {
        const cJSON *content = field(item, "content");
        if (!s && !cJSON_IsString(content))
            s = error_set(err, GPT2Q_FORMAT, "%s: added_tokens: every entry must have a string as content",
                          r->file);
        if (!s) s = add_numbered(r, content->valuestring, field(item, "id"), err);
    }
    for (size_t i = 0; r->extras && i < extras->n && !s; i++) {
        s = add_entry(r, extras->tokens[i].content, strlen(extras->tokens[i].content), err);
        if (!s) s = number_entry(r, extras->tokens[i].id);
    }
    return s;
}

/* A second name of an id is never found by its bytes. That does no harm if only an added token has it. */
static bool is_one_byte(const struct entry *entry) { return !entry->literal && entry->length == 1; }

static bool is_named(const struct entry *entry, const char *name, size_t n)
{
    return entry->n_name == n && !memcmp(entry->name, name, n);
}

/* Gives every id its entry: the added tokens' last one, else the first. */
static gpt2q_status place_entries(struct vocabulary_reader *r, gpt2q_error *err)
{
    size_t n = (size_t)r->t->bytes.n;
    r->entry_of = mem_array(n, sizeof *r->entry_of);
    if (!r->entry_of) return error_memory(err, "the vocabulary", n * sizeof *r->entry_of);
    for (size_t i = 0; i < n; i++) r->entry_of[i] = NO_ENTRY;
    for (size_t i = 0; i < r->n_entries; i++) {
        const struct entry *entry = &r->entries[i];
        int32_t *place = &r->entry_of[entry->id];
        const struct entry *taken = *place == NO_ENTRY ? NULL : &r->entries[*place];
        bool again = taken && is_named(taken, entry->name, entry->n_name);
        if (taken && !again && (is_one_byte(taken) || is_one_byte(entry)))
            return error_set(err, GPT2Q_FORMAT, "%s: tokens \"%s\" and \"%s\" both have id %d", r->file,
                             error_quote(taken->name, taken->n_name).text,
                             error_quote(entry->name, entry->n_name).text, (int)entry->id);
        bool end = taken && !r->extras && is_named(entry, END_OF_TEXT, strlen(END_OF_TEXT));
        if (!taken || (!again && (i >= r->n_vocab || end))) *place = (int32_t)i;
    }
    return GPT2Q_OK;
}

/* ---- bytes ---- */

/* Allocates room for the bytes of all tokens, and finds where each token's bytes begin. */
static gpt2q_status lay_out(struct vocabulary_reader *r, size_t *count, gpt2q_error *err)
{
    struct token_bytes *bytes = &r->t->bytes;
    size_t n = (size_t)bytes->n;
    bytes->at = mem_array(n + 1, sizeof *bytes->at);
    if (!bytes->at) return error_memory(err, "the vocabulary", n * sizeof *bytes->at);
    for (size_t id = 0; id < n; id++) {
        bytes->at[id] = (uint32_t)bytes->size;
        if (r->entry_of[id] == NO_ENTRY) continue;
        size_t length = r->entries[r->entry_of[id]].length;
        if (length > bytes->longest) bytes->longest = (uint32_t)length;
        bytes->size += length;
        ++*count;
    }
    bytes->at[n] = (uint32_t)bytes->size;
    bytes->data = mem_alloc(bytes->size);
    return bytes->data ? GPT2Q_OK : error_memory(err, "the vocabulary", bytes->size);
}

static gpt2q_status enter(const struct vocabulary_reader *r, struct byte_table *table, int32_t id,
                          gpt2q_error *err)
{
    const struct entry *entry = &r->entries[r->entry_of[id]];
    const int32_t same = byte_table_insert(table, &r->t->bytes, id);
    if (same == NO_TOKEN) return GPT2Q_OK;
    return error_set(err, GPT2Q_FORMAT, "%s: tokens %d and %d have the same text, \"%s\"", r->file, (int)same,
                     (int)id, error_quote(entry->name, entry->n_name).text);
}

/* A token that no merge makes is not found by its bytes. JSON has each key once, and a list is looked through for it. */
static gpt2q_status place_literal(const struct vocabulary_reader *r, struct byte_table *literals, int32_t id,
                                  gpt2q_error *err)
{
    const size_t n = r->n_vocab;
    if (!r->names || (size_t)r->entry_of[id] >= n) return GPT2Q_OK;
    if (!literals->slots && !byte_table_create(literals, n))
        return error_memory(err, "the vocabulary", n * sizeof *literals->slots);
    return enter(r, literals, id, err);
}

/* Enters them in the order of ids, so that the table is always the same. */
static gpt2q_status place_bytes(struct vocabulary_reader *r, gpt2q_error *err)
{
    struct tokenizer *t = r->t;
    size_t count = 0, length;
    struct byte_table literals = {0};
    gpt2q_status s = lay_out(r, &count, err);
    if (!s && !byte_table_create(&t->tokens, count))
        s = error_memory(err, "the vocabulary", count * sizeof *t->tokens.slots);
    for (int32_t id = 0; id < t->bytes.n && !s; id++) {
        if (r->entry_of[id] == NO_ENTRY) continue;
        const struct entry *entry = &r->entries[r->entry_of[id]];
        uint8_t *bytes = t->bytes.data + t->bytes.at[id];
        uint32_t foreign;
        if (entry->literal) {
            memcpy(bytes, entry->name, entry->length);
            s = place_literal(r, &literals, id, err);
        } else {
            alphabet_decode(entry->name, entry->n_name, bytes, entry->length, &length, &foreign);
            s = enter(r, &t->tokens, id, err);
        }
    }
    mem_free(literals.slots);
    return s;
}

gpt2q_status vocabulary_find_ends(struct tokenizer *t, const char *file, gpt2q_error *err)
{
    t->some_byte = NO_TOKEN, t->missing = false;
    for (int b = 0; b < 256; b++) {
        uint8_t byte = (uint8_t)b;
        t->byte_id[b] = byte_table_find(&t->tokens, &t->bytes, &byte, 1);
        if (t->byte_id[b] != NO_TOKEN)
            t->some_byte = t->byte_id[b];
        else
            t->missing = true;
    }
    if (t->some_byte == NO_TOKEN)
        return error_set(err, GPT2Q_FORMAT, "%s: no byte has a token, so that no text has ids", file);
    t->end_of_text =
        byte_table_find(&t->tokens, &t->bytes, (const uint8_t *)END_OF_TEXT, strlen(END_OF_TEXT));
    return GPT2Q_OK;
}

/* ---- merges of tokenizer.json: "a b" or ["a", "b"] ---- */

static gpt2q_status read_merges_array(struct merge_reader *m, const cJSON *merges, gpt2q_error *err)
{
    gpt2q_status s = merge_reader_create(m, (size_t)cJSON_GetArraySize(merges), err);
    const cJSON *item;
    cJSON_ArrayForEach(item, merges)
    {
        const cJSON *left = cJSON_IsArray(item) ? item->child : NULL, *right = left ? left->next : NULL;
        if (s) break;
        if (cJSON_IsString(item)) {
            s = merge_reader_line(m, item->valuestring, strlen(item->valuestring), err);
        } else if (cJSON_IsString(left) && cJSON_IsString(right) && !right->next) {
            s = merge_reader_pair(m, left->valuestring, strlen(left->valuestring), right->valuestring,
                                  strlen(right->valuestring), err);
        } else {
            s = error_set(err, GPT2Q_FORMAT,
                          "%s: %s %zu: must be a string \"a b\" or an array of two strings", m->file, m->unit,
                          m->number);
        }
    }
    return s;
}

static gpt2q_status read_merge_names(struct merge_reader *m, const struct tokenizer_names *names,
                                     gpt2q_error *err)
{
    size_t bytes = 0;
    for (size_t i = 0; i < names->n_merges && bytes <= VOCABULARY_MAX_BYTES; i++) bytes += names->merges[i].n;
    if (names->n_merges > TOKENIZER_MAX_NAMES || bytes > VOCABULARY_MAX_BYTES)
        return error_set(err, GPT2Q_FORMAT,
                         "%s: there are more than %zu merges, or they have more than %zu bytes", m->file,
                         TOKENIZER_MAX_NAMES, VOCABULARY_MAX_BYTES);
    gpt2q_status s = merge_reader_create(m, names->n_merges, err);
    for (size_t i = 0; i < names->n_merges && !s; i++)
        s = merge_reader_line(m, names->merges[i].text, names->merges[i].n, err);
    return s;
}

static gpt2q_status read_tables(struct vocabulary_reader *r, const char *merges, size_t merges_size,
                                const char *merges_name, gpt2q_error *err)
{
    gpt2q_status s = collect_entries(r, err);
    if (!s) s = place_entries(r, err);
    if (!s) s = place_bytes(r, err);
    if (!s) s = vocabulary_find_ends(r->t, r->file, err);
    if (s) return s;
    struct merge_reader m = {.t = r->t, .capacity = r->t->bytes.longest};
    if (r->names) {
        m.file = r->names->merges_name, m.unit = "merge";
        s = read_merge_names(&m, r->names, err);
    } else if (merges) {
        m.file = merges_name, m.unit = "line", m.number = 1;
        s = merges_read_text(&m, merges, merges_size, err);
    } else {
        m.file = r->file, m.unit = "merge";
        s = read_merges_array(&m, r->merges, err);
    }
    merge_reader_free(&m);
    return s;
}

gpt2q_status vocabulary_read(struct tokenizer *t, const char *vocab, size_t vocab_size,
                             const char *vocab_name, const char *merges, size_t merges_size,
                             const char *merges_name, bool extras, gpt2q_error *err)
{
    bool vocab_larger = vocab_size > merges_size;
    if (vocab_size > VOCABULARY_MAX_BYTES || merges_size > VOCABULARY_MAX_BYTES)
        return error_set(err, GPT2Q_FORMAT, "%s: is larger than the %zu bytes that a vocabulary may have",
                         vocab_larger ? vocab_name : merges_name, VOCABULARY_MAX_BYTES);
    cJSON *root;
    gpt2q_status s = json_parse_wild(vocab, vocab_size, vocab_name, &root, err);
    if (s) return s;
    struct vocabulary_reader r = {.t = t, .file = vocab_name, .extras = extras};
    s = find_parts(&r, root, !merges, err);
    if (!s) s = read_tables(&r, merges, merges_size, merges_name, err);
    mem_free(r.entries);
    mem_free(r.entry_of);
    cJSON_Delete(root);
    return s;
}

gpt2q_status vocabulary_read_names(struct tokenizer *t, const struct tokenizer_names *names, bool extras,
                                   gpt2q_error *err)
{
    struct vocabulary_reader r = {.t = t, .file = names->tokens_name, .names = names, .extras = extras};
    gpt2q_status s = read_tables(&r, NULL, 0, NULL, err);
    mem_free(r.entries);
    mem_free(r.entry_of);
    return s;
}
