#include "app/batch/resume.h"
#include "app/batch/fingerprint.h"
#include "base/memory.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* A line of output as its bytes come: only its head, its last byte and whether it is an error are kept. */
struct output_line {
    char head[64];
    size_t n, matched;
    size_t code_at; /* where the code of an error begins */
    char last;
    bool is_error, was_memory; /* it says that memory was out: the line has no answer */
};

/* Outside of a string, for in one the quotes would be escaped. What follows is the code. */
static const char error_mark[] = "\"error\":{\"code\":", memory_code[] = "\"out_of_memory\"";

static void add_byte(struct output_line *l, char c)
{
    if (l->n < sizeof l->head - 1) l->head[l->n] = c;
    l->n++;
    l->last = c;
    if (l->is_error && l->n - 1 - l->code_at < sizeof memory_code - 1) {
        const size_t i = l->n - 1 - l->code_at;
        l->was_memory = (i == 0 || l->was_memory) && c == memory_code[i];
    }
    if (l->is_error) return;
    if (c != error_mark[l->matched]) l->matched = 0;
    if (c == error_mark[l->matched] && ++l->matched == sizeof error_mark - 1) {
        l->is_error = true;
        l->code_at = l->n;
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

/* One scan. */
struct scan {
    const char *output;
    const struct batch_lines *lines;
    bool ordered;
    struct batch_done *done;
    gpt2q_error *err;
};

__attribute__((format(printf, 2, 3))) static gpt2q_status cannot_resume(const struct scan *s,
                                                                        const char *format, ...)
{
    char text[200];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return error_set(s->err, GPT2Q_FORMAT, "%s: cannot be resumed: %s", s->output, text);
}

static gpt2q_status take_line(const struct scan *s, struct output_line *l)
{
    struct batch_done *d = s->done;
    const struct batch_shard shard = s->lines->shard;
    uint64_t index;
    if (!index_of(l, &index) || index % shard.step != shard.first)
        return cannot_resume(s, "line %" PRIu64 " is no answer of this run", d->n_lines + 1);
    if (index >= s->lines->n)
        return cannot_resume(
            s, "line %" PRIu64 " answers request %" PRIu64 ", but the input has %" PRIu64 " lines",
            d->n_lines + 1, index, s->lines->n);
    const uint64_t n = index / shard.step;
    if (s->ordered && n != d->n_lines)
        return cannot_resume(s, "line %" PRIu64 " answers request %" PRIu64 " where %" PRIu64 " is expected",
                             d->n_lines + 1, index, shard.first + d->n_lines * shard.step);
    if (!s->ordered && batch_done_has(d, n))
        return cannot_resume(s, "request %" PRIu64 " is answered twice", index);
    if (d->bits) d->bits[n / 8] = (uint8_t)(d->bits[n / 8] | 1u << n % 8);
    d->n_lines++;
    d->n_errors += l->is_error;
    d->keep += (int64_t)l->n + 1;
    return GPT2Q_OK;
}

/* Until the end, or a line that has no answer. */
static gpt2q_status scan_lines(const struct scan *s, int fd, char *chunk)
{
    struct output_line line = {.n = 0};
    int64_t n;
    for (int64_t at = 0; (n = batch_read_chunk(fd, chunk, at)) > 0; at += n)
        for (int64_t i = 0; i < n; i++) {
            if (chunk[i] != '\n') {
                add_byte(&line, chunk[i]);
                continue;
            }
            s->done->again = line.was_memory;
            gpt2q_status status = line.was_memory ? GPT2Q_OK : take_line(s, &line);
            if (status || s->done->again) return status;
            line = (struct output_line){.n = 0};
        }
    return n < 0 ? error_set(s->err, GPT2Q_IO, "%s: cannot be read: %s", s->output, strerror(errno))
                 : GPT2Q_OK;
}

gpt2q_status batch_done_scan(const char *output, const struct batch_lines *lines, bool ordered,
                             struct batch_done *d, gpt2q_error *err)
{
    *d = (struct batch_done){0};
    const struct scan scan = {output, lines, ordered, d, err};
    const uint64_t most = batch_lines_of_shard(lines);
    int fd = open(output, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return error_set(err, GPT2Q_IO, "%s: cannot be opened: %s", output, strerror(errno));
    char *chunk = mem_alloc(BATCH_CHUNK);
    if (!ordered) d->bits = mem_zalloc((size_t)(most / 8 + 1)), d->n_bits = most;
    gpt2q_status s = chunk && (ordered || d->bits)
                         ? scan_lines(&scan, fd, chunk)
                         : error_memory(err, "the lines done", BATCH_CHUNK + most / 8);
    mem_free(chunk);
    close(fd);
    if (s) batch_done_free(d);
    return s;
}

uint64_t batch_lines_of_shard(const struct batch_lines *lines)
{
    const struct batch_shard *shard = &lines->shard;
    return lines->n > shard->first ? (lines->n - shard->first - 1) / shard->step + 1 : 0;
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
