/* What a checkpoint is for: every option and every file that the result depends on, in words. A file
 * counts by its content. */
#include "app/train/train.h"
#include "base/file.h"
#include "base/memory.h"
#include <stdarg.h>
#include <string.h>

__attribute__((format(printf, 3, 4))) static void note(struct training *t, const char *key,
                                                       const char *format, ...)
{
    if (t->n_options == RUN_OPTIONS_MAX) return;
    struct run_option *o = &t->options[t->n_options++];
    va_list args;
    snprintf(o->key, sizeof o->key, "%s", key);
    va_start(args, format);
    vsnprintf(o->value, sizeof o->value, format, args);
    va_end(args);
}

static void note_optimizer(struct training *t)
{
    const struct trainer_options *r = &t->trainer.options;
    note(t, "--loss", "%s", t->kl ? "kl" : "ce");
    note(t, "--steps", "%d", r->steps);
    note(t, "--batch-tokens", "%d", r->windows * r->window);
    note(t, "--window", "%d", r->window);
    note(t, "--warmup", "%d", r->warmup);
    note(t, "--lr", "%.12g", r->rate);
    note(t, "--scale-lr", "%.12g", r->scale_rate);
    note(t, "--beta1", "%.12g", r->beta1);
    note(t, "--beta2", "%.12g", r->beta2);
    note(t, "--weight-decay", "%.12g", r->decay);
}

const char *training_scales(const struct training *t, char text[64])
{
    if (t->grids.every == 0) return "learned";
    if (t->grids.every == 1) return "recalibrated";
    snprintf(text, 64, "recalibrated every %d steps", t->grids.every);
    return text;
}

static void note_schemes(struct training *t)
{
    char scheme[SCHEME_TEXT_MAX], key[64], scales[64];
    note(t, "--quantize", "%s", scheme_print(t->quantizer.base, scheme));
    for (size_t i = 0; i < t->o->model.overrides.n; i++) {
        snprintf(key, sizeof key, "--tensor %zu", i + 1);
        note(t, key, "%s", t->o->model.overrides.items[i]);
    }
    note(t, "scales", "%s", training_scales(t, scales));
}

static void note_texts(struct training *t, const char *option, const struct calibration *c)
{
    char key[64];
    for (size_t i = 0; i < c->n_texts; i++) {
        snprintf(key, sizeof key, "%s %zu with SHA-256", option, i + 1);
        note(t, key, "%s", c->texts[i].sha256);
    }
}

static int note_from(struct training *t)
{
    gpt2q_error err;
    char plan[METHOD_TEXT_MAX], sum[SHA256_TEXT], *data;
    size_t n;
    struct sha256 hash;
    if (!t->from_file) {
        note(t, "--from", "%s", method_plan_print(&t->plan, plan));
        note_texts(t, "--calibrate", &t->methods.text);
        if (t->methods.text.n_texts)
            note(t, "calibration", "%d windows of %d tokens", t->methods.text.windows,
                 t->methods.text.window);
        return EXIT_DONE;
    }
    if (file_read(t->from_file, SIZE_MAX / 2, &data, &n, &err)) return failed(&err);
    sha256_begin(&hash);
    sha256_add(&hash, data, n);
    mem_free(data);
    note(t, "--from", "a file with SHA-256 %s", sha256_print(&hash, sum));
    return EXIT_DONE;
}

/* The floats of the model as they are in its files. With the loss kl they are the teacher. */
static int note_model(struct training *t)
{
    gpt2q_error err;
    char sum[SHA256_TEXT];
    struct sha256 hash;
    struct model_floats own = {0};
    if (!t->teacher.at && model_floats_load(&t->quantizer.bindings, &own, &err)) return failed(&err);
    const struct model_floats *m = t->teacher.at ? &t->teacher : &own;
    sha256_begin(&hash);
    sha256_add(&hash, m->at, m->params.floats * sizeof(float));
    model_floats_free(&own);
    note(t, "model with SHA-256", "%s", sha256_print(&hash, sum));
    return EXIT_DONE;
}

int training_request(struct training *t)
{
    if (!t->o->checkpoint) return EXIT_DONE; /* nobody asks */
    note_optimizer(t);
    note_schemes(t);
    note_texts(t, "--text", &t->text);
    note_texts(t, "--eval-text", &t->eval_text);
    if (t->eval_text.n_texts) note(t, "--eval-every", "%lld", (long long)t->o->eval_every);
    if (t->eval_text.n_texts) note(t, "--eval-tokens", "%lld", (long long)t->o->eval_tokens);
    const int code = note_from(t);
    return code ? code : note_model(t);
}
