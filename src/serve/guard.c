#include "serve/guard.h"
#include "base/file.h"
#include "base/memory.h"
#include <ctype.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#define KEY_FILE_MAX ((size_t)1 << 20)

/* ---- keys ---- */

static gpt2q_status check_mode(const char *path, gpt2q_error *err)
{
    struct stat st;
    if (!stat(path, &st) && S_ISREG(st.st_mode) && (st.st_mode & 077))
        return error_set(err, GPT2Q_IO, "%s: others can read the keys; chmod 600 %s", path, path);
    return GPT2Q_OK;
}

static gpt2q_status add_key(struct guard *g, const char *key, size_t n, const char *from, gpt2q_error *err)
{
    if (g->n_keys == KEYS_MAX)
        return error_set(err, GPT2Q_FORMAT, "%s: has more than %d keys", from, KEYS_MAX);
    char *copy = mem_memdup(key, n);
    if (!copy) return error_memory(err, "keys", n);
    g->keys[g->n_keys++] = copy;
    return GPT2Q_OK;
}

static gpt2q_status read_keys(struct guard *g, const char *path, gpt2q_error *err)
{
    char *text;
    size_t n;
    gpt2q_status s = check_mode(path, err);
    if (!s) s = file_read_text(path, KEY_FILE_MAX, &text, &n, err);
    if (s) return s;
    for (const char *line = text, *end; !s && *line; line = *end ? end + 1 : end) {
        end = line + strcspn(line, "\n");
        const char *last = end;
        while (line < last && isspace((unsigned char)*line)) line++;
        while (last > line && isspace((unsigned char)last[-1])) last--;
        if (last > line && *line != '#') s = add_key(g, line, (size_t)(last - line), path, err);
    }
    mem_free(text);
    if (!s && !g->n_keys) s = error_set(err, GPT2Q_FORMAT, "%s: has no key", path);
    return s;
}

static gpt2q_status load(struct guard *g, gpt2q_error *err)
{
    const struct serve_options *o = g->options;
    gpt2q_status s = GPT2Q_OK;
    if (o->api_key && *o->api_key) s = add_key(g, o->api_key, strlen(o->api_key), "GPT2Q_API_KEY", err);
    if (!s && o->api_key_file) s = read_keys(g, o->api_key_file, err);
    return s;
}

gpt2q_status guard_open(struct guard *g, const struct serve_options *options, gpt2q_error *err)
{
    *g = (struct guard){.options = options, .loopback_only = !options->host || is_loopback(options->host)};
    return load(g, err);
}

gpt2q_status guard_reload(struct guard *g, gpt2q_error *err)
{
    struct guard fresh = {.options = g->options, .loopback_only = g->loopback_only};
    gpt2q_status s = load(&fresh, err);
    guard_close(s ? &fresh : g);
    if (!s) *g = fresh;
    return s;
}

void guard_close(struct guard *g)
{
    for (size_t i = 0; i < g->n_keys; i++) mem_free(g->keys[i]);
    g->n_keys = 0;
}

/* Looks at every byte of the given text, whatever the key. */
static unsigned differs(const char *given, size_t n, const char *key)
{
    size_t m = strlen(key);
    unsigned bits = (unsigned)(n ^ m) | (unsigned)((n ^ m) >> 16);
    for (size_t i = 0; i < n; i++)
        bits |= (unsigned)(unsigned char)given[i] ^ (unsigned char)(m ? key[i % m] : 0);
    return bits;
}

bool guard_key_is_good(const struct guard *g, const char *authorization, const char *x_api_key)
{
    const char *given = "";
    unsigned good = 0;
    if (!g->n_keys) return true;
    if (authorization && !strncasecmp(authorization, "Bearer ", 7)) given = authorization + 7;
    if (!*given && x_api_key) given = x_api_key;
    size_t n = strlen(given);
    for (size_t i = 0; i < g->n_keys; i++) good |= differs(given, n, g->keys[i]) == 0;
    return good != 0 && n > 0;
}

/* ---- origins and hosts ---- */

/* Of "[::1]:8080" the "::1", of "localhost:8080" the "localhost". */
static size_t host_name(const char *host, const char **name)
{
    *name = host;
    if (*host == '[') {
        *name = host + 1;
        return strcspn(host + 1, "]");
    }
    return strcspn(host, ":");
}

bool is_loopback(const char *host)
{
    const char *name;
    if (!strcmp(host, "::1")) return true;
    size_t n = host_name(host, &name);
    return (n == 9 && !strncasecmp(name, "localhost", 9)) || (n == 3 && !strncmp(name, "::1", 3)) ||
           (n > 4 && !strncmp(name, "127.", 4) && strspn(name, "0123456789.") >= n) ||
           (n > 10 && !strncasecmp(name + n - 10, ".localhost", 10));
}

static bool is_allowed(const struct guard *g, const char *host)
{
    const char *name;
    size_t n = host_name(host, &name);
    if (is_loopback(host)) return true;
    for (size_t i = 0; i < g->options->n_allowed_hosts; i++) {
        const char *allowed = g->options->allowed_hosts[i];
        if (!strcasecmp(allowed, host) || (strlen(allowed) == n && !strncasecmp(allowed, name, n)))
            return true;
    }
    return false;
}

enum guard_verdict guard_origin(const struct guard *g, const char *origin, const char *host,
                                const char **cors)
{
    *cors = NULL;
    if (!origin) return GUARD_OK;
    for (size_t i = 0; i < g->options->n_cors; i++)
        if (!strcmp(g->options->cors[i], origin) || !strcmp(g->options->cors[i], "*")) *cors = origin;
    const char *authority = strstr(origin, "://");
    bool own = host && authority && !strcasecmp(authority + 3, host);
    if (!own && !*cors) return GUARD_ORIGIN;
    if (g->loopback_only && (!host || !is_allowed(g, host))) return GUARD_HOST;
    return GUARD_OK;
}
