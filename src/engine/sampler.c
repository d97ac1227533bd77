#include "engine/sampler.h"
#include "base/memory.h"
#include "kernels/half.h"
#include "kernels/scalar_math.h"
#include <string.h>

gpt2q_sampling gpt2q_sampling_default(void) { return (gpt2q_sampling){.repetition_penalty = 1.0f, .top_p = 1.0f}; }

gpt2q_status sampling_check(const gpt2q_sampling *p, gpt2q_error *err)
{
    struct rule {
        const char *name, *expected;
        double value;
        bool ok;
    } rules[] = {
        {"repetition_penalty", "above 0", (double)p->repetition_penalty, p->repetition_penalty > 0 && p->repetition_penalty <= 1e6f},
        {"temperature", "0 (greedy) or more", (double)p->temperature, p->temperature >= 0 && p->temperature <= 1e6f},
        {"top_k", "0 (all) or more", (double)p->top_k, p->top_k >= 0},
        {"top_p", "above 0 and at most 1", (double)p->top_p, p->top_p > 0 && p->top_p <= 1},
        {"min_p", "from 0 to 1", (double)p->min_p, p->min_p >= 0 && p->min_p <= 1},
    };
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        if (!rules[i].ok)
            return error_set(err, GPT2Q_INVALID_ARGUMENT, "%s is %g where a number %s is expected", rules[i].name, rules[i].value, rules[i].expected);
    return GPT2Q_OK;
}

gpt2q_status sampler_create(struct sampler *s, const struct kernels *kernels, int32_t vocab_size, gpt2q_error *err)
{
    size_t n = (size_t)vocab_size;
    *s = (struct sampler){.kernels = kernels, .vocab_size = vocab_size};
    s->logits = mem_array(n, sizeof *s->logits);
    s->probabilities = mem_array(n, sizeof *s->probabilities);
    s->keys = mem_array(n, sizeof *s->keys);
    s->spare = mem_array(n, sizeof *s->spare);
    if (s->logits && s->probabilities && s->keys && s->spare) return GPT2Q_OK;
    sampler_free(s);
    return error_memory(err, "the sampler", n * 24);
}

void sampler_free(struct sampler *s)
{
    mem_free(s->logits);
    mem_free(s->probabilities);
    mem_free(s->keys);
    mem_free(s->spare);
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

/* Sorts the n keys in s->keys by their upper half, keeping the order of equals (which is by id): a pass of radix sort
 * for each digit in which they differ. */
static void sort_candidates(struct sampler *s, int32_t n)
{
    uint32_t count[DIGITS][RADIX] = {{0}};
    for (int32_t k = 0; k < n; k++)
        for (int i = 0; i < DIGITS; i++) count[i][digit(s->keys[k], i)]++;
    for (int i = 0; i < DIGITS; i++) {
        uint32_t begin = 0, size;
        if (n > 0 && count[i][digit(s->keys[0], i)] == (uint32_t)n) continue;
        for (int d = 0; d < RADIX; d++, begin += size) size = count[i][d], count[i][d] = begin;
        for (int32_t k = 0; k < n; k++) s->spare[count[i][digit(s->keys[k], i)]++] = s->keys[k];
        uint64_t *sorted = s->spare;
        s->spare = s->keys;
        s->keys = sorted;
    }
}

#define BUCKET_BITS 12 /* sign, exponent and the first bits of the mantissa */

/* At least the `wanted` best candidates, sorted, into s->keys. Where not all are wanted, a histogram tells from
 * which logit on the others begin, and they are left out of the sort. */
static void sort_best(struct sampler *s, const float *logits, int32_t wanted)
{
    int32_t count[1 << BUCKET_BITS] = {0}, n = 0, kept = 0;
    uint64_t last = 0;
    for (int32_t i = 0; i < s->vocab_size; i++) {
        s->spare[i] = sort_key(logits[i], i);
        count[s->spare[i] >> (64 - BUCKET_BITS)]++;
    }
    while ((n += count[last]) < wanted) last++;
    for (int32_t i = 0; i < s->vocab_size; i++) {
        s->keys[kept] = s->spare[i];
        kept += s->spare[i] >> (64 - BUCKET_BITS) <= last;
    }
    sort_candidates(s, kept);
}

static int32_t id_of(uint64_t key) { return (int32_t)(uint32_t)key; }

static void penalize(float *logits, float penalty, const float *raw, const int32_t *history, int32_t n)
{
    for (int32_t i = 0; i < n; i++) { /* from the raw logit, so that a repeated id is penalized once */
        float l = raw[history[i]];
        logits[history[i]] = l > 0 ? l / penalty : l * penalty;
    }
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

/* Candidates in s->keys (sorted), their unnormalized probabilities in s->probabilities; returns how many remain. The largest is
 * exp(0) = 1, so min_p is compared with the probability itself. */
static int32_t candidates(struct sampler *s, const gpt2q_sampling *p)
{
    int32_t n = p->top_k > 0 && p->top_k < s->vocab_size ? p->top_k : s->vocab_size;
    sort_best(s, s->logits, n);
    float best = s->logits[id_of(s->keys[0])];
    for (int32_t i = 0; i < n; i++) s->probabilities[i] = (s->logits[id_of(s->keys[i])] - best) / p->temperature;
    s->kernels->row_exp(s->probabilities, (size_t)n, 1.0f, 0.0f, s->probabilities);
    if (p->top_p < 1) n = nucleus(s->probabilities, n, (double)p->top_p);
    while (n > 1 && s->probabilities[n - 1] < p->min_p) n--;
    return n;
}

static bool takes_the_best(const gpt2q_sampling *p) { return p->temperature == 0.0f || p->top_k == 1; }

bool sampling_is_greedy(const gpt2q_sampling *p) { return takes_the_best(p) && p->repetition_penalty == 1.0f; }

int32_t sampler_draw(struct sampler *s, const gpt2q_sampling *p, const float *logits, const int32_t *history, int32_t n,
                     int32_t position)
{
    size_t size = (size_t)s->vocab_size;
    int32_t best = kernels_argmax(s->kernels, logits, size);
    if (best < 0 || sampling_is_greedy(p)) return best;
    memcpy(s->logits, logits, size * sizeof *logits);
    if (p->repetition_penalty != 1.0f) penalize(s->logits, p->repetition_penalty, logits, history, n);
    if (takes_the_best(p)) return kernels_argmax(s->kernels, s->logits, size);
    int32_t kept = candidates(s, p);
    double target = sampler_uniform(p->seed, (uint64_t)position) * sum_of(s->probabilities, kept), sum = 0;
    for (int32_t i = 0; i < kept; i++) {
        sum += (double)s->probabilities[i];
        if (target < sum) return id_of(s->keys[i]);
    }
    return id_of(s->keys[kept - 1]);
}

float sampler_logprobs(struct sampler *s, const float *logits, int32_t id, gpt2q_token_logprob *top, int32_t k)
{
    size_t n = (size_t)s->vocab_size;
    float best = s->kernels->row_max(logits, n);
    double log_sum = math_log(s->kernels->row_sum_exp(logits, n, best));
    if (k > 0) {
        sort_best(s, logits, k);
        for (int32_t i = 0; i < k; i++) {
            int32_t t = id_of(s->keys[i]);
            top[i] = (gpt2q_token_logprob){.id = t, .logprob = (float)((double)(logits[t] - best) - log_sum)};
        }
    }
    return (float)((double)(logits[id] - best) - log_sum);
}
