/* A batched cache: the rows of a context's KV cache that run together, and the four operations of the notes
 * on it: prefill, merge, filter, left_truncate. They mean what the notes mean by them and never copy a key or
 * a value: rows move as descriptors, memory as blocks.
 *
 * Ragged (the normal case): a row is one sequence of the cache and as long as its text. There is no padding,
 * so merging concatenates descriptors and there is nothing for left_truncate to drop.
 *
 * Padded: the notes' rectangle, kept to show what it costs. All rows have as many columns as the longest,
 * padding on the left. The padding columns of a row are a sequence of their own (its margin), so that the
 * text's positions begin at 0, which is the notes' cumsum(mask) - 1, and attention over the text never meets
 * a padding column, which is the notes' mask. Padding costs cache blocks always, and computation where it is
 * prefilled; a real mask would cost attention over it as well.
 *
 * It knows no requests and no tokens: whose text a row is, the scheduler knows. */
#ifndef ENGINE_BATCHED_CACHE_H
#define ENGINE_BATCHED_CACHE_H
#include "model/kv_cache.h"

struct batched_row {
    int32_t sequence; /* of the cache: keys and values of the text */
    int32_t n_pad;    /* padding columns before it; 0 if ragged */
};

struct batched_cache {
    struct kv_cache *kv;
    int32_t margins; /* padded: sequence `margins + s` is the margin of sequence s; ragged: 0 */
    int32_t n_rows, capacity;
    struct batched_row *rows;
};

/* For `capacity` rows at most. Padded takes twice as many sequences of the cache: the second half are
 * margins. */
gpt2q_status batched_cache_create(struct batched_cache *b, struct kv_cache *kv, int32_t capacity, bool padded,
                                  gpt2q_error *err);
void batched_cache_free(struct batched_cache *b);

/* Makes rows of n prompts in an empty batch. sequence[i] may hold a shared prefix already, nothing else.
 * Padded: the prompts are padded on the left to the longest of them; the first n_pad positions of each margin
 * are to be computed with the prompts. */
void batched_cache_prefill(struct batched_cache *b, const int32_t *sequence, const int32_t *n_prompt,
                           int32_t n);
/* Moves the rows of `from` behind those of b; `from` is empty afterwards. Padded: the narrower of the two is
 * padded on the left to the width of the other; false, and nothing changed, if the cache has no blocks for
 * that. */
bool batched_cache_merge(struct batched_cache *b, struct batched_cache *from);
/* Drops the rows that are not kept; their blocks are free. Rows keep their order. */
void batched_cache_filter(struct batched_cache *b, const bool *keep);
/* Drops the leading columns that are padding in every row, so that the longest row sets the width. Returns
 * how many. */
int32_t batched_cache_left_truncate(struct batched_cache *b);

/* Columns of the widest row; and padding columns, all rows together. */
int32_t batched_cache_columns(const struct batched_cache *b);
int64_t batched_cache_padding(const struct batched_cache *b);
/* The sequence that holds a row's padding columns. */
static inline int32_t batched_cache_margin(const struct batched_cache *b, int32_t row)
{
    return b->margins + b->rows[row].sequence;
}
#endif
