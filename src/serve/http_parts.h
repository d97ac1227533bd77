/* The insides of http.h, shared by its files: http.c (a request from its first line to its end, and connections), http_answer.c (the
 * parts of a request, and answers), http_loop.c (deadlines, the loop, opening and closing). */
#ifndef SERVE_HTTP_PARTS_H
#define SERVE_HTTP_PARTS_H
#include "serve/http.h"
#include "serve/http_library.h"
#include <netinet/in.h>

#define DAEMONS_MAX  4
#define WATCHES_MAX  16
#define EVENTS       256
#define STREAM_BLOCK 2048
#define CONNECTION_MEMORY                                                                                    \
    ((size_t)16384) /* nearly all that an idle connection costs; the header block is at most half of it */
#define SPARE_CONNECTIONS                                                                                    \
    64 /* beyond the limit, to be told so: libmicrohttpd would leave them waiting without a word */
#define HEADERS_MAX 100             /* fields, */
#define HEADER_MAX  ((size_t)8192)  /* bytes of a request */
#define SWALLOW     ((size_t)65536) /* read from a body that is too large, so that the answer can be sent */
#define SWEEP_S     0.25
#define REFUSAL_MAX 1024

enum watched { WATCHED_DAEMON, WATCHED_FD, WATCHED_CLIENT };

struct watch { /* an event of our epoll points to one */
    enum watched kind;
    void (*fn)(void *user);
    void *user;
};

struct connection {
    struct watch watch; /* first: of the client's socket */
    struct http_server *server;
    struct connection *next, *previous;
    struct http_request *request; /* NULL: between requests */
    int fd;
    bool too_many, served;
    bool left;    /* the client has closed its side */
    bool leaving; /* it stands in the server's list of those that left with no whole request */
    struct connection *next_leaving;
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
    bool begun, complete, suspended, gone, too_large, no_memory, told, nul_in_uri, long_uri;
    bool answering;                /* the answer was handed to libmicrohttpd */
    struct MHD_Response *response; /* NULL: none yet, or handed over */
    int status;
    http_read_fn *read;
    void *read_user;
    double started_at, completed_at,
        waiting_since; /* the last: bytes are on their way to the client; 0: none are */
    int corked;        /* 1: what is written waits for the end */
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
    struct connection *connections, *leaving;
    int n_connections;
    bool draining, ended_one;
    double swept_at;
    uint64_t refused[7];
};

/* A suspended connection is taken up again in the next MHD_run. Then the handler, or the reader, is called. */
void http_resume(struct http_request *r);
void http_suspend(struct http_request *r);
/* on: what is written waits, so that it leaves in one packet with what follows; 0: it leaves now. */
void http_cork(struct http_request *r, int on);
void http_count_refusal(struct http_server *s, const char *code);
/* Refusals of this layer, as JSON. The second looks at the headers. True: it has refused. */
void http_refuse(struct http_request *r, int status, const char *code, const char *message);
bool http_refuses_early(struct http_request *r);
/* The client has left, or the server gives it up. */
void http_tell_gone(struct http_request *r);

/* libmicrohttpd calls these. */
enum MHD_Result http_handle(void *cls, struct MHD_Connection *mhd, const char *path, const char *method,
                            const char *version, const char *data, size_t *n, void **state);
void *http_request_new(void *cls, const char *uri, struct MHD_Connection *mhd);
void http_request_completed(void *cls, struct MHD_Connection *mhd, void **state,
                            enum MHD_RequestTerminationCode code);
void http_connection_changed(void *cls, struct MHD_Connection *mhd, void **context,
                             enum MHD_ConnectionNotificationCode code);
#endif
