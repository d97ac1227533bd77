/* From a row of logits to a token, and to log-probabilities. Knows no model, no cache.
 *
 * Order: bias, bans, repetition penalty over the history (positive logits divided, negative multiplied),
 * frequency and presence penalties over the completion, temperature, top-k (exactly k), top-p (the shortest prefix of the descending order that reaches p), min-p (at least
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
    int32_t *met;         /* (vocab_size) zero between draws: how often a token was met */
    struct ranking ranking;
};

gpt2q_status sampler_create(struct sampler *s, const struct kernels *kernels, int32_t vocab_size,
                            gpt2q_error *err);
void sampler_free(struct sampler *s);

/* What a request asks of single tokens, before all else. Banned are those that are biased by GPT2Q_BAN or less, those not among
 * `allowed` (if there are any), and `ends` while fewer than min_tokens are made. Everything is the caller's. */
struct sampling_rules {
    const gpt2q_logit_bias *bias;
    const int32_t *allowed, *ends;
    size_t n_bias, n_allowed, n_ends;
    int32_t min_tokens;
};
/* There is nothing that rules ask for. */
bool sampling_rules_empty(const struct sampling_rules *r);
/* Tokens of a vocabulary that are never banned, by rules with min_tokens at its beginning. */
int32_t sampling_rules_left(const struct sampling_rules *r, uint8_t *banned, int32_t vocab_size);

/* Refuses values out of range, by name: temperature >= 0, top_k >= 0, 0 < top_p <= 1, 0 <= min_p <= 1,
 * repetition_penalty > 0. */
gpt2q_status sampling_check(const gpt2q_sampling *p, gpt2q_error *err);

/* The token is the arg-max of the logits as they are, and nothing else of them counts. */
bool sampling_is_greedy(const gpt2q_sampling *p);

/* The tokens before the one to draw: n, of which the first n_prompt are the prompt's. */
struct sampling_history {
    const int32_t *ids;
    int32_t n, n_prompt;
};
/* The token at `position` of a sequence. rules NULL: none. -1 if a logit is not finite. */
int32_t sampler_draw(struct sampler *s, const gpt2q_sampling *p, const struct sampling_rules *rules,
                     const float *logits, struct sampling_history history, int32_t position);

/* log p(id) from the raw logits, and the k best (k <= vocab_size) into top, best first. */
float sampler_logprobs(struct sampler *s, const float *logits, int32_t id, gpt2q_token_logprob *top,
                       int32_t k);

/* 1 for the likeliest token; of equal logits the lower id comes first. */
int32_t sampler_rank(const struct sampler *s, const float *logits, int32_t id);

/* The number in [0, 1) of (seed, position): 53 bits of two rounds of the splitmix64 mixer. */
double sampler_uniform(uint64_t seed, uint64_t position);
#endif
