#include "serve/reply.h"
#include "base/memory.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void reply_header(struct reply *r, const char *name, const char *format, ...)
{
    va_list args;
    if (r->n == REPLY_HEADERS_MAX) return;
    va_start(args, format);
    vsnprintf(r->values[r->n], sizeof r->values[r->n], format, args);
    va_end(args);
    r->headers[r->n] = (struct http_header){name, r->values[r->n]};
    r->n++;
}

void reply_begin(struct reply *reply, const struct reply_context *c, const char *content_type)
{
    reply->n = 0;
    reply_header(reply, "Content-Type", "%s", content_type);
    reply_header(reply, "X-Content-Type-Options", "nosniff");
    if (c->request_id) reply_header(reply, "X-Request-Id", "%s", c->request_id);
    if (!c->cors_origin) return;
    reply_header(reply, "Access-Control-Allow-Origin", "%s", c->cors_origin);
    reply_header(reply, "Access-Control-Expose-Headers", "x-request-id, retry-after, server-timing");
    reply_header(reply, "Vary", "Origin");
}

int reply_json(struct http_request *r, struct reply *reply, int status, char *json)
{
    static const char none[] = "{\"error\":{\"message\":\"out of memory: an answer does not fit\",\"type\":"
                               "\"unavailable_error\",\"param\":null,\"code\":\"out_of_memory\"}}";
    if (!json) {
        status = 503;
        reply_header(reply, "Retry-After", "1");
        http_answer(r, status, reply->headers, reply->n, none, sizeof none - 1);
        return status;
    }
    http_answer(r, status, reply->headers, reply->n, json, strlen(json));
    mem_free(json);
    return status;
}

/* The same request would fail again. This tells clients that repeat every 5xx not to. */
static bool is_final(const char *code)
{
    return !strcmp(code, "non_finite") || !strcmp(code, "deadline_exceeded") || !strcmp(code, "internal");
}

int reply_error(struct http_request *r, const struct reply_context *c, const struct openai_error *e,
                int retry_after_s)
{
    struct reply reply;
    struct json_writer w = {0};
    int status = openai_error_http_status(e->code);
    reply_begin(&reply, c, "application/json");
    if (status == 401) reply_header(&reply, "WWW-Authenticate", "Bearer");
    if (status == 503 && !retry_after_s) retry_after_s = 1;
    if (retry_after_s && (status == 429 || status == 503)) {
        reply_header(&reply, "Retry-After", "%d", retry_after_s);
        reply_header(&reply, "retry-after-ms", "%d000", retry_after_s);
    }
    if (is_final(e->code)) reply_header(&reply, "x-should-retry", "false");
    json_open(&w, '{'), json_key(&w, "error"), openai_error_write(&w, e, c->request_id), json_close(&w, '}');
    return reply_json(r, &reply, status, json_finish(&w));
}
