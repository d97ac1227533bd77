/* gpt2q pull: a model from a hub into the Hugging Face cache. */
#include "app/commands.h"
#include "app/common.h"
#include "app/outputs.h"
#include "app/pull/pull.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "model/locate.h"
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#define HUB         "https://huggingface.co"
#define MAX_TOKEN   ((size_t)4096)
#define SHOW_EVERY  0.1 /* seconds */
#define NAME_MAX_IN 200

static struct {
    const char *endpoint, *revision, *cache;
    bool quiet, json;
} opt;

static void options(struct option_set *set)
{
    opt.revision = "main";
    option_add(set,
               (struct option){0, "endpoint", OPTION_STRING, &opt.endpoint, "URL",
                               "the hub, or a mirror of it (default: $HF_ENDPOINT, else " HUB ")", 0, 0});
    option_add(set, (struct option){0, "revision", OPTION_STRING, &opt.revision, "R",
                                    "a branch, tag or commit of the model (default: main)", 0, 0});
    option_add(
        set, (struct option){0, "cache", OPTION_STRING, &opt.cache, "DIR",
                             "the cache (default: the Hugging Face cache, $HF_HUB_CACHE, $HF_HOME/hub, else "
                             "~/.cache/huggingface/hub)",
                             0, 0});
    option_add(set,
               (struct option){0, "quiet", OPTION_FLAG, &opt.quiet, NULL, "no progress on stderr", 0, 0});
    option_add(set, (struct option){0, "json", OPTION_FLAG, &opt.json, NULL,
                                    "one JSON document on stdout and nothing else", 0, 0});
}

/* ---- progress, on stderr ---- */

struct progress_state {
    const struct pull_file *file;
    int64_t began_with;
    double began_at, shown_at;
    bool line; /* a line is on the terminal, without its end */
};

static void clear_line(struct progress_state *p)
{
    if (p->line) fprintf(stderr, "\r\033[K");
    p->line = false;
}

static void show(struct progress_state *p, int64_t bytes, double now)
{
    double seconds = now - p->began_at, rate = seconds > 0 ? (double)(bytes - p->began_with) / seconds : 0;
    fprintf(stderr, "\r\033[K%s  %.1f", p->file->name, (double)bytes / 1e6);
    if (p->file->size > 0)
        fprintf(stderr, " of %.1f MB  %.0f %%", (double)p->file->size / 1e6,
                100 * (double)bytes / (double)p->file->size);
    else
        fprintf(stderr, " MB");
    fprintf(stderr, "  %.1f MB/s", rate / 1e6);
    if (p->file->size > bytes && rate > 0) {
        long left = (long)((double)(p->file->size - bytes) / rate);
        fprintf(stderr, "  %ld:%02ld left", left / 60, left % 60);
    }
    fflush(stderr);
    p->line = true;
}

static bool on_bytes(void *user, int64_t bytes)
{
    struct progress_state *p = user;
    double now = clock_seconds();
    if (p->file && !opt.quiet && isatty(STDERR_FILENO) && now - p->shown_at >= SHOW_EVERY) {
        p->shown_at = now;
        show(p, bytes, now);
    }
    return signal_seen() != 0;
}

static void on_begin(void *user, const struct pull_file *f, int64_t have)
{
    struct progress_state *p = user;
    p->file = f;
    p->began_with = have;
    p->began_at = clock_seconds();
    if (have > 0 && !opt.quiet) {
        clear_line(p);
        fprintf(stderr, "%s: goes on after the %lld bytes that are here\n", f->name, (long long)have);
    }
}

static void on_end(void *user, const struct pull_file *f)
{
    struct progress_state *p = user;
    clear_line(p);
    if (!opt.quiet)
        fprintf(stderr, "%s: %s, %s\n", f->name, f->result == PULL_THERE ? "already here" : "fetched",
                f->checked                ? strlen(f->etag) == 64 ? "SHA-256 checked" : "checked"
                : f->result == PULL_THERE ? "unchecked"
                                          : "unchecked: the hub announces no sum");
    p->file = NULL;
}

static void on_wait(void *user)
{
    clear_line(user);
    if (!opt.quiet) fprintf(stderr, "waiting for another program that fetches the same file\n");
}

static void on_pause(void *user, int seconds, const char *why)
{
    clear_line(user);
    if (!opt.quiet) fprintf(stderr, "%s; trying again in %d s\n", why, seconds);
    struct timespec left = {.tv_sec = seconds};
    while (nanosleep(&left, &left) && !signal_seen()) continue;
}

static bool on_question(void *user)
{
    (void)user;
    return signal_seen() != 0;
}

/* ---- arguments and environment ---- */

static const char *variable(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

static bool is_part(const char *s, size_t n)
{
    static const char chars[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
    if (n == 0 || n > NAME_MAX_IN / 2 || *s == '.' || *s == '-') return false;
    for (size_t i = 0; i < n; i++)
        if (!strchr(chars, s[i]) || (s[i] == '.' && i + 1 < n && s[i + 1] == '.')) return false;
    return true;
}

/* Accepts "name" and "owner/name". */
static bool is_repository(const char *s)
{
    size_t n = strcspn(s, "/");
    return is_part(s, n) && (!s[n] || (is_part(s + n + 1, strlen(s + n + 1))));
}

/* Accepts a path within a repository. */
static bool is_file(const char *s)
{
    if (strlen(s) > NAME_MAX_IN) return false;
    for (;; s++) {
        size_t n = strcspn(s, "/");
        if (n == 0 || *s == '.') return false;
        for (size_t i = 0; i < n; i++)
            if ((unsigned char)s[i] < 0x20 || s[i] == 0x7f || s[i] == '\\') return false;
        s += n;
        if (!*s) return true;
    }
}

static bool is_revision(const char *s)
{
    return *s && *s != '.' && *s != '/' && strlen(s) <= NAME_MAX_IN && !strstr(s, "..") && !strstr(s, "//") &&
           s[strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./")] == '\0';
}

/* Reads the text of a token file, for mem_free. NULL: there is none. */
static char *token_of_file(const char *path)
{
    char *text;
    size_t n;
    if (!path || !file_exists(path) || file_read_regular(path, MAX_TOKEN, &text, &n, NULL)) return NULL;
    text[strcspn(text, " \t\r\n")] = '\0';
    if (*text) return text;
    mem_free(text);
    return NULL;
}

/* The file in which `hf auth login` leaves a token, for mem_free. NULL: there is no such place. */
static char *token_path(void)
{
    if (variable("HF_TOKEN_PATH")) return mem_strdup(variable("HF_TOKEN_PATH"));
    if (variable("HF_HOME")) return path_join(variable("HF_HOME"), "token");
    return variable("HOME") ? path_join(variable("HOME"), ".cache/huggingface/token") : NULL;
}

/* The token: $HF_TOKEN, else what `hf auth login` left. For mem_free. NULL: there is none. */
static char *find_token(void)
{
    static const char *const variables[] = {"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"};
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++)
        if (variable(variables[i])) return mem_strdup(variable(variables[i]));
    char *path = token_path();
    char *token = path ? token_of_file(path) : NULL;
    mem_free(path);
    return token;
}

/* Whether a token may be sent there: the connection is encrypted, or stays within this machine. */
static bool is_private(const char *url)
{
    static const char *const here[] = {"http://localhost", "http://127.0.0.1", "http://[::1]"};
    if (!strncasecmp(url, "https://", 8)) return true;
    for (size_t i = 0; i < sizeof here / sizeof *here; i++) {
        size_t n = strlen(here[i]);
        if (!strncasecmp(url, here[i], n) && (!url[n] || strchr(":/", url[n]))) return true;
    }
    return false;
}

static bool is_printable(const char *s)
{
    for (; *s; s++)
        if ((unsigned char)*s <= 0x20 || (unsigned char)*s >= 0x7f) return false;
    return true;
}

/* ---- the pull ---- */

static void print_json(const struct pull *p, const char *name)
{
    cJSON *document = cJSON_CreateObject(), *files = cJSON_CreateArray();
    cJSON_AddStringToObject(document, "model", name);
    cJSON_AddStringToObject(document, "revision", p->hub->revision);
    cJSON_AddStringToObject(document, "commit", p->commit);
    cJSON_AddItemToObject(document, "path", json_text(p->path, strlen(p->path)));
    for (size_t i = 0; i < p->n; i++) {
        const struct pull_file *f = &p->files[i];
        cJSON *file = cJSON_CreateObject();
        cJSON_AddItemToObject(file, "name", json_text(f->name, strlen(f->name)));
        cJSON_AddItemToObject(file, "bytes",
                              f->size >= 0 ? cJSON_CreateNumber((double)f->size) : cJSON_CreateNull());
        cJSON_AddStringToObject(file, "etag", f->etag);
        cJSON_AddBoolToObject(file, "fetched", f->result == PULL_FETCHED);
        cJSON_AddBoolToObject(file, "checked", f->checked);
        cJSON_AddItemToArray(files, file);
    }
    cJSON_AddItemToObject(document, "files", files);
    json_print(document);
}

static int report(const struct pull *p, const char *name)
{
    if (opt.json) {
        print_json(p, name);
        return EXIT_DONE;
    }
    printf("%s\n", p->path);
    fflush(stdout);
    if (!opt.quiet && opt.cache)
        fprintf(stderr, "gpt2q generate -m %s \"The quick brown fox\"   runs it\n", p->path);
    else if (!opt.quiet)
        fprintf(stderr, "gpt2q generate -m %s \"The quick brown fox\"   runs it\n", name);
    return EXIT_DONE;
}

static int pull_with(struct pull *p, struct hub *hub, const char *token, struct progress_state *progress,
                     const char *name)
{
    gpt2q_error err = {0};
    const struct transfer_options transfer = {.token = token, .progress = on_bytes, .user = progress};
    if (transfer_open(&transfer, &hub->transfer, &err)) return failed(&err);
    gpt2q_status s = pull_run(p, &err);
    transfer_close(hub->transfer);
    clear_line(progress);
    int code = s ? EXIT_FAILED : report(p, name);
    if (s && signal_seen()) {
        fprintf(stderr, "gpt2q pull: interrupted; the same command goes on\n");
        code = signal_exit_code();
    } else if (s) {
        failed(&err);
        const bool kept = s != GPT2Q_FORMAT; /* bytes that are wrong are not */
        if (progress->file && kept && !opt.quiet)
            fprintf(stderr, "What came is kept: the same command goes on.\n");
    }
    return code;
}

static int pull_named(char *repository, const char *file, const char *endpoint, const char *cache,
                      const char *name)
{
    struct progress_state progress = {0};
    char *token = find_token();
    if (token && !is_printable(token)) {
        mem_free(token);
        return usage_error("the token in HF_TOKEN holds a character that no token has");
    }
    struct hub hub = {.endpoint = endpoint,
                      .repository = repository,
                      .revision = opt.revision,
                      .token_allowed = token && is_private(endpoint),
                      .waiting = on_pause,
                      .stopped = on_question,
                      .user = &progress};
    if (token && !hub.token_allowed && !opt.quiet)
        fprintf(stderr, "gpt2q pull: the token is not sent: %s is not encrypted\n", endpoint);
    struct pull *p = mem_zalloc(sizeof *p);
    if (!p) {
        mem_free(token);
        return failure("out of memory");
    }
    p->hub = &hub;
    p->cache = cache;
    p->file = file;
    p->began = on_begin;
    p->ended = on_end;
    p->waiting = on_wait;
    p->user = &progress;
    int code = pull_with(p, &hub, hub.token_allowed ? token : NULL, &progress, name);
    pull_free(p);
    mem_free(p);
    mem_free(token);
    return code;
}

/* The files of the cache have names of their own and are not opened through links (repository.h). */
static int check_outputs(void)
{
    struct outputs o = {0};
    char *token = token_path();
    outputs_read(&o, "the token file", token);
    outputs_write(&o, "--json", opt.json ? "-" : NULL);
    const int code = outputs_check(&o);
    mem_free(token);
    return code;
}

static int run(int argc, char **argv)
{
    if (argc != 1) return usage_error("the name of one model is expected, as in 'gpt2q pull gpt2'");
    const char *colon = strchr(argv[0], ':'), *file = colon ? colon + 1 : NULL;
    char *repository = mem_memdup(argv[0], colon ? (size_t)(colon - argv[0]) : strlen(argv[0]));
    if (!repository) return failure("out of memory");
    const char *endpoint = opt.endpoint              ? opt.endpoint
                           : variable("HF_ENDPOINT") ? variable("HF_ENDPOINT")
                                                     : HUB;
    int code = EXIT_DONE;
    if (!is_repository(repository) || (file && !is_file(file)))
        code = usage_error("'%s' is no NAME, OWNER/NAME or OWNER/NAME:FILE", argv[0]);
    else if (!is_revision(opt.revision))
        code = usage_error("'%s' is no branch, tag or commit", opt.revision);
    else if ((strncasecmp(endpoint, "https://", 8) && strncasecmp(endpoint, "http://", 7)) ||
             !is_printable(endpoint))
        code = usage_error("the endpoint '%s' is no address that begins with https:// or http://", endpoint);
    const char *offline = variable("HF_HUB_OFFLINE");
    if (!code && offline && strcmp(offline, "0") && strcasecmp(offline, "false"))
        code = failure("HF_HUB_OFFLINE is set: nothing is fetched");
    if (!code) code = check_outputs();
    char *cache = opt.cache ? mem_strdup(opt.cache) : model_cache_folder();
    if (!code && !cache) code = failure("out of memory");
    if (!code && !*cache) code = failure("there is no home to keep a cache in: name one with --cache DIR");
    signals_watch();
    if (!code) code = pull_named(repository, file, endpoint, cache, argv[0]);
    mem_free(cache);
    mem_free(repository);
    return code;
}

const struct command command_pull = {
    .name = "pull",
    .arguments = "NAME[:FILE]",
    .summary = "fetch a model into the Hugging Face cache",
    .description = "NAME is a model of the hub, as gpt2, gpt2-medium, gpt2-large, gpt2-xl, distilgpt2 or "
                   "OWNER/NAME. With :FILE one file of "
                   "it is fetched, such as a GGUF. The files that gpt2q needs are fetched, checked against "
                   "the sums that the "
                   "hub announces, and linked "
                   "into the cache as the Python library does it: each finds what the other fetched. An "
                   "interrupted pull goes on "
                   "where it stopped. The path is printed on stdout.\n"
                   "$HF_TOKEN opens models that are not public. $HF_ENDPOINT names a mirror. Proxies are "
                   "those of $https_proxy, "
                   "$http_proxy and $no_proxy.\n",
    .examples = "  gpt2q pull gpt2                    124 million weights, 551 MB\n"
                "  gpt2q pull distilgpt2 && gpt2q generate -m distilgpt2 \"Hello\"\n"
                "  gpt2q pull owner/name:model-q8_0.gguf\n"
                "  gpt2q pull --endpoint https://hf-mirror.com gpt2-medium\n",
    .options = options,
    .run = run,
};
