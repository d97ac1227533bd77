/* What a hub of models (huggingface.co, or a mirror of it) says of one file.
 *
 * ENDPOINT/REPOSITORY/resolve/REVISION/FILE answers HEAD. X-Repo-Commit is the commit of the revision. For large
 * files X-Linked-Etag is the SHA-256 and X-Linked-Size the size. For others ETag is git's name of the contents and
 * Content-Length the size. A redirection within the hub leads to a model's new name. One to another host leads to the bytes. */
#ifndef PULL_HUB_H
#define PULL_HUB_H
#include "app/pull/transfer.h"

#define HUB_COMMIT 72
#define HUB_ETAG   136

struct hub {
    const char *endpoint, *repository,
        *revision; /* borrowed; "https://huggingface.co", "gpt2" or "owner/name", "main" */
    bool token_allowed, answered;
    struct transfer *transfer;
    void (*waiting)(void *user, int seconds, const char *why); /* before another attempt */
    bool (*stopped)(void *user);
    void *user;
};

struct hub_file {
    bool there; /* false: the repository has no such file, and nothing else is set */
    char commit[HUB_COMMIT], etag[HUB_ETAG];
    int64_t size; /* bytes; -1: not said */
};

/* Errors name the model. Where the hub wants a token they say what to do. */
gpt2q_status hub_describe(struct hub *hub, const char *file, struct hub_file *out, gpt2q_error *err);
/* Fetches a file of `size` bytes (-1: not known) into `to`, which holds the first `have` bytes. A connection that breaks is tried
 * again. What has come stays in `to` after an error, too. */
gpt2q_status hub_fetch(struct hub *hub, const char *file, int64_t size, FILE *to, int64_t have,
                       gpt2q_error *err);
#endif
