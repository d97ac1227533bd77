#include "serve/server.h"
#include "base/clock.h"
#include "base/file_writer.h"
#include "base/memory.h"
#include "base/task.h"
#include "base/terminal_text.h"
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#define TICK_S     0.1
#define URI_MAX    2048
#define LAST_S     1.0 /* for clients whose answers are cut to be told so */
#define WATCHDOG_S 5.0
#define STUCK_S    60.0 /* an engine that makes no step for so long is stuck */

/* Writes a line to stderr. Names in it may be any bytes. */
__attribute__((format(printf, 1, 2))) static void say(const char *format, ...)
{
    char text[sizeof(gpt2q_error) + 64], safe[4 * sizeof text];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    terminal_text(safe, sizeof safe, text, strlen(text));
    fprintf(stderr, "%s\n", safe);
}

/* ---- loading, on a thread of its own: probes are answered meanwhile ---- */

/* An alias of a model that is not served would be found out by a client only. */
static gpt2q_status check_alias(const struct server *s, const char *alias, gpt2q_error *err)
{
    char list[512] = "";
    const char *id = strchr(alias, '=');
    if (!id) return GPT2Q_OK; /* "*" */
    for (size_t i = 0; i < s->options->n_lanes; i++) {
        if (!strcmp(s->lanes[i].id, id + 1)) return GPT2Q_OK;
        snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s", i ? ", " : "", s->lanes[i].id);
    }
    return error_set(err, GPT2Q_INVALID_ARGUMENT,
                     "--alias %.100s: no model that is served has the id '%.100s'; there is %s", alias,
                     id + 1, list);
}

/* What the options say of models can be checked once these are open. */
static gpt2q_status check_options(const struct server *s, gpt2q_error *err)
{
    const struct serve_options *o = s->options;
    int32_t most = 0;
    gpt2q_status status = GPT2Q_OK;
    for (size_t i = 0; i < o->n_lanes; i++) {
        const int32_t n = gpt2q_model_config(s->lanes[i].model)->n_positions;
        if (n > most) most = n;
    }
    if (o->ctx > most)
        return error_set(err, GPT2Q_INVALID_ARGUMENT,
                         "--ctx is %lld where at most %d, the model's positions, is expected",
                         (long long)o->ctx, (int)most);
    for (size_t i = 0; i < o->n_aliases && !status; i++) status = check_alias(s, o->aliases[i], err);
    return status;
}

static void *load(void *arg)
{
    struct server *s = arg;
    gpt2q_status status = GPT2Q_OK;
    for (size_t i = 0; i < s->options->n_lanes && !status; i++)
        status = lane_open(&s->lanes[i], s->options, i, s->lanes, &s->load_error);
    if (!status) check_options(s, &s->load_error);
    eventfd_write(s->loaded, 1);
    return NULL;
}

static gpt2q_status write_port(const struct server *s, gpt2q_error *err)
{
    struct file_writer w;
    char text[16];
    if (!s->options->port_file) return GPT2Q_OK;
    int n = snprintf(text, sizeof text, "%d\n", s->listening.port);
    gpt2q_status status = file_writer_open(&w, s->options->port_file, err);
    if (status) return status;
    status = file_writer_write(&w, text, (size_t)n, err);
    if (!status) return file_writer_commit(&w, err);
    file_writer_abort(&w);
    return status;
}

/* Of what the terminal is told anyway, or need not be. */
static enum log_level level_of_file(const struct server *s)
{
    return s->log.path || s->log.json ? LOG_INFO : LOG_DEBUG;
}

static void say_ready(struct server *s)
{
    struct memory_plan all = {0};
    for (size_t i = 0; i < s->n_lanes; i++) {
        all.weights += s->lanes[i].plan.weights;
        all.cache += s->lanes[i].plan.cache;
    }
    log_event(&s->log, LOG_DEBUG, "memory",
              "weights %.0f MB, caches %.0f MB at most, a connection 24 kB at most",
              (double)all.weights / 1e6, (double)all.cache / 1e6);
    for (size_t i = 0; i < s->listening.n; i++) {
        const struct lane *l = &s->lanes[0];
        char more[32] = "";
        if (s->n_lanes > 1) snprintf(more, sizeof more, " and %zu more", s->n_lanes - 1);
        if (!s->options->quiet)
            say("listening on %s (%s, %s@%s, %d rows%s)", s->listening.where[i], l->id,
                gpt2q_model_scheme(l->model), l->activations, (int)s->options->rows, more);
        log_event(&s->log, level_of_file(s), "ready", "listening on %s", s->listening.where[i]);
    }
}

static void when_loaded(void *user)
{
    struct server *s = user;
    eventfd_t count;
    eventfd_read(s->loaded, &count);
    task_join(s->loader);
    s->n_lanes = s->options->n_lanes;
    s->host.n_lanes = s->n_lanes;
    if (!s->load_error.status) write_port(s, &s->load_error);
    if (!s->load_error.status && !engine_start(&s->engine, s->lanes, s->n_lanes, &s->news))
        error_set(&s->load_error, GPT2Q_OUT_OF_MEMORY, "the system gives no thread for the engine");
    if (s->load_error.status) return;
    s->engine_runs = true;
    task_runs_soon(); /* threads inherit it, so the engine's is made before */
    if (s->state == SERVER_LOADING) s->state = SERVER_READY;
    say_ready(s);
    notify_systemd("READY=1");
}

/* ---- signals ---- */

static void log_numbers(struct server *s)
{
    for (size_t i = 0; i < s->n_lanes; i++) {
        gpt2q_scheduler_load l = lane_load(&s->lanes[i]);
        const uint64_t *freed = s->lanes[i].freed;
        log_event(&s->log, LOG_INFO, "numbers",
                  "%s: running %d, waiting %d, prompt tokens %llu, made %llu, steps %llu, cache %lld of "
                  "%lld, connections %d, cancelled and free after 0, 1, more steps %llu, %llu, %llu",
                  s->lanes[i].id, (int)l.running, (int)l.waiting, (unsigned long long)l.stats.prompt_tokens,
                  (unsigned long long)l.stats.completion_tokens, (unsigned long long)l.stats.steps,
                  (long long)l.cache_used, (long long)l.cache_positions, http_connections(s->http),
                  (unsigned long long)freed[0], (unsigned long long)freed[1], (unsigned long long)freed[2]);
    }
}

static void reload(struct server *s)
{
    gpt2q_error err;
    log_reopen(&s->log);
    if (guard_reload(&s->guard, &err))
        log_event(&s->log, LOG_ERROR, "reload", "the keys stay as they were: %s", err.message);
    else
        log_event(&s->log, LOG_INFO, "reload", "log and keys were opened again");
}

static void begin_stop(struct server *s, int signal)
{
    s->n_stops++;
    if (s->n_stops > 1) return;
    s->stop_signal = signal;
    s->stop_at = clock_seconds();
    if (s->state == SERVER_LOADING) { /* no request was accepted yet */
        listen_close(&s->listening, false);
        _exit(128 + signal);
    }
    s->state = SERVER_LINGERING;
    notify_systemd("STOPPING=1");
    log_event(&s->log, LOG_INFO, "drain", "draining: %zu requests are under way", calls_count(&s->host));
}

static void when_signalled(void *user)
{
    struct server *s = user;
    struct signalfd_siginfo info;
    while (read(s->signals, &info, sizeof info) == sizeof info) {
        if (info.ssi_signo == SIGHUP)
            reload(s);
        else if (info.ssi_signo == SIGUSR1)
            log_numbers(s);
        else
            begin_stop(s, (int)info.ssi_signo);
    }
}

static int watch_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM), sigaddset(&set, SIGINT), sigaddset(&set, SIGHUP), sigaddset(&set, SIGUSR1);
    signal(SIGPIPE, SIG_IGN);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

/* ---- draining ---- */

static void cut_calls(struct server *s)
{
    for (struct call *c = s->host.calls, *next; c; c = next) {
        next = c->next;
        call_cancel(c, CANCEL_SHUTDOWN);
    }
    s->cut = true;
}

static void tell_drain(struct server *s, double now)
{
    char text[64];
    if (now - s->told_at < 1) return;
    s->told_at = now;
    snprintf(text, sizeof text, "EXTEND_TIMEOUT_USEC=%.0f", (s->options->drain_s + 5) * 1e6);
    notify_systemd(text);
    log_event(&s->log, LOG_INFO, "drain", "draining: %zu requests are left", calls_count(&s->host));
}

/* True: draining is over. */
static bool drain(struct server *s, double now)
{
    double since = now - s->stop_at;
    if (s->state == SERVER_LINGERING && (since >= s->options->drain_delay_s || s->n_stops > 1)) {
        s->state = SERVER_DRAINING;
        http_quiesce(s->http);
    }
    if (s->state != SERVER_DRAINING) return false;
    if (!s->host.calls && !s->n_visits) return true;
    tell_drain(s, now);
    double most = s->options->drain_delay_s + s->options->drain_s;
    if (!s->cut && (s->n_stops > 1 || since > most)) {
        cut_calls(s);
        s->cut_at = now;
    }
    return s->cut && now - s->cut_at > LAST_S;
}

/* ---- the loop ---- */

/* Twice in the time that the unit gives, at least every WATCHDOG_S. */
static double watchdog_interval_s(void)
{
    const char *given = getenv("WATCHDOG_USEC");
    double half_s = given ? strtod(given, NULL) / 2e6 : 0;
    return half_s > 0 && half_s < WATCHDOG_S ? half_s : WATCHDOG_S;
}

static void watchdog(struct server *s, double now)
{
    if (now - s->watched_at < s->watchdog_s || !s->engine_runs) return;
    s->watched_at = now;
    if (engine_silent_s(&s->engine) < STUCK_S) notify_systemd("WATCHDOG=1");
}

static void worker_returns(void *user) { worker_finish(&((struct server *)user)->worker); }

static void news_come(void *user) { calls_take_news(&((struct server *)user)->host); }

static int run(struct server *s)
{
    for (bool over = false; !over;) {
        http_turn(s->http, (int)(TICK_S * 1000));
        double now = clock_seconds();
        if (s->load_error.status) return 1;
        if (now - s->ticked_at < TICK_S && s->state < SERVER_LINGERING) continue;
        s->ticked_at = now;
        if (s->engine_runs) calls_tick(&s->host, now);
        for (size_t i = 0; i < s->n_lanes; i++) lane_note_rate(&s->lanes[i], now);
        watchdog(s, now);
        if (s->state >= SERVER_LINGERING) over = drain(s, now);
    }
    log_event(&s->log, LOG_INFO, "stop", s->cut ? "stopped; some requests were cut" : "stopped");
    return s->cut ? 128 + s->stop_signal : 0;
}

/* ---- opening and closing ---- */

static void raise_file_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit)) return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

static bool open_http(struct server *s, gpt2q_error *err)
{
    const struct serve_options *o = s->options;
    const struct http_limits limits = {.body = (size_t)o->max_body,
                                       .uri = URI_MAX,
                                       .connections = (int)o->max_connections,
                                       .connections_of_ip = (int)o->max_connections_of_ip,
                                       .header_s = o->header_s,
                                       .body_s = o->body_s,
                                       .idle_s = o->idle_s,
                                       .write_s = o->write_s};
    const struct http_events events = {.begin = visit_begin,
                                       .complete = visit_complete,
                                       .gone = visit_gone,
                                       .ended = visit_ended,
                                       .refusal = visit_refusal,
                                       .user = s};
    s->http = http_open(s->listening.fds, s->listening.n, &limits, &events, err);
    if (!s->http) return false;
    bool ok = http_watch(s->http, s->news.event, news_come, s) &&
              http_watch(s->http, s->signals, when_signalled, s) &&
              http_watch(s->http, s->loaded, when_loaded, s) &&
              http_watch(s->http, s->worker.event, worker_returns, s);
    if (!ok) error_set(err, GPT2Q_IO, "no file descriptors are left");
    return ok;
}

static gpt2q_status open_server(struct server *s, gpt2q_error *err)
{
    const struct serve_options *o = s->options;
    s->signals = watch_signals();
    s->loaded = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    s->host = (struct call_host){.options = o,
                                 .lanes = s->lanes,
                                 .engine = &s->engine,
                                 .news = &s->news,
                                 .ended = visit_call_ended,
                                 .user = s};
    if (!log_open(&s->log, o->log, o->log_format, o->log_level))
        return error_set(err, GPT2Q_IO, "%s: the log cannot be written: %s", o->log, strerror(errno));
    gpt2q_status status = guard_open(&s->guard, o, err);
    if (!status && !s->guard.loopback_only && !s->guard.n_keys && !o->no_auth)
        status = error_set(
            err, GPT2Q_INVALID_ARGUMENT,
            "--host %s can be reached from other machines: give --api-key-file FILE or $GPT2Q_API_KEY, "
            "or --no-auth",
            o->host);
    if (!status) status = listen_open(&s->listening, o, err);
    if (status) return status;
    raise_file_limit();
    if (!news_open(&s->news) || s->signals < 0 || s->loaded < 0)
        return error_set(err, GPT2Q_IO, "no file descriptors are left");
    s->worker_runs = worker_start(&s->worker);
    if (!s->worker_runs) return error_set(err, GPT2Q_OUT_OF_MEMORY, "the system gives no thread");
    if (!open_http(s, err)) return GPT2Q_IO;
    log_event(&s->log, level_of_file(s), "start", "gpt2q %s, process %ld", gpt2q_version(), (long)getpid());
    return GPT2Q_OK;
}

static void close_server(struct server *s)
{
    http_close(s->http);
    if (s->worker_runs) worker_stop(&s->worker);
    listen_close(&s->listening, !s->http);
    if (s->engine_runs) engine_stop(&s->engine);
    calls_drop(&s->host);
    for (size_t i = 0; i < s->options->n_lanes; i++) lane_close(&s->lanes[i]);
    if (s->news.event >= 0) news_close(&s->news);
    if (s->signals >= 0) close(s->signals);
    if (s->loaded >= 0) close(s->loaded);
    guard_close(&s->guard);
    log_close(&s->log);
}

int serve_run(const struct serve_options *options)
{
    gpt2q_error err = {0};
    struct server *s = mem_zalloc(sizeof *s);
    if (!s) {
        fprintf(stderr, "gpt2q serve: out of memory: a server\n");
        return 1;
    }
    s->options = options;
    s->news.event = s->signals = s->loaded = -1;
    s->started_at = (double)time(NULL);
    s->watchdog_s = watchdog_interval_s();
    int code = 1;
    gpt2q_status status = open_server(s, &err);
    if (!status && !task_start(&s->loader, load, s))
        status = error_set(&err, GPT2Q_OUT_OF_MEMORY, "the system gives no thread");
    if (!status) code = run(s);
    if (status || s->load_error.status) say("gpt2q serve: %s", status ? err.message : s->load_error.message);
    close_server(s);
    mem_free(s);
    return code;
}
