/* The texts are the tokenizer. The tables beside them are what reading the texts would make, so that a
 * large vocabulary opens at once. Only `inspect --check` compares the two. */
#include "model/gpt2q_tokenizer.h"
#include "base/memory.h"
#include "model/gpt2q_file.h"
#include <string.h>

static const struct {
    const char *name;
    enum st_dtype dtype;
} tables_in_file[TOKENIZER_TABLES] = {
    [TOKENIZER_BYTES] = {GPT2Q_TABLE "bytes", ST_U8},
    [TOKENIZER_AT] = {GPT2Q_TABLE "at", ST_U32},
    [TOKENIZER_LONGEST] = {GPT2Q_TABLE "longest", ST_U32},
    [TOKENIZER_TOKENS] = {GPT2Q_TABLE "tokens", ST_U32},
    [TOKENIZER_PAIRS] = {GPT2Q_TABLE "pairs", ST_U64},
    [TOKENIZER_MERGED] = {GPT2Q_TABLE "merged", ST_U32},
};

struct st_declaration tokenizer_table_declare(int table, size_t n)
{
    return (struct st_declaration){
        .name = tables_in_file[table].name, .dtype = tables_in_file[table].dtype, .n_dims = 1, .shape = {n}};
}

bool is_tokenizer_tensor(const char *name)
{
    static const char *const texts[] = {GPT2Q_VOCAB, GPT2Q_MERGES, GPT2Q_TOKENIZER, GPT2Q_EXTRAS};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (!strcmp(name, texts[i])) return true;
    for (int i = 0; i < TOKENIZER_TABLES; i++)
        if (!strcmp(name, tables_in_file[i].name)) return true;
    return false;
}

static gpt2q_status missing(const struct safetensors *st, const char *what, gpt2q_error *err)
{
    return error_set(err, GPT2Q_FORMAT, "%s: %s is missing", st->map.path, what);
}

/* ---- texts ---- */

static gpt2q_status find_text(const struct safetensors *st, const char *name, const struct st_tensor **out,
                              gpt2q_error *err)
{
    *out = safetensors_find(st, name);
    if (!*out || ((*out)->dtype == ST_U8 && (*out)->n_dims == 1)) return GPT2Q_OK;
    return error_set(err, GPT2Q_FORMAT, "%s: %s is no text, a list of U8", st->map.path, name);
}

struct texts {
    const struct st_tensor *vocab, *merges; /* merges: NULL beside a tokenizer.json */
    const struct st_tensor *extras;         /* NULL: none */
};

/* Both are NULL if there is no tokenizer. */
static gpt2q_status find_texts(const struct safetensors *st, struct texts *out, gpt2q_error *err)
{
    const struct st_tensor *both;
    gpt2q_status s = find_text(st, GPT2Q_VOCAB, &out->vocab, err);
    if (!s) s = find_text(st, GPT2Q_MERGES, &out->merges, err);
    if (!s) s = find_text(st, GPT2Q_TOKENIZER, &both, err);
    if (!s) s = find_text(st, GPT2Q_EXTRAS, &out->extras, err);
    if (s) return s;
    if (both) {
        out->vocab = both;
        out->merges = NULL;
        return GPT2Q_OK;
    }
    if (!out->vocab == !out->merges) return GPT2Q_OK;
    return missing(st, out->vocab ? GPT2Q_MERGES : GPT2Q_VOCAB, err);
}

static struct tokenizer_text text_of(const struct safetensors *st, const struct st_tensor *t)
{
    if (!t) return (struct tokenizer_text){0};
    return (struct tokenizer_text){t->size ? (const char *)t->data : "", t->size, st->map.path};
}

static gpt2q_status copy_text(const struct safetensors *st, const struct st_tensor *t, int file,
                              struct directory_texts *out, struct tokenizer_text *to, gpt2q_error *err)
{
    if (!t) return GPT2Q_OK;
    out->files[file].text = mem_memdup((const char *)t->data, t->size);
    out->files[file].path = mem_strdup(st->map.path);
    out->files[file].size = t->size;
    *to = (struct tokenizer_text){out->files[file].text, t->size, out->files[file].path};
    return to->text && to->name ? GPT2Q_OK : error_memory(err, t->name, t->size);
}

gpt2q_status gpt2q_texts(const struct safetensors *st, struct directory_texts *out, gpt2q_error *err)
{
    struct texts t;
    *out = (struct directory_texts){0};
    gpt2q_status s = find_texts(st, &t, err);
    if (s || !t.vocab) return s;
    s = copy_text(st, t.vocab, t.merges ? FILE_VOCAB : FILE_TOKENIZER, out, &out->texts.vocab, err);
    if (!s) s = copy_text(st, t.merges, FILE_MERGES, out, &out->texts.merges, err);
    if (s || !t.extras) return s;
    out->extras = mem_memdup((const char *)t.extras->data, t.extras->size);
    if (!out->extras) return error_memory(err, GPT2Q_EXTRAS, t.extras->size);
    out->texts.extras = (struct tokenizer_text){out->extras, t.extras->size, out->texts.vocab.name};
    return GPT2Q_OK;
}

static gpt2q_status read_texts(const struct safetensors *st, const struct texts *texts,
                               struct tokenizer **out, gpt2q_error *err)
{
    struct tokenizer_texts x = {text_of(st, texts->vocab), text_of(st, texts->merges),
                                text_of(st, texts->extras)};
    return tokenizer_from_texts(&x, out, err);
}

/* ---- tables ---- */

/* The file has all tables or none. */
static gpt2q_status find_tables(const struct safetensors *st, struct tokenizer_table tables[TOKENIZER_TABLES],
                                bool *present, gpt2q_error *err)
{
    int n = 0;
    const char *absent = NULL;
    for (int i = 0; i < TOKENIZER_TABLES; i++) {
        const char *name = tables_in_file[i].name;
        const struct st_tensor *t = safetensors_find(st, name);
        if (!t) {
            absent = name;
            continue;
        }
        if (t->dtype != tables_in_file[i].dtype || t->n_dims != 1)
            return error_set(err, GPT2Q_FORMAT, "%s: %s is no list of %s", st->map.path, name,
                             st_dtype_name(tables_in_file[i].dtype));
        if ((uintptr_t)t->data % GPT2Q_ALIGN)
            return error_set(err, GPT2Q_FORMAT, "%s: %s does not begin at a multiple of %d", st->map.path,
                             name, GPT2Q_ALIGN);
        tables[i] = (struct tokenizer_table){t->data, (size_t)t->shape[0]};
        n++;
    }
    *present = n == TOKENIZER_TABLES;
    return n && absent ? missing(st, absent, err) : GPT2Q_OK;
}

gpt2q_status gpt2q_tokenizer_open(const struct safetensors *st, struct tokenizer **out, gpt2q_error *err)
{
    struct texts texts;
    struct tokenizer_table tables[TOKENIZER_TABLES];
    bool present;
    *out = NULL;
    gpt2q_status s = find_texts(st, &texts, err);
    if (!s) s = find_tables(st, tables, &present, err);
    if (s) return s;
    if (!texts.vocab) return present ? missing(st, GPT2Q_VOCAB, err) : GPT2Q_OK;
    struct tokenizer_text extras = text_of(st, texts.extras);
    return present ? tokenizer_from_tables(tables, &extras, st->map.path, out, err)
                   : read_texts(st, &texts, out, err);
}

gpt2q_status gpt2q_tokenizer_check(const struct safetensors *st, gpt2q_error *err)
{
    struct texts texts;
    struct tokenizer_table found[TOKENIZER_TABLES], expected[TOKENIZER_TABLES];
    struct tokenizer *t;
    bool present;
    gpt2q_status s = find_texts(st, &texts, err);
    if (!s) s = find_tables(st, found, &present, err);
    if (s || !texts.vocab) return s;
    s = read_texts(st, &texts, &t, err);
    if (s) return s;
    s = tokenizer_find_words(t, err);
    tokenizer_tables(t, expected);
    for (int i = 0; present && i < TOKENIZER_TABLES && !s; i++) {
        struct st_declaration d = tokenizer_table_declare(i, expected[i].n);
        if (found[i].n != expected[i].n || memcmp(found[i].data, expected[i].data, st_declaration_size(&d)))
            s = error_set(err, GPT2Q_FORMAT, "%s: %s is not what the texts of the tokenizer make",
                          st->map.path, d.name);
    }
    tokenizer_free(t);
    return s;
}
