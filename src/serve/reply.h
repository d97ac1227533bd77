/* Answers in JSON, with the headers that every answer has. */
#ifndef SERVE_REPLY_H
#define SERVE_REPLY_H
#include "openai/error.h"
#include "serve/http.h"

#define REPLY_HEADERS_MAX 12

struct reply { /* headers in the making; values are copied here */
    struct http_header headers[REPLY_HEADERS_MAX];
    char values[REPLY_HEADERS_MAX][256];
    size_t n;
};
__attribute__((format(printf, 3, 4))) void reply_header(struct reply *r, const char *name, const char *format,
                                                        ...);

/* Every answer to a request carries its id and the origin that may read it (NULL: none). */
struct reply_context {
    const char *request_id, *cors_origin;
};
void reply_begin(struct reply *reply, const struct reply_context *c, const char *content_type);
/* Takes `json` and frees it by mem_free. NULL: memory was out, and the answer says so. Returns the status that was sent. */
int reply_json(struct http_request *r, struct reply *reply, int status, char *json);
/* retry_after_s 0: the status decides whether the answer has one. */
int reply_error(struct http_request *r, const struct reply_context *c, const struct openai_error *e,
                int retry_after_s);
#endif
