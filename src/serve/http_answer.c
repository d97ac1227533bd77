/* The parts of a request, and answers: whole, as a stream, or a refusal of this layer. */
#include "serve/http_parts.h"
#include "base/clock.h"
#include "base/memory.h"
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

static const char *const refusals[] = {"framing",          "transfer_encoding", "too_many_connections",
                                       "body_too_large",   "request_timeout",   "uri_too_long",
                                       "headers_too_large"};

uint64_t http_refused(const struct http_server *s, const char *code)
{
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++)
        if (!strcmp(refusals[i], code)) return s->refused[i];
    return 0;
}

void http_count_refusal(struct http_server *s, const char *code)
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
    return mhd_library.lookup_connection_value(r->mhd, MHD_HEADER_KIND, name);
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

void http_resume(struct http_request *r)
{
    if (!r->suspended) return;
    r->suspended = false;
    mhd_library.resume_connection(r->mhd);
    r->connection->server->ended_one = true; /* one more MHD_run */
}

void http_suspend(struct http_request *r)
{
    r->suspended = true;
    mhd_library.suspend_connection(r->mhd);
}

static void set_response(struct http_request *r, int status, struct MHD_Response *response,
                         const struct http_header *headers, size_t n)
{
    if (!response) {
        http_cut(r);
        return;
    }
    for (size_t i = 0; i < n; i++)
        mhd_library.add_response_header(response, headers[i].name, headers[i].value);
    if (r->connection->server->draining) mhd_library.add_response_header(response, "Connection", "close");
    r->response = response;
    r->status = status;
    http_resume(r);
}

void http_answer(struct http_request *r, int status, const struct http_header *headers, size_t n_headers,
                 const char *body, size_t n)
{
    if (r->response || r->answering) return;
    r->sent = n;
    /* the library copies and does not write */
    set_response(r, status,
                 mhd_library.create_response_from_buffer(n, (void *)(uintptr_t)body, MHD_RESPMEM_MUST_COPY),
                 headers, n_headers);
}

void http_cork(struct http_request *r, int on)
{
    if (r->corked != on) setsockopt(r->connection->fd, IPPROTO_TCP, TCP_CORK, &on, sizeof on);
    r->corked = on;
}

/* Bytes are on their way from the moment the reader gives some until it is asked again. */
static ssize_t read_stream(void *cls, uint64_t at, char *to, size_t max)
{
    struct http_request *r = cls;
    (void)at;
    r->waiting_since = 0;
    if (r->gone) return MHD_CONTENT_READER_END_WITH_ERROR;
    bool last = false;
    ssize_t n = r->read(r->read_user, to, max, &last);
    if (n > 0 && last) http_cork(r, 1); /* until http_request_completed */
    if (n == HTTP_END) return MHD_CONTENT_READER_END_OF_STREAM;
    if (n < 0) return MHD_CONTENT_READER_END_WITH_ERROR;
    if (n > 0) {
        r->sent += (uint64_t)n;
        r->waiting_since = clock_seconds();
        return n;
    }
    http_suspend(r); /* returning 0 alone would spin */
    return 0;
}

void http_stream(struct http_request *r, int status, const struct http_header *headers, size_t n_headers,
                 http_read_fn *read, void *user)
{
    if (r->response || r->answering) return;
    r->read = read;
    r->read_user = user;
    set_response(
        r, status,
        mhd_library.create_response_from_callback(MHD_SIZE_UNKNOWN, STREAM_BLOCK, read_stream, r, NULL),
        headers, n_headers);
}

void http_wake(struct http_request *r) { http_resume(r); }

void http_cut(struct http_request *r)
{
    r->gone = true;
    shutdown(r->connection->fd, SHUT_RDWR);
    http_resume(r);
}

/* ---- refusals of this layer ---- */

void http_refuse(struct http_request *r, int status, const char *code, const char *message)
{
    static const struct http_header headers[] = {{"Content-Type", "application/json"},
                                                 {"Connection", "close"},
                                                 {"Retry-After", "1"},
                                                 {"retry-after-ms", "1000"}};
    struct http_server *s = r->connection->server;
    char body[REFUSAL_MAX];
    http_count_refusal(s, code);
    size_t n = s->events.refusal(s->events.user, r, code, message, body, sizeof body);
    http_answer(r, status, headers, status == 429 ? 4 : 2, body, n);
}

struct framing {
    int lengths, encodings, other_encodings, hosts, fields;
    size_t bytes; /* of names and values, as they stood in their lines */
};

static enum MHD_Result count_framing(void *cls, enum MHD_ValueKind kind, const char *name, const char *value)
{
    struct framing *f = cls;
    (void)kind;
    f->fields++;
    f->bytes += strlen(name) + (value ? strlen(value) : 0) + strlen(": \r\n");
    if (!strcasecmp(name, "content-length")) f->lengths++;
    if (!strcasecmp(name, "host")) f->hosts++;
    if (strcasecmp(name, "transfer-encoding")) return MHD_YES;
    f->encodings++;
    f->other_encodings += value && strcasecmp(value, "chunked") != 0;
    return MHD_YES;
}

/* Two servers must never see the end of a request in two places. If a proxy took the other length, an attacker could hide a
 * request of his own in the body. */
static bool refuses_framing(struct http_request *r)
{
    struct framing f = {0};
    mhd_library.get_connection_values(r->mhd, MHD_HEADER_KIND, count_framing, &f);
    bool old = !strcmp(r->version, "HTTP/1.0");
    if (f.other_encodings) {
        http_refuse(r, 501, "transfer_encoding", "transfer-encoding must be chunked, no other is known");
    } else if (f.lengths > 1 || f.encodings > 1 || (f.lengths && f.encodings) || (old && f.encodings)) {
        http_refuse(r, 400, "framing",
                    "a request must have one content-length, or one transfer-encoding, not several");
    } else if (f.hosts > 1 || (!f.hosts && !old)) {
        http_refuse(r, 400, "framing", "a request must have one host header");
    } else if (r->nul_in_uri) {
        http_refuse(r, 400, "framing", "the path must not have a NUL byte");
    } else if (r->long_uri) {
        char message[80];
        snprintf(message, sizeof message, "the path and query have more than the %zu bytes that are possible",
                 r->connection->server->limits.uri);
        http_refuse(r, 414, "uri_too_long", message);
    } else if (f.fields > HEADERS_MAX || f.bytes > HEADER_MAX) {
        char message[120];
        snprintf(message, sizeof message,
                 "the request has %d header fields of %zu bytes where %d of %zu are possible", f.fields,
                 f.bytes, HEADERS_MAX, HEADER_MAX);
        http_refuse(r, 431, "headers_too_large", message);
    } else {
        return false;
    }
    return true;
}

bool http_refuses_early(struct http_request *r)
{
    const struct http_server *s = r->connection->server;
    if (refuses_framing(r)) return true;
    if (r->connection->too_many) {
        http_refuse(r, 429, "too_many_connections", "too many connections are open; try again later");
        return true;
    }
    const char *length = http_header(r, "Content-Length");
    if (length && strtoull(length, NULL, 10) > s->limits.body) {
        char message[120];
        snprintf(message, sizeof message, "the body has %.20s bytes where %zu are possible", length,
                 s->limits.body);
        http_refuse(r, 413, "body_too_large", message);
        return true;
    }
    return false;
}
