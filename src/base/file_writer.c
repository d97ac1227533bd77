#include "base/file_writer.h"
#include "base/file_target.h"
#include "base/memory.h"
#include "base/temporaries.h"
#include "base/waiting_stream.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

/* Written by whole multiples of a huge page at such offsets, a file is kept in huge pages by a system that
 * has them for files, and mapping it costs next to nothing. */
#define WRITE_BYTES ((size_t)2 << 20)
#define NAME_BYTES  200 /* of the name's beginning: a file system takes 255 */

static int standard_output = STDOUT_FILENO;

static gpt2q_status cannot_write(const char *path, int reason, gpt2q_error *err)
{
    return error_set(err, GPT2Q_IO, "%s: cannot be written: %s", path, strerror(reason));
}

int file_standard_output(void) { return standard_output; }

void file_writer_abort_all(void) { temporaries_remove_all(); }

gpt2q_status file_writer_take_stdout(gpt2q_error *err)
{
    if (standard_output != STDOUT_FILENO) return GPT2Q_OK;
    fflush(stdout);
    const int kept = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
    if (kept < 0 || dup2(STDERR_FILENO, STDOUT_FILENO) < 0) {
        const int reason = errno;
        if (kept >= 0) close(kept);
        return cannot_write("standard output", reason, err);
    }
    standard_output = kept;
    return GPT2Q_OK;
}

/* ---- names ---- */

gpt2q_status file_temporary_name(const char *path, char **out, gpt2q_error *err)
{
    uint64_t letters = 0;
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    const size_t n = strlen(path) + 32;
    *out = mem_alloc(n);
    if (!*out) return error_memory(err, "a path", n);
    if (getentropy(&letters, sizeof letters)) {
        const int reason = errno;
        mem_free(*out);
        *out = NULL;
        return cannot_write(path, reason, err);
    }
    const int kept = strlen(name) > NAME_BYTES ? NAME_BYTES : (int)strlen(name);
    snprintf(*out, n, "%.*s%.*s.partial.%016llx", (int)(name - path), path, kept, name,
             (unsigned long long)letters);
    return GPT2Q_OK;
}

gpt2q_status file_folder_open(const char *path, int *fd, gpt2q_error *err)
{
    char *folder = path_folder(path);
    *fd = -1;
    if (!folder) return error_memory(err, "a path", strlen(path));
    *fd = open(*folder ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    mem_free(folder);
    return GPT2Q_OK; /* one that may be written but not read cannot be synced */
}

gpt2q_status file_folder_sync(int fd, const char *path, gpt2q_error *err)
{
    if (fd < 0 || fsync(fd) == 0 || errno == EINVAL || errno == EROFS || errno == ENOTSUP) return GPT2Q_OK;
    return cannot_write(path, errno, err);
}

gpt2q_status file_sync_folder(const char *path, gpt2q_error *err)
{
    int fd;
    gpt2q_status s = file_folder_open(path, &fd, err);
    if (!s) s = file_folder_sync(fd, path, err);
    if (fd >= 0) close(fd);
    return s;
}

/* ---- files ---- */

static void writer_free(struct file_writer *w)
{
    mem_free(w->path);
    mem_free(w->target);
    mem_free(w->temporary);
    mem_free(w->buffer);
    if (w->folder >= 0) close(w->folder);
    *w = (struct file_writer){.place = -1, .folder = -1};
}

static gpt2q_status open_stream(struct file_writer *w, const struct file_target *t, gpt2q_error *err)
{
    int fd;
    if (t->kind == TARGET_DESCRIPTOR) {
        fflush(stdout); /* what was printed comes first */
        fd = fcntl(t->descriptor == STDOUT_FILENO ? standard_output : t->descriptor, F_DUPFD_CLOEXEC, 3);
    } else {
        fd = open(t->path, O_WRONLY | O_CLOEXEC);
    }
    if (fd >= 0 && (w->stream = waiting_stream(fd))) return GPT2Q_OK;
    const int reason = errno;
    if (fd >= 0) close(fd);
    return cannot_write(w->path, reason, err);
}

/* The mode and owner of the file that is replaced; an owner that cannot be given stays this user. */
static bool take_over(int fd, const struct file_target *t)
{
    if (t->kind != TARGET_FILE) return true;
    bool same = t->st.st_uid == geteuid() && t->st.st_gid == getegid();
    if (!same && fchown(fd, t->st.st_uid, t->st.st_gid)) same = true;
    return fchmod(fd, t->st.st_mode & 0777) == 0;
}

static gpt2q_status open_temporary(struct file_writer *w, const struct file_target *t, gpt2q_error *err)
{
    w->target = mem_strdup(t->path);
    w->buffer = mem_alloc(WRITE_BYTES);
    if (!w->target || !w->buffer) return error_memory(err, "a file to be written", WRITE_BYTES);
    gpt2q_status s = file_folder_open(t->path, &w->folder, err);
    if (!s) s = file_temporary_name(t->path, &w->temporary, err);
    if (s) return s;
    w->place = temporaries_add(w->temporary, false);
    if (w->place < 0)
        return error_set(
            err, GPT2Q_IO,
            "%s: cannot be written: its path is too long, or more than %d files are being written", w->path,
            TEMPORARIES_MAX);
    const int fd = open(w->temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
    if (fd < 0) return cannot_write(w->path, errno, err);
    if (take_over(fd, t) && (w->stream = fdopen(fd, "wb"))) {
        setvbuf(w->stream, w->buffer, _IOFBF, WRITE_BYTES);
        return GPT2Q_OK;
    }
    const int reason = errno;
    close(fd);
    unlink(w->temporary);
    return cannot_write(w->path, reason, err);
}

gpt2q_status file_writer_open(struct file_writer *w, const char *path, gpt2q_error *err)
{
    struct file_target t;
    *w = (struct file_writer){.place = -1, .folder = -1};
    gpt2q_status s = file_target_find(path, &t, err);
    if (!s) s = file_target_check(&t, path, err);
    if (!s && !(w->path = mem_strdup(t.descriptor == STDOUT_FILENO ? "standard output" : path)))
        s = error_memory(err, "a path", strlen(path));
    if (!s) s = (t.kind == TARGET_NEW || t.kind == TARGET_FILE ? open_temporary : open_stream)(w, &t, err);
    file_target_free(&t);
    if (!s) return GPT2Q_OK;
    temporaries_forget(w->place);
    writer_free(w);
    return s;
}

gpt2q_status file_writer_write(struct file_writer *w, const void *data, size_t n, gpt2q_error *err)
{
    if (fwrite(data, 1, n, w->stream) == n) return GPT2Q_OK;
    return cannot_write(w->path, errno, err);
}

gpt2q_status file_writer_commit(struct file_writer *w, gpt2q_error *err)
{
    const bool failed = ferror(w->stream);
    errno = EIO; /* where a write failed before, and the next one cannot say why */
    bool ok = fflush(w->stream) == 0 && !failed && (!w->temporary || fsync(fileno(w->stream)) == 0);
    int reason = errno;
    if (fclose(w->stream) && ok) ok = false, reason = errno;
    if (ok && w->temporary && rename(w->temporary, w->target)) ok = false, reason = errno;
    gpt2q_status s = GPT2Q_OK;
    if (!ok) {
        s = cannot_write(w->path, reason, err);
        if (w->temporary) unlink(w->temporary);
    }
    temporaries_forget(w->place);
    if (ok) s = file_folder_sync(w->folder, w->path, err);
    writer_free(w);
    return s;
}

void file_writer_abort(struct file_writer *w)
{
    if (!w->path) return;
    if (w->stream) fclose(w->stream);
    if (w->temporary) unlink(w->temporary);
    temporaries_forget(w->place);
    writer_free(w);
}

gpt2q_status file_write_whole(const char *path, const void *data, size_t n, gpt2q_error *err)
{
    struct file_writer w;
    gpt2q_status s = file_writer_open(&w, path, err);
    if (s) return s;
    s = file_writer_write(&w, data, n, err);
    if (!s) return file_writer_commit(&w, err);
    file_writer_abort(&w);
    return s;
}
