/* The files of a model that a pull fetches, their order, and when they become visible.
 *
 * Of a repository it fetches config.json; the vocabulary (tokenizer.json, or vocab.json and merges.txt, and the small files beside them);
 * and the weights in the first of these forms that is there: model.safetensors, model.safetensors.index.json with its shards,
 * pytorch_model.bin, pytorch_model.bin.index.json with its shards. With `file`, that file alone.
 * First it asks for every file. Then it fetches and checks each, links all into the snapshot, and writes the ref. A pull
 * that stops earlier leaves no half of a model. It leaves blobs, and the next pull goes on with them. */
#ifndef PULL_PULL_H
#define PULL_PULL_H
#include "app/pull/hub.h"

#define PULL_FILES_MAX 1024

enum pull_result { PULL_FETCHED, PULL_THERE };

struct pull_file {
    char *name; /* owned */
    char etag[HUB_ETAG];
    int64_t size; /* bytes; -1 until known */
    enum pull_result result;
    bool checked; /* its sum was compared */
    bool done;
};

struct pull {
    struct hub *hub;
    const char *cache, *file; /* file: NULL for a whole model */
    /* What happens, for progress; all called with `user`. */
    void (*began)(void *user, const struct pull_file *f,
                  int64_t have); /* a file begins; `have` of its bytes are here */
    void (*ended)(void *user, const struct pull_file *f);
    void (*waiting)(void *user); /* for another pull of the same file */
    void *user;
    /* results */
    struct pull_file files[PULL_FILES_MAX];
    size_t n;
    char commit[HUB_COMMIT];
    char *path; /* of the snapshot, or of the one file; owned */
};

/* Fills the results. files[0..n) say what came, also after an error. pull_free frees them. */
gpt2q_status pull_run(struct pull *p, gpt2q_error *err);
void pull_free(struct pull *p);
#endif
