/* Leads requests to their endpoints, checks who may ask, and logs and counts them at their end. */
#include "serve/routes.h"
#include "base/memory.h"
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

enum { GET = 1, POST = 2 };

static const struct route routes[] = {
    {"/v1/completions", "/completions", POST, true, endpoint_completions},
    {"/v1/chat/completions", "/chat/completions", POST, true, endpoint_chat},
    {"/v1/models", "/models", GET, true, endpoint_models},
    {"/v1/embeddings", NULL, POST, true, endpoint_unsupported},
    {"/v1/responses", NULL, POST, true, endpoint_unsupported},
    {"/v1/messages", NULL, POST, true, endpoint_unsupported},
    {"/tokenize", "/v1/tokenize", POST, true, endpoint_tokenize},
    {"/detokenize", "/v1/detokenize", POST, true, endpoint_detokenize},
    {"/tokenizer_info", "/v1/tokenizer_info", GET, true, endpoint_tokenizer_info},
    {"/health", "/v1/health", GET, false, endpoint_health},
    {"/health/live", "/v1/health/live", GET, false, endpoint_health},
    {"/health/ready", "/v1/health/ready", GET, false, endpoint_ready},
    {"/metrics", NULL, GET, true, endpoint_metrics},
    {"/version", "/v1/version", GET, false, endpoint_version},
    {"/", "/index.html", GET, false, endpoint_page},
    {"/app.js", NULL, GET, false, endpoint_page},
    {"/style.css", NULL, GET, false, endpoint_page},
    {"/favicon.svg", NULL, GET, false, endpoint_page},
};
static const struct route one_model = {"/v1/models/{id}", NULL, GET, true, endpoint_model};

static const struct route *find_route(const char *path)
{
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++)
        if (!strcmp(routes[i].path, path) || (routes[i].other && !strcmp(routes[i].other, path)))
            return &routes[i];
    if (!strncmp(path, "/v1/models/", 11) && path[11]) return &one_model;
    return !strncmp(path, "/models/", 8) && path[8] ? &one_model : NULL;
}

/* ---- refusals ---- */

struct reply_context visit_context(const struct visit *v)
{
    return (struct reply_context){.request_id = v->request_id, .cors_origin = v->cors_origin};
}

void visit_refuse(struct visit *v, struct http_request *r, const char *code, const char *param,
                  int retry_after_s, const char *format, ...)
{
    char message[400];
    struct openai_error e = {0};
    const struct reply_context context = visit_context(v);
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    openai_error_set(&e, GPT2Q_INVALID_ARGUMENT, code, param, "%s", message);
    v->reason = e.code;
    v->status = reply_error(r, &context, &e, retry_after_s);
}

size_t visit_refusal(void *user, struct http_request *r, const char *code, const char *message, char *to,
                     size_t max)
{
    struct server *s = user;
    struct visit *v = r ? http_user(r) : NULL;
    struct openai_error e = {0};
    struct json_writer w = {0};
    openai_error_set(&e, GPT2Q_INVALID_ARGUMENT, code, NULL, "%s", message);
    json_open(&w, '{'), json_key(&w, "error");
    openai_error_write(&w, &e, v ? v->request_id : NULL);
    json_close(&w, '}');
    char *text = json_finish(&w);
    size_t n = text ? strlen(text) : 0;
    if (n > max) n = 0;
    if (n) memcpy(to, text, n);
    mem_free(text);
    metrics_count_rejected(s, code);
    if (v) v->status = openai_error_http_status(code);
    return n;
}

/* ---- at the headers ---- */

static bool is_request_id(const char *id)
{
    size_t n = id ? strlen(id) : 0;
    for (size_t i = 0; i < n; i++)
        if (!isalnum((unsigned char)id[i]) && !strchr("._:-", id[i])) return false;
    return n >= 1 && n <= REQUEST_ID_MAX;
}

static void name_request(struct visit *v, const char *given)
{
    uint8_t bits[12] = {0};
    if (is_request_id(given)) {
        snprintf(v->request_id, sizeof v->request_id, "%s", given);
        return;
    }
    if (getrandom(bits, sizeof bits, 0) != sizeof bits) bits[0] = 1;
    size_t n = (size_t)sprintf(v->request_id, "req-");
    for (size_t i = 0; i < sizeof bits; i++) n += (size_t)sprintf(v->request_id + n, "%02x", bits[i]);
}

/* "application/json", with parameters; a charset must be utf-8. */
static bool is_json(const char *type)
{
    const char *charset;
    if (!type || strncasecmp(type, "application/json", 16)) return false;
    if (type[16] && !strchr("; \t", type[16])) return false;
    charset = strcasestr(type, "charset=");
    if (!charset) return true;
    charset += 8;
    charset += *charset == '"';
    return !strncasecmp(charset, "utf-8", 5) && (!charset[5] || strchr("\"; \t", charset[5]));
}

static int method_of(const struct http_request *r)
{
    const char *m = http_method(r);
    if (!strcmp(m, "GET") || !strcmp(m, "HEAD")) return GET;
    return !strcmp(m, "POST") ? POST : 0;
}

static bool needs_key(const struct server *s, const struct visit *v)
{
    if (!v->route) return true; /* without a key nobody learns which paths exist */
    return v->route->key && !(v->route->endpoint == endpoint_metrics && s->options->open_metrics);
}

/* Of a path that is here, or of the server as a whole. A browser's preflight has no key. */
static bool asks_for_options(const struct visit *v, const struct http_request *r)
{
    return !strcmp(http_method(r), "OPTIONS") && (v->route || !strcmp(http_path(r), "*"));
}

/* Browsers name where a page came from; programs do not. */
static bool refuses_origin(struct server *s, struct visit *v, struct http_request *r)
{
    switch (guard_origin(&s->guard, http_header(r, "Origin"), http_header(r, "Host"), &v->cors_origin)) {
    case GUARD_ORIGIN:
        visit_refuse(v, r, "origin_not_allowed", NULL, 0,
                     "pages of another origin may not ask; --cors can allow it");
        return true;
    case GUARD_HOST:
        visit_refuse(
            v, r, "host_not_allowed", NULL, 0,
            "a browser may ask this server under a loopback name only; --allowed-host can allow others");
        return true;
    default: return false;
    }
}

void visit_begin(void *user, struct http_request *r)
{
    struct server *s = user;
    struct visit *v = mem_zalloc(sizeof *v);
    if (!v) {
        http_cut(r);
        return;
    }
    http_set_user(r, v);
    s->n_visits++;
    v->server = s;
    v->route = find_route(http_path(r));
    name_request(v, http_header(r, "X-Request-Id"));
    if (refuses_origin(s, v, r)) return;
    if (asks_for_options(v, r)) return;
    if (needs_key(s, v) &&
        !guard_key_is_good(&s->guard, http_header(r, "Authorization"), http_header(r, "X-Api-Key"))) {
        visit_refuse(v, r, "invalid_api_key", NULL, 0, "a valid key is needed: Authorization: Bearer KEY");
        return;
    }
    const char *encoding = http_header(r, "Content-Encoding");
    if (v->route && v->route->methods == POST && method_of(r) == POST) {
        if (!is_json(http_header(r, "Content-Type")))
            visit_refuse(v, r, "unsupported_media_type", NULL, 0,
                         "content-type must be application/json in utf-8");
        else if (encoding && strcasecmp(encoding, "identity"))
            visit_refuse(v, r, "unsupported_media_type", NULL, 0, "content-encoding must be identity");
    }
}

/* ---- when all is there ---- */

static const char *allowed(const struct route *route)
{
    if (!route) return "GET, HEAD, POST, OPTIONS";
    return route->methods == POST ? "POST, OPTIONS" : "GET, HEAD, OPTIONS";
}

static void answer_options(struct visit *v, struct http_request *r)
{
    struct reply reply;
    const struct reply_context context = visit_context(v);
    const char *wanted = http_header(r, "Access-Control-Request-Headers");
    reply_begin(&reply, &context, "text/plain");
    reply_header(&reply, "Allow", "%s", allowed(v->route));
    if (v->cors_origin) {
        reply_header(&reply, "Access-Control-Allow-Methods", "%s", allowed(v->route));
        if (wanted) reply_header(&reply, "Access-Control-Allow-Headers", "%s", wanted);
        reply_header(&reply, "Access-Control-Max-Age", "600");
    }
    v->status = 204;
    http_answer(r, 204, reply.headers, reply.n, "", 0);
}

static void refuse_method(struct visit *v, struct http_request *r)
{
    struct reply reply;
    struct json_writer w = {0};
    struct openai_error e = {0};
    const struct reply_context context = visit_context(v);
    openai_error_set(&e, GPT2Q_INVALID_ARGUMENT, "method_not_allowed", NULL,
                     "%.20s is no method of %.100s; there is %s", http_method(r), http_path(r),
                     allowed(v->route));
    reply_begin(&reply, &context, "application/json");
    reply_header(&reply, "Allow", "%s", allowed(v->route));
    json_open(&w, '{'), json_key(&w, "error"), openai_error_write(&w, &e, v->request_id), json_close(&w, '}');
    v->status = reply_json(r, &reply, 405, json_finish(&w));
}

static bool is_answered_always(const struct route *route)
{
    return !route->key; /* health, version and page need no model */
}

void visit_complete(void *user, struct http_request *r)
{
    struct server *s = user;
    struct visit *v = http_user(r);
    size_t n;
    http_body(r, &n);
    s->received_bytes += n;
    if (!v) {
        http_cut(r);
        return;
    }
    if (asks_for_options(v, r)) {
        answer_options(v, r);
    } else if (!strcmp(http_method(r), "TRACE") || !strcmp(http_method(r), "CONNECT")) {
        refuse_method(v, r);
    } else if (!v->route) {
        visit_refuse(v, r, "not_found", NULL, 0, "%.100s is not here; see /v1/models and /v1/completions",
                     http_path(r));
    } else if (!(method_of(r) & v->route->methods)) {
        refuse_method(v, r);
    } else if (s->state == SERVER_LOADING && !is_answered_always(v->route) &&
               v->route->endpoint != endpoint_metrics) {
        visit_refuse(v, r, "loading", NULL, 2, "the model is being loaded");
    } else if (s->state == SERVER_DRAINING && method_of(r) == POST) {
        visit_refuse(v, r, "draining", NULL, 1, "the server is shutting down");
    } else {
        v->route->endpoint(s, v, r);
    }
}

void visit_gone(void *user, struct http_request *r)
{
    struct visit *v = http_user(r);
    (void)user;
    if (v && v->call) call_cancel(v->call, CANCEL_DISCONNECT);
}

/* ---- with the worker ---- */

bool visit_sends(struct worker *worker, struct visit *v, struct http_request *r, struct visit_errand *e,
                 void (*work)(struct errand *e), void (*done)(struct errand *e))
{
    if (!e) return false;
    *e = (struct visit_errand){
        .errand = {.work = work, .done = done}, .server = v->server, .visit = v, .request = r};
    e->body = http_take_body(r, &e->n_body);
    v->away = e;
    worker_give(worker, &e->errand);
    return true;
}

struct visit *visit_returns(struct visit_errand *e)
{
    mem_free(e->body);
    if (e->visit) e->visit->away = NULL;
    return e->visit;
}

/* ---- at the end ---- */

static const char *const finishes[] = {"length", "stop", "cancelled", "error"};

void visit_call_ended(void *user, struct call *c)
{
    struct lane *lane = c->lane;
    (void)user;
    pthread_mutex_lock(&c->lock);
    const struct openai_timings t = c->timings;
    const gpt2q_finish finish =
        c->error.code && c->finish != GPT2Q_FINISH_ERROR ? GPT2Q_FINISH_CANCELLED : c->finish;
    const uint64_t prompt = c->usage.prompt_tokens, made = c->usage.completion_tokens;
    const bool over = c->n_ended == c->n_samples;
    const double first = c->first_token_at;
    pthread_mutex_unlock(&c->lock);
    lane->finished[over ? finish : GPT2Q_FINISH_CANCELLED] += c->request.n_prompts;
    histogram_add(&lane->queue_seconds, HISTOGRAM_SECONDS, t.queue_ms / 1e3);
    histogram_add(&lane->prefill_seconds, HISTOGRAM_SECONDS, t.prefill_ms / 1e3);
    if (first > 0) histogram_add(&lane->first_token, HISTOGRAM_SECONDS, first - c->arrived_at);
    histogram_add(&lane->request_seconds, HISTOGRAM_SECONDS, clock_seconds() - c->arrived_at);
    histogram_add(&lane->prompt_tokens, HISTOGRAM_TOKENS, (double)prompt);
    histogram_add(&lane->completion_tokens, HISTOGRAM_TOKENS, (double)made);
}

static void note_call(struct visit *v, struct call *c, bool whole)
{
    struct log_request *l = &v->log;
    pthread_mutex_lock(&c->lock);
    l->prompt_tokens = c->usage.prompt_tokens;
    l->cached_tokens = c->usage.cached_tokens;
    l->completion_tokens = c->n_made;
    l->queue_ms = c->timings.queue_ms;
    l->prefill_ms = c->timings.prefill_ms;
    l->decode_ms = c->timings.decode_ms;
    /* A client may have all of its answer and be gone before the server notices. */
    const bool over = whole || c->n_ended == c->n_samples;
    l->finish = c->error.code ? "error" : over ? finishes[c->finish] : "cancelled";
    pthread_mutex_unlock(&c->lock);
    l->stream = c->streams;
    if (c->status) v->status = c->status;
    if (!whole && !c->finished) v->status = 499;
}

void visit_ended(void *user, struct http_request *r, bool whole)
{
    struct server *s = user;
    struct visit *v = http_user(r);
    if (!v) return;
    if (v->away) v->away->visit = NULL;
    if (v->call) {
        if (!whole) call_cancel(v->call, CANCEL_DISCONNECT);
        note_call(v, v->call, whole);
        call_let_go(v->call);
    }
    struct log_request *l = &v->log;
    l->request_id = v->request_id;
    l->remote = http_remote(r);
    l->method = http_method(r);
    l->path = http_path(r);
    l->model = *v->model ? v->model : NULL;
    if (!l->finish) l->finish = "error";
    l->user_agent = http_header(r, "User-Agent");
    l->status = v->status ? v->status : 499;
    l->bytes = http_bytes_sent(r);
    s->sent_bytes += l->bytes;
    bool quiet =
        v->route && (!strncmp(v->route->path, "/health", 7) || v->route->endpoint == endpoint_metrics);
    log_request(&s->log, quiet ? LOG_DEBUG : LOG_INFO, l);
    v->status = l->status;
    if (v->reason && (v->status == 429 || v->status == 503 || v->status == 401 || v->status == 403))
        metrics_count_rejected(s, v->reason);
    metrics_count_request(s, v);
    s->n_visits--;
    mem_free((void *)(uintptr_t)l->prompt);
    mem_free(v);
}
