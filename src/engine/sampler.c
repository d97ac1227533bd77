#include "engine/sampler.h"
#include "base/memory.h"
#include "kernels/scalar_math.h"
#include <float.h>
#include <string.h>

gpt2q_sampling gpt2q_sampling_default(void)
{
    return (gpt2q_sampling){.repetition_penalty = 1.0f, .top_p = 1.0f};
}

gpt2q_status sampling_check(const gpt2q_sampling *p, gpt2q_error *err)
{
    struct rule {
        const char *name, *expected;
        double value;
        bool ok;
    } rules[] = {
        {"repetition_penalty", "above 0", (double)p->repetition_penalty,
         p->repetition_penalty > 0 && p->repetition_penalty <= 1e6f},
        {"frequency_penalty", "from -100 to 100", (double)p->frequency_penalty,
         p->frequency_penalty >= -100 && p->frequency_penalty <= 100},
        {"presence_penalty", "from -100 to 100", (double)p->presence_penalty,
         p->presence_penalty >= -100 && p->presence_penalty <= 100},
        {"temperature", "0 (greedy) or more", (double)p->temperature,
         p->temperature >= 0 && p->temperature <= 1e6f},
        {"top_k", "0 (all) or more", (double)p->top_k, p->top_k >= 0},
        {"top_p", "above 0 and at most 1", p->top_p, p->top_p > 0 && p->top_p <= 1},
        {"min_p", "from 0 to 1", (double)p->min_p, p->min_p >= 0 && p->min_p <= 1},
    };
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        if (!rules[i].ok)
            return error_set(err, GPT2Q_INVALID_ARGUMENT, "%s is %g where a number %s is expected",
                             rules[i].name, rules[i].value, rules[i].expected);
    return GPT2Q_OK;
}

gpt2q_status sampler_create(struct sampler *s, const struct kernels *kernels, int32_t vocab_size,
                            gpt2q_error *err)
{
    size_t n = (size_t)vocab_size;
    *s = (struct sampler){.kernels = kernels, .vocab_size = vocab_size};
    s->logits = mem_array(n, sizeof *s->logits);
    s->probabilities = mem_array(n, sizeof *s->probabilities);
    s->met = mem_zarray(n, sizeof *s->met);
    gpt2q_status status = ranking_create(&s->ranking, vocab_size, err);
    if (!status && (!s->logits || !s->probabilities || !s->met))
        status = error_memory(err, "the sampler", n * 3 * sizeof *s->logits);
    if (status) sampler_free(s);
    return status;
}

void sampler_free(struct sampler *s)
{
    mem_free(s->logits);
    mem_free(s->probabilities);
    mem_free(s->met);
    ranking_free(&s->ranking);
    *s = (struct sampler){0};
}

static uint64_t mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

double sampler_uniform(uint64_t seed, uint64_t position)
{
    uint64_t bits = mix(mix(seed + 0x9E3779B97F4A7C15u) + (position + 1) * 0x9E3779B97F4A7C15u);
    return (double)(bits >> 11) * 0x1p-53;
}

/* ---- before the draw: bias, bans, penalties, in s->logits ---- */

/* A banned logit is finite, so that all that follows stays so, and no other is as small. */
#define BANNED (-FLT_MAX)

static void ban_all_but(struct sampler *s, const float *logits, const struct sampling_rules *r)
{
    for (int32_t i = 0; i < s->vocab_size; i++) s->logits[i] = BANNED;
    for (size_t i = 0; i < r->n_allowed; i++) s->logits[r->allowed[i]] = logits[r->allowed[i]];
}

static void add_bias(struct sampler *s, const struct sampling_rules *r)
{
    for (size_t i = 0; i < r->n_bias; i++) {
        float *l = &s->logits[r->bias[i].id];
        *l = r->bias[i].bias <= GPT2Q_BAN || *l == BANNED ? BANNED : *l + r->bias[i].bias;
    }
}

static void follow_rules(struct sampler *s, const float *logits, const struct sampling_rules *r, int32_t made)
{
    if (r && r->n_allowed)
        ban_all_but(s, logits, r);
    else
        memcpy(s->logits, logits, (size_t)s->vocab_size * sizeof *logits);
    if (!r) return;
    add_bias(s, r);
    for (size_t i = 0; made < r->min_tokens && i < r->n_ends; i++) s->logits[r->ends[i]] = BANNED;
}

/* Each token once, however often it stands in the history. */
static void penalize_repetition(struct sampler *s, float penalty, const int32_t *ids, int32_t n)
{
    for (int32_t i = 0; i < n; i++) {
        float *l = &s->logits[ids[i]];
        if (s->met[ids[i]]++ == 0 && *l != BANNED) *l = *l > 0 ? *l / penalty : *l * penalty;
    }
    for (int32_t i = 0; i < n; i++) s->met[ids[i]] = 0;
}

/* logit -= f * count + p, in one rounding of the product and one of the difference. */
static void penalize_presence(struct sampler *s, const gpt2q_sampling *p, const int32_t *ids, int32_t n)
{
    for (int32_t i = 0; i < n; i++) s->met[ids[i]]++;
    for (int32_t i = 0; i < n; i++) {
        float *l = &s->logits[ids[i]];
        if (s->met[ids[i]] && *l != BANNED)
            *l = (float)((double)*l -
                         ((double)p->frequency_penalty * s->met[ids[i]] + (double)p->presence_penalty));
        s->met[ids[i]] = 0;
    }
}

static bool penalizes_presence(const gpt2q_sampling *p)
{
    return p->frequency_penalty != 0.0f || p->presence_penalty != 0.0f;
}

bool sampling_rules_empty(const struct sampling_rules *r)
{
    return !r->n_bias && !r->n_allowed && !(r->min_tokens && r->n_ends);
}

int32_t sampling_rules_left(const struct sampling_rules *r, uint8_t *banned, int32_t vocab_size)
{
    int32_t left = 0;
    memset(banned, r->n_allowed > 0, (size_t)vocab_size);
    for (size_t i = 0; i < r->n_allowed; i++) banned[r->allowed[i]] = 0;
    for (size_t i = 0; i < r->n_bias; i++) banned[r->bias[i].id] |= r->bias[i].bias <= GPT2Q_BAN;
    for (size_t i = 0; r->min_tokens > 0 && i < r->n_ends; i++) banned[r->ends[i]] = 1;
    for (int32_t i = 0; i < vocab_size; i++) left += !banned[i];
    return left;
}

static double sum_of(const float *p, int32_t n)
{
    double sum = 0;
    for (int32_t i = 0; i < n; i++) sum += (double)p[i];
    return sum;
}

/* The shortest prefix whose share of the whole reaches top_p. */
static int32_t nucleus(const float *p, int32_t n, double top_p)
{
    double whole = sum_of(p, n), sum = 0;
    for (int32_t i = 0; i < n; i++) {
        sum += (double)p[i];
        if (sum >= top_p * whole) return i + 1;
    }
    return n;
}

/* ---- by the definition: all candidates sorted, cut, walked ---- */

/* Unnormalized: that of the largest logit is exp(0) = 1, so min_p is compared with the probability itself. */
static int32_t candidates(struct sampler *s, const gpt2q_sampling *p, float best)
{
    int32_t n = p->top_k > 0 && p->top_k < s->vocab_size ? p->top_k : s->vocab_size;
    float *probability = s->probabilities;
    ranking_sort(&s->ranking, ranking_bucket_of(&s->ranking, n));
    for (int32_t i = 0; i < n; i++)
        probability[i] = (s->logits[ranking_id(&s->ranking, i)] - best) / p->temperature;
    s->kernels->row_exp(probability, (size_t)n, 1.0f, 0.0f, probability);
    while (n > 1 && s->logits[ranking_id(&s->ranking, n - 1)] == BANNED) n--;
    if (p->top_p < 1) n = nucleus(probability, n, p->top_p);
    while (n > 1 && probability[n - 1] < p->min_p) n--;
    return n;
}

static int32_t draw_from_candidates(struct sampler *s, const gpt2q_sampling *p, float best, double number)
{
    int32_t kept = candidates(s, p, best);
    double target = number * sum_of(s->probabilities, kept), sum = 0;
    for (int32_t i = 0; i < kept; i++) {
        sum += (double)s->probabilities[i];
        if (target < sum) return ranking_id(&s->ranking, i);
    }
    return ranking_id(&s->ranking, kept - 1);
}

/* ---- the same from the best candidates, where they suffice ----
 *
 * What the definition asks of the others is the sum of all probabilities, rounded at every step in order. In
 * 16 lanes the same terms sum to the same but for less than (17/16 n + 4) 2^-53 of it; `error` is 8 n 2^-53.
 * Who is drawn, and where top_p cuts, is undecided only where it is that near, and then the definition is
 * followed. */

#define UNDECIDED (-1)

/* The last bucket to sort: with it the share of the whole is reached, or all that follows is below min_p.
 * Made from the histogram, taking all of a bucket for its middle: where that errs it costs time, never the
 * token. No logit beyond has a probability above *rest. */
static int32_t last_to_sort(const struct sampler *s, const gpt2q_sampling *p, double share, float *rest)
{
    float mass[RANKING_BUCKETS];
    double whole = 0, sum = 0;
    int last = 0;
    for (int b = 0; b < RANKING_BUCKETS; b++) mass[b] = -((float)b + 0.5f) * RANKING_WIDTH / p->temperature;
    s->kernels->row_exp(mass, RANKING_BUCKETS, 1.0f, 0.0f, mass);
    for (int b = 0; b < RANKING_BUCKETS; b++) whole += (double)mass[b] * s->ranking.count[b];
    for (; last < RANKING_BUCKETS - 1; last++) {
        sum += (double)mass[last] * s->ranking.count[last];
        if (sum >= share * whole || mass[last] < p->min_p) break;
    }
    *rest = mass[last];
    return last;
}

static double probability_at(const struct sampler *s, int32_t i)
{
    return (double)s->probabilities[ranking_id(&s->ranking, i)];
}

/* A probability that is less by more than the rounding of exponentials: smaller logits have none that is not
 * less. */
static bool surely_less(double probability, double min_p) { return probability < min_p * (1 - 0x1p-20); }

/* How many of the sorted candidates top_p and min_p leave, and their sum; of the others each has `rest` at
 * most. */
static int32_t cut_best(const struct sampler *s, const gpt2q_sampling *p, double whole, double error,
                        float rest, double *sum)
{
    const double most = p->top_p * (whole + error), least = p->top_p * (whole - error);
    const double min_p = (double)p->min_p;
    const int32_t n = s->ranking.n_sorted;
    *sum = 0;
    for (int32_t i = 0; i < n; i++) {
        double probability = probability_at(s, i);
        if (i > 0 && probability < min_p) return surely_less(probability, min_p) ? i : UNDECIDED;
        *sum += probability;
        if (p->top_p < 1 && *sum >= least) return *sum >= most ? i + 1 : UNDECIDED;
    }
    return n == s->vocab_size || (n > 0 && surely_less((double)rest, min_p)) ? n : UNDECIDED;
}

static int32_t draw_from_best(struct sampler *s, const gpt2q_sampling *p, float best, double number)
{
    const bool cuts = p->top_p < 1 || p->min_p > 0;
    const int32_t size = s->vocab_size;
    const double width = RANKING_WIDTH / (double)p->temperature, wanted = cuts ? p->top_p : number;
    for (int32_t i = 0; i < size; i++) s->probabilities[i] = (s->logits[i] - best) / p->temperature;
    double whole = s->kernels->row_exp(s->probabilities, (size_t)size, 1.0f, 0.0f, s->probabilities);
    double error = whole * size * 0x1p-50, kept = whole, sum = 0;
    float rest;
    /* within a bucket probabilities differ by a factor exp(width) at most */
    ranking_sort(&s->ranking, last_to_sort(s, p, wanted + (1 - wanted) * (width < 1 ? width : 1), &rest));
    int32_t n = s->ranking.n_sorted;
    if (n > 0 && s->logits[ranking_id(&s->ranking, n - 1)] == BANNED) return UNDECIDED;
    if (cuts) {
        n = cut_best(s, p, whole, error, rest, &kept);
        if (n == UNDECIDED) return UNDECIDED;
        error = 0;
    }
    const double most = number * (kept + error), least = number * (kept - error);
    for (int32_t i = 0; i < n; i++) {
        sum += probability_at(s, i);
        if (least < sum) return most < sum ? ranking_id(&s->ranking, i) : UNDECIDED;
    }
    return cuts ? ranking_id(&s->ranking, n - 1) : UNDECIDED;
}

static bool takes_the_best(const gpt2q_sampling *p) { return p->temperature == 0.0f || p->top_k == 1; }

bool sampling_is_greedy(const gpt2q_sampling *p)
{
    return takes_the_best(p) && p->repetition_penalty == 1.0f && !penalizes_presence(p);
}

int32_t sampler_draw(struct sampler *s, const gpt2q_sampling *p, const struct sampling_rules *rules,
                     const float *logits, struct sampling_history h, int32_t position)
{
    size_t size = (size_t)s->vocab_size;
    bool plain = !rules || sampling_rules_empty(rules);
    int32_t best = kernels_argmax(s->kernels, logits, size);
    if (best < 0 || (plain && sampling_is_greedy(p))) return best;
    follow_rules(s, logits, plain ? NULL : rules, h.n - h.n_prompt);
    if (p->repetition_penalty != 1.0f) penalize_repetition(s, p->repetition_penalty, h.ids, h.n);
    if (penalizes_presence(p)) penalize_presence(s, p, h.ids + h.n_prompt, h.n - h.n_prompt);
    if (takes_the_best(p)) return kernels_argmax(s->kernels, s->logits, size);
    float largest = s->kernels->row_max(s->logits, size);
    double number = sampler_uniform(p->seed, (uint64_t)position);
    ranking_begin(&s->ranking, s->logits, largest);
    int32_t id = p->top_k > 0 && p->top_k < s->vocab_size ? UNDECIDED : draw_from_best(s, p, largest, number);
    return id == UNDECIDED ? draw_from_candidates(s, p, largest, number) : id;
}

int32_t sampler_rank(const struct sampler *s, const float *logits, int32_t id)
{
    int32_t rank = 1;
    for (int32_t i = 0; i < s->vocab_size; i++)
        rank += logits[i] > logits[id] || (logits[i] == logits[id] && i < id);
    return rank;
}

float sampler_logprobs(struct sampler *s, const float *logits, int32_t id, gpt2q_token_logprob *top,
                       int32_t k)
{
    size_t n = (size_t)s->vocab_size;
    float best = s->kernels->row_max(logits, n);
    double log_sum = math_log(s->kernels->row_sum_exp(logits, n, best));
    if (k > 0) {
        ranking_begin(&s->ranking, logits, best);
        ranking_sort(&s->ranking, ranking_bucket_of(&s->ranking, k));
        for (int32_t i = 0; i < k; i++) {
            int32_t t = ranking_id(&s->ranking, i);
            top[i] = (gpt2q_token_logprob){.id = t, .logprob = (float)((double)(logits[t] - best) - log_sum)};
        }
    }
    return (float)((double)(logits[id] - best) - log_sum);
}
