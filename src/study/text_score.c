#include "study/text_score.h"
#include "base/memory.h"
#include "base/threads.h"

struct scoring {
    const struct text_score_params *p;
    struct reader reader;
    struct scorer scorer;
    int32_t *targets; /* (tile) */
};

static gpt2q_status score_tile(struct scoring *r, const struct tile_place *at, struct score *score,
                               gpt2q_error *err)
{
    const struct windows *w = r->p->windows;
    const struct tile_hooks *hooks = r->p->hooks;
    const float *reference = NULL;
    gpt2q_status s = reader_read(&r->reader, w->ids + windows_begin(w, at->window), at->first, at->n, err);
    if (s) return s;
    if (hooks && hooks->reference) {
        gpt2q_error own = {0};
        reference = hooks->reference(hooks->user, at, &own);
        if (!reference) return error_set(err, own.status, "%s", own.message);
    }
    const float *logits = reader_logits(&r->reader);
    if (hooks && hooks->written) s = hooks->written(hooks->user, at, logits, err);
    if (s) return s;
    windows_targets(w, at->window, at->first, at->n, r->targets);
    return scorer_add(&r->scorer, logits, reference, r->targets, at->n, score, err);
}

static gpt2q_status score_windows(struct scoring *r, struct score *score, gpt2q_error *err)
{
    const struct windows *w = r->p->windows;
    size_t count = windows_count(w);
    uint64_t done = 0, total = count * (size_t)w->window;
    for (size_t j = 0; j < count; j++) {
        for (int32_t first = 0, n; first < w->window; first += n) {
            struct tile_place at = {.window = j, .first = first};
            at.n = n = w->window - first < r->reader.tile ? w->window - first : r->reader.tile;
            gpt2q_status s = score_tile(r, &at, score, err);
            if (!s) s = progress_report(r->p->progress, done += (uint64_t)n, total, err);
            if (s) return s;
        }
    }
    return GPT2Q_OK;
}

gpt2q_status text_score(const struct text_score_params *p, struct score *score, double *seconds,
                        gpt2q_error *err)
{
    struct scoring r = {.p = p};
    int32_t vocab = gpt2q_model_config(p->model)->vocab_size;
    struct reader_params reader = p->reader;
    bool with_reference = p->hooks && p->hooks->reference;
    int n_threads = reader.n_threads ? reader.n_threads : threads_default();
    const struct isa *isa;
    *score = (struct score){0};
    *seconds = 0;
    reader.window = p->windows->window;
    reader.tile = reader_tile((size_t)vocab, TILE_BYTES, reader.window);
    gpt2q_status s = isa_choose(gpt2q_model_isa(p->model), &isa, err);
    if (!s) s = reader_open(&r.reader, p->model, &reader, err);
    if (!s) s = scorer_create(&r.scorer, isa->kernels, vocab, reader.tile, with_reference, n_threads, err);
    if (!s) {
        r.targets = mem_array((size_t)reader.tile, sizeof *r.targets);
        s = r.targets ? score_windows(&r, score, err)
                      : error_memory(err, "a tile", (size_t)reader.tile * sizeof *r.targets);
    }
    *seconds = r.reader.seconds;
    mem_free(r.targets);
    scorer_free(&r.scorer);
    reader_close(&r.reader);
    return s;
}

/* ---- two models in lock-step ---- */

struct pair {
    struct reader reference;
    const struct windows *windows;
};

static const float *read_reference(void *user, const struct tile_place *at, gpt2q_error *err)
{
    struct pair *pair = user;
    const int32_t *ids = pair->windows->ids + windows_begin(pair->windows, at->window);
    return reader_read(&pair->reference, ids, at->first, at->n, err) ? NULL : reader_logits(&pair->reference);
}

gpt2q_status text_divergence(const struct text_score_params *p, const gpt2q_model *reference,
                             const char *reference_activations, struct score *score, double *seconds,
                             gpt2q_error *err)
{
    struct pair pair = {.windows = p->windows};
    struct tile_hooks hooks = {.reference = read_reference, .user = &pair};
    struct text_score_params with = *p;
    struct reader_params reader = p->reader;
    *score = (struct score){0};
    *seconds = 0;
    with.hooks = &hooks;
    reader.window = p->windows->window;
    reader.tile = reader_tile((size_t)gpt2q_model_config(p->model)->vocab_size, TILE_BYTES, reader.window);
    reader.activations = reference_activations;
    gpt2q_status s = reader_open(&pair.reference, reference, &reader, err);
    if (!s) s = text_score(&with, score, seconds, err);
    reader_close(&pair.reference);
    return s;
}
