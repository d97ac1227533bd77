/* From a directory to its opened safetensors files. The index comes from outside like everything else: a
 * shard's name must be that of a file in the same directory, and what a shard is said to hold must be there.
 */
#include "model/checkpoint.h"
#include "base/json.h"
#include "base/memory.h"
#include <stdlib.h>
#include <string.h>

#define MAX_INDEX  ((size_t)16 << 20)
#define MAX_SHARDS 1024

static gpt2q_status open_in(const char *directory, const char *name, struct safetensors *out,
                            gpt2q_error *err)
{
    char *path = path_join(directory, name);
    if (!path) return error_memory(err, "a path", strlen(directory));
    gpt2q_status s = safetensors_open(path, out, err);
    mem_free(path);
    return s;
}

static bool is_file_name(const char *name) { return *name && *name != '.' && !strpbrk(name, "/\\"); }

/* Adds a name to the list unless it is there; it stays the index's. */
static gpt2q_status add_shard(const char *index, const cJSON *item, const char **names, size_t *n,
                              gpt2q_error *err)
{
    if (!cJSON_IsString(item) || !is_file_name(item->valuestring)) {
        return error_set(err, GPT2Q_FORMAT, "%s: weight_map of %s is not the name of a file beside the index",
                         index, item->string);
    }
    for (size_t i = *n; i-- > 0;) { /* the last first: neighbours share a shard */
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
                                const struct checkpoint *c, gpt2q_error *err)
{
    const char *shard = item->valuestring;
    const char **found = bsearch(&shard, names, c->n_files, sizeof *names, compare_names);
    if (safetensors_find(&c->files[found - names], item->string)) return GPT2Q_OK;
    return error_set(err, GPT2Q_FORMAT, "%s: says that %s is in %s, where it is not", index, item->string,
                     shard);
}

static gpt2q_status open_shards(const char *directory, const char *index, const cJSON *root,
                                const char **names, struct checkpoint *out, gpt2q_error *err)
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
        gpt2q_status s = open_in(directory, names[out->n_files], &out->files[out->n_files], err);
        if (s) return s;
    }
    for (const cJSON *item = map->child; item; item = item->next) {
        gpt2q_status s = check_shard(index, item, names, out, err);
        if (s) return s;
    }
    return GPT2Q_OK;
}

static gpt2q_status open_index(const char *directory, const char *index, struct checkpoint *out,
                               gpt2q_error *err)
{
    char *text;
    size_t size;
    gpt2q_status s = file_read(index, MAX_INDEX, &text, &size, err);
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

static gpt2q_status open_single(struct checkpoint *out, const char *path, gpt2q_error *err)
{
    out->files = mem_zarray(1, sizeof *out->files);
    if (!out->files) return error_memory(err, "a table of files", sizeof *out->files);
    gpt2q_status s = safetensors_open(path, out->files, err);
    out->n_files = s ? 0 : 1;
    return s;
}

static gpt2q_status nothing_there(const char *directory, gpt2q_error *err)
{
    char *pickle = path_join(directory, "pytorch_model.bin");
    bool convertible = pickle && file_exists(pickle);
    mem_free(pickle);
    return error_set(err, GPT2Q_IO, "%s: holds neither model.safetensors nor model.safetensors.index.json%s",
                     directory,
                     convertible ? "; pytorch_model.bin is not read, save the model as safetensors" : "");
}

gpt2q_status checkpoint_open(const char *directory, struct checkpoint *out, gpt2q_error *err)
{
    *out = (struct checkpoint){0};
    char *single = path_join(directory, "model.safetensors");
    char *index = path_join(directory, "model.safetensors.index.json");
    gpt2q_status s;
    if (!single || !index)
        s = error_memory(err, "a path", strlen(directory));
    else if (file_exists(single))
        s = open_single(out, single, err);
    else if (file_exists(index))
        s = open_index(directory, index, out, err);
    else
        s = nothing_there(directory, err);
    mem_free(single);
    mem_free(index);
    if (s) checkpoint_close(out);
    return s;
}

void checkpoint_close(struct checkpoint *c)
{
    for (size_t i = 0; i < c->n_files; i++) safetensors_close(&c->files[i]);
    mem_free(c->files);
    *c = (struct checkpoint){0};
}
