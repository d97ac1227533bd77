/* What the tests of the scheduler share: serving requests on a small model whose prompts are ids, so that
 * thousands take seconds. */
#ifndef TESTS_SERVING_H
#define TESTS_SERVING_H
#include "tests/support.h"
#include "engine/context.h"

#define VOCAB 259
#define N_CTX 64

struct settings {
    const char *scheme, *activations, *isa, *kv;
    int32_t rows, chunk, threads, n_cache, speculate;
    bool padded, no_sharing, keep, first;
};

struct engine {
    gpt2q_model *model;
    gpt2q_context *ctx;
    gpt2q_scheduler *scheduler;
};

struct answer {
    int n_ends;
    gpt2q_finish finish;
    size_t n_prompt, n_ids, n_positions;
    int32_t ids[N_CTX];
    float logprobs[2 * N_CTX];
};

struct question {
    gpt2q_request request;
    int32_t prompt[N_CTX];
    struct answer *answers; /* n_samples */
};

/* 0 and NULL are defaults: 1 thread, chunks of 64, a cache for all rows at their longest. There are rows
 * of logits for `speculate` proposals of every row. */
struct engine engine_open(struct settings set);
/* Checks that every block of the cache is free again. */
void engine_close(struct engine *e);

/* A request for random ids. The caller says where its answers go. */
void ask(struct question *q, struct rng *rng, int32_t n_prompt, int32_t max_tokens);
/* n random requests of all kinds, with answers. Half of them begin alike. */
struct question *make_questions(size_t n, uint64_t seed, int longest_prompt, int longest_answer);
void free_questions(struct question *all, size_t n);
void forget_answers(struct question *all, size_t n);

/* Runs all of them as the queue takes them; alone: one after another. */
void serve(struct engine *e, struct question *all, size_t n, bool alone);
/* The right answers: one request after another, one thread, nothing shared. */
void answer_alone(struct question *all, size_t n, struct settings set);
void expect_same(const struct question *want, const struct question *got, size_t n, const char *what);
#endif
