/* A call from its body to its end. */
#include "serve/call_parts.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/memory.h"
#include "openai/chat.h"
#include "serve/reply.h"
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#define CHOICES_MAX 256
#define TOKENS_MAX  1000000

/* ---- beginning ---- */

struct lane *lane_find(const struct call_host *host, const char *model, struct openai_error *error)
{
    char list[2600] = "";
    bool any = false;
    if (!model) return &host->lanes[0];
    for (size_t i = 0; i < host->n_lanes; i++)
        if (!strcmp(host->lanes[i].id, model)) return &host->lanes[i];
    for (size_t k = 0; k < host->options->n_aliases; k++) {
        const char *alias = host->options->aliases[k], *equals = strchr(alias, '=');
        any = any || !strcmp(alias, "*");
        if (!equals || strlen(model) != (size_t)(equals - alias) || strncmp(alias, model, strlen(model)))
            continue;
        for (size_t i = 0; i < host->n_lanes; i++)
            if (!strcmp(host->lanes[i].id, equals + 1)) return &host->lanes[i];
    }
    if (any) return &host->lanes[0];
    for (size_t i = 0; i < host->n_lanes; i++)
        snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s", i ? ", " : "", host->lanes[i].id);
    openai_error_set(error, GPT2Q_INVALID_ARGUMENT, "model_not_found", "model",
                     "model '%.60s' is not served here; there is %.160s", model, list);
    return NULL;
}

static uint64_t random_bits(void)
{
    uint64_t bits = 0;
    if (getrandom(&bits, sizeof bits, 0) != sizeof bits) bits = (uint64_t)(clock_seconds() * 1e9);
    return bits;
}

static void make_id(struct call *c)
{
    snprintf(c->id, sizeof c->id, "%s-%016llx%08llx", c->chat ? "chatcmpl" : "cmpl",
             (unsigned long long)random_bits(), (unsigned long long)(random_bits() >> 32));
    c->created = (int64_t)time(NULL);
}

static gpt2q_status read_body(struct call *c, const char *body, size_t n, struct openai_error *error)
{
    const struct serve_options *o = c->host->options;
    const struct openai_rules rules = {
        .prompts = {.many = true, .most = (size_t)o->max_prompts},
        .seed = random_bits() >> 11, /* exact in a double, so that any client can send it back */
        .speculate = (int32_t)o->speculate,
        .streams = true,
        .ignore_unknown = o->ignore_unknown,
        .max_tokens = (int32_t)o->max_tokens,
        .most_choices = CHOICES_MAX,
        .most_tokens = TOKENS_MAX,
        .default_max_tokens = c->host->lanes[0].n_ctx,
        .max_temperature = o->max_temperature};
    cJSON *tree;
    gpt2q_status s = json_parse(body, n, NULL, &tree, &error->error);
    if (s) {
        error->code = s == GPT2Q_OUT_OF_MEMORY ? "out_of_memory" : "invalid_json";
        return s;
    }
    s = (c->chat ? openai_chat_read : openai_request_read)(tree, &rules, &c->request, error);
    cJSON_Delete(tree);
    return s;
}

static gpt2q_status check_prompt_ids(const struct call *c, int32_t size, struct openai_error *error)
{
    for (size_t i = 0; i < c->request.n_prompts; i++)
        for (size_t k = 0; k < c->request.prompts[i].n_ids; k++)
            if (c->request.prompts[i].ids[k] >= size) {
                char path[64];
                if (c->request.n_prompts > 1)
                    snprintf(path, sizeof path, "prompt[%zu][%zu]", i, k);
                else
                    snprintf(path, sizeof path, "prompt[%zu]", k);
                return openai_error_set(error, GPT2Q_FORMAT, "invalid_value", path,
                                        "%s must be below %d, not %d", path, (int)size,
                                        (int)c->request.prompts[i].ids[k]);
            }
    return GPT2Q_OK;
}

static gpt2q_status check_list(const char *field, const int32_t *ids, size_t n, int32_t size,
                               struct openai_error *error)
{
    for (size_t i = 0; i < n; i++)
        if (ids[i] >= size)
            return openai_error_set(error, GPT2Q_FORMAT, "invalid_value", field,
                                    "%s must have ids below %d, but entry %zu is %d", field, (int)size, i + 1,
                                    (int)ids[i]);
    return GPT2Q_OK;
}

static gpt2q_status check_bias(const gpt2q_request *r, int32_t size, struct openai_error *error)
{
    for (size_t i = 0; i < r->n_logit_bias; i++)
        if (r->logit_bias[i].id >= size) {
            char path[32];
            snprintf(path, sizeof path, "logit_bias.%d", (int)r->logit_bias[i].id);
            return openai_error_set(error, GPT2Q_FORMAT, "invalid_value", path, "%s: the id must be below %d",
                                    path, (int)size);
        }
    return GPT2Q_OK;
}

/* What is known once the lane is: its vocabulary, its context, and how many prompts its queue ever takes. More could be sent again for
 * ever. */
static gpt2q_status check_lane(const struct call *c, struct openai_error *error)
{
    const gpt2q_request *r = &c->request.request;
    const int32_t size = gpt2q_model_config(c->lane->model)->vocab_size;
    gpt2q_status s = check_prompt_ids(c, size, error);
    if (!s) s = check_list("stop_token_ids", r->stop_ids, r->n_stop_ids, size, error);
    if (!s) s = check_list("allowed_token_ids", r->allowed, r->n_allowed, size, error);
    if (!s) s = check_bias(r, size, error);
    if (!s && r->keep_last > c->lane->n_ctx)
        s = openai_error_set(error, GPT2Q_FORMAT, "invalid_value", "truncate_prompt_tokens",
                             "truncate_prompt_tokens must be at most the context, %d, not %d",
                             (int)c->lane->n_ctx, (int)r->keep_last);
    if (!s && c->request.n_prompts > (size_t)c->host->options->queue)
        s = openai_error_set(error, GPT2Q_FORMAT, "too_many", "prompt",
                             "prompt has %zu entries where the server's queue holds %d", c->request.n_prompts,
                             (int)c->host->options->queue);
    return s;
}

static bool make_samples(struct call *c)
{
    const size_t n = (size_t)c->request.request.n_samples;
    c->n_samples = c->request.n_prompts * n;
    c->prompts = mem_zarray(c->request.n_prompts, sizeof *c->prompts);
    c->samples = mem_zarray(c->n_samples, sizeof *c->samples);
    if (!c->prompts || !c->samples) return false;
    for (size_t i = 0; i < c->request.n_prompts; i++)
        c->prompts[i] = (struct call_prompt){.call = c, .index = i};
    for (size_t i = 0; i < c->n_samples; i++)
        openai_stream_begin(&c->samples[i].stream, c->lane->model, &c->request, i / n, (int32_t)(i % n),
                            c->chat);
    return true;
}

static void join_live(struct call *c)
{
    c->next_live = c->lane->live;
    if (c->next_live) c->next_live->previous_live = c;
    c->lane->live = c;
    c->live = true;
}

static void leave_live(struct call *c)
{
    if (!c->live) return;
    pthread_mutex_lock(&c->lane->lock);
    if (c->previous_live)
        c->previous_live->next_live = c->next_live;
    else
        c->lane->live = c->next_live;
    if (c->next_live) c->next_live->previous_live = c->previous_live;
    pthread_mutex_unlock(&c->lane->lock);
    c->live = false;
}

/* Submits all prompts or none. The call is alive before that, because the engine may answer at once. */
static gpt2q_status submit(struct call *c, struct openai_error *error)
{
    const size_t n = c->request.n_prompts;
    gpt2q_error why;
    size_t failed = n;
    gpt2q_request *requests = mem_zarray(n, sizeof *requests);
    uint64_t *ids = mem_zarray(n, sizeof *ids);
    gpt2q_status s = GPT2Q_OUT_OF_MEMORY;
    if (!requests || !ids) {
        openai_error_set(error, s, "out_of_memory", NULL, "out of memory: %zu prompts", n);
    } else {
        for (size_t i = 0; i < n; i++) requests[i] = call_scheduler_request(c, i);
        pthread_mutex_lock(&c->lane->lock);
        if (!c->lane->scheduler)
            s = error_set(&why, GPT2Q_OUT_OF_MEMORY, "out of memory: this model has no room to run");
        else
            s = gpt2q_scheduler_submit_all(c->lane->scheduler, requests, n, ids, &failed, &why);
        for (size_t i = 0; !s && i < n; i++) c->prompts[i].id = ids[i];
        if (!s) join_live(c);
        pthread_mutex_unlock(&c->lane->lock);
        if (s) openai_error_of(error, &why);
        if (s && failed < n)
            snprintf(error->param, sizeof error->param, n > 1 ? "prompt[%zu]" : "prompt", failed);
    }
    mem_free(requests);
    mem_free(ids);
    return s;
}

static void call_free(struct call *c)
{
    leave_live(c);
    for (size_t i = 0; c->samples && i < c->n_samples; i++) {
        openai_stream_free(&c->samples[i].stream);
        mem_free(c->samples[i].choice.fields);
    }
    mem_free(c->samples);
    mem_free(c->prompts);
    mem_free(c->model);
    mem_free(c->out);
    openai_request_free(&c->request);
    pthread_mutex_destroy(&c->lock);
    mem_free(c);
}

/* Makes ids of the texts here, where no other request waits. The scheduler would do it under its lane's lock. */
static bool tokenize_prompts(struct call *c, struct openai_error *error)
{
    gpt2q_error why;
    for (size_t i = 0; i < c->request.n_prompts; i++) {
        const struct prompt *p = &c->request.prompts[i];
        const size_t most = 3 * p->n + 65; /* gpt2q_tokenize says so */
        if (p->ids || !p->n) continue;
        int32_t *ids = mem_array(most, sizeof *ids);
        c->prompts[i].ids = ids;
        if (!ids) error_memory(&why, "a prompt", most * sizeof *ids);
        if (!ids || gpt2q_tokenize(c->lane->model, p->text, p->n, 0, ids, most, &c->prompts[i].n_ids, &why)) {
            openai_error_of(error, &why);
            return false;
        }
    }
    return true;
}

static void forget_ids(struct call *c)
{
    for (size_t i = 0; c->prompts && i < c->request.n_prompts; i++) {
        mem_free(c->prompts[i].ids);
        c->prompts[i].ids = NULL;
    }
}

struct call *call_read(struct call_host *host, const char *body, size_t n, bool chat, bool tokenize,
                       struct openai_error *error, struct lane **lane)
{
    struct call *c = mem_zalloc(sizeof *c);
    *error = (struct openai_error){0};
    *lane = NULL;
    if (!c) {
        openai_error_set(error, GPT2Q_OUT_OF_MEMORY, "out_of_memory", NULL, "out of memory: a request");
        return NULL;
    }
    pthread_mutex_init(&c->lock, NULL);
    c->host = host;
    c->chat = chat;
    c->request_id = "";
    c->usage.has_cached = true;
    make_id(c);
    bool ok = !read_body(c, body, n, error) && (c->lane = lane_find(host, c->request.model, error)) != NULL;
    *lane = c->lane;
    ok = ok && !check_lane(c, error);
    c->streams = c->request.stream;
    if (ok) {
        c->model = mem_strdup(c->request.model ? c->request.model : c->lane->id);
        ok = c->model && make_samples(c);
        if (!ok)
            openai_error_set(error, GPT2Q_OUT_OF_MEMORY, "out_of_memory", NULL, "out of memory: a request");
    }
    if (ok && tokenize) ok = tokenize_prompts(c, error);
    if (ok) return c;
    call_free(c);
    return NULL;
}

void call_discard(struct call *c)
{
    forget_ids(c);
    call_free(c);
}

bool call_begin(struct call *c, struct http_request *r, const struct reply_context *context,
                struct openai_error *error)
{
    struct call_host *host = c->host;
    size_t n;
    c->http = r;
    c->request_id = context->request_id;
    c->cors_origin = context->cors_origin;
    c->arrived_at = c->wrote_at = http_completed_at(r);
    bool ok = !submit(c, error);
    forget_ids(c); /* the scheduler has its own */
    if (!ok) {
        call_free(c);
        return false;
    }
    mem_free(http_take_body(r, &n)); /* an event stream may live long */
    c->next = host->calls;
    if (c->next) c->next->previous = c;
    host->calls = c;
    if (c->streams) call_begin_stream(c);
    engine_wake(host->engine);
    return true;
}

/* ---- answering: the I/O thread ---- */

static void end_call(struct call *c)
{
    if (c->counted) return;
    c->counted = true;
    c->host->ended(c->host->user, c);
}

static void answer_error(struct call *c)
{
    const struct reply_context context = {.request_id = c->request_id, .cors_origin = c->cors_origin};
    c->answered = c->finished = true;
    c->status = reply_error(c->http, &context, &c->error, 0);
}

static void answer_whole(struct call *c)
{
    struct openai_choice *choices = mem_array(c->n_samples, sizeof *choices);
    struct json_writer w = {0};
    struct openai_head head = call_head_of(c);
    const struct reply_context context = {.request_id = c->request_id, .cors_origin = c->cors_origin};
    struct reply reply;
    if (choices) {
        for (size_t i = 0; i < c->n_samples; i++) choices[i] = c->samples[i].choice;
        openai_completion_write(&w, &head, c->chat ? "chat.completion" : "text_completion", &c->request,
                                choices, &c->usage, c->request.timings ? &c->timings : NULL);
    }
    mem_free(choices);
    reply_begin(&reply, &context, "application/json");
    reply_header(&reply, "Server-Timing", "queue;dur=%.1f, prefill;dur=%.1f, decode;dur=%.1f",
                 c->timings.queue_ms, c->timings.prefill_ms, c->timings.decode_ms);
    reply_header(&reply, "openai-processing-ms", "%.0f", (clock_seconds() - c->arrived_at) * 1e3);
    c->answered = c->finished = true;
    c->status = reply_json(c->http, &reply, 200, choices ? json_finish(&w) : NULL);
}

/* ---- lives ---- */

/* Where the scheduler was replaced meanwhile its steps begin anew. */
static void note_freed(struct call *c)
{
    if (!c->cancelled || c->free_after < c->cancelled_after) return;
    uint64_t steps = c->free_after - c->cancelled_after;
    c->lane->freed[steps < 2 ? steps : 2]++;
}

static void free_if_done(struct call *c)
{
    pthread_mutex_lock(&c->lock);
    bool over = c->n_ended == c->n_samples;
    pthread_mutex_unlock(&c->lock);
    pthread_mutex_lock(&c->host->news->lock);
    bool enlisted = c->in_news;
    pthread_mutex_unlock(&c->host->news->lock);
    if (c->http || !over || enlisted) return;
    end_call(c);
    note_freed(c);
    if (c->previous)
        c->previous->next = c->next;
    else
        c->host->calls = c->next;
    if (c->next) c->next->previous = c->previous;
    call_free(c);
}

static void look_at(struct call *c)
{
    pthread_mutex_lock(&c->lock);
    bool over = c->n_ended == c->n_samples, failed = c->error.code != NULL,
         slow = c->streams && call_is_too_slow(c);
    pthread_mutex_unlock(&c->lock);
    if (c->http && !c->left) {
        if (c->streams && slow) {
            call_cancel(c, CANCEL_SLOW);
            http_cut(c->http);
        } else if (c->streams) {
            http_wake(c->http);
        } else if (!c->answered && failed) {
            answer_error(c);
        } else if (!c->answered && over) {
            answer_whole(c);
        }
    }
    free_if_done(c);
}

void calls_take_news(struct call_host *host)
{
    for (struct call *c = news_take(host->news), *next; c; c = next) {
        next = news_strike(host->news, c);
        look_at(c);
    }
}

static void cancel_in_scheduler(struct call *c)
{
    pthread_mutex_lock(&c->lane->lock);
    c->cancelled = c->lane->scheduler != NULL;
    if (c->cancelled) c->cancelled_after = gpt2q_scheduler_get_load(c->lane->scheduler).stats.steps;
    for (size_t i = 0; c->lane->scheduler && i < c->request.n_prompts; i++)
        gpt2q_scheduler_cancel(c->lane->scheduler, c->prompts[i].id);
    pthread_mutex_unlock(&c->lane->lock);
    engine_wake(c->host->engine);
}

/* A client that has left gets nothing more. One that waited too long, or whose server ends, is told so. */
void call_cancel(struct call *c, enum cancel_reason reason)
{
    pthread_mutex_lock(&c->lock);
    bool over = c->n_ended == c->n_samples, before = c->left || c->error.code;
    if (reason == CANCEL_DISCONNECT || reason == CANCEL_SLOW)
        c->left = true;
    else if (!over && !c->error.code && reason == CANCEL_DEADLINE)
        openai_error_set(&c->error, GPT2Q_CANCELLED, "deadline_exceeded", NULL,
                         "the answer was not ready within the server's deadline of %g s",
                         c->host->options->deadline_s);
    else if (!over && !c->error.code)
        openai_error_set(&c->error, GPT2Q_CANCELLED, "shutting_down", NULL, "the server is shutting down");
    pthread_mutex_unlock(&c->lock);
    if (over || before) return;
    c->lane->cancelled[reason]++;
    if (reason == CANCEL_DISCONNECT || reason == CANCEL_SLOW) c->status = 499;
    cancel_in_scheduler(c);
    if (c->http && !c->left) look_at(c);
}

void call_let_go(struct call *c)
{
    c->http = NULL;
    c->request_id = "";
    pthread_mutex_lock(&c->lock);
    c->left = true;
    pthread_mutex_unlock(&c->lock);
    end_call(c);
    free_if_done(c);
}

size_t calls_count(const struct call_host *host)
{
    size_t n = 0;
    for (const struct call *c = host->calls; c; c = c->next) n++;
    return n;
}

void calls_drop(struct call_host *host)
{
    for (struct call *c = host->calls, *next; c; c = next) {
        next = c->next;
        call_free(c);
    }
    host->calls = NULL;
    json_discard(&host->event);
}

void calls_tick(struct call_host *host, double now)
{
    for (struct call *c = host->calls, *next; c; c = next) {
        next = c->next;
        call_say_something(c, now);
        if (host->options->deadline_s > 0 && now - c->arrived_at > host->options->deadline_s && !c->left)
            call_cancel(c, CANCEL_DEADLINE);
    }
}
