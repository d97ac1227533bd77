#include "app/pull/transfer.h"
#include "base/memory.h"
#include "base/shared_library.h"
#include <string.h>

#ifndef GPT2Q_CURL
gpt2q_status transfer_open(const struct transfer_options *options, struct transfer **out, gpt2q_error *err)
{
    (void)options;
    *out = NULL;
    return error_set(
        err, GPT2Q_UNSUPPORTED,
        "this gpt2q was built without libcurl: install it (Debian: libcurl4-openssl-dev, Fedora: "
        "libcurl-devel) and build again");
}
void transfer_close(struct transfer *t) { (void)t; }
enum transfer_end transfer_head(struct transfer *t, const char *url, bool with_token,
                                struct transfer_answer *answer, gpt2q_error *err)
{
    (void)t, (void)url, (void)with_token, (void)answer, (void)err;
    return TRANSFER_FAILED;
}
enum transfer_end transfer_get(struct transfer *t, const char *url, FILE *file, int64_t have, int64_t size,
                               struct transfer_answer *answer, gpt2q_error *err)
{
    (void)t, (void)url, (void)file, (void)have, (void)size, (void)answer, (void)err;
    return TRANSFER_FAILED;
}
#else
#include <curl/curl.h>
#include <stdlib.h>
#include <strings.h>
#include <unistd.h>

#define CONNECT_SECONDS 30
#define STALL_SECONDS   30 /* without a byte: broken */
#define MAX_REDIRECTS   10
#define UNANNOUNCED_MAX ((int64_t)64 << 20) /* bytes of a file whose size the server does not say */

/* ---- libcurl, loaded ---- */

static struct {
    CURLcode (*global_init)(long);
    void (*global_cleanup)(void);
    CURL *(*init)(void);
    void (*reset)(CURL *);
    CURLcode (*setopt)(CURL *, CURLoption, ...);
    CURLcode (*perform)(CURL *);
    CURLcode (*getinfo)(CURL *, CURLINFO, ...);
    void (*cleanup)(CURL *);
    const char *(*strerror)(CURLcode);
    struct curl_slist *(*slist_append)(struct curl_slist *, const char *);
    void (*slist_free_all)(struct curl_slist *);
} lib;

static gpt2q_status load(gpt2q_error *err)
{
    static const char *const names[] = {"libcurl.so.4", "libcurl-gnutls.so.4", "libcurl.4.dylib"};
    static const struct shared_function functions[] = {{"curl_global_init", (void **)&lib.global_init},
                                                       {"curl_global_cleanup", (void **)&lib.global_cleanup},
                                                       {"curl_easy_init", (void **)&lib.init},
                                                       {"curl_easy_reset", (void **)&lib.reset},
                                                       {"curl_easy_setopt", (void **)&lib.setopt},
                                                       {"curl_easy_perform", (void **)&lib.perform},
                                                       {"curl_easy_getinfo", (void **)&lib.getinfo},
                                                       {"curl_easy_cleanup", (void **)&lib.cleanup},
                                                       {"curl_easy_strerror", (void **)&lib.strerror},
                                                       {"curl_slist_append", (void **)&lib.slist_append},
                                                       {"curl_slist_free_all", (void **)&lib.slist_free_all}};
    gpt2q_status s =
        shared_library_load(names, sizeof names / sizeof *names, functions,
                            sizeof functions / sizeof *functions, "libcurl (Debian: libcurl4)", err);
    if (s) return s;
    CURLcode code = lib.global_init(CURL_GLOBAL_DEFAULT);
    return code ? error_set(err, GPT2Q_IO, "libcurl does not start: %s", lib.strerror(code)) : GPT2Q_OK;
}

/* ---- requests ---- */

struct transfer {
    CURL *curl;
    struct transfer_options options;
    struct curl_slist *headers, *headers_with_token;
    char message[CURL_ERROR_SIZE];
    /* of the request under way */
    struct transfer_answer *answer;
    FILE *file;              /* NULL: HEAD */
    int64_t begin, at, size; /* where the body must begin; where the file ends now; its whole size, or -1 */
    int64_t range_begin;     /* of Content-Range; -1 */
    bool started, stopped, announced; /* announced: size is the server's word */
    gpt2q_error refused;              /* why the write callback refused the body; "" */
};

gpt2q_status transfer_open(const struct transfer_options *options, struct transfer **out, gpt2q_error *err)
{
    *out = NULL;
    gpt2q_status s = load(err);
    if (s) return s;
    struct transfer *t = mem_zalloc(sizeof *t);
    if (!t) return error_memory(err, "a transfer", sizeof *t);
    t->options = *options;
    t->curl = lib.init();
    /* A compressed body would not have the size that the server announced. */
    t->headers = lib.slist_append(NULL, "Accept-Encoding: identity");
    t->headers_with_token = lib.slist_append(NULL, "Accept-Encoding: identity");
    bool ok = t->curl && t->headers && t->headers_with_token;
    if (ok && options->token) {
        size_t n = strlen(options->token) + sizeof "Authorization: Bearer ";
        char *line = mem_alloc(n);
        if (line) snprintf(line, n, "Authorization: Bearer %s", options->token);
        ok = line && lib.slist_append(t->headers_with_token, line);
        mem_free(line);
    }
    if (!ok) {
        transfer_close(t);
        return error_memory(err, "libcurl", sizeof *t);
    }
    *out = t;
    return GPT2Q_OK;
}

void transfer_close(struct transfer *t)
{
    if (!t) return;
    if (t->curl) lib.cleanup(t->curl);
    lib.slist_free_all(t->headers);
    lib.slist_free_all(t->headers_with_token);
    mem_free(t);
    lib.global_cleanup();
}

/* The value of "Name: value" if the line has that name. *n is its length without spaces and line end. */
static const char *header_value(const char *line, size_t length, const char *name, size_t *n)
{
    size_t name_length = strlen(name);
    if (length <= name_length || line[name_length] != ':' || strncasecmp(line, name, name_length))
        return NULL;
    const char *begin = line + name_length + 1, *end = line + length;
    while (begin < end && (*begin == ' ' || *begin == '\t')) begin++;
    while (end > begin && strchr(" \t\r\n", end[-1])) end--;
    *n = (size_t)(end - begin);
    return begin;
}

static void copy_value(char *to, size_t capacity, const char *value, size_t n)
{
    n = n < capacity ? n : 0; /* a value that is cut would mean something else */
    memcpy(to, value, n);
    to[n] = '\0';
}

/* Copies an entity tag without W/ and quotes. */
static void copy_etag(char *to, size_t capacity, const char *value, size_t n)
{
    if (n >= 2 && !memcmp(value, "W/", 2)) value += 2, n -= 2;
    if (n >= 2 && value[0] == '"' && value[n - 1] == '"') value++, n -= 2;
    copy_value(to, capacity, value, n);
}

static int64_t whole_number(const char *value, size_t n)
{
    int64_t number = 0;
    if (n == 0 || n > 17) return -1;
    for (size_t i = 0; i < n; i++) {
        if (value[i] < '0' || value[i] > '9') return -1;
        number = 10 * number + (value[i] - '0');
    }
    return number;
}

/* Of "bytes 100-199/200" the 100. */
static int64_t range_begin(const char *value, size_t n)
{
    if (n < 7 || strncasecmp(value, "bytes ", 6)) return -1;
    const char *dash = memchr(value + 6, '-', n - 6);
    return dash ? whole_number(value + 6, (size_t)(dash - value) - 6) : -1;
}

static size_t on_header(char *line, size_t one, size_t length, void *user)
{
    struct transfer *t = user;
    struct transfer_answer *a = t->answer;
    const char *v;
    size_t n;
    (void)one;
    if (length >= 5 &&
        !memcmp(line, "HTTP/", 5)) { /* another answer begins; what a redirection said about the file stays */
        a->size = a->retry_after = t->range_begin = -1;
        a->etag[0] = a->error[0] = a->location[0] = '\0';
    } else if ((v = header_value(line, length, "content-length", &n))) {
        a->size = whole_number(v, n);
    } else if ((v = header_value(line, length, "content-range", &n))) {
        t->range_begin = range_begin(v, n);
    } else if ((v = header_value(line, length, "x-linked-size", &n))) {
        a->linked_size = whole_number(v, n);
    } else if ((v = header_value(line, length, "retry-after", &n))) {
        a->retry_after = whole_number(v, n);
    } else if ((v = header_value(line, length, "etag", &n))) {
        copy_etag(a->etag, sizeof a->etag, v, n);
    } else if ((v = header_value(line, length, "x-linked-etag", &n))) {
        copy_etag(a->linked_etag, sizeof a->linked_etag, v, n);
    } else if ((v = header_value(line, length, "x-repo-commit", &n))) {
        copy_value(a->commit, sizeof a->commit, v, n);
    } else if ((v = header_value(line, length, "x-error-code", &n))) {
        copy_value(a->error, sizeof a->error, v, n);
    } else if ((v = header_value(line, length, "location", &n))) {
        copy_value(a->location, sizeof a->location, v, n);
    }
    return length;
}

/* Finds where in the file the body begins. False: the body is refused. */
static bool body_begins(struct transfer *t)
{
    long status = 0;
    lib.getinfo(t->curl, CURLINFO_RESPONSE_CODE, &status);
    t->started = true;
    t->at = status == 206 ? t->begin : 0;
    if (t->size < 0 && t->answer->size >= 0) t->size = t->at + t->answer->size;
    t->announced = t->size >= 0;
    if (!t->announced) t->size = UNANNOUNCED_MAX;
    if (status == 206 && t->range_begin != t->begin) {
        error_set(&t->refused, GPT2Q_IO, "the server sent other bytes than those asked for");
        return false;
    }
    if (fflush(t->file) || ftruncate(fileno(t->file), t->at) || fseeko(t->file, t->at, SEEK_SET)) {
        error_set(&t->refused, GPT2Q_IO, "the file cannot be written");
        return false;
    }
    return true;
}

static size_t on_body(char *data, size_t one, size_t n, void *user)
{
    struct transfer *t = user;
    (void)one;
    if (!t->file) return n;
    if (!t->started && !body_begins(t)) return 0;
    if ((int64_t)n > t->size - t->at) {
        error_set(&t->refused, GPT2Q_IO,
                  t->announced ? "the server sends more than the %lld bytes it announced"
                               : "the server sends more than %lld bytes and did not announce how many",
                  (long long)t->size);
        return 0;
    }
    if (fwrite(data, 1, n, t->file) != n) {
        error_set(&t->refused, GPT2Q_IO, "the file cannot be written: the disk may be full");
        return 0;
    }
    t->at += (int64_t)n;
    return n;
}

static int on_progress(void *user, curl_off_t total, curl_off_t now, curl_off_t up_total, curl_off_t up)
{
    struct transfer *t = user;
    (void)total, (void)now, (void)up_total, (void)up;
    if (t->options.progress) t->stopped = t->options.progress(t->options.user, t->started ? t->at : t->begin);
    return t->stopped;
}

static void set_protocols(struct transfer *t, const char *url)
{
    bool secure = !strncasecmp(url, "https:", 6);
#if LIBCURL_VERSION_NUM >= 0x075500
    lib.setopt(t->curl, CURLOPT_PROTOCOLS_STR, "http,https");
    lib.setopt(t->curl, CURLOPT_REDIR_PROTOCOLS_STR, secure ? "https" : "http,https");
#else
    long both = CURLPROTO_HTTP | CURLPROTO_HTTPS;
    lib.setopt(t->curl, CURLOPT_PROTOCOLS, both);
    lib.setopt(t->curl, CURLOPT_REDIR_PROTOCOLS, secure ? (long)CURLPROTO_HTTPS : both);
#endif
}

static void set_certificates(struct transfer *t)
{
    static const char *const variables[] = {"SSL_CERT_FILE", "CURL_CA_BUNDLE"};
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++) {
        const char *file = getenv(variables[i]);
        if (!file || !*file) continue;
        lib.setopt(t->curl, CURLOPT_CAINFO, file);
        return;
    }
}

static void prepare(struct transfer *t, const char *url, bool with_token, struct transfer_answer *answer)
{
    CURL *curl = t->curl;
    *answer = (struct transfer_answer){.size = -1, .linked_size = -1, .retry_after = -1};
    t->answer = answer;
    t->message[0] = t->refused.message[0] = '\0';
    t->started = t->stopped = false;
    t->range_begin = -1;
    lib.reset(curl);
    lib.setopt(curl, CURLOPT_URL, url);
    lib.setopt(curl, CURLOPT_USERAGENT, "gpt2q/" GPT2Q_VERSION_STRING);
    lib.setopt(curl, CURLOPT_NOSIGNAL, 1L);
    lib.setopt(curl, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_SECONDS);
    lib.setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    lib.setopt(curl, CURLOPT_LOW_SPEED_TIME, (long)STALL_SECONDS);
    lib.setopt(curl, CURLOPT_ERRORBUFFER, t->message);
    lib.setopt(curl, CURLOPT_HTTPHEADER, with_token ? t->headers_with_token : t->headers);
    lib.setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
    lib.setopt(curl, CURLOPT_HEADERDATA, t);
    lib.setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
    lib.setopt(curl, CURLOPT_WRITEDATA, t);
    lib.setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
    lib.setopt(curl, CURLOPT_XFERINFODATA, t);
    lib.setopt(curl, CURLOPT_NOPROGRESS, 0L);
    set_protocols(t, url);
    set_certificates(t);
}

static bool worth_another_attempt(CURLcode code)
{
    switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
    case CURLE_PARTIAL_FILE:
    case CURLE_OPERATION_TIMEDOUT:
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM: return true;
    default: return false;
    }
}

static enum transfer_end perform(struct transfer *t, gpt2q_error *err)
{
    CURLcode code = lib.perform(t->curl);
    lib.getinfo(t->curl, CURLINFO_RESPONSE_CODE, &t->answer->status);
    gpt2q_error ignored, *failure = err ? err : &ignored;
    if (!code || code == CURLE_HTTP_RETURNED_ERROR) return TRANSFER_DONE;
    if (t->stopped)
        error_set(failure, GPT2Q_CANCELLED, "interrupted");
    else if (t->refused.message[0])
        *failure = t->refused;
    else if (code == CURLE_UNSUPPORTED_PROTOCOL && t->answer->status)
        error_set(failure, GPT2Q_IO, "the server leads from https to http, or to another protocol");
    else
        error_set(failure, GPT2Q_IO, "%s", t->message[0] ? t->message : lib.strerror(code));
    return !t->stopped && !t->refused.message[0] && worth_another_attempt(code) ? TRANSFER_BROKEN
                                                                                : TRANSFER_FAILED;
}

enum transfer_end transfer_head(struct transfer *t, const char *url, bool with_token,
                                struct transfer_answer *answer, gpt2q_error *err)
{
    prepare(t, url, with_token, answer);
    t->file = NULL;
    t->begin = 0;
    lib.setopt(t->curl, CURLOPT_NOBODY, 1L);
    return perform(t, err);
}

enum transfer_end transfer_get(struct transfer *t, const char *url, FILE *file, int64_t have, int64_t size,
                               struct transfer_answer *answer, gpt2q_error *err)
{
    for (;;) {
        prepare(t, url, true, answer);
        t->file = file;
        t->begin = have;
        t->size = size;
        lib.setopt(t->curl, CURLOPT_FOLLOWLOCATION, 1L);
        lib.setopt(t->curl, CURLOPT_MAXREDIRS, (long)MAX_REDIRECTS);
        lib.setopt(t->curl, CURLOPT_FAILONERROR, 1L);
        char range[32];
        snprintf(range, sizeof range, "%lld-", (long long)have);
        if (have > 0) lib.setopt(t->curl, CURLOPT_RANGE, range);
        enum transfer_end end = perform(t, err);
        bool refused = have > 0 && end == TRANSFER_DONE && answer->status == 416;
        if (!refused) return end;
        have = 0;
    }
}
#endif
