#include "study/score.h"
#include "base/memory.h"
#include "base/threads.h"
#include "kernels/scalar_math.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

void moments_add(struct moments *m, double x)
{
    double before = x - m->mean;
    m->n++;
    m->mean += before / (double)m->n;
    m->squares += before * (x - m->mean);
}

double moments_error(const struct moments *m)
{
    return m->n < 2 ? 0 : sqrt(m->squares / (double)(m->n - 1) / (double)m->n);
}

double score_perplexity(const struct score *s) { return math_exp(s->nll.mean); }

double score_agreement(const struct score *s) { return s->kl.n ? (double)s->agreed / (double)s->kl.n : 1; }

double score_agreement_error(const struct score *s)
{
    double p = score_agreement(s);
    return s->kl.n ? sqrt(p * (1 - p) / (double)s->kl.n) : 0;
}

static int by_value(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

gpt2q_status score_kl_quantile(const struct score *s, double q, double *out, gpt2q_error *err)
{
    *out = 0;
    size_t n = s->kl.n;
    if (!n) return GPT2Q_OK;
    float *sorted = mem_array(n, sizeof *sorted);
    if (!sorted) return error_memory(err, "the divergence of every position", n * sizeof *sorted);
    memcpy(sorted, s->kl_rows, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, by_value);
    size_t rank = (size_t)ceil(q * (double)n);
    *out = (double)sorted[rank ? rank - 1 : 0];
    mem_free(sorted);
    return GPT2Q_OK;
}

void score_free(struct score *s)
{
    mem_free(s->kl_rows);
    s->kl_rows = NULL;
}

/* ---- rows ---- */

struct row_score {
    double nll, reference_nll; /* of the target; 0 if there is none */
    double kl, max_difference;
    bool agrees, finite;
};

gpt2q_status scorer_create(struct scorer *s, const struct kernels *kernels, int32_t vocab, int32_t rows,
                           bool with_reference, int n_threads, gpt2q_error *err)
{
    *s = (struct scorer){.kernels = kernels, .vocab = vocab, .rows = rows, .n_threads = n_threads};
    size_t row = (size_t)vocab * sizeof(float), scratch = with_reference ? (size_t)n_threads : 0;
    s->results = mem_array((size_t)rows, sizeof *s->results);
    s->exponentials = mem_array(scratch, row);
    if (s->results && s->exponentials) return GPT2Q_OK;
    scorer_free(s);
    return error_memory(err, "scoring", scratch * row);
}

void scorer_free(struct scorer *s)
{
    mem_free(s->results);
    mem_free(s->exponentials);
    *s = (struct scorer){0};
}

/* log(sum(exp(x))) = max + log: the parts stay apart, for in their sum a max of 3e38 would be all that is left. */
struct log_sum {
    double max, log;
};

static struct log_sum log_sum_exp(const struct kernels *k, const float *x, size_t n)
{
    float max = k->row_max(x, n);
    return (struct log_sum){(double)max, math_log(k->row_sum_exp(x, n, max))};
}

static double nll_of(struct log_sum s, float logit) { return s.max - (double)logit + s.log; }

/* Both from their largest: (r[i] - max r) - (x[i] - max x). */
static double difference(float r, double r_max, float x, double x_max)
{
    return ((double)r - r_max) - ((double)x - x_max);
}

/* The sum of e[i] times the difference in 16 partial sums and a tree, so that the compiler can use vectors; and
 * the largest |r[i] - x[i]|. */
static double weighted_difference(const float *e, const float *r, double r_max, const float *x, double x_max,
                                  size_t n, double *largest)
{
    double sum[16] = {0}, most = 0;
    size_t i = 0;
    for (; i + 16 <= n; i += 16)
        for (size_t j = 0; j < 16; j++)
            sum[j] += (double)e[i + j] * difference(r[i + j], r_max, x[i + j], x_max);
    for (size_t j = 0; i + j < n; j++)
        sum[j] += (double)e[i + j] * difference(r[i + j], r_max, x[i + j], x_max);
    for (size_t j = 0; j < n; j++) {
        double d = fabs((double)r[j] - (double)x[j]);
        most = d > most ? d : most;
    }
    *largest = most;
    for (size_t half = 8; half; half /= 2)
        for (size_t j = 0; j < half; j++) sum[j] += sum[j + half];
    return sum[0];
}

/* KL = sum p (log p - log q) = sum p (r - x) - (log_sum_exp(r) - log_sum_exp(x)), r and x from their largest. Where rounding makes it
 * negative, it is 0. */
static void compare_rows(const struct scorer *s, const float *r, const float *x, struct log_sum lse,
                         int32_t target, float *e, struct row_score *out)
{
    size_t n = (size_t)s->vocab;
    float max = s->kernels->row_max(r, n);
    double sum = s->kernels->row_exp(r, n, 1, max, e);
    struct log_sum reference = {(double)max, math_log(sum)};
    double kl = weighted_difference(e, r, reference.max, x, lse.max, n, &out->max_difference) / sum -
                (reference.log - lse.log);
    int32_t likeliest = kernels_argmax(s->kernels, r, n);
    out->kl = kl > 0 ? kl : 0;
    out->agrees = likeliest == kernels_argmax(s->kernels, x, n);
    out->reference_nll = target < 0 ? 0 : nll_of(reference, r[target]);
    out->finite = out->finite && likeliest >= 0 && isfinite(kl);
}

struct score_tile {
    struct scorer *s;
    const float *logits, *reference;
    const int32_t *targets;
    int32_t n;
};

static void score_rows(void *arg, int thread, int n_threads)
{
    const struct score_tile *t = arg;
    struct scorer *s = t->s;
    size_t n = (size_t)s->vocab;
    int64_t r0, r1;
    threads_split(t->n, thread, n_threads, &r0, &r1);
    for (int64_t r = r0; r < r1; r++) {
        const float *x = t->logits + (size_t)r * n;
        struct row_score *out = &s->results[r];
        int32_t target = t->targets[r];
        *out = (struct row_score){.finite = true};
        if (target < 0 && !t->reference) continue;
        struct log_sum lse = log_sum_exp(s->kernels, x, n);
        out->finite = isfinite(lse.max) && isfinite(lse.log);
        if (target >= 0) out->nll = nll_of(lse, x[target]);
        if (t->reference)
            compare_rows(s, t->reference + (size_t)r * n, x, lse, target,
                         s->exponentials + (size_t)thread * n, out);
    }
}

static void add_divergence(struct score *score, const struct row_score *r)
{
    score->kl_rows[score->kl.n] = (float)r->kl;
    moments_add(&score->kl, r->kl);
    score->agreed += r->agrees;
    if (r->kl > score->kl_max) score->kl_max = r->kl;
    if (r->max_difference > score->max_difference) score->max_difference = r->max_difference;
}

static gpt2q_status make_room(struct score *score, size_t more, gpt2q_error *err)
{
    size_t needed = score->kl.n + more,
           capacity = score->capacity * 2 > needed ? score->capacity * 2 : needed;
    if (needed <= score->capacity) return GPT2Q_OK;
    float *rows = mem_grow(score->kl_rows, score->capacity * sizeof *rows, capacity * sizeof *rows);
    if (!rows) return error_memory(err, "the divergence of every position", capacity * sizeof *rows);
    score->kl_rows = rows;
    score->capacity = capacity;
    return GPT2Q_OK;
}

gpt2q_status scorer_add(struct scorer *s, const float *logits, const float *reference, const int32_t *targets,
                        int32_t n, struct score *score, gpt2q_error *err)
{
    struct score_tile tile = {.s = s, .logits = logits, .reference = reference, .targets = targets, .n = n};
    gpt2q_status status = reference ? make_room(score, (size_t)n, err) : GPT2Q_OK;
    if (status) return status;
    threads_run(s->n_threads, score_rows, &tile);
    for (int32_t r = 0; r < n; r++) {
        const struct row_score *row = &s->results[r];
        if (!row->finite)
            return error_set(err, GPT2Q_NON_FINITE, "the logits of a position are not finite numbers");
        if (targets[r] >= 0) moments_add(&score->nll, row->nll);
        if (!reference) continue;
        add_divergence(score, row);
        if (targets[r] < 0) continue;
        moments_add(&score->reference_nll, row->reference_nll);
        moments_add(&score->delta, row->nll - row->reference_nll);
    }
    return GPT2Q_OK;
}
