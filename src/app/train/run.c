/* The loop. The order of a step is evaluation, checkpoint, update. So a checkpoint holds all that
 * happened before it. */
#include "app/train/train.h"
#include "base/clock.h"
#include "base/memory.h"
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define KEEP_EVERY  10  /* steps between weights that are kept to go back to */
#define DIVERGED_BY 3.0 /* nats above the best loss so far */

/* ---- tokens ---- */

/* Every text gives an equal share of the step's windows, in its own order, and begins again at its end. */
static void gather(const struct training *t, int step, int32_t *ids)
{
    const int window = t->text.window, share = t->trainer.options.windows / (int)t->text.n_texts;
    const int32_t *from = t->text.ids;
    for (size_t i = 0; i < t->text.n_texts; i++) {
        const int windows = t->text.texts[i].windows;
        for (int k = 0; k < share; k++, ids += window) {
            const int64_t at = ((int64_t)step * share + k) % windows;
            memcpy(ids, from + at * window, (size_t)window * sizeof *ids);
        }
        from += (size_t)windows * (size_t)window;
    }
}

/* ---- what is shown ---- */

struct train_progress {
    bool terminal;
    double at; /* when */
};

static void clear_line(const struct training *t, const struct train_progress *s)
{
    if (s->terminal && !t->o->model.quiet) fprintf(stderr, "\r\033[K");
}

static double recent_loss(const struct training *t)
{
    const int n = t->history.n_losses < KEEP_EVERY ? t->history.n_losses : KEEP_EVERY;
    double sum = 0.0;
    for (int i = t->history.n_losses - n; i < t->history.n_losses; i++) sum += t->history.losses[i];
    return n ? sum / n : NAN;
}

static const char *print_left(double seconds, char text[32])
{
    if (seconds < 100)
        snprintf(text, 32, "%.0f s", seconds);
    else if (seconds < 6000)
        snprintf(text, 32, "%.0f min", seconds / 60);
    else
        snprintf(text, 32, "%.1f h", seconds / 3600);
    return text;
}

/* A line that is written over on a terminal, a line a minute elsewhere. */
static void show(const struct training *t, struct train_progress *s)
{
    const double now = clock_seconds(), spent = now - t->started_at;
    const int step = t->trainer.step, steps = t->trainer.options.steps, done = step - t->first_step;
    const int tokens = t->trainer.options.windows * t->trainer.options.window;
    char left[32];
    if (t->o->model.quiet || now - s->at < (s->terminal ? 0.2 : 60.0)) return;
    s->at = now;
    fprintf(stderr, "%sstep %d of %d: %s %.4f, %.0f tokens/s, %s left%s", s->terminal ? "\r" : "", step,
            steps, t->kl ? "KL" : "loss", recent_loss(t), done * (double)tokens / spent,
            print_left(spent / (done ? done : 1) * (steps - step), left), s->terminal ? "\033[K" : "\n");
}

/* ---- parts of the loop ---- */

static gpt2q_status evaluate(struct training *t, struct train_progress *shown, gpt2q_error *err)
{
    const int step = t->trainer.step;
    const struct history *h = &t->history;
    const bool due = step % t->o->eval_every == 0 || step == t->trainer.options.steps;
    if (!t->eval_text.windows || !due) return GPT2Q_OK;
    if (h->n_evaluations && h->evaluations[h->n_evaluations - 1].step >= step) return GPT2Q_OK;
    struct train_evaluation e = {.step = step};
    gpt2q_status s =
        trainer_evaluate(&t->trainer, t->eval_text.ids, t->eval_text.windows, &e.nll, &e.kl, err);
    if (s) return s;
    t->history.evaluations[t->history.n_evaluations++] = e;
    if (t->o->model.quiet) return GPT2Q_OK;
    clear_line(t, shown);
    fprintf(stderr, "step %d: held-out text has perplexity %.3f", step, exp(e.nll));
    if (t->teacher.at) fprintf(stderr, ", KL %.4f", e.kl);
    fputc('\n', stderr);
    return GPT2Q_OK;
}

/* A full disk does not end the run. The last checkpoint stays as it was, and there may be room when the
 * next is due. */
static void keep_checkpoint(struct training *t, const struct train_progress *shown)
{
    gpt2q_error err;
    if (!t->o->checkpoint) return;
    const bool failed_before = t->checkpoint_failed;
    t->checkpoint_failed = checkpoint_write(t->o->checkpoint, &t->trainer, &t->history, t->options,
                                            t->n_options, &err) != GPT2Q_OK;
    if (!t->checkpoint_failed || failed_before) return;
    clear_line(t, shown);
    failure("%s; training goes on without this checkpoint", err.message);
}

static bool is_finite(const struct training *t)
{
    for (size_t i = 0; i < t->student.params.floats; i++)
        if (!isfinite(t->student.at[i])) return false;
    for (size_t i = 0; i < t->grids.n_scales; i++)
        if (!isfinite(t->grids.scale[i])) return false;
    return true;
}

/* Weights that are worth going back to. */
static void keep_weights(struct training *t)
{
    if (is_finite(t)) trainer_keep(&t->trainer);
}

static void diverge(struct training *t, double loss)
{
    t->diverged_at = t->trainer.step;
    t->diverged = loss;
    trainer_return(&t->trainer);
    t->history.n_losses = t->trainer.step;
    while (t->history.n_evaluations &&
           t->history.evaluations[t->history.n_evaluations - 1].step > t->trainer.step)
        t->history.n_evaluations--;
}

static gpt2q_status step(struct training *t, int32_t *ids, gpt2q_error *err)
{
    const int number = t->trainer.step;
    double loss;
    gather(t, number, ids);
    gpt2q_status s = trainer_step(&t->trainer, ids, &loss, err);
    if (s == GPT2Q_UNSUPPORTED)
        loss = NAN; /* weights or scales that have no codes any more */
    else if (s)
        return s;
    if (!(loss < t->best + DIVERGED_BY)) {
        t->trainer.step = number;
        diverge(t, loss);
        return GPT2Q_OK;
    }
    t->history.losses[t->history.n_losses++] = loss;
    if (loss < t->best) t->best = loss;
    return GPT2Q_OK;
}

static gpt2q_status loop(struct training *t, int32_t *ids, struct train_progress *shown, gpt2q_error *err)
{
    gpt2q_status s = GPT2Q_OK;
    int saved_at = t->trainer.step;
    while (!s && t->trainer.step < t->trainer.options.steps && t->diverged_at < 0) {
        const int number = t->trainer.step;
        if (signal_seen()) {
            t->interrupted = true;
            break;
        }
        s = evaluate(t, shown, err);
        if (number % KEEP_EVERY == 0 || number == t->first_step) keep_weights(t);
        if (!s && number % t->o->checkpoint_every == 0 && number != saved_at) {
            keep_checkpoint(t, shown);
            saved_at = number;
        }
        if (!s) s = step(t, ids, err);
        show(t, shown);
    }
    clear_line(t, shown);
    if (s || t->diverged_at >= 0) return s;
    if (!t->interrupted && !is_finite(t)) {
        diverge(t, NAN);
        return GPT2Q_OK;
    }
    if (!t->interrupted) s = evaluate(t, shown, err);
    if (s == GPT2Q_UNSUPPORTED) {
        diverge(t, NAN);
        return GPT2Q_OK;
    }
    if (!s) keep_checkpoint(t, shown);
    return s;
}

int training_run(struct training *t)
{
    gpt2q_error err;
    char scales[64];
    struct train_progress shown = {.terminal = isatty(STDERR_FILENO)};
    const struct trainer_options *o = &t->trainer.options;
    int32_t *ids = mem_array((size_t)o->windows, (size_t)o->window * sizeof *ids);
    if (!ids) return failure("out of memory: the tokens of a step");
    t->diverged_at = -1;
    t->best = INFINITY;
    for (int i = 0; i < t->history.n_losses; i++) t->best = fmin(t->best, t->history.losses[i]);
    if (!t->o->model.quiet)
        fprintf(stderr, "%d step%s of %d tokens, learning rate %g, scales %s\n", o->steps,
                o->steps == 1 ? "" : "s", o->windows * o->window, o->rate,
                t->grids.count ? training_scales(t, scales) : "none");
    t->started_at = shown.at = clock_seconds();
    gpt2q_status s = loop(t, ids, &shown, &err);
    t->seconds = clock_seconds() - t->started_at;
    mem_free(ids);
    return s ? failed(&err) : EXIT_DONE;
}
