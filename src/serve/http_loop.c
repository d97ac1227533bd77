/* Deadlines, the loop, opening and closing. */
#include "serve/http_parts.h"
#include "base/clock.h"
#include "base/memory.h"
#include <linux/sockios.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- deadlines ---- */

/* During an upload libmicrohttpd takes no answer. No byte of an answer was sent yet, so it may be written to the socket directly. */
static void time_out(struct http_request *r)
{
    struct http_server *s = r->connection->server;
    char body[REFUSAL_MAX], all[REFUSAL_MAX + 200];
    http_count_refusal(s, "request_timeout");
    size_t n = s->events.refusal(s->events.user, r, "request_timeout", "the request did not arrive in time",
                                 body, sizeof body);
    int m = snprintf(all, sizeof all,
                     "HTTP/1.1 408 Request Timeout\r\nContent-Type: application/json\r\nConnection: "
                     "close\r\nContent-Length: %zu\r\n\r\n%.*s",
                     n, (int)n, body);
    (void)!send(r->connection->fd, all, (size_t)m, MSG_DONTWAIT | MSG_NOSIGNAL);
    http_cut(r);
}

void http_tell_gone(struct http_request *r)
{
    struct http_server *s = r->connection->server;
    r->gone = true;
    if (r->complete && !r->told) s->events.gone(s->events.user, r);
    r->told = true;
    http_resume(r);
}

/* For an answer in one piece only the socket's queue shows whether the client reads. */
static void look_for_progress(struct http_request *r, double now)
{
    int queued = 0;
    if (r->read || r->waiting_since <= 0 || ioctl(r->connection->fd, SIOCOUTQ, &queued) ||
        queued == r->queued)
        return;
    r->queued = queued;
    r->waiting_since = now;
}

/* All that a client sent before it left was read: the rest of its request never comes. */
static bool is_cut_off(const struct connection *c)
{
    int unread = 0;
    return c->left && !(c->request && c->request->complete) && !ioctl(c->fd, FIONREAD, &unread) && !unread;
}

static void check_connection(struct connection *c, double now)
{
    const struct http_limits *l = &c->server->limits;
    struct http_request *r = c->request;
    if (r) look_for_progress(r, now);
    if (is_cut_off(c)) {
        shutdown(c->fd, SHUT_RDWR);
    } else if (!r) {
        if (now - c->idle_since > (c->served ? l->idle_s : l->header_s)) shutdown(c->fd, SHUT_RDWR);
    } else if (!r->complete && !r->answering) {
        if (now - r->started_at > (r->begun ? l->body_s : l->header_s)) time_out(r);
    } else if (r->waiting_since > 0 && now - r->waiting_since > l->write_s) {
        shutdown(c->fd, SHUT_RDWR);
        http_tell_gone(r);
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
    c->left = c->left || (e->events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR));
    if (!c->left) return;
    if (c->request && c->request->complete) {
        http_tell_gone(c->request);
    } else if (!c->leaving) {
        c->leaving = true;
        c->next_leaving = c->server->leaving;
        c->server->leaving = c;
    }
}

/* What is cut off would take a place among the connections until the sweep. Its refusal, if it has one, may still be on its way. */
static void end_cut_off(struct http_server *s)
{
    for (struct connection **at = &s->leaving; *at;) {
        struct connection *c = *at;
        const struct http_request *r = c->request;
        bool waits = r && (r->complete || r->answering), cut_off = !waits && is_cut_off(c);
        if (cut_off) shutdown(c->fd, SHUT_RDWR);
        if (waits || cut_off)
            *at = c->next_leaving, c->leaving = false;
        else
            at = &c->next_leaving; /* bytes of it are still to be read */
    }
}

static int patience(const struct http_server *s, int ms)
{
    MHD_UNSIGNED_LONG_LONG t;
    if (ms > (int)(SWEEP_S * 1000)) ms = (int)(SWEEP_S * 1000);
    if (s->ended_one) return 0;
    for (size_t i = 0; i < s->n_daemons; i++)
        if (mhd_library.get_timeout(s->daemons[i], &t) == MHD_YES && (int)t < ms) ms = (int)t;
    return ms;
}

void http_turn(struct http_server *s, int ms)
{
    struct epoll_event events[EVENTS];
    int n = epoll_wait(s->epoll, events, EVENTS, patience(s, ms));
    for (int i = 0; i < n; i++) dispatch(&events[i]); /* frees no connection: MHD_run alone does */
    s->ended_one = false;
    for (size_t i = 0; i < s->n_daemons; i++) mhd_library.run(s->daemons[i]);
    end_cut_off(s);
    sweep(s);
}

/* ---- opening and closing ---- */

static void quiet(void *cls, const char *format, va_list args) { (void)cls, (void)format, (void)args; }

static struct MHD_Daemon *start(struct http_server *s, int fd)
{
    return mhd_library.start_daemon(
        MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0, NULL, NULL, http_handle, s,
        MHD_OPTION_EXTERNAL_LOGGER, quiet, NULL, MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT,
        (unsigned)(s->limits.connections + SPARE_CONNECTIONS), MHD_OPTION_CONNECTION_TIMEOUT, 0u,
        MHD_OPTION_NOTIFY_COMPLETED, http_request_completed, s, MHD_OPTION_NOTIFY_CONNECTION,
        http_connection_changed, s, MHD_OPTION_URI_LOG_CALLBACK, http_request_new, s,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, CONNECTION_MEMORY, MHD_OPTION_CONNECTION_MEMORY_INCREMENT,
        (size_t)1024, MHD_OPTION_STRICT_FOR_CLIENT, 0, MHD_OPTION_END);
}

static bool add_daemon(struct http_server *s, int fd)
{
    struct MHD_Daemon *d = start(s, fd);
    if (!d) return false;
    s->daemons[s->n_daemons++] = d;
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = &s->daemon_watch};
    return !epoll_ctl(s->epoll, EPOLL_CTL_ADD,
                      mhd_library.get_daemon_info(d, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd, &e);
}

struct http_server *http_open(const int *listening, size_t n, const struct http_limits *limits,
                              const struct http_events *events, gpt2q_error *err)
{
    if (http_library_load(err)) return NULL;
    struct http_server *s = mem_zalloc(sizeof *s);
    if (!s) {
        error_memory(err, "a server", sizeof *s);
        return NULL;
    }
    s->daemon_watch.kind = WATCHED_DAEMON;
    s->limits = *limits;
    s->events = *events;
    s->epoll = epoll_create1(EPOLL_CLOEXEC);
    bool ok = s->epoll >= 0 && n <= DAEMONS_MAX;
    for (size_t i = 0; ok && i < n; i++) ok = add_daemon(s, listening[i]);
    if (ok) return s;
    error_set(err, GPT2Q_IO, "libmicrohttpd cannot begin to listen");
    http_close(s);
    return NULL;
}

void http_quiesce(struct http_server *s)
{
    if (s->draining) return;
    s->draining = true;
    for (size_t i = 0; i < s->n_daemons; i++) {
        int fd = mhd_library.quiesce_daemon(s->daemons[i]);
        if (fd >= 0) close(fd);
    }
}

/* libmicrohttpd wants no connection suspended when it stops. */
void http_close(struct http_server *s)
{
    if (!s) return;
    http_quiesce(s);
    for (struct connection *c = s->connections; c; c = c->next)
        if (c->request) c->request->gone = true, http_resume(c->request);
    for (size_t i = 0; i < s->n_daemons; i++)
        mhd_library.run(s->daemons[i]), mhd_library.stop_daemon(s->daemons[i]);
    if (s->epoll >= 0) close(s->epoll);
    mem_free(s);
}
