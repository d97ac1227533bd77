/* A line of a batch file as requests: plain text, JSON lines, or OpenAI batch lines (FORMATS: a line of the
 * /v1/completions batch API). Strict: what is unknown, unsupported or of the wrong type is refused by name,
 * for a field that is silently ignored changes an answer without a word. A refused line still has its number
 * and, where it could be read, its id. */
#ifndef APP_BATCH_INPUT_H
#define APP_BATCH_INPUT_H
#include "base/json.h"

enum batch_format { BATCH_AUTO, BATCH_TEXT, BATCH_JSONL, BATCH_OPENAI };

struct batch_prompt {
    const char *text; /* NULL: ids were given */
    size_t n;
    int32_t *ids; /* NULL: text was given */
    size_t n_ids;
};

#define BATCH_STOPS_MAX 64
struct batch_line {
    enum batch_format format;
    uint64_t index;
    const char *id;        /* "id" or "custom_id", NULL: none */
    gpt2q_request request; /* what is asked of every prompt; prompt and callbacks are empty */
    struct batch_prompt *prompts;
    size_t n_prompts;
    const char *stop[BATCH_STOPS_MAX];
    char *text;      /* owned: the line itself, or */
    cJSON *document; /* the tree that strings point into */
};

/* What every line of a file has in common. */
struct batch_defaults {
    gpt2q_request request; /* by the options; OpenAI lines have the API's defaults instead */
    bool ids;              /* text is ids, "464 2068" */
};

/* The format of a file by its first line. */
enum batch_format batch_format_of(const char *text, size_t n);

/* Always to be freed, after failure too. */
gpt2q_status batch_line_parse(struct batch_line *line, enum batch_format format, const char *text, size_t n,
                              uint64_t index, const struct batch_defaults *defaults, gpt2q_error *err);
void batch_line_free(struct batch_line *line);
#endif
