/* HTTP requests by libcurl. It knows nothing about models.
 *
 * The first transfer_open loads libcurl. Loaded at the program's start, libcurl and its libraries would more than double the
 * time that every other command takes to start. A program built without libcurl's header refuses
 * transfer_open with a sentence.
 *
 * libcurl itself heeds http_proxy, https_proxy, all_proxy and no_proxy. The certificates are those of SSL_CERT_FILE, else
 * CURL_CA_BUNDLE, else libcurl's own. From https only https is followed. */
#ifndef PULL_TRANSFER_H
#define PULL_TRANSFER_H
#include "base/status.h"
#include <stdio.h>

#define TRANSFER_URL 4096

struct transfer;

struct transfer_options {
    const char *token; /* sent as "Authorization: Bearer ..", to the host asked only; NULL: none */
    /* Called several times a second with the bytes of the file that are there. True ends the transfer. May be NULL. */
    bool (*progress)(void *user, int64_t bytes);
    void *user;
};

/* Headers of an answer. A text is "" if the answer lacks the header. */
struct transfer_answer {
    long status;                      /* of HTTP */
    int64_t size, linked_size;        /* Content-Length, X-Linked-Size; -1 */
    int64_t retry_after;              /* seconds; -1 */
    char etag[136], linked_etag[136]; /* without W/ and quotes */
    char commit[80];                  /* X-Repo-Commit */
    char error[64];                   /* X-Error-Code */
    char location[TRANSFER_URL];      /* as the server wrote it */
};

/* Whether another request may do better. */
enum transfer_end {
    TRANSFER_DONE,
    TRANSFER_BROKEN, /* the connection failed or broke off: worth another attempt */
    TRANSFER_FAILED  /* another attempt would fail, too */
};

gpt2q_status transfer_open(const struct transfer_options *options, struct transfer **out, gpt2q_error *err);
void transfer_close(struct transfer *t);

/* HEAD, no redirection followed. Any answer is TRANSFER_DONE, whatever its status. Else *err is filled. */
enum transfer_end transfer_head(struct transfer *t, const char *url, bool with_token,
                                struct transfer_answer *answer, gpt2q_error *err);
/* GET, redirections followed. `file` holds its first `have` bytes, and the server is asked for the rest. If the server sends
 * all of it, or refuses the range, the file begins anew. More than `size` bytes are refused. If size is -1 (not known), the answer's
 * Content-Length takes its place, or else 64 MiB, for the hub announces the size of every file that is larger. */
enum transfer_end transfer_get(struct transfer *t, const char *url, FILE *file, int64_t have, int64_t size,
                               struct transfer_answer *answer, gpt2q_error *err);
#endif
