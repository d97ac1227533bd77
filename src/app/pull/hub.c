#include "app/pull/hub.h"
#include <string.h>
#include <strings.h>
#include <sys/types.h>

#define ATTEMPTS     4
#define LONGEST_WAIT 60 /* seconds */
#define MAX_HOPS     5
#define PROGRESS     (1 << 20) /* bytes */

/* ---- addresses ---- */

/* Appends text. It escapes every byte but letters, digits, "-._~" and those in `also`. False: there is no room. */
static bool append_escaped(char *url, const char *text, const char *also)
{
    size_t n = strlen(url);
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                     strchr("-._~", c) || strchr(also, c);
        if (n + 4 > TRANSFER_URL) return false;
        n += (size_t)snprintf(url + n, TRANSFER_URL - n, plain ? "%c" : "%%%02X", c);
    }
    return true;
}

static gpt2q_status address(const struct hub *hub, const char *file, char url[TRANSFER_URL], gpt2q_error *err)
{
    size_t n = strlen(hub->endpoint);
    while (n && hub->endpoint[n - 1] == '/') n--;
    int length = snprintf(url, TRANSFER_URL, "%.*s/%s/resolve/", (int)n, hub->endpoint, hub->repository);
    bool fits = length > 0 && length < TRANSFER_URL - 2 && append_escaped(url, hub->revision, "");
    size_t end = strlen(url);
    if (fits) memcpy(url + end, "/", 2);
    if (!fits || !append_escaped(url, file, "/"))
        return error_set(err, GPT2Q_IO, "%s: its address is too long", file);
    return GPT2Q_OK;
}

/* The length of "https://host:port". */
static size_t origin_length(const char *url)
{
    const char *host = strstr(url, "://");
    return host ? (size_t)(host - url) + 3 + strcspn(host + 3, "/?#") : 0;
}

/* Writes to url where a redirection within the same origin leads. False: it leads to another origin. */
static bool follow_within(char url[TRANSFER_URL], const char *location)
{
    size_t origin = origin_length(url), n = strlen(location);
    if (location[0] == '/' && location[1] != '/') {
        if (origin + n >= TRANSFER_URL) return false;
        memcpy(url + origin, location, n + 1);
        return true;
    }
    if (origin == 0 || origin_length(location) != origin || strncasecmp(url, location, origin)) return false;
    memcpy(url, location, n + 1);
    return true;
}

/* A mirror that knows nothing of the file itself leads to another server: writes its address to url. */
static bool follow_elsewhere(char url[TRANSFER_URL], const char *location)
{
    bool secure = !strncasecmp(location, "https://", 8);
    if (!secure && (!strncasecmp(url, "https://", 8) || strncasecmp(location, "http://", 7))) return false;
    memcpy(url, location, strlen(location) + 1);
    return true;
}

/* ---- attempts ---- */

static bool is_redirection(long status) { return status >= 300 && status < 400; }

/* Whether another attempt may end better. A hub that never answered is not waited for. */
static bool again_after(const struct hub *hub, enum transfer_end end, const struct transfer_answer *a)
{
    if (end == TRANSFER_BROKEN) return hub->answered;
    return end == TRANSFER_DONE && (a->status == 429 || a->status == 408 || a->status >= 500);
}

/* Waits before attempt `n` (1, ..). False: no attempt is left, or the user stopped. */
static bool wait_before(struct hub *hub, int n, int64_t retry_after, const char *why)
{
    int64_t seconds = retry_after >= 0 ? retry_after : n - 1;
    if (n >= ATTEMPTS || seconds > LONGEST_WAIT || hub->stopped(hub->user)) return false;
    hub->waiting(hub->user, (int)seconds, why);
    return !hub->stopped(hub->user);
}

static gpt2q_status refused(const struct hub *hub, const char *file, const struct transfer_answer *a,
                            gpt2q_error *err)
{
    if (a->status == 401 || a->status == 403) {
        bool gated = !strcasecmp(a->error, "GatedRepo");
        return error_set(
            err, GPT2Q_IO,
            gated
                ? "%s: its owner gives access to accounts that ask for it (HTTP %ld): ask at %s, then set "
                  "HF_TOKEN"
                : "%s: there is no such model, or it is not public (HTTP %ld from %s): HF_TOKEN must hold a "
                  "token that may read it",
            hub->repository, a->status, hub->endpoint);
    }
    if (a->status == 404 && !strcasecmp(a->error, "RevisionNotFound"))
        return error_set(err, GPT2Q_IO, "%s: there is no revision \"%s\" at %s", hub->repository,
                         hub->revision, hub->endpoint);
    if (a->status == 404 && !strcasecmp(a->error, "RepoNotFound"))
        return error_set(err, GPT2Q_IO, "%s: there is no such model at %s", hub->repository, hub->endpoint);
    return error_set(err, GPT2Q_IO, "%s: %s: the server %s answered HTTP %ld", hub->repository, file,
                     hub->endpoint, a->status);
}

/* Whether this can name a file in the cache. Such a name never leads out of its folder. */
static bool is_plain(const char *s, size_t least, size_t most)
{
    size_t n = strspn(s, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_");
    return !s[n] && n >= least && n <= most;
}

static gpt2q_status take(const struct hub *hub, const char *file, const struct transfer_answer *a,
                         struct hub_file *out, gpt2q_error *err)
{
    const char *etag = a->linked_etag[0] ? a->linked_etag : a->etag;
    out->there = true;
    out->size = a->linked_size >= 0 ? a->linked_size : is_redirection(a->status) ? -1 : a->size;
    if (!is_plain(a->commit, 6, HUB_COMMIT - 1) || !is_plain(etag, 8, HUB_ETAG - 1))
        return error_set(err, GPT2Q_IO, "%s: %s: the server %s does not answer as a hub does: %s",
                         hub->repository, file, hub->endpoint,
                         a->commit[0] ? "it names no ETag" : "it names no X-Repo-Commit");
    memcpy(out->commit, a->commit, strlen(a->commit) + 1);
    memcpy(out->etag, etag, strlen(etag) + 1);
    return GPT2Q_OK;
}

static gpt2q_status broken(const struct hub *hub, const char *file, gpt2q_error *err)
{
    gpt2q_error inner = *err;
    if (inner.status == GPT2Q_CANCELLED) return GPT2Q_CANCELLED;
    return error_set(err, inner.status, "%s: %s: %s", hub->repository, file, inner.message);
}

/* Follows redirections within the hub to the last answer. url follows, too. An earlier answer may have named the commit. */
static enum transfer_end ask(struct hub *hub, char url[TRANSFER_URL], struct transfer_answer *a,
                             gpt2q_error *err)
{
    char commit[sizeof a->commit] = "";
    bool elsewhere = false;
    for (int hop = 0;; hop++) {
        enum transfer_end end = transfer_head(hub->transfer, url, hub->token_allowed && !elsewhere, a, err);
        if (end != TRANSFER_DONE) return end;
        hub->answered = true;
        if (a->commit[0]) memcpy(commit, a->commit, sizeof commit);
        if (!is_redirection(a->status) || a->linked_etag[0] || hop == MAX_HOPS) break;
        if (follow_within(url, a->location)) continue;
        if (a->commit[0] || !follow_elsewhere(url, a->location)) break;
        elsewhere = true;
    }
    memcpy(a->commit, commit, sizeof commit);
    return TRANSFER_DONE;
}

gpt2q_status hub_describe(struct hub *hub, const char *file, struct hub_file *out, gpt2q_error *err)
{
    char url[TRANSFER_URL];
    *out = (struct hub_file){.size = -1};
    for (int attempt = 1;; attempt++) {
        struct transfer_answer a;
        gpt2q_status s = address(hub, file, url, err);
        if (s) return s;
        enum transfer_end end = ask(hub, url, &a, err);
        if (end == TRANSFER_DONE && (a.status == 200 || (is_redirection(a.status) && a.commit[0])))
            return take(hub, file, &a, out, err);
        if (end == TRANSFER_DONE && a.status == 404 && (!a.error[0] || !strcasecmp(a.error, "EntryNotFound")))
            return GPT2Q_OK;
        if (end == TRANSFER_DONE) s = refused(hub, file, &a, err);
        bool again = again_after(hub, end, &a);
        int64_t after = end == TRANSFER_DONE ? a.retry_after : -1;
        if (!again || !wait_before(hub, attempt, after, err->message))
            return end == TRANSFER_DONE ? s : broken(hub, file, err);
    }
}

gpt2q_status hub_fetch(struct hub *hub, const char *file, int64_t size, FILE *to, int64_t have,
                       gpt2q_error *err)
{
    char url[TRANSFER_URL];
    gpt2q_status failed = address(hub, file, url, err);
    if (failed) return failed;
    for (int attempt = 1;; attempt++) {
        struct transfer_answer a;
        enum transfer_end end = transfer_get(hub->transfer, url, to, have, size, &a, err);
        gpt2q_status s = GPT2Q_OK;
        if (fflush(to))
            return error_set(err, GPT2Q_IO, "%s: %s: the file cannot be written", hub->repository, file);
        if (end == TRANSFER_DONE && (a.status == 200 || a.status == 206)) return GPT2Q_OK;
        if (end == TRANSFER_DONE) s = refused(hub, file, &a, err);
        bool again = again_after(hub, end, &a);
        int64_t before = have;
        have = ftello(to);
        if (have - before >= PROGRESS) attempt = 1; /* it goes on, if slowly */
        int64_t after = end == TRANSFER_DONE ? a.retry_after : -1;
        if (!again || !wait_before(hub, attempt, after, err->message))
            return end == TRANSFER_DONE ? s : broken(hub, file, err);
    }
}
