/* The text that eval and compare measure on, and the progress they show. */
#ifndef APP_MEASURED_TEXT_H
#define APP_MEASURED_TEXT_H
#include "app/common.h"
#include "study/reader.h"

/* The first `limit` ids (0: all) of a file; *ids for mem_free. An exit code. */
int read_text_ids(const gpt2q_model *model, const char *path, size_t limit, int32_t **ids, size_t *n);
/* Checks that the text, of which --limit (0: none) took w->n tokens, fills a window; an exit code after a sentence. */
int check_windows(const struct windows *w, const char *path, int64_t limit);
/* On stderr, where a limit ends within a window: how many tokens are read. */
void say_rounded_limit(const struct windows *w, int64_t limit);
/* The held-out text beside the model, else the one that comes with the default model; *path for mem_free. */
int default_text(const char *model, char **path);

/* "i16": what a context of the model computes with where `asked` (may be NULL) was asked for. */
const char *activations_of(const gpt2q_model *model, const char *asked);

/* A line on a terminal, none elsewhere; stops at SIGINT and SIGTERM. */
struct progress_line {
    const char *what;
    bool silent;
    double shown_at;
};
struct progress progress_on(struct progress_line *line);
void progress_clear(struct progress_line *line);
#endif
