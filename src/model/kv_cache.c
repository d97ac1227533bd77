#include "model/kv_cache.h"
#include "base/checked.h"
#include "base/memory.h"
#include <assert.h>
#include <string.h>

const char *const kv_format_names[KV_COUNT] = {"f32", "f16", "i16", "i8"};

bool kv_format_parse(const char *text, enum activations activations, enum kv_format *out)
{
    *out = activations == ACTIVATIONS_F32 ? KV_F32 : KV_I16;
    for (int i = 0; text && i < KV_COUNT; i++)
        if (!strcmp(text, kv_format_names[i])) return *out = (enum kv_format)i, true;
    return !text;
}

static int blocks_for(int64_t positions) { return (int)((positions + KV_BLOCK - 1) / KV_BLOCK); }

/* Rounds up to an odd number of pages. At a power of two, all blocks of a layer would fall into the same
 * few sets of a cache. */
static size_t spread(size_t block_bytes) { return round_up(block_bytes, 4096) | 4096; }

gpt2q_status kv_cache_create(struct kv_cache *c, enum kv_format format, const gpt2q_config *config, int n_seq,
                             int n_ctx, int64_t n_cache, gpt2q_error *err)
{
    int head_dim = config->n_embd / config->n_head;
    *c = (struct kv_cache){
        .format = format, .n_layer = config->n_layer, .n_head = config->n_head, .head_dim = head_dim};
    if (n_cache < 1 || n_cache > INT32_MAX)
        return error_set(err, GPT2Q_INVALID_ARGUMENT, "a cache of %lld positions is out of range",
                         (long long)n_cache);
    c->layer_bytes = round_up(kv_block_bytes(format, c->n_head, head_dim), 64);
    c->block_bytes = spread((size_t)c->n_layer * c->layer_bytes);
    c->n_blocks = c->n_free = c->n_low = blocks_for(n_cache);
    c->n_seq = n_seq;
    c->max_blocks = blocks_for(n_ctx);
    size_t all;
    if (!checked_mul(c->block_bytes, (size_t)c->n_blocks, &all))
        return error_memory(err, "the KV cache", SIZE_MAX);
    c->pool = mem_alloc(all);
    c->free_blocks = mem_array((size_t)c->n_blocks, sizeof *c->free_blocks);
    c->holders = mem_zarray((size_t)c->n_blocks, sizeof *c->holders);
    c->tables = mem_array((size_t)n_seq * (size_t)c->max_blocks, sizeof *c->tables);
    c->length = mem_zarray((size_t)n_seq, sizeof *c->length);
    if (!c->pool || !c->free_blocks || !c->holders || !c->tables || !c->length) {
        kv_cache_free(c);
        return error_memory(err, "the KV cache", all);
    }
    for (int i = 0; i < c->n_blocks; i++)
        c->free_blocks[i] = c->n_blocks - 1 - i; /* low blocks are taken first */
    return GPT2Q_OK;
}

void kv_cache_free(struct kv_cache *c)
{
    mem_free(c->pool);
    mem_free(c->free_blocks);
    mem_free(c->holders);
    mem_free(c->tables);
    mem_free(c->length);
    kept_blocks_free(&c->kept);
    *c = (struct kv_cache){0};
}

static int32_t *table_of(const struct kv_cache *c, int sequence)
{
    assert(sequence >= 0 && sequence < c->n_seq);
    return c->tables + (size_t)sequence * (size_t)c->max_blocks;
}

static bool is_kept(const struct kv_cache *c, int32_t block)
{
    return c->kept.blocks && c->kept.blocks[block].registered;
}

/* Free blocks that nothing remembers come first, then those that ended longest ago. */
static int32_t take_block(struct kv_cache *c)
{
    assert(c->n_free > 0);
    int n_plain = c->n_free-- - c->kept.n_listed;
    int32_t block = n_plain > 0 ? c->free_blocks[n_plain - 1] : c->kept.oldest;
    if (n_plain <= 0) {
        kept_blocks_unlist(&c->kept, block);
        kept_blocks_forget(&c->kept, block);
    }
    assert(c->holders[block] == 0);
    c->holders[block] = 1;
    if (c->n_free < c->n_low) c->n_low = c->n_free;
    return block;
}

static void drop_block(struct kv_cache *c, int32_t block)
{
    assert(c->holders[block] > 0);
    if (--c->holders[block]) return;
    if (is_kept(c, block))
        kept_blocks_list(&c->kept, block);
    else
        c->free_blocks[c->n_free - c->kept.n_listed] = block;
    c->n_free++;
}

/* The block that position `length` of the sequence falls into is partly filled, and shared or remembered. */
static bool must_copy_last(const struct kv_cache *c, int sequence)
{
    int length = c->length[sequence];
    if (length % KV_BLOCK == 0) return false;
    int32_t block = table_of(c, sequence)[length / KV_BLOCK];
    return c->holders[block] > 1 || is_kept(c, block);
}

int kv_cache_blocks_needed(const struct kv_cache *c, int sequence, int n)
{
    if (n <= 0) return 0;
    int length = c->length[sequence];
    return blocks_for((int64_t)length + n) - blocks_for(length) + must_copy_last(c, sequence);
}

static void copy_last(struct kv_cache *c, int sequence)
{
    int32_t *entry = &table_of(c, sequence)[c->length[sequence] / KV_BLOCK], block = take_block(c);
    memcpy(c->pool + (size_t)block * c->block_bytes, c->pool + (size_t)*entry * c->block_bytes,
           (size_t)c->n_layer * c->layer_bytes);
    drop_block(c, *entry);
    *entry = block;
}

bool kv_cache_extend(struct kv_cache *c, int sequence, int n)
{
    assert(n >= 0);
    int64_t total = (int64_t)c->length[sequence] + n;
    if (blocks_for(total) > c->max_blocks || kv_cache_blocks_needed(c, sequence, n) > c->n_free) return false;
    if (n && must_copy_last(c, sequence)) copy_last(c, sequence);
    int32_t *table = table_of(c, sequence);
    for (int i = blocks_for(c->length[sequence]); i < blocks_for(total); i++) table[i] = take_block(c);
    c->length[sequence] = (int32_t)total;
    return true;
}

void kv_cache_truncate(struct kv_cache *c, int sequence, int length)
{
    if (length >= c->length[sequence]) return;
    int32_t *table = table_of(c, sequence);
    for (int i = blocks_for(c->length[sequence]); i-- > blocks_for(length);) drop_block(c, table[i]);
    c->length[sequence] = length;
}

void kv_cache_share(struct kv_cache *c, int from, int to, int length)
{
    assert(c->length[to] == 0 && length <= c->length[from]);
    const int32_t *source = table_of(c, from);
    int32_t *target = table_of(c, to);
    for (int i = 0; i < blocks_for(length); i++) {
        target[i] = source[i];
        c->holders[source[i]]++;
    }
    c->length[to] = length;
}

gpt2q_status kv_cache_keep(struct kv_cache *c, gpt2q_error *err)
{
    return c->kept.blocks ? GPT2Q_OK : kept_blocks_create(&c->kept, c->n_blocks, err);
}

void kv_cache_remember(struct kv_cache *c, int sequence, const int32_t *ids, int n)
{
    assert(n <= c->length[sequence]);
    const int32_t *table = table_of(c, sequence);
    int32_t parent = NO_BLOCK;
    for (int i = 0; c->kept.blocks && i < n / KV_BLOCK; i++, ids += KV_BLOCK) {
        int32_t block = kept_blocks_find(&c->kept, parent, ids);
        if (block == NO_BLOCK) {
            block = table[i];
            /* Registered behind a block whose contents were given up since. */
            if (is_kept(c, block)) kept_blocks_forget(&c->kept, block);
            kept_blocks_register(&c->kept, block, parent, ids);
        }
        parent = block;
    }
}

int kv_cache_remembered(const struct kv_cache *c, const int32_t *ids, int n)
{
    int found = 0;
    int32_t parent = NO_BLOCK;
    while (c->kept.blocks && found + KV_BLOCK <= n &&
           (parent = kept_blocks_find(&c->kept, parent, ids + found)) != NO_BLOCK)
        found += KV_BLOCK;
    return found;
}

int kv_cache_recall(struct kv_cache *c, int to, const int32_t *ids, int n)
{
    assert(c->length[to] == 0);
    int found = kv_cache_remembered(c, ids, n);
    int32_t *table = table_of(c, to), parent = NO_BLOCK;
    for (int i = 0; i < found / KV_BLOCK; i++) {
        table[i] = parent = kept_blocks_find(&c->kept, parent, ids + i * KV_BLOCK);
        if (c->holders[parent]++ == 0) {
            kept_blocks_unlist(&c->kept, parent);
            c->n_free--;
        }
    }
    if (c->n_free < c->n_low) c->n_low = c->n_free;
    c->length[to] = found;
    return found;
}

struct kv_view kv_cache_view(const struct kv_cache *c, int layer, int sequence)
{
    return (struct kv_view){.format = c->format,
                            .n_head = c->n_head,
                            .head_dim = c->head_dim,
                            .block_bytes = c->block_bytes,
                            .pool = c->pool + (size_t)layer * c->layer_bytes,
                            .table = table_of(c, sequence)};
}

size_t kv_cache_peak_bytes(const struct kv_cache *c)
{
    return (size_t)(c->n_blocks - c->n_low) * c->layer_bytes * (size_t)c->n_layer;
}
