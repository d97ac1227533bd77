/* A request to /v1/completions (or a chat) from its body to the last byte of its answer.
 *
 * Two threads meet here. The engine's thread brings tokens, text and the end of a sample. It puts them into the samples, under the
 * call's lock, and enlists the call as news. It writes to no client. The I/O thread takes the news once a step and answers. Text
 * that a slow client has not read waits in the samples, joined, up to a bound.
 *
 * A call lives until its connection has let go of it and the scheduler has ended all of its samples. */
#ifndef SERVE_CALL_H
#define SERVE_CALL_H
#include "openai/stream.h"
#include "serve/engine.h"
#include "serve/http.h"
#include "serve/reply.h"

enum cancel_reason { CANCEL_DISCONNECT, CANCEL_SLOW, CANCEL_DEADLINE, CANCEL_SHUTDOWN };

/* Calls with something new, from any thread to the I/O thread. */
struct news {
    pthread_mutex_t lock;
    pthread_cond_t taken;
    struct call *first;
    int event; /* an eventfd */
    bool told; /* and not taken yet */
};
bool news_open(struct news *n);
void news_close(struct news *n);
/* Wakes the I/O thread if a call was enlisted since the last time. If the I/O thread has not taken the news before, it is waiting for a core: the
 * caller then gives way until the news are taken, NEWS_PATIENCE_S at most. */
#define NEWS_PATIENCE_S 0.0001
void news_tell(struct news *n);

struct call_sample {
    struct openai_stream stream; /* of a stream */
    struct openai_choice choice; /* of an answer in one piece */
    double token_at;             /* when its last token came */
};
struct call_prompt {
    struct call *call;
    size_t index;
    uint64_t id;  /* the scheduler's */
    int32_t *ids; /* of its text, until they are submitted; NULL: the scheduler makes them */
    size_t n_ids;
};

struct call_host { /* what calls need from the server; its strings outlive them */
    const struct serve_options *options;
    struct lane *lanes;
    size_t n_lanes;
    struct engine *engine;
    struct news *news;
    struct call *calls; /* all of them; the I/O thread's */
    uint64_t stream_events;
    struct json_writer event; /* the writer of all streams' events */
    /* Called when a call is answered or its client has left, for the log and the metrics. */
    void (*ended)(void *user, struct call *call);
    void *user;
};

struct call {
    struct call_host *host;
    struct call *next, *previous;           /* of host->calls */
    struct call *next_live, *previous_live; /* of lane->live, under the lane's lock */
    struct call *next_news;
    bool in_news; /* under the news' lock */

    struct http_request *http; /* NULL: the connection has let go */
    struct lane *lane;
    struct openai_request request;
    bool chat;
    const char *request_id, *cors_origin; /* the caller's, while http is there */
    char id[40];                          /* "cmpl-" or "chatcmpl-" and 24 digits */
    char *model;                          /* as it was asked for, or the lane's id */
    int64_t created;
    struct call_prompt *prompts;
    struct call_sample *samples; /* prompts times samples */
    size_t n_samples;

    pthread_mutex_t lock; /* of what follows */
    size_t n_ended;
    bool left;                 /* no client wants the rest */
    struct openai_error error; /* code NULL: none */
    struct openai_usage usage;
    struct openai_timings timings;
    uint64_t n_made; /* tokens so far */
    double first_token_at;
    size_t prefill_done, prefill_total;
    gpt2q_finish finish; /* of the last sample that ended */
    uint64_t free_after; /* steps that had ended when its last sample did */

    /* the I/O thread's: */
    bool live; /* the scheduler has it, or had it */
    bool streams, answered, finished;
    bool counted, cancelled;
    uint64_t cancelled_after; /* steps that had ended then */
    int status;
    double arrived_at, wrote_at, told_prefill_at;
    size_t told_prefill;
    char *out; /* of a stream: what is being written */
    size_t n_out, out_at, out_capacity;
};

/* Reads the body, n bytes, and chooses the lane. NULL: *error says why, and *lane is the lane it would have had, or NULL. It may run
 * in any thread. tokenize: it also makes the ids of texts. */
struct call *call_read(struct call_host *host, const char *body, size_t n, bool chat, bool tokenize,
                       struct openai_error *error, struct lane **lane);
/* Hands all prompts to the lane's scheduler, or none. Then it frees the call, and *error says why. */
bool call_begin(struct call *c, struct http_request *r, const struct reply_context *context,
                struct openai_error *error);
/* Called instead of call_begin if the client has left meanwhile. */
void call_discard(struct call *c);
/* The lane of this id or alias. NULL: there is none, and *error says so. model NULL: the first lane. */
struct lane *lane_find(const struct call_host *host, const char *model, struct openai_error *error);
/* For the I/O thread: to take news; once in a while; when the client has left; when the connection has let go. */
void calls_take_news(struct call_host *host);
void calls_tick(struct call_host *host, double now);
void call_cancel(struct call *call, enum cancel_reason reason);
void call_let_go(struct call *call);
/* Calls that the scheduler has not ended, or that are not answered. */
size_t calls_count(const struct call_host *host);

/* The engine has stopped: frees what is left. */
void calls_drop(struct call_host *host);

/* The engine's thread, under the lane's lock: the scheduler is about to be freed. */
void calls_fail(struct lane *lane, const gpt2q_error *why);
#endif
