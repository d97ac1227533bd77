#include "model/model_files.h"
#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "tokenizer/directory.h"
#include <string.h>

static const char *const configs[] = {"config.json", "generation_config.json"};
static const char *const weights[] = {"model.safetensors", "pytorch_model.bin"};
static const char *const indexes[] = {"model.safetensors.index.json", "pytorch_model.bin.index.json"};

struct file_walk {
    const char *directory;
    model_file_fn *fn;
    void *user;
    gpt2q_error *err;
};

static gpt2q_status visit(const struct file_walk *w, const char *name)
{
    char *path = path_join(w->directory, name);
    if (!path) return error_memory(w->err, "a path", strlen(name));
    gpt2q_status s = w->fn(w->user, path, w->err);
    mem_free(path);
    return s;
}

static gpt2q_status visit_all(const struct file_walk *w, const char *const *names, size_t n)
{
    gpt2q_status s = GPT2Q_OK;
    for (size_t i = 0; i < n && !s; i++) s = visit(w, names[i]);
    return s;
}

static gpt2q_status visit_shards(const struct file_walk *w, const char *index)
{
    gpt2q_error ignored;
    cJSON *root = NULL;
    size_t n;
    char *path = path_join(w->directory, index), *text = NULL;
    if (!path) return error_memory(w->err, "a path", strlen(index));
    if (file_exists(path) && !file_read_regular(path, MODEL_INDEX_MAX, &text, &n, &ignored))
        json_parse(text, n, index, &root, &ignored);
    mem_free(text);
    mem_free(path);
    const cJSON *map = cJSON_GetObjectItemCaseSensitive(root, "weight_map");
    gpt2q_status s = GPT2Q_OK;
    const char *last = "";
    for (const cJSON *i = map ? map->child : NULL; i && !s; i = i->next) {
        if (!cJSON_IsString(i) || !strcmp(i->valuestring, last)) continue; /* neighbours share a shard */
        last = i->valuestring;
        s = visit(w, last);
    }
    cJSON_Delete(root);
    return s;
}

gpt2q_status model_files_each(const char *path, model_file_fn *fn, void *user, gpt2q_error *err)
{
    const struct file_walk w = {path, fn, user, err};
    if (!file_is_directory(path)) return fn(user, path, err);
    gpt2q_status s = visit_all(&w, configs, 2);
    if (!s) s = visit_all(&w, directory_file_names, DIRECTORY_FILES);
    if (!s) s = visit_all(&w, weights, 2);
    if (!s) s = visit_all(&w, indexes, 2);
    for (size_t i = 0; i < 2 && !s; i++) s = visit_shards(&w, indexes[i]);
    return s;
}

bool model_file_is_text(const char *name)
{
    for (size_t i = 0; i < 2; i++)
        if (!strcmp(name, configs[i])) return true;
    for (size_t i = 0; i < DIRECTORY_FILES; i++)
        if (!strcmp(name, directory_file_names[i])) return true;
    return false;
}
