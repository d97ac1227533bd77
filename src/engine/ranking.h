/* A row of logits in order: logit descending, id ascending (-0 and 0 are equal). Only the beginning is
 * sorted, as far as it is asked for; where that ends, a histogram over the distance from the largest logit
 * tells. */
#ifndef ENGINE_RANKING_H
#define ENGINE_RANKING_H
#include "base/status.h"

/* Buckets are as wide, in units of logits; the last one holds all that is farther away. */
#define RANKING_BUCKETS 2048
#define RANKING_WIDTH   0x1p-6f

struct ranking {
    int32_t n; /* logits of a row */
    const float *logits;
    float best;
    int32_t count[RANKING_BUCKETS]; /* logits by bucket */
    uint64_t *keys, *spare;         /* (n) */
    int32_t n_sorted;
};

gpt2q_status ranking_create(struct ranking *r, int32_t n, gpt2q_error *err);
void ranking_free(struct ranking *r);

/* A new row without NaN whose largest logit is `best`; it is read until the next. What is infinite is in the
 * last bucket, beside an infinite best all. Nothing is sorted yet. */
void ranking_begin(struct ranking *r, const float *logits, float best);
/* The first bucket with which there are at least `wanted` <= n logits. */
int32_t ranking_bucket_of(const struct ranking *r, int32_t wanted);
/* Sorts the logits of the buckets up to `last`: the first n_sorted of the row. */
void ranking_sort(struct ranking *r, int32_t last);
/* Who is i-th, i < n_sorted. */
static inline int32_t ranking_id(const struct ranking *r, int32_t i) { return (int32_t)(uint32_t)r->keys[i]; }
#endif
