/* /tokenize and /detokenize. */
#include "base/memory.h"
#include "openai/tokens.h"
#include "serve/routes.h"

typedef gpt2q_status read_fn(const char *body, size_t n, struct tokens_request *out,
                             struct openai_error *err);

struct tokens {
    struct visit_errand errand; /* first */
    read_fn *read;
    bool decode, failed;
    struct json_writer w;
    struct openai_error error;
};

static void make(struct tokens *t, struct server *s, const char *body, size_t n)
{
    struct tokens_request asked;
    gpt2q_status status = t->read(body, n, &asked, &t->error);
    struct lane *lane = status ? NULL : lane_find(&s->host, asked.model, &t->error);
    if (lane && t->decode)
        status = detokenize_write(&t->w, lane->model, &asked, &t->error);
    else if (lane)
        status = tokenize_write(&t->w, lane->model, lane->n_ctx, &asked, &t->error);
    tokens_request_free(&asked);
    t->failed = !lane || status;
}

static void answer(struct tokens *t, struct visit *v, struct http_request *r)
{
    struct reply reply;
    const struct reply_context context = visit_context(v);
    if (t->failed) {
        json_discard(&t->w);
        v->status = reply_error(r, &context, &t->error, 0);
        return;
    }
    reply_begin(&reply, &context, "application/json");
    v->status = reply_json(r, &reply, 200, json_finish(&t->w));
}

static void work(struct errand *e)
{
    struct tokens *t = (struct tokens *)e;
    make(t, t->errand.server, t->errand.body, t->errand.n_body);
}

static void done(struct errand *e)
{
    struct tokens *t = (struct tokens *)e;
    struct visit *v = visit_returns(&t->errand);
    if (v)
        answer(t, v, t->errand.request);
    else
        json_discard(&t->w);
    mem_free(t);
}

static void serve(struct server *s, struct visit *v, struct http_request *r, read_fn *read, bool decode)
{
    size_t n;
    const char *body = http_body(r, &n);
    struct tokens here = {.read = read, .decode = decode};
    if (n >= LARGE_BODY) {
        struct tokens *t = mem_zalloc(sizeof *t);
        if (t) *t = here;
        if (visit_sends(&s->worker, v, r, t ? &t->errand : NULL, work, done)) return;
        mem_free(t);
    }
    make(&here, s, body, n);
    answer(&here, v, r);
}

void endpoint_tokenize(struct server *s, struct visit *v, struct http_request *r)
{
    serve(s, v, r, tokenize_read, false);
}

void endpoint_detokenize(struct server *s, struct visit *v, struct http_request *r)
{
    serve(s, v, r, detokenize_read, true);
}
