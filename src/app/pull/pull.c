#include "app/pull/pull.h"
#include "app/pull/repository.h"
#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "model/model_files.h"
#include <string.h>
#include <sys/statvfs.h>

/* ---- asking ---- */

static gpt2q_status add(struct pull *p, const char *name, const struct hub_file *what, gpt2q_error *err)
{
    if (p->n == PULL_FILES_MAX)
        return error_set(err, GPT2Q_FORMAT, "%s: has more than %d files", p->hub->repository, PULL_FILES_MAX);
    if (p->n && strcmp(p->commit, what->commit))
        return error_set(err, GPT2Q_IO, "%s: changed while it was asked for: run this again",
                         p->hub->repository);
    struct pull_file *f = &p->files[p->n];
    *f = (struct pull_file){.name = mem_strdup(name), .size = what->size};
    if (!f->name) return error_memory(err, "a name", strlen(name));
    memcpy(f->etag, what->etag, sizeof f->etag);
    memcpy(p->commit, what->commit, sizeof p->commit);
    p->n++;
    return GPT2Q_OK;
}

/* Asks for a file and lists it if the hub has it. `needed`: else it is an error. */
static gpt2q_status want(struct pull *p, const char *name, bool needed, bool *there, gpt2q_error *err)
{
    struct hub_file what;
    gpt2q_status s = hub_describe(p->hub, name, &what, err);
    *there = !s && what.there;
    if (!s && what.there) return add(p, name, &what, err);
    if (!s && needed)
        s = error_set(err, GPT2Q_IO, "%s: there is no file %s in revision %s at %s", p->hub->repository, name,
                      p->hub->revision, p->hub->endpoint);
    return s;
}

/* ---- fetching ---- */

static gpt2q_status check_space(const char *path, int64_t needed, gpt2q_error *err)
{
    struct statvfs st;
    if (needed <= 0 || statvfs(path, &st) || st.f_frsize == 0) return GPT2Q_OK;
    double there = (double)st.f_bavail * (double)st.f_frsize;
    if (there >= (double)needed) return GPT2Q_OK;
    return error_set(err, GPT2Q_IO, "%s: the disk has %.0f MB left where %.0f MB are needed", path,
                     there / 1e6, (double)needed / 1e6);
}

/* Writes what an open blob lacks, and checks it. */
static gpt2q_status fill(struct pull *p, struct pull_file *f, struct blob *b, int64_t have, gpt2q_error *err)
{
    gpt2q_status s = check_space(b->incomplete, f->size - have, err);
    p->began(p->user, f, have);
    if (!s && (have == 0 || have != f->size)) s = hub_fetch(p->hub, f->name, f->size, b->file, have, err);
    if (s) return s;
    s = blob_commit(b, f->etag, f->size, &f->checked, err);
    if (!s) return s;
    gpt2q_error inner = *err;
    return error_set(err, s, "%s: %s: %s", p->hub->repository, f->name, inner.message);
}

/* Wrong bytes may come from an earlier pull. Then the whole file is fetched once more. */
static gpt2q_status fetch(struct pull *p, const struct repository *r, struct pull_file *f, gpt2q_error *err)
{
    struct blob b;
    enum blob_state state;
    int64_t have = 0;
    gpt2q_status s = GPT2Q_OK;
    for (int attempt = 0; attempt < 2; attempt++) {
        s = blob_open(&b, r, f->etag, f->size, p->waiting, p->user, &state, &have, err);
        if (s) return s;
        f->result = state == BLOB_THERE ? PULL_THERE : PULL_FETCHED;
        f->checked = state == BLOB_THERE;
        if (state == BLOB_THERE) break;
        s = fill(p, f, &b, have, err);
        blob_close(&b);
        if (s != GPT2Q_FORMAT || have == 0) break;
    }
    if (s) return s;
    f->done = true;
    p->ended(p->user, f);
    return GPT2Q_OK;
}

static gpt2q_status fetch_all(struct pull *p, const struct repository *r, gpt2q_error *err)
{
    gpt2q_status s = GPT2Q_OK;
    for (size_t i = 0; !s && i < p->n; i++)
        if (!p->files[i].done) s = fetch(p, r, &p->files[i], err);
    return s;
}

/* ---- shards ---- */

static bool is_shard_name(const char *name)
{
    size_t n = strspn(name, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_.");
    return n && n < 200 && !name[n] && name[0] != '.';
}

static bool listed(const struct pull *p, const char *name)
{
    for (size_t i = 0; i < p->n; i++)
        if (!strcmp(p->files[i].name, name)) return true;
    return false;
}

static gpt2q_status want_shards(struct pull *p, const char *index, const char *text, size_t n,
                                gpt2q_error *err)
{
    cJSON *document;
    gpt2q_status s = json_parse_wild(text, n, index, &document, err);
    if (s) return s;
    const cJSON *map = cJSON_GetObjectItemCaseSensitive(document, "weight_map"), *item;
    if (!cJSON_IsObject(map) || !map->child)
        s = error_set(err, GPT2Q_FORMAT, "%s: weight_map: is no object that names the shards", index);
    for (item = s ? NULL : map->child; !s && item; item = item->next) {
        bool there;
        const char *name = cJSON_IsString(item) ? item->valuestring : item->string;
        if (!cJSON_IsString(item) || !is_shard_name(name))
            s = error_set(err, GPT2Q_FORMAT, "%s: weight_map: \"%s\" names no file beside it", index,
                          error_quote(name, strlen(name)).text);
        else if (!listed(p, name))
            s = want(p, name, true, &there, err);
    }
    cJSON_Delete(document);
    return s;
}

/* The index is fetched first: it names the files to ask for. */
static gpt2q_status want_indexed(struct pull *p, const struct repository *r, const char *index,
                                 gpt2q_error *err)
{
    struct pull_file *f = &p->files[p->n - 1];
    char *text = NULL;
    size_t n = 0;
    gpt2q_status s = fetch(p, r, f, err);
    char *path = s ? NULL : repository_blob(r, f->etag);
    if (!s && !path) s = error_memory(err, "a path", strlen(index));
    if (!s) s = file_read_regular(path, MODEL_INDEX_MAX, &text, &n, err);
    if (!s) s = want_shards(p, index, text, n, err);
    mem_free(text);
    mem_free(path);
    return s;
}

/* ---- a model ---- */

static gpt2q_status want_vocabulary(struct pull *p, gpt2q_error *err)
{
    static const char *const beside[] = {"tokenizer_config.json", "special_tokens_map.json",
                                         "added_tokens.json", "generation_config.json"};
    bool one, vocabulary, merges = false, there;
    gpt2q_status s = want(p, "tokenizer.json", false, &one, err);
    if (!s) s = want(p, "vocab.json", false, &vocabulary, err);
    if (!s && vocabulary) s = want(p, "merges.txt", !one, &merges, err);
    if (!s && !one && !vocabulary)
        s = error_set(err, GPT2Q_IO,
                      "%s: has neither tokenizer.json nor vocab.json: no GPT-2 that can be run",
                      p->hub->repository);
    for (size_t i = 0; !s && i < sizeof beside / sizeof *beside; i++)
        s = want(p, beside[i], false, &there, err);
    return s;
}

static gpt2q_status want_weights(struct pull *p, const struct repository *r, gpt2q_error *err)
{
    static const struct {
        const char *name;
        bool index;
    } forms[] = {{"model.safetensors", false},
                 {"model.safetensors.index.json", true},
                 {"pytorch_model.bin", false},
                 {"pytorch_model.bin.index.json", true}};
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        bool there;
        gpt2q_status s = want(p, forms[i].name, false, &there, err);
        if (!s && there && forms[i].index) s = want_indexed(p, r, forms[i].name, err);
        if (s || there) return s;
    }
    return error_set(
        err, GPT2Q_IO,
        "%s: has no weights that gpt2q reads (model.safetensors or pytorch_model.bin, whole or in shards); a "
        "GGUF file is named as %s:FILE.gguf",
        p->hub->repository, p->hub->repository);
}

static gpt2q_status publish(struct pull *p, const struct repository *r, gpt2q_error *err)
{
    gpt2q_status s = GPT2Q_OK;
    for (size_t i = 0; !s && i < p->n; i++)
        s = repository_link(r, p->commit, p->files[i].name, p->files[i].etag, err);
    if (!s && strcmp(p->hub->revision, p->commit))
        s = repository_set_ref(r, p->hub->revision, p->commit, err);
    if (!s) p->path = repository_path(r, p->commit, p->file ? p->file : "");
    return s || p->path ? s : error_memory(err, "a path", strlen(p->commit));
}

gpt2q_status pull_run(struct pull *p, gpt2q_error *err)
{
    struct repository r;
    bool there;
    /* Asked before any folder is made: a name that does not exist leaves none. */
    gpt2q_status s =
        p->file ? want(p, p->file, true, &there, err) : want(p, "config.json", true, &there, err);
    if (s) return s;
    s = repository_open(&r, p->cache, p->hub->repository, err);
    if (s) return s;
    if (!p->file) s = want_vocabulary(p, err);
    if (!s && !p->file) s = want_weights(p, &r, err);
    if (!s) s = fetch_all(p, &r, err);
    if (!s) s = publish(p, &r, err);
    repository_close(&r);
    return s;
}

void pull_free(struct pull *p)
{
    for (size_t i = 0; i < p->n; i++) mem_free(p->files[i].name);
    mem_free(p->path);
    p->n = 0;
    p->path = NULL;
}
