/* Lines of a file or of standard input, in constant memory. Regular files, pipes and terminals are read
 * alike. A line is given as soon as it has arrived, so that a program at the other end of a pipe gets its
 * answer before it writes the next line.
 *
 * A line ends in \n or \r\n, or where the input ends. A byte order mark of UTF-8 at the beginning is skipped; one of UTF-16 is
 * refused. Blank lines (only spaces, tabs and \r) are skipped and not counted. A line of more than
 * LINE_MAX_BYTES is given without its text. */
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
    LINE_NOT_YET, /* no whole line is there; a call reads once, so that a signal is seen in a line without end */
    LINE_END,
    LINE_FAILED
};

struct line_reader {
    int fd;
    const char *path; /* for messages; the caller's */
    char *buffer;
    size_t capacity, begin, scanned, end;
    uint64_t n_lines;
    bool at_end, too_long, regular;
    bool started;  /* the first bytes have been checked for a byte order mark */
    int64_t first; /* offset of the first byte, of a regular file */
};

/* "-" is standard input. */
gpt2q_status line_reader_open(struct line_reader *r, const char *path, gpt2q_error *err);
void line_reader_close(struct line_reader *r);
/* Reads the next line. With `wait`, waits a moment for it. */
enum line_state line_reader_next(struct line_reader *r, bool wait, struct line *line, gpt2q_error *err);
/* Starts a regular file again from the beginning. */
gpt2q_status line_reader_rewind(struct line_reader *r, gpt2q_error *err);
bool line_reader_is_regular(const struct line_reader *r);
#endif
