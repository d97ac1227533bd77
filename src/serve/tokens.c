/* /tokenize and /detokenize. */
#include "openai/tokens.h"
#include "serve/routes.h"

typedef gpt2q_status read_fn(const char *body, size_t n, struct tokens_request *out,
                             struct openai_error *err);

static void answer(struct server *s, struct visit *v, struct http_request *r, read_fn *read, bool decode)
{
    struct tokens_request asked;
    struct openai_error error = {0};
    struct json_writer w = {0};
    struct reply reply;
    const struct reply_context context = visit_context(v);
    size_t n;
    const char *body = http_body(r, &n);
    gpt2q_status status = read(body, n, &asked, &error);
    struct lane *lane = status ? NULL : lane_find(&s->host, asked.model, &error);
    if (lane && decode)
        status = detokenize_write(&w, lane->model, &asked, &error);
    else if (lane)
        status = tokenize_write(&w, lane->model, lane->n_ctx, &asked, &error);
    tokens_request_free(&asked);
    if (!lane || status) {
        json_discard(&w);
        v->status = reply_error(r, &context, &error, 0);
        return;
    }
    reply_begin(&reply, &context, "application/json");
    v->status = reply_json(r, &reply, 200, json_finish(&w));
}

void endpoint_tokenize(struct server *s, struct visit *v, struct http_request *r)
{
    answer(s, v, r, tokenize_read, false);
}

void endpoint_detokenize(struct server *s, struct visit *v, struct http_request *r)
{
    answer(s, v, r, detokenize_read, true);
}
