/* The answers of each path: completions, models, health, version. */
#include "base/memory.h"
#include "qtensor/isa.h"
#include "serve/routes.h"
#include <string.h>

static void answer(struct visit *v, struct http_request *r, int status, struct json_writer *w)
{
    struct reply reply;
    const struct reply_context context = visit_context(v);
    reply_begin(&reply, &context, "application/json");
    if (status == 503) reply_header(&reply, "Retry-After", "%d", v->server->state == SERVER_LOADING ? 2 : 1);
    v->status = reply_json(r, &reply, status, json_finish(w));
}

/* ---- completions ---- */

static int honest_wait(struct lane *lane)
{
    gpt2q_scheduler_load load = lane_load(lane);
    return retry_after(load.tokens_left, lane_rate(lane));
}

struct completion_visit {
    struct visit_errand errand; /* first */
    bool chat;
    struct call *call;
    struct lane *lane;
    struct openai_error error;
};

static void read_completion(struct completion_visit *c, struct call_host *host, const char *body, size_t n,
                            bool large)
{
    c->call = call_read(host, body, n, c->chat, large, &c->error, &c->lane);
}

static void answer_completion(struct completion_visit *c, struct visit *v, struct http_request *r)
{
    const struct reply_context context = visit_context(v);
    if (c->lane) memcpy(v->model, c->lane->id, sizeof v->model);
    if (c->call && call_begin(c->call, r, &context, &c->error)) {
        v->call = c->call;
        return;
    }
    int wait = c->lane && !strcmp(c->error.code, "queue_full") ? honest_wait(c->lane) : 0;
    v->reason = c->error.code;
    v->status = reply_error(r, &context, &c->error, wait);
}

static void work(struct errand *e)
{
    struct completion_visit *c = (struct completion_visit *)e;
    read_completion(c, &c->errand.server->host, c->errand.body, c->errand.n_body, true);
}

static void done(struct errand *e)
{
    struct completion_visit *c = (struct completion_visit *)e;
    struct visit *v = visit_returns(&c->errand);
    if (v)
        answer_completion(c, v, c->errand.request);
    else if (c->call)
        call_discard(c->call);
    mem_free(c);
}

static void complete(struct server *s, struct visit *v, struct http_request *r, bool chat)
{
    size_t n;
    const char *body = http_body(r, &n);
    if (s->options->log_prompts) v->log.prompt = mem_memdup(body, n < 2000 ? n : 2000);
    struct completion_visit here = {.chat = chat};
    if (n >= LARGE_BODY) {
        struct completion_visit *c = mem_zalloc(sizeof *c);
        if (c) *c = here;
        if (visit_sends(&s->worker, v, r, c ? &c->errand : NULL, work, done)) return;
        mem_free(c);
    }
    read_completion(&here, &s->host, body, n, false);
    answer_completion(&here, v, r);
}

void endpoint_completions(struct server *s, struct visit *v, struct http_request *r)
{
    complete(s, v, r, false);
}

void endpoint_chat(struct server *s, struct visit *v, struct http_request *r)
{
    if (strcmp(s->options->chat, "plain"))
        visit_refuse(
            v, r, "no_chat_template", NULL, 0,
            "GPT-2 has no chat template: use /v1/completions, or start the server with --chat plain");
    else
        complete(s, v, r, true);
}

void endpoint_unsupported(struct server *s, struct visit *v, struct http_request *r)
{
    (void)s;
    visit_refuse(v, r, "unsupported_endpoint", NULL, 0,
                 "GPT-2 is no embedding or chat model, so that %.40s is not here: use /v1/completions",
                 http_path(r));
}

/* ---- models ---- */

void endpoint_models(struct server *s, struct visit *v, struct http_request *r)
{
    struct json_writer w = {0};
    json_open(&w, '{');
    json_key(&w, "object"), json_put_string(&w, "list");
    json_key(&w, "data"), json_open(&w, '[');
    for (size_t i = 0; i < s->n_lanes; i++) lane_describe(&w, &s->lanes[i]);
    json_close(&w, ']'), json_close(&w, '}');
    answer(v, r, 200, &w);
}

void endpoint_model(struct server *s, struct visit *v, struct http_request *r)
{
    struct openai_error error = {0};
    struct json_writer w = {0};
    const struct reply_context context = visit_context(v);
    const char *path = http_path(r);
    struct lane *lane = lane_find(&s->host, path + (!strncmp(path, "/v1", 3) ? 11 : 8), &error);
    if (!lane) {
        v->status = reply_error(r, &context, &error, 0);
        return;
    }
    lane_describe(&w, lane);
    answer(v, r, 200, &w);
}

/* ---- health ---- */

void endpoint_health(struct server *s, struct visit *v, struct http_request *r)
{
    struct json_writer w = {0};
    json_open(&w, '{');
    json_key(&w, "status"), json_put_string(&w, s->state >= SERVER_LINGERING ? "draining" : "ok");
    json_close(&w, '}');
    answer(v, r, 200, &w);
}

static const char *readiness(struct server *s, int64_t waiting)
{
    if (s->state == SERVER_LOADING) return "loading";
    if (s->state >= SERVER_LINGERING) return "draining";
    bool full = waiting >= s->options->queue * (int64_t)s->n_lanes;
    return full && !s->options->ready_when_full ? "overloaded" : "ok";
}

void endpoint_ready(struct server *s, struct visit *v, struct http_request *r)
{
    struct json_writer w = {0};
    int64_t running = 0, waiting = 0;
    for (size_t i = 0; s->state != SERVER_LOADING && i < s->n_lanes; i++) {
        gpt2q_scheduler_load load = lane_load(&s->lanes[i]);
        running += load.running;
        waiting += load.waiting;
    }
    const char *status = readiness(s, waiting);
    bool ok = !strcmp(status, "ok");
    json_open(&w, '{');
    json_key(&w, "status"), json_put_string(&w, status);
    if (ok) {
        json_key(&w, "models"), json_open(&w, '[');
        for (size_t i = 0; i < s->n_lanes; i++) json_put_string(&w, s->lanes[i].id);
        json_close(&w, ']');
        json_key(&w, "running"), json_put_integer(&w, running);
        json_key(&w, "waiting"), json_put_integer(&w, waiting);
        json_key(&w, "queue"), json_put_integer(&w, s->options->queue);
        json_key(&w, "rows"), json_put_integer(&w, s->options->rows);
    }
    json_close(&w, '}');
    answer(v, r, ok ? 200 : 503, &w);
}

void endpoint_version(struct server *s, struct visit *v, struct http_request *r)
{
    struct json_writer w = {0};
    const struct isa *isa = NULL;
    gpt2q_error err;
    json_open(&w, '{');
    json_key(&w, "version"), json_put_string(&w, gpt2q_version());
    json_key(&w, "isa"), json_put_string(&w, isa_choose(s->options->isa, &isa, &err) ? NULL : isa->name);
    json_key(&w, "numerics"), json_put_string(&w, NUMERICS);
    json_close(&w, '}');
    answer(v, r, 200, &w);
}

/* ---- tokens ---- */

void endpoint_tokenizer_info(struct server *s, struct visit *v, struct http_request *r)
{
    struct json_writer w = {0};
    const struct lane *lane = &s->lanes[0];
    const gpt2q_config *c = gpt2q_model_config(lane->model);
    const int32_t ids[] = {c->bos_token_id, c->eos_token_id, c->eos_token_id};
    static const char *const names[] = {"bos_token", "eos_token", "unk_token"};
    json_open(&w, '{');
    json_key(&w, "tokenizer_class"), json_put_string(&w, "GPT2TokenizerFast");
    for (size_t i = 0; i < 3; i++) {
        size_t n = 0;
        const char *bytes = ids[i] < 0 ? NULL : gpt2q_token_bytes(lane->model, ids[i], &n);
        json_key(&w, names[i]);
        if (bytes)
            json_put_bytes(&w, bytes, n);
        else
            json_put_null(&w);
    }
    json_key(&w, "pad_token"), json_put_null(&w);
    json_key(&w, "model_max_length"), json_put_integer(&w, lane->n_ctx);
    json_key(&w, "chat_template"), json_put_null(&w);
    json_close(&w, '}');
    answer(v, r, 200, &w);
}
