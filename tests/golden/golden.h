/* Runs the engine for comparison with vectors made by Hugging Face transformers. */
#ifndef TESTS_GOLDEN_GOLDEN_H
#define TESTS_GOLDEN_GOLDEN_H
#include "tests/support.h"

struct runner {
    gpt2q_model *model;
    gpt2q_context *ctx;
    gpt2q_batch *batch;
};

struct run_settings {
    const char *scheme, *activations, *isa, *kv;
    int32_t n_threads, n_seq_max, n_outputs, n_batch;
};

/* Opens a directory. Fails the test with the error's sentence. */
struct runner runner_open(const char *directory, struct run_settings settings);
void runner_close(struct runner *r);
/* Decodes ids at positions from `first` on in a sequence. Gives the logits of the last one, or of all. */
void runner_decode(struct runner *r, const int32_t *ids, size_t n, int32_t first, int32_t sequence,
                   bool all_logits);
#endif
