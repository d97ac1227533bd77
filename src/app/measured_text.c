#include "app/measured_text.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/sha256.h"
#include "engine/context.h"
#include "engine/model.h"
#include "model/locate.h"
#include <stdio.h>
#include <unistd.h>

#define HELD_OUT "heldout-books.txt"

static void sum_text(const char *text, size_t n, char sum[SHA256_TEXT])
{
    struct sha256 s;
    sha256_begin(&s);
    sha256_add(&s, text, n);
    sha256_print(&s, sum);
}

int read_text_ids(const gpt2q_model *model, const char *path, size_t limit, int32_t **ids, size_t *n,
                  char *sha256)
{
    gpt2q_error err;
    char *text;
    size_t size;
    *ids = NULL;
    if (file_read_text(path, MAX_TEXT_BYTES, &text, &size, &err)) return failed(&err);
    if (sha256) sum_text(text, size, sha256);
    size_t most = model_max_ids(model, size), capacity = limit && limit < most ? limit : most;
    *ids = mem_array(capacity, sizeof **ids);
    int code = *ids ? EXIT_DONE : failure("out of memory: %zu ids of %s", capacity, file_spoken_name(path));
    if (!code && gpt2q_tokenize(model, text, size, 0, *ids, capacity, n, &err) && *n <= capacity)
        code = failed(&err);
    if (!code && *n > capacity) *n = capacity; /* more than was asked for */
    mem_free(text);
    return code;
}

int check_windows(const struct windows *w, const char *path, int64_t limit)
{
    if (!windows_count(w)) {
        bool limited = limit && (size_t)limit <= w->n;
        return failure("%s: %zu tokens%s are too few for one window of %d: --window %zu%s fits",
                       file_spoken_name(path), w->n, limited ? " (--limit)" : "", (int)w->window,
                       w->n < 2 ? (size_t)2 : w->n,
                       limited    ? " or a larger --limit"
                       : w->n < 2 ? " and a longer text"
                                  : "");
    }
    return EXIT_DONE;
}

void say_rounded_limit(const struct windows *w, int64_t limit)
{
    size_t used = (windows_count(w) - 1) * (size_t)w->stride + (size_t)w->window;
    if (limit && w->n == (size_t)limit && used < w->n)
        fprintf(stderr, "--limit %lld is rounded down to %zu tokens: whole windows of %d\n", (long long)limit,
                used, (int)w->window);
}

int default_text(const char *model, char **path)
{
    const char *const beside[] = {model, DEFAULT_MODEL, NULL};
    for (size_t i = 0; i < 3; i++) {
        gpt2q_error err;
        char *directory;
        if (model_locate(beside[i], &directory, &err)) continue;
        *path = path_join(directory, HELD_OUT);
        mem_free(directory);
        if (!*path) return failure("out of memory: a path");
        if (file_exists(*path)) return EXIT_DONE;
        mem_free(*path);
    }
    *path = NULL;
    return failure("no %s is beside the model or the default model: --text FILE is needed", HELD_OUT);
}

const char *activations_of(const gpt2q_model *model, const char *asked)
{
    enum activations a;
    struct activation_mode m;
    if (asked && !activation_mode_parse(asked, model_weights(model), &m, NULL) &&
        (m.fixed || m.threshold > 0.0f))
        return asked;
    gpt2q_status s = activations_parse(asked, model_weights(model), &a, NULL);
    return activations_print(s ? ACTIVATIONS_F32 : a);
}

static bool show(void *user, uint64_t done, uint64_t total)
{
    struct progress_line *line = user;
    double now = clock_seconds();
    if (!line->silent && now - line->shown_at > 0.1) {
        fprintf(stderr, "\r\033[K%s: %llu of %llu", line->what, (unsigned long long)done,
                (unsigned long long)total);
        fflush(stderr);
        line->shown_at = now;
    }
    return !signal_seen();
}

struct progress progress_on(struct progress_line *line)
{
    if (!isatty(STDERR_FILENO)) line->silent = true;
    return (struct progress){.report = show, .user = line};
}

void progress_clear(struct progress_line *line)
{
    if (!line->silent) fprintf(stderr, "\r\033[K");
}
