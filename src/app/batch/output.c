#include "app/batch/output.h"
#include "base/file_target.h"
#include "base/file_writer.h"
#include "base/memory.h"
#include "base/waiting_stream.h"
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static gpt2q_status cannot_write(const struct batch_output *o, gpt2q_error *err)
{
    return error_set(err, GPT2Q_IO, "%s: cannot be written: %s", o->path, strerror(errno));
}

static gpt2q_status open_standard(struct batch_output *o, const struct file_target *t, gpt2q_error *err)
{
    const bool standard = t->descriptor == STDOUT_FILENO;
    if (standard) o->path = "standard output";
    if (standard && file_standard_output() == STDOUT_FILENO) {
        o->stream = stdout;
        return GPT2Q_OK;
    }
    const int fd = fcntl(standard ? file_standard_output() : t->descriptor, F_DUPFD_CLOEXEC, 3);
    if (fd >= 0 && (o->stream = waiting_stream(fd))) return GPT2Q_OK;
    gpt2q_status s = cannot_write(o, err);
    if (fd >= 0) close(fd);
    return s;
}

/* One run at a time: where the file system knows locks. */
static gpt2q_status lock(struct batch_output *o, int fd, gpt2q_error *err)
{
    if (flock(fd, LOCK_EX | LOCK_NB) == 0 || (errno != EWOULDBLOCK && errno != EINTR)) return GPT2Q_OK;
    return error_set(err, GPT2Q_IO, "%s: another run is writing it", o->path);
}

/* What is there stays for now. A pipe or device is written as it is. */
static gpt2q_status open_file(struct batch_output *o, const struct file_target *t, gpt2q_error *err)
{
    struct stat st;
    const int fd = open(t->path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0) return cannot_write(o, err);
    gpt2q_status s = fstat(fd, &st) ? cannot_write(o, err) : GPT2Q_OK;
    o->is_regular = !s && S_ISREG(st.st_mode);
    if (o->is_regular) s = lock(o, fd, err);
    if (!s && o->is_regular) {
        o->made = t->kind == TARGET_NEW;
        o->size = st.st_size;
        o->target = mem_strdup(t->path);
        if (!o->target) s = error_memory(err, "a path", strlen(t->path));
    }
    if (!s && !(o->stream = waiting_stream(fd))) s = cannot_write(o, err);
    if (s) close(fd);
    return s;
}

gpt2q_status batch_output_open(struct batch_output *o, const char *path, bool ordered, size_t window,
                               gpt2q_error *err)
{
    struct file_target t;
    *o = (struct batch_output){.ordered = ordered, .window = window, .path = path ? path : "-"};
    gpt2q_status s = file_target_find(o->path, &t, err);
    if (!s && t.kind == TARGET_FOLDER) s = file_target_check(&t, o->path, err);
    if (!s) s = (t.kind == TARGET_DESCRIPTOR ? open_standard : open_file)(o, &t, err);
    file_target_free(&t);
    if (!s && ordered && !(o->held = mem_zarray(window, sizeof *o->held)))
        s = error_memory(err, "the answers held back", window * sizeof *o->held);
    if (s) batch_output_discard(o);
    return s;
}

gpt2q_status batch_output_begin(struct batch_output *o, int64_t keep, uint64_t next, gpt2q_error *err)
{
    o->next = next;
    if (!o->is_regular) return GPT2Q_OK;
    const int fd = fileno(o->stream);
    if (o->size > keep && ftruncate(fd, keep)) return cannot_write(o, err);
    return lseek(fd, keep, SEEK_SET) < 0 ? cannot_write(o, err) : GPT2Q_OK;
}

bool batch_output_has_room(const struct batch_output *o, uint64_t n)
{
    return !o->ordered || n - o->next < o->window;
}

static gpt2q_status write_line(struct batch_output *o, char *text, gpt2q_error *err)
{
    bool failed = fputs(text, o->stream) == EOF || fputc('\n', o->stream) == EOF;
    mem_free(text);
    o->n_written += !failed;
    return failed ? cannot_write(o, err) : GPT2Q_OK;
}

gpt2q_status batch_output_put(struct batch_output *o, uint64_t n, char *text, gpt2q_error *err)
{
    gpt2q_status s = GPT2Q_OK;
    if (!o->ordered) return write_line(o, text, err);
    assert(n >= o->next && batch_output_has_room(o, n) && !o->held[n % o->window]);
    o->held[n % o->window] = text;
    for (char **held; !s && *(held = &o->held[o->next % o->window]); o->next++) {
        s = write_line(o, *held, err);
        *held = NULL;
    }
    return s;
}

gpt2q_status batch_output_flush(struct batch_output *o, gpt2q_error *err)
{
    if (fflush(o->stream)) return cannot_write(o, err);
    o->n_flushed = o->n_written;
    return GPT2Q_OK;
}

static void output_free(struct batch_output *o)
{
    for (size_t i = 0; o->held && i < o->window; i++) mem_free(o->held[i]);
    mem_free(o->held);
    mem_free(o->target);
    *o = (struct batch_output){0};
}

gpt2q_status batch_output_close(struct batch_output *o, gpt2q_error *err)
{
    gpt2q_status s = GPT2Q_OK;
    if (o->stream) s = batch_output_flush(o, err);
    if (o->stream && o->stream != stdout) {
        const int fd = fileno(o->stream);
        if (!s && fd >= 0 && fsync(fd) && errno != EINVAL && errno != EROFS) s = cannot_write(o, err);
        if (fclose(o->stream) && !s) s = cannot_write(o, err);
        if (!s && o->made) s = file_sync_folder(o->target, err);
    }
    output_free(o);
    return s;
}

void batch_output_discard(struct batch_output *o)
{
    if (o->stream && o->made) unlink(o->target);
    if (o->stream && o->stream != stdout) fclose(o->stream);
    output_free(o);
}
