/* A lane is a model in one scheme with one kind of activations. It has a context, a scheduler and a queue of its own. One engine
 * thread steps the lanes in turn, so that they share the cores fairly.
 *
 * The model never changes. After a failed pass the context and the scheduler are replaced. The lane's lock keeps other threads
 * from the scheduler meanwhile. */
#ifndef SERVE_LANE_H
#define SERVE_LANE_H
#include "base/json_writer.h"
#include "engine/fingerprint.h"
#include "model/kv_cache.h"
#include "serve/histogram.h"
#include "serve/memory_plan.h"
#include "serve/options.h"
#include <pthread.h>

struct call;

struct lane_numbers { /* gathered by the engine thread; read under the lane's lock */
    struct histogram step_seconds, step_rows, inter_token;
};

struct lane {
    const struct serve_options *options;
    const struct serve_lane_options *own;
    char id[160];
    gpt2q_model *model;
    char fingerprint[FINGERPRINT_TEXT];
    char activations[32];
    enum kv_format kv;
    int32_t n_ctx;
    struct memory_plan plan; /* of this lane; connections 0 */
    int64_t created;         /* when the model's file was written, Unix seconds */

    pthread_mutex_t lock;
    gpt2q_context *ctx;
    gpt2q_scheduler *scheduler; /* NULL: could not be made again; requests are refused */
    struct call *live;          /* calls that the scheduler knows */
    struct lane_numbers numbers;
    struct lane_numbers fresh;    /* the engine thread's own; copied to `numbers` after a step */
    gpt2q_scheduler_stats before; /* of the lane's schedulers before this one */

    /* the I/O thread's: */
    struct histogram queue_seconds, prefill_seconds, first_token, request_seconds, prompt_tokens,
        completion_tokens;
    uint64_t finished[4];  /* by gpt2q_finish */
    uint64_t cancelled[4]; /* by enum cancel_reason */
    uint64_t freed[3];     /* of the cancelled, by steps until all was free: 0, 1, more */
    double rate_at[11];    /* tokens done by then, a second apart, for Retry-After */
    uint64_t rate_tokens[11];
    size_t n_rates;
};

/* Opens the model, makes its context and scheduler, and makes one pass to warm up. The ids of the lanes in `taken` are taken. */
gpt2q_status lane_open(struct lane *lane, const struct serve_options *options, size_t i,
                       const struct lane *taken, gpt2q_error *err);
void lane_close(struct lane *lane);
/* Makes a new context and scheduler in place of failed ones. Under the lock. */
gpt2q_status lane_renew(struct lane *lane, gpt2q_error *err);
gpt2q_scheduler_load lane_load(struct lane *lane);
/* Called once a second. It remembers the tokens done, for the rate of the last ten seconds. */
void lane_note_rate(struct lane *lane, double now);
/* Tokens per second of the last ten seconds; 0: not known. */
double lane_rate(const struct lane *lane);
/* Whole seconds until `tokens` are done at this rate: from 1 to 60. */
int retry_after(int64_t tokens, double tokens_per_s);

/* The object of GET /v1/models/ID. */
void lane_describe(struct json_writer *w, const struct lane *lane);
#endif
