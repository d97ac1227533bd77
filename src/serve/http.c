/* Requests from the first line to the end, and connections. libmicrohttpd calls these functions. */
#include "serve/http_parts.h"
#include "base/clock.h"
#include "base/memory.h"
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

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

static enum MHD_Result queue(struct http_request *r)
{
    struct MHD_Response *response = r->response;
    r->response = NULL;
    r->answering = true;
    r->waiting_since = clock_seconds();
    enum MHD_Result result = mhd_library.queue_response(r->mhd, (unsigned)r->status, response);
    mhd_library.destroy_response(response);
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
    if (!http_refuses_early(r)) s->events.begin(s->events.user, r);
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
        http_refuse(r, 413, "body_too_large", message);
    } else {
        s->events.complete(s->events.user, r);
    }
    if (r->gone) return MHD_NO;
    if (r->response && !r->read) return queue(r);
    if (r->connection->left) {
        http_tell_gone(r);
        return MHD_NO;
    }
    if (r->response) return queue(r);
    http_suspend(r);
    return MHD_YES;
}

enum MHD_Result http_handle(void *cls, struct MHD_Connection *mhd, const char *path, const char *method,
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
    http_suspend(r);
    return MHD_YES;
}

/* ---- the lives of requests and connections ---- */

static struct connection *connection_of(struct MHD_Connection *mhd)
{
    const union MHD_ConnectionInfo *info =
        mhd_library.get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info ? info->socket_context : NULL;
}

static bool has_nul(const char *uri) { return strstr(uri, "%00") != NULL; }

/* The first line of a request was read. */
void *http_request_new(void *cls, const char *uri, struct MHD_Connection *mhd)
{
    struct connection *c = connection_of(mhd);
    struct http_request *r = c && !c->request ? mem_zalloc(sizeof *r) : NULL;
    (void)cls;
    if (!r) return NULL;
    r->connection = c;
    r->mhd = mhd;
    r->method = r->path = r->version = "";
    r->started_at = clock_seconds();
    r->nul_in_uri = has_nul(uri);
    r->long_uri = strlen(uri) > c->server->limits.uri;
    c->request = r;
    return r;
}

static void request_free(struct http_request *r)
{
    struct connection *c = r->connection;
    c->request = NULL;
    c->served = true;
    c->idle_since = clock_seconds();
    if (r->response) mhd_library.destroy_response(r->response);
    mem_free(r->body);
    mem_free(r);
}

void http_request_completed(void *cls, struct MHD_Connection *mhd, void **state,
                            enum MHD_RequestTerminationCode code)
{
    struct http_request *r = *state;
    (void)cls, (void)mhd;
    *state = NULL;
    if (!r) return;
    struct http_server *s = r->connection->server;
    s->ended_one = true;
    http_cork(r, 0);
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

static bool of_one_ip(const struct connection *c)
{
    const struct http_server *s = c->server;
    int n = 0;
    for (const struct connection *o = s->connections; o; o = o->next) n += !strcmp(o->remote, c->remote);
    return n > s->limits.connections_of_ip;
}

/* Our own epoll sees that a client leaves. libmicrohttpd looks at no socket of a suspended connection. If a client sends
 * half of a request and leaves at once, it reads the half and waits for the rest. */
static void watch_client(struct connection *c)
{
    struct epoll_event e = {.events = EPOLLRDHUP | EPOLLET, .data.ptr = &c->watch};
    epoll_ctl(c->server->epoll, EPOLL_CTL_ADD, c->fd, &e);
}

static void connection_open(struct http_server *s, struct MHD_Connection *mhd, void **context)
{
    struct connection *c = mem_zalloc(sizeof *c);
    *context = c;
    if (!c) return;
    c->watch.kind = WATCHED_CLIENT;
    c->watch.user = c;
    c->server = s;
    c->fd = mhd_library.get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
    c->idle_since = clock_seconds();
    name_remote(c);
    watch_client(c);
    c->next = s->connections;
    if (c->next) c->next->previous = c;
    s->connections = c;
    c->too_many = ++s->n_connections > s->limits.connections || (s->limits.connections_of_ip && of_one_ip(c));
}

static void take_off_leaving(struct connection *c)
{
    struct connection **at = &c->server->leaving;
    while (*at != c) at = &(*at)->next_leaving;
    *at = c->next_leaving;
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
    if (c->leaving) take_off_leaving(c);
    epoll_ctl(s->epoll, EPOLL_CTL_DEL, c->fd, NULL); /* before libmicrohttpd closes it */
    s->n_connections--;
    s->ended_one = true;
    mem_free(c);
}

void http_connection_changed(void *cls, struct MHD_Connection *mhd, void **context,
                             enum MHD_ConnectionNotificationCode code)
{
    if (code == MHD_CONNECTION_NOTIFY_STARTED)
        connection_open(cls, mhd, context);
    else
        connection_ended(cls, context);
}
