/* What is wrong with a request to /v1/completions: the API's code, the field, and one sentence; and the object that says so in
 * an answer (OpenAI's error object, with the codes of vLLM and of ours where OpenAI has none). */
#ifndef OPENAI_ERROR_H
#define OPENAI_ERROR_H
#include "base/json_writer.h"
#include "base/status.h"

struct openai_error {
    gpt2q_error error; /* its message begins with the field: "max_tokens must be ..." */
    const char *code;  /* "invalid_value"; a string that stays */
    char param[64];    /* the path of the field, "prompt[3]"; "": none */
};

/* Sets all of it and returns `status`. param NULL: none. */
__attribute__((format(printf, 5, 6))) gpt2q_status openai_error_set(struct openai_error *e,
                                                                    gpt2q_status status, const char *code,
                                                                    const char *param, const char *format,
                                                                    ...);
/* An engine's refusal or failure as the API names it. */
void openai_error_of(struct openai_error *e, const gpt2q_error *error);
/* The HTTP status and the type that belong to a code; 500 and "server_error" for a code that is not known. */
int openai_error_http_status(const char *code);
const char *openai_error_type(const char *code);
/* {"message", "type", "param", "code", "request_id"} as a value; request_id NULL: null. */
void openai_error_write(struct json_writer *w, const struct openai_error *e, const char *request_id);
#endif
