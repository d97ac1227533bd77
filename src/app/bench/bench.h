/* What the files of `gpt2q bench` share. A plan is a list of tests. They run in rounds. Each round
 * measures the machine's limits and then runs every test once, so that a machine whose speed drifts does
 * so for all of them.
 *
 *     cmd_bench.c   options, and the plan they make
 *     machine.c     what the machine can do at most
 *     bound.c       what a test would take at those limits
 *     session.c     a context, and one test on it
 *     run.c         models and rounds
 *     profile.c     a step by its parts
 *     neighbours.c  the busy neighbours of --beside
 *     report.c      table, JSON, CSV, Markdown */
#ifndef APP_BENCH_H
#define APP_BENCH_H
#include "engine/model.h"
#include "kernels/limits.h"
#include "model/cost.h"

#define BENCH_CHUNK 512 /* tokens of a pass at most, in prefill */
#define BENCH_NOISY 0.2 /* (max - min) / median; a figure that varies so much proves nothing */

/* ---- samples: one figure a round ---- */
struct samples {
    double *values; /* room for every round */
    int n;
};
struct summary {
    double median, min, max;
    bool noisy;
};
/* n >= 1; sorts the values. */
struct summary samples_summary(struct samples *s);

/* ---- the machine ---- */
struct read_limit { /* reading memory: the only limit that depends on the amount read */
    size_t working_set;
    struct samples gb_s;
};
struct machine_limits { /* of one number of threads */
    int threads;
    struct read_limit *reads; /* n_reads of the machine */
    struct samples gflops_f32, gops_i8;
};
struct machine {
    char cpu[96];
    const char *isa;
    const struct limits *kernels;
    uint8_t *buffer; /* what is read */
    size_t buffer_bytes;
    struct machine_limits *limits; /* one for each number of threads, in the order given */
    int n_limits, n_reads;
    size_t l3_bytes; /* of the third-level caches of this process's processors; 0: unknown */
};
/* n_reads working sets, each measured at most max_samples times. */
gpt2q_status machine_create(struct machine *m, const char *isa, const int32_t *threads, int n_threads,
                            int n_reads, int max_samples, gpt2q_error *err);
void machine_free(struct machine *m);
/* Sets working set `read` to that many bytes. If that is more than any cache holds, a size beyond all
 * caches stands for it. */
gpt2q_status machine_set_working_set(struct machine *m, int read, uint64_t bytes, gpt2q_error *err);
/* Measures limits: reads from first to last, then the others. */
void machine_measure(struct machine *m, int first, int last);

/* ---- the plan ---- */
struct bench_model {    /* a model in memory; several schemes may share it */
    const char *spec;   /* NULL: the default */
    gpt2q_model *model; /* NULL while it is not open */
    uint64_t bytes;
};
struct bench_scheme {
    int model;                  /* index; also that of the machine's read limit */
    const char *activations;    /* NULL: the default */
    char text[SCHEME_TEXT_MAX]; /* in full, as reported */
    const char *activations_text;
};
enum test_kind { TEST_PREFILL, TEST_DECODE, TEST_TOKENIZE };
struct bench_profile { /* a step: one token of each sequence, or a whole prompt */
    int n_steps;       /* 0: not measured */
    double step_s, parts_s[PART_COUNT], sampling_s; /* the rest is the scheduler's */
    struct cost cost[PART_COUNT];
    double bound_s[PART_COUNT];
};
struct bench_test {
    enum test_kind kind;
    int scheme, limits; /* indices: into the plan's schemes, into the machine's limits */
    int32_t tokens, batch, position, threads;   /* tokens: of a prompt, or to make for each sequence */
    struct samples rates;                       /* tokens/s, all sequences together */
    double bytes_per_token, bound_tokens_per_s; /* once the test has run */
    bool bound_noisy;                           /* the limits behind it were noisy */
    struct bench_profile profile;
};
struct bench_plan {
    const char *model_path, *isa, *kv;
    const gpt2q_config *shape; /* NULL: a model */
    const char *shape_name;
    struct bench_model *models;
    struct bench_scheme *schemes;
    struct bench_test *tests;
    const int32_t *threads;
    int n_models, n_schemes, n_tests, n_threads, repeat, beside;
    bool all_logits, profile, quiet;
    bool interrupted;            /* by a signal, before all rounds were made */
    struct tokenizer *tokenizer; /* of --tokenizer, and the text */
    char *text;
    size_t text_len;
    struct machine machine;
};

/* ---- what a test would take ---- */
struct bench_bound {
    double bytes, seconds;
    int n_steps;
    struct cost cost[PART_COUNT];    /* summed over the test; so are */
    double part_seconds[PART_COUNT]; /* each part's own bound */
};
struct bench_rates { /* medians of the limits that hold for a test */
    double read_gb_s, gflops_f32, gops_i8;
};
/* Seconds at these rates. For each pass the longer of two counts: moving the bytes, or computing. */
struct bench_bound bench_bound(const struct bench_plan *plan, const struct bench_test *test,
                               const struct gpt2_weights *weights, enum activations activations,
                               struct bench_rates rates);

/* ---- a session: one scheme on one number of threads, with room for all its tests ---- */
struct bench_session {
    gpt2q_context *ctx;
    gpt2q_batch *batch;
    int32_t n_sequences,
        position; /* sequences 0..n_sequences-1 are for decoding; 0..n_filled-1 hold `position` tokens */
    int32_t n_filled, vocab_size;
    /* Tokens that sequences may make beyond a test's, while a scheduler still takes in others' prompts. */
    int32_t spare;
    int32_t *next; /* (n_sequences) the next token */
};
gpt2q_status session_create(struct bench_session *s, const struct bench_plan *plan, int scheme, int limits,
                            gpt2q_error *err);
void session_free(struct bench_session *s);
/* Runs a test once. *rate is its tokens/s. */
gpt2q_status session_run(struct bench_session *s, const struct bench_plan *plan,
                         const struct bench_test *test, double *rate, gpt2q_error *err);

/* Runs a test once more and fills in its profile. A decoding test runs through the scheduler. */
gpt2q_status session_profile(struct bench_session *s, const struct bench_plan *plan, struct bench_test *test,
                             gpt2q_error *err);

/* ---- running and reporting ---- */
/* Runs the plan. Returns an exit code. Tests that an interrupt prevented have no rates. */
int bench_run(struct bench_plan *plan);

enum bench_format { BENCH_TABLE, BENCH_JSON, BENCH_CSV, BENCH_MARKDOWN };
void bench_report(struct bench_plan *plan, enum bench_format format);
#endif
