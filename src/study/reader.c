#include "study/reader.h"
#include "base/clock.h"
#include "base/status.h"

size_t windows_count(const struct windows *w)
{
    return w->n < (size_t)w->window ? 0 : (w->n - (size_t)w->window) / (size_t)w->stride + 1;
}

size_t windows_begin(const struct windows *w, size_t j) { return j * (size_t)w->stride; }

int32_t windows_first_new(const struct windows *w, size_t j)
{
    /* positions of this window that the window before has predicted */
    int32_t seen = j ? w->window - w->stride : 0;
    return seen > 1 ? seen : 1;
}

size_t windows_predictions(const struct windows *w)
{
    size_t count = windows_count(w);
    if (!count) return 0;
    return (size_t)(w->window - 1) + (count - 1) * (size_t)(w->window - windows_first_new(w, 1));
}

void windows_targets(const struct windows *w, size_t j, int32_t first, int32_t n, int32_t *targets)
{
    const int32_t *ids = w->ids + windows_begin(w, j);
    int32_t new = windows_first_new(w, j);
    for (int32_t i = 0; i < n; i++) {
        int32_t next = first + i + 1;
        targets[i] = next >= new &&next < w->window ? ids[next] : -1;
    }
}

int32_t reader_tile(size_t floats, size_t bytes, int32_t window)
{
    size_t rows = bytes / (floats * sizeof(float)) / 16 * 16;
    if (rows < 16) rows = 16;
    return rows < (size_t)window ? (int32_t)rows : window;
}

gpt2q_status reader_open(struct reader *r, const gpt2q_model *model, const struct reader_params *params,
                         gpt2q_error *err)
{
    gpt2q_context_params p = gpt2q_context_params_default();
    p.n_ctx = params->window;
    p.n_batch = p.n_outputs = params->tile;
    p.n_threads = params->n_threads;
    p.activations = params->activations;
    p.kv = params->kv;
    *r = (struct reader){.tile = params->tile};
    gpt2q_status s = gpt2q_context_create(model, &p, &r->ctx, err);
    if (!s) s = gpt2q_batch_create(params->tile, &r->batch, err);
    if (s) reader_close(r);
    return s;
}

void reader_close(struct reader *r)
{
    gpt2q_batch_free(r->batch);
    gpt2q_context_free(r->ctx);
    *r = (struct reader){0};
}

gpt2q_status reader_read(struct reader *r, const int32_t *ids, int32_t first, int32_t n, gpt2q_error *err)
{
    if (first == 0) gpt2q_context_truncate(r->ctx, 0, 0);
    gpt2q_batch_clear(r->batch);
    for (int32_t i = 0; i < n; i++) gpt2q_batch_add(r->batch, ids[first + i], first + i, 0, true);
    double begin = clock_seconds();
    gpt2q_status s = gpt2q_decode(r->ctx, r->batch, err);
    r->seconds += clock_seconds() - begin;
    r->tokens += (uint64_t)n;
    return s;
}

const float *reader_logits(const struct reader *r) { return gpt2q_logits(r->ctx, 0); }

gpt2q_status progress_report(const struct progress *p, uint64_t done, uint64_t total, gpt2q_error *err)
{
    if (!p || !p->report || p->report(p->user, done, total)) return GPT2Q_OK;
    return error_set(err, GPT2Q_CANCELLED, "interrupted");
}
