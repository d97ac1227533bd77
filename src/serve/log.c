#include "serve/log.h"
#include "base/memory.h"
#include "base/terminal_text.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char *const levels[] = {"error", "warning", "info", "debug"};

bool log_open(struct log *l, const char *path, const char *format, const char *level)
{
    *l = (struct log){
        .path = path && strcmp(path, "stderr") ? path : NULL, .fd = STDERR_FILENO, .level = LOG_INFO};
    l->journal = !l->path && getenv("JOURNAL_STREAM");
    l->json = format ? !strcmp(format, "json") : l->path || !isatty(STDERR_FILENO);
    for (int i = 0; level && i < 4; i++)
        if (!strcmp(levels[i], level)) l->level = (enum log_level)i;
    if (!l->path) return true;
    if (!strcmp(l->path, "-")) {
        l->path = NULL;
        l->fd = STDOUT_FILENO;
        return true;
    }
    l->fd = open(l->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK, 0640);
    return l->fd >= 0;
}

void log_reopen(struct log *l)
{
    if (!l->path) return;
    int fd = open(l->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK, 0640);
    if (fd < 0) return; /* the old file is better than none */
    close(l->fd);
    l->fd = fd;
}

void log_close(struct log *l)
{
    if (l->path && l->fd >= 0) close(l->fd);
    l->fd = -1;
}

/* A pipe whose reader sleeps takes no line now. */
static void put_line(struct log *l, enum log_level level, const char *text, size_t n)
{
    static const int priorities[] = {3, 4, 6, 7};
    char prefix[8] = "";
    struct pollfd p = {.fd = l->fd, .events = POLLOUT};
    if (l->fd < 0 || poll(&p, 1, 0) != 1 || !(p.revents & POLLOUT)) {
        l->dropped++;
        return;
    }
    if (l->journal) snprintf(prefix, sizeof prefix, "<%d>", priorities[level]);
    char *line = mem_alloc(strlen(prefix) + n + 2);
    if (!line) {
        l->dropped++;
        return;
    }
    size_t m = (size_t)sprintf(line, "%s", prefix);
    memcpy(line + m, text, n);
    line[m + n] = '\n';
    if (write(l->fd, line, m + n + 1) != (ssize_t)(m + n + 1)) l->dropped++;
    mem_free(line);
}

static void put_time(struct json_writer *w)
{
    struct timespec t;
    struct tm tm;
    char text[48], day[32];
    clock_gettime(CLOCK_REALTIME, &t);
    gmtime_r(&t.tv_sec, &tm);
    strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(text, sizeof text, "%s.%03ldZ", day, t.tv_nsec / 1000000);
    json_key(w, "ts"), json_put_string(w, text);
}

static void time_text(char text[16])
{
    time_t now = time(NULL);
    struct tm tm;
    localtime_r(&now, &tm);
    strftime(text, 16, "%H:%M:%S", &tm);
}

static void finish(struct log *l, enum log_level level, struct json_writer *w)
{
    size_t n = w->n + 1;
    json_close(w, '}');
    char *text = json_finish(w);
    if (text)
        put_line(l, level, text, n);
    else
        l->dropped++;
    mem_free(text);
}

void log_event(struct log *l, enum log_level level, const char *event, const char *format, ...)
{
    char message[512], clock[16], line[1100];
    va_list args;
    if (level > l->level) return;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    if (l->json) {
        struct json_writer w = {0};
        json_open(&w, '{'), put_time(&w);
        json_key(&w, "level"), json_put_string(&w, levels[level]);
        json_key(&w, "event"), json_put_string(&w, event);
        json_key(&w, "message"), json_put_string(&w, message);
        finish(l, level, &w);
        return;
    }
    char shown[512];
    size_t n = terminal_text(shown, sizeof shown, message, strlen(message));
    time_text(clock);
    snprintf(line, sizeof line, "%s %.*s", clock, (int)n, shown);
    put_line(l, level, line, strlen(line));
}

static void put_string(struct json_writer *w, const char *key, const char *text)
{
    if (text && *text) json_key(w, key), json_put_string(w, text);
}

static void request_json(struct log *l, enum log_level level, const struct log_request *r)
{
    struct json_writer w = {0};
    json_open(&w, '{'), put_time(&w);
    put_string(&w, "level", levels[level]);
    put_string(&w, "event", r->status == 499 ? "cancel" : r->status == 429 ? "refuse" : "request");
    put_string(&w, "request_id", r->request_id);
    put_string(&w, "remote", r->remote);
    put_string(&w, "method", r->method);
    put_string(&w, "path", r->path);
    json_key(&w, "status"), json_put_integer(&w, r->status);
    if (r->model) {
        put_string(&w, "model", r->model);
        json_key(&w, "prompt_tokens"), json_put_unsigned(&w, r->prompt_tokens);
        json_key(&w, "cached_tokens"), json_put_unsigned(&w, r->cached_tokens);
        json_key(&w, "completion_tokens"), json_put_unsigned(&w, r->completion_tokens);
        put_string(&w, "finish", r->finish);
        json_key(&w, "stream"), json_put_bool(&w, r->stream);
        json_key(&w, "queue_ms"), json_put_real(&w, r->queue_ms);
        json_key(&w, "prefill_ms"), json_put_real(&w, r->prefill_ms);
        json_key(&w, "decode_ms"), json_put_real(&w, r->decode_ms);
    }
    json_key(&w, "bytes"), json_put_unsigned(&w, r->bytes);
    put_string(&w, "user_agent", r->user_agent);
    put_string(&w, "prompt", r->prompt);
    finish(l, level, &w);
}

void log_request(struct log *l, enum log_level level, const struct log_request *r)
{
    char clock[16], line[1024], shown[1024];
    if (level > l->level) return;
    if (l->json) {
        request_json(l, level, r);
        return;
    }
    time_text(clock);
    int n = snprintf(line, sizeof line, "%s %d %s %.200s %s", clock, r->status, r->method, r->path,
                     r->request_id);
    if (r->model)
        n += snprintf(line + n, sizeof line - (size_t)n,
                      " %s %s prompt %llu made %llu %s queue %.1f prefill %.1f decode %.1f ms", r->model,
                      r->remote, (unsigned long long)r->prompt_tokens,
                      (unsigned long long)r->completion_tokens, r->finish, r->queue_ms, r->prefill_ms,
                      r->decode_ms);
    else
        n += snprintf(line + n, sizeof line - (size_t)n, " %s", r->remote);
    if (r->prompt) snprintf(line + n, sizeof line - (size_t)n, " \"%.300s\"", r->prompt);
    size_t m = terminal_text(shown, sizeof shown, line, strlen(line));
    put_line(l, level, shown, m);
}
