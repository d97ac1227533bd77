/* The KV cache: one pool of blocks of 16 positions, sized at creation, and for each sequence a table of the
 * blocks it holds. Sequences move by descriptor, never by copying keys and values. A block may be held by
 * several sequences (a shared prefix); it is then read-only, and a sequence that wants to write into it gets
 * a copy first. All layers of a block lie together, so that the memory in use grows with the positions
 * cached. */
#ifndef MODEL_KV_CACHE_H
#define MODEL_KV_CACHE_H
#include "base/status.h"
#include "kernels/attention.h"

/* "f32", "f16", "i8". */
extern const char *const kv_format_names[KV_COUNT];
/* NULL is f32. False where the text is none of these; *out is f32 then. */
bool kv_format_parse(const char *text, enum kv_format *out);

struct kv_cache {
    enum kv_format format;
    int n_layer, n_head, head_dim;
    size_t layer_bytes;          /* of a block in one layer */
    size_t block_bytes;          /* from one block to the next */
    uint8_t *pool;               /* n_blocks * block_bytes; a block holds its layers one after another */
    int n_blocks, n_free, n_low; /* n_low: the least n_free has been */
    int32_t *free_blocks;        /* the first n_free are free */
    int32_t *holders;            /* sequences that hold each block */
    int n_seq, max_blocks;       /* sequences; blocks of one at most */
    int32_t *tables;             /* (n_seq, max_blocks) */
    int32_t *length;             /* (n_seq): positions cached */
};

/* n_ctx positions a sequence at most, n_cache positions in the pool for all together. */
gpt2q_status kv_cache_create(struct kv_cache *c, enum kv_format format, const gpt2q_config *config, int n_seq,
                             int n_ctx, int64_t n_cache, gpt2q_error *err);
void kv_cache_free(struct kv_cache *c);

/* Blocks for n further positions of a sequence, or false and nothing changed. Positions count as cached from
 * now on. */
bool kv_cache_extend(struct kv_cache *c, int sequence, int n);
/* Forgets positions from `length` on; blocks that nobody holds any more are free. */
void kv_cache_truncate(struct kv_cache *c, int sequence, int length);
/* Makes the first `length` positions of `from` those of the empty sequence `to`, block by block, without
 * copying. */
void kv_cache_share(struct kv_cache *c, int from, int to, int length);
/* Further blocks that kv_cache_extend would take for n more positions of a sequence. */
int kv_cache_blocks_needed(const struct kv_cache *c, int sequence, int n);
struct kv_view kv_cache_view(const struct kv_cache *c, int layer, int sequence);
size_t kv_cache_peak_bytes(const struct kv_cache *c);
#endif
