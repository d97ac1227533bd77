/* Models and rounds. Models stay in memory together as long as they take less than half of it. Then all
 * their tests are interleaved. If they take more, models come one after another, and only the tests of one
 * model are interleaved. */
#include "app/bench/bench.h"
#include "app/common.h"
#include "base/clock.h"
#include "base/memory.h"
#include "engine/context.h"
#include "kernels/core.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct bench_run {
    struct bench_plan *plan;
    struct bench_session *sessions; /* (n_schemes, n_threads) */
    int first, last;                /* models of this group */
    bool progress;
};

static struct bench_session *session_of(struct bench_run *r, int scheme, int limits)
{
    return &r->sessions[scheme * r->plan->n_threads + limits];
}

static void say_progress(const struct bench_run *r, const char *what, int round, int test)
{
    if (!r->progress) return;
    if (*what)
        fprintf(stderr, "\r\033[K%s: round %d of %d, test %d of %d", what, round, r->plan->repeat, test,
                r->plan->n_tests);
    else
        fprintf(stderr, "\r\033[K");
    fflush(stderr);
}

/* ---- a group of models ---- */

static uint64_t half_of_memory(void)
{
    long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
    return pages > 0 && size > 0 ? (uint64_t)pages * (uint64_t)size / 2 : UINT64_MAX;
}

/* An estimate, good enough to decide whether one more model fits. */
static uint64_t estimated_bytes(const char *spec, uint64_t parameters)
{
    struct scheme s;
    if (!spec || scheme_parse(spec, &s, NULL)) return parameters * 4;
    return parameters * (unsigned)(scheme_bits(s) + format_facts[s.format].has_codes) / 8;
}

static gpt2q_status open_bench_model(const struct bench_plan *plan, struct bench_model *m, gpt2q_error *err)
{
    gpt2q_model_params p = gpt2q_model_params_default();
    p.scheme = m->spec;
    p.isa = plan->isa;
    p.weights_only = true;
    gpt2q_status s = plan->shape ? model_synthesize(plan->shape, plan->shape_name, &p, &m->model, err)
                                 : gpt2q_model_open(plan->model_path, &p, &m->model, err);
    if (!s) m->bytes = gpt2q_model_bytes(m->model);
    return s;
}

/* Opens models from r->first on, at least one, and sets r->last. */
static gpt2q_status open_group(struct bench_run *r, gpt2q_error *err)
{
    struct bench_plan *plan = r->plan;
    uint64_t total = 0, limit = half_of_memory();
    gpt2q_status s = GPT2Q_OK;
    for (r->last = r->first; r->last < plan->n_models && !s; r->last++) {
        struct bench_model *m = &plan->models[r->last];
        if (r->last > r->first) {
            uint64_t more = estimated_bytes(m->spec, gpt2q_model_parameters(plan->models[r->first].model));
            if (total + more > limit) break;
        }
        s = open_bench_model(plan, m, err);
        if (!s) s = machine_set_working_set(&plan->machine, r->last, m->bytes, err);
        total += m->bytes;
    }
    return s;
}

static gpt2q_status check_positions(const struct bench_plan *plan, const gpt2q_config *c, gpt2q_error *err)
{
    for (int i = 0; i < plan->n_tests; i++) {
        const struct bench_test *t = &plan->tests[i];
        int32_t end = t->kind == TEST_TOKENIZE ? 0 : t->position + t->tokens;
        if (end > c->n_positions)
            return error_set(err, GPT2Q_CONTEXT_FULL, "%s needs %d positions, but the model has %d",
                             t->kind == TEST_PREFILL ? "a prompt" : "decoding from --position on", (int)end,
                             (int)c->n_positions);
    }
    return GPT2Q_OK;
}

static gpt2q_status open_sessions(struct bench_run *r, gpt2q_error *err)
{
    struct bench_plan *plan = r->plan;
    gpt2q_status s = GPT2Q_OK;
    for (int i = 0; i < plan->n_schemes && !s; i++) {
        struct bench_scheme *scheme = &plan->schemes[i];
        const gpt2q_model *model = plan->models[scheme->model].model;
        if (!model) continue;
        snprintf(scheme->text, sizeof scheme->text, "%s", gpt2q_model_scheme(model));
        for (int k = 0; k < plan->n_threads && !s; k++) {
            s = session_create(session_of(r, i, k), plan, i, k, err);
            if (!s) /* the request outlives the context */
                scheme->activations_text = scheme->activations
                                               ? scheme->activations
                                               : gpt2q_context_activations(session_of(r, i, k)->ctx);
        }
    }
    return s;
}

static void close_group(struct bench_run *r)
{
    struct bench_plan *plan = r->plan;
    for (int i = 0; i < plan->n_schemes * plan->n_threads; i++) session_free(&r->sessions[i]);
    for (int i = r->first; i < r->last; i++) {
        gpt2q_model_close(plan->models[i].model);
        plan->models[i].model = NULL;
    }
}

/* ---- rounds ---- */

static gpt2q_status run_tokenizer(const struct bench_plan *plan, struct bench_test *t, double *rate,
                                  gpt2q_error *err)
{
    size_t n;
    size_t capacity = tokenizer_max_ids(plan->tokenizer, plan->text_len);
    int32_t *ids = mem_array(capacity, sizeof *ids);
    if (!ids) return error_memory(err, "the ids of the text", capacity * sizeof *ids);
    double start = clock_seconds();
    gpt2q_status s = tokenizer_encode(plan->tokenizer, plan->text, plan->text_len, 0, ids, capacity, &n, err);
    double seconds = clock_seconds() - start;
    mem_free(ids);
    t->tokens = (int32_t)n;
    t->bytes_per_token = (double)plan->text_len / (double)n;
    *rate = (double)n / seconds;
    return s;
}

/* Whether the test runs with the models in memory. The tokenizer's tests run with the first ones. */
static bool is_due(const struct bench_run *r, const struct bench_test *t)
{
    return t->kind == TEST_TOKENIZE ? r->first == 0
                                    : r->plan->models[r->plan->schemes[t->scheme].model].model != NULL;
}

static gpt2q_status run_round(struct bench_run *r, int round, gpt2q_error *err)
{
    struct bench_plan *plan = r->plan;
    gpt2q_status s = GPT2Q_OK;
    bool warming = round == 0; /* touches every page, measures nothing */
    if (!warming) machine_measure(&plan->machine, r->first, r->last);
    for (int i = 0; i < plan->n_tests && !s && !signal_seen(); i++) {
        struct bench_test *t = &plan->tests[i];
        double rate;
        if (!is_due(r, t)) continue;
        say_progress(r, warming ? "warming up" : "measuring", round, i + 1);
        s = t->kind == TEST_TOKENIZE ? run_tokenizer(plan, t, &rate, err)
                                     : session_run(session_of(r, t->scheme, t->limits), plan, t, &rate, err);
        if (!s && !warming && !signal_seen()) t->rates.values[t->rates.n++] = rate;
    }
    return s;
}

/* Sets the bound of a test from the medians of the limits so far. */
static void compute_bound(struct bench_plan *plan, struct bench_test *t)
{
    int model = plan->schemes[t->scheme].model;
    struct machine_limits *l = &plan->machine.limits[t->limits];
    const struct gpt2_weights *weights = model_weights(plan->models[model].model);
    struct summary read = samples_summary(&l->reads[model].gb_s), fma = samples_summary(&l->gflops_f32),
                   dot = samples_summary(&l->gops_i8);
    struct bench_rates rates = {.read_gb_s = read.median, .gflops_f32 = fma.median, .gops_i8 = dot.median};
    struct activation_mode mode;
    if (activation_mode_parse(plan->schemes[t->scheme].activations_text, weights, &mode, NULL)) return;
    const enum activations activations = mode.kind;
    /* The cost counts two int8 products for one with i16 activations. */
    if (activations == ACTIVATIONS_I16)
        rates.gops_i8 *= 2.0 / plan->machine.kernels->i16_products[core_adds_for_free()];
    struct bench_bound b = bench_bound(plan, t, weights, activations, rates);
    double tokens = (double)t->tokens * t->batch;
    t->bytes_per_token = b.bytes / tokens;
    t->bound_tokens_per_s = tokens / b.seconds;
    t->bound_noisy = read.noisy || fma.noisy || dot.noisy;
    for (int i = 0; i < PART_COUNT; i++) {
        double n = b.n_steps;
        t->profile.cost[i] =
            (struct cost){b.cost[i].bytes / n, b.cost[i].f32_flops / n, b.cost[i].i8_ops / n};
        t->profile.bound_s[i] = b.part_seconds[i] / n;
    }
}

static gpt2q_status finish_tests(struct bench_run *r, gpt2q_error *err)
{
    struct bench_plan *plan = r->plan;
    gpt2q_status s = GPT2Q_OK;
    for (int i = 0; i < plan->n_tests && !s; i++) {
        struct bench_test *t = &plan->tests[i];
        if (t->kind == TEST_TOKENIZE || !is_due(r, t) || !t->rates.n) continue;
        compute_bound(plan, t);
        if (plan->profile && !signal_seen())
            s = session_profile(session_of(r, t->scheme, t->limits), plan, t, err);
    }
    return s;
}

static gpt2q_status run_group(struct bench_run *r, gpt2q_error *err)
{
    struct bench_plan *plan = r->plan;
    say_progress(r, "opening models", 0, 0);
    gpt2q_status s = open_group(r, err);
    if (!s && r->last > r->first)
        s = check_positions(plan, gpt2q_model_config(plan->models[r->first].model), err);
    if (!s) s = open_sessions(r, err);
    for (int round = 0; round <= plan->repeat && !s && !signal_seen(); round++) s = run_round(r, round, err);
    if (!s) s = finish_tests(r, err);
    close_group(r);
    return s;
}

int bench_run(struct bench_plan *plan)
{
    gpt2q_error err;
    struct bench_run r = {.plan = plan, .progress = !plan->quiet && isatty(STDERR_FILENO)};
    size_t n = (size_t)plan->n_schemes * (size_t)plan->n_threads;
    r.sessions = mem_zarray(n, sizeof *r.sessions);
    if (!r.sessions) return failure("out of memory: %zu sessions", n);
    gpt2q_status s = GPT2Q_OK;
    signals_watch();
    do {
        r.first = r.last;
        s = run_group(&r, &err);
    } while (!s && r.last < plan->n_models && !signal_seen());
    say_progress(&r, "", 0, 0);
    mem_free(r.sessions);
    return s ? failed(&err) : signal_exit_code();
}
