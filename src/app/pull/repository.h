/* One model in the Hugging Face cache, in the layout of that library, so that both find what the other fetched:
 *
 *   CACHE/models--OWNER--NAME/blobs/ETAG                 the contents, under the sum that the hub announces
 *   CACHE/models--OWNER--NAME/blobs/ETAG.incomplete      what has come so far
 *   CACHE/models--OWNER--NAME/snapshots/COMMIT/FILE      a link to its blob
 *   CACHE/models--OWNER--NAME/refs/REVISION              the commit
 *   CACHE/.locks/models--OWNER--NAME/ETAG.lock           held (flock) while the blob is written
 *
 * A blob gets its name when it is whole and its sum is right. Links are made when all blobs of a pull are there. The ref comes
 * last. */
#ifndef PULL_REPOSITORY_H
#define PULL_REPOSITORY_H
#include "base/status.h"
#include <stdio.h>

struct repository {
    char *folder, *locks; /* owned */
};

/* A blob being written. */
struct blob {
    char *path, *incomplete; /* owned */
    FILE *file;              /* open on `incomplete` */
    int lock;
};

enum blob_state { BLOB_THERE, BLOB_OPEN };

/* Makes the folders that are missing. name: "gpt2" or "owner/name". */
gpt2q_status repository_open(struct repository *r, const char *cache, const char *name, gpt2q_error *err);
void repository_close(struct repository *r);

/* BLOB_THERE: the blob is whole and b is empty. The sum was checked if the etag is one. BLOB_OPEN: b is locked and open, and holds
 * *have bytes. Waits for another pull of the same blob, and calls `waiting` once then. */
gpt2q_status blob_open(struct blob *b, const struct repository *r, const char *etag, int64_t size,
                       void (*waiting)(void *), void *user, enum blob_state *state, int64_t *have,
                       gpt2q_error *err);
/* Checks size and sum and gives the blob its name. A wrong blob is removed. *checked: the etag is a sum (SHA-256, or
 * the SHA-1 of git). */
gpt2q_status blob_commit(struct blob *b, const char *etag, int64_t size, bool *checked, gpt2q_error *err);
/* Closes the blob. What has come stays for the next pull. An empty file is removed. */
void blob_close(struct blob *b);

/* The path of snapshots/COMMIT/FILE, or of snapshots/COMMIT if file is "". For mem_free. NULL: memory is out. */
char *repository_path(const struct repository *r, const char *commit, const char *file);
/* The path of a blob, for mem_free. NULL: memory is out. */
char *repository_blob(const struct repository *r, const char *etag);
/* Makes snapshots/COMMIT/FILE a link to the blob. file: a relative path without "..". */
gpt2q_status repository_link(const struct repository *r, const char *commit, const char *file,
                             const char *etag, gpt2q_error *err);
gpt2q_status repository_set_ref(const struct repository *r, const char *revision, const char *commit,
                                gpt2q_error *err);
#endif
