#include "engine/context.h"
#include "base/memory.h"
#include "base/threads.h"
#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- batch ---- */

gpt2q_status gpt2q_batch_create(int32_t capacity, gpt2q_batch **out, gpt2q_error *err)
{
    *out = NULL;
    if (capacity < 1)
        return error_set(err, GPT2Q_INVALID_ARGUMENT, "a batch needs room for at least 1 token, not %d",
                         (int)capacity);
    gpt2q_batch *b = mem_zalloc(sizeof *b);
    if (b) b->tokens = mem_array((size_t)capacity, sizeof *b->tokens);
    if (!b || !b->tokens) {
        mem_free(b);
        return error_memory(err, "a batch", (size_t)capacity * sizeof *b->tokens);
    }
    b->capacity = capacity;
    *out = b;
    return GPT2Q_OK;
}

void gpt2q_batch_free(gpt2q_batch *b)
{
    if (!b) return;
    mem_free(b->tokens);
    mem_free(b);
}

void gpt2q_batch_clear(gpt2q_batch *b) { b->n = 0; }

void gpt2q_batch_argmax_only(gpt2q_batch *b, bool argmax_only) { b->argmax_only = argmax_only; }

bool gpt2q_batch_add(gpt2q_batch *b, int32_t token, int32_t position, int32_t sequence, bool wants_logits)
{
    if (b->n == b->capacity) return false;
    b->tokens[b->n++] = (struct batch_token){
        .token = token, .position = position, .sequence = sequence, .wants_logits = wants_logits};
    return true;
}

/* ---- context ---- */

static const char *const activation_names[ACTIVATIONS_COUNT] = {"f32", "i16", "i8"};
const char *activations_print(enum activations a) { return activation_names[a]; }

static gpt2q_status activations_refuse(const char *text, struct scheme scheme, gpt2q_error *err)
{
    char name[SCHEME_TEXT_MAX];
    return error_set(err, GPT2Q_INVALID_ARGUMENT,
                     "activations %s do not go with %s, which takes f32 activations only", text,
                     scheme_print(scheme, name));
}

/* The scheme that decides: that of the blocks' matrices, which are alike but for overrides. */
gpt2q_status activations_parse(const char *text, const struct gpt2_weights *w, enum activations *out,
                               gpt2q_error *err)
{
    if (!text) {
        *out = scheme_activations(w->scheme);
        return GPT2Q_OK;
    }
    for (int i = 0; i < ACTIVATIONS_COUNT; i++) {
        if (strcmp(text, activation_names[i])) continue;
        if (!scheme_takes(w->scheme, (enum activations)i)) return activations_refuse(text, w->scheme, err);
        *out = (enum activations)i;
        return GPT2Q_OK;
    }
    return error_set(err, GPT2Q_INVALID_ARGUMENT,
                     "unknown activations '%s': f32, i16, i8, llm.int8[:T] or static is expected", text);
}

/* The threshold of "llm.int8[:T]", 0 where that is not what the text is. */
static float outlier_threshold(const char *text)
{
    const size_t n = strlen("llm.int8");
    char *end;
    if (strncmp(text, "llm.int8", n) != 0) return 0.0f;
    if (!text[n]) return 6.0f;
    if (text[n] != ':' || text[n + 1] < '0' || text[n + 1] > '9') return 0.0f;
    const float t = strtof(text + n + 1, &end);
    return *end || !(t > 0.0f) || !(t < INFINITY) ? 0.0f : t;
}

gpt2q_status activation_mode_parse(const char *text, const struct gpt2_weights *w,
                                   struct activation_mode *out, gpt2q_error *err)
{
    *out = (struct activation_mode){0};
    const bool fixed = text && !strcmp(text, "static");
    const float threshold = text ? outlier_threshold(text) : 0.0f;
    if (!fixed && threshold == 0.0f) return activations_parse(text, w, &out->kind, err);
    if (!scheme_takes(w->scheme, ACTIVATIONS_I8)) return activations_refuse(text, w->scheme, err);
    if (fixed && w->lm_head_input_scale == 0.0f)
        return error_set(
            err, GPT2Q_INVALID_ARGUMENT,
            "activations static want the scales of a file that quantize --static wrote; this model has none");
    *out = (struct activation_mode){.kind = ACTIVATIONS_I8, .fixed = fixed, .threshold = threshold};
    return GPT2Q_OK;
}

static gpt2q_status kv_parse(const char *text, enum activations activations, enum kv_format *out,
                             gpt2q_error *err)
{
    if (kv_format_parse(text, activations, out)) return GPT2Q_OK;
    return error_set(err, GPT2Q_INVALID_ARGUMENT,
                     "unknown cache format '%s': f32, f16, i16 or i8 is expected", text);
}

gpt2q_status context_kv_format(const struct gpt2_weights *weights, const char *activations, const char *kv,
                               enum kv_format *out, gpt2q_error *err)
{
    struct activation_mode mode;
    gpt2q_status s = activation_mode_parse(activations, weights, &mode, err);
    return s ? s : kv_parse(kv, mode.kind, out, err);
}

static void print_mode(const struct activation_mode *m, char text[ACTIVATIONS_TEXT])
{
    if (m->threshold > 0.0f)
        snprintf(text, ACTIVATIONS_TEXT, "llm.int8:%g", (double)m->threshold);
    else
        snprintf(text, ACTIVATIONS_TEXT, "%s", m->fixed ? "static" : activations_print(m->kind));
}

gpt2q_context_params gpt2q_context_params_default(void)
{
    return (gpt2q_context_params){.n_seq_max = 1, .n_batch = 512};
}

static gpt2q_status check_range(const char *what, int64_t value, int64_t max, gpt2q_error *err)
{
    if (value >= 1 && value <= max) return GPT2Q_OK;
    return error_set(err, GPT2Q_INVALID_ARGUMENT, "%s is %lld where 1 to %lld is expected", what,
                     (long long)value, (long long)max);
}

static gpt2q_status complete(const gpt2q_config *c, const gpt2q_context_params *given,
                             gpt2q_context_params *p, gpt2q_error *err)
{
    *p = given ? *given : gpt2q_context_params_default();
    if (p->n_ctx == 0) p->n_ctx = c->n_positions;
    if (p->n_outputs == 0) p->n_outputs = p->n_seq_max;
    if (p->n_cache == 0)
        p->n_cache = (int64_t)p->n_seq_max * (((int64_t)p->n_ctx + KV_BLOCK - 1) / KV_BLOCK * KV_BLOCK);
    if (p->n_threads == 0) p->n_threads = threads_default();
    gpt2q_status s = check_range("n_ctx", p->n_ctx, c->n_positions, err);
    if (!s) s = check_range("n_seq_max", p->n_seq_max, 1 << 16, err);
    if (!s) s = check_range("n_batch", p->n_batch, 1 << 16, err);
    if (!s) s = check_range("n_outputs", p->n_outputs, 1 << 16, err);
    if (!s) s = check_range("n_cache", p->n_cache, INT32_MAX, err);
    if (!s) s = check_range("n_threads", p->n_threads, THREADS_MAX, err);
    return s;
}

static gpt2q_status build(gpt2q_context *ctx, const gpt2q_context_params *p, gpt2q_error *err)
{
    const struct gpt2_weights *w = &ctx->model->weights;
    struct activation_mode activations;
    enum kv_format kv;
    gpt2q_status s = activation_mode_parse(p->activations, w, &activations, err);
    if (!s) print_mode(&activations, ctx->activations);
    if (!s) s = kv_parse(p->kv, activations.kind, &kv, err);
    if (!s) s = kv_cache_create(&ctx->cache, kv, &w->config, p->n_seq_max, p->n_ctx, p->n_cache, err);
    if (!s)
        s = forward_create(&ctx->forward, w, ctx->model->isa, &ctx->cache, activations, p->n_batch,
                           p->n_outputs, p->n_threads, err);
    if (s) return s;
    size_t row = (size_t)w->config.vocab_size * sizeof(float);
    ctx->logits = mem_array((size_t)p->n_outputs, row);
    ctx->argmax = mem_array((size_t)p->n_outputs, sizeof *ctx->argmax);
    ctx->extended = mem_array((size_t)p->n_seq_max, sizeof *ctx->extended);
    if (!ctx->logits || !ctx->argmax || !ctx->extended)
        return error_memory(err, "logits", (size_t)p->n_outputs * row);
    for (int i = 0; i < p->n_seq_max; i++) ctx->extended[i] = -1;
    return GPT2Q_OK;
}

gpt2q_status gpt2q_context_create(const gpt2q_model *model, const gpt2q_context_params *params,
                                  gpt2q_context **out, gpt2q_error *err)
{
    *out = NULL;
    gpt2q_context_params p;
    gpt2q_status s = complete(&model->weights.config, params, &p, err);
    if (s) return s;
    gpt2q_context *ctx = mem_zalloc(sizeof *ctx);
    if (!ctx) return error_memory(err, "a context", sizeof *ctx);
    ctx->model = model;
    ctx->n_ctx = p.n_ctx;
    ctx->n_batch = p.n_batch;
    ctx->n_outputs = p.n_outputs;
    s = build(ctx, &p, err);
    if (s) {
        gpt2q_context_free(ctx);
        return s;
    }
    *out = ctx;
    return GPT2Q_OK;
}

void gpt2q_context_free(gpt2q_context *ctx)
{
    if (!ctx) return;
    forward_free(&ctx->forward);
    kv_cache_free(&ctx->cache);
    mem_free(ctx->logits);
    mem_free(ctx->argmax);
    mem_free(ctx->extended);
    mem_free(ctx);
}

const char *gpt2q_context_activations(const gpt2q_context *ctx)
{
    const struct activation_mode *m = &ctx->forward.activations;
    return m->threshold > 0.0f ? ctx->activations : m->fixed ? "static" : activations_print(m->kind);
}

const char *gpt2q_context_kv(const gpt2q_context *ctx) { return kv_format_names[ctx->cache.format]; }

void context_profile(gpt2q_context *ctx, struct forward_profile *profile) { ctx->forward.profile = profile; }

/* ---- decode ---- */

static gpt2q_status check_token(const gpt2q_context *ctx, const struct batch_token *t, gpt2q_error *err)
{
    const gpt2q_config *c = &ctx->model->weights.config;
    if (t->token < 0 || t->token >= c->vocab_size)
        return error_set(err, GPT2Q_INVALID_ARGUMENT, "token id %d is outside the vocabulary of %d",
                         (int)t->token, (int)c->vocab_size);
    if (t->sequence < 0 || t->sequence >= ctx->cache.n_seq)
        return error_set(err, GPT2Q_INVALID_ARGUMENT, "sequence %d is outside the %d of this context",
                         (int)t->sequence, ctx->cache.n_seq);
    if (t->position != ctx->cache.length[t->sequence])
        return error_set(err, GPT2Q_INVALID_ARGUMENT, "sequence %d goes on at position %d, not %d",
                         (int)t->sequence, (int)ctx->cache.length[t->sequence], (int)t->position);
    if (t->position >= ctx->n_ctx)
        return error_set(err, GPT2Q_CONTEXT_FULL, "position %d is beyond the context of %d", (int)t->position,
                         (int)ctx->n_ctx);
    return GPT2Q_OK;
}

/* Blocks for every token, or the cache as it was. */
static gpt2q_status reserve(gpt2q_context *ctx, const struct batch_token *tokens, int32_t n, gpt2q_error *err)
{
    int32_t outputs = 0, i;
    gpt2q_status s = GPT2Q_OK;
    for (i = 0; i < n && !s; i++) {
        const struct batch_token *t = &tokens[i];
        s = check_token(ctx, t, err);
        const bool again = i && t->sequence != tokens[i - 1].sequence && ctx->extended[t->sequence] >= 0;
        if (!s && again)
            s = error_set(err, GPT2Q_INVALID_ARGUMENT,
                          "the tokens of sequence %d stand apart in the batch; they must stand side by side",
                          (int)t->sequence);
        if (!s && (outputs += t->wants_logits) > ctx->n_outputs)
            s = error_set(err, GPT2Q_INVALID_ARGUMENT,
                          "the batch wants more rows of logits than the %d of this context",
                          (int)ctx->n_outputs);
        if (s) break;
        int32_t before = ctx->cache.length[t->sequence];
        if (!kv_cache_extend(&ctx->cache, t->sequence, 1))
            s = error_set(err, GPT2Q_CONTEXT_FULL, "the cache of %d positions is full",
                          ctx->cache.n_blocks * KV_BLOCK);
        else if (ctx->extended[t->sequence] < 0)
            ctx->extended[t->sequence] = before;
    }
    while (i-- > 0) { /* forget the lengths from before; go back to them on failure */
        int32_t *before = &ctx->extended[tokens[i].sequence];
        if (s && *before >= 0) kv_cache_truncate(&ctx->cache, tokens[i].sequence, *before);
        *before = -1;
    }
    return s;
}

/* Where a part of at most n_batch tokens that starts at `begin` ends. */
static int32_t part_end(const gpt2q_context *ctx, int32_t begin, int32_t n)
{
    return n - begin < ctx->n_batch ? n : begin + ctx->n_batch;
}

gpt2q_status context_decode(gpt2q_context *ctx, const struct batch_token *tokens, int32_t n, bool argmax_only,
                            gpt2q_error *err)
{
    ctx->n_logits = 0;
    ctx->argmax_only = argmax_only;
    gpt2q_status s = reserve(ctx, tokens, n, err);
    if (s) return s;
    for (int32_t begin = 0, end; begin < n; begin = end) {
        end = part_end(ctx, begin, n);
        float *logits = ctx->logits + (size_t)ctx->n_logits * (size_t)ctx->model->weights.config.vocab_size;
        forward_pass(&ctx->forward, tokens + begin, end - begin, begin, logits,
                     argmax_only ? ctx->argmax + ctx->n_logits : NULL);
        for (int32_t i = begin; i < end; i++) ctx->n_logits += tokens[i].wants_logits;
    }
    return GPT2Q_OK;
}

gpt2q_status gpt2q_decode(gpt2q_context *ctx, const gpt2q_batch *batch, gpt2q_error *err)
{
    return context_decode(ctx, batch->tokens, batch->n, batch->argmax_only, err);
}

const float *gpt2q_logits(const gpt2q_context *ctx, int32_t i)
{
    assert(i >= 0 && i < ctx->n_logits && !ctx->argmax_only);
    return ctx->logits + (size_t)i * (size_t)ctx->model->weights.config.vocab_size;
}

int32_t gpt2q_argmax(const gpt2q_context *ctx, int32_t i)
{
    assert(i >= 0 && i < ctx->n_logits);
    if (ctx->argmax_only) return ctx->argmax[i];
    return kernels_argmax(ctx->model->isa->kernels, gpt2q_logits(ctx, i),
                          (size_t)ctx->model->weights.config.vocab_size);
}

void gpt2q_context_truncate(gpt2q_context *ctx, int32_t sequence, int32_t length)
{
    if (sequence < 0 || sequence >= ctx->cache.n_seq || length < 0) return;
    kv_cache_truncate(&ctx->cache, sequence, length);
}

void gpt2q_context_observe(gpt2q_context *ctx, gpt2q_observer *observer, void *user)
{
    ctx->forward.observer = observer;
    ctx->forward.observer_user = user;
}
