#include "app/batch/fingerprint.h"
#include "base/file.h"
#include "base/file_writer.h"
#include "base/memory.h"
#include "model/model_files.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

/* ---- hashing: to notice another file, not to withstand an enemy ---- */

uint64_t batch_hash(uint64_t hash, const void *data, size_t n)
{
    const uint8_t *p = data;
    for (size_t i = 0; i < n; i += 8) {
        uint64_t word = 0;
        memcpy(&word, p + i, n - i < 8 ? n - i : 8);
        hash = (hash ^ word) * 0x9E3779B97F4A7C15u;
        hash ^= hash >> 29;
    }
    return (hash ^ n) * 0xBF58476D1CE4E5B9u;
}

int64_t batch_read_chunk(int fd, char *chunk, int64_t at)
{
    size_t got = 0;
    while (got < BATCH_CHUNK) {
        ssize_t n = pread(fd, chunk + got, BATCH_CHUNK - got, (off_t)at + (off_t)got);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return -1;
        if (n == 0) break;
        got += (size_t)n;
    }
    return (int64_t)got;
}

gpt2q_status batch_survey_make(int fd, const char *path, struct batch_survey *out, gpt2q_error *err)
{
    *out = (struct batch_survey){0};
    char *chunk = mem_alloc(BATCH_CHUNK);
    if (!chunk) return error_memory(err, "reading", BATCH_CHUNK);
    off_t begin = lseek(fd, 0, SEEK_CUR), at = begin < 0 ? 0 : begin;
    bool text = false;
    int64_t n;
    while ((n = batch_read_chunk(fd, chunk, (int64_t)at)) > 0) {
        out->hash = batch_hash(out->hash, chunk, (size_t)n);
        for (int64_t i = 0; i < n; i++) {
            char c = chunk[i];
            if (c == '\n')
                out->n_lines += text, text = false;
            else if (c != ' ' && c != '\t' && c != '\r')
                text = true;
        }
        at += (off_t)n;
        out->bytes += (uint64_t)n;
    }
    out->n_lines += text;
    mem_free(chunk);
    return n < 0 ? error_set(err, GPT2Q_IO, "%s: cannot be read: %s", path, strerror(errno)) : GPT2Q_OK;
}

static gpt2q_status hash_file(const char *path, uint64_t *hash, gpt2q_error *err)
{
    struct batch_survey survey;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return error_set(err, GPT2Q_IO, "%s: cannot be opened: %s", path, strerror(errno));
    gpt2q_status s = batch_survey_make(fd, path, &survey, err);
    close(fd);
    *hash = batch_hash(*hash, &survey.hash, sizeof survey.hash);
    return s;
}

static gpt2q_status hash_model_file(void *user, const char *path, gpt2q_error *err)
{
    uint64_t *hash = user;
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    if (!file_exists(path)) return GPT2Q_OK;
    *hash = batch_hash(*hash, name, strlen(name));
    return hash_file(path, hash, err);
}

/* ---- the text: a line each ---- */

static const char *const parts[] = {"another version of the program", "another input", "another model"};
#define N_PARTS (sizeof parts / sizeof *parts)

gpt2q_status batch_fingerprint_make(const struct batch_survey *input, const char *model, const char *options,
                                    char text[FINGERPRINT_MAX], gpt2q_error *err)
{
    uint64_t hash = 0;
    gpt2q_status s = model_files_each(model, hash_model_file, &hash, err);
    if (s) return s;
    int n =
        snprintf(text, FINGERPRINT_MAX, "gpt2q %s\n%" PRIu64 " bytes %016" PRIx64 "\n%016" PRIx64 "\n%s\n",
                 gpt2q_version(), input->bytes, input->hash, hash, options);
    return n < FINGERPRINT_MAX
               ? GPT2Q_OK
               : error_set(err, GPT2Q_INVALID_ARGUMENT, "the options are too long for a fingerprint");
}

gpt2q_status batch_fingerprint_path(const char *output, char **path, gpt2q_error *err)
{
    static const char ending[] = ".fingerprint";
    size_t n = strlen(output);
    *path = mem_alloc(n + sizeof ending);
    if (!*path) return error_memory(err, "a path", n);
    memcpy(*path, output, n);
    memcpy(*path + n, ending, sizeof ending);
    return GPT2Q_OK;
}

gpt2q_status batch_fingerprint_write(const char *output, const char *text, gpt2q_error *err)
{
    char *path;
    gpt2q_status s = batch_fingerprint_path(output, &path, err);
    if (!s) s = file_write_whole(path, text, strlen(text), err);
    mem_free(path);
    return s;
}

gpt2q_status batch_fingerprint_remove(const char *output, gpt2q_error *err)
{
    char *path;
    gpt2q_status s = batch_fingerprint_path(output, &path, err);
    if (!s && unlink(path) && errno != ENOENT)
        s = error_set(err, GPT2Q_IO, "%s: cannot be removed: %s", path, strerror(errno));
    mem_free(path);
    return s;
}

/* ---- comparing ---- */

const char batch_fingerprint_replacing[] = "replaced by a run that has not begun\n";

/* The next word of a line, and where it goes on. */
static const char *next_word(const char **line, size_t *n)
{
    const char *word = *line + strspn(*line, " ");
    *n = strcspn(word, " \n");
    *line = word + *n;
    return word;
}

/* Lines of NAME=VALUE: names the first that differs. */
static gpt2q_status compare_options(const char *output, const char *path, const char *old, const char *now,
                                    gpt2q_error *err)
{
    for (;;) {
        size_t n, m;
        const char *a = next_word(&old, &n), *b = next_word(&now, &m);
        if (!n && !m) return GPT2Q_OK;
        if (n == m && !memcmp(a, b, n)) continue;
        return error_set(
            err, GPT2Q_INVALID_ARGUMENT,
            "%s: cannot be resumed: the first run had other options, %.*s where now it is %.*s (%s)", output,
            n ? (int)n : 7, n ? a : "nothing", m ? (int)m : 7, m ? b : "nothing", path);
    }
}

static gpt2q_status compare(const char *output, const char *path, const char *old, const char *now,
                            gpt2q_error *err)
{
    if (!strcmp(old, batch_fingerprint_replacing))
        return error_set(err, GPT2Q_INVALID_ARGUMENT,
                         "%s: cannot be resumed: the run that was to replace these answers ended before it "
                         "began (%s); --force "
                         "begins it again",
                         output, path);
    for (size_t i = 0; i < N_PARTS; i++) {
        size_t a = strcspn(old, "\n"), b = strcspn(now, "\n");
        if (a != b || memcmp(old, now, a))
            return error_set(err, GPT2Q_INVALID_ARGUMENT, "%s: cannot be resumed: the first run had %s (%s)",
                             output, parts[i], path);
        old += a + (old[a] == '\n');
        now += b + (now[b] == '\n');
    }
    return compare_options(output, path, old, now, err);
}

gpt2q_status batch_fingerprint_check(const char *output, const char *text, gpt2q_error *err)
{
    char *path, *old = NULL;
    size_t n;
    gpt2q_status s = batch_fingerprint_path(output, &path, err);
    if (s) return s;
    if (!file_exists(path))
        s = error_set(err, GPT2Q_INVALID_ARGUMENT, "%s: cannot be resumed: %s is missing", output, path);
    if (!s) s = file_read_regular(path, FINGERPRINT_MAX, &old, &n, err);
    if (!s) s = compare(output, path, old, text, err);
    mem_free(old);
    mem_free(path);
    return s;
}
