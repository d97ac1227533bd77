/* Which blocks of a KV cache hold the keys and values of which tokens, so that a later text with the same beginning finds them.
 *
 * A full block is registered under the KV_BLOCK token ids that it holds and the registered block before it; so a chain of blocks
 * stands for one text from its first token on. The ids themselves are compared, not only their hash. A registered block
 * that no sequence holds is listed, and the oldest of these is the first whose contents are given up. */
#ifndef MODEL_KEPT_BLOCKS_H
#define MODEL_KEPT_BLOCKS_H
#include "base/status.h"
#include "kernels/attention.h"

#define NO_BLOCK (-1)

struct kept_block {
    int32_t ids[KV_BLOCK];
    int32_t parent;           /* the block before it, NO_BLOCK for the first */
    uint32_t parent_age, age; /* age: how often the block's contents were given up */
    int32_t next;             /* in its bucket */
    int32_t older, newer;     /* in the list */
    bool registered, listed;
};

struct kept_blocks {
    struct kept_block *blocks; /* (n_blocks) */
    int32_t *buckets;          /* (n_buckets): the first block of each */
    uint32_t n_buckets;        /* a power of two */
    int32_t oldest, newest;    /* of the list */
    int n_listed;
};

gpt2q_status kept_blocks_create(struct kept_blocks *k, int n_blocks, gpt2q_error *err);
void kept_blocks_free(struct kept_blocks *k);

/* The block that holds these KV_BLOCK ids after `parent`, or NO_BLOCK. */
int32_t kept_blocks_find(const struct kept_blocks *k, int32_t parent, const int32_t *ids);
/* block: not registered, its contents whole. */
void kept_blocks_register(struct kept_blocks *k, int32_t block, int32_t parent, const int32_t *ids);
/* The contents are given up; what was registered behind it is not found any more. Not for a listed block. */
void kept_blocks_forget(struct kept_blocks *k, int32_t block);
/* A registered block that nobody holds, or that somebody holds again. */
void kept_blocks_list(struct kept_blocks *k, int32_t block);
void kept_blocks_unlist(struct kept_blocks *k, int32_t block);
#endif
