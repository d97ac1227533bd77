/* Opens the containers of a directory or file. The index is not trusted: a shard must be a file of the
 * same directory, and must hold what the index says. */
#include "model/container.h"
#include "base/json.h"
#include "base/memory.h"
#include "model/model_files.h"
#include <stdlib.h>
#include <string.h>

#define MAX_SHARDS 1024

/* ---- one file ---- */

/* The first reader that recognizes a file reads it. */
static const struct container_reader *const readers[] = {&gguf_reader, &torch_reader, &safetensors_reader};

gpt2q_status container_kind(const char *path, const struct container_reader **out, gpt2q_error *err)
{
    struct file_map map;
    gpt2q_status s = file_map_open(path, &map, err);
    *out = NULL;
    if (s) return s;
    if (!map.size) s = error_set(err, GPT2Q_FORMAT, "%s: is empty: it has 0 bytes", path);
    for (size_t i = 0; !s && !*out; i++)
        if (readers[i]->recognizes(map.data, map.size)) *out = readers[i];
    file_map_close(&map);
    return s;
}

static void close_one(struct container_file *file)
{
    if (file->owner) file->reader->close(file->owner);
    mem_free(file->tensors);
    mem_free(file->path);
    *file = (struct container_file){0};
}

/* Takes the path. */
static gpt2q_status open_one(char *path, struct container_file *out, gpt2q_error *err)
{
    *out = (struct container_file){.path = path};
    if (!path) return error_memory(err, "a path", 0);
    gpt2q_status s = container_kind(path, &out->reader, err);
    if (!s) s = out->reader->open(out, err);
    if (s) close_one(out);
    return s;
}

/* ---- a directory ---- */

static bool is_file_name(const char *name) { return *name && *name != '.' && !strpbrk(name, "/\\"); }

/* Adds a name to the list unless it is there. The index owns the name. */
static gpt2q_status add_shard(const char *index, const cJSON *item, const char **names, size_t *n,
                              gpt2q_error *err)
{
    if (!cJSON_IsString(item) || !is_file_name(item->valuestring)) {
        return error_set(err, GPT2Q_FORMAT, "%s: weight_map of %s is not the name of a file beside the index",
                         index, item->string);
    }
    for (size_t i = *n; i-- > 0;) { /* from the last on, since neighbours share a shard */
        if (!strcmp(names[i], item->valuestring)) return GPT2Q_OK;
    }
    if (*n == MAX_SHARDS)
        return error_set(err, GPT2Q_UNSUPPORTED, "%s: names more than %d files", index, MAX_SHARDS);
    names[(*n)++] = item->valuestring;
    return GPT2Q_OK;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static gpt2q_status check_shard(const char *index, const cJSON *item, const char **names,
                                const struct container *c, gpt2q_error *err)
{
    const char *shard = item->valuestring;
    const char **found = bsearch(&shard, names, c->n_files, sizeof *names, compare_names);
    const struct container_file *file = &c->files[found - names];
    if (file->reader->find(file, item->string)) return GPT2Q_OK;
    return error_set(err, GPT2Q_FORMAT, "%s: says that %s is in %s, where it is not", index, item->string,
                     shard);
}

static gpt2q_status open_shards(const char *directory, const char *index, const cJSON *root,
                                const char **names, struct container *out, gpt2q_error *err)
{
    const cJSON *map = cJSON_GetObjectItemCaseSensitive(root, "weight_map");
    if (!cJSON_IsObject(map)) return error_set(err, GPT2Q_FORMAT, "%s: has no weight_map", index);
    size_t n = 0;
    for (const cJSON *item = map->child; item; item = item->next) {
        gpt2q_status s = add_shard(index, item, names, &n, err);
        if (s) return s;
    }
    qsort(names, n, sizeof *names, compare_names);
    out->files = mem_zarray(n, sizeof *out->files);
    if (!out->files) return error_memory(err, "a table of files", n * sizeof *out->files);
    for (; out->n_files < n; out->n_files++) {
        gpt2q_status s = open_one(path_join(directory, names[out->n_files]), &out->files[out->n_files], err);
        if (s) return s;
    }
    for (const cJSON *item = map->child; item; item = item->next) {
        gpt2q_status s = check_shard(index, item, names, out, err);
        if (s) return s;
    }
    return GPT2Q_OK;
}

static gpt2q_status open_index(const char *directory, const char *index, struct container *out,
                               gpt2q_error *err)
{
    char *text;
    size_t size;
    gpt2q_status s = file_read_regular(index, MODEL_INDEX_MAX, &text, &size, err);
    if (s) return s;
    cJSON *root = NULL;
    const char **names = mem_array(MAX_SHARDS, sizeof *names);
    s = names ? json_parse(text, size, index, &root, err) : error_memory(err, "a list of files", MAX_SHARDS);
    if (!s) s = open_shards(directory, index, root, names, out, err);
    cJSON_Delete(root);
    mem_free(names);
    mem_free(text);
    return s;
}

gpt2q_status container_open_file(const char *path, struct container *out, gpt2q_error *err)
{
    *out = (struct container){.files = mem_zarray(1, sizeof *out->files)};
    if (!out->files) return error_memory(err, "a table of files", sizeof *out->files);
    gpt2q_status s = open_one(mem_strdup(path), out->files, err);
    out->n_files = s ? 0 : 1;
    if (s) container_close(out);
    return s;
}

/* Opens the file, or else the shards of its index. *found: one of them exists, or an error says why not. */
static gpt2q_status open_named(const char *directory, const char *file, const char *index,
                               struct container *out, bool *found, gpt2q_error *err)
{
    char *single = path_join(directory, file), *shards = path_join(directory, index);
    bool whole = false;
    gpt2q_status s = single && shards ? GPT2Q_OK : error_memory(err, "a path", strlen(directory));
    *found = false;
    if (!s) s = file_look_for(single, &whole, err);
    if (!s && !whole) s = file_look_for(shards, found, err);
    if (!s && whole) s = container_open_file(single, out, err);
    if (!s && *found) s = open_index(directory, shards, out, err);
    *found = *found || whole || s;
    mem_free(single);
    mem_free(shards);
    return s;
}

gpt2q_status container_open_directory(const char *directory, struct container *out, gpt2q_error *err)
{
    static const char *const names[][2] = {{"model.safetensors", "model.safetensors.index.json"},
                                           {"pytorch_model.bin", "pytorch_model.bin.index.json"}};
    bool found = false;
    gpt2q_status s = GPT2Q_OK;
    *out = (struct container){0};
    for (size_t i = 0; i < 2 && !found; i++)
        s = open_named(directory, names[i][0], names[i][1], out, &found, err);
    if (!found)
        s = error_set(err, GPT2Q_IO,
                      "%s: holds neither model.safetensors nor pytorch_model.bin, nor an index of either",
                      directory);
    if (s) container_close(out);
    return s;
}

void container_close(struct container *c)
{
    for (size_t i = 0; i < c->n_files; i++) close_one(&c->files[i]);
    mem_free(c->files);
    *c = (struct container){0};
}
