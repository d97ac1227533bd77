#include "app/pull/repository.h"
#include "app/pull/sha1.h"
#include "base/file.h"
#include "base/file_writer.h"
#include "base/memory.h"
#include "base/sha256.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_BYTES ((size_t)1 << 16)

/* ---- paths ---- */

/* Joins the parts by "/", for mem_free. NULL: memory is out. */
static char *path_of(const char *a, const char *b, const char *c, const char *suffix)
{
    size_t n = strlen(a) + strlen(b) + strlen(c) + strlen(suffix) + 3;
    char *path = mem_alloc(n);
    if (path) snprintf(path, n, "%s/%s%s%s%s", a, b, *c ? "/" : "", c, suffix);
    return path;
}

char *repository_path(const struct repository *r, const char *commit, const char *file)
{
    char *snapshots = path_of(r->folder, "snapshots", "", "");
    char *path = snapshots ? path_of(snapshots, commit, file, "") : NULL;
    mem_free(snapshots);
    return path;
}

char *repository_blob(const struct repository *r, const char *etag)
{
    return path_of(r->folder, "blobs", etag, "");
}

/* Makes the folder, or the folder of a file, as mkdir -p does. */
static gpt2q_status make_folders(const char *path, bool itself, gpt2q_error *err)
{
    char *copy = mem_strdup(path);
    if (!copy) return error_memory(err, "a path", strlen(path));
    gpt2q_status s = GPT2Q_OK;
    for (char *at = copy + 1; !s && *at; at++) {
        if (*at != '/') continue;
        *at = '\0';
        if (mkdir(copy, 0777) && errno != EEXIST)
            s = error_set(err, GPT2Q_IO, "%s: cannot be made: %s", copy, strerror(errno));
        *at = '/';
    }
    if (!s && itself && mkdir(copy, 0777) && errno != EEXIST)
        s = error_set(err, GPT2Q_IO, "%s: cannot be made: %s", copy, strerror(errno));
    mem_free(copy);
    return s;
}

gpt2q_status repository_open(struct repository *r, const char *cache, const char *name, gpt2q_error *err)
{
    char folder[512];
    const char *slash = strchr(name, '/');
    snprintf(folder, sizeof folder, "models--%.*s%s%s", slash ? (int)(slash - name) : (int)strlen(name), name,
             slash ? "--" : "", slash ? slash + 1 : "");
    *r = (struct repository){.folder = path_join(cache, folder),
                             .locks = path_of(cache, ".locks", folder, "")};
    char *blobs = r->folder ? path_join(r->folder, "blobs") : NULL;
    gpt2q_status s = r->locks && blobs ? GPT2Q_OK : error_memory(err, "a path", sizeof folder);
    if (!s) s = make_folders(blobs, true, err);
    if (!s) s = make_folders(r->locks, true, err);
    mem_free(blobs);
    if (s) repository_close(r);
    return s;
}

void repository_close(struct repository *r)
{
    mem_free(r->folder);
    mem_free(r->locks);
    *r = (struct repository){0};
}

/* ---- sums ---- */

enum sum { SUM_NONE, SUM_SHA256, SUM_GIT };

static enum sum sum_of(const char *etag)
{
    size_t n = strlen(etag);
    if (etag[strspn(etag, "0123456789abcdef")]) return SUM_NONE;
    return n == 64 ? SUM_SHA256 : n == 40 ? SUM_GIT : SUM_NONE;
}

/* Whether a file holds what its etag says, and has its size. If the etag is no sum, only the size is compared. */
static gpt2q_status holds(FILE *file, const char *path, const char *etag, int64_t size, bool *right,
                          gpt2q_error *err)
{
    enum sum sum = sum_of(etag);
    struct stat st;
    *right = false;
    if (fstat(fileno(file), &st) || fseeko(file, 0, SEEK_SET))
        return error_set(err, GPT2Q_IO, "%s: cannot be read: %s", path, strerror(errno));
    if (size >= 0 && st.st_size != size) return GPT2Q_OK;
    struct sha256 long_sum;
    struct sha1 git_sum;
    char text[SHA256_TEXT], head[64];
    unsigned char *buffer = mem_alloc(READ_BYTES);
    if (!buffer) return error_memory(err, path, READ_BYTES);
    sha256_begin(&long_sum);
    sha1_begin(&git_sum);
    sha1_add(&git_sum, head, (size_t)snprintf(head, sizeof head, "blob %lld", (long long)st.st_size) + 1);
    for (size_t n; sum != SUM_NONE && (n = fread(buffer, 1, READ_BYTES, file)) > 0;) {
        if (sum == SUM_SHA256) sha256_add(&long_sum, buffer, n);
        if (sum == SUM_GIT) sha1_add(&git_sum, buffer, n);
    }
    mem_free(buffer);
    if (ferror(file)) return error_set(err, GPT2Q_IO, "%s: cannot be read: %s", path, strerror(errno));
    *right = sum == SUM_NONE ||
             !strcmp(etag, sum == SUM_SHA256 ? sha256_print(&long_sum, text) : sha1_print(&git_sum, text));
    return GPT2Q_OK;
}

/* ---- blobs ---- */

static gpt2q_status lock(struct blob *b, const struct repository *r, const char *etag,
                         void (*waiting)(void *), void *user, gpt2q_error *err)
{
    char *path = path_of(r->locks, etag, "", ".lock");
    if (!path) return error_memory(err, "a path", strlen(etag));
    gpt2q_status s = GPT2Q_OK;
    b->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (b->lock >= 0 && flock(b->lock, LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK) {
        waiting(user);
        while (flock(b->lock, LOCK_EX) && errno == EINTR) continue;
    }
    if (b->lock < 0) s = error_set(err, GPT2Q_IO, "%s: cannot be opened: %s", path, strerror(errno));
    mem_free(path);
    return s;
}

/* Whether the blob is there and whole. A damaged one is removed. */
static gpt2q_status look(const struct blob *b, const char *etag, int64_t size, bool *there, gpt2q_error *err)
{
    *there = false;
    FILE *file = fopen(b->path, "rb");
    if (!file) {
        if (errno == ENOENT) return GPT2Q_OK;
        return error_set(err, GPT2Q_IO, "%s: cannot be opened: %s", b->path, strerror(errno));
    }
    gpt2q_status s = holds(file, b->path, etag, size, there, err);
    fclose(file);
    if (!s && !*there && unlink(b->path))
        s = error_set(err, GPT2Q_IO, "%s: is damaged and cannot be removed: %s", b->path, strerror(errno));
    return s;
}

static gpt2q_status open_incomplete(struct blob *b, const char *etag, int64_t size, int64_t *have,
                                    gpt2q_error *err)
{
    int fd = open(b->incomplete, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    struct stat st;
    if (fd < 0) return error_set(err, GPT2Q_IO, "%s: cannot be opened: %s", b->incomplete, strerror(errno));
    b->file = fdopen(fd, "r+b");
    if (!b->file) close(fd);
    if (!b->file || fstat(fd, &st) || !S_ISREG(st.st_mode))
        return error_set(err, GPT2Q_IO, "%s: cannot be opened as a file", b->incomplete);
    /* Pieces whose sum cannot be checked are not put together. */
    bool goes_on = sum_of(etag) != SUM_NONE && (size < 0 || st.st_size <= size);
    if (!goes_on && ftruncate(fd, 0)) return error_set(err, GPT2Q_IO, "%s: cannot be written", b->incomplete);
    *have = goes_on ? (int64_t)st.st_size : 0;
    return GPT2Q_OK;
}

gpt2q_status blob_open(struct blob *b, const struct repository *r, const char *etag, int64_t size,
                       void (*waiting)(void *), void *user, enum blob_state *state, int64_t *have,
                       gpt2q_error *err)
{
    bool there = false;
    *have = 0;
    *state = BLOB_OPEN;
    *b = (struct blob){.path = repository_blob(r, etag),
                       .incomplete = path_of(r->folder, "blobs", etag, ".incomplete"),
                       .lock = -1};
    gpt2q_status s = b->path && b->incomplete ? GPT2Q_OK : error_memory(err, "a path", strlen(etag));
    if (!s) s = lock(b, r, etag, waiting, user, err);
    if (!s) s = look(b, etag, size, &there, err);
    if (!s && !there) s = open_incomplete(b, etag, size, have, err);
    if (there) *state = BLOB_THERE;
    if (s || there) blob_close(b);
    return s;
}

/* Whether the file is a pointer that git keeps in place of a large file. A server that lacks the file itself sends the pointer. */
static bool is_pointer(FILE *file)
{
    static const char head[] = "version https://git-lfs.github.com/spec/";
    char text[sizeof head - 1];
    return !fseeko(file, 0, SEEK_SET) && fread(text, 1, sizeof text, file) == sizeof text &&
           !memcmp(text, head, sizeof text);
}

gpt2q_status blob_commit(struct blob *b, const char *etag, int64_t size, bool *checked, gpt2q_error *err)
{
    bool right;
    *checked = sum_of(etag) != SUM_NONE;
    gpt2q_status s = holds(b->file, b->incomplete, etag, size, &right, err);
    if (s) return s;
    if (!right) {
        unlink(b->incomplete);
        return error_set(err, GPT2Q_FORMAT,
                         "the bytes that came are not those that the hub announced (%s %s)",
                         sum_of(etag) == SUM_SHA256 ? "SHA-256" : "ETag", etag);
    }
    if (is_pointer(b->file)) {
        unlink(b->incomplete);
        return error_set(err, GPT2Q_FORMAT, "the server has a Git LFS pointer in the place of the file");
    }
    if (fflush(b->file) || fsync(fileno(b->file)) || rename(b->incomplete, b->path))
        return error_set(err, GPT2Q_IO, "%s: cannot be written: %s", b->path, strerror(errno));
    return file_sync_folder(b->path, err);
}

void blob_close(struct blob *b)
{
    struct stat st;
    if (b->file && !fstat(fileno(b->file), &st) && st.st_size == 0) unlink(b->incomplete);
    if (b->file) fclose(b->file);
    if (b->lock >= 0) close(b->lock);
    mem_free(b->path);
    mem_free(b->incomplete);
    *b = (struct blob){.lock = -1};
}

/* ---- links ---- */

gpt2q_status repository_link(const struct repository *r, const char *commit, const char *file,
                             const char *etag, gpt2q_error *err)
{
    char target[512] = "../../", temporary[64];
    for (const char *slash = strchr(file, '/'); slash && strlen(target) < 300; slash = strchr(slash + 1, '/'))
        strcat(target, "../");
    strcat(target, "blobs/");
    strncat(target, etag, sizeof target - strlen(target) - 1);
    char *path = repository_path(r, commit, file);
    snprintf(temporary, sizeof temporary, ".link.%ld", (long)getpid());
    char *beside = path ? path_of(path, "", "", temporary) : NULL;
    gpt2q_status s = beside ? make_folders(path, false, err) : error_memory(err, "a path", strlen(file));
    if (!s) {
        /* The temporary link lies beside the path, not within it. */
        snprintf(beside, strlen(path) + sizeof temporary, "%s%s", path, temporary);
        unlink(beside);
        if (symlink(target, beside) || rename(beside, path)) {
            s = error_set(err, GPT2Q_IO, "%s: cannot be made a link: %s", path, strerror(errno));
            unlink(beside);
        }
    }
    mem_free(path);
    mem_free(beside);
    return s;
}

gpt2q_status repository_set_ref(const struct repository *r, const char *revision, const char *commit,
                                gpt2q_error *err)
{
    struct file_writer w;
    char *path = path_of(r->folder, "refs", revision, "");
    if (!path) return error_memory(err, "a path", strlen(revision));
    gpt2q_status s = make_folders(path, false, err);
    if (!s) s = file_writer_open(&w, path, err);
    if (!s) {
        s = file_writer_write(&w, commit, strlen(commit), err);
        if (s)
            file_writer_abort(&w);
        else
            s = file_writer_commit(&w, err);
    }
    mem_free(path);
    return s;
}
