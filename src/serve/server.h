/* The server as a whole. It loads, serves, drains and ends. It has one I/O thread, the caller's, and one engine thread. */
#ifndef SERVE_SERVER_H
#define SERVE_SERVER_H
#include "serve/call.h"
#include "serve/guard.h"
#include "serve/listen.h"
#include "serve/log.h"
#include "serve/worker.h"

#define REQUEST_ID_MAX 128
#define COUNTERS_MAX   256
#define LARGE_BODY     ((size_t)65536) /* from here on the worker reads it */

enum server_state { SERVER_LOADING, SERVER_READY, SERVER_LINGERING, SERVER_DRAINING };

/* A request on its way through the server; what its connection keeps. */
struct visit {
    struct server *server;
    const struct route *route; /* NULL: no such path */
    struct call *call;         /* NULL: none, or over */
    struct visit_errand *away; /* NULL: it is not with the worker */
    char request_id[REQUEST_ID_MAX + 1];
    const char *cors_origin; /* owned by the request */
    const char *reason;      /* of a refusal; NULL: none */
    struct log_request log;  /* what is known for the line at its end */
    char model[160];
    int status;
};

/* A visit whose body the worker reads. The visit may end meanwhile. */
struct visit_errand {
    struct errand errand; /* first */
    struct server *server;
    struct visit *visit; /* NULL: the client has left */
    struct http_request *request;
    char *body;
    size_t n_body;
};

struct counter {
    const char *endpoint, *method;
    int code;
    uint64_t n;
};

struct server {
    const struct serve_options *options;
    struct log log;
    struct guard guard;
    struct listening listening;
    struct http_server *http;
    struct lane lanes[LANES_MAX];
    size_t n_lanes;
    struct engine engine;
    struct news news;
    struct worker worker;
    bool worker_runs;
    struct call_host host;
    enum server_state state;
    bool engine_runs;

    pthread_t loader; /* opens the lanes */
    int loaded;       /* an eventfd */
    gpt2q_error load_error;
    int signals; /* a signalfd */
    int n_stops, stop_signal;
    double started_at, stop_at, told_at, ticked_at, watched_at;
    double watchdog_s; /* between two signs of life for systemd */
    bool cut;          /* something was not finished */
    double cut_at;
    size_t n_visits; /* requests whose answers are not out */

    struct counter counters[COUNTERS_MAX]; /* of answered requests */
    size_t n_counters;
    struct {
        const char *reason;
        uint64_t n;
    } rejected[32];
    uint64_t received_bytes, sent_bytes;
};

/* Serves until it is told to stop. Returns the program's exit code. */
int serve_run(const struct serve_options *options);

/* Events of the HTTP layer (routes.c). */
void visit_begin(void *user, struct http_request *r);
void visit_complete(void *user, struct http_request *r);
void visit_gone(void *user, struct http_request *r);
void visit_ended(void *user, struct http_request *r, bool whole);
size_t visit_refusal(void *user, struct http_request *r, const char *code, const char *message, char *to,
                     size_t max);
/* A call has ended: numbers for the log (routes.c). */
void visit_call_ended(void *user, struct call *call);

/* Hands the visit's body to the worker; false: it has to be done here. */
bool visit_sends(struct worker *worker, struct visit *v, struct http_request *r, struct visit_errand *e,
                 void (*work)(struct errand *e), void (*done)(struct errand *e));
/* It is back: frees the body; the visit, or NULL if its client has left. */
struct visit *visit_returns(struct visit_errand *e);

struct reply_context visit_context(const struct visit *v);
__attribute__((format(printf, 6, 7))) void visit_refuse(struct visit *v, struct http_request *r,
                                                        const char *code, const char *param,
                                                        int retry_after_s, const char *format, ...);

/* The endpoints (endpoints.c, tokens.c, metrics.c, page.c). */
typedef void endpoint_fn(struct server *s, struct visit *v, struct http_request *r);
endpoint_fn endpoint_health, endpoint_ready, endpoint_version, endpoint_models, endpoint_model,
    endpoint_completions, endpoint_chat, endpoint_unsupported, endpoint_tokenize, endpoint_detokenize,
    endpoint_tokenizer_info, endpoint_metrics, endpoint_page;

void metrics_count_request(struct server *s, const struct visit *v);
void metrics_count_rejected(struct server *s, const char *reason);
/* The whole text, for mem_free; NULL: memory was out. */
char *metrics_text(struct server *s);
#endif
