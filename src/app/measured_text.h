/* The text that eval and compare measure on, and the progress they show. */
#ifndef APP_MEASURED_TEXT_H
#define APP_MEASURED_TEXT_H
#include "app/common.h"
#include "study/reader.h"

/* Reads the first `limit` ids (0: all) of a file. *ids is for mem_free. sha256 gets the sum of the whole text; NULL: it is not wanted.
 * Returns an exit code. */
int read_text_ids(const gpt2q_model *model, const char *path, size_t limit, int32_t **ids, size_t *n,
                  char *sha256);
/* Checks that the text fills a window. w->n tokens of it were taken, as --limit (0: none) says. Returns an
 * exit code, after a sentence. */
int check_windows(const struct windows *w, const char *path, int64_t limit);
/* If the limit ends within a window: says on stderr how many tokens are read. */
void say_rounded_limit(const struct windows *w, int64_t limit);
/* Finds the held-out text beside the model, else the one of the default model. *path is for mem_free. */
int default_text(const char *model, char **path);

/* The activations that a context of the model uses when `asked` (or NULL) was asked for: "i16". */
const char *activations_of(const gpt2q_model *model, const char *asked);

/* Shows a line of progress on a terminal, nothing elsewhere. Stops the work at SIGINT and SIGTERM. */
struct progress_line {
    const char *what;
    bool silent;
    double shown_at;
};
struct progress progress_on(struct progress_line *line);
void progress_clear(struct progress_line *line);
#endif
