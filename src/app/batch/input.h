/* A line of a batch file as requests: plain text, JSON lines of our own, or OpenAI batch lines ({"custom_id", "method", "url",
 * "body"}, a line of the /v1/completions batch API; src/openai reads the body). Strict: what is unknown, unsupported or of the
 * wrong type is refused by name. A refused line still has its number and, where it could be read, its id. A line holds copies of
 * what it needs; neither the text nor the tree of it stays. */
#ifndef APP_BATCH_INPUT_H
#define APP_BATCH_INPUT_H
#include "openai/request.h"

enum batch_format { BATCH_AUTO, BATCH_TEXT, BATCH_JSONL, BATCH_OPENAI };

struct batch_line {
    enum batch_format format;
    uint64_t index;
    char *id;                    /* "id" or "custom_id"; owned, NULL: none */
    struct openai_request asked; /* of every kind of line */
};

/* What every line of a file has in common. */
struct batch_defaults {
    gpt2q_request
        request; /* by the options; OpenAI lines have the API's defaults instead, but for the seed */
    bool ids;    /* text is ids, "464 2068" */
};

/* The format of a file by one of its lines. `certain`: false for a line that begins like JSON and is none, which says nothing of
 * the lines after it but that they are JSON. */
enum batch_format batch_format_of(const char *text, size_t n, bool *certain);

/* Always to be freed, after failure too. Messages begin with "line N: ". */
gpt2q_status batch_line_parse(struct batch_line *line, enum batch_format format, const char *text, size_t n,
                              uint64_t index, const struct batch_defaults *defaults, gpt2q_error *err);
void batch_line_free(struct batch_line *line);
#endif
