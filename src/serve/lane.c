#include "serve/lane.h"
#include "base/memory.h"
#include "engine/context.h"
#include "engine/model.h"
#include "engine/scheduler.h"
#include "model/locate.h"
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* ---- what runs ---- */

/* Of keys and values in all layers. */
static int64_t position_bytes(const struct lane *lane)
{
    const gpt2q_config *c = gpt2q_model_config(lane->model);
    return (int64_t)((size_t)c->n_layer * kv_block_bytes(lane->kv, c->n_head, c->n_embd / c->n_head) /
                     KV_BLOCK);
}

/* Room for every row at its longest, unless that is more than a quarter of the memory that may be had. */
static int64_t cache_positions(const struct lane *lane)
{
    const struct serve_options *o = lane->options;
    int64_t row = (lane->n_ctx + KV_BLOCK - 1) / KV_BLOCK * KV_BLOCK, all = o->rows * row;
    int64_t most = (int64_t)(memory_allowed("") / 4) / position_bytes(lane);
    if (o->cache) return o->cache < row ? row : o->cache;
    if (all > most) all = most / KV_BLOCK * KV_BLOCK;
    return all < row ? row : all;
}

static gpt2q_status make_engine(struct lane *lane, gpt2q_error *err)
{
    const struct serve_options *o = lane->options;
    gpt2q_context_params p = gpt2q_context_params_default();
    gpt2q_scheduler_params sp = gpt2q_scheduler_params_default();
    sp.keep_prefixes = true;
    p.n_ctx = lane->n_ctx;
    p.n_seq_max = sp.n_rows = (int32_t)o->rows;
    p.n_batch = (int32_t)(o->rows + o->chunk);
    p.n_outputs =
        (int32_t)(o->rows < 32 ? 32 : o->rows); /* prompts that are scored want a row for each token */
    if (p.n_outputs < p.n_batch && o->chunk <= 64) p.n_outputs = p.n_batch;
    p.n_cache = cache_positions(lane);
    p.n_threads = (int32_t)o->threads;
    p.activations = lane->own->activations;
    p.kv = o->kv;
    sp.n_chunk = (int32_t)o->chunk;
    sp.n_queue = (int32_t)o->queue;
    sp.n_queue_tokens = o->queue_tokens;
    gpt2q_status s = gpt2q_context_create(lane->model, &p, &lane->ctx, err);
    if (!s) s = gpt2q_scheduler_create(lane->ctx, &sp, &lane->scheduler, err);
    if (!s) scheduler_prompts_first(lane->scheduler);
    return s;
}

static void add_stats(gpt2q_scheduler_stats *to, const gpt2q_scheduler_stats *s)
{
    to->requests += s->requests, to->errors += s->errors, to->steps += s->steps, to->rows += s->rows;
    to->prompt_tokens += s->prompt_tokens, to->completion_tokens += s->completion_tokens;
    to->cached_tokens += s->cached_tokens, to->wasted_tokens += s->wasted_tokens;
    to->proposed_tokens += s->proposed_tokens, to->accepted_tokens += s->accepted_tokens;
}

gpt2q_status lane_renew(struct lane *lane, gpt2q_error *err)
{
    if (lane->scheduler) {
        gpt2q_scheduler_load load = gpt2q_scheduler_get_load(lane->scheduler);
        add_stats(&lane->before, &load.stats);
    }
    gpt2q_scheduler_free(lane->scheduler);
    gpt2q_context_free(lane->ctx);
    lane->scheduler = NULL;
    lane->ctx = NULL;
    return make_engine(lane, err);
}

gpt2q_scheduler_load lane_load(struct lane *lane)
{
    gpt2q_scheduler_load load = {0};
    pthread_mutex_lock(&lane->lock);
    if (lane->scheduler) load = gpt2q_scheduler_get_load(lane->scheduler);
    add_stats(&load.stats, &lane->before);
    pthread_mutex_unlock(&lane->lock);
    return load;
}

/* ---- opening ---- */

static bool id_is_taken(const struct lane *lane, const struct lane *taken, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!strcmp(taken[i].id, lane->id)) return true;
    return false;
}

/* NAME for the first lane of a model. NAME:SPEC for others, or NAME:SPEC@ACT if that is taken, too. */
static void name_lane(struct lane *lane, const struct lane *taken, size_t n)
{
    const char *name = gpt2q_model_name(lane->model);
    char scheme[64];
    snprintf(scheme, sizeof scheme, "%s",
             lane->own->scheme ? lane->own->scheme : gpt2q_model_scheme(lane->model));
    snprintf(lane->id, sizeof lane->id, "%.90s", name);
    if (id_is_taken(lane, taken, n)) snprintf(lane->id, sizeof lane->id, "%.90s:%.40s", name, scheme);
    if (lane->own->activations && (id_is_taken(lane, taken, n) || n > 0))
        snprintf(lane->id, sizeof lane->id, "%.90s:%.40s@%.20s", name, scheme, lane->own->activations);
    for (int i = 2; id_is_taken(lane, taken, n); i++)
        snprintf(lane->id, sizeof lane->id, "%.90s:%.40s#%d", name, scheme, i);
}

/* The memory of this lane, of the lanes before, and of all connections. */
static gpt2q_status check_memory(struct lane *lane, const struct lane *taken, size_t n, gpt2q_error *err)
{
    lane->plan.weights = gpt2q_model_bytes(lane->model);
    lane->plan.cache = (uint64_t)(cache_positions(lane) * position_bytes(lane));
    struct memory_plan all = lane->plan;
    for (size_t i = 0; i < n; i++) {
        all.weights += taken[i].plan.weights;
        all.cache += taken[i].plan.cache;
    }
    all.connections = (uint64_t)lane->options->max_connections * CONNECTION_BYTES;
    return memory_plan_check(&all, memory_allowed(""), err);
}

static void date_model(struct lane *lane)
{
    struct stat st;
    char *path;
    gpt2q_error err;
    if (model_locate(lane->own->path, &path, &err)) return;
    if (!stat(path, &st)) lane->created = (int64_t)st.st_mtime;
    mem_free(path);
}

/* A pass that touches all weights, so that the first request does not wait for the disk. */
static gpt2q_status warm_up(struct lane *lane, gpt2q_error *err)
{
    gpt2q_batch *batch;
    gpt2q_status s = gpt2q_batch_create(1, &batch, err);
    if (s) return s;
    gpt2q_batch_add(batch, 0, 0, 0, true);
    s = gpt2q_decode(lane->ctx, batch, err);
    gpt2q_context_truncate(lane->ctx, 0, 0);
    gpt2q_batch_free(batch);
    return s;
}

gpt2q_status lane_open(struct lane *lane, const struct serve_options *options, size_t i,
                       const struct lane *taken, gpt2q_error *err)
{
    gpt2q_model_params p = gpt2q_model_params_default();
    *lane = (struct lane){.options = options, .own = &options->lanes[i]};
    pthread_mutex_init(&lane->lock, NULL);
    p.scheme = lane->own->scheme;
    p.isa = options->isa;
    p.n_threads = (int32_t)options->threads;
    gpt2q_status s = gpt2q_model_open(lane->own->path, &p, &lane->model, err);
    if (s) return s;
    name_lane(lane, taken, i);
    date_model(lane);
    const int32_t most = gpt2q_model_config(lane->model)->n_positions;
    lane->n_ctx = options->ctx && options->ctx < most ? (int32_t)options->ctx : most;
    s = context_kv_format(model_weights(lane->model), lane->own->activations, options->kv, &lane->kv, err);
    if (!s) s = check_memory(lane, taken, i, err);
    if (!s) s = make_engine(lane, err);
    if (!s) s = warm_up(lane, err);
    if (s) return s;
    snprintf(lane->activations, sizeof lane->activations, "%s", gpt2q_context_activations(lane->ctx));
    fingerprint_make(lane->model, lane->ctx, lane->fingerprint);
    return GPT2Q_OK;
}

void lane_close(struct lane *lane)
{
    if (!lane->options) return;
    gpt2q_scheduler_free(lane->scheduler);
    gpt2q_context_free(lane->ctx);
    gpt2q_model_close(lane->model);
    pthread_mutex_destroy(&lane->lock);
    *lane = (struct lane){0};
}

/* ---- rates ---- */

static uint64_t tokens_done(const gpt2q_scheduler_stats *s)
{
    return s->prompt_tokens - (s->cached_tokens < s->prompt_tokens ? s->cached_tokens : s->prompt_tokens) +
           s->completion_tokens;
}

void lane_note_rate(struct lane *lane, double now)
{
    const size_t most = sizeof lane->rate_at / sizeof *lane->rate_at;
    if (lane->n_rates && now - lane->rate_at[lane->n_rates - 1] < 1) return;
    gpt2q_scheduler_load load = lane_load(lane);
    if (lane->n_rates == most) {
        memmove(lane->rate_at, lane->rate_at + 1, (most - 1) * sizeof *lane->rate_at);
        memmove(lane->rate_tokens, lane->rate_tokens + 1, (most - 1) * sizeof *lane->rate_tokens);
        lane->n_rates--;
    }
    lane->rate_at[lane->n_rates] = now;
    lane->rate_tokens[lane->n_rates++] = tokens_done(&load.stats);
}

double lane_rate(const struct lane *lane)
{
    if (lane->n_rates < 2) return 0;
    size_t last = lane->n_rates - 1;
    double seconds = lane->rate_at[last] - lane->rate_at[0];
    return seconds > 0 ? (double)(lane->rate_tokens[last] - lane->rate_tokens[0]) / seconds : 0;
}

int retry_after(int64_t tokens, double tokens_per_s)
{
    if (tokens <= 0) return 1;
    if (!(tokens_per_s > 0)) return 2; /* no rate is known yet */
    double s = ceil((double)tokens / tokens_per_s);
    return s < 1 ? 1 : s > 60 ? 60 : (int)s;
}

/* ---- describing ---- */

static void put_aliases(struct json_writer *w, const struct lane *lane)
{
    json_key(w, "aliases"), json_open(w, '[');
    for (size_t i = 0; i < lane->options->n_aliases; i++) {
        const char *alias = lane->options->aliases[i], *equals = strchr(alias, '=');
        if (equals && !strcmp(equals + 1, lane->id)) json_put_bytes(w, alias, (size_t)(equals - alias));
    }
    json_close(w, ']');
}

void lane_describe(struct json_writer *w, const struct lane *lane)
{
    const gpt2q_config *c = gpt2q_model_config(lane->model);
    json_open(w, '{');
    json_key(w, "id"), json_put_string(w, lane->id);
    json_key(w, "object"), json_put_string(w, "model");
    json_key(w, "created"), json_put_integer(w, lane->created);
    json_key(w, "owned_by"), json_put_string(w, "gpt2q");
    json_key(w, "root"), json_put_string(w, gpt2q_model_name(lane->model));
    json_key(w, "parent"), json_put_null(w);
    json_key(w, "max_model_len"), json_put_integer(w, lane->n_ctx);
    put_aliases(w, lane);
    json_key(w, "meta"), json_open(w, '{');
    json_key(w, "scheme"), json_put_string(w, gpt2q_model_scheme(lane->model));
    json_key(w, "activations"), json_put_string(w, lane->activations);
    json_key(w, "kv"), json_put_string(w, kv_format_names[lane->kv]);
    json_key(w, "n_params"), json_put_unsigned(w, gpt2q_model_parameters(lane->model));
    json_key(w, "bytes"), json_put_unsigned(w, gpt2q_model_bytes(lane->model));
    json_key(w, "vocab_size"), json_put_integer(w, c->vocab_size);
    json_key(w, "n_ctx"), json_put_integer(w, lane->n_ctx);
    json_key(w, "n_embd"), json_put_integer(w, c->n_embd);
    json_key(w, "n_layer"), json_put_integer(w, c->n_layer);
    json_key(w, "n_head"), json_put_integer(w, c->n_head);
    json_key(w, "fingerprint"), json_put_string(w, lane->fingerprint);
    json_close(w, '}'), json_close(w, '}');
}
