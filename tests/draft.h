/* A checkpoint that tests change before it is written. It is made from tiny-relu (one block, 32 wide). */
#ifndef TESTS_DRAFT_H
#define TESTS_DRAFT_H
#include "tests/support.h"
#include "model/weights.h"

#define MAX_DRAFT 64
struct draft {
    struct st_declaration tensors[MAX_DRAFT];
    uint8_t *data[MAX_DRAFT];
    size_t n;
    char directory[4096]; /* config.json is there; the tensors come once they are written */
};

void draft_open(struct draft *d);
/* Also removes the directory. */
void draft_close(struct draft *d);
void draft_add(struct draft *d, const char *name, enum st_dtype dtype, int n_dims, const uint64_t *shape,
               const void *data);
size_t draft_index(const struct draft *d, const char *name);
void draft_remove(struct draft *d, const char *name);
/* Writes a file beside the tensors. */
void draft_file(const struct draft *d, const char *file, const char *text);
/* Adds fields to config.json. */
void draft_config(const struct draft *d, const char *more);
/* Writes all tensors into model.safetensors, or [begin, end) into a file. */
void draft_write(const struct draft *d);
void draft_write_part(const struct draft *d, const char *file, size_t begin, size_t end);

/* Loading must fail with this status and a sentence that contains `because`. Closes the draft. */
void draft_refused(struct draft *d, const char *scheme, gpt2q_status status, const char *because);

struct weights_params params_of(const char *scheme);
/* Fails the test with the error's sentence if loading fails. */
struct gpt2_weights loaded(const char *directory, const struct weights_params *p);
#endif
