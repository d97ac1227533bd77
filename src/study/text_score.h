/* Scores a text window by window: alone, beside another model in lock-step, or beside logits made
 * elsewhere. */
#ifndef STUDY_TEXT_SCORE_H
#define STUDY_TEXT_SCORE_H
#include "study/reader.h"
#include "study/score.h"

/* bytes of logits: few enough for the caches, and beside two models */
#define TILE_BYTES ((size_t)8 << 20)

/* `reference` gives the reference's logits of a tile (NULL: it failed, *err says why). `written` sees the
 * model's. */
struct tile_place {
    size_t window;
    int32_t first, n; /* positions of the window */
};
struct tile_hooks {
    const float *(*reference)(void *user, const struct tile_place *at, gpt2q_error *err); /* NULL: none */
    gpt2q_status (*written)(void *user, const struct tile_place *at, const float *logits,
                            gpt2q_error *err); /* may be NULL */
    void *user;
};

struct text_score_params {
    const gpt2q_model *model;
    struct reader_params reader; /* its tile is chosen here */
    const struct windows *windows;
    const struct tile_hooks *hooks;  /* may be NULL */
    const struct progress *progress; /* may be NULL */
};
/* *score is zero or holds whole windows; free it in any case. *seconds: the time in passes of the model.
 * On GPT2Q_CANCELLED the score holds what was read so far. */
gpt2q_status text_score(const struct text_score_params *p, struct score *score, double *seconds,
                        gpt2q_error *err);

/* The same with another model as the reference, both in memory. */
gpt2q_status text_divergence(const struct text_score_params *p, const gpt2q_model *reference,
                             const char *reference_activations, struct score *score, double *seconds,
                             gpt2q_error *err);
#endif
