/* gpt2q: GPT-2 on quantized weights, on a CPU.
 *
 * The one public header. A loaded model (immutable, mapped, shared by threads) and a running state (context:
 * KV cache and scratch, one thread at a time) are two types; a scheduler turns a context into a server of
 * many requests.
 *
 *     #include <gpt2q.h>
 *     #include <stdio.h>
 *
 *     int main(int argc, char **argv)
 *     {
 *         gpt2q_error err;
 *         gpt2q_model *model;
 *         gpt2q_context *ctx;
 *         gpt2q_model_params mp = gpt2q_model_params_default();
 *         mp.scheme = "i8";
 *         if (gpt2q_model_open(argc > 1 ? argv[1] : NULL, &mp, &model, &err)) return puts(err.message), 1;
 *         gpt2q_context_params cp = gpt2q_context_params_default();
 *         if (gpt2q_context_create(model, &cp, &ctx, &err)) return puts(err.message), 1;
 *
 *         int32_t ids[512];
 *         size_t n = 0;
 *         if (gpt2q_tokenize(model, "Once upon a time", 16, 0, ids, 512, &n, &err))
 *             return puts(err.message), 1;
 *         gpt2q_batch *batch;
 *         if (gpt2q_batch_create(512, &batch, &err)) return puts(err.message), 1;
 *         for (size_t i = 0; i < n; i++) gpt2q_batch_add(batch, ids[i], (int32_t)i, 0, i + 1 == n);
 *         for (int step = 0; step < 16; step++) {
 *             if (gpt2q_decode(ctx, batch, &err)) return puts(err.message), 1;
 *             int32_t next = gpt2q_argmax(ctx, 0);
 *             size_t len;
 *             const char *bytes = gpt2q_token_bytes(model, next, &len);
 *             fwrite(bytes, 1, len, stdout);
 *             gpt2q_batch_clear(batch);
 *             gpt2q_batch_add(batch, next, (int32_t)n++, 0, true);
 *         }
 *         putchar('\n');
 *         gpt2q_batch_free(batch), gpt2q_context_free(ctx), gpt2q_model_close(model);
 *         return 0;
 *     }
 *
 * Fallible calls return a status (0 = GPT2Q_OK), give results through **out (NULL on failure) and fill a
 * caller-owned error that may be NULL. Params that are NULL are the defaults. Operating errors are returned;
 * programmer errors (a NULL handle, a token outside the vocabulary in a batch made by hand) are asserted or
 * refused, as said with each call. The library never prints, never exits, and allocates nothing per token.
 *
 * Threads: OpenMP makes them, for the library alone. Loading a model and decoding use the caller's thread and
 * a team. A team has n_threads - 1 threads that work (in a decode: never more in all than there are cores)
 * and one that only waits for the team's end. They sleep between calls. Passes with n_threads 1, and short
 * ones that gain nothing from more, use the caller's thread alone. Calls at the same time in several threads
 * have a team each. The threads take no signals. All teams end when the last model is closed. Then the
 * library may be unloaded. (LLVM's runtime keeps its threads, asleep.)
 *
 * fork(): the child may open models of its own, and it may use the parent's models and contexts unless
 * another thread of the parent was in a call that uses them. An observer must not fork and let the child
 * return into the pass.
 *
 * The same request gives the same bits whatever the batch around it, the chunking of its prompt, the number
 * of threads and the instruction set. */
#ifndef GPT2Q_H
#define GPT2Q_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define GPT2Q_API __attribute__((visibility("default")))
#else
#define GPT2Q_API
#endif

/* ---- status and error --------------------------------------------------------------------------------- */

#define GPT2Q_STATUS_MAP(X)                                                                                  \
    X(OK, "done")                                                                                            \
    X(INVALID_ARGUMENT, "invalid argument")                                                                  \
    X(IO, "input or output failed")                                                                          \
    X(FORMAT, "malformed file")                                                                              \
    X(UNSUPPORTED, "not supported")                                                                          \
    X(OUT_OF_MEMORY, "out of memory")                                                                        \
    X(CONTEXT_FULL, "context full")                                                                          \
    X(NON_FINITE, "logits are not finite")                                                                   \
    X(QUEUE_FULL, "queue full")                                                                              \
    X(CANCELLED, "cancelled")

typedef enum gpt2q_status {
#define GPT2Q_STATUS_ENUM(name, text) GPT2Q_##name,
    GPT2Q_STATUS_MAP(GPT2Q_STATUS_ENUM)
#undef GPT2Q_STATUS_ENUM
} gpt2q_status;

typedef struct gpt2q_error {
    gpt2q_status status;
    char message[252]; /* one sentence, UTF-8, zero-terminated */
} gpt2q_error;

/* "out of memory" for GPT2Q_OUT_OF_MEMORY; never NULL. */
GPT2Q_API const char *gpt2q_status_text(gpt2q_status status);
/* "0.1.0" */
GPT2Q_API const char *gpt2q_version(void);

/* ---- model: weights, config, tokenizer; immutable, may be shared by any number of threads ------------- */

typedef struct gpt2q_model gpt2q_model;

#define GPT2Q_MORE_EOS 15

typedef struct gpt2q_config { /* the spelling of Hugging Face's config.json */
    int32_t vocab_size, n_positions, n_embd, n_layer, n_head, n_inner;
    int32_t bos_token_id, eos_token_id; /* -1: none, or none that the vocabulary has */
    int32_t n_more_eos;                 /* further ids that end a text as eos_token_id does */
    int32_t more_eos_token_ids[GPT2Q_MORE_EOS];
    float layer_norm_epsilon;
    char activation_function[16];
    bool scale_attn_weights, scale_attn_by_inverse_layer_idx, tie_word_embeddings;
} gpt2q_config;

typedef struct gpt2q_model_params {
    /* How weights are held: "f32", "i8", "i8:channel:absmax" ...; NULL: i8, or as a file stores them. */
    const char *scheme;
    const char *const *overrides; /* n_overrides strings "GLOB=SPEC" by tensor name, the last match wins */
    size_t n_overrides;
    const char *isa;   /* "scalar", "avx2", "avx512" ...; NULL: $GPT2Q_ISA, else the best of this machine */
    int32_t n_threads; /* threads for loading; 0: OMP_NUM_THREADS, else the cores this process may use */
    bool weights_only; /* accept a directory without a vocabulary; then no text has ids and no id has text */
    bool requantize;   /* allow another scheme for tensors that a GGUF file holds quantized */
} gpt2q_model_params;

GPT2Q_API gpt2q_model_params gpt2q_model_params_default(void);
/* Opens a Hugging Face directory, a .gpt2q or GGUF file or a name in the Hugging Face cache on disk; NULL:
 * the default model (models/tales-7m beside the library, or as it was installed). The model's files are mapped
 * and must not be changed while it is open. */
GPT2Q_API gpt2q_status gpt2q_model_open(const char *path, const gpt2q_model_params *params, gpt2q_model **out,
                                        gpt2q_error *err);
/* Every context made from the model must be freed before. NULL is ignored. */
GPT2Q_API void gpt2q_model_close(gpt2q_model *model);
GPT2Q_API const gpt2q_config *gpt2q_model_config(const gpt2q_model *model);
/* "tales-7m": the last part of the path. */
GPT2Q_API const char *gpt2q_model_name(const gpt2q_model *model);
/* The scheme in full, "i8:channel:absmax"; "mixed" with overrides. */
GPT2Q_API const char *gpt2q_model_scheme(const gpt2q_model *model);
/* The instruction set in use, "avx512". */
GPT2Q_API const char *gpt2q_model_isa(const gpt2q_model *model);
/* Stored payload of all tensors in bytes, scales and padding included, a tied wte once. */
GPT2Q_API uint64_t gpt2q_model_bytes(const gpt2q_model *model);
GPT2Q_API uint64_t gpt2q_model_parameters(const gpt2q_model *model);

/* ---- tokens ------------------------------------------------------------------------------------------- */

#define GPT2Q_PARSE_SPECIAL 1u /* "<|endoftext|>" and other special tokens in the text are tokens */
#define GPT2Q_CONTINUE      2u /* the text goes on from another: nothing is put before or after it */

/* Any bytes to ids. *n is the number of ids of the text. Where that exceeds capacity, the status is
 * GPT2Q_INVALID_ARGUMENT and ids holds the first `capacity` of them. len bytes make at most len ids. They
 * make at most 3 len + 65 where the model's files have added tokens, a space before a text or tokens around
 * it. */
GPT2Q_API gpt2q_status gpt2q_tokenize(const gpt2q_model *model, const char *text, size_t len, unsigned flags,
                                      int32_t *ids, size_t capacity, size_t *n, gpt2q_error *err);
/* The bytes of a token (not terminated; owned by the model), NULL for an id outside the vocabulary. A token's
 * bytes need not be whole code points. */
GPT2Q_API const char *gpt2q_token_bytes(const gpt2q_model *model, int32_t id, size_t *len);

/* ---- batch: ragged; a list of (token, position, sequence, wants logits), no padding ------------------- */

typedef struct gpt2q_batch gpt2q_batch;
GPT2Q_API gpt2q_status gpt2q_batch_create(int32_t capacity, gpt2q_batch **out, gpt2q_error *err);
GPT2Q_API void gpt2q_batch_free(gpt2q_batch *batch);
GPT2Q_API void gpt2q_batch_clear(gpt2q_batch *batch);
/* False when the batch is full. Add the tokens of a sequence side by side, in increasing position without
 * gaps; gpt2q_decode refuses a batch where they stand apart. */
GPT2Q_API bool gpt2q_batch_add(gpt2q_batch *batch, int32_t token, int32_t position, int32_t sequence,
                               bool wants_logits);
/* True is a promise to call only gpt2q_argmax for this batch. Its answers are the same, and no row of logits
 * is written unless an observer is set. gpt2q_batch_clear keeps the setting; a new batch has false. */
GPT2Q_API void gpt2q_batch_argmax_only(gpt2q_batch *batch, bool argmax_only);

/* ---- context: KV cache and scratch; used by one thread at a time -------------------------------------- */

typedef struct gpt2q_context gpt2q_context;

typedef struct gpt2q_context_params {
    int32_t n_ctx;     /* positions of one sequence at most; 0: n_positions */
    int32_t n_seq_max; /* sequences held at once (1) */
    int32_t n_batch;   /* tokens of one forward pass at most; longer batches are run in parts (512) */
    int32_t n_outputs; /* rows of logits, or arg-maxes of them, held at once; 0: n_seq_max */
    int64_t n_cache;   /* positions in the cache pool, all sequences together; 0: n_seq_max * n_ctx */
    /* At most; 0: OMP_NUM_THREADS, else the cores this process may use, within its CPU quota. */
    int32_t n_threads;
    const char
        *activations; /* "f32", "i16", "i8", "llm.int8[:T]", "static"; NULL: the default of the scheme */
    /* How keys and values are cached: "f32" (exact), "f16", "i16" or "i8" (codes with a scale for each
     * position and head). NULL: i16 beside integer activations, which round more coarsely, else f32. */
    const char *kv;
} gpt2q_context_params;

GPT2Q_API gpt2q_context_params gpt2q_context_params_default(void);
GPT2Q_API gpt2q_status gpt2q_context_create(const gpt2q_model *model, const gpt2q_context_params *params,
                                            gpt2q_context **out, gpt2q_error *err);
GPT2Q_API void gpt2q_context_free(gpt2q_context *ctx);
/* One forward pass over the batch; keys and values of its tokens are appended to the cache. A sequence's
 * first new position must be its cached length. On failure the cache is as before. */
GPT2Q_API gpt2q_status gpt2q_decode(gpt2q_context *ctx, const gpt2q_batch *batch, gpt2q_error *err);
/* Logits (vocab_size) of the i-th token of the last batch that wanted them, valid until the next decode. The
 * batch must not have argmax_only (asserted). */
GPT2Q_API const float *gpt2q_logits(const gpt2q_context *ctx, int32_t i);
/* The id of the largest logit of that token; the lowest id at ties; -1 if a logit is not finite. */
GPT2Q_API int32_t gpt2q_argmax(const gpt2q_context *ctx, int32_t i);
/* Forgets the positions of a sequence from `length` on (0: all of them) and returns their cache blocks to the
 * pool. */
GPT2Q_API void gpt2q_context_truncate(gpt2q_context *ctx, int32_t sequence, int32_t length);

/* Called after each named intermediate (names of Hugging Face's modules: "embed", "h.0.ln_1",
 * "h.0.attn.c_attn", ..., "ln_f", "logits"), data (rows, cols) row-major. The pass goes on with what the
 * observer leaves in data. Row 0 of data is row rows_first of the batch. NULL removes the observer; without
 * one this costs nothing. */
typedef void gpt2q_observer(void *user, const char *name, float *data, int32_t rows_first, int32_t rows,
                            int32_t cols);
GPT2Q_API void gpt2q_context_observe(gpt2q_context *ctx, gpt2q_observer *observer, void *user);

/* ---- sampling ----------------------------------------------------------------------------------------- */

typedef struct gpt2q_sampling { /* applied in this order; ties go to the lower id */
    float repetition_penalty;   /* 1: none; over prompt and output */
    float frequency_penalty;    /* 0: none; taken off once for every time the completion has the token */
    float presence_penalty;     /* 0: none; taken off where the completion has the token */
    float temperature;          /* 0: greedy */
    int32_t top_k;              /* 0: all */
    double top_p;               /* 1: all; in double, so that 0.6 of ten equal tokens is six */
    float min_p;                /* 0: all */
    uint64_t seed;              /* one uniform number per (seed, position) */
} gpt2q_sampling;

GPT2Q_API gpt2q_sampling gpt2q_sampling_default(void);

/* ---- scheduler: continuous batching of requests on one context; no thread of its own ------------------ */

typedef struct gpt2q_scheduler gpt2q_scheduler;

typedef enum gpt2q_finish {
    GPT2Q_FINISH_LENGTH,
    GPT2Q_FINISH_STOP,
    GPT2Q_FINISH_CANCELLED,
    GPT2Q_FINISH_ERROR
} gpt2q_finish;

typedef struct gpt2q_token_logprob {
    int32_t id;
    float logprob;
} gpt2q_token_logprob;

/* One position of prompt or completion. */
typedef struct gpt2q_position {
    int32_t id;
    int32_t rank; /* of id among the raw logits, 1: the likeliest; 0: not asked, or no logprob */
    bool in_prompt;
    float logprob; /* of id, from the raw logits; NaN: not asked, or the first token of the prompt */
    const gpt2q_token_logprob *top; /* n_logprobs entries, best first; NULL where logprob is NaN */
} gpt2q_position;

typedef struct gpt2q_result {
    gpt2q_finish finish;
    gpt2q_error error;               /* with GPT2Q_FINISH_ERROR */
    const int32_t *prompt_ids, *ids; /* prompt after truncation; every token made, the last one included */
    size_t n_prompt, n_ids;
    const char *text; /* completion: without a final end of text, cut before the stop string; any bytes */
    size_t text_len;
    const char *stop; /* the stop string that ended the text; NULL: none did */
    int32_t stop_id;  /* the one of stop_ids that ended it; -1: none did */
    /* With logprobs: the completion's, preceded by the prompt's if echo; else NULL. */
    const gpt2q_position *positions;
    size_t n_positions;
    size_t n_cached;               /* tokens of the prompt that were shared and not computed */
    size_t n_proposed, n_accepted; /* with speculate */
    size_t n_steps;                /* passes that the sample took part in */
    double queued_s, prefill_s, decode_s;
} gpt2q_result;

/* text: whole code points, as soon as they are complete. Broken bytes come unchanged at the end of a
 * sequence. */
typedef void gpt2q_text_fn(void *user, uint64_t request, int32_t sample, const char *text, size_t len);
/* Called once for every token that is drawn, before the text that it releases is handed to on_text. position has its
 * log-probabilities where they are asked for (logprob NaN where not) and is valid during the call. With echo and log-probabilities
 * the entries before it in memory are those of all tokens before it, the prompt's first. */
typedef void gpt2q_token_fn(void *user, uint64_t request, int32_t sample, const gpt2q_position *position);
/* The sample was given a row; then once for every pass that computed some of its prompt but not the last of it. n_done of the
 * n_prompt tokens, of the prompt after truncation, are computed or shared. */
typedef void gpt2q_prefill_fn(void *user, uint64_t request, int32_t sample, const int32_t *prompt_ids,
                              size_t n_prompt, size_t n_done);
/* Called once per sample. The result, and all that it points to, is valid during the call. */
typedef void gpt2q_end_fn(void *user, uint64_t request, int32_t sample, const gpt2q_result *result);

typedef struct gpt2q_logit_bias {
    int32_t id;
    float bias; /* GPT2Q_BAN and less: the token has no chance */
} gpt2q_logit_bias;

#define GPT2Q_BAN (-100.0f)

typedef struct gpt2q_request {
    const char *prompt; /* bytes, or */
    size_t prompt_len;
    const int32_t *ids; /* ids, if not NULL; an empty prompt is [bos_token_id] */
    size_t n_ids;
    int32_t max_tokens; /* 0: score the prompt only */
    int32_t n_samples;  /* sample j uses seed + j */
    int32_t min_tokens; /* before, what ends a text and stop_ids have no chance */
    int32_t n_logprobs; /* -1: none; 0: of the tokens themselves only; K: and the K best */
    bool ranks;         /* with n_logprobs: positions have ranks */
    bool echo;          /* positions cover the prompt too */
    bool ignore_eos;
    bool truncate_left; /* a prompt too long loses its oldest tokens; else it is an error */
    int32_t keep_last;  /* of the prompt only so many tokens count, the last ones; 0: all */
    gpt2q_sampling sampling;
    /* 0: off; N: where the text repeats itself, at most N tokens are proposed and checked in one pass, as far
     * as the context's n_outputs and n_batch have room (none if padded). The answer is the same. */
    int32_t speculate;
    const char *const *stop; /* n_stop zero-terminated strings */
    size_t n_stop;
    const int32_t *stop_ids; /* n_stop_ids ids that end the sample; their text is not part of it */
    size_t n_stop_ids;
    const gpt2q_logit_bias *logit_bias; /* n_logit_bias numbers added to raw logits, before everything else */
    size_t n_logit_bias;
    const int32_t *allowed; /* n_allowed ids; all others have no chance. NULL: all are allowed */
    size_t n_allowed;
    gpt2q_prefill_fn *on_prefill; /* this one and the next two may be NULL */
    gpt2q_token_fn *on_token;
    gpt2q_text_fn *on_text;
    gpt2q_end_fn *on_end;
    void *user;
} gpt2q_request;

typedef struct gpt2q_scheduler_params {
    int32_t n_rows;  /* rows decoded together (8); at most the context's n_seq_max */
    int32_t n_chunk; /* prompt tokens per step, all rows together; 0: what is left of n_batch */
    int32_t n_queue; /* waiting requests at most (64) */
    int64_t
        n_queue_tokens; /* tokens of their prompts at most; 0: no limit. A request alone is always taken */
    bool no_prefix_sharing;
    /* What ended prompts and answers have cached serves later prompts that begin alike, until the cache needs
     * its blocks. The answers are the same. */
    bool keep_prefixes;
    /* For study: a rectangular cache, padded on the left, in place of the ragged one. The answers are the
     * same. It takes 2 * n_rows of the context's sequences. Prompts are prefilled whole. */
    bool padded;
} gpt2q_scheduler_params;

typedef struct gpt2q_scheduler_stats {
    uint64_t requests, errors, prompt_tokens, completion_tokens, steps;
    uint64_t rows; /* decoded rows, all steps together */
    double prefill_s, decode_s;
    uint64_t peak_kv_bytes;
    uint64_t cached_tokens;                    /* of prompts, shared and not computed */
    uint64_t wasted_tokens;                    /* computed or made for samples that were cancelled */
    uint64_t proposed_tokens, accepted_tokens; /* with speculate; of requests that ended */
} gpt2q_scheduler_stats;

typedef struct gpt2q_scheduler_load {    /* as the last step left it; the queue as it is now */
    int32_t running, waiting;            /* samples that have a row; requests that wait for one */
    int64_t waiting_tokens;              /* of the prompts that wait */
    int64_t tokens_left;                 /* to be computed and made by all that runs and waits, at most */
    int64_t cache_positions, cache_used; /* of the pool; of those that run. Kept prefixes are not counted */
    gpt2q_scheduler_stats stats;
} gpt2q_scheduler_load;

GPT2Q_API gpt2q_request gpt2q_request_default(void);
GPT2Q_API gpt2q_scheduler_params gpt2q_scheduler_params_default(void);
/* The context's sequences must be empty. They are the scheduler's until it is freed. */
GPT2Q_API gpt2q_status gpt2q_scheduler_create(gpt2q_context *ctx, const gpt2q_scheduler_params *params,
                                              gpt2q_scheduler **out, gpt2q_error *err);
/* Requests still under way end without a callback. */
GPT2Q_API void gpt2q_scheduler_free(gpt2q_scheduler *s);
/* Thread-safe. Copies all it needs. GPT2Q_QUEUE_FULL: try again after a step. A request that can never run
 * (prompt too long, unknown id) is refused here. *id numbers requests from 1; id may be NULL. */
GPT2Q_API gpt2q_status gpt2q_scheduler_submit(gpt2q_scheduler *s, const gpt2q_request *request, uint64_t *id,
                                              gpt2q_error *err);
/* The same of n requests, all of them or none. ids[n] and failed may be NULL. *failed: the index of the one that
 * was refused; n where the queue was full. */
GPT2Q_API gpt2q_status gpt2q_scheduler_submit_all(gpt2q_scheduler *s, const gpt2q_request *requests, size_t n,
                                                  uint64_t *ids, size_t *failed, gpt2q_error *err);
/* Thread-safe. The request ends with GPT2Q_FINISH_CANCELLED at the next step, amid its prompt too; false if it is
 * not there any more. */
GPT2Q_API bool gpt2q_scheduler_cancel(gpt2q_scheduler *s, uint64_t id);
/* One forward pass: a token of every running row first, then prompt chunks. *busy: something is left to do.
 * After a failure the scheduler can only be freed. */
GPT2Q_API gpt2q_status gpt2q_scheduler_step(gpt2q_scheduler *s, bool *busy, gpt2q_error *err);
GPT2Q_API gpt2q_scheduler_stats gpt2q_scheduler_get_stats(const gpt2q_scheduler *s);
/* Thread-safe, and never waits for a step. */
GPT2Q_API gpt2q_scheduler_load gpt2q_scheduler_get_load(gpt2q_scheduler *s);

#ifdef __cplusplus
}
#endif
#endif
