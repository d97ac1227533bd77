#include "app/batch/resume.h"
#include "base/file.h"
#include "base/memory.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHUNK_BYTES ((size_t)1 << 20) /* a multiple of 8 */

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

/* As many bytes as there are, up to a whole chunk, so that chunks do not depend on how reads are cut. -1:
 * failed. */
static ssize_t read_chunk(int fd, char *chunk, off_t at)
{
    size_t got = 0;
    while (got < CHUNK_BYTES) {
        ssize_t n = pread(fd, chunk + got, CHUNK_BYTES - got, at + (off_t)got);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return -1;
        if (n == 0) break;
        got += (size_t)n;
    }
    return (ssize_t)got;
}

gpt2q_status batch_survey_make(int fd, const char *path, struct batch_survey *out, gpt2q_error *err)
{
    *out = (struct batch_survey){0};
    char *chunk = mem_alloc(CHUNK_BYTES);
    if (!chunk) return error_memory(err, "reading", CHUNK_BYTES);
    off_t begin = lseek(fd, 0, SEEK_CUR), at = begin < 0 ? 0 : begin;
    bool text = false;
    ssize_t n;
    while ((n = read_chunk(fd, chunk, at)) > 0) {
        out->hash = batch_hash(out->hash, chunk, (size_t)n);
        for (ssize_t i = 0; i < n; i++) {
            char c = chunk[i];
            if (c == '\n')
                out->n_lines += text, text = false;
            else if (c != ' ' && c != '\t' && c != '\r')
                text = true;
        }
        at += n;
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

static int is_part_of_model(const struct dirent *e)
{
    static const char *const endings[] = {".json", ".txt", ".safetensors"};
    const char *dot = strrchr(e->d_name, '.');
    for (size_t i = 0; dot && i < sizeof endings / sizeof *endings; i++)
        if (!strcmp(dot, endings[i])) return 1;
    return 0;
}

static gpt2q_status hash_model(const char *path, uint64_t *hash, gpt2q_error *err)
{
    *hash = 0;
    if (!file_is_directory(path)) return hash_file(path, hash, err);
    struct dirent **entries;
    int n = scandir(path, &entries, is_part_of_model, alphasort);
    if (n < 0) return error_set(err, GPT2Q_IO, "%s: cannot be read: %s", path, strerror(errno));
    gpt2q_status s = GPT2Q_OK;
    for (int i = 0; i < n; i++) {
        char *file = s ? NULL : path_join(path, entries[i]->d_name);
        if (!s && !file) s = error_memory(err, "a path", strlen(path));
        if (!s) *hash = batch_hash(*hash, entries[i]->d_name, strlen(entries[i]->d_name));
        if (!s) s = hash_file(file, hash, err);
        mem_free(file);
        free(entries[i]);
    }
    free(entries);
    return s;
}

/* ---- the fingerprint: a line each ---- */

static const char *const parts[] = {"another version of the program", "another input", "another model",
                                    "other options"};
#define N_PARTS (sizeof parts / sizeof *parts)

gpt2q_status batch_fingerprint_make(const struct batch_survey *input, const char *model, const char *options,
                                    char text[FINGERPRINT_MAX], gpt2q_error *err)
{
    uint64_t hash;
    gpt2q_status s = hash_model(model, &hash, err);
    if (s) return s;
    int n =
        snprintf(text, FINGERPRINT_MAX, "gpt2q %s\n%" PRIu64 " bytes %016" PRIx64 "\n%016" PRIx64 "\n%s\n",
                 gpt2q_version(), input->bytes, input->hash, hash, options);
    return n < FINGERPRINT_MAX
               ? GPT2Q_OK
               : error_set(err, GPT2Q_INVALID_ARGUMENT, "the options are too long for a fingerprint");
}

static gpt2q_status fingerprint_path(const char *output, char **path, gpt2q_error *err)
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
    struct file_writer w;
    char *path;
    gpt2q_status s = fingerprint_path(output, &path, err);
    if (s) return s;
    s = file_writer_open(&w, path, err);
    if (!s) {
        s = file_writer_write(&w, text, strlen(text), err);
        if (!s)
            s = file_writer_commit(&w, err);
        else
            file_writer_abort(&w);
    }
    mem_free(path);
    return s;
}

static gpt2q_status compare(const char *output, const char *path, const char *old, const char *now,
                            gpt2q_error *err)
{
    for (size_t i = 0; i < N_PARTS; i++) {
        size_t a = strcspn(old, "\n"), b = strcspn(now, "\n");
        if (a != b || memcmp(old, now, a))
            return error_set(err, GPT2Q_INVALID_ARGUMENT, "%s: cannot be resumed: the first run had %s (%s)",
                             output, parts[i], path);
        old += a + (old[a] == '\n');
        now += b + (now[b] == '\n');
    }
    return GPT2Q_OK;
}

gpt2q_status batch_fingerprint_check(const char *output, const char *text, gpt2q_error *err)
{
    char *path, *old = NULL;
    size_t n;
    gpt2q_status s = fingerprint_path(output, &path, err);
    if (s) return s;
    if (!file_exists(path))
        s = error_set(err, GPT2Q_INVALID_ARGUMENT, "%s: cannot be resumed: %s is missing", output, path);
    if (!s) s = file_read(path, FINGERPRINT_MAX, &old, &n, err);
    if (!s) s = compare(output, path, old, text, err);
    mem_free(old);
    mem_free(path);
    return s;
}

/* ---- what is done ---- */

/* A line of output as its bytes come: only its head, its last byte and whether it is an error are kept. */
struct output_line {
    char head[64];
    size_t n, matched;
    char last;
    bool is_error;
};

/* Outside of a string, for in one the quotes would be escaped. */
static const char error_mark[] = "\"error\":{\"code\":";

static void add_byte(struct output_line *l, char c)
{
    if (l->n < sizeof l->head - 1) l->head[l->n] = c;
    l->n++;
    l->last = c;
    if (c != error_mark[l->matched]) l->matched = 0;
    if (c == error_mark[l->matched] && ++l->matched == sizeof error_mark - 1) {
        l->is_error = true;
        l->matched = 0;
    }
}

static bool index_of(struct output_line *l, uint64_t *index)
{
    int used = 0;
    l->head[l->n < sizeof l->head ? l->n : sizeof l->head - 1] = '\0';
    if (l->last != '}') return false;
    if (sscanf(l->head, "{\"index\":%" SCNu64 "%n", index, &used) == 1 && l->head[used] == ',') return true;
    return sscanf(l->head, "{\"id\":\"batch_req_%" SCNu64 "%n", index, &used) == 1 && l->head[used] == '"';
}

static bool set_bit(struct batch_done *d, uint64_t n)
{
    if (n >= d->n_bits) {
        uint64_t bits = (n + 1) * 2 + 4096;
        uint8_t *larger = mem_zalloc((size_t)(bits + 7) / 8);
        if (!larger) return false;
        if (d->bits) memcpy(larger, d->bits, (size_t)(d->n_bits + 7) / 8);
        mem_free(d->bits);
        d->bits = larger;
        d->n_bits = bits;
    }
    d->bits[n / 8] = (uint8_t)(d->bits[n / 8] | 1u << n % 8);
    return true;
}

static gpt2q_status take_line(struct batch_done *d, struct output_line *l, const char *output,
                              struct batch_shard shard, bool ordered, gpt2q_error *err)
{
    uint64_t index;
    if (!index_of(l, &index) || index % shard.step != shard.first)
        return error_set(err, GPT2Q_FORMAT,
                         "%s: cannot be resumed: line %" PRIu64 " is no answer of this run", output,
                         d->n_lines + 1);
    uint64_t n = index / shard.step;
    if (ordered && n != d->n_lines)
        return error_set(err, GPT2Q_FORMAT,
                         "%s: cannot be resumed: line %" PRIu64 " answers request %" PRIu64 " where %" PRIu64
                         " is expected",
                         output, d->n_lines + 1, index, shard.first + d->n_lines * shard.step);
    if (!ordered && batch_done_has(d, n))
        return error_set(err, GPT2Q_FORMAT, "%s: cannot be resumed: request %" PRIu64 " is answered twice",
                         output, index);
    if (!ordered && (n >> 36 || !set_bit(d, n))) return error_memory(err, "the lines done", (size_t)(n / 8));
    d->n_lines++;
    d->n_errors += l->is_error;
    d->keep += (int64_t)l->n + 1;
    return GPT2Q_OK;
}

gpt2q_status batch_done_scan(const char *output, struct batch_shard shard, bool ordered, struct batch_done *d,
                             gpt2q_error *err)
{
    *d = (struct batch_done){0};
    int fd = open(output, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return error_set(err, GPT2Q_IO, "%s: cannot be opened: %s", output, strerror(errno));
    char *chunk = mem_alloc(CHUNK_BYTES);
    gpt2q_status s = chunk ? GPT2Q_OK : error_memory(err, "reading", CHUNK_BYTES);
    struct output_line line = {.n = 0};
    ssize_t n = 0;
    for (off_t at = 0; !s && (n = read_chunk(fd, chunk, at)) > 0; at += n)
        for (ssize_t i = 0; i < n && !s; i++) {
            if (chunk[i] != '\n') {
                add_byte(&line, chunk[i]);
                continue;
            }
            s = take_line(d, &line, output, shard, ordered, err);
            line = (struct output_line){.n = 0};
        }
    if (!s && n < 0) s = error_set(err, GPT2Q_IO, "%s: cannot be read: %s", output, strerror(errno));
    mem_free(chunk);
    close(fd);
    if (s) batch_done_free(d);
    return s;
}

bool batch_done_has(const struct batch_done *d, uint64_t n)
{
    if (!d->bits) return n < d->n_lines;
    return n < d->n_bits && d->bits[n / 8] >> n % 8 & 1;
}

void batch_done_free(struct batch_done *d)
{
    mem_free(d->bits);
    *d = (struct batch_done){0};
}
