#include "serve/http.h"
#include "base/clock.h"
#include "base/memory.h"
#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <linux/sockios.h>
#include <sys/un.h>
#include <unistd.h>

#define DAEMONS_MAX  4
#define WATCHES_MAX  16
#define EVENTS       256
#define STREAM_BLOCK 2048
#define CONNECTION_MEMORY                                                                                    \
    ((size_t)16384) /* nearly all that an idle connection costs; the header block is at most half of it */
#define SPARE_CONNECTIONS                                                                                    \
    64 /* beyond the limit, to be told so: libmicrohttpd would leave them waiting without a word */
#define SWALLOW     ((size_t)65536) /* of a body that is too large, so that the answer can be sent */
#define SWEEP_S     0.25
#define REFUSAL_MAX 1024

enum watched { WATCHED_DAEMON, WATCHED_FD, WATCHED_CLIENT };

struct watch { /* what an event of our epoll points to */
    enum watched kind;
    void (*fn)(void *user);
    void *user;
};

struct connection {
    struct watch watch; /* first: of the client's socket, while a request runs */
    struct http_server *server;
    struct connection *next, *previous;
    struct http_request *request; /* NULL: between requests */
    int fd;
    bool too_many, served, watched;
    double idle_since;
    char remote[INET6_ADDRSTRLEN + 1];
};

struct http_request {
    struct connection *connection;
    struct MHD_Connection *mhd;
    const char *method, *path, *version;
    void *user;
    char *body;
    size_t n_body, capacity, swallowed;
    bool begun, complete, suspended, gone, too_large, no_memory, told, bad_uri;
    bool answering;                /* the answer was handed to libmicrohttpd */
    struct MHD_Response *response; /* NULL: none yet, or handed over */
    int status;
    http_read_fn *read;
    void *read_user;
    double started_at, completed_at,
        waiting_since; /* the last: bytes are on their way to the client; 0: none are */
    int queued;        /* bytes in the socket's queue when it was looked at last */
    uint64_t sent;
};

struct http_server {
    struct MHD_Daemon *daemons[DAEMONS_MAX];
    size_t n_daemons;
    int epoll;
    struct watch daemon_watch, watches[WATCHES_MAX];
    size_t n_watches;
    struct http_limits limits;
    struct http_events events;
    struct connection *connections;
    int n_connections;
    bool draining, ended_one;
    double swept_at;
    uint64_t refused[6];
};

static const char *const refusals[] = {"framing",        "transfer_encoding", "too_many_connections",
                                       "body_too_large", "request_timeout",   "uri_too_long"};

uint64_t http_refused(const struct http_server *s, const char *code)
{
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++)
        if (!strcmp(refusals[i], code)) return s->refused[i];
    return 0;
}

static void count_refusal(struct http_server *s, const char *code)
{
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++)
        if (!strcmp(refusals[i], code)) s->refused[i]++;
}

/* ---- what a request says ---- */

const char *http_method(const struct http_request *r) { return r->method; }
const char *http_path(const struct http_request *r) { return r->path; }
const char *http_version(const struct http_request *r) { return r->version; }
const char *http_remote(const struct http_request *r) { return r->connection->remote; }
double http_completed_at(const struct http_request *r) { return r->completed_at; }
uint64_t http_bytes_sent(const struct http_request *r) { return r->sent; }
void http_set_user(struct http_request *r, void *user) { r->user = user; }
void *http_user(const struct http_request *r) { return r->user; }
int http_connections(const struct http_server *s) { return s->n_connections; }

const char *http_header(const struct http_request *r, const char *name)
{
    return MHD_lookup_connection_value(r->mhd, MHD_HEADER_KIND, name);
}

const char *http_body(const struct http_request *r, size_t *n)
{
    *n = r->n_body;
    return r->body ? r->body : "";
}

char *http_take_body(struct http_request *r, size_t *n)
{
    char *body = r->body ? r->body : mem_zalloc(1);
    *n = r->n_body;
    r->body = NULL;
    r->n_body = r->capacity = 0;
    return body;
}

/* ---- answers ---- */

/* A suspended connection is taken up again in the next MHD_run; then the handler, or the reader, is called. */
static void resume(struct http_request *r)
{
    if (!r->suspended) return;
    r->suspended = false;
    MHD_resume_connection(r->mhd);
    r->connection->server->ended_one = true; /* one more MHD_run */
}

static void suspend(struct http_request *r)
{
    r->suspended = true;
    MHD_suspend_connection(r->mhd);
}

static void set_response(struct http_request *r, int status, struct MHD_Response *response,
                         const struct http_header *headers, size_t n)
{
    if (!response) {
        http_cut(r);
        return;
    }
    for (size_t i = 0; i < n; i++) MHD_add_response_header(response, headers[i].name, headers[i].value);
    if (r->connection->server->draining) MHD_add_response_header(response, "Connection", "close");
    r->response = response;
    r->status = status;
    resume(r);
}

void http_answer(struct http_request *r, int status, const struct http_header *headers, size_t n_headers,
                 const char *body, size_t n)
{
    if (r->response || r->answering) return;
    r->sent = n;
    /* the library copies and does not write */
    set_response(r, status,
                 MHD_create_response_from_buffer(n, (void *)(uintptr_t)body, MHD_RESPMEM_MUST_COPY), headers,
                 n_headers);
}

/* Data are on their way from the moment the reader gives some until it is asked again. */
static ssize_t read_stream(void *cls, uint64_t at, char *to, size_t max)
{
    struct http_request *r = cls;
    (void)at;
    r->waiting_since = 0;
    if (r->gone) return MHD_CONTENT_READER_END_WITH_ERROR;
    ssize_t n = r->read(r->read_user, to, max);
    if (n == HTTP_END) return MHD_CONTENT_READER_END_OF_STREAM;
    if (n < 0) return MHD_CONTENT_READER_END_WITH_ERROR;
    if (n > 0) {
        r->sent += (uint64_t)n;
        r->waiting_since = clock_seconds();
        return n;
    }
    suspend(r); /* returning 0 alone would spin */
    return 0;
}

void http_stream(struct http_request *r, int status, const struct http_header *headers, size_t n_headers,
                 http_read_fn *read, void *user)
{
    if (r->response || r->answering) return;
    r->read = read;
    r->read_user = user;
    set_response(r, status,
                 MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, STREAM_BLOCK, read_stream, r, NULL),
                 headers, n_headers);
}

void http_wake(struct http_request *r) { resume(r); }

void http_cut(struct http_request *r)
{
    r->gone = true;
    shutdown(r->connection->fd, SHUT_RDWR);
    resume(r);
}

/* ---- refusals of this layer ---- */

static void refuse(struct http_request *r, int status, const char *code, const char *message)
{
    static const struct http_header headers[] = {{"Content-Type", "application/json"},
                                                 {"Connection", "close"},
                                                 {"Retry-After", "1"},
                                                 {"retry-after-ms", "1000"}};
    struct http_server *s = r->connection->server;
    char body[REFUSAL_MAX];
    count_refusal(s, code);
    size_t n = s->events.refusal(s->events.user, r, code, message, body, sizeof body);
    http_answer(r, status, headers, status == 429 ? 4 : 2, body, n);
}

struct framing {
    int lengths, encodings, other_encodings, hosts;
};

static enum MHD_Result count_framing(void *cls, enum MHD_ValueKind kind, const char *name, const char *value)
{
    struct framing *f = cls;
    (void)kind;
    if (!strcasecmp(name, "content-length")) f->lengths++;
    if (!strcasecmp(name, "host")) f->hosts++;
    if (strcasecmp(name, "transfer-encoding")) return MHD_YES;
    f->encodings++;
    f->other_encodings += value && strcasecmp(value, "chunked") != 0;
    return MHD_YES;
}

/* Two servers must never read the end of a request in two ways: where a proxy took the other length, what it sends next would be
 * a request of somebody's own making. */
static bool refuses_framing(struct http_request *r)
{
    struct framing f = {0};
    MHD_get_connection_values(r->mhd, MHD_HEADER_KIND, count_framing, &f);
    bool old = !strcmp(r->version, "HTTP/1.0");
    if (f.other_encodings) {
        refuse(r, 501, "transfer_encoding", "transfer-encoding must be chunked, no other is known");
    } else if (f.lengths > 1 || f.encodings > 1 || (f.lengths && f.encodings) || (old && f.encodings)) {
        refuse(r, 400, "framing",
               "a request must have one content-length, or one transfer-encoding, not several");
    } else if (f.hosts > 1 || (!f.hosts && !old)) {
        refuse(r, 400, "framing", "a request must have one host header");
    } else if (r->bad_uri) {
        refuse(r, 400, "framing", "the path must not have a NUL byte");
    } else {
        return false;
    }
    return true;
}

static bool of_one_ip(const struct connection *c)
{
    const struct http_server *s = c->server;
    int n = 0;
    for (const struct connection *o = s->connections; o; o = o->next) n += !strcmp(o->remote, c->remote);
    return n > s->limits.connections_of_ip;
}

static bool refuses_early(struct http_request *r)
{
    const struct http_server *s = r->connection->server;
    if (refuses_framing(r)) return true;
    if (r->connection->too_many) {
        refuse(r, 429, "too_many_connections", "too many connections are open; try again later");
        return true;
    }
    const char *length = http_header(r, "Content-Length");
    if (length && strtoull(length, NULL, 10) > s->limits.body) {
        char message[120];
        snprintf(message, sizeof message, "the body has %.20s bytes where %zu are possible", length,
                 s->limits.body);
        refuse(r, 413, "body_too_large", message);
        return true;
    }
    return false;
}

/* ---- the handler: called when headers are there, for parts of the body, at its end, and after a suspension ---- */

static void append(struct http_request *r, const char *data, size_t n)
{
    const size_t limit = r->connection->server->limits.body;
    if (r->too_large || n > limit - r->n_body) {
        r->too_large = true;
        r->swallowed += n;
        return;
    }
    if (r->n_body + n + 1 > r->capacity) {
        size_t capacity = r->capacity ? r->capacity * 2 : 1024;
        while (capacity < r->n_body + n + 1) capacity *= 2;
        char *larger = mem_grow(r->body, r->n_body, capacity);
        if (!larger) {
            r->no_memory = r->too_large = true;
            return;
        }
        r->body = larger;
        r->capacity = capacity;
    }
    memcpy(r->body + r->n_body, data, n);
    r->n_body += n;
    r->body[r->n_body] = '\0';
}

/* A client that leaves is seen by our own epoll: libmicrohttpd looks at no socket of a suspended connection. */
static void watch_client(struct connection *c)
{
    struct epoll_event e = {.events = EPOLLRDHUP | EPOLLET, .data.ptr = &c->watch};
    if (!c->watched) c->watched = !epoll_ctl(c->server->epoll, EPOLL_CTL_ADD, c->fd, &e);
}

static enum MHD_Result queue(struct http_request *r)
{
    struct MHD_Response *response = r->response;
    r->response = NULL;
    r->answering = true;
    r->waiting_since = clock_seconds();
    if (r->read) watch_client(r->connection);
    enum MHD_Result result = MHD_queue_response(r->mhd, (unsigned)r->status, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result on_headers(struct http_request *r, const char *path, const char *method,
                                  const char *version)
{
    struct http_server *s = r->connection->server;
    r->begun = true;
    r->path = path;
    r->method = method;
    r->version = version;
    if (!refuses_early(r)) s->events.begin(s->events.user, r);
    if (r->gone) return MHD_NO;
    return r->response ? queue(r) : MHD_YES; /* an answer here ends the connection: the body is not read */
}

static enum MHD_Result on_end(struct http_request *r)
{
    struct http_server *s = r->connection->server;
    r->complete = true;
    r->completed_at = clock_seconds();
    if (r->too_large) {
        char message[120];
        snprintf(message, sizeof message, "the body has more than the %zu bytes that are possible",
                 s->limits.body);
        refuse(r, 413, "body_too_large", message);
    } else {
        s->events.complete(s->events.user, r);
    }
    if (r->gone) return MHD_NO;
    if (r->response) return queue(r);
    watch_client(r->connection);
    suspend(r);
    return MHD_YES;
}

static enum MHD_Result handle(void *cls, struct MHD_Connection *mhd, const char *path, const char *method,
                              const char *version, const char *data, size_t *n, void **state)
{
    struct http_request *r = *state;
    (void)cls, (void)mhd;
    if (!r) return MHD_NO; /* memory was out */
    if (!r->begun) return on_headers(r, path, method, version);
    if (*n) {
        append(r, data, *n);
        *n = 0;
        return r->no_memory || r->swallowed > SWALLOW ? MHD_NO : MHD_YES;
    }
    if (!r->complete) return on_end(r);
    if (r->gone) return MHD_NO;
    if (r->response) return queue(r);
    suspend(r);
    return MHD_YES;
}

/* ---- the lives of requests and connections ---- */

static struct connection *connection_of(struct MHD_Connection *mhd)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info ? info->socket_context : NULL;
}

static bool has_nul(const char *uri) { return strstr(uri, "%00") != NULL; }

/* The first line of a request was read. */
static void *request_new(void *cls, const char *uri, struct MHD_Connection *mhd)
{
    struct connection *c = connection_of(mhd);
    struct http_request *r = c && !c->request ? mem_zalloc(sizeof *r) : NULL;
    (void)cls;
    if (!r) return NULL;
    r->connection = c;
    r->mhd = mhd;
    r->method = r->path = r->version = "";
    r->started_at = clock_seconds();
    r->bad_uri = has_nul(uri) || strlen(uri) > c->server->limits.uri;
    c->request = r;
    return r;
}

static void request_free(struct http_request *r)
{
    struct connection *c = r->connection;
    if (c->watched) epoll_ctl(c->server->epoll, EPOLL_CTL_DEL, c->fd, NULL);
    c->watched = false;
    c->request = NULL;
    c->served = true;
    c->idle_since = clock_seconds();
    if (r->response) MHD_destroy_response(r->response);
    mem_free(r->body);
    mem_free(r);
}

static void request_completed(void *cls, struct MHD_Connection *mhd, void **state,
                              enum MHD_RequestTerminationCode code)
{
    struct http_request *r = *state;
    (void)cls, (void)mhd;
    *state = NULL;
    if (!r) return;
    struct http_server *s = r->connection->server;
    s->ended_one = true;
    if (r->begun) s->events.ended(s->events.user, r, code == MHD_REQUEST_TERMINATED_COMPLETED_OK && !r->gone);
    request_free(r);
}

static void name_remote(struct connection *c)
{
    struct sockaddr_storage a;
    socklen_t n = sizeof a;
    const char *text = NULL;
    if (getpeername(c->fd, (struct sockaddr *)&a, &n)) a.ss_family = AF_UNSPEC;
    if (a.ss_family == AF_INET)
        text = inet_ntop(AF_INET, &((struct sockaddr_in *)&a)->sin_addr, c->remote, sizeof c->remote);
    else if (a.ss_family == AF_INET6)
        text = inet_ntop(AF_INET6, &((struct sockaddr_in6 *)&a)->sin6_addr, c->remote, sizeof c->remote);
    if (!text) snprintf(c->remote, sizeof c->remote, "unix");
}

static void connection_open(struct http_server *s, struct MHD_Connection *mhd, void **context)
{
    struct connection *c = mem_zalloc(sizeof *c);
    *context = c;
    if (!c) return;
    c->watch.kind = WATCHED_CLIENT;
    c->watch.user = c;
    c->server = s;
    c->fd = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
    c->idle_since = clock_seconds();
    name_remote(c);
    c->next = s->connections;
    if (c->next) c->next->previous = c;
    s->connections = c;
    c->too_many = ++s->n_connections > s->limits.connections || (s->limits.connections_of_ip && of_one_ip(c));
}

static void connection_ended(struct http_server *s, void **context)
{
    struct connection *c = *context;
    *context = NULL;
    if (!c) return;
    if (c->request) request_free(c->request); /* its headers never came whole */
    if (c->previous)
        c->previous->next = c->next;
    else
        s->connections = c->next;
    if (c->next) c->next->previous = c->previous;
    s->n_connections--;
    s->ended_one = true;
    mem_free(c);
}

static void connection_changed(void *cls, struct MHD_Connection *mhd, void **context,
                               enum MHD_ConnectionNotificationCode code)
{
    if (code == MHD_CONNECTION_NOTIFY_STARTED)
        connection_open(cls, mhd, context);
    else
        connection_ended(cls, context);
}

/* ---- deadlines ---- */

/* During an upload libmicrohttpd takes no answer; nothing of one was sent, so it may be written beside it. */
static void time_out(struct http_request *r)
{
    struct http_server *s = r->connection->server;
    char body[REFUSAL_MAX], head[200];
    count_refusal(s, "request_timeout");
    size_t n = s->events.refusal(s->events.user, r, "request_timeout", "the request did not arrive in time",
                                 body, sizeof body);
    int m = snprintf(head, sizeof head,
                     "HTTP/1.1 408 Request Timeout\r\nContent-Type: application/json\r\nConnection: "
                     "close\r\nContent-Length: %zu\r\n\r\n",
                     n);
    if (send(r->connection->fd, head, (size_t)m, MSG_DONTWAIT | MSG_NOSIGNAL) == m)
        (void)!send(r->connection->fd, body, n, MSG_DONTWAIT | MSG_NOSIGNAL);
    http_cut(r);
}

static void tell_gone(struct http_request *r)
{
    struct http_server *s = r->connection->server;
    r->gone = true;
    if (r->complete && !r->told) s->events.gone(s->events.user, r);
    r->told = true;
    resume(r);
}

/* Of an answer in one piece only the socket's queue shows whether the client reads. */
static void look_for_progress(struct http_request *r, double now)
{
    int queued = 0;
    if (r->read || r->waiting_since <= 0 || ioctl(r->connection->fd, SIOCOUTQ, &queued) ||
        queued == r->queued)
        return;
    r->queued = queued;
    r->waiting_since = now;
}

static void check_connection(struct connection *c, double now)
{
    const struct http_limits *l = &c->server->limits;
    struct http_request *r = c->request;
    if (r) look_for_progress(r, now);
    if (!r) {
        if (now - c->idle_since > (c->served ? l->idle_s : l->header_s)) shutdown(c->fd, SHUT_RDWR);
    } else if (!r->complete && !r->answering) {
        if (now - r->started_at > (r->begun ? l->body_s : l->header_s)) time_out(r);
    } else if (r->waiting_since > 0 && now - r->waiting_since > l->write_s) {
        shutdown(c->fd, SHUT_RDWR);
        tell_gone(r);
    }
}

static void sweep(struct http_server *s)
{
    double now = clock_seconds();
    if (now - s->swept_at < SWEEP_S) return;
    s->swept_at = now;
    for (struct connection *c = s->connections; c; c = c->next) check_connection(c, now);
}

/* ---- the loop ---- */

bool http_watch(struct http_server *s, int fd, void (*fn)(void *user), void *user)
{
    if (s->n_watches == WATCHES_MAX) return false;
    struct watch *w = &s->watches[s->n_watches];
    *w = (struct watch){.kind = WATCHED_FD, .fn = fn, .user = user};
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = w};
    if (epoll_ctl(s->epoll, EPOLL_CTL_ADD, fd, &e)) return false;
    s->n_watches++;
    return true;
}

static void dispatch(const struct epoll_event *e)
{
    struct watch *w = e->data.ptr;
    if (w->kind == WATCHED_FD) w->fn(w->user);
    if (w->kind != WATCHED_CLIENT) return;
    struct connection *c = w->user;
    if (c->request && (e->events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))) tell_gone(c->request);
}

static int patience(const struct http_server *s, int ms)
{
    MHD_UNSIGNED_LONG_LONG t;
    if (ms > (int)(SWEEP_S * 1000)) ms = (int)(SWEEP_S * 1000);
    if (s->ended_one) return 0;
    for (size_t i = 0; i < s->n_daemons; i++)
        if (MHD_get_timeout(s->daemons[i], &t) == MHD_YES && (int)t < ms) ms = (int)t;
    return ms;
}

void http_turn(struct http_server *s, int ms)
{
    struct epoll_event events[EVENTS];
    int n = epoll_wait(s->epoll, events, EVENTS, patience(s, ms));
    for (int i = 0; i < n; i++) dispatch(&events[i]); /* frees no connection: MHD_run alone does */
    s->ended_one = false;
    for (size_t i = 0; i < s->n_daemons; i++) MHD_run(s->daemons[i]);
    sweep(s);
}

/* ---- opening and closing ---- */

static void quiet(void *cls, const char *format, va_list args) { (void)cls, (void)format, (void)args; }

static struct MHD_Daemon *start(struct http_server *s, int fd)
{
    return MHD_start_daemon(
        MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0, NULL, NULL, handle, s,
        MHD_OPTION_EXTERNAL_LOGGER, quiet, NULL, MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT,
        (unsigned)(s->limits.connections + SPARE_CONNECTIONS), MHD_OPTION_CONNECTION_TIMEOUT, 0u,
        MHD_OPTION_NOTIFY_COMPLETED, request_completed, s, MHD_OPTION_NOTIFY_CONNECTION, connection_changed,
        s, MHD_OPTION_URI_LOG_CALLBACK, request_new, s, MHD_OPTION_CONNECTION_MEMORY_LIMIT, CONNECTION_MEMORY,
        MHD_OPTION_CONNECTION_MEMORY_INCREMENT, (size_t)1024, MHD_OPTION_STRICT_FOR_CLIENT, 0,
        MHD_OPTION_END);
}

static bool add_daemon(struct http_server *s, int fd)
{
    struct MHD_Daemon *d = start(s, fd);
    if (!d) return false;
    s->daemons[s->n_daemons++] = d;
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = &s->daemon_watch};
    return !epoll_ctl(s->epoll, EPOLL_CTL_ADD, MHD_get_daemon_info(d, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd,
                      &e);
}

struct http_server *http_open(const int *listening, size_t n, const struct http_limits *limits,
                              const struct http_events *events, const char **why)
{
    struct http_server *s = mem_zalloc(sizeof *s);
    *why = "out of memory: a server";
    if (!s) return NULL;
    s->daemon_watch.kind = WATCHED_DAEMON;
    s->limits = *limits;
    s->events = *events;
    s->epoll = epoll_create1(EPOLL_CLOEXEC);
    *why = "libmicrohttpd cannot begin to listen";
    bool ok = s->epoll >= 0 && n <= DAEMONS_MAX;
    for (size_t i = 0; ok && i < n; i++) ok = add_daemon(s, listening[i]);
    if (ok) return s;
    http_close(s);
    return NULL;
}

void http_quiesce(struct http_server *s)
{
    if (s->draining) return;
    s->draining = true;
    for (size_t i = 0; i < s->n_daemons; i++) {
        int fd = MHD_quiesce_daemon(s->daemons[i]);
        if (fd >= 0) close(fd);
    }
}

/* libmicrohttpd wants no connection suspended when it stops. */
void http_close(struct http_server *s)
{
    if (!s) return;
    http_quiesce(s);
    for (struct connection *c = s->connections; c; c = c->next)
        if (c->request) c->request->gone = true, resume(c->request);
    for (size_t i = 0; i < s->n_daemons; i++) MHD_run(s->daemons[i]), MHD_stop_daemon(s->daemons[i]);
    if (s->epoll >= 0) close(s->epoll);
    mem_free(s);
}
