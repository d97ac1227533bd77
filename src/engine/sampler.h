/* From a row of logits to a token, and to log-probabilities. Knows no model, no cache.
 *
 * Order: repetition penalty over the history (positive logits divided, negative multiplied), temperature,
 * top-k (exactly k), top-p (the shortest prefix of the descending order that reaches p), min-p (at least
 * min_p of the largest probability); probabilities are renormalized after each. Order of candidates and of
 * every sum: logit descending, id ascending. One uniform number per (seed, position), from a counter-based
 * generator, so that a token depends on nothing else.
 *
 * That is the definition. Mostly the best candidates suffice to find the token it gives, and only they are
 * sorted. */
#ifndef ENGINE_SAMPLER_H
#define ENGINE_SAMPLER_H
#include "engine/ranking.h"
#include "kernels/kernels.h"

struct sampler {
    const struct kernels *kernels;
    int32_t vocab_size;
    float *logits;        /* (vocab_size) working copy */
    float *probabilities; /* (vocab_size) unnormalized */
    struct ranking ranking;
};

gpt2q_status sampler_create(struct sampler *s, const struct kernels *kernels, int32_t vocab_size,
                            gpt2q_error *err);
void sampler_free(struct sampler *s);

/* Refuses values out of range, by name: temperature >= 0, top_k >= 0, 0 < top_p <= 1, 0 <= min_p <= 1,
 * repetition_penalty > 0. */
gpt2q_status sampling_check(const gpt2q_sampling *p, gpt2q_error *err);

/* The token is the arg-max of the logits as they are, and nothing else of them counts. */
bool sampling_is_greedy(const gpt2q_sampling *p);

/* The token at `position` of a sequence whose tokens so far are history (n). -1 if a logit is not finite. */
int32_t sampler_draw(struct sampler *s, const gpt2q_sampling *p, const float *logits, const int32_t *history,
                     int32_t n, int32_t position);

/* log p(id) from the raw logits, and the k best (k <= vocab_size) into top, best first. */
float sampler_logprobs(struct sampler *s, const float *logits, int32_t id, gpt2q_token_logprob *top,
                       int32_t k);

/* The number in [0, 1) of (seed, position): 53 bits of two rounds of the splitmix64 mixer. */
double sampler_uniform(uint64_t seed, uint64_t position);
#endif
