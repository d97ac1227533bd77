#include "study/last_word.h"
#include "base/memory.h"
#include "engine/model.h"
#include "kernels/scalar_math.h"
#include <ctype.h>
#include <math.h>
#include <string.h>

#define WORD_TOKENS 64 /* of a last word, at most */

gpt2q_status last_word_open(struct last_word *w, const gpt2q_model *model, const gpt2q_context_params *params,
                            gpt2q_error *err)
{
    gpt2q_context_params p = *params;
    const struct isa *isa;
    *w = (struct last_word){.model = model,
                            .n_ctx = p.n_ctx ? p.n_ctx : gpt2q_model_config(model)->n_positions};
    p.n_outputs = WORD_TOKENS;
    gpt2q_status s = isa_choose(gpt2q_model_isa(model), &isa, err);
    if (!s) s = gpt2q_context_create(model, &p, &w->ctx, err);
    if (!s) s = gpt2q_batch_create(w->n_ctx, &w->batch, err);
    if (s)
        last_word_close(w);
    else
        w->kernels = isa->kernels;
    return s;
}

void last_word_close(struct last_word *w)
{
    gpt2q_batch_free(w->batch);
    gpt2q_context_free(w->ctx);
    *w = (struct last_word){0};
}

/* ids (n); the last `word` of them are to be predicted. */
static gpt2q_status score_ids(struct last_word *w, const int32_t *ids, size_t n, size_t word,
                              struct last_word_score *score, gpt2q_error *err)
{
    size_t vocab = (size_t)gpt2q_model_config(w->model)->vocab_size;
    gpt2q_batch_clear(w->batch);
    gpt2q_context_truncate(w->ctx, 0, 0);
    for (size_t i = 0; i + 1 < n; i++) gpt2q_batch_add(w->batch, ids[i], (int32_t)i, 0, i + 1 + word >= n);
    gpt2q_status s = gpt2q_decode(w->ctx, w->batch, err);
    if (s) return s;
    double nll = 0;
    bool right = true;
    for (size_t i = 0; i < word; i++) {
        const float *x = gpt2q_logits(w->ctx, (int32_t)i);
        int32_t target = ids[n - word + i], likeliest = gpt2q_argmax(w->ctx, (int32_t)i);
        if (likeliest < 0)
            return error_set(err, GPT2Q_NON_FINITE, "the logits of a position are not finite numbers");
        float max = x[likeliest];
        nll += (double)max + math_log(w->kernels->row_sum_exp(x, vocab, max)) - (double)x[target];
        right = right && likeliest == target;
    }
    score->examples++;
    score->right += right;
    moments_add(&score->nll, nll);
    return GPT2Q_OK;
}

gpt2q_status last_word_add(struct last_word *w, const char *text, size_t n, const char *where,
                           struct last_word_score *score, gpt2q_error *err)
{
    while (n && isspace((unsigned char)text[n - 1])) n--;
    size_t split = n;
    while (split && !isspace((unsigned char)text[split - 1])) split--;
    if (split) split--; /* the space belongs to the word, as tokens have it */
    int32_t bos = gpt2q_model_config(w->model)->bos_token_id;
    if (split == n || (split == 0 && bos < 0))
        return error_set(err, GPT2Q_INVALID_ARGUMENT, "%s: a text of several words is expected", where);
    size_t capacity = model_max_ids(w->model, n) + 1;
    int32_t *ids = mem_array(capacity, sizeof *ids);
    if (!ids) return error_memory(err, "a passage", n * sizeof *ids);
    size_t before = 0, word = 0;
    if (split == 0) ids[before++] = bos;
    gpt2q_status s = GPT2Q_OK;
    if (split) s = gpt2q_tokenize(w->model, text, split, 0, ids, capacity, &before, err);
    if (!s)
        s = gpt2q_tokenize(w->model, text + split, n - split, GPT2Q_CONTINUE, ids + before, capacity - before,
                           &word, err);
    size_t total = before + word, room = (size_t)w->n_ctx + 1, skip = total > room ? total - room : 0;
    if (!s && (word > WORD_TOKENS || word >= room))
        s = error_set(err, GPT2Q_UNSUPPORTED, "%s: a last word of %zu tokens, more than %d", where, word,
                      WORD_TOKENS);
    if (!s) s = score_ids(w, ids + skip, total - skip, word, score, err);
    mem_free(ids);
    return s;
}
