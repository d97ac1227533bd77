/* The log has a line for each request, written when it ends. It never blocks. A line that cannot be written now is dropped and counted. */
#ifndef SERVE_LOG_H
#define SERVE_LOG_H
#include "base/json_writer.h"
#include <stdbool.h>

enum log_level { LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG };

struct log {
    const char *path; /* NULL: standard error or output */
    int fd;
    bool json, journal;
    enum log_level level;
    uint64_t dropped;
};

/* path: NULL or "stderr" for standard error, "-" for standard output, or a file to append to. format: "text" or "json"; NULL: text on a
 * terminal, else JSON. level: "error", "warning", "info" or "debug". False: the log is not open, and errno says why. */
bool log_open(struct log *l, const char *path, const char *format, const char *level);
/* Opens the file again, as after a rotation. */
void log_reopen(struct log *l);
void log_close(struct log *l);
/* A line about the server itself. */
__attribute__((format(printf, 4, 5))) void log_event(struct log *l, enum log_level level, const char *event,
                                                     const char *format, ...);

struct log_request {
    const char *request_id, *remote, *method, *path, *model, *finish, *user_agent, *prompt;
    int status;
    bool stream;
    uint64_t prompt_tokens, cached_tokens, completion_tokens, bytes;
    double queue_ms, prefill_ms, decode_ms;
};
void log_request(struct log *l, enum log_level level, const struct log_request *r);
#endif
