/* What a run leaves: the .gpt2q file, the exported directory, the CSV, the report. */
#include "app/train/train.h"
#include "app/tables.h"
#include "base/file.h"
#include "base/memory.h"
#include "model/config.h"
#include "quantize/export.h"
#include "quantize/gpt2q_write.h"
#include "train/schedule.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- metadata ---- */

static int describe(struct training *t)
{
    const struct trainer_options *o = &t->trainer.options;
    char plan[METHOD_TEXT_MAX + 2] = "", scales[64];
    size_t size = 256, n;
    if (t->from_file)
        snprintf(plan, sizeof plan, "%.160s, ", last_part(t->from_file));
    else if (!method_plan_is_plain(&t->plan)) {
        char text[METHOD_TEXT_MAX];
        snprintf(plan, sizeof plan, "%s, ", method_plan_print(&t->plan, text));
    }
    snprintf(t->method, sizeof t->method, "%strain loss=%s steps=%d of %d tokens=%d lr=%.12g scales=%s", plan,
             t->kl ? "kl" : "ce", t->trainer.step, o->steps, o->windows * o->window, o->rate,
             training_scales(t, scales));
    for (size_t i = 0; i < t->text.n_texts; i++)
        size += strlen(last_part(t->text.texts[i].path)) + SHA256_TEXT + 16;
    if (t->methods.calibration) size += strlen(t->methods.calibration);
    t->calibration = mem_alloc(size);
    if (!t->calibration) return failure("out of memory: metadata");
    n = (size_t)snprintf(t->calibration, size, "%s%strained on",
                         t->methods.calibration ? t->methods.calibration : "",
                         t->methods.calibration ? "; " : "");
    for (size_t i = 0; i < t->text.n_texts; i++)
        n += (size_t)snprintf(t->calibration + n, size - n, "%s %s sha256 %s", i ? "," : "",
                              last_part(t->text.texts[i].path), t->text.texts[i].sha256);
    return EXIT_DONE;
}

/* ---- the files ---- */

struct saving {
    struct training *t;
    struct gpt2q_writer *writer;
    struct exporter *exporter;
};

static gpt2q_status take(void *user, const struct quantized *q, gpt2q_error *err)
{
    struct saving *s = user;
    s->t->bytes += s->writer ? q->bytes_after : 0;
    return s->writer ? gpt2q_writer_put(s->writer, q, err) : exporter_put(s->exporter, q, err);
}

/* By slot: the latent weights, and the codes where scales are learned or kept. */
static gpt2q_status prepare(struct training *t, bool with_codes, struct prepared *prepared, gpt2q_error *err)
{
    const struct bindings *b = &t->quantizer.bindings;
    gpt2q_status s = GPT2Q_OK;
    for (size_t i = 0; i < b->n && !s; i++) {
        struct prepared *p = &prepared[weight_slot(&b->config, b->items[i].id)];
        const int which = floats_index(&t->student, b->items[i].id);
        p->floats = floats_of(&t->student, which);
        for (int k = 0; with_codes && k < t->grids.count && !s; k++)
            if (t->grids.list[k].which == which && t->grids.list[k].groups)
                s = grids_pack(&t->grids, k, t->student.at, &p->matrix, err);
    }
    return s;
}

static gpt2q_status run_quantizer(struct training *t, struct quantizer *q, struct saving *saving,
                                  gpt2q_error *err)
{
    const size_t slots = weight_slots(&q->bindings.config);
    struct prepared *prepared = mem_zarray(slots, sizeof *prepared);
    if (!prepared) return error_memory(err, "a table of weights", slots * sizeof *prepared);
    q->prepared = prepared;
    gpt2q_status s = prepare(t, saving->writer != NULL, prepared, err);
    if (!s) s = quantizer_run(q, take, saving, err);
    for (size_t i = 0; i < slots; i++) qtensor_free(&prepared[i].matrix);
    mem_free(prepared);
    q->prepared = NULL;
    return s;
}

static gpt2q_status save_file(struct training *t, gpt2q_error *err)
{
    struct saving saving = {.t = t};
    struct quantizer q = t->quantizer;
    q.method = t->method;
    q.calibration = t->calibration;
    q.static_scales = q.factors = NULL;
    gpt2q_status s = gpt2q_writer_open(t->o->output, &q, last_part(t->path), &saving.writer, err);
    if (!s) s = run_quantizer(t, &q, &saving, err);
    if (!s) return gpt2q_writer_commit(saving.writer, &t->file_bytes, err);
    gpt2q_writer_abort(saving.writer);
    return s;
}

static gpt2q_status save_directory(struct training *t, gpt2q_error *err)
{
    struct saving saving = {.t = t};
    struct quantizer q = t->quantizer;
    const size_t slots = weight_slots(&q.bindings.config);
    q.schemes = mem_zarray(slots, sizeof *q.schemes); /* f32 */
    if (!q.schemes) return error_memory(err, "a table of schemes", slots * sizeof *q.schemes);
    q.base = (struct scheme){.format = QF_F32};
    q.static_scales = q.factors = NULL;
    gpt2q_status s = exporter_open(t->o->directory, &q, &saving.exporter, err);
    if (!s) s = run_quantizer(t, &q, &saving, err);
    if (!s)
        s = exporter_commit(saving.exporter, err);
    else
        exporter_abort(saving.exporter);
    mem_free(q.schemes);
    return s;
}

/* ---- reports ---- */

static double rate_at(const struct training *t, int step)
{
    const struct trainer_options *o = &t->trainer.options;
    return schedule_rate(o->rate, step, o->steps, o->warmup);
}

int training_write_csv(const struct training *t)
{
    gpt2q_error err;
    struct file_writer w;
    const struct history *h = &t->history;
    const int tokens = t->trainer.options.windows * t->trainer.options.window;
    int e = 0;
    if (file_writer_open(&w, t->o->csv, &err)) return failed(&err);
    fputs("step,tokens,learning_rate,loss,eval_nll,eval_kl\n", w.stream);
    for (int i = 0; i <= h->n_losses; i++) {
        const bool evaluated = e < h->n_evaluations && (int)h->evaluations[e].step == i;
        if (i == h->n_losses && !evaluated) break;
        fprintf(w.stream, "%d,%lld,", i, (long long)i * tokens);
        if (i < h->n_losses)
            fprintf(w.stream, "%.9g,%.9g", rate_at(t, i), h->losses[i]);
        else
            fputc(',', w.stream);
        if (evaluated)
            fprintf(w.stream, ",%.9g,", h->evaluations[e].nll);
        else
            fputs(",,", w.stream);
        if (evaluated && isfinite(h->evaluations[e].kl)) fprintf(w.stream, "%.9g", h->evaluations[e].kl);
        fputc('\n', w.stream);
        e += evaluated;
    }
    return file_writer_commit(&w, &err) ? failed(&err) : EXIT_DONE;
}

static cJSON *evaluations_json(const struct training *t)
{
    cJSON *list = cJSON_CreateArray();
    for (int i = 0; i < t->history.n_evaluations; i++) {
        const struct train_evaluation *e = &t->history.evaluations[i];
        cJSON *o = cJSON_CreateObject();
        cJSON_AddNumberToObject(o, "step", e->step);
        cJSON_AddItemToObject(o, "nll", json_real(e->nll));
        cJSON_AddItemToObject(o, "perplexity", json_real(exp(e->nll)));
        cJSON_AddItemToObject(o, "kl", json_real(e->kl));
        cJSON_AddItemToArray(list, o);
    }
    return list;
}

static cJSON *path_json(const char *path)
{
    return path ? json_text(path, strlen(path)) : cJSON_CreateNull();
}

void training_json(const struct training *t)
{
    const struct trainer_options *o = &t->trainer.options;
    char scheme[SCHEME_TEXT_MAX], plan[METHOD_TEXT_MAX];
    const int steps = t->trainer.step - t->first_step;
    cJSON *doc = cJSON_CreateObject(), *losses = cJSON_CreateArray();
    cJSON_AddItemToObject(doc, "model", path_json(t->path));
    cJSON_AddItemToObject(doc, "path", path_json(t->o->output));
    cJSON_AddItemToObject(doc, "export", path_json(t->o->directory));
    cJSON_AddStringToObject(doc, "scheme", scheme_print(t->quantizer.base, scheme));
    cJSON_AddItemToObject(doc, "from",
                          t->from_file ? path_json(t->from_file)
                                       : cJSON_CreateString(method_plan_print(&t->plan, plan)));
    cJSON_AddStringToObject(doc, "scales",
                            !t->grids.count       ? "none"
                            : t->grids.every == 0 ? "learned"
                                                  : "recalibrated");
    cJSON_AddItemToObject(doc, "recalibrate",
                          t->grids.count && t->grids.every ? cJSON_CreateNumber(t->grids.every)
                                                           : cJSON_CreateNull());
    cJSON_AddStringToObject(doc, "loss", t->kl ? "kl" : "ce");
    cJSON_AddNumberToObject(doc, "steps", o->steps);
    cJSON_AddNumberToObject(doc, "steps_done", t->trainer.step);
    cJSON_AddNumberToObject(doc, "batch_tokens", o->windows * o->window);
    cJSON_AddNumberToObject(doc, "window", o->window);
    cJSON_AddNumberToObject(doc, "learning_rate", o->rate);
    cJSON_AddItemToObject(doc, "diverged_at",
                          t->diverged_at < 0 ? cJSON_CreateNull() : cJSON_CreateNumber(t->diverged_at));
    cJSON_AddBoolToObject(doc, "interrupted", t->interrupted);
    for (int i = 0; i < t->history.n_losses; i++)
        cJSON_AddItemToArray(losses, json_real(t->history.losses[i]));
    cJSON_AddItemToObject(doc, "losses", losses);
    cJSON_AddItemToObject(doc, "evaluations", evaluations_json(t));
    cJSON_AddNumberToObject(doc, "seconds", t->seconds);
    cJSON_AddItemToObject(doc, "tokens_per_s",
                          json_real(steps > 0 ? steps * (double)(o->windows * o->window) / t->seconds : NAN));
    cJSON_AddItemToObject(doc, "bytes",
                          t->o->output ? cJSON_CreateNumber((double)t->bytes) : cJSON_CreateNull());
    cJSON_AddItemToObject(doc, "file_bytes",
                          t->o->output ? cJSON_CreateNumber((double)t->file_bytes) : cJSON_CreateNull());
    json_print(doc);
}

static void report(const struct training *t)
{
    char bytes[COUNT_TEXT], name[SAFE_NAME];
    const struct history *h = &t->history;
    const int n = h->n_losses < 10 ? h->n_losses : 10;
    double first = 0, last = 0;
    for (int i = 0; i < n; i++) first += h->losses[i] / n, last += h->losses[h->n_losses - 1 - i] / n;
    if (n)
        printf("%d step%s: mean %s of the first %d %.4f, of the last %d %.4f; %.1f s\n", h->n_losses,
               h->n_losses == 1 ? "" : "s", t->kl ? "KL" : "loss", n, first, n, last, t->seconds);
    if (t->o->output)
        printf("%s: %s bytes\n", safe_name(t->o->output, name), print_count(t->file_bytes, bytes));
    if (t->o->directory) printf("%s: the float32 weights\n", safe_name(t->o->directory, name));
}

/* One sentence. If a checkpoint holds the weights, it says so. */
static int save_failed(const struct training *t, const gpt2q_error *err)
{
    if (!t->o->checkpoint || t->checkpoint_failed) return failed(err);
    return failure("%s; %s holds the weights, and with --resume the same command writes them", err->message,
                   t->o->checkpoint);
}

int training_save(struct training *t)
{
    gpt2q_error err;
    int code = describe(t);
    if (code) return code;
    if (t->o->output && save_file(t, &err)) code = save_failed(t, &err);
    if (t->o->directory && save_directory(t, &err)) code = save_failed(t, &err);
    const bool saved = !code;
    if (t->o->csv && training_write_csv(t)) code = EXIT_FAILED;
    if (t->o->html && training_write_page(t)) code = EXIT_FAILED;
    if (saved && t->o->json) training_json(t);
    if (saved && !t->o->json) report(t);
    return code || t->checkpoint_failed ? EXIT_FAILED : EXIT_DONE;
}
