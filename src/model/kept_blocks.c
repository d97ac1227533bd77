#include "model/kept_blocks.h"
#include "base/memory.h"
#include <assert.h>
#include <string.h>

gpt2q_status kept_blocks_create(struct kept_blocks *k, int n_blocks, gpt2q_error *err)
{
    *k = (struct kept_blocks){.n_buckets = 1, .oldest = NO_BLOCK, .newest = NO_BLOCK};
    while (k->n_buckets < (uint32_t)n_blocks) k->n_buckets *= 2;
    k->blocks = mem_zarray((size_t)n_blocks, sizeof *k->blocks);
    k->buckets = mem_array(k->n_buckets, sizeof *k->buckets);
    if (!k->blocks || !k->buckets) {
        kept_blocks_free(k);
        return error_memory(err, "the index of kept prefixes", (size_t)n_blocks * sizeof *k->blocks);
    }
    for (uint32_t i = 0; i < k->n_buckets; i++) k->buckets[i] = NO_BLOCK;
    return GPT2Q_OK;
}

void kept_blocks_free(struct kept_blocks *k)
{
    mem_free(k->blocks);
    mem_free(k->buckets);
    *k = (struct kept_blocks){0};
}

static uint32_t age_of(const struct kept_blocks *k, int32_t block)
{
    return block == NO_BLOCK ? 0 : k->blocks[block].age;
}

/* FNV-1a over words, its high bits mixed in. */
static int32_t *bucket_of(const struct kept_blocks *k, int32_t parent, uint32_t parent_age,
                          const int32_t *ids)
{
    uint64_t hash = 0xcbf29ce484222325u;
    hash = (hash ^ (uint32_t)parent) * 0x100000001b3u;
    hash = (hash ^ parent_age) * 0x100000001b3u;
    for (int i = 0; i < KV_BLOCK; i++) hash = (hash ^ (uint32_t)ids[i]) * 0x100000001b3u;
    return &k->buckets[(hash ^ hash >> 32) & (k->n_buckets - 1)];
}

int32_t kept_blocks_find(const struct kept_blocks *k, int32_t parent, const int32_t *ids)
{
    uint32_t parent_age = age_of(k, parent);
    for (int32_t b = *bucket_of(k, parent, parent_age, ids); b != NO_BLOCK; b = k->blocks[b].next) {
        const struct kept_block *block = &k->blocks[b];
        if (block->parent == parent && block->parent_age == parent_age &&
            !memcmp(block->ids, ids, sizeof block->ids))
            return b;
    }
    return NO_BLOCK;
}

void kept_blocks_register(struct kept_blocks *k, int32_t block, int32_t parent, const int32_t *ids)
{
    struct kept_block *b = &k->blocks[block];
    assert(!b->registered);
    memcpy(b->ids, ids, sizeof b->ids);
    b->parent = parent;
    b->parent_age = age_of(k, parent);
    b->registered = true;
    int32_t *bucket = bucket_of(k, parent, b->parent_age, ids);
    b->next = *bucket;
    *bucket = block;
}

void kept_blocks_forget(struct kept_blocks *k, int32_t block)
{
    struct kept_block *b = &k->blocks[block];
    assert(b->registered && !b->listed);
    int32_t *at = bucket_of(k, b->parent, b->parent_age, b->ids);
    while (*at != block) at = &k->blocks[*at].next;
    *at = b->next;
    b->registered = false;
    b->age++;
}

void kept_blocks_list(struct kept_blocks *k, int32_t block)
{
    struct kept_block *b = &k->blocks[block];
    assert(b->registered && !b->listed);
    b->listed = true;
    b->older = k->newest;
    b->newer = NO_BLOCK;
    if (k->newest != NO_BLOCK)
        k->blocks[k->newest].newer = block;
    else
        k->oldest = block;
    k->newest = block;
    k->n_listed++;
}

void kept_blocks_unlist(struct kept_blocks *k, int32_t block)
{
    struct kept_block *b = &k->blocks[block];
    assert(b->listed);
    if (b->older != NO_BLOCK)
        k->blocks[b->older].newer = b->newer;
    else
        k->oldest = b->newer;
    if (b->newer != NO_BLOCK)
        k->blocks[b->newer].older = b->older;
    else
        k->newest = b->older;
    b->listed = false;
    k->n_listed--;
}
