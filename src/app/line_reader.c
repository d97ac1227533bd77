#include "app/line_reader.h"
#include "base/memory.h"
#include "base/text.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FIRST_CAPACITY ((size_t)64 << 10)
#define WAIT_MS        200 /* a signal that comes just before the wait is seen after so long */

gpt2q_status line_reader_open(struct line_reader *r, const char *path, gpt2q_error *err)
{
    struct stat st;
    *r = (struct line_reader){.fd = STDIN_FILENO, .path = path, .capacity = FIRST_CAPACITY};
    if (!*path) return error_set(err, GPT2Q_IO, "an empty path is no file that can be read");
    if (strcmp(path, "-"))
        r->fd = open(path, O_RDONLY | O_CLOEXEC);
    else
        r->path = "standard input";
    if (r->fd < 0 || fstat(r->fd, &st)) {
        gpt2q_status s = error_set(err, GPT2Q_IO, "%s: cannot be opened: %s", r->path, strerror(errno));
        line_reader_close(r);
        return s;
    }
    if (S_ISDIR(st.st_mode)) {
        line_reader_close(r);
        return error_set(err, GPT2Q_IO, "%s: is a directory where a file is expected", path);
    }
    r->regular = S_ISREG(st.st_mode);
    r->first = (int64_t)lseek(r->fd, 0, SEEK_CUR);
    if (r->regular && r->first < 0) {
        gpt2q_status s = error_set(err, GPT2Q_IO, "%s: cannot be read: %s", r->path, strerror(errno));
        line_reader_close(r);
        return s;
    }
    r->buffer = mem_alloc(r->capacity);
    if (r->buffer) return GPT2Q_OK;
    line_reader_close(r);
    return error_memory(err, "a line", FIRST_CAPACITY);
}

void line_reader_close(struct line_reader *r)
{
    if (r->fd > STDIN_FILENO) close(r->fd);
    mem_free(r->buffer);
    *r = (struct line_reader){.fd = -1};
}

bool line_reader_is_regular(const struct line_reader *r) { return r->regular; }

gpt2q_status line_reader_rewind(struct line_reader *r, gpt2q_error *err)
{
    if (r->first < 0 || lseek(r->fd, (off_t)r->first, SEEK_SET) < 0)
        return error_set(err, GPT2Q_IO, "%s: cannot be read again: %s", r->path, strerror(errno));
    r->begin = r->scanned = r->end = 0;
    r->n_lines = 0;
    r->at_end = r->too_long = r->started = false;
    return GPT2Q_OK;
}

/* Makes room for more bytes at the end: moves what is there to the front, or takes a larger buffer. A line
 * that fills the largest buffer is dropped, and the rest of it as it arrives. */
static bool make_room(struct line_reader *r)
{
    if (r->begin > 0) {
        memmove(r->buffer, r->buffer + r->begin, r->end - r->begin);
        r->end -= r->begin;
        r->scanned -= r->begin;
        r->begin = 0;
    }
    if (r->end < r->capacity) return true;
    if (r->capacity > LINE_MAX_BYTES) {
        r->too_long = true;
        r->end = r->scanned = 0;
        return true;
    }
    char *larger = mem_grow(r->buffer, r->end, r->capacity * 2);
    if (!larger) return false;
    r->buffer = larger;
    r->capacity *= 2;
    return true;
}

static enum line_state fill(struct line_reader *r, bool wait, gpt2q_error *err)
{
    struct pollfd p = {.fd = r->fd, .events = POLLIN};
    if (!make_room(r)) {
        error_memory(err, "a line", r->capacity * 2);
        return LINE_FAILED;
    }
    int ready = poll(&p, 1, wait ? WAIT_MS : 0);
    if (ready == 0 || (ready < 0 && errno == EINTR)) return LINE_NOT_YET;
    ssize_t n = ready < 0 ? -1 : read(r->fd, r->buffer + r->end, r->capacity - r->end);
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) return LINE_NOT_YET;
    if (n < 0) {
        error_set(err, GPT2Q_IO, "%s: cannot be read: %s", r->path, strerror(errno));
        return LINE_FAILED;
    }
    r->end += (size_t)n;
    r->at_end = n == 0;
    return LINE_READY;
}

static bool is_blank(const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (text[i] != ' ' && text[i] != '\t' && text[i] != '\r') return false;
    return true;
}

/* Takes the bytes [begin, end) of the buffer as a line. Returns false if it is blank. */
static bool take(struct line_reader *r, size_t end, struct line *line)
{
    const char *text = r->buffer + r->begin;
    size_t n = end - r->begin;
    bool dropped = r->too_long || n > LINE_MAX_BYTES;
    r->too_long = false;
    if (n && text[n - 1] == '\r') n--;
    if (!dropped && is_blank(text, n)) return false;
    *line = (struct line){.text = dropped ? NULL : text, .n = dropped ? 0 : n, .index = r->n_lines++};
    return true;
}

/* Skips a byte order mark once its bytes have arrived. Returns false if it is the mark of UTF-16. */
static bool skip_mark(struct line_reader *r)
{
    const char *text = r->buffer + r->begin;
    size_t n = r->end - r->begin;
    r->started = n >= 3 || r->at_end;
    if (text_is_utf16(text, n)) return false;
    if (r->started && text_has_mark(text, n)) r->begin = r->scanned = r->begin + 3;
    if (n && text[0] != '\xEF') r->started = true; /* a short line does not wait */
    return true;
}

enum line_state line_reader_next(struct line_reader *r, bool wait, struct line *line, gpt2q_error *err)
{
    bool filled = false;
    for (;;) {
        if (!r->started && !skip_mark(r)) {
            error_set(err, GPT2Q_FORMAT, "%s: is text in UTF-16 where UTF-8 is expected", r->path);
            return LINE_FAILED;
        }
        char *newline = r->started ? memchr(r->buffer + r->scanned, '\n', r->end - r->scanned) : NULL;
        if (newline) {
            size_t end = (size_t)(newline - r->buffer);
            bool taken = take(r, end, line);
            r->begin = r->scanned = end + 1;
            if (taken) return LINE_READY;
            continue;
        }
        if (r->started) r->scanned = r->end;
        if (r->at_end) {
            bool taken = (r->begin < r->end || r->too_long) && take(r, r->end, line);
            r->begin = r->end;
            return taken ? LINE_READY : LINE_END;
        }
        enum line_state state = filled ? LINE_NOT_YET : fill(r, wait, err);
        if (state != LINE_READY) return state;
        filled = true;
    }
}
