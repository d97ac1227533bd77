#include "app/batch/stats.h"
#include "app/common.h"
#include "base/clock.h"
#include "base/file_writer.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define TERMINAL_INTERVAL 0.25
#define LOG_INTERVAL      60.0

void batch_stats_begin(struct batch_stats *s, uint64_t total, uint64_t before, bool quiet)
{
    double now = clock_seconds();
    *s = (struct batch_stats){.total = total,
                              .before = before,
                              .started_at = now,
                              .shown_at = now,
                              .terminal = isatty(STDERR_FILENO),
                              .quiet = quiet};
}

static double wall_seconds(const struct batch_stats *s) { return clock_seconds() - s->started_at; }
static double rate(double count, double seconds) { return seconds > 0 ? count / seconds : 0; }
static double mean_rows(const struct batch_stats *s)
{
    return rate((double)s->scheduler.rows, (double)s->scheduler.steps);
}

void batch_stats_progress(struct batch_stats *s)
{
    double now = clock_seconds(), wall = wall_seconds(s);
    if (s->quiet || now - s->shown_at < (s->terminal ? TERMINAL_INTERVAL : LOG_INTERVAL)) return;
    uint64_t done = s->before + s->requests;
    s->shown_at = now;
    s->shown = true;
    fprintf(stderr, "%s%llu", s->terminal ? "\r\033[K" : "", (unsigned long long)done);
    if (s->total) fprintf(stderr, "/%llu", (unsigned long long)s->total);
    fprintf(stderr, " requests, %.0f tokens/s", rate((double)s->scheduler.completion_tokens, wall));
    if (s->total > done && s->requests) {
        unsigned long long left =
            (unsigned long long)(wall / (double)s->requests * (double)(s->total - done));
        fprintf(stderr, ", %llu:%02llu:%02llu left", left / 3600, left / 60 % 60, left % 60);
    }
    if (!s->terminal) fputc('\n', stderr);
    fflush(stderr);
}

void batch_stats_clear(struct batch_stats *s)
{
    if (s->terminal && s->shown) fputs("\r\033[K", stderr);
    s->shown = false;
}

void batch_stats_summary(struct batch_stats *s)
{
    const gpt2q_scheduler_stats *c = &s->scheduler;
    double wall = wall_seconds(s);
    if (s->quiet) return;
    batch_stats_clear(s);
    fprintf(stderr,
            "%llu requests (%llu errors) in %.3f s: %llu prompt tokens, %llu tokens made (%.0f/s), %llu "
            "steps of %.1f rows, %.1f MB of cache\n",
            (unsigned long long)s->requests, (unsigned long long)s->errors, wall,
            (unsigned long long)c->prompt_tokens, (unsigned long long)c->completion_tokens,
            rate((double)c->completion_tokens, wall), (unsigned long long)c->steps, mean_rows(s),
            (double)c->peak_kv_bytes * 1e-6);
}

static cJSON *stats_json(const struct batch_stats *s)
{
    const gpt2q_scheduler_stats *c = &s->scheduler;
    double wall = wall_seconds(s);
    cJSON *o = cJSON_CreateObject();
    cJSON_AddNumberToObject(o, "requests", (double)s->requests);
    cJSON_AddNumberToObject(o, "errors", (double)s->errors);
    cJSON_AddNumberToObject(o, "prompt_tokens", (double)c->prompt_tokens);
    cJSON_AddNumberToObject(o, "completion_tokens", (double)c->completion_tokens);
    cJSON_AddNumberToObject(o, "steps", (double)c->steps);
    cJSON_AddNumberToObject(o, "prefill_s", c->prefill_s);
    cJSON_AddNumberToObject(o, "decode_s", c->decode_s);
    cJSON_AddNumberToObject(o, "wall_s", wall);
    cJSON_AddNumberToObject(o, "tokens_per_s", rate((double)c->completion_tokens, wall));
    cJSON_AddNumberToObject(o, "mean_rows", mean_rows(s));
    cJSON_AddNumberToObject(o, "peak_kv_bytes", (double)c->peak_kv_bytes);
    return o;
}

gpt2q_status batch_stats_write(const struct batch_stats *s, const char *path, gpt2q_error *err)
{
    struct file_writer w;
    gpt2q_status status = file_writer_open(&w, path, err);
    if (status) return status;
    cJSON *o = stats_json(s);
    char *text = cJSON_PrintUnformatted(o);
    cJSON_Delete(o);
    if (!text) exit_out_of_memory();
    status = file_writer_write(&w, text, strlen(text), err);
    if (!status) status = file_writer_write(&w, "\n", 1, err);
    cJSON_free(text);
    if (!status) return file_writer_commit(&w, err);
    file_writer_abort(&w);
    return status;
}
