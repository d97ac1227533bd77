/* HTTP/1.1 by libmicrohttpd in an epoll loop of our own, on one thread. It knows nothing about models and JSON. It hands whole
 * requests to its user. The user answers now or later, with bytes or with a stream.
 *
 * This layer does four things that libmicrohttpd 0.9.75 does not. It refuses requests that could be framed in two ways (two lengths, a
 * length with chunks, two hosts). Headers, bodies and answers have deadlines. It notices at once that a client leaves, also while
 * its request waits. A connection too many is told so. http.c has the reasons.
 *
 * Only the thread that turns the loop may call these functions. */
#ifndef SERVE_HTTP_H
#define SERVE_HTTP_H
#include "base/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct http_server;
struct http_request;

struct http_limits {
    size_t body;           /* bytes of a request's body */
    size_t uri;            /* bytes of a request's path and query */
    int connections;       /* open at once; the next ones are answered 429 */
    int connections_of_ip; /* 0: no limit */
    double header_s, body_s, idle_s,
        write_s; /* deadlines: headers and body from their first byte, answers without progress */
};

struct http_header {
    const char *name, *value;
};

#define HTTP_END   (-1) /* the stream ends well */
#define HTTP_BREAK (-2) /* the stream is cut; the client sees that something is missing */
/* Gives at most `max` bytes for the client. 0: none yet; http_wake follows when there are some. *last: HTTP_END comes next. */
typedef ssize_t http_read_fn(void *user, char *to, size_t max, bool *last);

struct http_events {
    /* The headers have come, the body has not. It may refuse by an answer. Then the body is not read and the connection ends. */
    void (*begin)(void *user, struct http_request *r);
    /* The whole request has come. It answers now or later. */
    void (*complete)(void *user, struct http_request *r);
    /* The client has left. Its work can be stopped. `ended` follows. */
    void (*gone)(void *user, struct http_request *r);
    /* The answer is sent, or never will be. The request is not valid afterwards. */
    void (*ended)(void *user, struct http_request *r, bool whole);
    /* The body of a refusal that this layer makes, as text, at most `max` bytes; r may be NULL. */
    size_t (*refusal)(void *user, struct http_request *r, const char *code, const char *message, char *to,
                      size_t max);
    void *user;
};

/* Takes over n listening sockets; NULL after an error. */
struct http_server *http_open(const int *listening, size_t n, const struct http_limits *limits,
                              const struct http_events *events, gpt2q_error *err);
/* Cuts what is open. */
void http_close(struct http_server *s);
/* Waits for news, `ms` at most, and deals with it. */
void http_turn(struct http_server *s, int ms);
/* fn(user) on this loop's thread when fd can be read. False: no memory. */
bool http_watch(struct http_server *s, int fd, void (*fn)(void *user), void *user);
/* Stops listening. From now on an answer ends its connection. */
void http_quiesce(struct http_server *s);
int http_connections(const struct http_server *s);
/* Counts of requests that this layer refused, by reason. The list of names ends with NULL. */
uint64_t http_refused(const struct http_server *s, const char *code);

const char *http_method(const struct http_request *r);
const char *http_path(const struct http_request *r); /* percent-decoded, without query */
const char *http_version(const struct http_request *r);
const char *http_header(const struct http_request *r, const char *name); /* NULL: not there */
const char *http_remote(const struct http_request *r);                   /* "127.0.0.1", "unix" */
const char *http_body(const struct http_request *r, size_t *n);
/* Gives the body to the caller, for mem_free. */
char *http_take_body(struct http_request *r, size_t *n);
double http_completed_at(const struct http_request *r); /* clock_seconds of its last byte; 0: not yet */
uint64_t http_bytes_sent(const struct http_request *r); /* of its answer's body */
void http_set_user(struct http_request *r, void *user);
void *http_user(const struct http_request *r);

/* Answers with a copy of n bytes. A second answer is ignored. */
void http_answer(struct http_request *r, int status, const struct http_header *headers, size_t n_headers,
                 const char *body, size_t n);
/* Answers with the bytes that `read` gives, chunked. */
void http_stream(struct http_request *r, int status, const struct http_header *headers, size_t n_headers,
                 http_read_fn *read, void *user);
/* The stream has news. */
void http_wake(struct http_request *r);
/* Ends the connection now. */
void http_cut(struct http_request *r);
#endif
