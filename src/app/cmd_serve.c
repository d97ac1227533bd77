/* gpt2q serve: options, environment and configuration of the server. The server itself is src/serve; without libmicrohttpd there is
 * none, and this command says so. */
#include "app/commands.h"
#include "app/common.h"
#include "app/outputs.h"
#include "base/memory.h"
#include "engine/speculation.h"
#include "serve/options.h"
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#ifdef GPT2Q_SERVE
int serve_run(const struct serve_options *options);
#endif

static struct {
    struct model_options model;
    struct string_list models, aliases, cors, hosts;
    const char *scheme, *activations, *schemes, *unknown_fields, *ready_when_full;
    struct serve_options serve;
    bool print_config;
    char environment_error[320];
} opt;

static void add_sockets(struct option_set *set)
{
    struct serve_options *o = &opt.serve;
    option_add(set, (struct option){
                        0, "host", OPTION_STRING, &o->host, "HOST",
                        "listen on this address (default: 127.0.0.1); others need a key or --no-auth", 0, 0});
    option_add(set, (struct option){'p', "port", OPTION_STRING, &o->port, "N|none",
                                    "port; 0 takes any free one, none listens on no TCP port (default: 8080)",
                                    0, 0});
    option_add(set, (struct option){0, "port-file", OPTION_STRING, &o->port_file, "FILE",
                                    "write the port here once the server is ready", 0, 0});
    option_add(set, (struct option){0, "unix", OPTION_STRING, &o->unix_path, "PATH",
                                    "listen on a Unix socket, too", 0, 0});
    option_add(set, (struct option){0, "max-connections", OPTION_INTEGER, &o->max_connections, "N",
                                    "open connections; more are answered 429 (default: 2048)", 1, 100000});
    option_add(set, (struct option){0, "max-connections-per-ip", OPTION_INTEGER, &o->max_connections_of_ip,
                                    "N", "of one address (0: no limit, the default)", 0, 100000});
    option_add(set,
               (struct option){0, "header-timeout", OPTION_NUMBER, &o->header_s, "S",
                               "seconds for the headers of a request, from their first byte (default: 10)",
                               0.1, 86400});
    option_add(set, (struct option){0, "body-timeout", OPTION_NUMBER, &o->body_s, "S",
                                    "seconds for a whole request (default: 30)", 0.1, 86400});
    option_add(set, (struct option){0, "idle-timeout", OPTION_NUMBER, &o->idle_s, "S",
                                    "seconds between requests of a connection (default: 75)", 0.1, 86400});
    option_add(set, (struct option){0, "write-timeout", OPTION_NUMBER, &o->write_s, "S",
                                    "seconds in which a client reads nothing of its answer (default: 30)",
                                    0.1, 86400});
}

static void add_work(struct option_set *set)
{
    struct serve_options *o = &opt.serve;
    option_add(set, (struct option){'b', "batch-size", OPTION_INTEGER, &o->rows, "N",
                                    "rows decoded together, of each lane (default: 16)", 1, 4096});
    option_add(set,
               (struct option){0, "queue", OPTION_INTEGER, &o->queue, "N",
                               "prompts of a lane that may wait; beyond: 429 (default: 256)", 1, 1000000});
    option_add(set, (struct option){0, "queue-tokens", OPTION_INTEGER, &o->queue_tokens, "N",
                                    "tokens of these prompts (default: 262144)", 1, 1e12});
    option_add(set, (struct option){
                        0, "cache", OPTION_INTEGER, &o->cache, "N",
                        "positions of a lane's cache (default: rows times context, a quarter of the memory "
                        "at most)",
                        0, INT32_MAX});
    option_add(
        set, (struct option){0, "chunk", OPTION_INTEGER, &o->chunk, "N",
                             "tokens of prompts per step: what a long prompt costs the others (default: 256)",
                             1, 16384});
    option_add(set, (struct option){0, "max-tokens", OPTION_INTEGER, &o->max_tokens, "N",
                                    "tokens of a sample at most (default: the context)", 0, INT32_MAX});
    option_add(set, (struct option){0, "speculate", OPTION_INTEGER, &o->speculate, "N",
                                    "of requests that do not say (0: off, the default)", 0, SPECULATION_MAX});
    option_add(set, (struct option){
                        0, "deadline", OPTION_NUMBER, &o->deadline_s, "S",
                        "seconds for an answer, from its request; then 504 (0: none, the default)", 0, 1e6});
    option_add(set, (struct option){0, "max-body", OPTION_INTEGER, &o->max_body, "BYTES",
                                    "of a request's body (default: 8 MiB)", 1024, 1e9});
    option_add(set, (struct option){0, "max-prompts", OPTION_INTEGER, &o->max_prompts, "N",
                                    "prompts of a request (default: 256)", 1, 2048});
    option_add(set, (struct option){0, "max-temperature", OPTION_NUMBER, &o->max_temperature, "T",
                                    "the largest temperature that is taken (default: 2)", 0.01, 1e6});
    option_add(set,
               (struct option){0, "heartbeat", OPTION_NUMBER, &o->heartbeat_s, "S",
                               "seconds of silence after which a stream says that it lives (default: 15)",
                               0.1, 86400});
    option_add(set, (struct option){0, "stream-buffer", OPTION_INTEGER, &o->stream_buffer, "BYTES",
                                    "that may wait for a slow reader (default: 1 MiB)", 1024, 1e9});
    option_add(set,
               (struct option){0, "drain-timeout", OPTION_NUMBER, &o->drain_s, "S",
                               "seconds to finish what was accepted after SIGTERM (default: 30)", 0, 86400});
    option_add(set, (struct option){0, "drain-delay", OPTION_NUMBER, &o->drain_delay_s, "S",
                                    "seconds before that in which requests are still taken (default: 0)", 0,
                                    86400});
}

static void add_access(struct option_set *set)
{
    struct serve_options *o = &opt.serve;
    option_add(set, (struct option){0, "api-key-file", OPTION_STRING, &o->api_key_file, "FILE",
                                    "keys, one a line; also $GPT2Q_API_KEY", 0, 0});
    option_add(set, (struct option){0, "no-auth", OPTION_FLAG, &o->no_auth, NULL,
                                    "serve other machines without a key", 0, 0});
    option_add(set, (struct option){0, "open-metrics", OPTION_FLAG, &o->open_metrics, NULL,
                                    "/metrics needs no key", 0, 0});
    option_add(set, (struct option){0, "cors", OPTION_LIST, &opt.cors, "ORIGIN",
                                    "pages of this origin may ask; repeatable; * with a key only", 0, 0});
    option_add(set, (struct option){0, "allowed-host", OPTION_LIST, &opt.hosts, "HOST",
                                    "a name under which browsers come through a proxy; repeatable", 0, 0});
    option_add(set, (struct option){0, "alias", OPTION_LIST, &opt.aliases, "NAME=ID",
                                    "another name of a model; '*' takes any name for the first; repeatable",
                                    0, 0});
    option_add(set, (struct option){0, "chat", OPTION_STRING, &o->chat, "none|plain",
                                    "plain: chats are joined as a script (default: none, they are refused)",
                                    0, 0});
    option_add(set, (struct option){0, "unknown-fields", OPTION_STRING, &opt.unknown_fields, "refuse|ignore",
                                    "fields of requests that nobody knows (default: refuse)", 0, 0});
    option_add(set, (struct option){0, "ready-when-full", OPTION_STRING, &opt.ready_when_full, "yes|no",
                                    "no: /health/ready is 503 while the queue is full (default: yes)", 0, 0});
    option_add(set, (struct option){0, "no-page", OPTION_FLAG, &o->no_page, NULL, "no page at /", 0, 0});
    option_add(set, (struct option){0, "log", OPTION_STRING, &o->log, "FILE",
                                    "the log; - is standard output (default: stderr)", 0, 0});
    option_add(set, (struct option){0, "log-format", OPTION_STRING, &o->log_format, "text|json",
                                    "default: text on a terminal, else json", 0, 0});
    option_add(set, (struct option){0, "log-level", OPTION_STRING, &o->log_level, "error|warning|info|debug",
                                    "default: info", 0, 0});
    option_add(set, (struct option){0, "log-prompts", OPTION_FLAG, &o->log_prompts, NULL,
                                    "requests' bodies into the log, too", 0, 0});
    option_add(set, (struct option){0, "print-config", OPTION_FLAG, &opt.print_config, NULL,
                                    "print what holds, as JSON, and end", 0, 0});
}

/* ---- $GPT2Q_SERVE_NAME for --name: read before the command line, which wins ---- */

static void environment_bad(const char *name, const char *value, const char *expected)
{
    if (!*opt.environment_error)
        snprintf(opt.environment_error, sizeof opt.environment_error, "$%s is '%.60s' where %s is expected",
                 name, value, expected);
}

static void take_flag(bool *flag, const char *name, const char *value)
{
    static const char *const yes[] = {"yes", "true", "1"}, *const no[] = {"no", "false", "0"};
    for (size_t i = 0; i < 3; i++) {
        if (!strcasecmp(value, yes[i])) *flag = true;
        if (!strcasecmp(value, no[i])) *flag = false;
        if (!strcasecmp(value, yes[i]) || !strcasecmp(value, no[i])) return;
    }
    environment_bad(name, value, "yes or no");
}

static void take_number(const struct option *o, const char *name, const char *value)
{
    char *end;
    double x = strtod(value, &end);
    if (*end || end == value || !(x >= o->min && x <= o->max) ||
        (o->type == OPTION_INTEGER && x != (double)(int64_t)x)) {
        char expected[96];
        snprintf(expected, sizeof expected, "%s from %.15g to %.15g",
                 o->type == OPTION_INTEGER ? "an integer" : "a number", o->min, o->max);
        environment_bad(name, value, expected);
        return;
    }
    if (o->type == OPTION_INTEGER)
        *(int64_t *)o->value = (int64_t)x;
    else
        *(double *)o->value = x;
}

/* A list is separated by commas; its texts are those of the environment's copy, which stays. */
static void take_list(struct string_list *list, const char *value)
{
    char *copy = mem_strdup(value);
    for (char *part = copy ? strtok(copy, ",") : NULL; part && list->n < LIST_MAX; part = strtok(NULL, ","))
        list->items[list->n++] = part;
}

static void take_environment(struct option_set *set)
{
    for (size_t i = 0; i < set->n; i++) {
        const struct option *o = &set->options[i];
        char name[80];
        size_t n = (size_t)snprintf(name, sizeof name, "GPT2Q_SERVE_%.50s", o->name);
        for (size_t k = 12; k < n; k++)
            name[k] = name[k] == '-' ? '_' : (char)toupper((unsigned char)name[k]);
        const char *value = getenv(name);
        if (!value || !*value) continue;
        switch (o->type) {
        case OPTION_FLAG: take_flag(o->value, name, value); break;
        case OPTION_STRING: *(const char **)o->value = value; break;
        case OPTION_LIST: take_list(o->value, value); break;
        case OPTION_INTEGER:
        case OPTION_NUMBER: take_number(o, name, value); break;
        default: break;
        }
    }
}

static void set_defaults(void)
{
    memset(&opt, 0, sizeof opt);
    opt.serve = SERVE_OPTIONS_DEFAULT;
    opt.unknown_fields = "refuse";
    opt.ready_when_full = "yes";
}

static void describe(struct option_set *set)
{
    option_add(
        set, (struct option){'m', "model", OPTION_LIST, &opt.models, "PATH|NAME",
                             "a model to serve; repeatable (default: $GPT2Q_MODEL, else the model that comes "
                             "with gpt2q)",
                             0, 0});
    option_add(set, (struct option){'q', "quantize", OPTION_STRING, &opt.scheme, "SPEC",
                                    "how weights are held (default: i8, or as stored)", 0, 0});
    option_add(set, (struct option){'a', "activations", OPTION_STRING, &opt.activations,
                                    "f32|i16|i8|llm.int8|static", "default: that of the scheme", 0, 0});
    option_add(set,
               (struct option){
                   0, "schemes", OPTION_STRING, &opt.schemes, "SPEC,...",
                   "serve each model in each of these, side by side; SPEC@ACT names activations, too", 0, 0});
    add_sockets(set);
    add_work(set);
    add_access(set);
}

static void options(struct option_set *set)
{
    set_defaults();
    describe(set);
    model_options_pick(set, &opt.model, "threads isa ctx kv quiet");
    take_environment(set);
}

/* ---- lanes ---- */

static int add_lane(const char *path, const char *scheme, const char *activations)
{
    struct serve_options *o = &opt.serve;
    if (o->n_lanes == LANES_MAX)
        return usage_error("more than %d models and schemes are asked for", LANES_MAX);
    o->lanes[o->n_lanes++] =
        (struct serve_lane_options){.path = path, .scheme = scheme, .activations = activations};
    return EXIT_DONE;
}

/* A copy of the list stays for as long as the program runs. */
static int add_schemes(const char *path)
{
    int code = EXIT_DONE;
    char *rest = mem_strdup(opt.schemes), *scheme;
    if (!rest) exit_out_of_memory();
    while (!code && (scheme = strsep(&rest, ","))) {
        char *at = strchr(scheme, '@');
        if (at) *at++ = '\0';
        struct model_options check = opt.model;
        check.scheme = scheme;
        check.activations = at ? at : opt.activations;
        code = model_options_check(&check);
        if (!code) code = add_lane(path, scheme, check.activations);
    }
    return code;
}

static int make_lanes(void)
{
    int code = EXIT_DONE;
    if (opt.models.n == 0) opt.models.items[opt.models.n++] = NULL;
    if (opt.schemes && opt.scheme)
        return usage_error("--quantize and --schemes were given: one of them is expected");
    struct model_options check = opt.model;
    check.scheme = opt.scheme;
    check.activations = opt.activations;
    code = model_options_check(&check);
    for (size_t i = 0; i < opt.models.n && !code; i++) {
        const char *path = opt.models.items[i];
        code = opt.schemes ? add_schemes(path) : add_lane(path, opt.scheme, opt.activations);
    }
    return code;
}

/* ---- checks ---- */

static int check_word(const char *option, const char *value, const char *a, const char *b)
{
    if (!value || !strcmp(value, a) || !strcmp(value, b)) return EXIT_DONE;
    return usage_error("--%s is '%s' where '%s' or '%s' is expected", option, value, a, b);
}

static int check_level(const char *value)
{
    static const char *const levels[] = {"error", "warning", "info", "debug"};
    for (int i = 0; i < 4; i++)
        if (!strcmp(levels[i], value)) return EXIT_DONE;
    return usage_error("--log-level is '%s' where error, warning, info or debug is expected", value);
}

static int check_port(const char *port)
{
    char *end;
    long n = strtol(port, &end, 10);
    if (!strcmp(port, "none") || (*port && !*end && n >= 0 && n <= 65535)) return EXIT_DONE;
    return usage_error("--port is '%s' where 0 to 65535, or none, is expected", port);
}

/* Whether there is such a model is known once all are open (serve/server.c). */
static int check_aliases(void)
{
    for (size_t i = 0; i < opt.aliases.n; i++) {
        const char *a = opt.aliases.items[i], *equals = strchr(a, '=');
        if (strcmp(a, "*") && (!equals || equals == a || !equals[1]))
            return usage_error("--alias is '%s' where NAME=ID, or '*', is expected", a);
    }
    return EXIT_DONE;
}

static int check_cors(void)
{
    for (size_t i = 0; i < opt.cors.n; i++) {
        const char *o = opt.cors.items[i];
        bool any = !strcmp(o, "*");
        if (any && !opt.serve.api_key_file && !opt.serve.api_key)
            return usage_error("--cors '*' needs keys: --api-key-file FILE or $GPT2Q_API_KEY");
        if (!any && !strstr(o, "://"))
            return usage_error("--cors is '%s' where an origin like https://example.org is expected", o);
    }
    return EXIT_DONE;
}

static int check_uses(void)
{
    const bool tcp = strcmp(opt.serve.port, "none") || getenv("LISTEN_FDS");
    const struct option_use uses[] = {{"host", tcp, "with --port none"},
                                      {"port-file", tcp, "with --port none"}};
    return options_check_uses(uses, sizeof uses / sizeof *uses);
}

static int check_options(void)
{
    struct serve_options *o = &opt.serve;
    int code = check_word("chat", o->chat, "none", "plain");
    if (*opt.environment_error) return usage_error("%s", opt.environment_error);
    if (!code) code = check_word("unknown-fields", opt.unknown_fields, "refuse", "ignore");
    if (!code) code = check_word("ready-when-full", opt.ready_when_full, "yes", "no");
    if (!code) code = check_word("log-format", o->log_format, "text", "json");
    if (!code) code = check_level(o->log_level);
    if (!code) code = check_port(o->port);
    if (!code) code = check_aliases();
    if (!code) code = check_cors();
    if (!code && !strcmp(o->port, "none") && !o->unix_path)
        code = usage_error("--port none needs --unix PATH: there is nothing to listen on");
    if (!code) code = check_uses();
    if (!code && o->chunk + o->rows > 1 << 16)
        code = usage_error("--chunk and --batch-size are %d together where at most %d is possible",
                           (int)(o->chunk + o->rows), 1 << 16);
    return code ? code : make_lanes();
}

static int check_outputs(void)
{
    const struct serve_options *o = &opt.serve;
    struct outputs out = {0};
    for (size_t i = 0; i < o->n_lanes; i++) outputs_read_model(&out, o->lanes[i].path);
    outputs_read(&out, "--api-key-file", o->api_key_file);
    outputs_write(&out, "--port-file", o->port_file);
    outputs_write(&out, "--unix", o->unix_path);
    if (o->log && strcmp(o->log, "stderr")) outputs_append(&out, "--log", o->log);
    return outputs_check(&out);
}

static void take_options(void)
{
    struct serve_options *o = &opt.serve;
    o->isa = opt.model.isa;
    o->kv = opt.model.kv;
    o->threads = opt.model.threads;
    o->ctx = opt.model.ctx;
    o->quiet = opt.model.quiet;
    o->aliases = opt.aliases.items, o->n_aliases = opt.aliases.n;
    o->cors = opt.cors.items, o->n_cors = opt.cors.n;
    o->allowed_hosts = opt.hosts.items, o->n_allowed_hosts = opt.hosts.n;
    o->ignore_unknown = !strcmp(opt.unknown_fields, "ignore");
    o->ready_when_full = !strcmp(opt.ready_when_full, "yes");
}

/* ---- --print-config ---- */

static void put_option(struct json_writer *w, const struct option *o)
{
    const struct string_list *list = o->value;
    json_key(w, o->name);
    switch (o->type) {
    case OPTION_FLAG: json_put_bool(w, *(const bool *)o->value); break;
    case OPTION_STRING: json_put_string(w, *(const char *const *)o->value); break;
    case OPTION_INTEGER: json_put_integer(w, *(const int64_t *)o->value); break;
    case OPTION_NUMBER: json_put_real(w, *(const double *)o->value); break;
    default:
        json_open(w, '[');
        for (size_t i = 0; i < list->n; i++) json_put_string(w, list->items[i]);
        json_close(w, ']');
    }
}

/* The set is made anew to know the options; what they hold was kept. */
static int print_config(void)
{
    struct option_set *set = mem_zalloc(sizeof *set);
    struct json_writer w = {0};
    if (!set) exit_out_of_memory();
    describe(set);
    json_open(&w, '{');
    for (size_t i = 0; i < set->n; i++)
        if (strcmp(set->options[i].name, "print-config")) put_option(&w, &set->options[i]);
    json_key(&w, "threads"), json_put_integer(&w, opt.model.threads);
    json_key(&w, "ctx"), json_put_integer(&w, opt.model.ctx);
    json_key(&w, "kv"), json_put_string(&w, opt.model.kv);
    json_key(&w, "lanes"), json_put_integer(&w, (int64_t)opt.serve.n_lanes);
    json_key(&w, "keys"), json_put_bool(&w, opt.serve.api_key || opt.serve.api_key_file);
    json_close(&w, '}');
    char *text = json_finish(&w);
    mem_free(set);
    if (!text) exit_out_of_memory();
    puts(text);
    mem_free(text);
    return EXIT_DONE;
}

static int run_command(int argc, char **argv)
{
    if (argc) return usage_error("no argument is expected, not '%s': a model is named by --model", argv[0]);
    opt.serve.api_key = getenv("GPT2Q_API_KEY");
    int code = check_options();
    if (code) return code;
    take_options();
    if (opt.print_config) return print_config();
    code = check_outputs();
    if (code) return code;
#ifdef GPT2Q_SERVE
    return serve_run(&opt.serve);
#else
    return failure("this gpt2q was built without libmicrohttpd and cannot serve: install libmicrohttpd-dev "
                   "and build again "
                   "(tools/quickstart does both)");
#endif
}

const struct command command_serve = {
    .name = "serve",
    .arguments = "",
#ifdef GPT2Q_SERVE
    .summary = "answer over HTTP, as OpenAI's API does",
#else
    .summary = "answer over HTTP (not in this build: it was made without libmicrohttpd)",
#endif
    .description =
        "Serves /v1/completions and its neighbours, and a page at / to try it. Many requests are "
        "decoded together; an "
        "answer depends\n"
        "on its request alone, so that the same request with the same seed has the same answer "
        "here, in batch and "
        "in generate.\n"
        "SIGTERM finishes what was accepted and ends; SIGHUP opens the log and the keys again. "
        "Each option is also "
        "read from\n"
        "$GPT2Q_SERVE_NAME, as in GPT2Q_SERVE_BATCH_SIZE; an option without a value takes yes or no "
        "there, a repeatable one a list with commas; the command line wins.\n",
    .examples = "  gpt2q serve                                  the default model at http://127.0.0.1:8080\n"
                "  gpt2q serve -m gpt2 --schemes i8,i4,f32      three lanes to compare\n"
                "  gpt2q serve --port 0 --port-file port        any free port\n"
                "  GPT2Q_API_KEY=secret gpt2q serve --host 0.0.0.0   for other machines\n",
    .options = options,
    .run = run_command,
};
