/* The plots of the page that compare whole models. */
#include "app/compare/plots.h"
#include "base/memory.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static double bits_of(const struct compared *s) { return 8 * (double)s->bytes / (double)s->parameters; }

/* ---- size and perplexity ---- */

static void draw_size_row(FILE *f, const struct comparison *c, size_t i, double y,
                          const struct svg_axis *size, const struct svg_axis *ppl)
{
    const struct compared *s = &c->schemes[i];
    char label[LABEL_TEXT], classes[CLASSES_TEXT];
    double p = score_perplexity(&s->score), error = p * moments_error(&s->score.delta),
           megabytes = (double)s->bytes / 1e6;
    page_label(s, label);
    svg_text(f, 8, y - 2, "name", "start", "%s", label);
    fprintf(f,
            "<g class=\"%s\"><rect class=\"fill\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"12\" "
            "rx=\"2\"/>\n",
            page_classes(i, classes), size->from, y + 3, svg_at(size, megabytes) - size->from);
    svg_text(f, svg_at(size, megabytes) + 4, y + 13, "tick", "start", "%.1f MB", megabytes);
    svg_line(f, "whisker", svg_at(ppl, p - error), y + 9, svg_at(ppl, p + error), y + 9);
    fprintf(f, "<circle class=\"dot\" cx=\"%.1f\" cy=\"%.1f\" r=\"4\"/></g>\n", svg_at(ppl, p), y + 9);
    bool right = svg_at(ppl, p) > (ppl->from + ppl->to) / 2;
    svg_text(f, svg_at(ppl, right ? p - error : p + error) + (right ? -8 : 8), y + 13, "tick",
             right ? "end" : "start", "%.2f", p);
}

void plot_size_and_perplexity(FILE *f, const struct comparison *c)
{
    double most = 0, lo = INFINITY, hi = 0, n = 0;
    for (size_t i = 0; i < c->n_schemes; i++) {
        const struct compared *s = &c->schemes[i];
        double p = score_perplexity(&s->score), error = p * moments_error(&s->score.delta);
        most = fmax(most, (double)s->bytes / 1e6);
        lo = fmin(lo, p - error);
        hi = fmax(hi, p + error);
        n++;
    }
    double bottom = 30 + 34 * n;
    struct svg_axis size = {.lo = 0, .hi = most * 1.5, .from = 8, .to = 190};
    struct svg_axis ppl = svg_axis_over(lo, hi, false, 206, SVG_WIDTH - 14);
    page_figure(f, c, c->n_schemes, "Size and perplexity", false);
    svg_begin(f, bottom + 18, "size and perplexity of every scheme");
    svg_text(f, 8, 12, "axis", "start", "stored size");
    svg_text(f, SVG_WIDTH - 14, 12, "axis", "end", "perplexity (left is better)");
    svg_ticks(f, &ppl, true, bottom - 4, 18, 4);
    svg_line(f, "dash", svg_at(&ppl, score_perplexity(&c->schemes->score)), 18,
             svg_at(&ppl, score_perplexity(&c->schemes->score)), bottom - 4);
    for (size_t i = 0; i < c->n_schemes; i++) draw_size_row(f, c, i, 32 + 34 * (double)i, &size, &ppl);
    svg_end(f);
    page_caption(
        f,
        "Bars: what all tensors take, scales included. Dots: perplexity over %llu tokens; its axis does not "
        "begin at 0. Whiskers: one standard error of the difference from the reference, paired token by "
        "token: "
        "two schemes that err on the same tokens can be told apart although either figure alone is uncertain "
        "by "
        "%.1f.",
        (unsigned long long)c->schemes->score.nll.n,
        score_perplexity(&c->schemes->score) * moments_error(&c->schemes->score.nll));
}

/* ---- bits against divergence ---- */

struct point {
    size_t scheme;
    double bits, kl, error;
    double nearest; /* the divergence of the same schemes rounded to nearest; 0: the scheme is that */
};

static int by_bits(const void *a, const void *b)
{
    const struct point *p = a, *q = b;
    if (p->bits != q->bits) return p->bits < q->bits ? -1 : 1;
    return (p->kl > q->kl) - (p->kl < q->kl);
}

/* Lists all schemes but the reference, sorted by bits. */
static struct point *points_of(const struct comparison *c, size_t *n)
{
    struct point *points = mem_array(c->n_schemes, sizeof *points);
    *n = 0;
    for (size_t i = 1; points && i < c->n_schemes; i++) {
        const struct score *score = &c->schemes[i].score;
        const struct compared *nearest = c->schemes[i].nearest;
        points[(*n)++] = (struct point){i, bits_of(&c->schemes[i]), score->kl.mean, moments_error(&score->kl),
                                        nearest ? nearest->score.kl.mean : 0};
    }
    if (points) qsort(points, *n, sizeof *points, by_bits);
    return points;
}

/* Where a divergence lies. Exactly 0 stands below the axis. */
static double height_of(const struct svg_axis *y, double kl) { return kl > 0 ? svg_at(y, kl) : y->from + 18; }

/* The Pareto front: schemes that no scheme of as few bits beats. */
static void draw_front(FILE *f, const struct point *points, size_t n, const struct svg_axis *x,
                       const struct svg_axis *y)
{
    double best = INFINITY;
    fputs("<path class=\"front\" d=\"", f);
    for (size_t i = 0; i < n; i++) {
        if (points[i].kl >= best) continue;
        if (isinf(best))
            fprintf(f, "M%.1f %.1f", svg_at(x, points[i].bits), height_of(y, points[i].kl));
        else
            fprintf(f, "H%.1fV%.1f", svg_at(x, points[i].bits), height_of(y, points[i].kl));
        best = points[i].kl;
    }
    fprintf(f, "H%.1f\"/>\n", x->to);
}

/* Draws lines from rounding to nearest to what a method made of the same schemes. */
static void draw_bought(FILE *f, const struct point *points, size_t n, const struct svg_axis *x,
                        const struct svg_axis *y)
{
    char classes[CLASSES_TEXT];
    for (size_t i = 0; i < n; i++) {
        if (!(points[i].nearest > 0)) continue;
        const double at = svg_at(x, points[i].bits), from = svg_at(y, points[i].nearest);
        fprintf(f, "<g class=\"%s\">", page_classes(points[i].scheme, classes));
        svg_line(f, "bought", at, from, at, height_of(y, points[i].kl));
        fprintf(f, "<circle class=\"ring\" cx=\"%.1f\" cy=\"%.1f\" r=\"4\"/></g>\n", at, from);
    }
}

/* Places labels beside their points, from above, and moves them down until none covers another. */
static void draw_points(FILE *f, const struct comparison *c, const struct point *points, size_t n,
                        const struct svg_axis *x, const struct svg_axis *y, double bottom)
{
    struct box {
        double left, right, y;
    } *boxes = mem_array(n, sizeof *boxes);
    for (size_t i = n; boxes && i-- > 0;) {
        char label[LABEL_TEXT], classes[CLASSES_TEXT];
        double at_x = svg_at(x, points[i].bits), at_y = height_of(y, points[i].kl), width, text_y = at_y + 4;
        page_label(&c->schemes[points[i].scheme], label);
        width = 6.4 * (double)strlen(label);
        bool left = at_x + 8 + width > SVG_WIDTH - 4 && at_x - 8 - width > x->from;
        double from = left ? at_x - 8 - width : at_x + 8;
        if (from + width > SVG_WIDTH - 4) from = SVG_WIDTH - 4 - width;
        bool moved = true;
        for (int tries = 0; moved && tries < 40; tries++) {
            moved = false;
            for (size_t k = i + 1; k < n; k++)
                if (from < boxes[k].right && from + width > boxes[k].left && fabs(text_y - boxes[k].y) < 11) {
                    text_y = boxes[k].y + 11.5;
                    moved = true;
                }
            for (size_t k = 0; k < n; k++) { /* nor another point */
                double px = svg_at(x, points[k].bits), py = height_of(y, points[k].kl);
                if (k != i && px > from - 4 && px < from + width + 4 && py > text_y - 13 && py < text_y + 4) {
                    text_y = py + 13.5;
                    moved = true;
                }
            }
        }
        if (text_y > bottom + 4) text_y = at_y - 8;
        boxes[i] = (struct box){from, from + width, text_y};
        fprintf(f, "<g class=\"%s\">", page_classes(points[i].scheme, classes));
        if (fabs(text_y - at_y - 4) > 3)
            svg_line(f, "leader", at_x, at_y, left ? from + width + 2 : from - 2, text_y - 4);
        if (points[i].kl > points[i].error)
            svg_line(f, "whisker", at_x, svg_at(y, points[i].kl - points[i].error), at_x,
                     svg_at(y, points[i].kl + points[i].error));
        fprintf(f, "<circle class=\"dot\" cx=\"%.1f\" cy=\"%.1f\" r=\"4\"/></g>\n", at_x, at_y);
        svg_text(f, from, text_y, "name", "start", "%s", label);
    }
    mem_free(boxes);
}

void plot_bits_and_divergence(FILE *f, const struct comparison *c)
{
    size_t n;
    struct point *points = points_of(c, &n);
    double lo = INFINITY, hi = 0, least = INFINITY, most = 0;
    bool bought = false;
    for (size_t i = 0; points && i < n; i++) {
        if (points[i].kl > 0) lo = fmin(lo, points[i].kl), hi = fmax(hi, points[i].kl + points[i].error);
        hi = fmax(hi, points[i].nearest);
        bought = bought || points[i].nearest > 0;
        least = fmin(least, points[i].bits);
        most = fmax(most, points[i].bits);
    }
    if (!points || !(hi > 0)) { /* nothing differs from the reference */
        mem_free(points);
        return;
    }
    const double bottom = 240;
    struct svg_axis y = svg_axis_over(lo, hi, true, bottom - 18, 22);
    struct svg_axis x = svg_axis_over(fmax(0, least - 0.5), most + 0.5, false, 44, SVG_WIDTH - 14);
    page_figure(f, c, c->n_schemes, "Bits and divergence", false);
    svg_begin(f, bottom + 34, "bits a weight against the divergence from the reference");
    svg_ticks(f, &y, false, x.from, x.to, 6);
    svg_ticks(f, &x, true, bottom, 22, 7);
    for (size_t i = 0; i < n; i++)
        if (!(points[i].kl > 0)) svg_text(f, x.from - 4, bottom + 3.5, "tick", "end", "0");
    draw_front(f, points, n, &x, &y);
    draw_bought(f, points, n, &x, &y);
    draw_points(f, c, points, n, &x, &y, bottom);
    svg_text(f, 4, 12, "axis", "start", "mean KL(reference || scheme), nats (down is better)");
    svg_text(f, (x.from + x.to) / 2, bottom + 28, "axis", "middle",
             "bits a weight, all tensors (left is better)");
    svg_end(f);
    page_caption(
        f,
        "The line is the Pareto front: a scheme above it is beaten by one that takes as few bits "
        "and is nearer to "
        "the reference. The divergence is on a logarithmic axis; whiskers are one standard "
        "error. A scheme that "
        "differs in nothing stands at 0, below the axis.%s",
        bought ? " A ring is a file's schemes rounded to nearest; the line from it to the file's dot is "
                 "what its method bought at no cost in bits."
               : "");
    mem_free(points);
}

/* ---- divergence, token by token ---- */

enum { KL_BINS = 48 };

/* The shares of positions in each bin of a logarithmic axis, relative to the largest. *zero: the share
 * below the axis. */
static void kl_shares(const struct score *score, const struct svg_axis *x, double shares[KL_BINS],
                      double *zero)
{
    double most = 0, lo = log10(x->lo), hi = log10(x->hi);
    memset(shares, 0, KL_BINS * sizeof *shares);
    *zero = 0;
    for (size_t i = 0; i < score->kl.n; i++) {
        double kl = (double)score->kl_rows[i], at = kl > 0 ? (log10(kl) - lo) / (hi - lo) * KL_BINS : -1;
        if (at < 0) {
            *zero += 1 / (double)score->kl.n;
            continue;
        }
        int bin = at >= KL_BINS ? KL_BINS - 1 : (int)at;
        shares[bin] += 1 / (double)score->kl.n;
        most = fmax(most, shares[bin]);
    }
    for (int b = 0; b < KL_BINS && most > 0; b++) shares[b] /= most;
}

void plot_divergence(FILE *f, const struct comparison *c)
{
    enum { ROW = 46 };
    double hi = 1e-3, lo = 1, shares[KL_BINS], zero;
    for (size_t i = 1; i < c->n_schemes; i++) {
        hi = fmax(hi, c->schemes[i].score.kl_max);
        if (c->schemes[i].score.kl.mean > 0) lo = fmin(lo, c->schemes[i].score.kl.mean / 100);
    }
    double bottom = 8 + ROW * (double)(c->n_schemes - 1);
    struct svg_axis x = svg_axis_over(fmax(lo, 1e-10), hi, true, 14, SVG_WIDTH - 14);
    page_figure(f, c, c->n_schemes, "Divergence of every token", false);
    svg_begin(f, bottom + 34, "distribution of the divergence of single tokens");
    svg_ticks(f, &x, true, bottom, 8, 6);
    for (size_t i = 1; i < c->n_schemes; i++) {
        const struct score *score = &c->schemes[i].score;
        double base = 8 + ROW * (double)i, mean = svg_at(&x, score->kl.mean);
        char label[LABEL_TEXT], classes[CLASSES_TEXT];
        page_label(&c->schemes[i], label);
        kl_shares(score, &x, shares, &zero);
        fprintf(f, "<g class=\"%s\">", page_classes(i, classes));
        if (zero < 1) svg_steps(f, "area", shares, KL_BINS, x.from, x.to, base, base - ROW + 8);
        if (score->kl.mean > x.lo) svg_line(f, "mean", mean, base, mean, base - ROW + 8);
        svg_line(f, "base", x.from, base, x.to, base);
        fputs("</g>\n", f);
        bool right = mean < (x.from + x.to) / 2; /* the name stands where there is room */
        svg_text(f, right ? x.to : x.from, base - ROW + 17, "name", right ? "end" : "start", "%s", label);
        if (zero > 0.005)
            svg_text(f, right ? x.to : x.from, base - ROW + 29, "tick", right ? "end" : "start",
                     "%.0f %% below the axis", 100 * zero);
    }
    svg_text(f, SVG_WIDTH / 2, bottom + 28, "axis", "middle", "KL(reference || scheme) of a position, nats");
    svg_end(f);
    page_caption(
        f, "At every position both models give a distribution over the next token; KL says how many nats the "
           "scheme's is "
           "worse when the reference's is true. Each row is as high as its own peak; the axis is "
           "logarithmic: schemes differ "
           "by powers of ten. Dashed lines are means; where a mean lies right of the peak, few tokens carry "
           "most of the "
           "damage. Perplexity cannot see a change that helps one token and hurts the next; KL counts both.");
}
