/* The scheduler: an answer belongs to its request and has the bits it has alone, for any batch, chunks,
 * threads, instruction set, cache and shared prefixes. Also: who waits and who is served.
 * The model is small and its prompts are ids, so thousands of requests take seconds. */
#include "tests/covering.h"
#include "tests/serving.h"
#include "engine/scheduler.h"
#include "qtensor/isa.h"
#include <pthread.h>

/* ---- the same bits: every pair of values of these settings is met ---- */

static const int32_t batch_sizes[] = {1, 2, 3, 7, 8, 32}, chunks[] = {1, 5, 64, 512}, threads[] = {1, 2, 5};
static const char *const schemes[][2] = {{"f32", "f32"}, {"i8", "f32"},         {"i8", "i16"},
                                         {"i8", "i8"},   {"i4:channel", "i16"}, {"bf16", "f32"}};
#define N_SCHEMES (sizeof schemes / sizeof *schemes)
enum { BATCH, CHUNK, THREADS, ISA, SCHEME, SHARING, CACHE, N_FACTORS };

static void same_bits_in_every_pair_of_settings(void **state)
{
    (void)state;
    enum { N = 8 };
    const char *isas[MAX_VALUES];
    int n_isas = 0, v[MAX_FACTORS], n_runs = 0;
    for (size_t i = 0; i < isa_count(); i++)
        if (isa_at(i)->supported()) isas[n_isas++] = isa_at(i)->name;
    struct question *want[N_SCHEMES], *got = make_questions(N, 11, 30, 6);
    for (size_t s = 0; s < N_SCHEMES; s++) {
        want[s] = make_questions(N, 11, 30, 6);
        answer_alone(
            want[s], N,
            (struct settings){.scheme = schemes[s][0], .activations = schemes[s][1], .isa = "scalar"});
    }
    struct covering c = {.n_factors = N_FACTORS, .n_values = {6, 4, 3, n_isas, N_SCHEMES, 2, 3}};
    for (struct rng rng = {12}; covering_next(&c, &rng, v); n_runs++) {
        char what[128];
        struct settings set = {.scheme = schemes[v[SCHEME]][0],
                               .activations = schemes[v[SCHEME]][1],
                               .isa = isas[v[ISA]],
                               .rows = batch_sizes[v[BATCH]],
                               .chunk = chunks[v[CHUNK]],
                               .threads = threads[v[THREADS]],
                               .padded = v[CACHE] == 1,
                               .first = v[CACHE] == 2,
                               .no_sharing = v[SHARING]};
        snprintf(what, sizeof what, "%s@%s %s, batch %d, chunk %d, %d threads, %s, %s", set.scheme,
                 set.activations, set.isa, (int)set.rows, (int)set.chunk, (int)set.threads,
                 set.padded  ? "padded"
                 : set.first ? "prompts first"
                             : "ragged",
                 set.no_sharing ? "nothing shared" : "prefixes shared");
        struct engine e = engine_open(set);
        forget_answers(got, N);
        serve(&e, got, N, false);
        engine_close(&e);
        expect_same(want[v[SCHEME]], got, N, what);
    }
    assert_in_range(n_runs, 30, 100);
    for (size_t s = 0; s < N_SCHEMES; s++) free_questions(want[s], N);
    free_questions(got, N);
}

/* 400 requests; 10,000 in a long run. */
static void answers_belong_to_their_requests(void **state)
{
    (void)state;
    size_t n = getenv("GPT2Q_TEST_LONG") ? 10000 : 400;
    struct question *want = make_questions(n, 21, 44, 19), *got = make_questions(n, 21, 44, 19);
    answer_alone(want, n, (struct settings){.scheme = "i8"});
    /* half of the cache for all rows at their longest, so that requests wait for blocks, too */
    struct engine e =
        engine_open((struct settings){.scheme = "i8", .rows = 8, .chunk = 32, .n_cache = 4 * N_CTX});
    serve(&e, got, n, false);
    gpt2q_scheduler_stats stats = gpt2q_scheduler_get_stats(e.scheduler);
    assert_int_equal(stats.requests, n);
    assert_int_equal(stats.errors, 0);
    engine_close(&e);
    expect_same(want, got, n, "batch of 8");
    free_questions(want, n);
    free_questions(got, n);
}

/* ---- counts ---- */

static void as_many_tokens_as_asked_for(void **state)
{
    (void)state;
    struct rng rng = {31};
    for (int padded = 0; padded < 2; padded++) {
        struct engine e = engine_open((struct settings){.scheme = "f32", .rows = 3, .padded = padded});
        struct question q[4] = {{.request = {0}}};
        struct answer a[4] = {{.n_ends = 0}};
        for (int i = 0; i < 4; i++) {
            ask(&q[i], &rng, 10, i);
            q[i].request.ignore_eos = true;
            q[i].answers = &a[i];
        }
        q[0].request.echo = true; /* max_tokens 0 gives the log-probabilities of the prompt */
        q[0].request.n_logprobs = 2;
        serve(&e, q, 4, false);
        for (size_t i = 0; i < 4; i++) assert_int_equal(a[i].n_ids, i);
        assert_int_equal(a[0].n_positions, 10);
        assert_true(a[0].logprobs[0] != a[0].logprobs[0]); /* the first token has none */
        for (int i = 1; i < 10; i++) assert_true(a[0].logprobs[2 * i] < 0);
        engine_close(&e);
    }
}

/* ---- steps ---- */

struct steps {
    size_t n;
    struct {
        uint64_t prefilled[16], decoded[16], finished[16];
        int32_t n_prefilled, n_decoded, n_finished, rows, columns, truncated;
        int64_t padding;
    } at[256];
};

static void record(void *user, const struct scheduler_step *step)
{
    struct steps *s = user;
    assert_in_range(s->n, 0, 255);
    assert_int_equal(step->step, s->n);
    size_t i = s->n++;
    memcpy(s->at[i].prefilled, step->prefilled, (size_t)step->n_prefilled * sizeof *step->prefilled);
    memcpy(s->at[i].decoded, step->decoded, (size_t)step->n_decoded * sizeof *step->decoded);
    memcpy(s->at[i].finished, step->finished, (size_t)step->n_finished * sizeof *step->finished);
    s->at[i].n_prefilled = step->n_prefilled;
    s->at[i].n_decoded = step->n_decoded;
    s->at[i].n_finished = step->n_finished;
    s->at[i].rows = step->rows;
    s->at[i].columns = step->columns;
    s->at[i].padding = step->padding;
    s->at[i].truncated = step->truncated_columns;
}

/* The notes' loop over counts alone: a batch of 8, left-padded, without its mistakes (a request for one
 * token ends with its prefill). A row is the number of its request, its length, and the tokens that
 * remain. */
struct note_row {
    uint64_t request;
    int length, remaining;
};

static int widest(const struct note_row *rows, int n)
{
    int columns = 0;
    for (int i = 0; i < n; i++)
        if (rows[i].length > columns) columns = rows[i].length;
    return columns;
}

static int filter_batch(struct note_row *rows, int n, uint64_t *finished, int32_t *n_finished)
{
    int kept = 0;
    for (int i = 0; i < n; i++) {
        if (rows[i].remaining > 0)
            rows[kept++] = rows[i];
        else
            finished[(*n_finished)++] = rows[i].request;
    }
    return kept;
}

static void replay_notes(const struct question *q, size_t n, struct steps *out)
{
    enum { BATCH_SIZE = 8 };
    struct note_row batch[BATCH_SIZE];
    size_t next = 0;
    int rows = 0;
    for (out->n = 0; rows > 0 || next < n; out->n++) {
        int columns = widest(batch, rows), fresh = rows;
        memset(&out->at[out->n], 0, sizeof out->at[0]);
        while (fresh < BATCH_SIZE && next < n) { /* init_batch and its first generate_next_token */
            batch[fresh] =
                (struct note_row){next + 1, (int)q[next].request.n_ids, q[next].request.max_tokens - 1};
            out->at[out->n].prefilled[out->at[out->n].n_prefilled++] = ++next;
            fresh++;
        }
        rows +=
            filter_batch(batch + rows, fresh - rows, out->at[out->n].finished, &out->at[out->n].n_finished);
        if (widest(batch, rows) > columns) columns = widest(batch, rows); /* merge_batches */
        int cached = 0;
        for (int i = 0; i < rows; i++) { /* generate_next_token */
            out->at[out->n].decoded[out->at[out->n].n_decoded++] = batch[i].request;
            batch[i].length++;
            batch[i].remaining--;
            cached += batch[i].length;
        }
        columns = rows ? columns + 1 : 0;
        out->at[out->n].rows = rows;
        out->at[out->n].columns = columns;
        out->at[out->n].padding = rows * columns - cached;
        rows = filter_batch(batch, rows, out->at[out->n].finished, &out->at[out->n].n_finished);
        out->at[out->n].truncated = rows ? columns - widest(batch, rows) : 0;
    }
}

static void padded_batch_replays_the_notes(void **state)
{
    (void)state;
    enum { N = 30 };
    static struct steps want, got;
    struct rng rng = {41};
    struct question q[N] = {{.request = {0}}};
    struct answer a[N] = {{.n_ends = 0}};
    for (int i = 0; i < N; i++) {
        ask(&q[i], &rng, 1 + (int32_t)rng_below(&rng, 30),
            i < 3 ? (int32_t[]){2, 5, 7}[i] : 1 + (int32_t)rng_below(&rng, 20));
        q[i].request.ignore_eos = true;
        q[i].answers = &a[i];
    }
    replay_notes(q, N, &want);
    struct engine e = engine_open((struct settings){.scheme = "f32", .rows = 8, .padded = true});
    scheduler_on_step(e.scheduler, record, &got);
    gpt2q_error err;
    bool busy = true;
    /* all wait from the beginning, as many as the queue takes */
    for (size_t next = 0; busy || next < N;) {
        while (next < N && !gpt2q_scheduler_submit(e.scheduler, &q[next].request, NULL, &err)) next++;
        assert_int_equal(gpt2q_scheduler_step(e.scheduler, &busy, &err), GPT2Q_OK);
    }
    engine_close(&e);
    assert_int_equal(got.n, want.n);
    for (size_t i = 0; i < got.n; i++)
        if (memcmp(&got.at[i], &want.at[i], sizeof got.at[i]))
            fail_msg("step %zu: %d rows, %d columns, %lld padding, %d truncated where the notes have %d, %d, "
                     "%lld, %d",
                     i, (int)got.at[i].rows, (int)got.at[i].columns, (long long)got.at[i].padding,
                     (int)got.at[i].truncated, (int)want.at[i].rows, (int)want.at[i].columns,
                     (long long)want.at[i].padding, (int)want.at[i].truncated);
    for (int i = 0; i < N; i++) assert_int_equal(a[i].n_ids, q[i].request.max_tokens);
}

/* A prompt of 40 arrives while another request decodes: every step decodes a token and takes at most a
 * chunk of the prompt. */
static void a_long_prompt_stops_nobody(void **state)
{
    (void)state;
    static struct steps got;
    struct rng rng = {51};
    struct engine e = engine_open((struct settings){.scheme = "f32", .rows = 2, .chunk = 4});
    struct question q[2] = {{.request = {0}}};
    struct answer a[2] = {{.n_ends = 0}};
    gpt2q_error err;
    bool busy;
    for (int i = 0; i < 2; i++) {
        ask(&q[i], &rng, i ? 40 : 3, 20);
        q[i].request.ignore_eos = true;
        q[i].answers = &a[i];
    }
    got.n = 0;
    scheduler_on_step(e.scheduler, record, &got);
    assert_int_equal(gpt2q_scheduler_submit(e.scheduler, &q[0].request, NULL, &err), GPT2Q_OK);
    assert_int_equal(gpt2q_scheduler_step(e.scheduler, &busy, &err), GPT2Q_OK);
    assert_int_equal(gpt2q_scheduler_submit(e.scheduler, &q[1].request, NULL, &err), GPT2Q_OK);
    do assert_int_equal(gpt2q_scheduler_step(e.scheduler, &busy, &err), GPT2Q_OK);
    while (busy);
    for (size_t i = 1; i <= 10; i++) {
        assert_int_equal(got.at[i].n_decoded, 1);
        assert_int_equal(got.at[i].decoded[0], 1);
        assert_int_equal(got.at[i].n_prefilled, 1);
        assert_int_equal(got.at[i].padding, 0);
    }
    assert_int_equal(got.at[11].n_decoded, 2);
    assert_int_equal(got.at[11].n_prefilled, 0);
    engine_close(&e);
}

static void submit(struct engine *e, struct question *q)
{
    gpt2q_error err;
    assert_int_equal(gpt2q_scheduler_submit(e->scheduler, &q->request, NULL, &err), GPT2Q_OK);
}

/* With scheduler_prompts_first a step is of prompts or of decoding rows. Prompts begin at the next step. While a row
 * decodes, 14 tokens of a chunk of 16 come between two of its tokens. */
static void prompts_go_first(void **state)
{
    (void)state;
    enum { N = 4 };
    static struct steps got;
    struct rng rng = {52};
    struct engine e = engine_open((struct settings){.scheme = "f32", .rows = N, .chunk = 16, .first = true});
    struct question q[N] = {{.request = {0}}};
    struct answer a[N] = {{.n_ends = 0}};
    gpt2q_error err;
    bool busy;
    for (int i = 0; i < N; i++) {
        ask(&q[i], &rng, (int32_t[]){12, 5, 3, 20}[i], (int32_t[]){20, 1, 1, 4}[i]);
        q[i].request.ignore_eos = true;
        q[i].answers = &a[i];
    }
    got.n = 0;
    scheduler_on_step(e.scheduler, record, &got);
    submit(&e, &q[0]);
    for (int i = 0; i < 2; i++) assert_int_equal(gpt2q_scheduler_step(e.scheduler, &busy, &err), GPT2Q_OK);
    submit(&e, &q[1]);
    submit(&e, &q[2]);
    for (int i = 1; i < 3;
         i++) { /* the first has a quarter of a chunk, so its token does not wait for the second */
        assert_int_equal(gpt2q_scheduler_step(e.scheduler, &busy, &err), GPT2Q_OK);
        assert_int_equal(a[1].n_ends + a[2].n_ends, i);
    }
    submit(&e, &q[3]);
    busy = true;
    while (busy) assert_int_equal(gpt2q_scheduler_step(e.scheduler, &busy, &err), GPT2Q_OK);
    /* 12 tokens where nothing decodes; a token; 5, 3, and 6 of 20, then 14 are used up; a token; the other 14 */
    static const char want[] = "PDPPPDPDDD";
    for (size_t i = 0; want[i]; i++) {
        assert_int_equal(got.at[i].n_prefilled, want[i] == 'P');
        assert_int_equal(got.at[i].n_decoded, want[i] == 'P' ? 0 : i < 7 ? 1 : 2);
    }
    assert_int_equal(a[0].n_ids, 20);
    assert_int_equal(a[3].n_ids, 4);
    engine_close(&e);
}

/* How many of the n prompts of these lengths, which arrive together, have a token after the first pass. */
static int first_pass_serves(const int32_t *lengths, int n)
{
    struct rng rng = {54};
    struct engine e = engine_open((struct settings){.scheme = "f32", .rows = 8, .chunk = 64, .first = true});
    struct question q[8] = {{.request = {0}}};
    struct answer a[8] = {{.n_ends = 0}};
    gpt2q_error err;
    bool busy;
    int served = 0;
    for (int i = 0; i < n; i++) {
        ask(&q[i], &rng, lengths[i], 1);
        q[i].answers = &a[i];
        submit(&e, &q[i]);
    }
    assert_int_equal(gpt2q_scheduler_step(e.scheduler, &busy, &err), GPT2Q_OK);
    for (int i = 0; i < n; i++) served += a[i].n_ends;
    while (busy) assert_int_equal(gpt2q_scheduler_step(e.scheduler, &busy, &err), GPT2Q_OK);
    engine_close(&e);
    return served;
}

/* A few short prompts: a pass ends at 4 tokens, a sixteenth of a chunk of 64. Where 16 wait in all it ends at 16. */
static void few_prompts_do_not_wait_for_each_other(void **state)
{
    (void)state;
    assert_int_equal(first_pass_serves((int32_t[]){5, 6}, 2), 1);
    assert_int_equal(first_pass_serves((int32_t[]){3, 3, 9}, 3), 2);
    assert_int_equal(first_pass_serves((int32_t[]){5, 5, 5}, 3), 1);
    assert_int_equal(first_pass_serves((int32_t[]){5, 5, 6, 5}, 4), 3);
    assert_int_equal(first_pass_serves((int32_t[]){5, 5, 5, 5, 5, 5}, 6), 4);
}

/* However short the prompts are that arrive, at most seven passes of them come between two tokens of a row. */
static void short_prompts_stop_nobody(void **state)
{
    (void)state;
    enum { N = 120, TOKENS = 10 };
    static struct steps got;
    static struct question q[N];
    static struct answer a[N];
    struct rng rng = {53};
    struct engine e = engine_open((struct settings){.scheme = "f32", .rows = 4, .chunk = 256, .first = true});
    gpt2q_error err;
    bool busy = true;
    int between = 0, most = 0;
    for (int i = 0; i < N; i++) {
        ask(&q[i], &rng, i ? 1 : 8, i ? 1 : TOKENS);
        q[i].request.ignore_eos = true;
        q[i].answers = &a[i];
    }
    got.n = 0;
    scheduler_on_step(e.scheduler, record, &got);
    for (int i = 0; i < N && a[0].n_ends == 0; i++) {
        submit(&e, &q[i]);
        assert_int_equal(gpt2q_scheduler_step(e.scheduler, &busy, &err), GPT2Q_OK);
    }
    assert_int_equal(a[0].n_ids, TOKENS);
    for (size_t i = 1; i < got.n; i++) {
        between = got.at[i].n_decoded ? 0 : between + 1;
        most = between > most ? between : most;
    }
    assert_int_equal(most, 7); /* 256 - 5/2 tokens, 32 a pass */
    while (busy) assert_int_equal(gpt2q_scheduler_step(e.scheduler, &busy, &err), GPT2Q_OK);
    engine_close(&e);
}

/* ---- shared prefixes ---- */

static void count_rows(void *user, const char *name, float *data, int32_t rows_first, int32_t rows,
                       int32_t cols)
{
    (void)data, (void)rows_first, (void)cols;
    if (!strcmp(name, "embed")) *(int64_t *)user += rows;
}

/* Six requests arrive together and share their first 37 tokens. The others wait until the first has
 * computed them. */
static int64_t tokens_computed(bool no_sharing, bool padded)
{
    enum { N = 6, COMMON = 37, PROMPT = 40, MADE = 5 };
    struct rng rng = {61};
    struct question q[N] = {{.request = {0}}};
    struct answer a[N] = {{.n_ends = 0}};
    int64_t rows = 0;
    for (int i = 0; i < N; i++) {
        ask(&q[i], &rng, PROMPT, MADE);
        memcpy(q[i].prompt, q[0].prompt, COMMON * sizeof *q[0].prompt);
        q[i].request.ignore_eos = true;
        q[i].answers = &a[i];
    }
    struct engine e = engine_open((struct settings){
        .scheme = "f32", .rows = 6, .chunk = 64, .no_sharing = no_sharing, .padded = padded});
    gpt2q_context_observe(e.ctx, count_rows, &rows);
    serve(&e, q, N, false);
    engine_close(&e);
    for (int i = 0; i < N; i++) assert_int_equal(a[i].n_ids, MADE);
    return rows;
}

static void common_prefixes_are_computed_once(void **state)
{
    (void)state;
    assert_int_equal(tokens_computed(true, false), 6 * (40 + 4)); /* the last token is not fed back */
    assert_int_equal(tokens_computed(false, false), 37 + 6 * (3 + 4));
    assert_int_equal(tokens_computed(false, true), 6 * (40 + 4)); /* the notes know no sharing */
}

/* ---- freeing, threads ---- */

/* A scheduler that is freed in the middle leaks nothing and calls no callback (the sanitizers check). */
static void can_be_freed_at_any_step(void **state)
{
    (void)state;
    enum { N = 12 };
    for (int steps = 0; steps < 24; steps++) {
        struct question *q = make_questions(N, 91, 44, 19);
        struct engine e =
            engine_open((struct settings){.scheme = "f32", .rows = 3, .chunk = 7, .padded = steps % 2});
        gpt2q_error err;
        bool busy;
        int ends = 0, after = 0;
        for (int i = 0; i < N; i++)
            assert_int_equal(gpt2q_scheduler_submit(e.scheduler, &q[i].request, NULL, &err), GPT2Q_OK);
        for (int i = 0; i < steps; i++)
            assert_int_equal(gpt2q_scheduler_step(e.scheduler, &busy, &err), GPT2Q_OK);
        for (int i = 0; i < N; i++) ends += q[i].answers[0].n_ends;
        engine_close(&e);
        for (int i = 0; i < N; i++) after += q[i].answers[0].n_ends;
        assert_int_equal(ends, after);
        free_questions(q, N);
    }
}

/* ---- other threads ---- */

#define N_THREADS  3
#define PER_THREAD 60

struct submitter {
    pthread_t thread;
    gpt2q_scheduler *scheduler;
    uint64_t seed;
    struct question *questions;
};

static void *submit_and_cancel(void *arg)
{
    struct submitter *s = arg;
    struct rng rng = {s->seed};
    for (int i = 0; i < PER_THREAD; i++) {
        gpt2q_error err;
        uint64_t id = 0;
        while (gpt2q_scheduler_submit(s->scheduler, &s->questions[i].request, &id, &err) == GPT2Q_QUEUE_FULL)
            sched_yield();
        if (rng_below(&rng, 3) == 0) gpt2q_scheduler_cancel(s->scheduler, id - rng_below(&rng, 3));
    }
    return NULL;
}

static bool all_ended(const struct submitter *s)
{
    for (int t = 0; t < N_THREADS; t++)
        for (int i = 0; i < PER_THREAD; i++)
            for (int32_t j = 0; j < s[t].questions[i].request.n_samples; j++)
                if (!s[t].questions[i].answers[j].n_ends) return false;
    return true;
}

static void threads_submit_and_cancel(void **state)
{
    (void)state;
    struct engine e = engine_open((struct settings){.scheme = "f32", .rows = 4, .chunk = 16});
    struct submitter s[N_THREADS];
    gpt2q_error err;
    for (int t = 0; t < N_THREADS; t++) {
        s[t] = (struct submitter){.scheduler = e.scheduler,
                                  .seed = 100 + (uint64_t)t,
                                  .questions = make_questions(PER_THREAD, 100 + (uint64_t)t, 44, 19)};
        assert_int_equal(pthread_create(&s[t].thread, NULL, submit_and_cancel, &s[t]), 0);
    }
    while (!all_ended(s)) {
        bool busy;
        assert_int_equal(gpt2q_scheduler_step(e.scheduler, &busy, &err), GPT2Q_OK);
        if (!busy) sched_yield();
    }
    for (int t = 0; t < N_THREADS; t++) {
        pthread_join(s[t].thread, NULL);
        for (int i = 0; i < PER_THREAD; i++)
            for (int32_t j = 0; j < s[t].questions[i].request.n_samples; j++)
                assert_int_equal(s[t].questions[i].answers[j].n_ends, 1);
        free_questions(s[t].questions, PER_THREAD);
    }
    engine_close(&e);
}

/* What a batch or a context must refuse. */
static void refuses_what_would_go_wrong(void **state)
{
    (void)state;
    gpt2q_error err;
    gpt2q_batch *batch;
    gpt2q_scheduler *scheduler;
    struct engine e = engine_open((struct settings){.rows = 2});
    gpt2q_scheduler_free(e.scheduler);
    e.scheduler = NULL;
    assert_int_equal(gpt2q_batch_create(4, &batch, &err), GPT2Q_OK);
    for (int32_t i = 0; i < 4; i++) gpt2q_batch_add(batch, 1 + i, i / 2, i % 2, false);
    assert_int_equal(gpt2q_decode(e.ctx, batch, &err), GPT2Q_INVALID_ARGUMENT);
    assert_non_null(strstr(err.message, "sequence 0 stand apart"));
    gpt2q_batch_clear(batch);
    for (int32_t i = 0; i < 4; i++) gpt2q_batch_add(batch, 1 + i, i % 2, i / 2, false);
    assert_int_equal(gpt2q_decode(e.ctx, batch, &err), GPT2Q_OK);
    assert_int_equal(gpt2q_scheduler_create(e.ctx, NULL, &scheduler, &err), GPT2Q_INVALID_ARGUMENT);
    gpt2q_scheduler_params params = gpt2q_scheduler_params_default();
    params.n_rows = 2;
    assert_int_equal(gpt2q_scheduler_create(e.ctx, &params, &scheduler, &err), GPT2Q_INVALID_ARGUMENT);
    assert_non_null(strstr(err.message, "sequence 0 of the context holds 2 positions"));
    for (int32_t i = 0; i < 2; i++) gpt2q_context_truncate(e.ctx, i, 0);
    assert_int_equal(gpt2q_scheduler_create(e.ctx, &params, &e.scheduler, &err), GPT2Q_OK);
    gpt2q_context *other;
    gpt2q_context_params huge = gpt2q_context_params_default();
    huge.n_ctx = INT32_MAX;
    assert_int_equal(gpt2q_context_create(e.model, &huge, &other, &err), GPT2Q_INVALID_ARGUMENT);
    assert_non_null(strstr(err.message, "n_ctx is 2147483647"));
    gpt2q_batch_free(batch);
    engine_close(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(refuses_what_would_go_wrong),
                                       cmocka_unit_test(same_bits_in_every_pair_of_settings),
                                       cmocka_unit_test(answers_belong_to_their_requests),
                                       cmocka_unit_test(as_many_tokens_as_asked_for),
                                       cmocka_unit_test(padded_batch_replays_the_notes),
                                       cmocka_unit_test(a_long_prompt_stops_nobody),
                                       cmocka_unit_test(prompts_go_first),
                                       cmocka_unit_test(few_prompts_do_not_wait_for_each_other),
                                       cmocka_unit_test(short_prompts_stop_nobody),
                                       cmocka_unit_test(common_prefixes_are_computed_once),
                                       cmocka_unit_test(can_be_freed_at_any_step),
                                       cmocka_unit_test(threads_submit_and_cancel)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
