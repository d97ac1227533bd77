/* /metrics: counters, gauges and histograms as text (exposition format 0.0.4). Names, labels and buckets are a contract with
 * dashboards: none changes. */
#include "base/memory.h"
#include "qtensor/isa.h"
#include "serve/routes.h"
#include <dirent.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

/* ---- counting ---- */

void metrics_count_request(struct server *s, const struct visit *v)
{
    static const char *const methods[] = {"GET", "HEAD", "POST", "OPTIONS"};
    const char *endpoint = v->route ? v->route->path : "other", *method = "other";
    for (size_t i = 0; i < 4; i++)
        if (!strcmp(methods[i], v->log.method)) method = methods[i];
    for (size_t i = 0; i < s->n_counters; i++) {
        struct counter *c = &s->counters[i];
        if (c->code != v->status || strcmp(c->endpoint, endpoint) || strcmp(c->method, method)) continue;
        c->n++;
        return;
    }
    if (s->n_counters < COUNTERS_MAX)
        s->counters[s->n_counters++] =
            (struct counter){.endpoint = endpoint, .method = method, .code = v->status, .n = 1};
}

void metrics_count_rejected(struct server *s, const char *reason)
{
    const size_t n = sizeof s->rejected / sizeof *s->rejected;
    for (size_t i = 0; i < n; i++) {
        if (s->rejected[i].reason && strcmp(s->rejected[i].reason, reason)) continue;
        s->rejected[i].reason = reason;
        s->rejected[i].n++;
        return;
    }
}

/* ---- text ---- */

struct text {
    char *bytes;
    size_t n, capacity;
    bool failed;
};

__attribute__((format(printf, 2, 3))) static void put(struct text *t, const char *format, ...)
{
    char line[512];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (n < 0 || (size_t)n >= sizeof line || t->failed) {
        t->failed = true;
        return;
    }
    if (t->n + (size_t)n + 1 > t->capacity) {
        size_t capacity = t->capacity ? t->capacity * 2 : 16384;
        char *larger = mem_grow(t->bytes, t->n, capacity);
        if (!larger) {
            t->failed = true;
            return;
        }
        t->bytes = larger;
        t->capacity = capacity;
    }
    memcpy(t->bytes + t->n, line, (size_t)n + 1);
    t->n += (size_t)n;
}

static void family(struct text *t, const char *name, const char *type, const char *help)
{
    put(t, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void single(struct text *t, const char *name, const char *type, const char *help, double value)
{
    family(t, name, type, help);
    put(t, "%s %.17g\n", name, value);
}

/* A label's value: backslash, quote and newline are escaped. */
static const char *escaped(const char *text, char to[400])
{
    size_t n = 0;
    for (const char *p = text; *p && n < 396; p++) {
        if (*p == '"' || *p == '\\') to[n++] = '\\';
        to[n++] = *p == '\n' ? ' ' : *p;
    }
    to[n] = '\0';
    return to;
}

/* ---- families with a value per lane ---- */

struct snapshot {
    gpt2q_scheduler_load load;
    struct lane_numbers numbers;
    char model[400];
};

typedef double value_fn(const struct lane *lane, const struct snapshot *s);
static double bytes_of(const struct lane *l, const struct snapshot *s)
{
    (void)s;
    return (double)gpt2q_model_bytes(l->model);
}
static double running(const struct lane *l, const struct snapshot *s)
{
    (void)l;
    return s->load.running;
}
static double waiting(const struct lane *l, const struct snapshot *s)
{
    (void)l;
    return s->load.waiting;
}
static double prompt_tokens(const struct lane *l, const struct snapshot *s)
{
    (void)l;
    return (double)s->load.stats.prompt_tokens;
}
static double cached(const struct lane *l, const struct snapshot *s)
{
    (void)l;
    return (double)s->load.stats.cached_tokens;
}
static double made(const struct lane *l, const struct snapshot *s)
{
    (void)l;
    return (double)s->load.stats.completion_tokens;
}
static double wasted(const struct lane *l, const struct snapshot *s)
{
    (void)l;
    return (double)s->load.stats.wasted_tokens;
}
static double proposed(const struct lane *l, const struct snapshot *s)
{
    (void)l;
    return (double)s->load.stats.proposed_tokens;
}
static double accepted(const struct lane *l, const struct snapshot *s)
{
    (void)l;
    return (double)s->load.stats.accepted_tokens;
}
static double steps(const struct lane *l, const struct snapshot *s)
{
    (void)l;
    return (double)s->load.stats.steps;
}
static double positions(const struct lane *l, const struct snapshot *s)
{
    (void)l;
    return (double)s->load.cache_positions;
}
static double used(const struct lane *l, const struct snapshot *s)
{
    (void)l;
    return (double)s->load.cache_used;
}

static void by_lane(struct text *t, const struct server *s, const struct snapshot *snapshots,
                    const char *name, const char *type, const char *help, value_fn *value)
{
    family(t, name, type, help);
    for (size_t i = 0; i < s->n_lanes; i++)
        put(t, "%s{model=\"%s\"} %.17g\n", name, snapshots[i].model, value(&s->lanes[i], &snapshots[i]));
}

static void put_histogram(struct text *t, const char *name, const char *model, enum histogram_kind kind,
                          const struct histogram *h)
{
    size_t n;
    const double *bounds = histogram_bounds(kind, &n);
    uint64_t sum = 0;
    for (size_t i = 0; i < n; i++) {
        sum += h->counts[i];
        put(t, "%s_bucket{model=\"%s\",le=\"%g\"} %llu\n", name, model, bounds[i], (unsigned long long)sum);
    }
    put(t, "%s_bucket{model=\"%s\",le=\"+Inf\"} %llu\n", name, model, (unsigned long long)h->n);
    put(t, "%s_sum{model=\"%s\"} %.17g\n", name, model, h->sum);
    put(t, "%s_count{model=\"%s\"} %llu\n", name, model, (unsigned long long)h->n);
}

/* `at`: where the histogram lies in a lane, or in a snapshot's numbers. */
static void histograms(struct text *t, const struct server *s, const struct snapshot *snapshots,
                       const char *name, const char *help, enum histogram_kind kind, bool of_snapshot,
                       size_t at)
{
    family(t, name, "histogram", help);
    for (size_t i = 0; i < s->n_lanes; i++) {
        const char *base = of_snapshot ? (const char *)&snapshots[i].numbers : (const char *)&s->lanes[i];
        struct histogram h;
        memcpy(&h, base + at, sizeof h);
        put_histogram(t, name, snapshots[i].model, kind, &h);
    }
}

#define OF_LANE(field)    false, offsetof(struct lane, field)
#define OF_NUMBERS(field) true, offsetof(struct lane_numbers, field)

/* ---- the process ---- */

static double statm(int field)
{
    long pages[2] = {0, 0};
    FILE *f = fopen("/proc/self/statm", "r");
    if (!f) return 0;
    if (fscanf(f, "%ld %ld", &pages[0], &pages[1]) != 2) pages[field] = 0;
    fclose(f);
    return (double)pages[field] * (double)sysconf(_SC_PAGESIZE);
}

static double open_fds(void)
{
    double n = 0;
    DIR *d = opendir("/proc/self/fd");
    if (!d) return 0;
    while (readdir(d)) n++;
    closedir(d);
    return n - 3; /* without the one of this folder, "." and ".." */
}

static double cpu_seconds(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           1e-6 * (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

static void process(struct text *t, const struct server *s)
{
    struct rlimit limit = {0};
    getrlimit(RLIMIT_NOFILE, &limit);
    single(t, "process_cpu_seconds_total", "counter", "Total user and system CPU time spent in seconds.",
           cpu_seconds());
    single(t, "process_resident_memory_bytes", "gauge", "Resident memory size in bytes.", statm(1));
    single(t, "process_virtual_memory_bytes", "gauge", "Virtual memory size in bytes.", statm(0));
    single(t, "process_open_fds", "gauge", "Number of open file descriptors.", open_fds());
    single(t, "process_max_fds", "gauge", "Maximum number of open file descriptors.", (double)limit.rlim_cur);
    single(t, "process_start_time_seconds", "gauge", "Start time of the process since unix epoch in seconds.",
           s->started_at);
}

/* ---- all of it ---- */

static void put_infos(struct text *t, const struct server *s, const struct snapshot *snapshots)
{
    const struct isa *isa;
    gpt2q_error err;
    char a[400], b[400];
    family(t, "gpt2q_build_info", "gauge", "Version and numerics; always 1.");
    put(t, "gpt2q_build_info{version=\"%s\",isa=\"%s\",numerics=\"%s\"} 1\n", gpt2q_version(),
        isa_choose(s->options->isa, &isa, &err) ? "" : isa->name, NUMERICS);
    family(t, "gpt2q_model_info", "gauge", "What is loaded; always 1.");
    for (size_t i = 0; i < s->n_lanes; i++)
        put(t,
            "gpt2q_model_info{model=\"%s\",scheme=\"%s\",activations=\"%s\",kv=\"%s\",fingerprint=\"%s\"} "
            "1\n",
            snapshots[i].model, escaped(gpt2q_model_scheme(s->lanes[i].model), a),
            escaped(s->lanes[i].activations, b), kv_format_names[s->lanes[i].kv], s->lanes[i].fingerprint);
}

static void put_http(struct text *t, const struct server *s)
{
    single(t, "gpt2q_ready", "gauge", "1 while requests are accepted, 0 while loading or draining.",
           s->state == SERVER_READY);
    single(t, "gpt2q_http_connections", "gauge", "Open connections.", http_connections(s->http));
    family(t, "gpt2q_http_requests_total", "counter", "Answered HTTP requests.");
    for (size_t i = 0; i < s->n_counters; i++)
        put(t, "gpt2q_http_requests_total{endpoint=\"%s\",method=\"%s\",code=\"%d\"} %llu\n",
            s->counters[i].endpoint, s->counters[i].method, s->counters[i].code,
            (unsigned long long)s->counters[i].n);
    single(t, "gpt2q_http_request_bytes_total", "counter", "Bytes of bodies received.",
           (double)s->received_bytes);
    single(t, "gpt2q_http_response_bytes_total", "counter", "Bytes of bodies sent.", (double)s->sent_bytes);
    family(t, "gpt2q_http_rejected_total", "counter", "Requests refused before they reached the scheduler.");
    for (size_t i = 0; i < sizeof s->rejected / sizeof *s->rejected && s->rejected[i].reason; i++)
        put(t, "gpt2q_http_rejected_total{reason=\"%s\"} %llu\n", s->rejected[i].reason,
            (unsigned long long)s->rejected[i].n);
}

static void put_finished(struct text *t, const struct server *s, const struct snapshot *snapshots)
{
    static const char *const names[] = {"length", "stop", "cancelled", "error"};
    family(t, "gpt2q_requests_total", "counter", "Prompts that ended, by how.");
    for (size_t i = 0; i < s->n_lanes; i++)
        for (size_t k = 0; k < 4; k++)
            put(t, "gpt2q_requests_total{model=\"%s\",finish=\"%s\"} %llu\n", snapshots[i].model, names[k],
                (unsigned long long)s->lanes[i].finished[k]);
}

static void put_cancelled(struct text *t, const struct server *s, const struct snapshot *snapshots)
{
    static const char *const names[] = {"disconnect", "slow", "deadline", "shutdown"};
    family(t, "gpt2q_cancelled_total", "counter", "Requests cancelled, by why.");
    for (size_t i = 0; i < s->n_lanes; i++)
        for (size_t k = 0; k < 4; k++)
            put(t, "gpt2q_cancelled_total{model=\"%s\",reason=\"%s\"} %llu\n", snapshots[i].model, names[k],
                (unsigned long long)s->lanes[i].cancelled[k]);
}

static void put_work(struct text *t, const struct server *s, const struct snapshot *x)
{
    put_finished(t, s, x);
    by_lane(t, s, x, "gpt2q_requests_running", "gauge", "Prompts and samples that have a row.", running);
    by_lane(t, s, x, "gpt2q_requests_waiting", "gauge", "Prompts that wait for a row.", waiting);
    by_lane(t, s, x, "gpt2q_prompt_tokens_total", "counter", "Tokens of prompts.", prompt_tokens);
    by_lane(t, s, x, "gpt2q_prompt_tokens_cached_total", "counter",
            "Tokens of prompts that were shared and not computed.", cached);
    by_lane(t, s, x, "gpt2q_completion_tokens_total", "counter", "Tokens made.", made);
    by_lane(t, s, x, "gpt2q_wasted_tokens_total", "counter",
            "Tokens made or computed for requests that were cancelled.", wasted);
    by_lane(t, s, x, "gpt2q_speculated_tokens_total", "counter", "Proposed tokens.", proposed);
    by_lane(t, s, x, "gpt2q_speculated_tokens_accepted_total", "counter", "Proposed tokens that came true.",
            accepted);
    by_lane(t, s, x, "gpt2q_steps_total", "counter", "Forward passes.", steps);
    histograms(t, s, x, "gpt2q_step_seconds", "Seconds of a pass.", HISTOGRAM_SECONDS,
               OF_NUMBERS(step_seconds));
    histograms(t, s, x, "gpt2q_step_rows", "Rows decoded in a pass.", HISTOGRAM_ROWS, OF_NUMBERS(step_rows));
    by_lane(t, s, x, "gpt2q_kv_cache_positions", "gauge", "Positions of the cache pool.", positions);
    by_lane(t, s, x, "gpt2q_kv_cache_used_positions", "gauge", "Positions in use.", used);
}

static void put_times(struct text *t, const struct server *s, const struct snapshot *x)
{
    histograms(t, s, x, "gpt2q_queue_seconds", "From arrival to a row.", HISTOGRAM_SECONDS,
               OF_LANE(queue_seconds));
    histograms(t, s, x, "gpt2q_prefill_seconds", "From a row to the first token.", HISTOGRAM_SECONDS,
               OF_LANE(prefill_seconds));
    histograms(t, s, x, "gpt2q_time_to_first_token_seconds",
               "From the last byte of the request to the first token handed to the connection.",
               HISTOGRAM_SECONDS, OF_LANE(first_token));
    histograms(t, s, x, "gpt2q_inter_token_seconds", "Between tokens of a sample.", HISTOGRAM_SECONDS,
               OF_NUMBERS(inter_token));
    histograms(t, s, x, "gpt2q_request_seconds",
               "From the last byte of the request to the last byte of the answer.", HISTOGRAM_SECONDS,
               OF_LANE(request_seconds));
    histograms(t, s, x, "gpt2q_request_prompt_tokens", "Tokens of a prompt.", HISTOGRAM_TOKENS,
               OF_LANE(prompt_tokens));
    histograms(t, s, x, "gpt2q_request_completion_tokens", "Tokens made for a prompt.", HISTOGRAM_TOKENS,
               OF_LANE(completion_tokens));
}

char *metrics_text(struct server *s)
{
    struct text t = {0};
    struct snapshot *x = mem_zarray(LANES_MAX, sizeof *x);
    if (!x) return NULL;
    for (size_t i = 0; i < s->n_lanes; i++) {
        x[i].load = lane_load(&s->lanes[i]);
        pthread_mutex_lock(&s->lanes[i].lock);
        x[i].numbers = s->lanes[i].numbers;
        pthread_mutex_unlock(&s->lanes[i].lock);
        escaped(s->lanes[i].id, x[i].model);
    }
    put_infos(&t, s, x);
    by_lane(&t, s, x, "gpt2q_model_bytes", "gauge", "Bytes of the weights.", bytes_of);
    put_http(&t, s);
    put_work(&t, s, x);
    put_times(&t, s, x);
    put_cancelled(&t, s, x);
    single(&t, "gpt2q_stream_events_total", "counter", "Server-sent events written.",
           (double)s->host.stream_events);
    single(&t, "gpt2q_log_lines_dropped_total", "counter",
           "Log lines that were not written because the log was slow.", (double)s->log.dropped);
    process(&t, s);
    mem_free(x);
    if (!t.failed) return t.bytes;
    mem_free(t.bytes);
    return NULL;
}

void endpoint_metrics(struct server *s, struct visit *v, struct http_request *r)
{
    struct reply reply;
    const struct reply_context context = visit_context(v);
    reply_begin(&reply, &context, "text/plain; version=0.0.4; charset=utf-8");
    v->status = reply_json(r, &reply, 200, metrics_text(s));
}
