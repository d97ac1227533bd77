#include "openai/error.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct code {
    const char *code;
    int http_status;
    const char *type;
} codes[] = {
    {"invalid_json", 400, "invalid_request_error"},
    {"invalid_type", 400, "invalid_request_error"},
    {"invalid_value", 400, "invalid_request_error"},
    {"unknown_field", 400, "invalid_request_error"},
    {"unsupported_parameter", 400, "invalid_request_error"},
    {"context_length_exceeded", 400, "invalid_request_error"},
    {"no_chat_template", 400, "invalid_request_error"},
    {"too_many", 400, "invalid_request_error"},
    {"framing", 400, "invalid_request_error"},
    {"invalid_api_key", 401, "authentication_error"},
    {"host_not_allowed", 403, "permission_error"},
    {"origin_not_allowed", 403, "permission_error"},
    {"not_found", 404, "not_found_error"},
    {"model_not_found", 404, "not_found_error"},
    {"unsupported_endpoint", 404, "not_found_error"},
    {"method_not_allowed", 405, "invalid_request_error"},
    {"request_timeout", 408, "timeout_error"},
    {"body_too_large", 413, "invalid_request_error"},
    {"uri_too_long", 414, "invalid_request_error"},
    {"unsupported_media_type", 415, "invalid_request_error"},
    {"queue_full", 429, "rate_limit_error"},
    {"too_many_connections", 429, "rate_limit_error"},
    {"headers_too_large", 431, "invalid_request_error"},
    {"internal", 500, "server_error"},
    {"non_finite", 500, "server_error"},
    {"transfer_encoding", 501, "invalid_request_error"},
    {"loading", 503, "unavailable_error"},
    {"draining", 503, "unavailable_error"},
    {"shutting_down", 503, "unavailable_error"},
    {"out_of_memory", 503, "unavailable_error"},
    {"deadline_exceeded", 504, "timeout_error"},
};

static const struct code *find(const char *code)
{
    static const struct code other = {"", 500, "server_error"};
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        if (!strcmp(codes[i].code, code)) return &codes[i];
    return &other;
}

int openai_error_http_status(const char *code) { return find(code)->http_status; }
const char *openai_error_type(const char *code) { return find(code)->type; }

gpt2q_status openai_error_set(struct openai_error *e, gpt2q_status status, const char *code,
                              const char *param, const char *format, ...)
{
    char message[512]; /* longer than an error holds: error_set cuts it at a code point */
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    e->code = code;
    snprintf(e->param, sizeof e->param, "%s", param ? param : "");
    return error_set(&e->error, status, "%s", message);
}

void openai_error_of(struct openai_error *e, const gpt2q_error *error)
{
    *e = (struct openai_error){.error = *error};
    switch (error->status) {
    case GPT2Q_OUT_OF_MEMORY: e->code = "out_of_memory"; break;
    case GPT2Q_NON_FINITE: e->code = "non_finite"; break;
    case GPT2Q_QUEUE_FULL: e->code = "queue_full"; break;
    case GPT2Q_CONTEXT_FULL: e->code = "context_length_exceeded"; break;
    case GPT2Q_UNSUPPORTED: e->code = "unsupported_parameter"; break;
    case GPT2Q_IO: e->code = "internal"; break;
    default: e->code = "invalid_value"; break;
    }
}

void openai_error_write(struct json_writer *w, const struct openai_error *e, const char *request_id)
{
    json_open(w, '{');
    json_key(w, "message"), json_put_string(w, e->error.message);
    json_key(w, "type"), json_put_string(w, openai_error_type(e->code));
    json_key(w, "param"), json_put_string(w, *e->param ? e->param : NULL);
    json_key(w, "code"), json_put_string(w, e->code);
    json_key(w, "request_id"), json_put_string(w, request_id);
    json_close(w, '}');
}
