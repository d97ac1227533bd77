/* What a model's logits say about a text: the negative log-likelihood of its tokens. Beside a reference's
 * logits of the same positions, also how far the two distributions differ.
 *
 * Rows come tile by tile and are not kept. Only a few numbers of each stay, so that vocabulary x text is
 * never in memory. One thread works on a row, and rows are summed in their order. So any number of threads
 * gives the same bits. */
#ifndef STUDY_SCORE_H
#define STUDY_SCORE_H
#include "qtensor/isa.h"

/* Mean and variance, updated number by number (Welford). */
struct moments {
    uint64_t n;
    double mean, squares; /* sum of squared distances from the mean */
};
void moments_add(struct moments *m, double x);
/* The standard error of the mean; 0 for fewer than two numbers. */
double moments_error(const struct moments *m);

struct score {
    struct moments nll; /* of every predicted token */
    /* With a reference: */
    struct moments reference_nll, delta; /* delta: nll - reference_nll, token by token */
    struct moments kl;                   /* KL(reference || model) in nats, every position */
    double kl_max, max_difference;       /* max_difference: between two logits */
    uint64_t agreed;                     /* positions where both have the same likeliest token */
    float *kl_rows;                      /* (capacity), kl.n are used; NULL without a reference */
    size_t capacity;
};
double score_perplexity(const struct score *s);
double score_agreement(const struct score *s);
double score_agreement_error(const struct score *s);
/* The KL that a fraction q of all positions does not exceed. */
gpt2q_status score_kl_quantile(const struct score *s, double q, double *out, gpt2q_error *err);
void score_free(struct score *s);

/* The scratch of scoring tiles of at most `rows` rows of logits. */
struct scorer {
    const struct kernels *kernels;
    int32_t vocab, rows;
    int n_threads;
    struct row_score *results; /* (rows) */
    float *exponentials;       /* (n_threads, vocab) with a reference */
};
gpt2q_status scorer_create(struct scorer *s, const struct kernels *kernels, int32_t vocab, int32_t rows,
                           bool with_reference, int n_threads, gpt2q_error *err);
void scorer_free(struct scorer *s);

/* Adds n rows of logits (n, vocab). targets[r] is the token after row r, or -1 if it does not count.
 * reference is (n, vocab) or NULL. GPT2Q_NON_FINITE if a row holds a number that is not finite. */
gpt2q_status scorer_add(struct scorer *s, const float *logits, const float *reference, const int32_t *targets,
                        int32_t n, struct score *score, gpt2q_error *err);
#endif
