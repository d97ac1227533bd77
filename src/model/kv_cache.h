/* The KV cache: one pool of blocks of 16 positions, sized at creation, and for each sequence a table of
 * its blocks. Sequences move by descriptor; keys and values are never copied for that. Several sequences
 * may hold a block (a shared prefix). Such a block is read-only: a sequence that wants to write into it
 * gets a copy first. All layers of a block lie together, so that the memory in use grows with the cached
 * positions. */
#ifndef MODEL_KV_CACHE_H
#define MODEL_KV_CACHE_H
#include "base/status.h"
#include "model/kept_blocks.h"
#include "qtensor/format.h"

/* "f32", "f16", "i16", "i8". */
extern const char *const kv_format_names[KV_COUNT];
/* NULL: i16 beside integer activations, whose rounding costs more, else f32. False where the text is none of
 * these; *out is what NULL gives then. */
bool kv_format_parse(const char *text, enum activations activations, enum kv_format *out);

struct kv_cache {
    enum kv_format format;
    int n_layer, n_head, head_dim;
    size_t layer_bytes;          /* of one layer of a block */
    size_t block_bytes;          /* from one block to the next */
    uint8_t *pool;               /* n_blocks * block_bytes; a block holds its layers one after another */
    int n_blocks, n_free, n_low; /* n_low: the least n_free has been */
    int32_t *free_blocks;        /* the first n_free - kept.n_listed: free, and their contents mean nothing */
    struct kept_blocks kept;     /* of the others; empty unless kv_cache_keep was called */
    int32_t *holders;            /* sequences that hold each block */
    int n_seq, max_blocks;       /* sequences; blocks of one at most */
    int32_t *tables;             /* (n_seq, max_blocks) */
    int32_t *length;             /* (n_seq): positions cached */
};

/* A sequence has at most n_ctx positions; the pool has n_cache positions for all. */
gpt2q_status kv_cache_create(struct kv_cache *c, enum kv_format format, const gpt2q_config *config, int n_seq,
                             int n_ctx, int64_t n_cache, gpt2q_error *err);
void kv_cache_free(struct kv_cache *c);

/* Takes blocks for n further positions of a sequence, which count as cached from now on. Returns false,
 * with nothing changed, if there are too few. */
bool kv_cache_extend(struct kv_cache *c, int sequence, int n);
/* Forgets positions from `length` on. Blocks that no sequence holds any more are free. */
void kv_cache_truncate(struct kv_cache *c, int sequence, int length);
/* Shares the first `length` positions of `from` with the empty sequence `to`, block by block, without
 * copying. */
void kv_cache_share(struct kv_cache *c, int from, int to, int length);
/* From now on what kv_cache_remember names can be found after its sequence is truncated, until the pool needs
 * its blocks. They count as free. */
gpt2q_status kv_cache_keep(struct kv_cache *c, gpt2q_error *err);
/* The first n positions of the sequence hold the keys and values of these ids, from the first token of the
 * text on. Whole blocks are remembered. */
void kv_cache_remember(struct kv_cache *c, int sequence, const int32_t *ids, int n);
/* How many of the first n ids are remembered: whole blocks, 0 without kv_cache_keep. */
int kv_cache_remembered(const struct kv_cache *c, const int32_t *ids, int n);
/* Makes them the beginning of the empty sequence `to`, without copying. Returns how many. */
int kv_cache_recall(struct kv_cache *c, int to, const int32_t *ids, int n);
/* The number of blocks that kv_cache_extend would take for n more positions. */
int kv_cache_blocks_needed(const struct kv_cache *c, int sequence, int n);
struct kv_view kv_cache_view(const struct kv_cache *c, int layer, int sequence);
size_t kv_cache_peak_bytes(const struct kv_cache *c);
#endif
