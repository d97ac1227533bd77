#include "tests/golden/golden.h"

struct runner runner_open(const char *directory, struct run_settings s)
{
    struct runner r = {0};
    gpt2q_error err;
    gpt2q_model_params mp = gpt2q_model_params_default();
    mp.scheme = s.scheme;
    mp.isa = s.isa;
    mp.n_threads = s.n_threads;
    mp.weights_only = true; /* some golden models have no vocabulary */
    if (gpt2q_model_open(directory, &mp, &r.model, &err)) fail_msg("%s", err.message);
    gpt2q_context_params cp = gpt2q_context_params_default();
    cp.n_seq_max = s.n_seq_max ? s.n_seq_max : 1;
    cp.n_outputs = s.n_outputs;
    cp.n_threads = s.n_threads;
    cp.activations = s.activations;
    cp.kv = s.kv;
    if (s.n_batch) cp.n_batch = s.n_batch;
    if (gpt2q_context_create(r.model, &cp, &r.ctx, &err)) fail_msg("%s", err.message);
    if (gpt2q_batch_create(4096, &r.batch, &err)) fail_msg("%s", err.message);
    return r;
}

void runner_close(struct runner *r)
{
    gpt2q_batch_free(r->batch);
    gpt2q_context_free(r->ctx);
    gpt2q_model_close(r->model);
    *r = (struct runner){0};
}

void runner_decode(struct runner *r, const int32_t *ids, size_t n, int32_t first, int32_t sequence,
                   bool all_logits)
{
    gpt2q_error err;
    gpt2q_batch_clear(r->batch);
    for (size_t i = 0; i < n; i++)
        assert_true(
            gpt2q_batch_add(r->batch, ids[i], first + (int32_t)i, sequence, all_logits || i + 1 == n));
    if (gpt2q_decode(r->ctx, r->batch, &err)) fail_msg("%s", err.message);
}
