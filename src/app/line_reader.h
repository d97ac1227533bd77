/* Lines of a file or of standard input, in constant memory. Regular files, pipes and terminals are read
 * alike: what has arrived is given at once, so that a program at the other end of a pipe gets its answer
 * before it writes the next line.
 *
 * A line ends in \n or \r\n, the last one also where the input ends. A byte order mark at the beginning of UTF-8 is skipped, one
 * of UTF-16 refused. Blank lines (nothing but spaces, tabs
 * and \r) are skipped and not counted. A line beyond LINE_MAX_BYTES is given without its text. */
#ifndef APP_LINE_READER_H
#define APP_LINE_READER_H
#include "base/status.h"

#define LINE_MAX_BYTES ((size_t)16 << 20)

struct line {
    const char *text; /* valid until the next call; NULL: longer than LINE_MAX_BYTES */
    size_t n;
    uint64_t index; /* from 0, blank lines not counted */
};

enum line_state {
    LINE_READY,
    LINE_NOT_YET, /* nothing has arrived */
    LINE_END,
    LINE_FAILED
};

struct line_reader {
    int fd;
    const char *path; /* for messages; the caller's */
    char *buffer;
    size_t capacity, begin, scanned, end;
    uint64_t n_lines;
    bool at_end, too_long;
    bool started;  /* its first bytes were looked at */
    int64_t first; /* offset of the first byte, of a regular file */
};

/* "-" is standard input. */
gpt2q_status line_reader_open(struct line_reader *r, const char *path, gpt2q_error *err);
void line_reader_close(struct line_reader *r);
/* The next line. With `wait`, waits a moment for it. */
enum line_state line_reader_next(struct line_reader *r, bool wait, struct line *line, gpt2q_error *err);
/* From the beginning again, of a regular file. */
gpt2q_status line_reader_rewind(struct line_reader *r, gpt2q_error *err);
bool line_reader_is_regular(const struct line_reader *r);
#endif
