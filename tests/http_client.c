#include "tests/http_client.h"
#include "base/json.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define READY_S 60.0
#define STOP_S  60.0

double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void sleep_s(double s)
{
    struct timespec t = {.tv_sec = (time_t)s, .tv_nsec = (long)((s - (double)(time_t)s) * 1e9)};
    nanosleep(&t, NULL);
}

/* ---- the server ---- */

static void run_server(const struct served *s, const char *options)
{
    char command[2048], path[TEMP_PATH + 8];
    const char *program = getenv("GPT2Q");
    snprintf(path, sizeof path, "%s/log", s->directory);
    int log = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    dup2(log, STDERR_FILENO), dup2(log, STDOUT_FILENO);
    snprintf(command, sizeof command, "exec %s serve --port 0 --port-file %s/port %s",
             program ? program : "./gpt2q", s->directory, options);
    execl("/bin/sh", "sh", "-c", command, (char *)NULL);
    _exit(127);
}

static void show_log(const struct served *s)
{
    char command[128];
    snprintf(command, sizeof command, "tail -20 %s/log", s->directory);
    if (system(command)) print_message("no log\n");
}

void served_directory(struct served *s)
{
    int n = snprintf(s->directory, sizeof s->directory, "%s/gpt2q-serve-XXXXXX", temp_base());
    assert_in_range(n, 1, (int)sizeof s->directory - 1);
    assert_non_null(mkdtemp(s->directory));
}

void served_await(struct served *s, const char *what)
{
    char path[TEMP_PATH + 8];
    snprintf(path, sizeof path, "%s/port", s->directory);
    for (double began = now_s(); now_s() - began < READY_S; sleep_s(0.01)) {
        FILE *f = fopen(path, "r");
        int n = f ? fscanf(f, "%d", &s->port) : 0;
        if (f) fclose(f);
        if (n == 1) return;
        if (waitpid(s->pid, NULL, WNOHANG) == s->pid) break;
    }
    show_log(s);
    fail_msg("the server with '%s' is not ready", what);
}

struct served served_start(const char *options)
{
    struct served s = {0};
    served_directory(&s);
    s.pid = fork();
    if (s.pid == 0) run_server(&s, options);
    served_await(&s, options);
    return s;
}

int served_wait(struct served *s)
{
    int status;
    char command[128];
    double began = now_s();
    while (waitpid(s->pid, &status, WNOHANG) == 0) {
        if (now_s() - began > STOP_S) {
            kill(s->pid, SIGKILL);
            waitpid(s->pid, &status, 0);
            fail_msg("the server does not end");
        }
        sleep_s(0.005);
    }
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    if (code != 0 && code != 143 && code != 130) show_log(s);
    snprintf(command, sizeof command, "rm -r %s", s->directory);
    if (system(command)) print_message("%s stays\n", s->directory);
    return code;
}

int served_stop(struct served *s, int signal)
{
    kill(s->pid, signal);
    return served_wait(s);
}

static bool find_metric(const struct served *s, const char *name, double *value)
{
    char line[256];
    struct answer a = http_get(s, "/metrics");
    snprintf(line, sizeof line, "\n%s ", name);
    const char *at = a.body ? strstr(a.body, line) : NULL;
    if (at) *value = strtod(at + strlen(line), NULL);
    answer_free(&a);
    return at != NULL;
}

double served_metric(const struct served *s, const char *name)
{
    double value = 0;
    if (!find_metric(s, name, &value)) fail_msg("no metric %s", name);
    return value;
}

bool served_metric_becomes(const struct served *s, const char *name, double value, double seconds)
{
    double began = now_s(), is;
    do {
        if (find_metric(s, name, &is) && is == value) return true;
        sleep_s(0.02);
    } while (now_s() - began < seconds);
    return false;
}

/* ---- clients ---- */

int client_open(const struct served *s)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)s->port)};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(fd, (struct sockaddr *)&a, sizeof a)) fail_msg("cannot connect: %s", strerror(errno));
    return fd;
}

void client_send(int fd, const char *bytes, size_t n)
{
    for (size_t at = 0; at < n;) {
        ssize_t m = send(fd, bytes + at, n - at, MSG_NOSIGNAL);
        if (m <= 0) return; /* the server may close before all is sent */
        at += (size_t)m;
    }
}

ssize_t client_read_some(int fd, char *to, size_t max, double seconds)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    if (poll(&p, 1, (int)(seconds * 1000)) != 1) return -1;
    ssize_t n = recv(fd, to, max - 1, 0);
    if (n < 0) n = 0; /* reset: as good as closed */
    to[n] = '\0';
    return n;
}

struct stream {
    int fd;
    double until;
    char *bytes;
    size_t n, capacity;
    bool ended;
};

static bool more(struct stream *s)
{
    if (s->n + 65536 > s->capacity) s->bytes = realloc(s->bytes, s->capacity = 2 * s->capacity + 131072);
    double left = s->until - now_s();
    ssize_t n = client_read_some(s->fd, s->bytes + s->n, s->capacity - s->n, left > 0 ? left : 0);
    if (n <= 0) {
        s->ended = n == 0;
        return false;
    }
    s->n += (size_t)n;
    return true;
}

static char *copy_text(const char *text, size_t n)
{
    char *copy = malloc(n + 1);
    memcpy(copy, text, n);
    copy[n] = '\0';
    return copy;
}

/* Chunks from `at` on, joined into the body. True: the last one came. */
static bool join_chunks(struct stream *s, size_t at, struct answer *a)
{
    a->body = calloc(1, 1);
    for (;;) {
        char *line;
        while (!(line = memmem(s->bytes + at, s->n - at, "\r\n", 2)))
            if (!more(s)) return false;
        size_t size = strtoul(s->bytes + at, NULL, 16), begin = (size_t)(line - s->bytes) + 2;
        while (s->n < begin + size + 2)
            if (!more(s)) return false;
        if (size == 0) return true;
        a->body = realloc(a->body, a->n + size + 1);
        memcpy(a->body + a->n, s->bytes + begin, size);
        a->n += size;
        a->body[a->n] = '\0';
        at = begin + size + 2;
    }
}

static bool is_skipped(int status) { return status == 100; }

struct answer client_read(int fd, double seconds, bool head)
{
    struct answer a = {0};
    struct stream s = {.fd = fd, .until = now_s() + seconds, .bytes = calloc(1, 131072), .capacity = 131072};
    char *end;
    size_t from = 0;
    for (;;) {
        while (!(end = memmem(s.bytes + from, s.n - from, "\r\n\r\n", 4)))
            if (!more(&s)) break;
        if (!end || sscanf(s.bytes + from, "HTTP/1.1 %d", &a.status) != 1) break;
        if (!is_skipped(a.status)) break;
        from = (size_t)(end - s.bytes) + 4;
        end = NULL;
    }
    if (!end) {
        a.closed = s.ended;
        a.body = copy_text(s.bytes, s.n);
        a.n = s.n;
        free(s.bytes);
        return a;
    }
    size_t at = (size_t)(end - s.bytes) + 4;
    a.head = copy_text(s.bytes + from, at - from);
    const char *length = answer_header(&a, "Content-Length"),
               *encoding = answer_header(&a, "Transfer-Encoding");
    if (head || a.status == 204 || a.status == 304) {
        a.whole = true;
    } else if (encoding && !strcasecmp(encoding, "chunked")) {
        a.whole = join_chunks(&s, at, &a);
    } else if (length || (length = answer_header(&a, "Content-Length"))) {
        size_t n = strtoul(length, NULL, 10);
        while (s.n < at + n && more(&s)) continue;
        a.whole = s.n >= at + n;
        a.n = a.whole ? n : s.n - at;
        a.body = copy_text(s.bytes + at, a.n);
    } else {
        while (more(&s)) continue;
        a.whole = s.ended;
        a.n = s.n - at;
        a.body = copy_text(s.bytes + at, a.n);
    }
    a.closed = s.ended;
    free(s.bytes);
    return a;
}

void answer_free(struct answer *a)
{
    free(a->head);
    free(a->body);
    *a = (struct answer){0};
}

const char *answer_header(const struct answer *a, const char *name)
{
    static char value[512];
    size_t n = strlen(name);
    for (const char *line = a->head; line && *line;
         line = strstr(line, "\r\n") ? strstr(line, "\r\n") + 2 : NULL) {
        if (strncasecmp(line, name, n) || line[n] != ':') continue;
        line += n + 1;
        line += strspn(line, " ");
        snprintf(value, sizeof value, "%.*s", (int)strcspn(line, "\r\n"), line);
        return value;
    }
    return NULL;
}

cJSON *answer_json(const struct answer *a)
{
    gpt2q_error err;
    cJSON *tree = NULL;
    if (!a->body || json_parse(a->body, a->n, NULL, &tree, &err))
        fail_msg("status %d, no JSON: %.300s", a->status, a->body ? a->body : "");
    return tree;
}

struct answer http_ask(const struct served *s, const char *method, const char *path, const char *headers,
                       const char *body)
{
    int fd = client_open(s);
    size_t n = body ? strlen(body) : 0;
    char *request = malloc(n + strlen(path) + strlen(headers) + 256);
    int m = sprintf(request, "%s %s HTTP/1.1\r\nHost: localhost\r\n%s", method, path, headers);
    if (body) m += sprintf(request + m, "Content-Length: %zu\r\n", n);
    m += sprintf(request + m, "\r\n");
    client_send(fd, request, (size_t)m);
    if (n) client_send(fd, body, n);
    free(request);
    struct answer a = client_read(fd, 60, !strcmp(method, "HEAD"));
    close(fd);
    return a;
}

struct answer http_post(const struct served *s, const char *path, const char *body)
{
    return http_ask(s, "POST", path, "Content-Type: application/json\r\n", body);
}

struct answer http_get(const struct served *s, const char *path)
{
    return http_ask(s, "GET", path, "", NULL);
}

struct answer http_raw(const struct served *s, const char *bytes, size_t n, double seconds)
{
    char rest[256];
    int fd = client_open(s);
    client_send(fd, bytes, n);
    struct answer a = client_read(fd, seconds, !strncmp(bytes, "HEAD", 4));
    if (!a.closed) a.closed = client_read_some(fd, rest, sizeof rest, 0.1) == 0;
    close(fd);
    return a;
}
