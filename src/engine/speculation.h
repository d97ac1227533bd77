/* Prompt lookup: a text often says again what it said before. Where its last tokens occurred earlier, what
 * followed them there is proposed as what follows now; the pass that computes the last token checks the
 * proposals along with it, for little more time than it takes alone.
 *
 * This is the proposer, without model, cache or randomness. Whether a proposal is right, the row decides:
 * each position is drawn with its own number from its own logits, and equality alone is accepted, so that a
 * bad proposal costs time and never a token.
 *
 * What it may cost, an account for each request bounds, in tokens and not in seconds, so that runs repeat. It
 * begins with the time of one token, and earns a 64th of it with each token made and all of it with each
 * accepted. A proposal costs half of it, more where rows share the pass and tokens come cheaper without; what
 * the account cannot pay is not proposed. Half is much: a proposal adds a seventh to a pass of GPT-2 124M in
 * int8, two fifths in int4. But a price too low loses time wherever something is accepted, yet not enough,
 * and a model small enough for the processor's caches does take half a pass for a token more. */
#ifndef ENGINE_SPECULATION_H
#define ENGINE_SPECULATION_H
#include <stdbool.h>
#include <stdint.h>

#define SPECULATION_MAX 64 /* tokens proposed at once */

struct speculation {
    int32_t limit;   /* tokens proposed at once; 0: never */
    int32_t balance; /* in 64ths of the time of a token */
    uint64_t n_proposed, n_accepted;
};

void speculation_begin(struct speculation *s, int32_t limit);
/* Proposes what follows ids (n): writes ids[n] and on, `most` at most, and returns how many. n_rows are
 * decoded together, which is what a pass is shared by. */
int32_t speculation_propose(struct speculation *s, int32_t *ids, int32_t n, int32_t most, int32_t n_rows);
/* A token was made; accepted: it was a proposal. */
void speculation_earn(struct speculation *s, bool accepted);
#endif
