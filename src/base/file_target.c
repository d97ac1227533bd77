#include "base/file_target.h"
#include "base/file.h"
#include "base/memory.h"
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINKS_MAX 40 /* as Linux has it */

static const char *last_part(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

char *path_folder(const char *path) { return mem_memdup(path, (size_t)(last_part(path) - path)); }

/* The descriptor that a path names, or -1. */
static int descriptor_of(const char *path)
{
    static const char *const folders[] = {"/dev/fd/", "/proc/self/fd/"};
    if (!strcmp(path, "-") || !strcmp(path, "/dev/stdout")) return STDOUT_FILENO;
    if (!strcmp(path, "/dev/stderr")) return STDERR_FILENO;
    for (size_t i = 0; i < 2; i++) {
        const size_t n = strlen(folders[i]);
        if (strncmp(path, folders[i], n) != 0 || path[n] < '0' || path[n] > '9') continue;
        char *end;
        const long fd = strtol(path + n, &end, 10);
        if (!*end && fd <= INT_MAX) return (int)fd;
    }
    return -1;
}

/* Where the link at `path` leads: a path that is taken from the folder of the link. NULL: no memory, or it cannot be read. */
static char *follow(const char *path)
{
    char to[PATH_MAX];
    const ssize_t n = readlink(path, to, sizeof to - 1);
    if (n <= 0) return NULL;
    to[n] = '\0';
    if (to[0] == '/') return mem_strdup(to);
    char *folder = path_folder(path), *joined = NULL;
    if (folder) joined = *folder ? path_join(folder, to) : mem_strdup(to);
    mem_free(folder);
    return joined;
}

static gpt2q_status cannot(const char *path, int reason, gpt2q_error *err)
{
    return error_set(err, GPT2Q_IO, "%s: cannot be written: %s", path, strerror(reason));
}

/* Follows links until out->path is none; out->descriptor is set where one leads to an open file. */
static gpt2q_status follow_links(const char *path, struct file_target *out, gpt2q_error *err)
{
    struct stat st;
    for (int i = 0; i <= LINKS_MAX; i++) {
        out->descriptor = descriptor_of(out->path);
        if (out->descriptor >= 0 || lstat(out->path, &st) || !S_ISLNK(st.st_mode)) return GPT2Q_OK;
        char *next = follow(out->path);
        if (!next) return cannot(path, errno ? errno : ENOENT, err);
        mem_free(out->path);
        out->path = next;
    }
    return cannot(path, ELOOP, err);
}

static gpt2q_status find_folder(const char *path, struct file_target *out, gpt2q_error *err)
{
    struct stat st;
    char *folder = path_folder(out->path);
    if (!folder) return error_memory(err, "a path", strlen(path));
    const bool there = stat(*folder ? folder : ".", &st) == 0;
    const int reason = errno;
    mem_free(folder);
    if (!there) return cannot(path, reason, err);
    out->folder_dev = st.st_dev;
    out->folder_ino = st.st_ino;
    return GPT2Q_OK;
}

gpt2q_status file_target_find(const char *path, struct file_target *out, gpt2q_error *err)
{
    *out = (struct file_target){.descriptor = -1, .path = mem_strdup(path)};
    if (!out->path) return error_memory(err, "a path", strlen(path));
    if (!*path) return error_set(err, GPT2Q_IO, "an empty path is no file that can be written");
    size_t n = strlen(path);
    const bool slash = n > 1 && path[n - 1] == '/'; /* names a folder */
    while (n > 1 && out->path[n - 1] == '/') out->path[--n] = '\0';
    gpt2q_status s = follow_links(path, out, err);
    if (s) return s;
    out->name = last_part(out->path);
    if (out->descriptor >= 0) {
        out->kind = TARGET_DESCRIPTOR;
        return fstat(out->descriptor, &out->st) ? cannot(path, errno, err) : GPT2Q_OK;
    }
    s = find_folder(path, out, err);
    if (s) return s;
    if (stat(out->path, &out->st)) {
        if (errno != ENOENT) return cannot(path, errno, err);
        out->kind = slash ? TARGET_FOLDER : TARGET_NEW;
        out->st = (struct stat){0};
        return GPT2Q_OK;
    }
    out->kind = S_ISREG(out->st.st_mode)   ? TARGET_FILE
                : S_ISDIR(out->st.st_mode) ? TARGET_FOLDER
                                           : TARGET_STREAM;
    return GPT2Q_OK;
}

void file_target_free(struct file_target *t)
{
    mem_free(t->path);
    *t = (struct file_target){.descriptor = -1};
}

static bool is_there(const struct file_target *t) { return t->st.st_nlink || t->st.st_ino; }

bool file_target_same(const struct file_target *a, const struct file_target *b)
{
    if (is_there(a) != is_there(b)) return false;
    if (!is_there(a))
        return a->folder_dev == b->folder_dev && a->folder_ino == b->folder_ino && !strcmp(a->name, b->name);
    if (S_ISCHR(a->st.st_mode) || S_ISSOCK(a->st.st_mode)) return false;
    return a->st.st_dev == b->st.st_dev && a->st.st_ino == b->st.st_ino;
}

gpt2q_status file_target_check(const struct file_target *t, const char *path, gpt2q_error *err)
{
    if (t->kind == TARGET_FOLDER)
        return error_set(err, GPT2Q_IO, "%s: is a directory where a file is to be written", path);
    if (t->kind == TARGET_DESCRIPTOR) return GPT2Q_OK;
    if (t->kind != TARGET_NEW && access(t->path, W_OK)) return cannot(path, errno, err);
    if (t->kind == TARGET_STREAM) return GPT2Q_OK;
    char *folder = path_folder(t->path);
    if (!folder) return error_memory(err, "a path", strlen(path));
    const bool writable = access(*folder ? folder : ".", W_OK | X_OK) == 0;
    const int reason = errno;
    mem_free(folder);
    return writable ? GPT2Q_OK : cannot(path, reason, err);
}
