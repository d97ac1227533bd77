/* Finds models on this disk. Nothing is fetched. The Hugging Face cache is found and read as its own
 * library does it: its first variable that is set decides, and refs/main names the current snapshot. */
#include "model/locate.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/text.h"
#include <dirent.h>
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#ifdef __GLIBC__
#include <link.h>
#endif
#ifdef __APPLE__
#include <mach-o/dyld.h>
#endif

#define MAX_PATH 4096
#define MAX_REF  256
#define MAX_NAME 256 /* bytes of a variable's name */
#define OPENAI   "openai-community"

/* Joins two parts, for mem_free. NULL when memory is out or a part is NULL, so that calls can nest. */
static char *join(char *directory, const char *name)
{
    char *path = directory && name ? path_join(directory, name) : NULL;
    mem_free(directory);
    return path;
}

/* The file that this code was loaded from: the library where that is shared, else the program; "" if the system does not say. */
static void own_file(char path[MAX_PATH])
{
    path[0] = '\0';
#ifdef __GLIBC__
    static const char here;
    Dl_info info;
    void *map = NULL;
    if (dladdr1(&here, &info, &map, RTLD_DL_LINKMAP) && *((struct link_map *)map)->l_name &&
        realpath(((struct link_map *)map)->l_name, path))
        return;
#endif
#if defined(__linux__)
    ssize_t n = readlink("/proc/self/exe", path, MAX_PATH - 1);
    path[n > 0 ? n : 0] = '\0';
#elif defined(__APPLE__)
    uint32_t size = MAX_PATH;
    if (_NSGetExecutablePath(path, &size)) path[0] = '\0';
#endif
}

static char *own_folder(void)
{
    char path[MAX_PATH];
    own_file(path);
    char *slash = strrchr(path, '/');
    if (slash) *slash = '\0';
    return mem_strdup(path);
}

/* The value of a variable; NULL if it is not set or empty. */
static const char *variable(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

static bool is_variable_char(char c)
{
    return c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* The value of the variable that `text` begins with, "$NAME" or "${NAME}", and the length of that. NULL:
 * the text stays as it is. */
static const char *reference_value(const char *text, size_t *length)
{
    bool braces = text[1] == '{';
    const char *begin = text + 1 + braces, *end = begin;
    while (is_variable_char(*end)) end++;
    size_t n = (size_t)(end - begin);
    char name[MAX_NAME];
    *length = 1 + 2 * (size_t)braces + n;
    if (n == 0 || n >= sizeof name || (braces && *end != '}')) return NULL;
    memcpy(name, begin, n);
    name[n] = '\0';
    return getenv(name);
}

/* Expands a leading ~ and $VARIABLES of a path, as Python's expanduser and expandvars do. For mem_free;
 * NULL when memory is out. If the result is too long, the path stays as it is. */
static char *expand(const char *path)
{
    const char *home = variable("HOME"), *at = path;
    char out[MAX_PATH];
    size_t n = 0;
    if (home && *at == '~' && (at[1] == '/' || !at[1]))
        n = (size_t)snprintf(out, sizeof out, "%s", home), at++;
    while (*at && n < sizeof out - 1) {
        size_t length;
        const char *value = *at == '$' ? reference_value(at, &length) : NULL;
        if (value) {
            n += (size_t)snprintf(out + n, sizeof out - n, "%s", value);
            at += length;
        } else {
            out[n++] = *at++;
        }
    }
    if (n >= sizeof out - 1) return mem_strdup(path);
    out[n] = '\0';
    return mem_strdup(out);
}

char *model_cache_folder(void)
{
    static const struct {
        const char *variable, *below;
    } places[] = {{"HF_HUB_CACHE", ""},
                  {"HUGGINGFACE_HUB_CACHE", ""}, /* the older name */
                  {"HF_HOME", "hub"},
                  {"XDG_CACHE_HOME", "huggingface/hub"},
                  {"HOME", ".cache/huggingface/hub"}};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        const char *value = variable(places[i].variable);
        if (!value) continue;
        char *folder = expand(value);
        return *places[i].below ? join(folder, places[i].below) : folder;
    }
    return mem_strdup("");
}

/* ---- places: each gives *path if there is something, NULL if not ---- */

/* Whether a model is there: a file, or a folder that holds more than a broken download leaves. */
static gpt2q_status holds_model(const char *path, bool *holds, gpt2q_error *err)
{
    static const char *const files[] = {"config.json", "tokenizer.json", "vocab.json"};
    *holds = file_exists(path) && !file_is_directory(path);
    for (size_t i = 0; !*holds && i < sizeof files / sizeof *files; i++) {
        char *file = path_join(path, files[i]);
        if (!file) return error_memory(err, "a path", strlen(path));
        *holds = file_exists(file);
        mem_free(file);
    }
    return GPT2Q_OK;
}

/* models/NAME in the folder, beside it (the program may lie in build or bin), or in the share folder that was installed with it. */
static gpt2q_status look_beside(const char *folder, const char *name, char **path, gpt2q_error *err)
{
    static const char *const relative[] = {"models", "../models", "../share/gpt2q/models"};
    for (size_t i = 0; *folder && i < sizeof relative / sizeof *relative; i++) {
        char *candidate = join(path_join(folder, relative[i]), name);
        if (!candidate) return error_memory(err, "a path", strlen(folder));
        bool holds;
        gpt2q_status s = holds_model(candidate, &holds, err);
        if (!s && holds) {
            *path = candidate;
            return GPT2Q_OK;
        }
        mem_free(candidate);
        if (s) return s;
    }
    return GPT2Q_OK;
}

/* The newest folder below `snapshots`, and its time. */
static gpt2q_status newest_snapshot(const char *snapshots, char **path, gpt2q_error *err)
{
    DIR *directory = opendir(snapshots);
    time_t newest = 0;
    gpt2q_status s = GPT2Q_OK;
    for (struct dirent *e; directory && !s && (e = readdir(directory));) {
        if (e->d_name[0] == '.') continue;
        char *candidate = path_join(snapshots, e->d_name);
        struct stat st;
        if (!candidate) {
            s = error_memory(err, "a path", strlen(snapshots));
        } else if (stat(candidate, &st) == 0 && S_ISDIR(st.st_mode) && (!*path || st.st_mtime > newest)) {
            mem_free(*path);
            *path = candidate;
            newest = st.st_mtime;
        } else {
            mem_free(candidate);
        }
    }
    if (directory) closedir(directory);
    return s;
}

/* The commit that refs/main of a repository names. NULL: there is no such file, or it names none. */
static char *read_ref(const char *repository)
{
    char *ref = join(path_join(repository, "refs"), "main"), *text = NULL;
    size_t n;
    bool ok = ref && file_exists(ref) && !file_read_regular(ref, MAX_REF, &text, &n, NULL);
    mem_free(ref);
    if (!ok) return NULL;
    text[strcspn(text, " \t\r\n")] = '\0';
    if (*text && *text != '.' && !strchr(text, '/')) return text;
    mem_free(text);
    return NULL;
}

static gpt2q_status look_in_repository(const char *repository, char **path, gpt2q_error *err)
{
    char *snapshots = path_join(repository, "snapshots");
    if (!snapshots) return error_memory(err, "a path", strlen(repository));
    gpt2q_status s = GPT2Q_OK;
    char *commit = read_ref(repository), *current = commit ? path_join(snapshots, commit) : NULL;
    if (current && file_is_directory(current))
        *path = current;
    else {
        mem_free(current);
        s = newest_snapshot(snapshots, path, err);
    }
    mem_free(commit);
    mem_free(snapshots);
    return s;
}

/* The folder models--ORG--NAME of the cache. */
static gpt2q_status look_in_cache(const char *cache, const char *org, const char *name, char **path,
                                  gpt2q_error *err)
{
    size_t size = strlen("models--") + strlen(org) + strlen("--") + strlen(name) + 1;
    char *folder = mem_alloc(size);
    if (!folder) return error_memory(err, "a path", size);
    snprintf(folder, size, "models--%s%s%s", org, *org ? "--" : "", name);
    char *repository = path_join(cache, folder);
    mem_free(folder);
    if (!repository) return error_memory(err, "a path", strlen(cache));
    gpt2q_status s = look_in_repository(repository, path, err);
    mem_free(repository);
    return s;
}

/* Looks up "name" or "org/name" in the cache. OpenAI's models also have bare names. They lie under the
 * name by which they were asked for. */
static gpt2q_status look_up(const char *cache, const char *name, char **path, gpt2q_error *err)
{
    const char *slash = strchr(name, '/');
    if (!*cache) return GPT2Q_OK;
    if (!slash) {
        gpt2q_status s = look_in_cache(cache, "", name, path, err);
        return s || *path ? s : look_in_cache(cache, OPENAI, name, path, err);
    }
    char *org = mem_memdup(name, (size_t)(slash - name));
    if (!org) return error_memory(err, "a name", strlen(name));
    gpt2q_status s = look_in_cache(cache, org, slash + 1, path, err);
    if (!s && !*path && !strcmp(org, OPENAI)) s = look_in_cache(cache, "", slash + 1, path, err);
    mem_free(org);
    return s;
}

/* ---- names ---- */

/* Whether it is "name" or "org/name", which cannot leave a folder. */
static bool is_name(const char *s)
{
    const char *slash = strchr(s, '/');
    return *s && *s != '.' && *s != '/' && !strstr(s, "..") &&
           (!slash || (slash[1] && !strchr(slash + 1, '/')));
}

/* A repository of the cache; one file of it if `file` is not NULL. */
static gpt2q_status look_for(const char *cache, const char *repository, const char *file, char **path,
                             gpt2q_error *err)
{
    gpt2q_status s = look_up(cache, repository, path, err);
    if (s || !*path || !file) return s;
    char *folder = *path;
    *path = path_join(folder, file);
    mem_free(folder);
    if (!*path) return error_memory(err, "a path", strlen(file));
    if (file_exists(*path)) return GPT2Q_OK;
    mem_free(*path);
    *path = NULL;
    return GPT2Q_OK;
}

/* A name that ends as files of models do is no name of a repository. */
static bool is_file_name(const char *name)
{
    static const char *const ends[] = {".gguf", ".gpt2q", ".safetensors", ".bin"};
    bool is = false;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) is |= text_ends_with(name, ends[i]);
    return is;
}

/* Whether `gpt2q pull` takes it. */
static bool can_be_pulled(const char *name)
{
    return *name != '-' &&
           !name[strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:")];
}

/* name: "name", "org/name", or "org/name:file" for one file of the cache. */
static gpt2q_status locate_name(const char *folder, const char *name, char **path, gpt2q_error *err)
{
    size_t n = strcspn(name, ":");
    const char *file = name[n] ? name + n + 1 : NULL;
    char *repository = mem_memdup(name, n), *cache = model_cache_folder();
    gpt2q_status s = repository && cache ? GPT2Q_OK : error_memory(err, "a path", MAX_PATH);
    if (!s && (!is_name(repository) || (file && (*file == '/' || !*file || strstr(file, "..")))))
        s = error_set(err, GPT2Q_IO, "%s: there is no such file or directory", name);
    if (!s && !file) s = look_beside(folder, name, path, err);
    if (!s && !*path) s = look_for(cache, repository, file, path, err);
    if (!s && !*path && !file && is_file_name(name)) {
        s = error_set(err, GPT2Q_IO, "%s: there is no such file or directory", name);
    } else if (!s && !*path) {
        const bool pull = can_be_pulled(name);
        s = error_set(err, GPT2Q_IO,
                      "no model \"%s\"%s%s%s: it is no path here, not in %s/models, "
                      "../models or ../share/gpt2q/models, nor in the Hugging Face cache %s",
                      name, pull ? " ('gpt2q pull " : "", pull ? name : "", pull ? "' gets it)" : "", folder,
                      cache);
    }
    mem_free(repository);
    mem_free(cache);
    return s;
}

static gpt2q_status locate_default(const char *folder, char **path, gpt2q_error *err)
{
    static const char installed[] = GPT2Q_DATADIR "/models/" DEFAULT_MODEL;
    gpt2q_status s = look_beside(folder, DEFAULT_MODEL, path, err);
    if (s || *path) return s;
    if (!file_exists(installed)) {
        return error_set(err, GPT2Q_IO,
                         "no default model: there is no models/" DEFAULT_MODEL
                         " in %s, beside it or in ../share/gpt2q, and no %s; name a model or set GPT2Q_MODEL",
                         folder, installed);
    }
    *path = mem_strdup(installed);
    return *path ? GPT2Q_OK : error_memory(err, "a path", sizeof installed);
}

/* Takes a name that is a path as it is. An empty folder of a model's name, which a broken download may
 * leave, gives way to a model elsewhere. */
static gpt2q_status locate_path(const char *folder, const char *name, char **path, gpt2q_error *err)
{
    bool holds = true;
    gpt2q_status s = is_name(name) ? holds_model(name, &holds, err) : GPT2Q_OK;
    if (!s && !holds && locate_name(folder, name, path, NULL) == GPT2Q_OUT_OF_MEMORY)
        s = error_memory(err, "a path", strlen(name));
    if (s || *path) return s;
    *path = mem_strdup(name);
    return *path ? GPT2Q_OK : error_memory(err, "a path", strlen(name));
}

gpt2q_status model_locate(const char *name, char **path, gpt2q_error *err)
{
    *path = NULL;
    if (!name || !*name) name = variable("GPT2Q_MODEL");
    char *folder = own_folder();
    if (!folder) return error_memory(err, "a path", MAX_PATH);
    gpt2q_status s = !name               ? locate_default(folder, path, err)
                     : file_exists(name) ? locate_path(folder, name, path, err)
                                         : locate_name(folder, name, path, err);
    mem_free(folder);
    if (s) {
        mem_free(*path);
        *path = NULL;
    }
    return s;
}
