/* A folder that appears whole: written beside its place, exchanged with what is there by one call where the system has it. */
#include "base/file.h"
#include "base/file_target.h"
#include "base/file_writer.h"
#include "base/memory.h"
#include "base/temporaries.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static gpt2q_status cannot_write(const struct folder_writer *w, int reason, gpt2q_error *err)
{
    return error_set(err, GPT2Q_IO, "%s: cannot be written: %s", w->path, strerror(reason));
}

/* ---- the entries of a folder ---- */

/* `fd` is the folder. */
typedef gpt2q_status entry_fn(struct folder_writer *w, int fd, const char *name, gpt2q_error *err);

static gpt2q_status each_entry(struct folder_writer *w, const char *folder, entry_fn *fn, gpt2q_error *err)
{
    DIR *d = opendir(folder);
    if (!d) return cannot_write(w, errno, err);
    gpt2q_status s = GPT2Q_OK;
    errno = 0;
    for (struct dirent *e; !s && (e = readdir(d)); errno = 0)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0) s = fn(w, dirfd(d), e->d_name, err);
    if (!s && errno) s = cannot_write(w, errno, err);
    closedir(d);
    return s;
}

/* ---- opening ---- */

static gpt2q_status check_entry(struct folder_writer *w, int fd, const char *name, gpt2q_error *err)
{
    struct stat st;
    if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) || !S_ISDIR(st.st_mode)) return GPT2Q_OK;
    return error_set(err, GPT2Q_INVALID_ARGUMENT,
                     "%s: holds the folder '%s' and is not replaced: name a folder that is not there yet",
                     w->path, name);
}

static gpt2q_status check_old(struct folder_writer *w, const struct file_target *t, gpt2q_error *err)
{
    struct stat here;
    if (t->kind != TARGET_FOLDER) return error_set(err, GPT2Q_IO, "%s: is no folder", w->path);
    if (stat(".", &here) == 0 && here.st_dev == t->st.st_dev && here.st_ino == t->st.st_ino)
        return error_set(err, GPT2Q_INVALID_ARGUMENT,
                         "%s: is the current folder and is not replaced: name another", w->path);
    return each_entry(w, w->target, check_entry, err);
}

static gpt2q_status make_folder(struct folder_writer *w, const struct file_target *t, gpt2q_error *err)
{
    w->target = mem_strdup(t->path);
    if (!w->target) return error_memory(err, "a path", strlen(t->path));
    w->replaces = t->kind != TARGET_NEW && t->st.st_nlink > 0;
    gpt2q_status s = w->replaces ? check_old(w, t, err) : GPT2Q_OK;
    if (!s) s = file_temporary_name(t->path, &w->temporary, err);
    if (s) return s;
    w->place = temporaries_add(w->temporary, true);
    if (w->place < 0) return cannot_write(w, ENAMETOOLONG, err);
    if (mkdir(w->temporary, 0777) || (w->replaces && chmod(w->temporary, t->st.st_mode & 07777)) ||
        (w->fd = open(w->temporary, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
        return cannot_write(w, errno, err);
    return GPT2Q_OK;
}

gpt2q_status folder_writer_open(struct folder_writer *w, const char *path, bool (*belongs)(const char *name),
                                gpt2q_error *err)
{
    struct file_target t;
    *w = (struct folder_writer){.belongs = belongs, .place = -1, .fd = -1, .path = mem_strdup(path)};
    if (!w->path) return error_memory(err, "a path", strlen(path));
    gpt2q_status s = file_target_find(path, &t, err);
    if (!s) s = make_folder(w, &t, err);
    file_target_free(&t);
    if (s) folder_writer_abort(w);
    return s;
}

gpt2q_status folder_writer_file(struct folder_writer *w, const char *name, struct file_writer *out,
                                gpt2q_error *err)
{
    char *path = path_join(w->temporary, name);
    if (!path) return error_memory(err, "a path", strlen(name));
    int place = -1;
    if (w->n_files < (int)(sizeof w->files / sizeof *w->files)) place = temporaries_add(path, false);
    gpt2q_status s = GPT2Q_OK;
    if (place < 0)
        s = cannot_write(w, ENAMETOOLONG, err);
    else
        w->files[w->n_files++] = place;
    if (!s) s = file_writer_open(out, path, err);
    mem_free(path);
    return s;
}

/* ---- finishing ---- */

/* A file of the old folder that the new one does not replace is in both until the old one is gone. */
static gpt2q_status carry_over(struct folder_writer *w, int fd, const char *name, gpt2q_error *err)
{
    if (w->belongs(name) || linkat(fd, name, w->fd, name, 0) == 0 || errno == EEXIST) return GPT2Q_OK;
    return error_set(err, GPT2Q_IO, "%s: is not replaced: '%s' cannot be carried over: %s", w->path, name,
                     strerror(errno));
}

/* Removing needs no memory: where there is none, too, nothing is left behind. */
static gpt2q_status remove_entry(struct folder_writer *w, int fd, const char *name, gpt2q_error *err)
{
    (void)w, (void)err;
    unlinkat(fd, name, 0);
    return GPT2Q_OK;
}

/* Of the folder that was replaced; a file that came after all were carried over stays, under the temporary name. */
static gpt2q_status remove_old_entry(struct folder_writer *w, int fd, const char *name, gpt2q_error *err)
{
    struct stat st;
    (void)err;
    if (w->belongs(name) || fstatat(w->fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0) unlinkat(fd, name, 0);
    return GPT2Q_OK;
}

static void remove_folder(struct folder_writer *w, entry_fn *remove)
{
    gpt2q_error ignored;
    each_entry(w, w->temporary, remove, &ignored);
    rmdir(w->temporary);
}

/* Both folders change their names. Two calls where one cannot do it, the first taken back if the second fails. */
static bool exchange(const char *a, const char *b)
{
#if defined(__linux__) && defined(RENAME_EXCHANGE)
    if (renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE) == 0) return true;
    if (errno != ENOSYS && errno != EINVAL) return false;
#endif
    gpt2q_error ignored;
    char *aside;
    if (file_temporary_name(b, &aside, &ignored)) return errno = ENOMEM, false;
    bool ok = rename(b, aside) == 0;
    if (ok && rename(a, b)) {
        const int reason = errno;
        ok = false;
        rename(aside, b);
        errno = reason;
    }
    if (ok) rename(aside, a);
    mem_free(aside);
    return ok;
}

static void folder_free(struct folder_writer *w)
{
    for (int i = 0; i < w->n_files; i++) temporaries_forget(w->files[i]);
    temporaries_forget(w->place);
    if (w->fd >= 0) close(w->fd);
    mem_free(w->path);
    mem_free(w->target);
    mem_free(w->temporary);
    *w = (struct folder_writer){.place = -1, .fd = -1};
}

gpt2q_status folder_writer_commit(struct folder_writer *w, gpt2q_error *err)
{
    gpt2q_status s = w->replaces ? each_entry(w, w->target, check_entry, err) : GPT2Q_OK;
    if (!s && w->replaces) s = each_entry(w, w->target, carry_over, err);
    if (!s) s = file_folder_sync(w->fd, w->path, err);
    int fd = -1;
    if (!s) s = file_folder_open(w->target, &fd, err);
    if (!s && !(w->replaces ? exchange(w->temporary, w->target) : rename(w->temporary, w->target) == 0))
        s = cannot_write(w, errno, err);
    if (s) {
        if (fd >= 0) close(fd);
        folder_writer_abort(w);
        return s;
    }
    if (w->replaces) remove_folder(w, remove_old_entry);
    s = file_folder_sync(fd, w->path, err);
    if (fd >= 0) close(fd);
    folder_free(w);
    return s;
}

void folder_writer_abort(struct folder_writer *w)
{
    if (!w->path) return;
    if (w->temporary) remove_folder(w, remove_entry);
    folder_free(w);
}
