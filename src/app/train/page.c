/* The page: the curve of the loss, what the held-out text says, and how it was made. */
#include "app/train/train.h"
#include "app/compare/svg.h"
#include "app/provenance.h"
#include "base/file.h"
#include "base/file_writer.h"
#include "base/threads.h"
#include <math.h>
#include <string.h>

extern const char page_css[]; /* compare's */

#define TOP    14.0
#define BOTTOM 190.0
#define LEFT   44.0
#define RIGHT  (SVG_WIDTH - 10)
#define SMOOTH 10 /* steps whose mean is drawn */

struct curve {
    const char *label, *heading, *caption;
    bool log;
    double lo, hi;
};

static void begin_curve(FILE *f, const struct curve *c, int steps, struct svg_axis *x, struct svg_axis *y)
{
    *x = (struct svg_axis){.lo = 0, .hi = steps > 0 ? steps : 1, .from = LEFT, .to = RIGHT};
    *y = svg_axis_over(c->lo, c->hi, c->log, BOTTOM, TOP);
    fprintf(f, "<figure>\n<h2>%s</h2>\n", c->heading);
    svg_begin(f, BOTTOM + 34, c->label);
    svg_ticks(f, y, false, LEFT, RIGHT, 5);
    svg_ticks(f, x, true, BOTTOM, TOP, 5);
    svg_text(f, RIGHT, BOTTOM + 28, "axis", "end", "step");
}

static void end_curve(FILE *f, const struct curve *c)
{
    svg_end(f);
    fprintf(f, "<figcaption>%s</figcaption>\n</figure>\n", c->caption);
}

static double mean_until(const struct history *h, int i)
{
    const int n = i + 1 < SMOOTH ? i + 1 : SMOOTH;
    double sum = 0.0;
    for (int k = i + 1 - n; k <= i; k++) sum += h->losses[k];
    return sum / n;
}

static void write_losses(FILE *f, const struct training *t)
{
    const struct history *h = &t->history;
    struct svg_axis x, y;
    struct curve c = {.label = "loss of every step",
                      .heading = t->kl ? "Divergence from the float32 model" : "Cross-entropy of the text",
                      .caption =
                          "Dots: each step&rsquo;s tokens, before its update. Line: the mean of the last 10 "
                          "steps. Tokens differ from step to step, so single dots scatter.",
                      .log = t->kl,
                      .lo = INFINITY,
                      .hi = 0};
    for (int i = 0; i < h->n_losses; i++) c.lo = fmin(c.lo, h->losses[i]), c.hi = fmax(c.hi, h->losses[i]);
    if (!h->n_losses) return;
    if (c.log && !(c.lo > 0)) c.log = false;
    if (c.log && c.hi / c.lo < 4) c.log = false;
    begin_curve(f, &c, t->trainer.options.steps, &x, &y);
    fputs("<g class=\"s1\">\n", f);
    const int every = h->n_losses / 600 + 1;
    for (int i = 0; i < h->n_losses; i += every)
        fprintf(f, "<circle class=\"dot\" cx=\"%.1f\" cy=\"%.1f\" r=\"1.6\" fill-opacity=\".45\"/>\n",
                svg_at(&x, i), svg_at(&y, h->losses[i]));
    fputs("</g><g class=\"s2\"><path class=\"curve\" d=\"", f);
    for (int i = 0; i < h->n_losses; i += every)
        fprintf(f, "%s%.1f %.1f", i ? "L" : "M", svg_at(&x, i), svg_at(&y, mean_until(h, i)));
    fputs("\"/></g>\n", f);
    end_curve(f, &c);
}

static double evaluated(const struct train_evaluation *e, bool kl) { return kl ? e->kl : exp(e->nll); }

static void write_evaluations(FILE *f, const struct training *t, bool kl)
{
    const struct history *h = &t->history;
    struct svg_axis x, y;
    struct curve c = {.label = kl ? "divergence on held-out text" : "perplexity on held-out text",
                      .heading = kl ? "Held-out text: divergence" : "Held-out text: perplexity",
                      .caption =
                          kl ? "Mean KL from the float32 model, in nats, on text that is not trained on."
                             : "On text that is not trained on. A perplexity may rise while the divergence "
                               "falls, and the other way round.",
                      .lo = INFINITY,
                      .hi = 0};
    if (!h->n_evaluations) return;
    for (int i = 0; i < h->n_evaluations; i++) {
        const double v = evaluated(&h->evaluations[i], kl);
        c.lo = fmin(c.lo, v), c.hi = fmax(c.hi, v);
    }
    begin_curve(f, &c, t->trainer.options.steps, &x, &y);
    fputs("<g class=\"s3\"><path class=\"curve\" d=\"", f);
    for (int i = 0; i < h->n_evaluations; i++)
        fprintf(f, "%s%.1f %.1f", i ? "L" : "M", svg_at(&x, h->evaluations[i].step),
                svg_at(&y, evaluated(&h->evaluations[i], kl)));
    fputs("\"/>\n", f);
    for (int i = 0; i < h->n_evaluations; i++)
        fprintf(f, "<circle class=\"dot\" cx=\"%.1f\" cy=\"%.1f\" r=\"3\"/>\n",
                svg_at(&x, h->evaluations[i].step), svg_at(&y, evaluated(&h->evaluations[i], kl)));
    fputs("</g>\n", f);
    end_curve(f, &c);
}

static void write_name(FILE *f, const char *name) { html_text(f, name, strlen(name)); }

static void write_head(FILE *f, const struct training *t)
{
    char scheme[SCHEME_TEXT_MAX], plan[METHOD_TEXT_MAX], scales[64];
    const struct trainer_options *o = &t->trainer.options;
    fputs("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
          "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n<title>",
          f);
    write_name(f, last_part(t->path));
    fprintf(f, ": training</title>\n<style>\n%s", page_css);
    for (int i = 0; i < 4; i++) fprintf(f, ".s%d{--c:var(--c%d)}", i, i);
    fputs("\n</style>\n</head>\n<body>\n<main>\n<h1>Training ", f);
    write_name(f, last_part(t->path));
    fprintf(f, " as %s</h1>\n<p class=\"note\">%d of %d steps of %d tokens, from ",
            scheme_print(t->quantizer.base, scheme), t->trainer.step, o->steps, o->windows * o->window);
    write_name(f, t->from_file                     ? last_part(t->from_file)
                  : method_plan_is_plain(&t->plan) ? "the weights as they are"
                                                   : method_plan_print(&t->plan, plan));
    fprintf(f, "; scales %s; learning rate %g", t->grids.count ? training_scales(t, scales) : "none",
            o->rate);
    for (size_t i = 0; i < t->text.n_texts; i++) {
        fputs(i ? ", " : "; text: ", f);
        write_name(f, last_part(t->text.texts[i].path));
    }
    fputs(".</p>\n", f);
    if (t->diverged_at >= 0)
        fprintf(f, "<p><mark>Training diverged at step %d; the weights are those of step %d.</mark></p>\n",
                t->diverged_at, t->trainer.step);
}

static void write_provenance(FILE *f, const struct training *t)
{
    char cpu[96], date[40];
    read_cpu_name(cpu, sizeof cpu);
    print_date(date, sizeof date);
    fputs("<section class=\"made\">\n<h2>How this was made</h2>\n<p>", f);
    write_name(f, cpu);
    fprintf(f, ", %d threads; %.1f s; %s; gpt2q %s.</p>\n<p><code>", t->quantizer.run.n_threads, t->seconds,
            date, gpt2q_version());
    write_name(f, command_line());
    fputs("</code></p>\n</section>\n", f);
}

int training_write_page(const struct training *t)
{
    gpt2q_error err;
    struct file_writer w;
    if (file_writer_open(&w, t->o->html, &err)) return failed(&err);
    write_head(w.stream, t);
    fputs("<div class=\"plots\">\n", w.stream);
    write_losses(w.stream, t);
    if (t->teacher.at) write_evaluations(w.stream, t, true);
    write_evaluations(w.stream, t, false);
    fputs("</div>\n", w.stream);
    write_provenance(w.stream, t);
    fputs("</main>\n</body>\n</html>\n", w.stream);
    return file_writer_commit(&w, &err) ? failed(&err) : EXIT_DONE;
}
