#include "app/batch/output.h"
#include "base/memory.h"
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static gpt2q_status cannot_write(const struct batch_output *o, gpt2q_error *err)
{
    return error_set(err, GPT2Q_IO, "%s: cannot be written: %s", o->path, strerror(errno));
}

static gpt2q_status open_stream(struct batch_output *o, const char *path, int64_t keep, gpt2q_error *err)
{
    o->path = "standard output";
    o->stream = stdout;
    if (!path || !strcmp(path, "-")) return GPT2Q_OK;
    o->path = path;
    o->stream = NULL;
    struct stat st;
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0 || fstat(fd, &st)) return cannot_write(o, err);
    bool cut = S_ISREG(st.st_mode); /* a pipe or device is written as it is */
    if ((cut && (ftruncate(fd, keep) || lseek(fd, 0, SEEK_END) < 0)) || !(o->stream = fdopen(fd, "w"))) {
        gpt2q_status s = cannot_write(o, err);
        close(fd);
        return s;
    }
    return GPT2Q_OK;
}

gpt2q_status batch_output_open(struct batch_output *o, const char *path, int64_t keep, uint64_t next,
                               bool ordered, size_t window, gpt2q_error *err)
{
    *o = (struct batch_output){.ordered = ordered, .window = window, .next = next};
    gpt2q_status s = open_stream(o, path, keep, err);
    if (s || !ordered) return s;
    o->held = mem_zarray(window, sizeof *o->held);
    if (o->held) return GPT2Q_OK;
    batch_output_close(o, NULL);
    return error_memory(err, "the answers held back", window * sizeof *o->held);
}

bool batch_output_has_room(const struct batch_output *o, uint64_t n)
{
    return !o->ordered || n - o->next < o->window;
}

static gpt2q_status write_line(struct batch_output *o, char *text, gpt2q_error *err)
{
    bool failed = fputs(text, o->stream) == EOF || fputc('\n', o->stream) == EOF;
    mem_free(text);
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
    return fflush(o->stream) ? cannot_write(o, err) : GPT2Q_OK;
}

gpt2q_status batch_output_close(struct batch_output *o, gpt2q_error *err)
{
    gpt2q_status s = GPT2Q_OK;
    if (o->stream) s = batch_output_flush(o, err);
    if (o->stream && o->stream != stdout) {
        if (!s && fsync(fileno(o->stream)) && errno != EINVAL && errno != EROFS) s = cannot_write(o, err);
        if (fclose(o->stream) && !s) s = cannot_write(o, err);
    }
    for (size_t i = 0; o->held && i < o->window; i++) mem_free(o->held[i]);
    mem_free(o->held);
    *o = (struct batch_output){0};
    return s;
}
