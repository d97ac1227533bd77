#include "engine/ranking.h"
#include "base/memory.h"
#include "kernels/half.h"
#include <string.h>

gpt2q_status ranking_create(struct ranking *r, int32_t n, gpt2q_error *err)
{
    *r = (struct ranking){.n = n};
    r->keys = mem_array((size_t)n, sizeof *r->keys);
    r->spare = mem_array((size_t)n, sizeof *r->spare);
    if (r->keys && r->spare) return GPT2Q_OK;
    ranking_free(r);
    return error_memory(err, "an order of logits", (size_t)n * 2 * sizeof *r->keys);
}

void ranking_free(struct ranking *r)
{
    mem_free(r->keys);
    mem_free(r->spare);
    *r = (struct ranking){0};
}

/* In buckets. Rounding the difference may make two logits equally far, but never the nearer one farther. It
 * overflows to infinity, and is NaN where both are infinite. */
static float distance(const struct ranking *r, float logit) { return (r->best - logit) / RANKING_WIDTH; }

void ranking_begin(struct ranking *r, const float *logits, float best)
{
    r->logits = logits;
    r->best = best;
    r->n_sorted = 0;
    memset(r->count, 0, sizeof r->count);
    for (int32_t i = 0; i < r->n; i++) {
        float d = distance(r, logits[i]);
        r->count[d < RANKING_BUCKETS - 1 ? (int32_t)d : RANKING_BUCKETS - 1]++; /* NaN is not below */
    }
}

int32_t ranking_bucket_of(const struct ranking *r, int32_t wanted)
{
    int32_t b = 0;
    for (int32_t n = r->count[0]; n < wanted; n += r->count[b]) b++;
    return b;
}

/* Ascending keys are descending logits, then ascending ids. */
static uint64_t sort_key(float logit, int32_t id)
{
    uint32_t u = float_bits(logit == 0.0f ? 0.0f : logit); /* -0 and 0 tie */
    u = u & 0x80000000u ? u : ~u & 0x7FFFFFFFu;
    return (uint64_t)u << 32 | (uint32_t)id;
}

#define DIGIT_BITS 11
#define DIGITS     3 /* of the upper half of a key */
#define RADIX      (1 << DIGIT_BITS)

static uint32_t digit(uint64_t key, int i) { return (uint32_t)(key >> (32 + i * DIGIT_BITS)) & (RADIX - 1); }

/* Sorts the first n keys by their upper half, keeping the order of equals (which is by id): a pass of radix
 * sort for each digit in which they differ. */
static void sort_keys(struct ranking *r, int32_t n)
{
    uint32_t count[DIGITS][RADIX] = {{0}};
    for (int32_t k = 0; k < n; k++)
        for (int i = 0; i < DIGITS; i++) count[i][digit(r->keys[k], i)]++;
    for (int i = 0; i < DIGITS; i++) {
        uint32_t begin = 0, size;
        if (n > 0 && count[i][digit(r->keys[0], i)] == (uint32_t)n) continue;
        for (int d = 0; d < RADIX; d++, begin += size) size = count[i][d], count[i][d] = begin;
        for (int32_t k = 0; k < n; k++) r->spare[count[i][digit(r->keys[k], i)]++] = r->keys[k];
        uint64_t *sorted = r->spare;
        r->spare = r->keys;
        r->keys = sorted;
    }
}

void ranking_sort(struct ranking *r, int32_t last)
{
    const bool all = last == RANKING_BUCKETS - 1;
    r->n_sorted = 0;
    for (int32_t i = 0; i < r->n; i++)
        if (all || distance(r, r->logits[i]) < (float)(last + 1))
            r->keys[r->n_sorted++] = sort_key(r->logits[i], i);
    sort_keys(r, r->n_sorted);
}
