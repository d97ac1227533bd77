#include "engine/batched_cache.h"
#include "base/memory.h"
#include <assert.h>
#include <string.h>

gpt2q_status batched_cache_create(struct batched_cache *b, struct kv_cache *kv, int32_t capacity, bool padded,
                                  gpt2q_error *err)
{
    *b = (struct batched_cache){.kv = kv, .capacity = capacity, .margins = padded ? capacity : 0};
    if (capacity < 1 || capacity > (padded ? kv->n_seq / 2 : kv->n_seq))
        return error_set(err, GPT2Q_INVALID_ARGUMENT, "%d %srows do not fit a cache of %d sequences",
                         (int)capacity, padded ? "padded " : "", kv->n_seq);
    b->rows = mem_array((size_t)capacity, sizeof *b->rows);
    return b->rows ? GPT2Q_OK : error_memory(err, "a batch", (size_t)capacity * sizeof *b->rows);
}

void batched_cache_free(struct batched_cache *b)
{
    mem_free(b->rows);
    *b = (struct batched_cache){0};
}

static bool is_padded(const struct batched_cache *b) { return b->margins > 0; }

void batched_cache_prefill(struct batched_cache *b, const int32_t *sequence, const int32_t *n_prompt,
                           int32_t n)
{
    int32_t longest = 0;
    assert(b->n_rows == 0 && n <= b->capacity);
    for (int32_t i = 0; i < n; i++)
        if (n_prompt[i] > longest) longest = n_prompt[i];
    for (int32_t i = 0; i < n; i++)
        b->rows[i] =
            (struct batched_row){.sequence = sequence[i], .n_pad = is_padded(b) ? longest - n_prompt[i] : 0};
    b->n_rows = n;
}

/* Columns that are cached, padding and text. */
static int32_t width(const struct batched_cache *b, int32_t row)
{
    return b->rows[row].n_pad + b->kv->length[b->rows[row].sequence];
}

int32_t batched_cache_columns(const struct batched_cache *b)
{
    int32_t widest = 0;
    for (int32_t i = 0; i < b->n_rows; i++)
        if (width(b, i) > widest) widest = width(b, i);
    return widest;
}

int64_t batched_cache_padding(const struct batched_cache *b)
{
    int64_t sum = 0;
    for (int32_t i = 0; i < b->n_rows; i++) sum += b->rows[i].n_pad;
    return sum;
}

static int64_t blocks_to_pad(const struct batched_cache *b, int32_t columns)
{
    int64_t sum = 0;
    for (int32_t i = 0; i < b->n_rows; i++)
        sum += kv_cache_blocks_needed(b->kv, batched_cache_margin(b, i), columns - width(b, i));
    return sum;
}

/* The new columns hold nothing, and nothing reads them. */
static void pad_left(struct batched_cache *b, int32_t columns)
{
    for (int32_t i = 0; i < b->n_rows; i++) {
        int32_t n = columns - width(b, i);
        bool padded = kv_cache_extend(b->kv, batched_cache_margin(b, i), n);
        assert(padded);
        (void)padded;
        b->rows[i].n_pad += n;
    }
}

bool batched_cache_merge(struct batched_cache *b, struct batched_cache *from)
{
    assert(b->kv == from->kv && b->margins == from->margins && b->n_rows + from->n_rows <= b->capacity);
    if (is_padded(b)) {
        int32_t columns = batched_cache_columns(b), other = batched_cache_columns(from);
        if (other > columns) columns = other;
        if (blocks_to_pad(b, columns) + blocks_to_pad(from, columns) > b->kv->n_free) return false;
        pad_left(b, columns);
        pad_left(from, columns);
    }
    memcpy(b->rows + b->n_rows, from->rows, (size_t)from->n_rows * sizeof *b->rows);
    b->n_rows += from->n_rows;
    from->n_rows = 0;
    return true;
}

void batched_cache_filter(struct batched_cache *b, const bool *keep)
{
    int32_t kept = 0;
    for (int32_t i = 0; i < b->n_rows; i++) {
        if (keep[i]) {
            b->rows[kept++] = b->rows[i];
            continue;
        }
        kv_cache_truncate(b->kv, b->rows[i].sequence, 0);
        if (is_padded(b)) kv_cache_truncate(b->kv, batched_cache_margin(b, i), 0);
    }
    b->n_rows = kept;
}

int32_t batched_cache_left_truncate(struct batched_cache *b)
{
    int32_t least = b->n_rows ? b->rows[0].n_pad : 0;
    for (int32_t i = 1; i < b->n_rows; i++)
        if (b->rows[i].n_pad < least) least = b->rows[i].n_pad;
    if (least == 0) return 0;
    for (int32_t i = 0; i < b->n_rows;
         i++) { /* padding columns are alike: the last of the margin stand for the first */
        b->rows[i].n_pad -= least;
        kv_cache_truncate(b->kv, batched_cache_margin(b, i), b->rows[i].n_pad);
    }
    return least;
}
