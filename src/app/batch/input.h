/* A line of a batch file as requests: plain text, JSON lines of our own, or OpenAI batch lines
 * ({"custom_id", "method", "url", "body"}, for /v1/completions; src/openai reads the body). Lines are read
 * strictly: fields that are unknown, unsupported or of the wrong type are refused by name. A refused line
 * keeps its number and, if it could be read, its id. A line holds copies of what it needs; its text and
 * tree can be freed. */
#ifndef APP_BATCH_INPUT_H
#define APP_BATCH_INPUT_H
#include "openai/request.h"

enum batch_format { BATCH_AUTO, BATCH_TEXT, BATCH_JSONL, BATCH_OPENAI };

struct batch_line {
    enum batch_format format;
    uint64_t index;
    char *id;                    /* "id" or "custom_id"; owned, NULL: none */
    struct openai_request asked; /* used by every kind of line */
};

/* What all lines of a file share. */
struct batch_defaults {
    gpt2q_request
        request; /* from the options; OpenAI lines have the API's defaults instead, except for the seed */
    bool ids;    /* text is ids, "464 2068" */
};

/* The format of a file, from one of its lines. `certain` is false for a line that begins like JSON but is
 * broken: then later lines are JSON, of an unknown kind. */
enum batch_format batch_format_of(const char *text, size_t n, bool *certain);

/* Must always be freed, after failure too. Messages begin with "line N: ". */
gpt2q_status batch_line_parse(struct batch_line *line, enum batch_format format, const char *text, size_t n,
                              uint64_t index, const struct batch_defaults *defaults, gpt2q_error *err);
void batch_line_free(struct batch_line *line);
#endif
