/* Any requests, together and alone: the answers are the same; no text holds one of its stop strings; what
 * was streamed is the text. The bytes choose: rows, chunks, and for each request its prompt, lengths,
 * sampling, stop strings. The model has a block and 257 tokens, a byte each; it lies beside the corpora
 * (requests.gpt2q). */
#include "gpt2q.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAX_REQUESTS 4
#define MAX_SAMPLES  2
#define MAX_TEXT     256
#define MAX_IDS      64

static void expect(bool right, const char *what)
{
    if (right) return;
    fprintf(stderr, "%s\n", what);
    abort();
}

struct bytes {
    const uint8_t *p;
    size_t n;
};
static uint32_t below(struct bytes *b, uint32_t n)
{
    if (!b->n) return 0;
    b->n--;
    return *b->p++ % n;
}

struct answer {
    int ends;
    gpt2q_finish finish;
    int32_t ids[MAX_IDS];
    size_t n_ids, n_text, n_stream, n_positions;
    float logprobs[2 * MAX_IDS];
    char text[MAX_TEXT], stream[MAX_TEXT];
};

struct question {
    gpt2q_request request;
    char prompt[32], stops[3][4];
    const char *stop[3];
    bool refused;
    struct answer answers[MAX_SAMPLES];
};

static void on_text(void *user, uint64_t request, int32_t sample, const char *text, size_t n)
{
    struct answer *a = &((struct question *)user)->answers[sample];
    (void)request;
    expect(a->n_stream + n <= MAX_TEXT && !a->ends, "a stream goes on");
    if (n) memcpy(a->stream + a->n_stream, text, n);
    a->n_stream += n;
}

static void on_end(void *user, uint64_t request, int32_t sample, const gpt2q_result *r)
{
    struct answer *a = &((struct question *)user)->answers[sample];
    (void)request;
    expect(r->n_ids <= MAX_IDS && r->text_len <= MAX_TEXT && r->n_positions <= 2 * MAX_IDS,
           "an answer is too long");
    a->ends++;
    a->finish = r->finish;
    a->n_ids = r->n_ids;
    a->n_text = r->text_len;
    a->n_positions = r->n_positions;
    if (r->n_ids) memcpy(a->ids, r->ids, r->n_ids * sizeof *a->ids);
    if (r->text_len) memcpy(a->text, r->text, r->text_len);
    for (size_t i = 0; i < r->n_positions; i++) a->logprobs[i] = r->positions[i].logprob;
}

static void choose(struct question *q, struct bytes *b)
{
    gpt2q_request *r = &q->request;
    *q = (struct question){.request = gpt2q_request_default()};
    r->prompt = q->prompt;
    r->prompt_len = below(b, sizeof q->prompt);
    for (size_t i = 0; i < r->prompt_len; i++) q->prompt[i] = (char)below(b, 256);
    uint32_t flags = below(b, 256);
    r->max_tokens = (int32_t)below(b, 24);
    r->n_samples = 1 + (int32_t)(flags & 1);
    r->echo = flags & 2;
    r->ignore_eos = flags & 4;
    r->truncate_left = flags & 8;
    if (flags & 16) r->n_logprobs = (int32_t)below(b, 3);
    if (flags & 32) r->speculate = (int32_t)below(b, 6);
    if (flags & 64) {
        r->sampling.temperature = (float)below(b, 30) / 10.0f;
        r->sampling.seed = below(b, 256);
        r->sampling.top_k = (int32_t)below(b, 40);
        r->sampling.top_p = (double)(1 + below(b, 10)) / 10.0;
    }
    if (flags & 128) r->sampling.repetition_penalty = 1.0f + (float)below(b, 20) / 10.0f;
    r->n_stop = below(b, 4);
    for (size_t i = 0; i < r->n_stop; i++) {
        size_t n = 1 + below(b, 3);
        for (size_t k = 0; k < n; k++) q->stops[i][k] = (char)(1 + below(b, 255));
        q->stop[i] = q->stops[i];
    }
    r->stop = q->stop;
    r->on_text = on_text;
    r->on_end = on_end;
}

static gpt2q_model *model_of(void)
{
    static gpt2q_model *model;
    gpt2q_error err;
    gpt2q_model_params p = gpt2q_model_params_default();
    p.n_threads = 1;
    if (!model && gpt2q_model_open("tests/fuzz/requests.gpt2q", &p, &model, &err)) expect(false, err.message);
    return model;
}

static void serve(struct question *all, size_t n, int32_t rows, int32_t chunk, bool sharing)
{
    gpt2q_error err;
    gpt2q_context *ctx;
    gpt2q_scheduler *scheduler;
    gpt2q_context_params cp = gpt2q_context_params_default();
    gpt2q_scheduler_params sp = gpt2q_scheduler_params_default();
    cp.n_threads = 1;
    cp.n_seq_max = rows;
    cp.n_outputs = rows * 6;
    cp.n_batch = rows + 64;
    sp.n_rows = rows;
    sp.n_chunk = chunk;
    sp.n_queue = MAX_REQUESTS;
    sp.no_prefix_sharing = !sharing;
    expect(!gpt2q_context_create(model_of(), &cp, &ctx, &err), "no context");
    expect(!gpt2q_scheduler_create(ctx, &sp, &scheduler, &err), "no scheduler");
    for (size_t i = 0; i < n; i++) {
        all[i].request.user = &all[i];
        all[i].refused = gpt2q_scheduler_submit(scheduler, &all[i].request, NULL, &err) != GPT2Q_OK;
        expect(!all[i].refused || err.message[0], "refused without a sentence");
    }
    for (bool busy = true; busy;) expect(!gpt2q_scheduler_step(scheduler, &busy, &err), "a step fails");
    gpt2q_scheduler_free(scheduler);
    gpt2q_context_free(ctx);
}

/* With this flag the stop strings of a request are parts of what it answers without any. */
static void stop_at_own_words(struct question *q, struct bytes *b)
{
    static struct question probe;
    probe = *q;
    probe.request.prompt = probe.prompt;
    probe.request.n_stop = 0;
    serve(&probe, 1, 2, 64, false);
    const struct answer *a = &probe.answers[0];
    for (size_t i = 0; i < q->request.n_stop && i < 3; i++) {
        size_t n = 1 + below(b, 3), at = a->n_text > n ? below(b, (uint32_t)(a->n_text - n)) : 0;
        if (at + n > a->n_text || memchr(a->text + at, 0, n)) continue;
        memcpy(q->stops[i], a->text + at, n);
        q->stops[i][n] = '\0';
    }
}

static void check(const struct question *q)
{
    for (int32_t j = 0; j < q->request.n_samples; j++) {
        const struct answer *a = &q->answers[j];
        expect(a->ends == (q->refused ? 0 : 1), "an answer does not end once");
        expect(a->n_stream == a->n_text && !memcmp(a->stream, a->text, a->n_text),
               "the stream is not the text");
        for (size_t i = 0; i < q->request.n_stop; i++)
            expect(!memmem(a->text, a->n_text, q->stop[i], strlen(q->stop[i])),
                   "a stop string is in the text");
    }
}

static void expect_same(const struct question *a, const struct question *b)
{
    expect(a->refused == b->refused, "refused in one company and not in another");
    for (int32_t j = 0; j < a->request.n_samples; j++)
        expect(!memcmp(&a->answers[j], &b->answers[j], sizeof a->answers[j]),
               "an answer depends on its company");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct question together[MAX_REQUESTS], alone[MAX_REQUESTS];
    struct bytes b = {data, size}, again;
    size_t n = 1 + below(&b, MAX_REQUESTS);
    int32_t rows = 1 + (int32_t)below(&b, 4), chunk = 1 + (int32_t)below(&b, 20);
    uint32_t flags = below(&b, 4);
    bool sharing = flags & 1;
    for (size_t i = 0; i < n; i++) {
        again = b;
        choose(&together[i], &b);
        if (flags & 2) stop_at_own_words(&together[i], &b);
        choose(&alone[i], &again);
        memcpy(alone[i].stops, together[i].stops, sizeof alone[i].stops);
    }
    serve(together, n, rows, chunk, sharing);
    for (size_t i = 0; i < n; i++) {
        serve(&alone[i], 1, 2, 64, false);
        check(&together[i]);
        check(&alone[i]);
        expect_same(&together[i], &alone[i]);
    }
    return 0;
}
