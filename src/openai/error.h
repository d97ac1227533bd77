/* An error of a request to /v1/completions: the API's code, the field, and one sentence. Also the object
 * that says so in an answer: OpenAI's error object. Where OpenAI has no code, vLLM's or our own stands. */
#ifndef OPENAI_ERROR_H
#define OPENAI_ERROR_H
#include "base/json_writer.h"
#include "base/status.h"

struct openai_error {
    gpt2q_error error; /* the message begins with the field: "max_tokens must be ..." */
    const char *code;  /* "invalid_value"; a static string */
    char param[64];    /* the path of the field, "prompt[3]"; "": none */
};

/* Sets all fields and returns `status`. param NULL: none. */
__attribute__((format(printf, 5, 6))) gpt2q_status openai_error_set(struct openai_error *e,
                                                                    gpt2q_status status, const char *code,
                                                                    const char *param, const char *format,
                                                                    ...);
/* Turns the engine's error into the API's. */
void openai_error_of(struct openai_error *e, const gpt2q_error *error);
/* The HTTP status and the type of a code. A code that is not known has 500 and "server_error". */
int openai_error_http_status(const char *code);
const char *openai_error_type(const char *code);
/* Writes {"message", "type", "param", "code", "request_id"} as a value. request_id NULL: null. */
void openai_error_write(struct json_writer *w, const struct openai_error *e, const char *request_id);
#endif
