/* The events of a stream. On the I/O thread, tokens and text that wait in the samples become events for the client. */
#include "serve/call_parts.h"
#include "base/clock.h"
#include "base/memory.h"
#include "serve/reply.h"
#include <stdio.h>
#include <string.h>

#define PREFILL_NEWS_S 1.0

struct openai_head call_head_of(const struct call *c)
{
    return (struct openai_head){
        .id = c->id, .model = c->model, .created = c->created, .fingerprint = c->lane->fingerprint};
}

static void put(struct call *c, const char *bytes, size_t n)
{
    if (c->n_out + n > c->out_capacity) {
        size_t capacity = c->out_capacity ? c->out_capacity : 512;
        while (capacity < c->n_out + n) capacity *= 2;
        char *larger = mem_grow(c->out, c->n_out, capacity);
        if (!larger) {
            openai_error_set(&c->error, GPT2Q_OUT_OF_MEMORY, "out_of_memory", NULL,
                             "out of memory: an event");
            return;
        }
        c->out = larger;
        c->out_capacity = capacity;
    }
    memcpy(c->out + c->n_out, bytes, n);
    c->n_out += n;
}

static void put_text(struct call *c, const char *text) { put(c, text, strlen(text)); }

static void put_event(struct call *c, struct json_writer *w)
{
    if (w->failed) {
        openai_error_set(&c->error, GPT2Q_OUT_OF_MEMORY, "out_of_memory", NULL, "out of memory: an event");
        return;
    }
    put_text(c, "data: ");
    put(c, w->text, w->n);
    put_text(c, "\n\n");
    c->host->stream_events++;
}

/* The writer of events, emptied. All calls share it, because one thread writes all events. */
static struct json_writer *begin_event(struct call *c)
{
    json_restart(&c->host->event);
    return &c->host->event;
}

static void put_usage_event(struct call *c)
{
    struct json_writer *w = begin_event(c);
    struct openai_head head = call_head_of(c);
    json_open(w, '{');
    openai_head_write(w, &head, c->chat ? "chat.completion.chunk" : "text_completion");
    json_key(w, "choices"), json_open(w, '['), json_close(w, ']');
    openai_usage_write(w, &c->usage);
    if (c->request.timings) openai_timings_write(w, &c->timings);
    json_close(w, '}');
    put_event(c, w);
}

static void put_error_event(struct call *c)
{
    struct json_writer *w = begin_event(c);
    json_open(w, '{'), json_key(w, "error"), openai_error_write(w, &c->error, c->request_id),
        json_close(w, '}');
    put_event(c, w);
    c->finished = true;
}

/* As far as it is known. */
static struct openai_usage usage_so_far(const struct call *c)
{
    struct openai_usage u = {
        .completion_tokens = c->n_made, .has_cached = true, .cached_tokens = c->usage.cached_tokens};
    for (size_t i = 0; i < c->n_samples; i += (size_t)c->request.request.n_samples)
        u.prompt_tokens += c->samples[i].stream.n_prompt;
    return u;
}

static void put_samples(struct call *c)
{
    const struct openai_usage usage = usage_so_far(c);
    struct openai_head head = call_head_of(c);
    for (size_t i = 0; i < c->n_samples && !c->error.code; i++) {
        struct json_writer *w = begin_event(c), extra = {0};
        if (!openai_stream_has_event(&c->samples[i].stream)) continue;
        if (c->request.continuous_usage)
            openai_usage_write(&extra, &usage);
        else if (c->request.include_usage)
            json_key(&extra, "usage"), json_put_null(&extra);
        char *text = extra.text ? json_finish(&extra) : NULL;
        openai_stream_event(&c->samples[i].stream, &head, text, w);
        mem_free(text);
        put_event(c, w);
    }
}

/* Makes events of all that waits. Under the call's lock. */
static void put_all(struct call *c)
{
    if (c->finished) return;
    if (!c->error.code) put_samples(c);
    if (c->error.code) {
        put_error_event(c);
        return;
    }
    if (c->n_ended < c->n_samples) return;
    if (c->request.include_usage) put_usage_event(c);
    put_text(c, "data: [DONE]\n\n");
    c->finished = true;
}

static ssize_t read_events(void *user, char *to, size_t max, bool *last)
{
    struct call *c = user;
    if (c->out_at == c->n_out) {
        c->out_at = c->n_out = 0;
        pthread_mutex_lock(&c->lock);
        put_all(c);
        pthread_mutex_unlock(&c->lock);
    }
    size_t n = c->n_out - c->out_at;
    if (n == 0) return c->finished ? HTTP_END : 0;
    if (n > max) n = max;
    memcpy(to, c->out + c->out_at, n);
    c->out_at += n;
    c->wrote_at = clock_seconds();
    *last = c->finished && c->out_at == c->n_out;
    return (ssize_t)n;
}

bool call_is_too_slow(const struct call *c)
{
    size_t waiting = c->n_out - c->out_at;
    for (size_t i = 0; i < c->n_samples; i++) waiting += openai_stream_pending(&c->samples[i].stream);
    return waiting > (size_t)c->host->options->stream_buffer;
}

void call_begin_stream(struct call *c)
{
    struct reply reply;
    const struct reply_context context = {.request_id = c->request_id, .cors_origin = c->cors_origin};
    reply_begin(&reply, &context, "text/event-stream");
    reply_header(&reply, "Cache-Control", "no-cache");
    reply_header(&reply, "X-Accel-Buffering", "no");
    c->status = 200;
    c->answered = true;
    gpt2q_scheduler_load load = lane_load(c->lane);
    char text[48];
    snprintf(text, sizeof text, ": queued %d\n\n", (int)load.waiting);
    if (load.waiting > (int32_t)c->request.n_prompts || load.running >= (int32_t)c->host->options->rows)
        put_text(c, text);
    http_stream(c->http, 200, reply.headers, reply.n, read_events, c);
}

void call_say_something(struct call *c, double now)
{
    char text[64];
    if (!c->streams || c->finished || c->n_out != c->out_at || !c->http) return;
    c->n_out = c->out_at = 0;
    pthread_mutex_lock(&c->lock);
    size_t done = c->prefill_done, total = c->prefill_total;
    bool begun = c->first_token_at > 0;
    pthread_mutex_unlock(&c->lock);
    if (!begun && done != c->told_prefill && now - c->told_prefill_at >= PREFILL_NEWS_S &&
        now - c->arrived_at >= PREFILL_NEWS_S) {
        snprintf(text, sizeof text, ": prefill %zu/%zu\n\n", done, total);
        c->told_prefill = done;
        c->told_prefill_at = now;
    } else if (now - c->wrote_at >= c->host->options->heartbeat_s) {
        snprintf(text, sizeof text, ":\n\n");
    } else {
        return;
    }
    put_text(c, text);
    http_wake(c->http);
}
