#include "tokenizer/directory.h"
#include "base/file.h"
#include "base/memory.h"
#include "tokenizer/resolve.h"
#include "tokenizer/vocabulary.h"
#include <string.h>

const char *const directory_file_names[DIRECTORY_FILES] = {[FILE_VOCAB] = "vocab.json",
                                                           [FILE_MERGES] = "merges.txt",
                                                           [FILE_TOKENIZER] = "tokenizer.json",
                                                           [FILE_TOKENIZER_CONFIG] = "tokenizer_config.json",
                                                           [FILE_SPECIAL_TOKENS] = "special_tokens_map.json",
                                                           [FILE_ADDED_TOKENS] = "added_tokens.json"};

/* ---- files ---- */

/* Reads a file that exists. */
static gpt2q_status read_file(const char *directory, struct directory_texts *d, int i, gpt2q_error *err)
{
    bool present;
    char *path = d->files[i].path = path_join(directory, directory_file_names[i]);
    if (!path) return error_memory(err, "a path", strlen(directory));
    gpt2q_status s = file_look_for(path, &present, err);
    if (s || !present) return s;
    return file_read_regular(path, VOCABULARY_MAX_BYTES, &d->files[i].text, &d->files[i].size, err);
}

static bool has(const struct directory_texts *d, int file) { return d->files[file].text; }

static struct tokenizer_text text_of(const struct directory_texts *d, int file)
{
    return (struct tokenizer_text){d->files[file].text, d->files[file].size, d->files[file].path};
}

static void use_pair(struct directory_texts *d)
{
    d->texts.vocab = text_of(d, FILE_VOCAB);
    d->texts.merges = text_of(d, FILE_MERGES);
}

static void use_whole(struct directory_texts *d)
{
    d->texts.vocab = text_of(d, FILE_TOKENIZER);
    d->texts.merges = (struct tokenizer_text){0};
}

/* ---- together ---- */

static gpt2q_status parse(const struct directory_texts *d, int file, cJSON **out, gpt2q_error *err)
{
    *out = NULL;
    if (!has(d, file)) return GPT2Q_OK;
    gpt2q_status s = json_parse_wild(d->files[file].text, d->files[file].size, d->files[file].path, out, err);
    if (s || cJSON_IsObject(*out)) return s;
    return error_set(err, GPT2Q_FORMAT, "%s: is not a JSON object", d->files[file].path);
}

/* Finds tokenizer_class of config.json. Other errors of that file are reported when the model is opened. */
static char *model_class(const char *directory)
{
    char *path = path_join(directory, "config.json"), *text = NULL, *found = NULL;
    size_t n;
    cJSON *root = NULL;
    if (path && file_exists(path) && !file_read_regular(path, VOCABULARY_MAX_BYTES, &text, &n, NULL) &&
        !json_parse_wild(text, n, path, &root, NULL)) {
        const cJSON *item = cJSON_GetObjectItemCaseSensitive(root, "tokenizer_class");
        if (cJSON_IsString(item)) found = mem_strdup(item->valuestring);
    }
    cJSON_Delete(root);
    mem_free(text);
    mem_free(path);
    return found;
}

static gpt2q_status make_extras(const char *directory, struct directory_texts *d, gpt2q_error *err)
{
    cJSON *trees[DIRECTORY_FILES] = {0};
    char *class = model_class(directory);
    gpt2q_status s = GPT2Q_OK;
    for (int i = 0; i < DIRECTORY_FILES && !s; i++)
        if (i != FILE_MERGES && (i != FILE_VOCAB || !has(d, FILE_TOKENIZER))) s = parse(d, i, &trees[i], err);
    const cJSON *model = cJSON_GetObjectItemCaseSensitive(trees[FILE_TOKENIZER], "model");
    struct resolve_source source = {
        .vocab = trees[FILE_VOCAB] ? trees[FILE_VOCAB] : cJSON_GetObjectItemCaseSensitive(model, "vocab"),
        .tokenizer = trees[FILE_TOKENIZER],
        .config = trees[FILE_TOKENIZER_CONFIG],
        .special_tokens = trees[FILE_SPECIAL_TOKENS],
        .added_tokens = trees[FILE_ADDED_TOKENS],
        .tokenizer_path = d->files[FILE_TOKENIZER].path,
        .config_path = d->files[FILE_TOKENIZER_CONFIG].path,
        .special_tokens_path = d->files[FILE_SPECIAL_TOKENS].path,
        .added_tokens_path = d->files[FILE_ADDED_TOKENS].path,
        .model_class = class,
    };
    /* If there is no vocabulary, reading it gives the error. */
    if (!s && cJSON_IsObject(source.vocab)) s = resolve_extras(&source, &d->extras, err);
    for (int i = 0; i < DIRECTORY_FILES; i++) cJSON_Delete(trees[i]);
    mem_free(class);
    if (d->extras)
        d->texts.extras =
            (struct tokenizer_text){d->extras, strlen(d->extras),
                                    d->files[has(d, FILE_TOKENIZER) ? FILE_TOKENIZER : FILE_VOCAB].path};
    return s;
}

static gpt2q_status read_all(const char *directory, struct directory_texts *d, gpt2q_error *err)
{
    *d = (struct directory_texts){0};
    gpt2q_status s = GPT2Q_OK;
    for (int i = 0; i < DIRECTORY_FILES && !s; i++) s = read_file(directory, d, i, err);
    if (s) return s;
    if (has(d, FILE_TOKENIZER))
        use_whole(d);
    else if (has(d, FILE_VOCAB) || has(d, FILE_MERGES))
        use_pair(d);
    else
        return GPT2Q_OK;
    for (int i = FILE_VOCAB; i <= FILE_MERGES; i++)
        if (!has(d, FILE_TOKENIZER) && !has(d, i))
            return error_set(err, GPT2Q_IO, "%s: is missing beside %s", d->files[i].path,
                             directory_file_names[FILE_VOCAB + FILE_MERGES - i]);
    return make_extras(directory, d, err);
}

gpt2q_status directory_read(const char *directory, struct directory_texts *out, gpt2q_error *err)
{
    gpt2q_status s = read_all(directory, out, err);
    if (s || out->texts.vocab.text) return s;
    return error_set(err, GPT2Q_IO, "%s: holds neither vocab.json and merges.txt nor tokenizer.json",
                     directory);
}

/* ---- the pair instead of the whole, where they are the same ---- */

static bool same_tables(const struct tokenizer *a, const struct tokenizer *b)
{
    static const size_t sizes[TOKENIZER_TABLES] = {1, 4, 4, 4, 8, 4};
    struct tokenizer_table left[TOKENIZER_TABLES], right[TOKENIZER_TABLES];
    tokenizer_tables(a, left), tokenizer_tables(b, right);
    for (int i = 0; i < TOKENIZER_TABLES; i++)
        if (left[i].n != right[i].n ||
            (left[i].n && memcmp(left[i].data, right[i].data, left[i].n * sizes[i])))
            return false;
    return true;
}

gpt2q_status directory_read_to_store(const char *directory, struct directory_texts *d, gpt2q_error *err)
{
    struct tokenizer *whole = NULL, *pair = NULL;
    gpt2q_status s = read_all(directory, d, err);
    if (s || !has(d, FILE_TOKENIZER) || !has(d, FILE_VOCAB) || !has(d, FILE_MERGES)) return s;
    s = tokenizer_from_texts(&d->texts, &whole, err);
    if (s) return s;
    use_pair(d);
    s = tokenizer_from_texts(&d->texts, &pair, NULL);
    if (s || !same_tables(whole, pair)) use_whole(d);
    tokenizer_free(whole);
    tokenizer_free(pair);
    return s == GPT2Q_OUT_OF_MEMORY ? error_memory(err, "the tokenizer", d->texts.vocab.size) : GPT2Q_OK;
}

void directory_free(struct directory_texts *d)
{
    for (int i = 0; i < DIRECTORY_FILES; i++) {
        mem_free(d->files[i].path);
        mem_free(d->files[i].text);
    }
    mem_free(d->extras);
    *d = (struct directory_texts){0};
}
