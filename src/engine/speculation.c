#include "engine/speculation.h"

#define TOKEN_TIME  64
#define LEAST_MATCH 2    /* one token that occurred before says too little */
#define WINDOW      4096 /* positions looked back: attention over as many takes a thousand times as long */

void speculation_begin(struct speculation *s, int32_t limit)
{
    *s = (struct speculation){.limit = limit, .balance = TOKEN_TIME};
}

/* A pass over n tokens is reckoned at (n + 1) / 2 of one over a single token: a proposal adds 1 / 2, where a
 * token of n_rows decoded together takes (n_rows + 1) / (2 n_rows). */
static int32_t price(int32_t n_rows) { return (TOKEN_TIME * n_rows + n_rows) / (n_rows + 1); }

/* Tokens before `a` that are also those before b, `most` at most. */
static int32_t common_suffix(const int32_t *ids, int32_t a, int32_t b, int32_t most)
{
    int32_t n = 0;
    while (n < most && n < a && ids[a - 1 - n] == ids[b - 1 - n]) n++;
    return n;
}

/* The end of the earlier occurrence of the longest suffix, up to `most` tokens of it, the latest of several.
 * Returns its length. */
static int32_t longest_match(const int32_t *ids, int32_t n, int32_t most, int32_t *end)
{
    int32_t longest = 0, oldest = n > WINDOW ? n - WINDOW : 0;
    for (int32_t e = n - 1; e > oldest && longest < most; e--) {
        if (ids[e - 1] != ids[n - 1]) continue;
        int32_t length = common_suffix(ids, e, n, most);
        if (length > longest) longest = length, *end = e;
    }
    return longest;
}

int32_t speculation_propose(struct speculation *s, int32_t *ids, int32_t n, int32_t most, int32_t n_rows)
{
    int32_t affordable = s->balance / price(n_rows), from = 0;
    if (most > s->limit) most = s->limit;
    if (most > affordable) most = affordable;
    if (most <= 0) return 0;
    int32_t match = longest_match(ids, n, s->limit < LEAST_MATCH ? LEAST_MATCH : s->limit, &from);
    if (match < LEAST_MATCH) return 0;
    if (most > match) most = match; /* the longer the match, the farther it is trusted */
    for (int32_t i = 0; i < most; i++) ids[n + i] = ids[from + i]; /* may run into what it has just written */
    s->balance -= most * price(n_rows);
    s->n_proposed += (uint64_t)most;
    return most;
}

void speculation_earn(struct speculation *s, bool accepted)
{
    int32_t full = (s->limit > 0 ? s->limit : 1) * TOKEN_TIME; /* past luck buys a full proposal or two */
    s->balance += 1 + accepted * TOKEN_TIME;
    if (s->balance > full) s->balance = full;
    s->n_accepted += accepted;
}
