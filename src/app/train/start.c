/* Where training begins. */
#include "app/tables.h"
#include "app/train/train.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/threads.h"
#include "model/gpt2q_read.h"
#include "qtensor/dequantize.h"
#include "qtensor/isa.h"
#include "tokenizer/tokenizer.h"
#include <string.h>
#include <unistd.h>

const char *last_part(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash && slash[1] ? slash + 1 : path;
}

/* ---- the weights that training begins with ---- */

static int which_of(const struct training *t, size_t item)
{
    return floats_index(&t->student, t->quantizer.bindings.items[item].id);
}

static bool same_shape(const gpt2q_config *a, const gpt2q_config *b)
{
    return a->n_layer == b->n_layer && a->n_embd == b->n_embd && a->n_head == b->n_head &&
           a->n_inner == b->n_inner && a->vocab_size == b->vocab_size && a->n_positions == b->n_positions;
}

/* Scales for -a static and factors of inputs have no place in training. */
static int check_file(const struct training *t, const struct gpt2_weights *w)
{
    char name[SAFE_NAME];
    for (int l = 0; l < w->config.n_layer; l++)
        if (w->h[l].mlp_c_proj.factors)
            return failure("%s: h.%d.mlp.c_proj has factors of its inputs (awq), which are not trained; make "
                           "it with --awq-sites ln,v",
                           t->from_file, l);
    if (w->h[0].c_attn.input_scale > 0.0f && !t->o->model.quiet)
        fprintf(stderr, "%s: its scales for -a static do not fit the trained weights and are left out\n",
                safe_name(t->from_file, name));
    if (!same_shape(&w->config, &t->quantizer.bindings.config))
        return failure("%s: has another shape than %s, the model that it learns from", t->from_file, t->path);
    return EXIT_DONE;
}

static void take_values(struct training *t, struct gpt2_weights *w)
{
    const struct bindings *b = &t->quantizer.bindings;
    for (size_t i = 0; i < b->n; i++) {
        const struct weight_id id = b->items[i].id;
        const struct param *p = &t->student.params.list[which_of(t, i)];
        float *to = t->student.at + p->at;
        if (!weight_is_matrix(id.part)) {
            memcpy(to, *weight_floats(w, id), param_floats(p) * sizeof *to);
            continue;
        }
        const struct qtensor *m = weight_matrix(w, id);
        for (int row = 0; row < p->rows; row++)
            t->quantizer.run.isa->formats[m->scheme.format].dequantize_row(
                m, row, to + (size_t)row * (size_t)p->cols);
    }
}

static gpt2q_status weights_of_file(const char *path, struct gpt2_weights *w, gpt2q_error *err)
{
    struct gpt2q_file f;
    gpt2q_status s = gpt2q_file_open(path, &f, err);
    if (s) return s;
    s = gpt2q_file_weights(&f, w, err);
    gpt2q_file_close(&f);
    return s;
}

/* Bin centres, and the scales and zero points of the file. */
static int begin_with_file(struct training *t, bool learned)
{
    gpt2q_error err;
    struct gpt2_weights w;
    if (weights_of_file(t->from_file, &w, &err)) return failed(&err);
    int code = check_file(t, &w);
    if (!code) take_values(t, &w);
    for (int i = 0; i < t->grids.count && !code && learned; i++) {
        const struct bindings *b = &t->quantizer.bindings;
        for (size_t k = 0; k < b->n; k++)
            if (which_of(t, k) == t->grids.list[i].which)
                grids_begin(&t->grids, i, weight_matrix(&w, b->items[k].id), t->student.at);
    }
    weights_free(&w);
    return code;
}

/* What a method has rounded, or plain rounding. */
static int begin_with_codes(struct training *t)
{
    gpt2q_error err;
    for (int i = 0; i < t->grids.count; i++) {
        const struct grid_matrix *m = &t->grids.list[i];
        const struct param *p = &t->student.params.list[m->which];
        const struct bindings *b = &t->quantizer.bindings;
        struct qtensor rounded = {0};
        const struct qtensor *w = NULL;
        for (size_t k = 0; k < b->n && t->quantizer.prepared; k++)
            if (which_of(t, k) == m->which)
                w = &t->quantizer.prepared[weight_slot(&b->config, b->items[k].id)].matrix;
        if (!w || !w->codes) {
            const struct qsource src = param_source(p, t->student.at);
            if (qtensor_quantize(&src, m->scheme, &t->grids.run, &rounded, &err)) return failed(&err);
            w = &rounded;
        }
        grids_begin(&t->grids, i, w, t->student.at);
        qtensor_free(&rounded);
    }
    return EXIT_DONE;
}

/* ---- opening ---- */

/* The file's schemes are the run's. */
static int schemes_of_file(struct training *t, struct weights_params *p)
{
    gpt2q_error err;
    struct gpt2q_file f;
    char text[SCHEME_TEXT_MAX];
    if (gpt2q_file_open(t->from_file, &f, &err)) return failed(&err);
    int code = EXIT_DONE;
    if (t->o->model.overrides.n)
        code = failure("%s: is quantized already, and --tensor cannot change its schemes", t->from_file);
    else if (t->o->model.scheme && !scheme_equal(p->scheme, f.scheme))
        code = failure("%s: is held as %s and cannot be made %s; without -q it is trained as it is",
                       t->from_file, scheme_print(f.scheme, text), t->o->model.scheme);
    p->scheme = f.scheme;
    gpt2q_file_close(&f);
    return code;
}

static int copy_schemes(struct training *t)
{
    gpt2q_error err;
    struct gpt2_weights w;
    if (weights_of_file(t->from_file, &w, &err)) return failed(&err);
    const struct bindings *b = &t->quantizer.bindings;
    int code =
        same_shape(&w.config, &b->config) && w.lm_head_is_wte == b->tied
            ? EXIT_DONE
            : failure("%s: has another shape than %s, the model that it learns from", t->from_file, t->path);
    for (size_t i = 0; i < b->n && !code; i++)
        if (weight_is_matrix(b->items[i].id.part))
            t->quantizer.schemes[weight_slot(&b->config, b->items[i].id)] =
                weight_matrix(&w, b->items[i].id)->scheme;
    weights_free(&w);
    return code;
}

static int refuse_quantized(const char *path)
{
    const struct container_reader *kind = NULL;
    gpt2q_error err;
    if (file_is_directory(path)) return EXIT_DONE;
    if (container_kind(path, &kind, &err)) return failed(&err);
    if (kind == &gguf_reader) return EXIT_DONE;
    return failure("%s: is a file of quantized weights; -m names the model that it was made from, and --from "
                   "the file to begin with",
                   path);
}

static int open_quantizer(struct training *t)
{
    gpt2q_error err;
    const struct model_options *m = &t->o->model;
    struct weights_params p = {.overrides = m->overrides.items,
                               .n_overrides = m->overrides.n,
                               .requantize = true,
                               .n_threads = m->threads ? (int)m->threads : threads_default()};
    int code = refuse_quantized(t->path);
    if (code) return code;
    gpt2q_status s = isa_choose(m->isa, &p.isa, &err);
    if (!s && m->scheme) s = scheme_parse(m->scheme, &p.scheme, &err);
    if (s) return failed(&err);
    if (t->from_file) code = schemes_of_file(t, &p);
    if (code) return code;
    if (quantizer_open(t->path, &p, &t->quantizer, &err)) return failed(&err);
    if (t->from_file) code = copy_schemes(t);
    for (size_t i = 0; i < t->quantizer.bindings.n && !code; i++)
        if (t->quantizer.bindings.items[i].id.part == PART_LM_HEAD && t->quantizer.bindings.tied)
            code = failure("%s: its head is wte, and training moves the one matrix that both use; "
                           "--tensor lm_head.weight=SPEC is not possible here",
                           t->path);
    return code;
}

/* With a method or a file scales have been chosen well, and are kept. */
static bool learns(const struct training *t)
{
    const bool chosen = t->from_file || t->plan.rounding != METHOD_RTN || t->plan.n_folds;
    if (t->o->recalibrate) return false;
    if (t->o->learn_scales) return true;
    if (!chosen) return false;
    for (size_t i = 0; i < t->quantizer.bindings.n; i++) {
        const struct scheme s = quantizer_scheme(&t->quantizer, i);
        if (weight_is_matrix(t->quantizer.bindings.items[i].id.part) && scheme_has_codes(s) &&
            !scheme_can_learn(s))
            return false;
    }
    return true;
}

/* Options of scales, once the schemes are known. */
static int check_scales(const struct training *t)
{
    const bool scales = quantizer_any_matrix(&t->quantizer, scheme_has_codes);
    const char *none = "here: no matrix is held in codes, so there are no scales";
    const struct option_use uses[] = {{"learn-scales", scales, none},
                                      {"recalibrate", scales, none},
                                      {"scale-lr", scales, none},
                                      {"scale-lr", learns(t), "without --learn-scales"}};
    return options_check_uses(uses, sizeof uses / sizeof *uses);
}

/* Steps from one choice of the scales to the next; 0 where they are learned. */
static int recalibrates_every(const struct training *t)
{
    if (learns(t)) return 0;
    return t->o->recalibrate ? (int)t->o->recalibrate : 1;
}

static int create_grids(struct training *t)
{
    gpt2q_error err;
    const struct param_list *p = &t->student.params;
    struct scheme *schemes = mem_zarray((size_t)p->count, sizeof *schemes);
    if (!schemes) return failure("out of memory: a table of schemes");
    for (size_t i = 0; i < t->quantizer.bindings.n; i++)
        schemes[which_of(t, i)] = quantizer_scheme(&t->quantizer, i);
    gpt2q_status s = grids_create(&t->grids, p, schemes, recalibrates_every(t), &t->quantizer.run, &err);
    mem_free(schemes);
    return s ? failed(&err) : EXIT_DONE;
}

/* The model's floats, folded where the plan folds; then scales. A resumed run finds all of it in its
 * checkpoint. */
static int begin(struct training *t, bool resumed)
{
    gpt2q_error err;
    int code = EXIT_DONE;
    const bool plain = t->from_file || method_plan_is_plain(&t->plan) || resumed;
    t->plan.keep_rounded = true;
    if (!t->from_file && resumed)
        code = method_text(&t->o->method, &t->plan, t->path, true, &t->quantizer, &t->methods);
    if (!plain)
        code = method_run(&t->o->method, &t->plan, t->path, t->o->json, t->o->model.quiet, &t->quantizer,
                          &t->methods);
    if (code) return code;
    if (t->quantizer.factors)
        return failure(
            "awq at the site mlp leaves factors of inputs, which are not trained: --awq-sites ln,v");
    if (plain) {
        if (model_floats_load(&t->quantizer.bindings, &t->student, &err)) return failed(&err);
    } else {
        t->student = t->methods.result.model;
        t->methods.result.model = (struct model_floats){0};
    }
    code = create_grids(t);
    if (code || resumed) return code;
    if (t->from_file) return begin_with_file(t, !t->grids.every);
    return !t->grids.every ? begin_with_codes(t) : EXIT_DONE;
}

/* ---- texts ---- */

static int open_text(struct training *t, const struct tokenizer *tokenizer, const struct string_list *paths,
                     int64_t tokens, struct calibration *out)
{
    gpt2q_error err;
    const struct calibration_params p = {
        .paths = paths->items, .n_paths = paths->n, .tokens = tokens, .window = (int)t->o->window};
    for (size_t i = 0; i < paths->n; i++)
        if (file_is_directory(paths->items[i]))
            return failure("%s: is a directory where a text is expected", paths->items[i]);
    return calibration_open(&p, tokenizer, t->quantizer.bindings.config.vocab_size, out, &err) ? failed(&err)
                                                                                               : EXIT_DONE;
}

static int check_texts(const struct training *t)
{
    const int share = (int)(t->o->batch_tokens / t->o->window) / (int)t->o->texts.n;
    for (size_t i = 0; i < t->text.n_texts; i++) {
        const struct calibration_text *text = &t->text.texts[i];
        if (text->windows < share)
            return failure(
                "%s: its %d windows of %d tokens are too few for a step, which takes %d of them; a "
                "longer text or a smaller --batch-tokens is needed",
                text->path, text->windows, t->text.window, share);
        if (!t->o->model.quiet && text->windows < text->asked)
            fprintf(stderr, "%s: has %d windows of %d tokens; the run reads it %.1f times\n", text->path,
                    text->windows, t->text.window, (double)text->asked / text->windows);
    }
    return EXIT_DONE;
}

static int open_texts(struct training *t)
{
    gpt2q_error err;
    struct tokenizer *tokenizer;
    if (tokenizer_open(t->path, &tokenizer, &err)) return failed(&err);
    int code = open_text(t, tokenizer, &t->o->texts, t->o->steps * t->o->batch_tokens, &t->text);
    if (!code) code = check_texts(t);
    if (!code && t->o->eval_texts.n)
        code = open_text(t, tokenizer, &t->o->eval_texts, t->o->eval_tokens, &t->eval_text);
    tokenizer_free(tokenizer);
    return code;
}

/* ---- all of it ---- */

double training_rate(const struct training *t)
{
    int bits = 32;
    if (t->o->rate > 0.0) return t->o->rate;
    for (int i = 0; i < t->grids.count; i++)
        if (scheme_bits(t->grids.list[i].scheme) < bits) bits = scheme_bits(t->grids.list[i].scheme);
    return bits <= 2 ? 1e-3 : bits == 3 ? 4e-4 : 2e-4;
}

static int create_trainer(struct training *t)
{
    gpt2q_error err;
    const struct train_options *o = t->o;
    const double rate = training_rate(t);
    const struct trainer_options options = {.kl = t->kl,
                                            .windows = (int)(o->batch_tokens / o->window),
                                            .window = (int)o->window,
                                            .steps = (int)o->steps,
                                            .warmup = (int)o->warmup,
                                            .rate = rate,
                                            .scale_rate = o->scale_rate > 0.0 ? o->scale_rate : rate / 10,
                                            .beta1 = o->beta1,
                                            .beta2 = o->beta2,
                                            .epsilon = 1e-8,
                                            .decay = o->decay};
    gpt2q_status s = GPT2Q_OK;
    if (t->kl) s = model_floats_load(&t->quantizer.bindings, &t->teacher, &err);
    if (!s)
        s = trainer_create(&t->trainer, &t->student.params, &t->grids, t->student.at, t->teacher.at, &options,
                           &err);
    if (!s) s = history_create(&t->history, options.steps, &err);
    return s ? failed(&err) : EXIT_DONE;
}

static int resume(struct training *t)
{
    gpt2q_error err;
    char name[SAFE_NAME];
    if (checkpoint_read(t->o->checkpoint, &t->trainer, &t->history, t->options, t->n_options, &err))
        return failed(&err);
    t->first_step = t->trainer.step;
    if (!t->o->model.quiet)
        fprintf(stderr, "%s: training goes on after step %d of %d\n", safe_name(t->o->checkpoint, name),
                t->first_step, t->trainer.options.steps);
    return EXIT_DONE;
}

int training_open(struct training *t)
{
    char name[SAFE_NAME];
    const bool resumed = t->o->resume && file_exists(t->o->checkpoint);
    if (t->o->resume && !resumed && !t->o->model.quiet)
        fprintf(stderr, "%s: is not there; training begins\n", safe_name(t->o->checkpoint, name));
    int code = open_quantizer(t);
    const int positions = code ? 0 : (int)t->quantizer.bindings.config.n_positions;
    if (!code && t->o->window > positions)
        code = usage_error("--window is %lld, but the model has %d positions", (long long)t->o->window,
                           positions);
    if (!code) code = check_scales(t);
    if (!code) code = open_texts(t); /* before the long work of a method */
    if (!code) code = begin(t, resumed);
    if (!code) code = create_trainer(t);
    if (!code) code = training_request(t);
    return code || !resumed ? code : resume(t);
}

void training_close(struct training *t)
{
    trainer_free(&t->trainer);
    history_free(&t->history);
    grids_free(&t->grids);
    model_floats_free(&t->student);
    model_floats_free(&t->teacher);
    calibration_close(&t->text);
    calibration_close(&t->eval_text);
    method_run_free(&t->methods);
    quantizer_close(&t->quantizer);
    mem_free(t->calibration);
}
