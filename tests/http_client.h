/* A server under test, and clients that say exactly the bytes they are told to. */
#ifndef TESTS_HTTP_CLIENT_H
#define TESTS_HTTP_CLIENT_H
#include "tests/support.h"
#include <cjson/cJSON.h>
#include <sys/types.h>

struct served {
    pid_t pid;
    int port;
    char directory[TEMP_PATH]; /* of its own; holds "log", the server's stderr */
};
/* Makes the directory of its own. */
void served_directory(struct served *s);
/* Until the file "port" in it names the port of process s->pid; fails the test if it never does. */
void served_await(struct served *s, const char *what);
/* Runs `$GPT2Q serve --port 0 <options>` until it is ready; fails the test if it never is. */
struct served served_start(const char *options);
/* Sends the signal and waits; the exit code, or 128 + the signal that ended it. */
int served_stop(struct served *s, int signal);
/* Waits until it ends by itself. */
int served_wait(struct served *s);
/* The text of a metric's line, "gpt2q_steps_total{model=\"tales-7m\"}"; fails the test where it is missing. */
double served_metric(const struct served *s, const char *name);
/* Until the metric has that value: at most `seconds`; false: it never had. */
bool served_metric_becomes(const struct served *s, const char *name, double value, double seconds);

struct answer {
    int status; /* 0: none came */
    char *head, *body;
    size_t n;    /* of the body, chunks joined */
    bool whole;  /* the body ended as its framing says */
    bool closed; /* by the server, afterwards (waits a moment for it) */
};
void answer_free(struct answer *a);
/* A header's value, or NULL; valid until the next call. */
const char *answer_header(const struct answer *a, const char *name);
cJSON *answer_json(const struct answer *a);

int client_open(const struct served *s);
void client_send(int fd, const char *bytes, size_t n);
/* Reads one answer; at most `seconds`. head: of a HEAD request, without a body. */
struct answer client_read(int fd, double seconds, bool head);
/* Reads at least one byte, or the end: what came, terminated; *n < 0 where nothing came in time. */
ssize_t client_read_some(int fd, char *to, size_t max, double seconds);

/* One request on a connection of its own. */
struct answer http_ask(const struct served *s, const char *method, const char *path, const char *headers,
                       const char *body);
struct answer http_post(const struct served *s, const char *path, const char *body);
struct answer http_get(const struct served *s, const char *path);
/* Raw bytes, and all that comes back. */
struct answer http_raw(const struct served *s, const char *bytes, size_t n, double seconds);
double now_s(void);
void sleep_s(double s);
#endif
